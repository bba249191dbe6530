"""Epochs per second on a GPU: of one trial, and of 4 and 16 in parallel.

    python -m benchmarks.gpu

LeNet in float32, batches of 128, in the worker processes of a study: on MNIST if NORMSWEEP_DATA is a
folder with mnist.npz, otherwise on the small digits dataset, which uses little of a GPU. The backend is
set by KERAS_BACKEND. Every worker trains a trial before the measurement, so that imports and compilation
are excluded. Exit status 2 if there is no GPU.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from benchmarks.measured import Measure, Row, write
from benchmarks.trials import lenet_trial, saved, threads
from normsweep.errors import StudyStopped, SweepError
from normsweep.shell import command, run

if TYPE_CHECKING:
    from normsweep.executors.processes import Processes
    from normsweep.sweep.trial import Result, Trial

app = command(
    "python -m benchmarks.gpu",
    "Measure epochs per second of one trial and of several in parallel on a GPU.",
)


@app.default
def gpu(
    *,
    n_jobs: Annotated[
        tuple[int, ...], Parameter(consume_multiple=True, help="Numbers of parallel trials.")
    ] = (1, 4, 16),
    epochs: Annotated[int, Parameter(help="Epochs of each trial.")] = 5,
    repeats: Annotated[int, Parameter(help="Measurements for each number.")] = 3,
    precision: Annotated[
        Literal["float32", "mixed_bfloat16", "mixed_float16"],
        Parameter(help="Precision of the network."),
    ] = "float32",
    images: Annotated[int | None, Parameter(help="Number of images; default: all.")] = None,
    device: Annotated[Literal["gpu", "cpu"], Parameter(help="Where the trials run.")] = "gpu",
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="A folder for the measured values.")
    ] = None,
) -> int:
    """Measure each number of parallel trials and print the table."""
    from normsweep.parts import datasets

    for name, value in {
        "n-jobs": min(n_jobs),
        "epochs": epochs,
        "repeats": repeats,
    }.items():
        if value < 1:
            raise SweepError(f"--{name}: must be at least 1, got {value}")
    folder = os.environ.get("NORMSWEEP_DATA")
    dataset = datasets.load("mnist", Path(folder)) if folder else datasets.load("digits")
    if images is not None:
        dataset = dataset.subset(images, seed=0)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as work:
        root = Path(work)
        trial = replace(lenet_trial(saved(dataset, root), epochs), precision=precision)
        for jobs in n_jobs:
            rates, result = _rates(root, trial, device, jobs, repeats)
            what = "1 trial" if jobs == 1 else f"{jobs} trials in parallel"
            rows.append(Row(what, Measure("epochs/s", rates)))
    where = f"{result.machine['device']}, {result.machine['backend']}"
    trained = round(len(dataset.x_train) * (1 - trial.data.validation_split))
    title = f"LeNet on {dataset.name}, {trained:,} images per epoch, {precision}: {where}"
    write(title, "gpu", rows, output)
    return 0


def _rates(
    root: Path, trial: Trial, device: Literal["gpu", "cpu"], jobs: int, repeats: int
) -> tuple[tuple[float, ...], Result]:
    """Total epochs per second of `jobs` parallel trials, and the last result.

    Raises:
        DeviceError: the device is not available.
        StudyStopped: a trial failed.
    """
    from normsweep.executors.processes import Processes
    from normsweep.executors.protocol import WorkerOptions
    from normsweep.training.engine import preflight
    from normsweep.training.preflight import PreflightRequest

    with closing(
        Processes(WorkerOptions(root, device, max(1, threads() // jobs)), jobs)
    ) as executor:
        executor.call(preflight, PreflightRequest((trial,), (trial.normalization,), device))
        _train(executor, [replace(trial, epochs=1, number=n) for n in range(jobs)])
        rates: list[float] = []
        for _ in range(repeats):
            trials = [replace(trial, number=n) for n in range(jobs)]
            began = time.perf_counter()
            results = _train(executor, trials)
            rates.append(jobs * trial.epochs / (time.perf_counter() - began))
    return tuple(rates), results[-1]


def _train(executor: Processes, trials: list[Trial]) -> list[Result]:
    from normsweep.training.engine import Finished

    for trial in trials:
        executor.submit(trial)
    results: list[Result] = []
    while len(results) < len(trials):
        results += [event.result for event in executor.poll(10.0) if isinstance(event, Finished)]
    for result in results:
        if result.status != "complete":
            raise StudyStopped(f"a trial ended as {result.status}: {result.error}")
    return results


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.exit(run(app))
