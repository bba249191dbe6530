"""A study of ten thousand trials: time per trial early and late, memory, and reading the study.

The command runs on SQLite with the synthetic model, so that only normsweep, Optuna and MLflow are
measured. Then the study is resumed, every table is exported, and the report is written. In a folder
that is kept, a measurement that was stopped is continued. With `--against`, another checkout runs the
study; early and late, this one runs a copy of it, by turns.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from benchmarks.commands import Mark, followed, seconds
from benchmarks.measured import Goal, Measure, Row, write
from normsweep.shell import command, run

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
TURNS, TURN, STARTING = 3, 100, 20
"""Turns of a checkout at either position; trials of a turn; its first ones, which are not counted."""
TABLES = ("best", "trials", "epochs", "arms", "verdict")

app = command(
    "python -m benchmarks.scale",
    "Measure a study of very many trials: run, resume, export and report.",
)


@dataclass(frozen=True)
class Study:
    """A study in a folder, with the marks of all commands that have run it so far."""

    folder: Path
    tree: Path | None = None
    """The checkout that runs it; None: this one."""

    @property
    def runs(self) -> list[list[Mark]]:
        """The marks of each command, the first one first."""
        return [
            [Mark(**json.loads(line)) for line in path.read_text().splitlines()]
            for path in self._files
        ]

    def grown(self, trials: int) -> list[Mark]:
        """The marks of the command that ended a number of trials of the search, now or earlier."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if trials > max((run[-1].trials for run in self.runs if run), default=0):
            with (self.folder / f"marks-{len(self._files):03d}.jsonl").open("w", 1) as file:
                for mark in self.command(trials, "search"):
                    file.write(json.dumps(asdict(mark)) + "\n")
        return next(run for run in self.runs if run and run[-1].trials >= trials)

    def command(self, trials: int, phase: str) -> Iterator[Mark]:
        """Run the study up to a number of trials of its search; a mark for each."""
        (self.folder / "scale.toml").write_text(SWEEP)
        options = ["--n-trials", str(trials), "--phase", phase]
        command = ["-m", "normsweep.study", "scale.toml", *options]
        return followed(self.folder, command, trials, self.tree)

    def copied(self, name: str) -> Study:
        """A copy of this study that this checkout runs; one that is there already is kept."""
        folder = self.folder.with_name(f"{self.folder.name}-{name}")
        if not folder.exists():
            part = folder.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            shutil.copytree(self.folder, part)
            part.rename(folder)
        return Study(folder)

    @property
    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("marks-*.jsonl"))


@app.default
def scale(
    *,
    trials: Annotated[int, Parameter(help="Trials of the study, at least 3000.")] = 10_000,
    folder: Annotated[
        Path | None, Parameter(help="A folder that is kept, to continue what was stopped.")
    ] = None,
    against: Annotated[
        Path | None, Parameter(help="Another checkout, measured by turns with this one.")
    ] = None,
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="A folder for the measured values.")
    ] = None,
) -> int:
    """Run all measurements and print the table."""
    with tempfile.TemporaryDirectory() as work:
        study = Study((folder or Path(work) / "scale").absolute(), against)
        rows: list[Row] = []
        if against is None:
            rows += _alone(study, trials)
        else:
            rows += _compared(study, EARLY, f"around the {EARLY:,}th")
            rows += _compared(study, trials - TURNS * TURN, "at the end")
            study = study.copied(str(trials - TURNS * TURN))
        rows.append(_resumed(study, trials))
        for _ in study.command(trials + 3, "all"):
            pass
        rows += _reading(study.folder)
    write(f"a study of {trials:,} trials", "scale", rows, output)
    return 0


def _alone(study: Study, trials: int) -> Iterator[Row]:
    """The cost of trials of this checkout, which runs them all."""
    study.grown(trials)
    yield from _cost(study.runs, trials)
    yield from _memory(max(study.runs, key=len))


def _compared(study: Study, begin: int, name: str) -> Iterator[Row]:
    """The cost of trials from a position on, in a study of another checkout and in a copy of it here."""
    study.grown(begin)
    copy = study.copied(str(begin))
    ends = [begin + turn * TURN for turn in range(1, TURNS + 1)]
    pairs = [(_turn(copy.grown(end)), _turn(study.grown(end))) for end in ends]
    here, there = zip(*pairs, strict=True)
    ratios = tuple(a / b for a, b in pairs)
    yield Row(f"CPU time of a trial, {name}", Measure("ms", here))
    yield Row(f"CPU time of a trial, {name}, other checkout", Measure("ms", there))
    yield Row(f"CPU time of a trial, {name}, ratio", Measure("×", ratios))


def _turn(marks: Sequence[Mark]) -> float:
    """Milliseconds of CPU time of a trial in a turn, but for its first trials."""
    first, last = marks[min(STARTING, len(marks) - 2)], marks[-1]
    return 1000 * (last.processor - first.processor) / (last.trials - first.trials)


def _cost(runs: Sequence[Sequence[Mark]], trials: int) -> Iterator[Row]:
    """Milliseconds per trial around the thousandth and at the end, and their ratio.

    In wall time and in the driver's CPU time, which depends less on other load.
    """
    positions = EARLY + WINDOW * WINDOWS // 2, trials
    for clock, name in (("processor", "CPU time"), ("seconds", "wall time")):
        early, late = (_windows(runs, last, clock) for last in positions)
        yield Row(f"{name} of a trial, around the {EARLY:,}th", Measure("ms", early))
        yield Row(f"{name} of a trial, at the end", Measure("ms", late))
        ratio = statistics.median(late) / statistics.median(early)
        yield Row(f"{name}, ratio of the last to the early trials", Measure("×", (ratio,)), Goal(2))


def _windows(runs: Sequence[Sequence[Mark]], last: int, clock: str) -> tuple[float, ...]:
    """Milliseconds per trial in each of the windows up to the trial `last` that one command ran."""
    ends = range(last - WINDOW * WINDOWS, last + 1, WINDOW)
    times = [{m.trials: getattr(m, clock) for m in run} for run in runs]
    within = chain.from_iterable(
        [(t[a], t[b]) for a, b in pairwise(ends) if a in t and b in t] for t in times
    )
    return tuple((b - a) / WINDOW * 1000 for a, b in within)


def _memory(marks: Sequence[Mark]) -> Iterator[Row]:
    """Growth of memory in MiB per trial in one command, from its thousandth trial to the last."""
    early, late = marks[min(EARLY, len(marks) // 2)], marks[-1]
    for name in ("driver", "worker"):
        grown = (getattr(late, name) - getattr(early, name)) / 2**20
        added = grown / (late.trials - early.trials)
        yield Row(f"memory of the {name}", Measure("MiB per trial", (added,)), Goal(0.2))


def _resumed(study: Study, trials: int) -> Row:
    """What a resumed study takes longer than a small one to its first new trial."""
    first = study.grown(trials + 3)[0]
    with tempfile.TemporaryDirectory() as work:
        small = Study(Path(work))
        small.grown(3)
        beyond = first.seconds - small.grown(6)[0].seconds
    name = "resume: to the first new trial, beyond that of a study with 3"
    return Row(name, Measure("s", (beyond,)), Goal(15))


def _reading(folder: Path) -> Iterator[Row]:
    """Seconds of the complete commands."""
    for table in TABLES:
        command = ["-m", "normsweep.export", table, "--study-name", "scale", "-o", f"{table}.csv"]
        yield Row(f"export {table}", Measure("s", (seconds(folder, command),)), Goal(15))
    command = ["-m", "normsweep.report", "--study-name", "scale"]
    yield Row("report", Measure("s", (seconds(folder, command),)), Goal(15))


if __name__ == "__main__":
    sys.exit(run(app))
