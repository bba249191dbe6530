"""The gradient of the loss by layer, from one step of plain gradient descent, on every backend."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from normsweep.sweep.parameters import CONSTANT
from normsweep.sweep.trial import Trial

__all__ = ["gradients", "leaves", "probing"]

Array = np.ndarray[Any, Any]

STEP = 2.0**16
"""Learning rate of the step that measures the gradient: large, so that rounding is negligible."""


def probing(trial: Trial) -> Trial:
    """The trial with the optimizer of which one step changes the weights by the gradient times `STEP`.

    Always in float32: with loss scaling a step whose gradients overflow is skipped.
    """
    return replace(
        trial,
        optimizer="sgd",
        optimizer_options={},
        learning_rate=STEP,
        precision="float32",
        input_rate=1.0,
        clip=None,
        schedule=CONSTANT,
        schedule_options={},
    )


def gradients(
    probe: Any, images: Array, labels: Array
) -> tuple[float, tuple[tuple[str, float], ...]]:
    """The loss, and the gradient's norm by layer, first layer first; changes the weights of the probe.

    `probe` is the compiled model of a trial as of `probing`.
    """
    layers = [layer for layer in leaves(probe) if layer.trainable_variables]
    before = [[np.array(weight) for weight in layer.trainable_variables] for layer in layers]
    loss = float(probe.train_on_batch(images, labels, return_dict=True)["loss"])
    norms = []
    for layer, weights in zip(layers, before, strict=True):
        moved = (
            float(np.sum(np.square((np.array(after) - weight).astype(np.float64))))
            for after, weight in zip(layer.trainable_variables, weights, strict=True)
        )
        norms.append((layer.name, math.sqrt(sum(moved)) / STEP))
    return loss, _renumbered(norms)


def leaves(model: Any) -> Iterator[Any]:
    """The layers in the order of the network, including those of nested networks."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from leaves(layer)
        else:
            yield layer


def _renumbered(norms: list[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    """Layers renumbered from 1 within the network: Keras numbers them per process."""
    kinds = [name.rstrip("0123456789").rstrip("_") for name, _ in norms]
    return tuple(
        (f"{kind}_{kinds[: i + 1].count(kind)}", norm)
        for i, (kind, (_, norm)) in enumerate(zip(kinds, norms, strict=True))
    )
