"""A search of 30 trials compared with the opponent's: complete commands, the same configurations.

The sweep is the benchmark's own, `benchmarks/quickstart.toml`. `--against` also compares the time that
an epoch takes in another checkout, such as that of an earlier commit, with the same sweep file.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from benchmarks.commands import seconds
from benchmarks.measured import Goal, Measure, Row, write
from benchmarks.step import precisions
from normsweep.shell import run

if TYPE_CHECKING:
    from normsweep.sweep.study_record import TrialRecord

GOALS = {"float32": 1 / 3, "mixed_bfloat16": 1 / 3}
"""As fractions of the opponent's time in float32."""
AGAINST = 0.55
"""The goal for an epoch, as a fraction of that of the other checkout."""
SWEEP = Path(__file__).parent / "quickstart.toml"

app = App(
    name="python -m benchmarks.quickstart",
    help="Measure the quickstart's search and the opponent, as complete commands.",
    help_format="plaintext",
    help_formatter="plain",
    result_action="return_value",
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
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="A folder for the measured values.")
    ] = None,
) -> int:
    """Run all commands and print the table."""
    found: dict[tuple[str, str], list[float]] = {}
    epochs: dict[str, list[float]] = {"here": [], "there": []}
    measured = precisions(["float32", *precision] if precision else [])
    for _ in range(repeats):
        for each in measured:
            with tempfile.TemporaryDirectory() as work:
                ours, records = search(Path(work), trials, each)
                theirs = opponent(Path(work), [configuration(r) for r in records], each)
            found.setdefault(("normsweep", each), []).append(ours)
            found.setdefault(("opponent", each), []).append(theirs)
            if against is not None and each == "float32":
                with tempfile.TemporaryDirectory() as work:
                    _, before = search(Path(work), trials, each, against)
                epochs["here"].append(epoch_seconds(records))
                epochs["there"].append(epoch_seconds(before))
    rows = [
        Row(f"{name}, {each}", Measure("s", tuple(values)))
        for (name, each), values in found.items()
    ]
    for each in measured:
        pairs = zip(found["normsweep", each], found["opponent", "float32"], strict=True)
        ratios = Measure("×", tuple(a / b for a, b in pairs))
        what = f"normsweep in {each} relative to the opponent in float32"
        rows.append(Row(what, ratios, Goal(GOALS[each])))
    if against is not None:
        rows += compared(epochs["here"], epochs["there"])
    write(f"a search of {trials} trials, complete commands", "quickstart", rows, output)
    return 0


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
