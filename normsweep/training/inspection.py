"""A look into a network that ended no better than guessing: why it may be stuck."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from normsweep.sweep.inspection import INSPECTED, Inspection
from normsweep.sweep.trial import Trial
from normsweep.training.compiled_network import CompiledModel
from normsweep.training.curvature import layer_norms
from normsweep.training.precision import FLOAT32
from normsweep.training.preprocessing import Inputs
from normsweep.training.second_moment import leaves
from normsweep.training.snapshot import ModelState
from normsweep.training.targets import Targets, targets_of

__all__ = ["inspect"]

Array = np.ndarray[Any, Any]

SAME = 1e-5
"""Difference of two probabilities that counts as none; of larger outputs, relative to them."""
HALF = 0.5


def inspect(
    trial: Trial,
    inputs: Inputs,
    model: Any,
    compiled: Callable[[Trial, Inputs], CompiledModel],
    epochs: int,
) -> Inspection:
    """Measure the model, trained for so many epochs, on at most 512 validation images; changes its variables.

    `compiled` gives the compiled model of a trial.
    """
    targets = targets_of(trial, inputs)
    images, own = _sample(inputs.split.x_val, inputs.split.y_val)
    labels = targets.encoded(own)
    same = _same(np.asarray(model.predict_on_batch(images), np.float64))
    momentum, batch_accuracy = _momentum(model), None
    trained = ModelState.of(model)
    if momentum is not None and targets.classes:
        batch_accuracy = _batch_accuracy(model, images, own, targets, trial.batch_size)

    def gradient() -> float | None:
        probe = compiled(replace(trial, precision=FLOAT32), inputs)  # resets it
        trained.restore_network(probe.model)
        return _first_gradient(probe, images[same], labels[same])

    return Inspection(
        input_range=_range(images.astype(np.float64)),
        same_output=float(same.mean()),
        gradient=gradient() if same.mean() >= HALF else None,
        batch_accuracy=batch_accuracy,
        momentum=momentum,
        steps=inputs.split.steps_of(trial) * epochs,
    )


def _first_gradient(probe: CompiledModel, images: Array, labels: Array) -> float | None:
    """The gradient's norm in the first layer with weights; None if there is no other one, or it is not finite."""
    norms = layer_norms(probe.model, probe.curvature.slope(images, labels))
    _, first = norms[0]
    return first if len(norms) > 1 and math.isfinite(first) else None


def _sample(images: Array, labels: Array) -> tuple[Array, Array]:
    chosen = np.unique(np.linspace(0, len(labels) - 1, INSPECTED).astype(int))
    return images[chosen], labels[chosen]


def _range(values: Array) -> float:
    """The largest difference between two rows in any column."""
    return float(np.max(np.ptp(values, axis=0)))


def _same(outputs: Array) -> Array:
    """Which rows are equal to the median row, (n,) bool; those of one output, if they are most."""
    numbers = np.nan_to_num(outputs, nan=-1.0)  # of weights near the largest float
    middle = np.median(numbers, axis=0)
    return np.abs(numbers - middle).max(axis=1) < SAME * max(1.0, float(np.abs(middle).max()))


def _momentum(model: Any) -> float | None:
    """The largest momentum of a BatchNormalization; None if the model has none."""
    import keras

    found = (
        each.momentum for each in leaves(model) if isinstance(each, keras.layers.BatchNormalization)
    )
    return max(map(float, found), default=None)


def _batch_accuracy(
    model: Any, images: Array, labels: Array, targets: Targets, batch_size: int
) -> float:
    """Accuracy on whole batches in training mode: a smaller batch would have other statistics."""
    import keras

    size = min(batch_size, len(labels))
    order = np.random.default_rng(0).permutation(len(labels))
    batches = [order[i : i + size] for i in range(0, len(order) - size + 1, size)]
    outputs = [
        np.asarray(keras.ops.convert_to_numpy(model(images[b], training=True))) for b in batches
    ]
    right = [
        targets.decoded(o).argmax(axis=1) == labels[b]
        for o, b in zip(outputs, batches, strict=True)
    ]
    return float(np.mean(np.concatenate(right)))
