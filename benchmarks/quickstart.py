"""The quickstart's search compared with the opponent's: complete commands, the same configurations."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from benchmarks.commands import seconds
from benchmarks.measured import Goal, Measure, Row, write
from benchmarks.step import precisions
from normsweep.shell import run

if TYPE_CHECKING:
    from normsweep.sweep.study_record import TrialRecord

GOALS = {"float32": 1 / 1.5, "mixed_bfloat16": 1 / 2.5}
"""As fractions of the opponent's time in float32."""

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
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="A folder for the measured values.")
    ] = None,
) -> int:
    """Run all commands and print the table."""
    found: dict[tuple[str, str], list[float]] = {}
    measured = precisions(["float32", *precision] if precision else [])
    for _ in range(repeats):
        for each in measured:
            with tempfile.TemporaryDirectory() as work:
                ours, planned = search(Path(work), trials, each)
                theirs = opponent(Path(work), planned, each)
            found.setdefault(("normsweep", each), []).append(ours)
            found.setdefault(("opponent", each), []).append(theirs)
    rows = [
        Row(f"{name}, {each}", Measure("s", tuple(values)))
        for (name, each), values in found.items()
    ]
    for each in measured:
        pairs = zip(found["normsweep", each], found["opponent", "float32"], strict=True)
        ratios = Measure("×", tuple(a / b for a, b in pairs))
        what = f"normsweep in {each} relative to the opponent in float32"
        rows.append(Row(what, ratios, Goal(GOALS[each])))
    write(
        f"the quickstart's search, {trials} trials, complete commands", "quickstart", rows, output
    )
    return 0


def search(folder: Path, trials: int, precision: str) -> tuple[float, list[dict[str, object]]]:
    """Seconds of normsweep's search, and its configurations."""
    from normsweep.store.storage import read_study

    options = [
        "--phase",
        "search",
        "--n-trials",
        str(trials),
        "--set",
        f"model.precision={precision}",
    ]
    took = seconds(folder, ["-m", "normsweep.study", "quickstart", *options])
    records = read_study(f"sqlite:///{folder}/mlruns/optuna.db", "quickstart").trials
    return took, [configuration(record) for record in records]


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
