"""A study of ten thousand trials: what a trial costs the driver early and late, memory, reading back.

The real command runs on SQLite, with the model that is not trained, so that all that is measured is
normsweep, Optuna and MLflow. Then the study is resumed, every table is exported, the report written.
"""

from __future__ import annotations

import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from benchmarks.measured import Goal, Measure, Row, write
from normsweep.errors import StudyStopped
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
"""The early trials; a window's trials; windows at either place."""
TABLES = ("best", "trials", "epochs", "arms", "verdict")
MIB = 2**20

app = App(
    name="python -m benchmarks.scale",
    help="Run a study of very many trials, resume it, export it, and print what that takes.",
    help_format="plaintext",
    help_formatter="plain",
    result_action="return_value",
)


@dataclass(frozen=True)
class Mark:
    """The driver just after a trial."""

    trials: int
    seconds: float
    """Since the command began."""
    driver: int
    worker: int
    """Bytes of memory of the driver, and of its worker."""


@app.default
def scale(
    *,
    trials: Annotated[int, Parameter(help="Trials of the study, at least 1500.")] = 10_000,
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="A folder for the measured values.")
    ] = None,
) -> int:
    """Measure all of it and print the table."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        (folder / "scale.toml").write_text(SWEEP)
        small = _study(folder, 3, "small", "all")
        again = _study(folder, 6, "small", "search")
        marks = _study(folder, trials, "scale", "all")
        resumed = _study(folder, trials + 3, "scale", "search")
        rows = [
            *_cost(marks),
            *_memory(marks),
            Row(
                f"resume, beyond that of {small[-1].trials} trials",
                Measure("s", (resumed[0].seconds - again[0].seconds,)),
                Goal(15),
            ),
            *_reading(folder),
        ]
    write(f"a study of {trials:,} trials", "scale", rows, output)
    return 0


def _study(folder: Path, trials: int, name: str, phase: str) -> list[Mark]:
    """Run a study up to so many trials of its search; a mark for each."""
    command = [
        *("study", "scale.toml", "--study-name", name),
        *("--n-trials", str(trials), "--phase", phase),
    ]
    began = time.monotonic()
    process = _started(folder, command, subprocess.PIPE)
    assert process.stdout is not None
    marks: list[Mark] = []
    said: list[str] = []
    for line in process.stdout:
        said.append(line)
        head = line.split(" ", 1)[0].split("/")
        if len(head) == 2 and head[0].isdigit() and int(head[1]) >= trials:
            worker = _child(process.pid)
            marks.append(
                Mark(int(head[0]), time.monotonic() - began, _memory_of(process.pid), worker)
            )
    if process.wait():
        raise StudyStopped("".join(said[-10:]))
    return marks


def _cost(marks: Sequence[Mark]) -> Iterator[Row]:
    """Milliseconds a trial around the thousandth and at the end, and their ratio."""

    def windows(last: int) -> tuple[float, ...]:
        ends = range(last - WINDOW * WINDOWS, last + 1, WINDOW)
        times = [marks[end - 1].seconds for end in ends]
        return tuple((b - a) / WINDOW * 1000 for a, b in itertools.pairwise(times))

    early, late = windows(EARLY + WINDOW * WINDOWS // 2), windows(len(marks))
    yield Row(f"a trial, around the {EARLY:,}th", Measure("ms", early))
    yield Row("a trial, at the end", Measure("ms", late))
    ratio = statistics.median(late) / statistics.median(early)
    yield Row("the end's to the early one's", Measure("×", (ratio,)), Goal(2))


def _memory(marks: Sequence[Mark]) -> Iterator[Row]:
    """MiB that a trial adds, from the thousandth to the last."""
    early, late = marks[EARLY - 1], marks[-1]
    for name in ("driver", "worker"):
        grown = (getattr(late, name) - getattr(early, name)) / MIB
        added = grown / (late.trials - early.trials)
        yield Row(f"memory of the {name}", Measure("MiB a trial", (added,)), Goal(0.2))


def _reading(folder: Path) -> Iterator[Row]:
    """Seconds of whole commands."""
    for table in TABLES:
        command = ["export", table, "--study-name", "scale", "-o", f"{table}.csv"]
        yield Row(f"export {table}", Measure("s", (_seconds(folder, command),)), Goal(15))
    command = ["report", "--study-name", "scale"]
    yield Row("report", Measure("s", (_seconds(folder, command),)), Goal(15))


def _seconds(folder: Path, command: Sequence[str]) -> float:
    began = time.monotonic()
    process = _started(folder, command, subprocess.DEVNULL)
    if process.wait():
        raise StudyStopped(f"{' '.join(command)} failed")
    return time.monotonic() - began


def _started(folder: Path, command: Sequence[str], stdout: int) -> subprocess.Popen[str]:
    module = f"normsweep.{command[0]}"
    paths = os.pathsep.join([str(Path.cwd()), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, "-m", module, *command[1:]],
        cwd=folder,
        stdout=stdout,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )


def _child(pid: int) -> int:
    """Bytes of memory of the process that another one started, which is the worker; 0: none."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    children = path.read_text().split() if path.exists() else []
    return max((_memory_of(int(child)) for child in children), default=0)


def _memory_of(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    sys.exit(run(app))
