"""The overhead of a trial besides its training, and the growth of the worker's memory.

A real study of LeNet on so few digits that an epoch is one step. The time between the starts of two
trials, minus the epochs' own time, is the overhead: asking for a trial, resetting the model, storing and
logging. Trials of few and of many epochs are drawn at random; the overhead of an additional epoch is the
slope of a line through all of them (Theil-Sen: the median over pairs).
"""

from __future__ import annotations

import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from scipy.stats import theilslopes

from benchmarks.commands import Mark, followed
from benchmarks.measured import Goal, Measure, Row, write
from normsweep.shell import command, run

if TYPE_CHECKING:
    from normsweep.sweep.trial import Result

SWEEP = """
name = "overhead"
reference = "unit"
[data]
dataset = "digits"
train_size = 160
[search]
trials = 3
sampler = "random"
[search.space]
normalization = ["none", "unit", "standardize"]
learning_rate = { low = 1e-4, high = 1e-1, log = true }
optimizer = ["sgd", "adam"]
epochs = { low = 4, high = 12, step = 8, sample = true }
"""
FEW = 4
"""Epochs of the trials that the goal applies to."""
BUILT, BEFORE, AFTER = 40, 75, 125
"""Number of trials after which every model is compiled; a window around the hundredth trial."""
SWEEP_FILE = "overhead.toml"

app = command(
    "python -m benchmarks.overhead",
    "Measure the overhead of trials and the growth of the worker's memory.",
)


@app.default
def overhead(
    *,
    trials: Annotated[int, Parameter(help="Trials over which memory is measured.")] = 200,
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="A folder for the measured values.")
    ] = None,
) -> int:
    """Run the study and print the table."""
    with tempfile.TemporaryDirectory() as work:
        marks, results = _study(Path(work), BUILT + trials)
    beside = [
        (len(before.curve), 1000 * (after.started - before.started - _trained(before)))
        for before, after in pairwise(results[BUILT:])
    ]
    slope = theilslopes([ms for _, ms in beside], [epochs for epochs, _ in beside])
    hundredth = [ms for epochs, ms in beside[BEFORE - BUILT : AFTER - BUILT] if epochs == FEW]
    first, last = marks[BUILT - 1], marks[-1]
    grown = (last.worker - first.worker) / 2**20 / (last.trials - first.trials)
    rows = [
        Row(f"overhead of a trial with {FEW} epochs", Measure("ms", tuple(hundredth)), Goal(100)),
        Row(
            "overhead of an additional epoch (95 % interval of the slope)",
            Measure("ms", (slope.low_slope, slope.slope, slope.high_slope)),
            Goal(15),
        ),
        Row("memory of the worker", Measure("MiB per trial", (grown,)), Goal(0.2)),
    ]
    write(
        "overhead of a trial besides its training, around the hundredth trial",
        "overhead",
        rows,
        output,
    )
    return 0


def _study(folder: Path, trials: int) -> tuple[list[Mark], list[Result]]:
    """The study's marks, and its trials' results in the order of their starts."""
    from normsweep.store.storage import read_study

    (folder / SWEEP_FILE).write_text(SWEEP)
    options = ["--n-trials", str(trials), "--phase", "search"]
    marks = list(followed(folder, ["-m", "normsweep.study", SWEEP_FILE, *options], trials))
    records = read_study(f"sqlite:///{folder}/mlruns/optuna.db", "overhead").trials
    return marks, [record.result for record in records if record.result]


def _trained(result: Result) -> float:
    return sum(epoch.seconds for epoch in result.curve)


if __name__ == "__main__":
    sys.exit(run(app))
