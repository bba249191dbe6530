"""A study of ten thousand trials: time per trial early and late, memory, and reading the study.

The command runs on SQLite with the synthetic model, so that only normsweep, Optuna and MLflow are
measured. Then the study is resumed, every table is exported, and the report is written.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from benchmarks.commands import Mark, followed, seconds
from benchmarks.measured import Goal, Measure, Row, write
from normsweep.shell import run

SWEEP = """
name = "scale"
question = "What does a trial cost in a study of very many?"
reference = "unit"
[data]
dataset = "digits"
[model]
name = "synthetic"
[search]
trials = 3
[search.space]
normalization = ["none", "unit", "standardize"]
learning_rate = { low = 1e-5, high = 1e-1, log = true }
optimizer = ["sgd", "rmsprop", "adam"]
momentum = { low = 0.0, high = 0.99, when = { optimizer = "sgd" } }
epochs = { low = 1, high = 4 }
[confirm]
seeds = 3
"""

EARLY, WINDOW, WINDOWS = 1000, 50, 10
"""Position of the early trials; trials per window; windows at either position."""
TABLES = ("best", "trials", "epochs", "arms", "verdict")

app = App(
    name="python -m benchmarks.scale",
    help="Measure a study of very many trials: run, resume, export and report.",
    help_format="plaintext",
    help_formatter="plain",
    result_action="return_value",
)


@app.default
def scale(
    *,
    trials: Annotated[int, Parameter(help="Trials of the study, at least 1500.")] = 10_000,
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="A folder for the measured values.")
    ] = None,
) -> int:
    """Run all measurements and print the table."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        (folder / "scale.toml").write_text(SWEEP)
        _study(folder, 3, "small", "all")
        small = _study(folder, 6, "small", "search")
        marks = _study(folder, trials, "scale", "all")
        resumed = _study(folder, trials + 3, "scale", "search")
        rows = [
            *_cost(marks),
            *_memory(marks),
            Row(
                "resume: to the first new trial, beyond that of a study with 3",
                Measure("s", (resumed[0].seconds - small[0].seconds,)),
                Goal(15),
            ),
            *_reading(folder),
        ]
    write(f"a study of {trials:,} trials", "scale", rows, output)
    return 0


def _study(folder: Path, trials: int, name: str, phase: str) -> list[Mark]:
    """Run a study up to `trials` trials of its search; a mark for each."""
    options = ["--study-name", name, "--n-trials", str(trials), "--phase", phase]
    return followed(folder, ["-m", "normsweep.study", "scale.toml", *options], trials)


def _cost(marks: Sequence[Mark]) -> Iterator[Row]:
    """Milliseconds per trial around the thousandth and at the end, and their ratio.

    In wall time and in the driver's CPU time, which depends less on other load.
    """
    positions = EARLY + WINDOW * WINDOWS // 2, len(marks)
    for clock, name in (("processor", "CPU time"), ("seconds", "wall time")):
        early, late = (_windows(marks, last, clock) for last in positions)
        yield Row(f"{name} of a trial, around the {EARLY:,}th", Measure("ms", early))
        yield Row(f"{name} of a trial, at the end", Measure("ms", late))
        ratio = statistics.median(late) / statistics.median(early)
        yield Row(f"{name}, ratio of the last to the early trials", Measure("×", (ratio,)), Goal(2))


def _windows(marks: Sequence[Mark], last: int, clock: str) -> tuple[float, ...]:
    """Milliseconds per trial in each of the windows up to the trial `last`."""
    ends = range(last - WINDOW * WINDOWS, last + 1, WINDOW)
    times = [getattr(marks[end - 1], clock) for end in ends]
    return tuple((b - a) / WINDOW * 1000 for a, b in pairwise(times))


def _memory(marks: Sequence[Mark]) -> Iterator[Row]:
    """Growth of memory in MiB per trial, from the thousandth to the last."""
    early, late = marks[EARLY - 1], marks[-1]
    for name in ("driver", "worker"):
        grown = (getattr(late, name) - getattr(early, name)) / 2**20
        added = grown / (late.trials - early.trials)
        yield Row(f"memory of the {name}", Measure("MiB per trial", (added,)), Goal(0.2))


def _reading(folder: Path) -> Iterator[Row]:
    """Seconds of the complete commands."""
    for table in TABLES:
        command = ["-m", "normsweep.export", table, "--study-name", "scale", "-o", f"{table}.csv"]
        yield Row(f"export {table}", Measure("s", (seconds(folder, command),)), Goal(15))
    command = ["-m", "normsweep.report", "--study-name", "scale"]
    yield Row("report", Measure("s", (seconds(folder, command),)), Goal(15))


if __name__ == "__main__":
    sys.exit(run(app))
