"""One compiled model per architecture and optimizer, reset between trials.

A fresh model for every trial would cost a second of tracing and about 10 MB that are never
given back; a model that is put back to its first state gives the same bits as a fresh one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from normsweep.parts import models, optimizers
from normsweep.sweep.trial import Trial
from normsweep.training.preprocessing import Inputs, fit_preprocessing
from normsweep.training.reproducibility import config_digest, gpus, precision, seeded

__all__ = [
    "CompiledModel",
    "assemble",
    "build_network",
    "compile_key",
    "compile_model",
    "initial_weights",
    "model_digest",
]

Weights = tuple[np.ndarray[Any, Any], ...]


@dataclass(frozen=True)
class CompiledModel:
    """A Keras model, compiled, and the optimizer's variables as they were just built."""

    model: Any
    blank_optimizer: Weights
    digest: str
    """SHA-256 of the model's configuration, hexadecimal."""
    optimizer_digest: str
    """The same of the optimizer's, without what a reset sets."""

    def reset(self, weights: Weights, learning_rate: float, settings: Mapping[str, float]) -> None:
        """As if built anew: given initial weights, a blank optimizer, its learning rate and settings."""
        for variable, value in zip(self.model.variables, weights, strict=True):
            variable.assign(value)
        for variable, value in zip(
            self.model.optimizer.variables, self.blank_optimizer, strict=True
        ):
            variable.assign(value)
        self.model.optimizer.learning_rate = learning_rate
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        for name, value in settings.items():
            getattr(optimizer, f"{name}_setting").assign(value)


def compile_key(trial: Trial, inputs: Inputs) -> tuple[object, ...]:
    """What trials must share, beside the shape of their images, to share a compiled model.

    Preprocessing that learns is a part of it, with what it was fitted to: the seed's training split.
    """
    settings = optimizers.settings(trial.optimizer, trial.optimizer_options)
    options = {k: v for k, v in trial.optimizer_options.items() if k not in settings}
    split = (trial.data, trial.seed) if not inputs.preprocessing.fixed else ()
    return (
        trial.model,
        json.dumps(dict(trial.model_options), sort_keys=True),
        trial.optimizer,
        json.dumps(options, sort_keys=True),
        tuple(settings),
        trial.precision,
        "" if inputs.preprocessing.fixed else inputs.normalization,
        *split,
    )


def compile_model(trial: Trial, inputs: Inputs) -> CompiledModel:
    """Build and compile the network of a trial; preprocessing that learns becomes a part of it."""
    model = assemble(trial, inputs)
    optimizer = optimizers.registry[trial.optimizer].function(
        trial.learning_rate, **trial.optimizer_options
    )
    # Keras's own choice would be XLA, which is about twice as slow as plain graphs on a CPU.
    model.compile(
        optimizer=optimizer,
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile="auto" if _compiles_well() else False,
    )
    # In float16 Keras has put the optimizer into one that scales the loss.
    model.optimizer.build(model.trainable_variables)
    blank = tuple(np.array(variable) for variable in model.optimizer.variables)
    return CompiledModel(model, blank, model_digest(model), _optimizer_digest(trial, optimizer))


def initial_weights(trial: Trial, inputs: Inputs) -> Weights:
    """The weights (and seed states) that the trial's seed gives a model that is just built."""
    with seeded(trial.seed):
        model = assemble(trial, inputs)
    return tuple(np.array(variable) for variable in model.variables)


def model_digest(model: Any) -> str:
    """SHA-256 of a model's configuration, the names of its layers counted from 0, hexadecimal."""
    return config_digest(model.get_config())


def build_network(trial: Trial, shape: tuple[int, ...], classes: int) -> Any:
    """The network of a trial, not compiled, in the trial's precision."""
    function = models.registry[trial.model].function
    with precision(trial.precision):
        return function(shape, classes, **trial.model_options)


def assemble(trial: Trial, inputs: Inputs) -> Any:
    """The network of a trial, not compiled, behind its preprocessing where that learns."""
    import keras

    network = build_network(trial, inputs.shape, inputs.classes)
    if inputs.preprocessing.fixed:
        return network
    preprocessing = fit_preprocessing(trial.normalization, inputs.split.x_train)
    raw = keras.Input(inputs.shape, dtype=inputs.dtype)
    with precision(trial.precision):  # Keras scales the loss by the policy of the whole
        return keras.Model(raw, network(preprocessing.attach(raw)))


def _optimizer_digest(trial: Trial, optimizer: Any) -> str:
    settings = optimizers.settings(trial.optimizer, trial.optimizer_options)
    left_out = {"learning_rate", *settings}
    kept = {k: v for k, v in optimizer.get_config().items() if k not in left_out}
    return config_digest({"class": type(optimizer).__name__, **kept})


def _compiles_well() -> bool:
    import keras

    return keras.backend.backend() == "jax" or bool(gpus())
