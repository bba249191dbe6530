"""Diagnosis of an arm: its inputs, and its network before and after the first epoch.

The input statistics (mean, scale, condition number of the covariance) follow LeCun, Bottou, Orr and
Müller, "Efficient BackProp" (1998).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from normsweep.sweep.parameters import CONSTANT
from normsweep.sweep.study_record import Diagnosis, Stage
from normsweep.sweep.trial import Trial
from normsweep.training.keras_engine import KerasEngine
from normsweep.training.preprocessing import Inputs
from normsweep.training.snapshot import CheckpointPolicy, ModelState

__all__ = ["diagnose"]

Array = np.ndarray[Any, Any]

IMAGES = 2048
"""Number of training images of a diagnosis, the same ones for every arm."""

STEP = 2.0**16
"""Learning rate of the step that measures the gradient: large, so that rounding is negligible."""


def diagnose(engine: KerasEngine, trial: Trial) -> Diagnosis:
    """Diagnose an arm on 2,048 images of its training split.

    Runs in a worker. One epoch is trained, whatever the trial's number of epochs.
    """
    inputs = engine.inputs_of(trial)
    # One step of plain gradient descent changes the weights by the gradient, on every backend.
    # Always in float32: with loss scaling a step whose gradients overflow is skipped.
    probing = replace(
        trial, optimizer="sgd", optimizer_options={}, learning_rate=STEP, precision="float32",
        input_rate=1.0, clip=None, schedule=CONSTANT, schedule_options={},
    )  # fmt: skip
    probe = engine.compiled(probing, inputs).model
    before = _stage(probe, ModelState.of(probe), inputs)
    finished = _one_epoch(engine, replace(trial, epochs=1))
    if finished is None:
        return Diagnosis(before, None)
    # If the arm's optimizer is plain SGD, the training used the same compiled model.
    probe = engine.compiled(probing, inputs).model
    return Diagnosis(
        before, _stage(probe, ModelState(finished.model, ModelState.of(probe).optimizer), inputs)
    )


def _one_epoch(engine: KerasEngine, trial: Trial) -> ModelState | None:
    training = engine.train(trial, CheckpointPolicy.last())
    while True:
        try:
            next(training)
        except StopIteration as end:
            return end.value.state


def _stage(probe: Any, state: ModelState, inputs: Inputs) -> Stage:
    """Measure a network in the given state; restored in between, as measuring changes the probe."""
    images, labels = _images(inputs)
    state.restore(probe)
    fed, units = _forward(probe, images)
    state.restore(probe)
    loss, gradients = _step(probe, images, labels)
    return Stage(
        input_mean=float(np.mean(fed, dtype=np.float64)),
        input_std=float(np.std(fed, dtype=np.float64)),
        condition_number=_condition_number(fed),
        loss=loss,
        dead_relus=_dead(units),
        gradients=gradients,
    )


def _images(inputs: Inputs) -> tuple[Array, Array]:
    indices = np.unique(np.linspace(0, len(inputs.split.y_train) - 1, IMAGES).astype(int))
    return inputs.split.x_train[indices], inputs.split.y_train[indices]


def _step(probe: Any, images: Array, labels: Array) -> tuple[float, tuple[tuple[str, float], ...]]:
    """The loss, and the gradient's norm by layer, from the weight changes of one SGD step."""
    layers = [layer for layer in _leaves(probe) if layer.trainable_variables]
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


def _leaves(model: Any) -> Iterator[Any]:
    """The layers in the order of the network, including those of nested networks."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from _leaves(layer)
        else:
            yield layer


def _renumbered(norms: list[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    """Layers renumbered from 1 within the network: Keras numbers them per process."""
    kinds = [name.rstrip("0123456789").rstrip("_") for name, _ in norms]
    return tuple(
        (f"{kind}_{kinds[: i + 1].count(kind)}", norm)
        for i, (kind, (_, norm)) in enumerate(zip(kinds, norms, strict=True))
    )


def _forward(probe: Any, images: Array) -> tuple[Array, list[Array]]:
    """The network's inputs during training, and the outputs of its ReLUs, for the images."""
    import keras

    network = _network(probe)
    fed: list[Array] = []
    units: list[Array] = []
    with _recording([network], fed, before=True):
        _call(probe, images, training=True)
    with _recording([layer for layer in _leaves(network) if _is_relu(layer)], units):
        _call(network, keras.ops.convert_to_tensor(fed[0]), training=False)
    return fed[0], units


def _network(probe: Any) -> Any:
    """The network behind trainable preprocessing; without such preprocessing, the whole model."""
    import keras

    nested = [layer for layer in probe.layers if isinstance(layer, keras.Model)]
    return nested[-1] if len(nested) == 1 and probe.layers[-1] is nested[-1] else probe


def _is_relu(layer: Any) -> bool:
    import keras

    relu = isinstance(layer, keras.layers.ReLU)
    return relu or getattr(layer, "activation", None) is keras.activations.relu


def _call(model: Any, images: Any, *, training: bool) -> None:
    model(images, training=training)


@contextmanager
def _recording(layers: list[Any], recorded: list[Array], *, before: bool = False) -> Iterator[None]:
    """Record the layers' outputs, or with `before` their inputs, while the context is active."""
    import keras

    def recording(call: Any) -> Any:
        def wrapped(x: Any, *args: Any, **kwargs: Any) -> Any:
            result = call(x, *args, **kwargs)
            recorded.append(np.asarray(keras.ops.convert_to_numpy(x if before else result)))
            return result

        return wrapped

    originals = [layer.call for layer in layers]
    for layer, call in zip(layers, originals, strict=True):
        layer.call = recording(call)
    try:
        yield
    finally:
        for layer, call in zip(layers, originals, strict=True):
            layer.call = call


def _dead(outputs: list[Array]) -> float:
    """Fraction of units (channels, of a convolution) whose output is always zero."""
    dead = [np.all(o <= 0, axis=tuple(range(o.ndim - 1))) for o in outputs]
    return float(np.mean(np.concatenate(dead))) if dead else math.nan


def _condition_number(images: Array) -> float:
    """Condition number of the pixels' covariance, without eigenvalues that are zero up to rounding."""
    flat = images.reshape(len(images), -1).astype(np.float64)
    if not np.isfinite(flat).all():
        return math.nan
    # Both Gram matrices have the same nonzero eigenvalues; the smaller one is faster.
    centred = flat - flat.mean(axis=0)
    wide = centred.shape[1] > len(centred)
    eigenvalues = np.linalg.eigvalsh(centred @ centred.T if wide else centred.T @ centred)
    # Inputs are float32: smaller eigenvalues are rounding errors.
    kept = eigenvalues[eigenvalues > eigenvalues[-1] * np.finfo(np.float32).eps]
    return float(kept[-1] / kept[0]) if len(kept) else math.nan
