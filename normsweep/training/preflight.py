"""Checks before the first trial: normalizations, networks, optimizers, the time of a step."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from normsweep.errors import SweepError
from normsweep.parts import losses, optimizers
from normsweep.parts.dataset import Dataset
from normsweep.parts.losses import Head
from normsweep.sweep.parameters import MATCHED
from normsweep.sweep.trial import Trial
from normsweep.text import reason
from normsweep.training.compiled_epoch import Batches, EpochLoop
from normsweep.training.compiled_network import build_network, factors_of
from normsweep.training.end_kernels import first_kernel, last_kernel, require_scalable
from normsweep.training.own_steps import OwnSteps, with_own_steps
from normsweep.training.preprocessing import Inputs, Preprocessing, Split
from normsweep.training.reproducibility import Device
from normsweep.training.targets import targets_of

__all__ = [
    "Findings",
    "PreflightRequest",
    "build_error",
    "equivalents",
    "median_steps",
    "network_problem",
    "try_network",
    "try_networks",
    "try_optimizer",
    "try_targets",
    "without_information",
]

Array = np.ndarray[Any, Any]

COMPARED = 256
"""Number of images on which normalizations are compared."""

PART = 2048
"""Number of images that are normalized together."""

TIMED = 4
"""Number of training steps that are timed together."""

SOFTMAX = "softmax"
ROWS = 4
"""Number of random inputs on which a network's outputs are checked."""


@dataclass(frozen=True)
class PreflightRequest:
    """What to check: example trials, and the normalizations to compare."""

    trials: tuple[Trial, ...]
    """They cover each optimizer, and each option at both ends of its range."""
    normalizations: tuple[str, ...]
    """In order of preference: of two equivalent ones, the first is kept."""
    device: Device
    measure: bool = False
    """Whether to time a training step."""


@dataclass(frozen=True)
class Findings:
    """The results of a preflight."""

    same: dict[str, str]
    """By normalization the name of the one that it is equivalent to on this data, if any."""
    machine: dict[str, str]
    parameters: int = 0
    """Trainable parameters of the network."""
    train_images: int = 0
    val_images: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall time of one training step by precision, that of the trials first; empty if not measured."""
    automatic: str = ""
    """The precision that `auto` means on this machine."""
    empty: tuple[str, ...] = ()
    """Normalizations after which all training images are the same."""

    @property
    def seconds_per_step(self) -> float:
        """Wall time of one training step of the trials; 0 if it was not measured."""
        return next(iter(self.seconds.values()), 0.0)


def equivalents(fitted: Mapping[str, Preprocessing], images: Array) -> dict[str, str]:
    """By normalization the name of an earlier one with the same outputs up to rounding, if any.

    Args:
        fitted: preprocessing by normalization, in order of preference; only fixed ones are compared.
        images: raw training images (n, ...); a sample is compared.
    """
    probe = images[np.linspace(0, len(images) - 1, COMPARED).astype(int)]
    kept: dict[str, Array] = {}
    same: dict[str, str] = {}
    for name, preprocessing in fitted.items():
        if not preprocessing.fixed:
            continue
        outputs = preprocessing.apply(probe)
        tolerance = 1e-5 * float(np.abs(outputs).max() or 1.0)
        twins = (
            k for k, other in kept.items() if np.allclose(outputs, other, rtol=0, atol=tolerance)
        )
        if (twin := next(twins, None)) is not None:
            same[name] = twin
        else:
            kept[name] = outputs
    return same


def without_information(fitted: Mapping[str, Preprocessing], images: Array) -> tuple[str, ...]:
    """The fixed normalizations after which all images are the same up to rounding.

    Args:
        fitted: preprocessing by normalization.
        images: raw training images (n, ...).
    """
    return tuple(name for name, each in fitted.items() if each.fixed and _all_same(each, images))


def _all_same(preprocessing: Preprocessing, images: Array) -> bool:
    """Compares a few images first: as a rule they differ."""
    few = np.linspace(0, len(images) - 1, COMPARED).astype(int)
    first = preprocessing.apply(images[:1]).astype(np.float64)
    tolerance = 2 * float(np.finfo(np.float32).eps * np.abs(first).max())
    parts = (images[few], *(images[i : i + PART] for i in range(0, len(images), PART)))
    return all(np.abs(preprocessing.apply(part) - first).max() <= tolerance for part in parts)


def try_optimizer(trial: Trial, steps: int) -> None:
    """Build a trial's optimizer, and its schedule for so many steps an epoch.

    Raises:
        SweepError: one of them cannot be built.
    """
    try:
        optimizer = optimizers.registry[trial.optimizer].function(
            trial.learning_rate, **trial.optimizer_options
        )
        with_own_steps(optimizer, OwnSteps(clip=trial.clip), None)
    except Exception as error:
        raise build_error("optimizer", trial.optimizer, trial.optimizer_options, error) from None
    try:
        factors_of(trial, steps)
    except Exception as error:
        raise build_error("schedule", trial.schedule, trial.schedule_options, error) from None


def try_targets(trial: Trial, dataset: Dataset, parts: Split) -> None:
    """Build a trial's loss, and scale its targets of a split.

    Raises:
        UserError: the loss cannot be built, or does not allow the targets.
    """
    counts = tuple(dataset.counts.tolist())
    inputs = Inputs("", Preprocessing((), True), parts, counts, names=dataset.labels)
    targets = targets_of(trial, inputs)
    try:
        targets.function  # noqa: B018
    except Exception as error:
        raise build_error("loss", trial.loss, trial.loss_options, error) from None


def try_networks(trials: Sequence[Trial], dataset: Dataset) -> Any:
    """Build the networks of all trials, once per set of options; returns the first trial's.

    Raises:
        SweepError: a network cannot be built or is not valid.
    """
    networks: dict[str, Any] = {}
    for trial in trials:
        options = str(sorted(trial.model_options.items()))
        if options not in networks:
            networks[options] = try_network(trial, dataset)
        _try_kernels(trial, networks[options])
    return next(iter(networks.values()))


def _try_kernels(trial: Trial, network: Any) -> None:
    """Find the kernels that a trial's parameters change.

    Raises:
        SweepError: the network has no such kernel.
    """
    name = "input_weights" if trial.input_weights != 1 else "input_rate"
    try:
        if trial.input_weights != 1 or trial.input_rate != 1:
            kernel = first_kernel(network)
            name = "input_rate"
            if trial.input_rate == MATCHED:
                require_scalable(network, kernel)
        name = "output_weights"
        if trial.output_weights != 1:
            last_kernel(network)
    except ValueError as error:
        raise SweepError(f"{name}: cannot be set for the model {trial.model}: {error}") from None


def try_network(trial: Trial, dataset: Dataset) -> Any:
    """Build a trial's uncompiled network.

    Raises:
        SweepError: the network cannot be built or is not valid.
    """
    shape, head = dataset.input_shape, losses.head(trial.loss, dataset.classes, dataset.outputs)
    purpose = f" for inputs of {shape}"
    try:
        network = build_network(trial, shape, head)
        wrong = network_problem(network, shape, head)
    except Exception as error:
        raise build_error("model", trial.model, trial.model_options, error, purpose) from None
    if wrong:
        raise SweepError(f"model {trial.model}: built{purpose}: {wrong}")
    return network


def build_error(
    kind: str, name: str, options: Mapping[str, Any], error: Exception, purpose: str = ""
) -> SweepError:
    """The error that a component cannot be built with its options."""
    given = ", ".join(f"{key} = {value}" for key, value in options.items()) or "no options"
    why = reason(error, kind=True)
    return SweepError(f"{kind} {name}: cannot be built{purpose} with {given}: {why}")


def median_steps(loops: Mapping[str, EpochLoop], data: Split, batch_size: int) -> dict[str, float]:
    """Median wall time in seconds of a training step of each model, as epochs are run, after some for tracing.

    The models take up to ten turns, so that other work on the machine affects all of them.
    """
    rows = min(len(data.y_train) // batch_size, TIMED) * batch_size
    batches = {
        name: Batches(loop.images(data.x_train, data.y_train), np.arange(rows), batch_size)
        for name, loop in loops.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for name, loop in loops.items():
        loop.train(batches[name])
    began = time.perf_counter()
    while len(next(iter(seconds.values()))) < 10 and time.perf_counter() - began < 2.0 * len(loops):
        for name, loop in loops.items():
            started = time.perf_counter()
            steps = len(loop.train(batches[name]))
            seconds[name].append((time.perf_counter() - started) / steps)
    return {name: float(np.median(each)) for name, each in seconds.items()}


def network_problem(network: Any, shape: tuple[int, ...], head: Head) -> str:
    """Why a network is not valid for samples of a shape; empty if it is.

    Args:
        network: the return value of a model's function.
        shape: of one sample, without the batch axis.
        head: the outputs that it must have.
    """
    import keras

    if not isinstance(network, keras.Model):
        return f"expected an uncompiled keras.Model, got {type(network).__name__}"
    try:
        network.get_config()
    except NotImplementedError:
        return (
            "expected a Sequential or functional keras.Model, got "
            f"{type(network).__name__} without get_config"
        )
    if not network.built:
        return (
            "expected a network that begins with keras.Input(input_shape), got one without an input"
        )
    if tuple(network.input_shape) != (None, *shape):
        return f"expected inputs of shape {(None, *shape)}, got {network.input_shape}"
    if tuple(network.output_shape) != (None, head.units):
        per = "class" if head.activation == SOFTMAX else "target"
        each = "the probability of the second class" if head.one_sigmoid else f"one per {per}"
        return f"expected outputs of shape {(None, head.units)}, {each}, got {network.output_shape}"
    return _output_problem(network, shape, head)


def _output_problem(network: Any, shape: tuple[int, ...], head: Head) -> str:
    import keras

    probe = np.random.default_rng(0).random((ROWS, *shape), dtype=np.float32)
    outputs = np.asarray(keras.ops.convert_to_numpy(network(probe, training=False)), np.float64)
    sums_to_one = (outputs >= 0).all() and np.allclose(outputs.sum(axis=1), 1, atol=0.02)
    what = {
        SOFTMAX: "that are probabilities" if not sums_to_one else "",
        "sigmoid": "from 0 to 1" if sums_to_one or outputs.min() < 0 or outputs.max() > 1 else "",
        "softplus": "above 0" if sums_to_one or outputs.min() < 0 else "",
        "linear": "of any size" if sums_to_one else "",
    }.get(head.activation, "")
    if not what:
        return ""
    got = "a softmax" if sums_to_one else f"values like {outputs[0, 0]:.3g}"
    return (
        f'expected outputs {what}, got {got}; use activation="{head.activation}" in the last layer'
    )
