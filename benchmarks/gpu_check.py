"""Check that training on a GPU works, and compare its speed with the CPU: `make gpu-check`.

One short LeNet trial on each, in a worker process as in a study: on MNIST if NORMSWEEP_DATA is a folder
with mnist.npz, otherwise on the small digits dataset, which uses little of a GPU. KERAS_BACKEND=jax
checks JAX. Exit status 2 if there is no GPU.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from benchmarks.trials import lenet_trial, saved, threads
from normsweep.errors import StudyStopped, SweepError
from normsweep.shell import command, run

if TYPE_CHECKING:
    import pandas as pd

    from normsweep.sweep.trial import Result, Trial

app = command(
    "python -m benchmarks.gpu_check",
    "Train one short trial on a GPU and one on the CPU, and compare their epochs.",
)


@app.default
def gpu_check(
    *, epochs: Annotated[int, Parameter(help="Epochs of each trial, at least 2.")] = 4
) -> int:
    """Train both trials and print the table."""
    from rich.console import Console

    from normsweep.console.screen import table_view
    from normsweep.parts import datasets

    if epochs < 2:
        raise SweepError(
            f"--epochs: must be at least 2, as the first epoch is excluded, got {epochs}"
        )
    folder = os.environ.get("NORMSWEEP_DATA")
    dataset = datasets.load("mnist", Path(folder)) if folder else datasets.load("digits")
    with tempfile.TemporaryDirectory() as work:
        trial = lenet_trial(saved(dataset, Path(work)), epochs)
        results = [_train(trial, device, Path(work)) for device in ("gpu", "cpu")]
    backend = results[0].machine["backend"]
    title = f"{dataset.name}, LeNet on {backend}, batch {trial.batch_size}, {epochs} epochs"
    Console().print(table_view(_table(results), title))
    return 0


def _train(trial: Trial, device: Literal["gpu", "cpu"], root: Path) -> Result:
    """Train the trial in a new worker.

    Raises:
        DeviceError: the device is not available.
        StudyStopped: the trial failed or ran on another device.
    """
    from normsweep.executors.processes import Processes
    from normsweep.executors.protocol import WorkerOptions
    from normsweep.training.engine import Finished, preflight
    from normsweep.training.preflight import PreflightRequest

    with closing(Processes(WorkerOptions(root, device, threads()))) as executor:
        executor.call(preflight, PreflightRequest((trial,), (trial.normalization,), device))
        executor.submit(trial)
        ends: list[Finished] = []
        while not ends:
            ends = [event for event in executor.poll(10.0) if isinstance(event, Finished)]
    result = ends[0].result
    if result.status != "complete":
        raise StudyStopped(f"the trial on the {device} ended as {result.status}: {result.error}")
    if not result.machine["device"].startswith(f"{device.upper()}: "):
        raise StudyStopped(
            f"the trial requested the {device} but ran on {result.machine['device']}"
        )
    return result


def _table(results: list[Result]) -> pd.DataFrame:
    """One row per trial: first epoch, median of the later ones, and their ratio to the GPU's."""
    import pandas as pd

    seconds = [statistics.median(epoch.seconds for epoch in r.curve[1:]) for r in results]
    return pd.DataFrame(
        {
            "device": [r.machine["device"] for r in results],
            "first epoch, s": [r.curve[0].seconds for r in results],
            "later epochs, s": seconds,
            "ratio": [s / seconds[0] for s in seconds],
        }
    )


if __name__ == "__main__":
    sys.exit(run(app))
