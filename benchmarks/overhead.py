"""What a trial costs beside its training, and what it leaves in the worker's memory.

A real study of LeNet on so few digits that an epoch is one step. What lies between the starts of two
trials, less the epochs' own seconds, is everything else: ask, reset, log, tell.
"""

from __future__ import annotations

import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Annotated

from cyclopts import App, Parameter

from benchmarks.commands import Mark, followed
from benchmarks.measured import Goal, Measure, Row, write
from normsweep.shell import run

SWEEP = """
name = "NAME"
reference = "unit"
[data]
dataset = "digits"
train_size = 160
[search]
trials = 3
[search.space]
normalization = ["none", "unit", "standardize"]
learning_rate = { low = 1e-4, high = 1e-1, log = true }
optimizer = ["sgd", "adam"]
epochs = EPOCHS
"""
FEW, MANY = 4, 12
"""Epochs of a trial."""
BUILT, BEFORE, AFTER = 40, 75, 125
"""Trials until every core has been built; around the hundredth."""

app = App(
    name="python -m benchmarks.overhead",
    help="Time everything but training in a study, and follow its worker's memory.",
    help_format="plaintext",
    help_formatter="plain",
    result_action="return_value",
)


@app.default
def overhead(
    *,
    trials: Annotated[int, Parameter(help="Trials over which memory is followed.")] = 200,
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="A folder for the measured values.")
    ] = None,
) -> int:
    """Run both studies and print the table."""
    with tempfile.TemporaryDirectory() as work:
        marks, few = _study(Path(work), FEW, BUILT + trials)
        _, many = _study(Path(work), MANY, AFTER + 1)
    further = tuple((b - a) / (MANY - FEW) for a, b in zip(sorted(few), sorted(many), strict=True))
    first, last = marks[BUILT - 1], marks[-1]
    grown = (last.worker - first.worker) / 2**20 / (last.trials - first.trials)
    rows = [
        Row(f"all but training, trials of {FEW} epochs", Measure("ms", tuple(few)), Goal(100)),
        Row(f"the same, trials of {MANY} epochs", Measure("ms", tuple(many))),
        Row("each further epoch", Measure("ms", (median(further),)), Goal(15)),
        Row("memory of the worker", Measure("MiB a trial", (grown,)), Goal(0.2)),
    ]
    write("a trial beside its training, around the hundredth", "overhead", rows, output)
    return 0


def _study(folder: Path, epochs: int, trials: int) -> tuple[list[Mark], list[float]]:
    """Its marks, and milliseconds of all but training for trials around the hundredth."""
    from normsweep.search import read_study

    name = f"epochs{epochs}"
    file = folder / f"{name}.toml"
    file.write_text(SWEEP.replace("NAME", name).replace("EPOCHS", str(epochs)))
    options = ["--n-trials", str(trials), "--phase", "search"]
    marks = followed(folder, ["-m", "normsweep.study", file.name, *options], trials)
    _, records = read_study(f"sqlite:///{folder}/mlruns/optuna.db", name)
    results = [record.result for record in records[BEFORE : AFTER + 1] if record.result]
    return marks, [
        1000 * (after.started - before.started - sum(epoch.seconds for epoch in before.curve))
        for before, after in pairwise(results)
    ]


if __name__ == "__main__":
    sys.exit(run(app))
