"""Checks before the first trial: normalizations, networks, optimizers, the time of a step."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from normsweep.errors import SweepError
from normsweep.parts import losses
from normsweep.parts.dataset import Dataset
from normsweep.parts.losses import Head
from normsweep.sweep.parameters import BUILT, CONSTANT, CROSSENTROPY, FROZEN, MATCHED
from normsweep.sweep.trial import Trial
from normsweep.text import reason
from normsweep.training.callbacks import build_callback
from normsweep.training.compiled_epoch import Batches, EpochLoop
from normsweep.training.compiled_network import (
    build_network,
    build_optimizer,
    factors_of,
    frozen_weights,
)
from normsweep.training.end_kernels import first_kernel, last_kernel, require_scalable
from normsweep.training.own_steps import OwnSteps, with_own_steps
from normsweep.training.preprocessing import Inputs, Preprocessing, Split
from normsweep.training.reproducibility import Device
from normsweep.training.targets import check_targets, targets_of

__all__ = [
    "Findings",
    "PreflightRequest",
    "build_error",
    "equivalents",
    "median_steps",
    "network_problem",
    "try_callback",
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

METHODS = ("train_step", "test_step", "predict_step", "compute_loss", "compute_metrics")
"""Methods of a model that its training calls."""
LOSSES = ("sparse_categorical_crossentropy", "categorical_crossentropy")
"""Losses that a model may be compiled with: for one class an image they are the same, and what is used."""

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
        # Columns of a table, or features of sequences, may be of very different sizes.
        columns = int(images.ndim < 4)
        largest = np.abs(outputs).max(axis=tuple(range(outputs.ndim - columns)))
        tolerance = 1e-5 * np.where(largest > 0, largest, 1.0)
        twins = (k for k, other in kept.items() if (np.abs(outputs - other) <= tolerance).all())
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
    tolerance = 2 * np.finfo(np.float32).eps * np.abs(first)
    parts = (images[few], *(images[i : i + PART] for i in range(0, len(images), PART)))
    return all((np.abs(preprocessing.apply(p) - first) <= tolerance).all() for p in parts)


def try_callback(trial: Trial) -> None:
    """Build a trial's callback.

    Raises:
        SweepError: it cannot be built.
    """
    try:
        build_callback(trial)
    except Exception as error:
        raise build_error("callback", trial.callback, trial.callback_options, error) from None


def try_optimizer(trial: Trial, steps: int) -> None:
    """Build a trial's optimizer, and its schedule for so many steps an epoch.

    Raises:
        SweepError: one of them cannot be built.
    """
    try:
        factors = factors_of(trial, steps)
        _require_prefix(trial, steps)
    except Exception as error:
        raise build_error("schedule", trial.schedule, trial.schedule_options, error) from None
    try:
        own = OwnSteps(factors=len(factors) if trial.schedule != CONSTANT else 0, clip=trial.clip)
        with_own_steps(build_optimizer(trial), own, None)
    except Exception as error:
        raise build_error("optimizer", trial.optimizer, trial.optimizer_options, error) from None


def _require_prefix(trial: Trial, steps: int) -> None:
    """A curve holds the shorter ones only if its first steps do not depend on the number of epochs."""
    half = max(trial.epochs // 2, 1)
    if trial.of_length or half == trial.epochs:
        return
    made = (factors_of(replace(trial, epochs=n), steps) for n in (half, trial.epochs))
    short, long = (np.take(each, np.arange(half * steps), mode="clip") for each in made)
    if not np.array_equal(short, long):
        raise ValueError(
            "its factors depend on the number of epochs; register it with of_length=True"
        )


def try_targets(trial: Trial, dataset: Dataset, parts: Split) -> None:
    """Build a trial's loss, and scale its targets of a split.

    Raises:
        UserError: the loss cannot be built, or does not allow the targets.
    """
    counts = tuple(dataset.counts.tolist())
    inputs = Inputs("", Preprocessing((), True), parts, counts, names=dataset.labels)
    targets = targets_of(trial, inputs)
    check_targets(trial, dataset.y_train)
    try:
        targets.function  # noqa: B018
    except Exception as error:
        raise build_error("loss", trial.loss, trial.loss_options, error) from None


def try_networks(trials: Sequence[Trial], dataset: Dataset, trained: Sequence[str] = ()) -> Any:
    """Build the networks of all trials, once per set of options; returns the first trial's.

    `trained`: the normalizations that are trained with the network.

    Raises:
        SweepError: a network cannot be built or is not valid.
    """
    networks: dict[str, Any] = {}
    for trial in trials:
        options = str(sorted(trial.model_options.items()))
        if options not in networks:
            networks[options] = try_network(trial, dataset)
            _try_own_methods(trial, networks[options], trained)
        _try_kernels(trial, networks[options])
        if trial.initial == FROZEN and not frozen_weights(networks[options]):
            raise SweepError(
                f'initial: "{FROZEN}" keeps the weights of layers with trainable = False, of which the model '
                f'{trial.model} has none; use "{BUILT}" to keep all weights'
            )
    return next(iter(networks.values()))


def _try_own_methods(trial: Trial, network: Any, trained: Sequence[str]) -> None:
    """A network that is trained behind a normalization is a part of a model, whose own methods are not called."""
    import keras

    own = [
        name for name in METHODS if getattr(type(network), name) is not getattr(keras.Model, name)
    ]
    if own and trained:
        raise SweepError(
            f"model {trial.model}: its own {own[0]} would not be called with the normalization {trained[0]}, which is "
            f"trained with the network; remove {trained[0]}, or put that layer into the network"
        )


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
        wrong = network_problem(network, shape, head, trial.loss)
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


def network_problem(
    network: Any, shape: tuple[int, ...], head: Head, loss: str = CROSSENTROPY
) -> str:
    """Why a network is not valid for samples of a shape; empty if it is.

    Args:
        network: the return value of a model's function.
        shape: of one sample, without the batch axis.
        head: the outputs that it must have.
        loss: the registered loss that it is trained with.
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
        begin = f"; begin the network with keras.Input({shape})"
        hint = ": images have an axis of channels" if network.input_shape[1:] == shape[:-1] else ""
        return f"expected inputs of shape {(None, *shape)}, got {network.input_shape}{begin}{hint}"
    if tuple(network.output_shape) != (None, head.units):
        per = "class" if head.activation == SOFTMAX else "target of the regression"
        each = "the probability of the second class" if head.one_sigmoid else f"one per {per}"
        return f"expected outputs of shape {(None, head.units)}, {each}, got {network.output_shape}"
    given: Any = network.get_compile_config() if network.compiled else None
    if ignored := _ignored(given or {}, loss):
        return (
            f"it is compiled with {ignored}, which would not be used: the loss is {loss}, and the "
            "optimizer and the metric are those of the sweep; name yours there, or return it without compile()"
        )
    return _output_problem(network, shape, head)


def _ignored(compiled: Mapping[str, Any], used: str) -> str:
    """What a model is compiled with besides the loss and the metric that are used anyway."""
    found = []
    same = LOSSES if used == CROSSENTROPY else (used, _function_name(used))
    if (loss := _named(compiled.get("loss"))) not in (*same, ""):
        found.append(f"the loss {loss}")
    metrics = compiled.get("metrics") or []
    metrics = metrics if isinstance(metrics, list | tuple) else [metrics]
    names = [_named(each) for each in metrics]
    others = [name for name in names if not name.endswith("accuracy") and name != "acc"]
    if others:
        found.append(f"the metrics {', '.join(others)}")
    found += [name for name in ("loss_weights", "weighted_metrics") if compiled.get(name)]
    return " and ".join(found)


def _function_name(loss: str) -> str:
    """Keras's full name for a short one, such as `mean_squared_error` for `mse`; of other losses, the name."""
    import keras

    try:
        return getattr(keras.losses.get(loss), "__name__", loss)
    except ValueError:
        return loss


def _named(given: Any) -> str:
    """The name of a loss or metric, as Keras serializes it: a string, or a class or function with its configuration."""
    if not isinstance(given, Mapping):
        return "" if given is None else str(given)
    config = given.get("config")
    if not isinstance(config, Mapping):
        return str(config)
    changed = config.get("from_logits") or config.get("label_smoothing")
    return str(config.get("name", given.get("class_name"))) + (" with options" if changed else "")


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
    use = f'use activation="{head.activation}" in the last layer'
    if sums_to_one and head.activation == "linear":
        use += "; the labels, which are not whole numbers, or data.task make this a regression"
    return f"expected outputs {what}, got {got}; {use}"
