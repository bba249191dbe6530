"""Trials per second with four worker processes and with one: `make bench`.

Two kinds of trials: LeNet on real images occupies a core, so that the number of cores is the limit; the
synthetic model only waits, so that the executor and its pipes are. Every worker has one thread, so that
the results are the same and the ratio only shows the effect of parallel trials.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from benchmarks.trials import lenet_trial, saved, threads
from normsweep.errors import StudyStopped
from normsweep.executors.processes import Processes
from normsweep.executors.protocol import WorkerOptions
from normsweep.parts import datasets, models
from normsweep.parts.catalog import is_trained
from normsweep.shell import command, run
from normsweep.sweep.trial import DataKey, Status, Trial
from normsweep.training.engine import Finished

WORKERS = (1, 4)

app = command(
    "python -m benchmarks.throughput",
    "Measure trials per second in four worker processes and in one.",
)


@app.default
def throughput(
    dataset: Annotated[str, Parameter(help="Dataset for LeNet.")] = "digits",
    *,
    data_dir: Annotated[
        Path | None, Parameter(env_var="NORMSWEEP_DATA", help="Folder with mnist.npz.")
    ] = None,
    images: Annotated[int | None, Parameter(help="Number of images; default: all.")] = None,
    repeats: Annotated[int, Parameter(help="Pairs of measurements.")] = 5,
    trials: Annotated[int, Parameter(help="Trials in each measurement.")] = 8,
    epochs: Annotated[int, Parameter(help="Epochs of each trial.")] = 4,
) -> int:
    """Measure both kinds of trials and print the tables."""
    with tempfile.TemporaryDirectory() as work:
        root = Path(work)
        loaded = datasets.load(dataset, data_dir)
        data = saved(loaded.subset(images, seed=0) if images else loaded, root)
        waiting = {"seconds": 0.25}
        kinds = {
            f"LeNet on {dataset}": lenet_trial(data, epochs),
            "synthetic": replace(
                lenet_trial(data, epochs), model=models.SYNTHETIC, model_options=waiting
            ),
        }
        for name, trial in kinds.items():
            measured = _measured(root, data, trial, repeats, trials)
            _print(measured, f"{name}, {epochs} epochs, {threads()} cores: trials per second")
    return 0


def _measured(
    root: Path, data: DataKey, trial: Trial, repeats: int, trials: int
) -> dict[int, list[float]]:
    """Trials per second by number of workers, measured alternately after a warm-up."""
    options = WorkerOptions(root, "cpu", 1, trained=is_trained(trial.model))
    with (
        closing(Processes(options, WORKERS[0])) as one,
        closing(Processes(options, WORKERS[1])) as four,
    ):
        executors = dict(zip(WORKERS, (one, four), strict=True))
        for jobs, executor in executors.items():
            executor.provide(data.digest)
            _seconds(executor, trial, 2 * jobs)
        measured: dict[int, list[float]] = {jobs: [] for jobs in WORKERS}
        for repeat in range(repeats):
            for jobs in sorted(WORKERS, reverse=bool(repeat % 2)):
                measured[jobs].append(trials / _seconds(executors[jobs], trial, trials))
    return measured


def _seconds(executor: Processes, trial: Trial, count: int) -> float:
    """Wall time of `count` trials, with all workers in use."""
    left = [replace(trial, number=n, seed=n) for n in range(count)]
    running, began = 0, time.perf_counter()
    while left or running:
        while left and executor.free:
            executor.submit(left.pop())
            running += 1
        for event in executor.poll(1.0):
            if isinstance(event, Finished):
                running -= 1
                if event.result.status is not Status.COMPLETE:
                    raise StudyStopped(event.result.error)
    return time.perf_counter() - began


def _print(measured: dict[int, list[float]], title: str) -> None:
    """Print the median and range of each, and of the ratio within a pair."""
    import pandas as pd
    from rich.console import Console

    from normsweep.console.screen import table_view

    one, four = measured.values()
    rows = {f"{jobs} workers" if jobs > 1 else "1 worker": measured[jobs] for jobs in WORKERS}
    rows["ratio"] = [f / o for o, f in zip(one, four, strict=True)]
    table = pd.DataFrame(
        [[name, statistics.median(v), min(v), max(v)] for name, v in rows.items()],
        columns=["", "median", "lowest", "highest"],
    )
    Console().print(table_view(table, f"{title}, {len(one)} pairs"))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.exit(run(app))
