"""The compute of a verdict on more epochs, compared with one training per number of epochs.

`sweeps/mnist_epochs.toml` compares epochs 1 to 20 of each normalization on every seed. The number of epochs
that both ways train is counted; the time of an epoch is measured, alternately, in one process, with MNIST's
proportions of training, validation and (for normsweep's confirmation) test images. A small version of the
same question, with fewer images, epochs and seeds, is then run completely by both commands, and their
accuracies after each number of epochs are compared. Initial weights and batches differ, so the accuracies
agree no better than those of two seeds, which are reported as well.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from benchmarks.commands import seconds
from benchmarks.measured import Goal, Measure, Row, write
from benchmarks.step import step_seconds
from benchmarks.trials import threads
from normsweep.shell import command, run

GOAL = Goal(1 / 8)
IMAGES = 6144
"""Training images of a measured epoch; MNIST's proportions are 48,000 : 12,000 : 10,000."""
Curves = Mapping[tuple[str, int], list[float]]
"""Validation accuracies of all seeds, by normalization and number of epochs."""

app = command(
    "python -m benchmarks.verdict",
    "Measure the compute of a verdict on more epochs, compared with the opponent.",
)


@app.default
def verdict(
    *,
    images: Annotated[int, Parameter(help="Images of the small version.")] = 2000,
    epochs: Annotated[int, Parameter(help="Longest training of the small version.")] = 6,
    seeds: Annotated[int, Parameter(help="Seeds of the small version.")] = 2,
    repeats: Annotated[int, Parameter(help="Measured epochs of each, alternately.")] = 5,
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="A folder for the measured values.")
    ] = None,
) -> int:
    """Run all measurements and print the table."""
    from normsweep.parts.catalog import catalog
    from normsweep.sweep.loading import load_sweep
    from normsweep.training.reproducibility import environment

    sweep = load_sweep("mnist_epochs", catalog())
    schemes, budgets = len(sweep.arms), range(1, sweep.longest + 1)
    theirs = schemes * sweep.confirm.seeds.most * sum(budgets)
    ours = epochs_of("mnist_epochs") + schemes  # the diagnosis trains one epoch per arm
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        small, own = _ours(folder, images, epochs, seeds)
        opponent, given = _theirs(folder, images, epochs, seeds)
    os.environ.update(environment("cpu", threads()))
    step = step_seconds(["float32"], IMAGES, repeats, validation=IMAGES // 4, test=IMAGES * 5 // 24)
    pairs = zip(step["normsweep", "float32"], step["fit", "float32"], strict=True)
    ratios = tuple(ours * a / (theirs * b) for a, b in pairs)
    apart = [abs(_mean(own[place]) - _mean(given[place])) for place in own]
    spread = [max(values) - min(values) for values in [*own.values(), *given.values()]]
    rows = [
        Row("epochs to train, opponent", Measure("epochs", (theirs,))),
        Row(
            "epochs to train, normsweep: search, confirmation, diagnosis",
            Measure("epochs", (ours,)),
        ),
        Row("compute, normsweep relative to the opponent", Measure("×", ratios), GOAL),
        Row(f"small version ({epochs} epochs), opponent", Measure("s", (opponent,))),
        Row(f"small version ({epochs} epochs), normsweep", Measure("s", (small,))),
        Row("small version, normsweep relative to the opponent", Measure("×", (small / opponent,))),
        Row(
            "small version, difference in accuracy between the commands", Measure("", tuple(apart))
        ),
        Row("small version, difference in accuracy between seeds", Measure("", tuple(spread))),
    ]
    write("compute for the verdict of mnist_epochs", "verdict", rows, output)
    return 0


def epochs_of(name: str) -> int:
    """Epochs that a sweep with one configuration trains, in its search and its confirmation."""
    from normsweep.parts.catalog import catalog
    from normsweep.search.confirm_phase import planned
    from normsweep.search.selection import chosen_configurations
    from normsweep.sweep.loading import load_sweep
    from normsweep.sweep.trial import DataKey

    sweep = load_sweep(name, catalog())
    chosen = chosen_configurations(sweep, [])
    slots = range(sweep.confirm.seeds.most)
    confirmed = planned(sweep, DataKey("mnist", "", 0.2), chosen, slots)
    return sweep.total_trials * sweep.longest + sum(trial.epochs for trial in confirmed)


def _ours(folder: Path, images: int, epochs: int, seeds: int) -> tuple[float, Curves]:
    """Seconds of normsweep's command, and the confirmation's accuracies by epoch."""
    from normsweep.store.storage import read_study
    from normsweep.sweep.trial import CONFIRM

    settings = {
        "data.train_size": images,
        "search.space.epochs": epochs,
        "confirm.seeds": seeds,
        "confirm.epochs": epochs,
    }
    sets = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    took = seconds(folder, ["-m", "normsweep.study", "mnist_epochs", *sets])
    records = read_study(f"sqlite:///{folder}/mlruns/optuna.db", "mnist_epochs").trials
    curves: dict[tuple[str, int], list[float]] = {}
    for record in records:
        if record.trial.phase == CONFIRM and record.result is not None:
            for epoch in record.result.curve:
                place = record.trial.normalization, epoch.epoch
                curves.setdefault(place, []).append(epoch.val_accuracy)
    return took, curves


def _theirs(folder: Path, images: int, epochs: int, seeds: int) -> tuple[float, Curves]:
    """Seconds of the opponent's command, with one training per normalization, number of epochs and seed."""
    import numpy as np

    from normsweep.parts import datasets

    source = os.environ.get("NORMSWEEP_DATA")
    data = datasets.load("mnist", Path(source) if source else None).subset(images, 0)
    x, y = {"x_train": data.x_train}, {"y_train": data.y_train}
    np.savez(folder / "small.npz", **x, **y)
    fixed = {"optimizer": "adam", "learning_rate": 0.001}
    planned = [
        {**fixed, "normalization": scheme, "epochs": budget, "seed": seed}
        for seed in range(1, seeds + 1)
        for scheme in ("none", "unit")
        for budget in range(1, epochs + 1)
    ]
    (folder / "small.json").write_text(json.dumps(planned))
    options = ["--trials", "small.json", "--output", "given.json"]
    took = seconds(folder, ["-m", "benchmarks.opponent", "small.npz", *options])
    curves: dict[tuple[str, int], list[float]] = {}
    for given in json.loads((folder / "given.json").read_text()):
        place = given["normalization"], given["epochs"]
        curves.setdefault(place, []).append(given["val_accuracy"])
    return took, curves


def _mean(values: list[float]) -> float:
    return statistics.fmean(values)


if __name__ == "__main__":
    sys.exit(run(app))
