"""Latency of the commands, from the command line to their end, and to the end of a study's first epoch."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from benchmarks.commands import seconds
from benchmarks.measured import Goal, Measure, Row, write
from normsweep.shell import command, run

if TYPE_CHECKING:
    from normsweep.sweep.trial import Result

SMALL = """
name = "NAME"
reference = "unit"
[data]
dataset = "digits"
train_size = 160
[search]
trials = 2
[search.space]
normalization = ["none", "unit"]
learning_rate = 0.001
optimizer = "adam"
epochs = 2
[confirm]
seeds = 5
epochs = 2
margin = 0.02
baseline = { optimizer = "adam", learning_rate = 0.001, epochs = 2 }
"""
"""One step of 128 images per epoch; the other 32 are for validation."""

STUDY = "small"
"""The name of the study that is shown, exported and run again."""

COMMANDS: dict[str, tuple[Sequence[str], float | None]] = {
    "--help": (("-m", "normsweep", "--help"), 0.5),
    "check quickstart": (("-m", "normsweep", "check", "quickstart"), 1),
    "list studies": (("-m", "normsweep", "list", "studies"), 1),
    "show": (("-m", "normsweep", "show", STUDY), 1),
    "export best": (("-m", "normsweep.export", "best", "--study-name", STUDY), 3),
    "report": (("-m", "normsweep.report", "--study-name", STUDY), 5),
    "a finished study again": (("-m", "normsweep.study", f"{STUDY}.toml"), 3),
}
"""Each command with the most seconds that it should take."""

TENSORFLOW, EPOCH = "import tensorflow", "the first epoch, less a second one"
END = "the end of a study, after its last trial"
FIRST = 1.3
"""Time to the end of the first epoch, relative to the import of TensorFlow, that is the goal."""

app = command(
    "python -m benchmarks.latency",
    "Measure the latency of commands, of a finished study and of a study's first epoch.",
)


@dataclass(frozen=True)
class Tree:
    """A working tree of normsweep, and a folder with a small study that it has finished."""

    path: Path
    folder: Path
    server: str = ""
    """Address of an MLflow server for new studies; empty: a local database."""

    @classmethod
    def prepared(cls, path: Path, folder: Path, server: str) -> Tree:
        """Run the small study twice: a finished study may be marked by the second command."""
        tree = cls(path, folder, server)
        folder.mkdir()
        (folder / f"{STUDY}.toml").write_text(SMALL.replace("NAME", STUDY))
        for _ in range(2):
            tree.seconds(COMMANDS["a finished study again"][0])
        return tree

    def seconds(self, arguments: Sequence[str]) -> float:
        """Wall time of a command in seconds."""
        return seconds(self.folder, arguments, self.path)

    def first_epoch(self) -> float:
        """Seconds from the command of a new study to the end of its first epoch, less a second epoch."""
        began = time.time()
        first = self._new("--phase", "search")[0]
        return first.started + first.seconds - 2 * first.curve[1].seconds - began

    def end(self) -> float:
        """Seconds from the end of a new study's last trial to the prompt."""
        results = self._new()
        return time.time() - max(each.started + each.seconds for each in results)

    def _new(self, *more: str) -> list[Result]:
        """The results of a new study, just run."""
        from normsweep.store.storage import read_study

        name = f"s{time.monotonic_ns()}"
        (self.folder / "first.toml").write_text(SMALL.replace("NAME", name))
        shutil.rmtree(self.folder / "new", ignore_errors=True)
        stores = [f"sqlite:///new/{store}.db" for store in ("optuna", "mlflow")]
        options = ("--storage", stores[0], "--tracking-uri", self.server or stores[1])
        self.seconds(("-m", "normsweep.study", "first.toml", *options, *more))
        trials = read_study(f"sqlite:///{self.folder}/new/optuna.db", name).trials
        return [record.result for record in trials if record.result]


@app.default
def latency(
    *,
    before: Annotated[
        Path | None, Parameter(help="Working tree of the commit to compare with.")
    ] = None,
    server: Annotated[
        str,
        Parameter(help="Address of an MLflow server for new studies; by default a local database."),
    ] = "",
    repeats: Annotated[int, Parameter(help="Measurements of each, alternately.")] = 5,
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="A folder for the measured values.")
    ] = None,
) -> int:
    """Measure all and print the table."""
    with tempfile.TemporaryDirectory() as work:
        paths = [Path.cwd(), *filter(None, [before])]
        trees = [
            Tree.prepared(path.absolute(), Path(work) / str(place), server)
            for place, path in enumerate(paths)
        ]
        found = {name: _alternately(trees, run_in, repeats) for name, run_in in _measures()}
    write("latency of the commands", "latency", list(_rows(found)), output)
    return 0


def _measures() -> Iterator[tuple[str, Callable[[Tree], float]]]:
    for name, (arguments, _) in COMMANDS.items():
        yield name, lambda tree, arguments=arguments: tree.seconds(arguments)
    yield TENSORFLOW, lambda tree: tree.seconds(("-c", "import tensorflow"))
    yield EPOCH, Tree.first_epoch
    yield END, Tree.end


def _alternately(
    trees: Sequence[Tree], measure: Callable[[Tree], float], repeats: int
) -> list[tuple[float, ...]]:
    """The measurements in each tree, after one that fills the caches."""
    for tree in trees:
        measure(tree)
    rounds = [[measure(tree) for tree in trees] for _ in range(repeats)]
    return list(zip(*rounds, strict=True))


def _rows(found: dict[str, list[tuple[float, ...]]]) -> Iterator[Row]:
    for name, (now, *earlier) in found.items():
        most = COMMANDS[name][1] if name in COMMANDS else None
        yield Row(name, Measure("s", now), None if most is None else Goal(most))
        for before in earlier:
            ratios = tuple(a / b for a, b in zip(now, before, strict=True))
            if name != TENSORFLOW:
                yield Row(f"{name}, relative to the commit before", Measure("×", ratios))
    ratios = tuple(a / b for a, b in zip(found[EPOCH][0], found[TENSORFLOW][0], strict=True))
    yield Row(f"{EPOCH}, relative to {TENSORFLOW}", Measure("×", ratios), Goal(FIRST))


if __name__ == "__main__":
    sys.exit(run(app))
