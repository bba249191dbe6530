"""One compiled model per architecture and optimizer, reset between trials.

A new model for every trial would cost a second of tracing and leak about 10 MB; a model that is
reset to its initial state gives the same results bit for bit.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from normsweep.parts import losses, models, optimizers, schedules
from normsweep.parts.losses import Head
from normsweep.sweep.parameters import BUILT, CONSTANT, DRAWN, MATCHED
from normsweep.sweep.trial import Trial
from normsweep.training.compiled_epoch import EpochLoop, OneByOne, Rows, epoch_loop
from normsweep.training.curvature import Curvature
from normsweep.training.end_kernels import first_kernel, last_kernel
from normsweep.training.own_steps import (
    RATE,
    RATIO,
    OwnSteps,
    schedule_setting,
    with_own_steps,
)
from normsweep.training.preprocessing import Inputs, fit_preprocessing
from normsweep.training.reproducibility import (
    arrays_digest,
    config_digest,
    precision,
    seeded,
    xla_is_faster,
)
from normsweep.training.snapshot import ModelState
from normsweep.training.targets import Targets, loss_key, targets_of

__all__ = [
    "CompiledModel",
    "Initial",
    "as_built",
    "assemble",
    "build_network",
    "build_optimizer",
    "compile_key",
    "compile_model",
    "factors_of",
    "frozen_weights",
    "initial_weights",
    "model_digest",
    "network_key",
    "schedule_factors",
]

Weights = tuple[np.ndarray[Any, Any], ...]


@dataclass(frozen=True)
class CompiledModel:
    """A compiled Keras model, and the initial values of its optimizer's variables."""

    model: Any
    initial_optimizer: Weights
    digest: str
    """SHA-256 of the model's configuration, hexadecimal."""
    optimizer_digest: str
    """SHA-256 of the optimizer's configuration at a learning rate of 1, without the options that `reset` sets."""
    images: Rows
    """What it takes."""
    network: Any
    """The part of the model behind its preprocessing; the model itself if that is applied beforehand."""
    targets: Targets
    """What it is trained to give; the scaling is that of the trial for which it was compiled."""
    sets_rate: bool
    """Whether `reset` sets the learning rate."""

    @functools.cached_property
    def first(self) -> int:
        """The index of the first layer's kernel among the model's variables."""
        return _index(first_kernel(self.network), self.model.variables)

    @functools.cached_property
    def last(self) -> int:
        """The index of the last layer's kernel among the model's variables."""
        return _index(last_kernel(self.network), self.model.variables)

    @functools.cached_property
    def _loop(self) -> EpochLoop:
        targets = self.targets
        labels = Rows(targets.shape, targets.dtype)
        return epoch_loop(self.model, self.images, labels, targets.measures)

    @functools.cached_property
    def curvature(self) -> Curvature:
        """Gradient and curvature of the loss, traced once for all diagnoses."""
        return Curvature(self.model, None if self.targets.plain else self.targets.function)

    def loop(self, size: int) -> EpochLoop:
        """How batches of `size` images are run: one by one if the network cannot be traced."""
        try:
            self._loop.trace(size)
        except Exception:  # what is wrong with the network is reported when its first batch is run
            return OneByOne(self.model, self.targets.measures)
        return self._loop

    def initial(self, weights: Weights, trial: Trial) -> Weights:
        """A trial's initial weights: those of its seed, with its factors on the first and last kernel."""
        scaled = list(weights)
        if trial.input_weights != 1:
            scaled[self.first] = scaled[self.first] * np.float32(trial.input_weights)
        if trial.output_weights != 1:
            scaled[self.last] = scaled[self.last] * np.float32(trial.output_weights)
        return tuple(scaled)

    def reset(self, weights: Weights, learning_rate: float, settings: Mapping[str, Any]) -> None:
        """Reset the model to the given weights, and its optimizer to its initial state and these options."""
        for variable, value in zip(self.model.variables, weights, strict=True):
            variable.assign(value)
        for variable, value in zip(
            self.model.optimizer.variables, self.initial_optimizer, strict=True
        ):
            variable.assign(value)
        if self.sets_rate:  # or else it is compiled for this learning rate
            self.model.optimizer.learning_rate = learning_rate
        for name, value in settings.items():
            self._setting(name).assign(value)

    def resume(self, state: ModelState, settings: Iterable[str]) -> None:
        """Continue from a snapshot's state, but with the trial's own settings.

        A schedule's factors are those of its epochs, of which the snapshot's trial may have had fewer.
        """
        state.restore(self.model, kept=map(self._setting, settings))

    def _setting(self, name: str) -> Any:
        """The variable of an option of the optimizer."""
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        return getattr(optimizer, f"{name}_setting")


def compile_key(trial: Trial, inputs: Inputs) -> tuple[object, ...]:
    """What trials must have in common to share a compiled model: the network and the optimizer."""
    settings = optimizers.settings(trial.optimizer, trial.optimizer_options)
    options = {k: v for k, v in trial.optimizer_options.items() if k not in settings}
    optimizer = trial.optimizer, json.dumps(options, sort_keys=True), tuple(settings)
    rate = None if sets_rate(trial) else trial.learning_rate
    return *network_key(trial, inputs), *optimizer, rate, own_steps(trial, inputs), *loss_key(trial)


def build_optimizer(trial: Trial, learning_rate: float | None = None) -> Any:
    """The optimizer of a trial, not built yet; with another learning rate if one is given."""
    rate = trial.learning_rate if learning_rate is None else learning_rate
    return optimizers.registry[trial.optimizer].function(rate, **trial.optimizer_options)


def sets_rate(trial: Trial) -> bool:
    """Whether the learning rate of a trial's optimizer can be set once that is built.

    A custom one may make more of it: a schedule, another learning rate, other options.
    """
    if not optimizers.registry[trial.optimizer].custom:
        return True
    own, other = (_optimizer_config(trial, rate) for rate in (trial.learning_rate, 1.0))
    return "learning_rate" not in own and config_digest(own) == config_digest(other)


def own_steps(trial: Trial, inputs: Inputs) -> OwnSteps:
    """What is special about a trial's steps."""
    kind = RATIO if trial.input_rate == MATCHED else RATE if trial.input_rate != 1 else ""
    # Also if all factors are 1: a longer trial that resumes from this one may have others.
    factors = 0 if trial.schedule == CONSTANT else len(schedule_factors(trial, inputs))
    return OwnSteps(kind, factors, trial.clip)


def schedule_factors(trial: Trial, inputs: Inputs) -> np.ndarray[Any, Any]:
    """The factor on the learning rate at each step of a trial, until it stays."""
    return factors_of(trial, inputs.split.steps_of(trial))


def factors_of(trial: Trial, steps_per_epoch: int) -> np.ndarray[Any, Any]:
    """The factors of a trial's schedule.

    Raises:
        ValueError: the schedule does not accept its options, or what it returns is no list of factors.
    """
    options = dict(trial.schedule_options)
    made = schedules.factors(trial.schedule, steps_per_epoch, trial.epochs, options)
    return schedule_setting(made)


def network_key(trial: Trial, inputs: Inputs) -> tuple[object, ...]:
    """What trials must have in common to share a network, and with the seed its initial weights.

    This includes trainable preprocessing as it was fitted to the seed's training split.
    """
    return (
        trial.model,
        json.dumps(dict(trial.model_options), sort_keys=True),
        inputs.shape,
        _head(trial, inputs),
        trial.precision,
        "" if inputs.preprocessing.fixed else inputs.preprocessing.digest,
    )


def compile_model(trial: Trial, inputs: Inputs) -> CompiledModel:
    """Build and compile the network of a trial, including its preprocessing if that is trainable."""
    model = assemble(trial, inputs)
    network = model if inputs.preprocessing.fixed else model.layers[-1]
    steps = own_steps(trial, inputs)
    kernel = _index(first_kernel(network), model.trainable_variables) if steps.kind else None
    optimizer = with_own_steps(build_optimizer(trial), steps, kernel)
    targets = targets_of(trial, inputs)
    # By default Keras would choose XLA, which is about twice as slow as plain graphs on a CPU.
    model.compile(
        optimizer=optimizer,
        loss=targets.function,
        metrics=list(targets.measures[1:]),
        jit_compile="auto" if xla_is_faster() else False,
    )
    # In float16 this is Keras's loss-scaling wrapper, not the optimizer itself.
    model.optimizer.build(model.trainable_variables)
    initial = tuple(np.array(variable) for variable in model.optimizer.variables)
    return CompiledModel(
        model,
        initial,
        model_digest(model),
        config_digest(_optimizer_config(trial, 1.0)),
        Rows(inputs.shape, inputs.dtype),
        network,
        targets,
        sets_rate(trial),
    )


def _head(trial: Trial, inputs: Inputs) -> Head:
    return losses.head(trial.loss, inputs.classes, inputs.outputs)


def _index(variable: Any, variables: Sequence[Any]) -> int:
    return next(i for i, each in enumerate(variables) if each is variable)


@dataclass(frozen=True)
class Initial:
    """The initial weights (and seed states) of a trial's model."""

    weights: Weights
    digest: str = ""
    """SHA-256 of those that the network was built with, hexadecimal; empty if all are drawn."""


def initial_weights(trial: Trial, inputs: Inputs) -> Initial:
    """The initial weights of a model built with the trial's seed, but for those that are not to be drawn."""
    with seeded(trial.seed):
        model = assemble(trial, inputs)
    weights = [np.array(variable) for variable in model.variables]
    if trial.initial == DRAWN:
        return Initial(tuple(weights))
    network = model if inputs.preprocessing.fixed else model.layers[-1]
    built = as_built(trial, inputs.shape, _head(trial, inputs))
    frozen, kept = frozen_weights(built), list[np.ndarray[Any, Any]]()
    for own, given in zip(network.weights, built.weights, strict=True):
        if trial.initial == BUILT or id(given) in frozen:
            kept.append(np.array(given))
            weights[_index(own, model.variables)] = kept[-1]
    return Initial(tuple(weights), arrays_digest(kept))


def as_built(trial: Trial, shape: tuple[int, ...], head: Head) -> Any:
    """The network with the weights that it is built with; those that its function draws are of seed 0."""
    function = models.registry[trial.model].function
    with seeded(0), precision(trial.precision):
        build = function.built if isinstance(function, models.Copies) else function
        return models.built(build, shape, head, trial.model_options)


def frozen_weights(network: Any) -> set[int]:
    """The ids of the weights of layers that are not trained."""
    frozen = (layer for layer in network._flatten_layers() if not layer.trainable)
    return {id(each) for layer in frozen for each in layer.weights}


def model_digest(model: Any) -> str:
    """SHA-256 of a model's configuration, its layers renumbered from 0, hexadecimal."""
    return config_digest(model.get_config())


def build_network(trial: Trial, shape: tuple[int, ...], head: Head) -> Any:
    """The uncompiled network of a trial, in the trial's precision."""
    function = models.registry[trial.model].function
    with precision(trial.precision):
        return models.built(function, shape, head, trial.model_options)


def assemble(trial: Trial, inputs: Inputs) -> Any:
    """The uncompiled network of a trial, preceded by its preprocessing if that is trainable."""
    import keras

    network = build_network(trial, inputs.shape, _head(trial, inputs))
    if inputs.preprocessing.fixed:
        return network
    preprocessing = fit_preprocessing(
        trial.normalization,
        inputs.split.x_train,
        trial.input_scale,
        trial.input_shift,
        inputs.facts,
    )
    raw = keras.Input(inputs.shape, dtype=inputs.dtype)
    with precision(trial.precision):  # loss scaling depends on the outer model's policy
        return keras.Model(raw, network(preprocessing.attach(raw)))


def _optimizer_config(trial: Trial, rate: float) -> dict[str, Any]:
    """The configuration of an optimizer with a learning rate, without that one and the options that `reset` sets."""
    optimizer = build_optimizer(trial, rate)
    excluded = {*optimizers.settings(trial.optimizer, trial.optimizer_options)}
    config = optimizer.get_config()
    if config.get("learning_rate") == np.float32(rate):
        excluded.add("learning_rate")
    return {
        "class": type(optimizer).__name__,
        **{k: v for k, v in config.items() if k not in excluded},
    }
