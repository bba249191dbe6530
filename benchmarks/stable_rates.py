"""Stable learning rates of plain gradient descent: predicted at the start, and found by training.

The prediction is 2/λ, with the largest eigenvalue λ of the Hessian of an untrained network. The network is then trained
with 2/λ times powers of two, in batches of 128; found is the largest rate with which the validation accuracy is at the end
at least half of the best of all rates, so neither diverged nor stuck.

Beside it stands the largest rate with which the first step of gradient descent, on the images of which λ is the
curvature, does not raise their loss: it needs no training, and holds also where the first steps leave the region.
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from cyclopts import Parameter

from benchmarks.trials import lenet_trial, saved, threads
from normsweep.shell import command, run

if TYPE_CHECKING:
    from normsweep.sweep.trial import Trial
    from normsweep.training.keras_engine import KerasEngine

SCHEMES = (
    "none", "unit", "symmetric", "center", "standardize", "pixel_standardize", "sample_standardize", "zca",
)  # fmt: skip
POWERS = range(-3, 7)
"""Of two: the rates that are tried, times the prediction."""
NEAR = 1.5
"""A first loss up to so many times that of guessing is near it."""
GOAL = 4.0
"""Factor within which the prediction should be, where the first loss is near that of guessing."""
SETUPS = {"digits": (None, 20), "mnist": (2500, 4)}
"""By dataset: training images, validation included (None: all), and epochs."""

app = command(
    "python -m benchmarks.stable_rates",
    "Compare predicted and found stable learning rates of SGD.",
)


@dataclass(frozen=True)
class Found:
    """A scheme: its first loss beside that of guessing, the predicted rate and the largest that trained."""

    scheme: str
    loss: float
    guess: float
    predicted: float
    first_step: float
    """The largest rate at which the first step on one batch does not raise its loss."""
    largest: float
    best: float
    """Validation accuracy, of all rates."""

    @property
    def ratio(self) -> float:
        """The rate that was found, divided by the predicted one."""
        return self.largest / self.predicted

    @property
    def near(self) -> bool:
        """Whether the first loss is near that of guessing."""
        return self.loss <= NEAR * self.guess

    @property
    def missed(self) -> bool:
        """Whether the prediction should be right and is not."""
        return self.near and not 1 / GOAL <= self.ratio <= GOAL


@app.default
def stable_rates(
    *,
    dataset: Annotated[
        tuple[str, ...], Parameter(consume_multiple=True, help="digits, mnist or both.")
    ] = tuple(SETUPS),
    data_dir: Annotated[
        Path | None, Parameter(env_var="NORMSWEEP_DATA", help="Folder with mnist.npz.")
    ] = None,
    model: Annotated[str, Parameter(help="The network.")] = "lenet",
    images: Annotated[int | None, Parameter(help="Another number of training images.")] = None,
    epochs: Annotated[int | None, Parameter(help="Another number of epochs.")] = None,
    seed: Annotated[int, Parameter(help="Of the split and the weights.")] = 0,
) -> int:
    """Train and print a table; 1 if a prediction that should be right is not."""
    from normsweep.training.reproducibility import environment

    os.environ.update(environment("cpu", threads()))
    print(
        "| data | scheme | first loss / ln(classes) | predicted 2/λ | first step / predicted | "
        "largest that trained | ratio | best |"
    )
    print("|---|---|---|---|---|---|---|---|")
    rows: list[Found] = []
    with tempfile.TemporaryDirectory() as work:
        for name in dataset:
            first, last = SETUPS[name]
            size = images or first, epochs or last
            for found in _found(name, model, size, data_dir, seed, Path(work)):
                rows.append(found)
                print(_line(name, found), flush=True)
    return int(any(found.missed for found in rows))


def _line(name: str, found: Found) -> str:
    cells = (
        name, found.scheme, f"{found.loss / found.guess:.2f}", f"{found.predicted:.2g}",
        f"{found.first_step / found.predicted:.2f}", f"{found.largest:.2g}", f"{found.ratio:.3g}", f"{found.best:.3f}",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _found(
    name: str,
    model: str,
    size: tuple[int | None, int],
    data_dir: Path | None,
    seed: int,
    work: Path,
) -> Iterator[Found]:
    """All schemes; `size`: training images and epochs."""
    from normsweep.parts import datasets
    from normsweep.training.keras_engine import KerasEngine

    images, epochs = size
    data = datasets.load(name, data_dir)
    data = data if images is None else data.subset(images, seed)
    trial = replace(lenet_trial(saved(data, work), epochs, seed=seed), model=model, optimizer="sgd")
    engine = KerasEngine(work)
    for scheme in SCHEMES:
        yield _of_scheme(engine, replace(trial, normalization=scheme), data.classes)


def _of_scheme(engine: KerasEngine, trial: Trial, classes: int) -> Found:
    from normsweep.training.diagnosis import diagnose_start

    trial = replace(trial, learning_rate=1e-9)
    begun = diagnose_start(engine, trial).initialization
    rates = [begun.stable_rate * 2.0**power for power in POWERS]
    scores = [_score(engine, replace(trial, learning_rate=rate)) for rate in rates]
    largest = _largest(rates, scores)
    return Found(
        trial.normalization, begun.loss, math.log(classes), begun.stable_rate,
        _first_step(engine, trial, begun.stable_rate), largest, max(scores),
    )  # fmt: skip


def _first_step(engine: KerasEngine, trial: Trial, predicted: float) -> float:
    """The largest rate, in steps of a tenth, at which one step on the images of the curvature does not raise their loss."""
    import keras

    from normsweep.training.diagnosis import CURVED

    inputs = engine.inputs_of(trial)
    compiled = engine.compiled(trial, inputs)
    images, labels = inputs.split.first(CURVED, trial.seed)
    variables = compiled.model.trainable_variables
    start = [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]
    slope = compiled.curvature.slope(images, labels)
    rate = predicted / 4
    while True:
        higher = rate * 1.1
        for variable, value, gradient in zip(variables, start, slope.gradients, strict=True):
            variable.assign(value - higher * gradient)
        loss = compiled.curvature.slope(images, labels).loss
        if not loss <= slope.loss:
            return rate
        rate = higher


def _largest(rates: Sequence[float], scores: Sequence[float]) -> float:
    """The largest rate that reached at least half of the best score."""
    return max(r for r, score in zip(rates, scores, strict=True) if score >= max(scores) / 2)


def _score(engine: KerasEngine, trial: Trial) -> float:
    """Validation accuracy after the last epoch, 0 if it diverged."""
    training = engine.train(trial)
    while True:
        try:
            next(training)
        except StopIteration as end:
            curve, status = end.value.result.curve, end.value.result.status
            return curve[-1].val_accuracy if status == "complete" else 0.0


if __name__ == "__main__":
    sys.exit(run(app))
