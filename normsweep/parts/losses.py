"""Losses: functions of options that return a Keras loss, which a network is trained to make small.

The keyword-only arguments of the function are the options that `[arms]` and `[search.space]` can set. In a
classification the loss gets one-hot rows and probabilities, (batch, classes), or with a sigmoid head the
numbers 0 and 1 and the probability of class 1, (batch, 1); in a regression scaled targets and outputs,
(batch, outputs).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from normsweep.parts.registry import Registry
from normsweep.sweep.parameters import CLASSIFICATION, CROSSENTROPY, REGRESSION

__all__ = ["DEFAULT", "Head", "Loss", "head", "loss", "register", "registry"]

registry = Registry("loss")

Function = TypeVar("Function", bound=Callable[..., Any])
BOTH = (CLASSIFICATION, REGRESSION)
SIGMOID = "sigmoid"
DEFAULT: Mapping[str, str] = {CLASSIFICATION: CROSSENTROPY, REGRESSION: "mse"}
"""The loss of each task, unless another one is set."""
USUAL: Mapping[str, str] = {CLASSIFICATION: "softmax", REGRESSION: "linear"}
"""The activation of a head, unless the loss needs another one."""


@dataclass(frozen=True)
class Loss:
    """What a registered loss is for."""

    tasks: tuple[str, ...] = BOTH
    activation: Mapping[str, str] = field(default_factory=dict)
    """By task the activation of the head that it needs, if not softmax or linear."""
    range: tuple[float, float] = (-math.inf, math.inf)
    """The smallest and the largest target of a regression that it allows, after scaling."""


@dataclass(frozen=True)
class Head:
    """The last layer of a network: its units and its activation."""

    units: int
    activation: str

    @property
    def one_sigmoid(self) -> bool:
        """Whether it gives the probability of the second of two classes."""
        return self.activation == SIGMOID and self.units == 1


def register(
    name: str,
    *,
    tasks: tuple[str, ...] = BOTH,
    activation: Mapping[str, str] | None = None,
    range: tuple[float, float] = (-math.inf, math.inf),
) -> Callable[[Function], Function]:
    """Decorator that registers a function as the loss `name`; arguments as of `Loss`.

    Raises:
        ValueError: another function has this name.
    """

    def decorate(function: Function) -> Function:
        return registry.register(name, Loss(tasks, activation or {}, range))(function)

    return decorate


def loss(name: str) -> Loss:
    """What the registered loss of a name is for."""
    return registry[name].details


def head(name: str, classes: int, outputs: int) -> Head:
    """The head that a loss needs for so many classes, or for so many targets of a regression.

    Two classes have one sigmoid output if the loss is a binary one.
    """
    task = CLASSIFICATION if classes else REGRESSION
    activation = loss(name).activation.get(task, USUAL[task])
    units = 1 if classes and activation == SIGMOID else classes or outputs
    return Head(units, activation)


@register(CROSSENTROPY, tasks=(CLASSIFICATION,))
def categorical_crossentropy(*, label_smoothing: float = 0.0) -> Any:
    """−ln of the probability of the true class."""
    import keras

    return keras.losses.CategoricalCrossentropy(label_smoothing=label_smoothing)


@register("categorical_focal_crossentropy", tasks=(CLASSIFICATION,))
def categorical_focal_crossentropy(
    *, focal_gamma: float = 2.0, label_smoothing: float = 0.0
) -> Any:
    """The same with less weight on rows that are already right (Lin et al. 2017)."""
    import keras

    return keras.losses.CategoricalFocalCrossentropy(
        gamma=focal_gamma, label_smoothing=label_smoothing
    )


@register(
    "binary_crossentropy",
    activation={CLASSIFICATION: SIGMOID, REGRESSION: SIGMOID},
    range=(0, 1),
)
def binary_crossentropy(*, label_smoothing: float = 0.0) -> Any:
    """Cross-entropy of sigmoid outputs: of two classes, or of targets from 0 to 1."""
    import keras

    return keras.losses.BinaryCrossentropy(label_smoothing=label_smoothing)


@register("mse")
def mse() -> Any:
    """Mean squared error."""
    import keras

    return keras.losses.MeanSquaredError()


@register("mae")
def mae() -> Any:
    """Mean absolute error."""
    import keras

    return keras.losses.MeanAbsoluteError()


@register("huber")
def huber(*, huber_delta: float = 1.0) -> Any:
    """Squared error up to `huber_delta`, absolute error beyond it (Huber 1964)."""
    import keras

    return keras.losses.Huber(delta=huber_delta)


@register("log_cosh")
def log_cosh() -> Any:
    """ln cosh of the error."""
    import keras

    return keras.losses.LogCosh()


@register("msle", tasks=(REGRESSION,), range=(0, math.inf))
def msle() -> Any:
    """Squared error of ln(1 + y)."""
    import keras

    return keras.losses.MeanSquaredLogarithmicError()


@register("mape", tasks=(REGRESSION,))
def mape() -> Any:
    """Absolute error in percent of the target."""
    import keras

    return keras.losses.MeanAbsolutePercentageError()


@register("poisson", tasks=(REGRESSION,), activation={REGRESSION: "softplus"}, range=(0, math.inf))
def poisson() -> Any:
    """Poisson loss of counts, up to a constant −ln of their probability."""
    import keras

    return keras.losses.Poisson()
