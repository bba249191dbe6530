"""A search of 30 trials compared with the opponent's: complete commands, the same configurations.

The sweep is the benchmark's own, `benchmarks/quickstart.toml`. `--against` also compares the time that
an epoch takes in another checkout, such as that of an earlier commit, with the same sweep file.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from benchmarks.commands import seconds
from benchmarks.measured import Goal, Measure, Row, write
from benchmarks.step import precisions
from normsweep.shell import command, run

if TYPE_CHECKING:
    from normsweep.sweep.study_record import TrialRecord

GOALS = {"float32": 1 / 3, "mixed_bfloat16": 1 / 3}
"""As fractions of the opponent's time in float32."""
AGAINST = 0.55
"""The goal for an epoch, as a fraction of that of the other checkout."""
SWEEP = Path(__file__).parent / "quickstart.toml"

app = command(
    "python -m benchmarks.quickstart",
    "Measure the quickstart's search and the opponent, as complete commands.",
)


@app.default
def quickstart(
    *,
    repeats: Annotated[int, Parameter(help="Runs of each command, alternately.")] = 3,
    trials: Annotated[int, Parameter(help="Trials of the search.")] = 30,
    precision: Annotated[
        tuple[str, ...], Parameter(consume_multiple=True, help="Precisions besides float32.")
    ] = (),
    against: Annotated[
        Path | None, Parameter(help="Another checkout, whose epochs are timed as well.")
    ] = None,
    saved: Annotated[
        Path | None, Parameter(help="A file that keeps what is measured, to go on after a stop.")
    ] = None,
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="A folder for the measured values.")
    ] = None,
) -> int:
    """Run all commands and print the table."""
    measured = precisions(["float32", *precision] if precision else [])
    rounds = earlier(saved)
    for k in range(repeats):
        for each in measured:
            if sum(done.precision == each for done in rounds) <= k:
                tree = against if each == "float32" else None
                rounds.append(measure(trials, each, tree))
                keep(saved, rounds[-1])
    found = {each: [done for done in rounds if done.precision == each] for each in measured}
    write(
        f"a search of {trials} trials, complete commands", "quickstart", list(table(found)), output
    )
    return 0


@dataclass(frozen=True)
class Round:
    """What one round measured in one precision: seconds of complete commands, and of an epoch."""

    precision: str
    normsweep: float
    opponent: float
    epoch: float
    epoch_there: float | None
    """In the other checkout; None without one."""


def measure(trials: int, precision: str, against: Path | None) -> Round:
    """Run each command once, in a folder of its own."""
    with tempfile.TemporaryDirectory() as work:
        ours, records = search(Path(work), trials, precision)
        theirs = opponent(Path(work), [configuration(r) for r in records], precision)
    there = None
    if against is not None:
        with tempfile.TemporaryDirectory() as work:
            there = epoch_seconds(search(Path(work), trials, precision, against)[1])
    return Round(precision, ours, theirs, epoch_seconds(records), there)


def earlier(saved: Path | None) -> list[Round]:
    """The rounds that were measured before a stop."""
    if saved is None or not saved.exists():
        return []
    return [Round(**json.loads(line)) for line in saved.read_text().splitlines()]


def keep(saved: Path | None, done: Round) -> None:
    """Keep a round."""
    if saved is not None:
        with saved.open("a") as file:
            file.write(json.dumps(asdict(done)) + "\n")


def table(found: Mapping[str, Sequence[Round]]) -> Iterator[Row]:
    """The rows: seconds of both commands, their ratio, and epochs beside the other checkout's."""
    for each, rounds in found.items():
        for name in ("normsweep", "opponent"):
            values = tuple(getattr(done, name) for done in rounds)
            yield Row(f"{name}, {each}", Measure("s", values))
    for each, rounds in found.items():
        pairs = zip(rounds, found["float32"], strict=False)
        ratios = Measure("×", tuple(a.normsweep / b.opponent for a, b in pairs))
        what = f"normsweep in {each} relative to the opponent in float32"
        yield Row(what, ratios, Goal(GOALS[each]))
    both = [(d.epoch, d.epoch_there) for d in found["float32"] if d.epoch_there is not None]
    if both:
        yield from compared(*zip(*both, strict=True))


def compared(here: Sequence[float], there: Sequence[float]) -> list[Row]:
    """Milliseconds of an epoch here and in the other checkout, and their ratio."""
    ratios = Measure("×", tuple(a / b for a, b in zip(here, there, strict=True)))
    named = {"normsweep": here, "normsweep in the other checkout": there}
    return [
        *(
            Row(f"an epoch, {name}", Measure("ms", tuple(1000 * each for each in values)))
            for name, values in named.items()
        ),
        Row("an epoch, relative to the other checkout", ratios, Goal(AGAINST)),
    ]


def epoch_seconds(records: Sequence[TrialRecord]) -> float:
    """Mean seconds of an epoch, training and validation; reused ones are not counted again.

    The first epoch of each trial is left out: that of a worker's first trial includes the compilation.
    """
    results = [record.result for record in records if record.result is not None]
    return statistics.fmean(e.seconds for r in results for e in r.curve[max(1, r.reused) :])


def search(
    folder: Path, trials: int, precision: str, checkout: Path | None = None
) -> tuple[float, tuple[TrialRecord, ...]]:
    """Seconds of normsweep's search, and its trials."""
    from normsweep.store.storage import read_study

    options = [
        "--phase",
        "search",
        "--n-trials",
        str(trials),
        "--set",
        f"model.precision={precision}",
    ]
    took = seconds(folder, ["-m", "normsweep.study", str(SWEEP), *options], checkout)
    return took, read_study(f"sqlite:///{folder}/mlruns/optuna.db", "quickstart").trials


def opponent(folder: Path, planned: list[dict[str, object]], precision: str) -> float:
    """Seconds of the opponent with the same configurations."""
    import numpy as np

    from normsweep.parts import datasets

    data = datasets.load("digits")
    images = {"x_train": data.x_train, "x_test": data.x_test}
    labels = {"y_train": data.y_train, "y_test": data.y_test}
    np.savez(folder / "digits.npz", **images, **labels)
    (folder / "trials.json").write_text(json.dumps(planned))
    options = ["--trials", "trials.json", "--precision", precision, "--output", "given.json"]
    return seconds(folder, ["-m", "benchmarks.opponent", "digits.npz", *options])


def configuration(record: TrialRecord) -> dict[str, object]:
    """A trial's configuration for the opponent."""
    trial = record.trial
    return {
        "normalization": trial.normalization,
        "optimizer": trial.optimizer,
        "learning_rate": trial.learning_rate,
        "epochs": trial.epochs,
        "seed": trial.seed,
    }


if __name__ == "__main__":
    sys.exit(run(app))
