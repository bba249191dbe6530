"""Measure how scores on the digits depend on normalization, optimizer, learning rate, seed and epoch.

LeNet is trained on raw and on divided pixels, at 13 learning rates with SGD and Adam, for 12 epochs with
six seeds. `benchmarks/tuning.py` simulates searches on the result, `benchmarks/digits_surface.json`.

    nice -n 10 python -m benchmarks.measure_surface

It takes about 10 minutes on one core, and continues if it was interrupted.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from cyclopts import Parameter
from numpy.typing import NDArray

from benchmarks.trials import lenet_trial, saved
from normsweep.shell import command, run
from normsweep.sweep.trial import CONFIRM

if TYPE_CHECKING:
    from normsweep.sweep.trial import Result, Trial

__all__ = ["ARMS", "EPOCHS", "OPTIMIZERS", "RATES", "SEEDS", "Measured", "read_surface"]

ARMS, OPTIMIZERS, SEEDS, EPOCHS = ("none", "unit"), ("sgd", "adam"), 6, 12
RATES = tuple(float(f"{10 ** (-4 + step / 4):.4g}") for step in range(13))
SAVED = Path(__file__).with_name("digits_surface.json")
app = command(
    "python -m benchmarks.measure_surface",
    "Train LeNet on the digits at many learning rates, and save the scores.",
)


@dataclass(frozen=True)
class Measured:
    """Scores of one arm and optimizer, (rates, seeds, epochs): validation and test accuracy as fractions.

    `loss` is the validation loss. After a divergence, accuracies are those of guessing and the loss is infinite.
    """

    validation: NDArray[np.float64]
    loss: NDArray[np.float64]
    test: NDArray[np.float64]


def read_surface(path: Path = SAVED) -> dict[tuple[str, str], Measured]:
    """The saved surface, by arm and optimizer."""
    rows = json.loads(path.read_text())["trainings"]
    found = {}
    for arm, optimizer in product(ARMS, OPTIMIZERS):
        curves = [
            [_filled(rows[_key(arm, optimizer, rate, seed)]) for seed in range(SEEDS)]
            for rate in RATES
        ]
        found[arm, optimizer] = Measured(*np.moveaxis(np.array(curves), 2, 0))
    return found


def _filled(rows: list[list[float]]) -> NDArray[np.float64]:
    """Validation accuracy, validation loss and test accuracy (3, epochs); guessing after a divergence."""
    curve = np.array([[0.1] * EPOCHS, [np.inf] * EPOCHS, [0.1] * EPOCHS])
    for row, values in zip(curve, rows, strict=True):
        row[: len(values)] = values
    return curve


@app.default
def surface(
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"], help="The file.")] = SAVED,
) -> int:
    """Train what is not in the file yet."""
    from normsweep.training.reproducibility import environment

    os.environ.update(environment("cpu", 1))
    done: dict[str, list[list[float]]] = {}
    if output.exists():
        done = json.loads(output.read_text())["trainings"]
    with tempfile.TemporaryDirectory() as work:
        for key, curve in _trainings(Path(work), done.keys()):
            done[key] = curve
            _write(output, done)
    return 0


def _trainings(work: Path, done: object) -> Iterator[tuple[str, list[list[float]]]]:
    from normsweep.parts import datasets
    from normsweep.training.keras_engine import KerasEngine

    data, engine = saved(datasets.load("digits"), work), KerasEngine(work)
    for seed, arm, optimizer, rate in product(range(SEEDS), ARMS, OPTIMIZERS, RATES):
        key = _key(arm, optimizer, rate, seed)
        if key in done:  # type: ignore[operator]
            continue
        trial = lenet_trial(data, EPOCHS, seed=seed, learning_rate=rate)
        trial = replace(trial, arm=arm, normalization=arm, optimizer=optimizer, phase=CONFIRM)
        yield key, _curve(_trained(engine, trial))


def _trained(engine: object, trial: Trial) -> Result:
    training = engine.train(trial)  # type: ignore[attr-defined]
    while True:
        try:
            next(training)
        except StopIteration as end:
            return end.value.result


def _curve(result: Result) -> list[list[float]]:
    """Validation accuracy, validation loss, test accuracy by epoch, as far as they are finite."""
    epochs = [e for e in result.curve if e.finite and e.tested is not None]
    return [
        [round(e.val_accuracy, 5) for e in epochs],
        [float(f"{e.val_loss:.4g}") for e in epochs],
        [round(e.tested.value, 5) for e in epochs if e.tested],
    ]


def _key(arm: str, optimizer: str, rate: float, seed: int) -> str:
    return f"{arm} {optimizer} {rate} {seed}"


def _write(path: Path, done: dict[str, list[list[float]]]) -> None:
    lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in done.items())
    temporary = path.with_suffix(".tmp")
    temporary.write_text(f'{{"trainings": {{\n{lines}\n}}}}\n')
    temporary.replace(path)


if __name__ == "__main__":
    sys.exit(run(app))
