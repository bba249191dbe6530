"""Checks before the first trial: data, normalizations, network, a measured step."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from normsweep.errors import SweepError
from normsweep.parts import models, optimizers
from normsweep.parts.dataset import Dataset
from normsweep.sweep.trial import Trial
from normsweep.training.compiled_network import build_network, model_digest
from normsweep.training.engine import Engine
from normsweep.training.preprocessing import Front, fit_front, split
from normsweep.training.reproducibility import Device, machine, require, simulated_machine
from normsweep.training.synthetic_engine import synthetic_curve

__all__ = ["Findings", "Question", "network_digest", "network_problem", "survey"]

PROBE = 256


ROWS = 4


@dataclass(frozen=True)
class Question:
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
    """What the survey found."""

    same: dict[str, str]
    """Normalizations that do on this data what another one does: the other one's name."""
    machine: dict[str, str]
    parameters: int = 0
    """Trainable parameters of the network."""
    train_images: int = 0
    val_images: int = 0
    seconds_per_step: float = 0.0
    """Wall time of one training step, where it was measured."""


def survey(engine: Engine, question: Question) -> Findings:
    """Fit every normalization and build the network once, so that no trial meets a mistake first.

    Raises:
        UserError: a device that is not there, a normalization that refuses the data, a network
            that cannot be built for it.
    """
    trial = question.trials[0]
    dataset = Dataset.open(engine.data_root, trial.data.digest)
    parts = split(dataset, trial.data.validation_split, trial.seed)
    counts = {"train_images": len(parts.y_train), "val_images": len(parts.y_val)}
    if trial.model == models.SIMULATED:
        for example in question.trials:
            _try_curve(example)
        return Findings({}, simulated_machine(), **counts)
    require(question.device)
    fronts = {name: fit_front(name, parts.x_train) for name in question.normalizations}
    spread = np.linspace(0, len(parts.x_train) - 1, PROBE).astype(int)
    same = _same(fronts, parts.x_train[spread])
    differing = {str(sorted(t.model_options.items())): t for t in reversed(question.trials)}
    networks = [
        _built(example, dataset.input_shape, dataset.classes)
        for example in reversed(differing.values())
    ]
    for example in question.trials:
        _try_optimizer(example)
    seconds = _step_seconds(engine, trial) if question.measure else 0.0
    where = {**machine(), "model_digest": model_digest(networks[0])}
    return Findings(same, where, networks[0].count_params(), **counts, seconds_per_step=seconds)


def machine_with(engine: Engine, device: Device) -> Mapping[str, str]:
    """Where the trials will run.

    Raises:
        DeviceError: the device that was asked for is not there.
    """
    require(device)
    return machine()


def network_digest(engine: Engine, trial: Trial) -> str:
    """SHA-256 of the configuration of a trial's network, hexadecimal.

    Raises:
        SweepError: the network cannot be built, or has no configuration.
    """
    dataset = Dataset.open(engine.data_root, trial.data.digest)
    return model_digest(_built(trial, dataset.input_shape, dataset.classes))


def _same(fronts: dict[str, Front], probe: np.ndarray[Any, Any]) -> dict[str, str]:
    """Which fixed fronts give the outputs of an earlier one, up to rounding."""
    kept: dict[str, np.ndarray[Any, Any]] = {}
    same: dict[str, str] = {}
    for name, front in fronts.items():
        if not front.fixed:
            continue
        outputs = front.apply(probe)
        tolerance = 1e-5 * float(np.abs(outputs).max() or 1.0)
        twins = [
            k for k, other in kept.items() if np.allclose(outputs, other, rtol=0, atol=tolerance)
        ]
        if twins:
            same[name] = twins[0]
        else:
            kept[name] = outputs
    return same


def _try_optimizer(trial: Trial) -> None:
    try:
        optimizers.registry[trial.optimizer].function(
            trial.learning_rate, **trial.optimizer_options
        )
    except Exception as error:
        raise _refused("optimizer", trial.optimizer, trial.optimizer_options, "", error) from None


def _try_curve(trial: Trial) -> None:
    try:
        float(trial.model_options.get("seconds", 0))
        options = {**trial.model_options, "seconds": 0.0}  # checked, and not slept
        next(synthetic_curve(replace(trial, model_options=options), classes=2))
    except Exception as error:
        raise _refused("model", trial.model, trial.model_options, "", error) from None


def _built(trial: Trial, shape: tuple[int, ...], classes: int) -> Any:
    inputs = f" for inputs of {shape}"
    try:
        network = build_network(trial, shape, classes)
        wrong = network_problem(network, shape, classes)
    except Exception as error:
        raise _refused("model", trial.model, trial.model_options, inputs, error) from None
    if wrong:
        raise SweepError(f"model {trial.model}: received{inputs} {wrong}")
    return network


def _refused(
    kind: str, name: str, options: Mapping[str, Any], what: str, error: Exception
) -> SweepError:
    given = ", ".join(f"{key} = {value}" for key, value in options.items()) or "no options"
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return SweepError(f"{kind} {name}: cannot be built{what} with {given}: {reason}")


def _step_seconds(engine: Engine, trial: Trial) -> float:
    """Median wall time of a training step over up to ten steps, tracing left out."""
    inputs = engine.inputs(trial.data, trial.seed, trial.normalization)
    model = engine.core(trial, inputs).model
    x, y = (a[: trial.batch_size] for a in (inputs.split.x_train, inputs.split.y_train))
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
