"""Checks before the first trial: data, normalizations, network, a measured step."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from normsweep.errors import SweepError
from normsweep.parts import optimizers
from normsweep.parts.dataset import Dataset
from normsweep.sweep.trial import Trial
from normsweep.text import reason
from normsweep.training.compiled_network import build_network
from normsweep.training.preprocessing import Preprocessing, Split
from normsweep.training.reproducibility import Device

__all__ = [
    "Findings",
    "PreflightRequest",
    "equivalents",
    "median_step",
    "network_problem",
    "refused",
    "tried_network",
    "tried_networks",
    "try_optimizer",
]

Array = np.ndarray[Any, Any]

PROBE = 256
"""Images that normalizations are compared by."""
ROWS = 4
"""Images whose probabilities a network is asked for."""


@dataclass(frozen=True)
class PreflightRequest:
    """What to look at: a trial like those to come, and the normalizations to compare."""

    trials: tuple[Trial, ...]
    """Such that each optimizer and each option is there at both ends of its range."""
    normalizations: tuple[str, ...]
    """In order of preference: of two that do the same, the first is kept."""
    device: Device
    measure: bool = False
    """Whether to time a training step."""


@dataclass(frozen=True)
class Findings:
    """What came out."""

    same: dict[str, str]
    """Normalizations that do on this data what another one does: the other one's name."""
    machine: dict[str, str]
    parameters: int = 0
    """Trainable parameters of the network."""
    train_images: int = 0
    val_images: int = 0
    seconds_per_step: float = 0.0
    """Wall time of one training step, where it was measured."""


def equivalents(fitted: Mapping[str, Preprocessing], images: Array) -> dict[str, str]:
    """Which fixed preprocessing gives the outputs of an earlier one, up to rounding: the other's name.

    Args:
        fitted: by the normalization's name, in order of preference.
        images: raw training images (n, ...), of which some are compared.
    """
    probe = images[np.linspace(0, len(images) - 1, PROBE).astype(int)]
    kept: dict[str, Array] = {}
    same: dict[str, str] = {}
    for name, preprocessing in fitted.items():
        if not preprocessing.fixed:
            continue
        outputs = preprocessing.apply(probe)
        near = 1e-5 * float(np.abs(outputs).max() or 1.0)
        twins = (k for k, other in kept.items() if np.allclose(outputs, other, rtol=0, atol=near))
        if (twin := next(twins, None)) is not None:
            same[name] = twin
        else:
            kept[name] = outputs
    return same


def try_optimizer(trial: Trial) -> None:
    """Build a trial's optimizer.

    Raises:
        SweepError: it cannot be built.
    """
    try:
        optimizers.registry[trial.optimizer].function(
            trial.learning_rate, **trial.optimizer_options
        )
    except Exception as error:
        raise refused("optimizer", trial.optimizer, trial.optimizer_options, "", error) from None


def tried_networks(trials: Sequence[Trial], dataset: Dataset) -> Any:
    """Build the network of each trial whose options differ; the first trial's.

    Raises:
        SweepError: one cannot be built, or trained here.
    """
    differing = {str(sorted(t.model_options.items())): t for t in reversed(trials)}
    networks = [tried_network(trial, dataset) for trial in reversed(differing.values())]
    return networks[0]


def tried_network(trial: Trial, dataset: Dataset) -> Any:
    """A trial's network, not compiled.

    Raises:
        SweepError: it cannot be built, or trained here.
    """
    shape, classes = dataset.input_shape, dataset.classes
    inputs = f" for inputs of {shape}"
    try:
        network = build_network(trial, shape, classes)
        wrong = network_problem(network, shape, classes)
    except Exception as error:
        raise refused("model", trial.model, trial.model_options, inputs, error) from None
    if wrong:
        raise SweepError(f"model {trial.model}: received{inputs} {wrong}")
    return network


def refused(
    kind: str, name: str, options: Mapping[str, Any], what: str, error: Exception
) -> SweepError:
    """The mistake that a part cannot be built with its options."""
    given = ", ".join(f"{key} = {value}" for key, value in options.items()) or "no options"
    why = reason(error, kind=True)
    return SweepError(f"{kind} {name}: cannot be built{what} with {given}: {why}")


def median_step(model: Any, data: Split, batch_size: int) -> float:
    """Median wall time in seconds of a training step over up to ten steps, tracing left out."""
    x, y = data.x_train[:batch_size], data.y_train[:batch_size]
    model.train_on_batch(x, y)
    seconds: list[float] = []
    while len(seconds) < 10 and sum(seconds) < 2.0:
        started = time.perf_counter()
        model.train_on_batch(x, y)
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds))


def network_problem(network: Any, shape: tuple[int, ...], classes: int) -> str:
    """What is wrong with a network for samples of a shape, with what is legal; empty where nothing.

    Args:
        network: what a model's function returned.
        shape: of one sample, without the axis of the batch.
        classes: the number of classes.
    """
    import keras

    if not isinstance(network, keras.Model):
        return f"{type(network).__name__}; legal: a keras.Model, not compiled"
    try:
        network.get_config()
    except NotImplementedError:
        return (
            f"{type(network).__name__}, which has no get_config; legal: a Sequential or functional "
            "keras.Model"
        )
    if not network.built:
        return "a network without an input; legal: one that begins with keras.Input(input_shape)"
    if tuple(network.input_shape) != (None, *shape):
        return f"a network of inputs {network.input_shape}; legal: {(None, *shape)}"
    if tuple(network.output_shape) != (None, classes):
        return (
            f"a network of outputs {network.output_shape}; legal: {(None, classes)}, a class each"
        )
    return _no_probabilities(network, shape)


def _no_probabilities(network: Any, shape: tuple[int, ...]) -> str:
    import keras

    probe = np.random.default_rng(0).random((ROWS, *shape), dtype=np.float32)
    outputs = np.asarray(keras.ops.convert_to_numpy(network(probe, training=False)), np.float64)
    if (outputs >= 0).all() and np.allclose(outputs.sum(axis=1), 1, atol=0.02):
        return ""
    return (
        f"a network whose outputs are no probabilities ({outputs[0, 0]:.3g} is one of them); legal: a "
        'last layer with activation="softmax"'
    )
