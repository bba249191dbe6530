"""Schedules: functions that return the factor on the learning rate at each step of a training.

A schedule takes the number of steps of an epoch and the keyword-only options that `[arms]` and
`[search.space]` can set, and returns an array of factors, one for each step from the first; the last one
stays until the end of the training. It may take the number of epochs as a second argument, to return a
factor for each of their steps. If the factors of a shorter training are not the first ones of a longer one,
it is registered with `of_length=True`: no curve then holds a shorter training.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from normsweep.parts.registry import F, Registry
from normsweep.sweep.parameters import CONSTANT

__all__ = ["depends_on_length", "factors", "of_length", "register", "registry"]

registry = Registry("schedule")

Factors = np.ndarray[Any, Any]


def register(name: str, *, of_length: bool = False, unless: str | None = None) -> Callable[[F], F]:
    """Decorator that registers a schedule.

    Args:
        name: as in sweep files.
        of_length: whether the factors depend on the number of epochs.
        unless: the option with which they do not.
    """
    return registry.register(name, details=(unless or "") if of_length else None)


def of_length() -> dict[str, str]:
    """The schedules that depend on the number of epochs, each with the option with which it does not."""
    return {part.name: part.details for part in registry if part.details is not None}


def depends_on_length(schedule: str, options: Iterable[str]) -> bool:
    """Whether a schedule with these options depends on the number of epochs."""
    unless = registry[schedule].details
    return unless is not None and unless not in options


def factors(schedule: str, steps_per_epoch: int, epochs: int, options: dict[str, Any]) -> Factors:
    """What a schedule returns; one for each of the epochs' steps is filled up to a power of two.

    So trainings of many lengths share a few compiled models: the last factor stays in any case.
    """
    function = registry[schedule].function
    if not _takes_epochs(function):
        return np.asarray(function(steps_per_epoch, **options))
    made = np.asarray(function(steps_per_epoch, epochs, **options))
    if made.ndim != 1 or not made.size:
        return made
    return np.pad(made, (0, 2 ** math.ceil(math.log2(made.size)) - made.size), mode="edge")


def _takes_epochs(function: Callable[..., Any]) -> bool:
    kinds = [each.kind for each in inspect.signature(function).parameters.values()]
    return sum(kind is not inspect.Parameter.KEYWORD_ONLY for kind in kinds) > 1


@register(CONSTANT)
def constant(steps_per_epoch: int) -> Factors:
    """The learning rate as it is."""
    return np.ones(1)


@register("warmup")
def warmup(steps_per_epoch: int, *, warmup_epochs: float = 0.0, warmup_steps: int = 0) -> Factors:
    """Linear warm-up: 1/n, 2/n, … of the learning rate over n steps, given in steps or in epochs.

    Raises:
        ValueError: not exactly one of the two lengths is given, or it is negative.
    """
    if (warmup_epochs > 0) == (warmup_steps > 0) or min(warmup_epochs, warmup_steps) < 0:
        raise ValueError(
            "expected one of warmup_steps and warmup_epochs, above 0; "
            f"got warmup_steps = {warmup_steps}, warmup_epochs = {warmup_epochs}"
        )
    steps = max(warmup_steps, math.ceil(warmup_epochs * steps_per_epoch))
    return np.arange(1, steps + 1) / steps


@register("cosine", of_length=True, unless="decay_epochs")
def cosine(
    steps_per_epoch: int,
    epochs: int,
    *,
    alpha: float = 0.0,
    decay_epochs: float | None = None,
    warmup_epochs: float = 0.0,
    warmup_steps: int = 0,
) -> Factors:
    """Half a cosine from 1 to `alpha` over `decay_epochs`, by default to the end of the training.

    Reference: Loshchilov & Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, ICLR 2017;
    as `keras.optimizers.schedules.CosineDecay`.
    """
    rise, rest = _rise(steps_per_epoch, epochs, warmup_epochs, warmup_steps)
    _above_zero("decay_epochs", decay_epochs)
    length = max(rest, 1) if decay_epochs is None else decay_epochs * steps_per_epoch
    done = np.minimum(np.arange(rest) / length, 1)
    return np.append(rise, alpha + (1 - alpha) * 0.5 * (1 + np.cos(np.pi * done)))


@register("exponential")
def exponential(
    steps_per_epoch: int,
    epochs: int,
    *,
    decay_rate: float,
    decay_epochs: float = 1.0,
    warmup_epochs: float = 0.0,
    warmup_steps: int = 0,
) -> Factors:
    """Falls evenly, times `decay_rate` in every `decay_epochs`; as Keras's `ExponentialDecay`."""
    rise, rest = _rise(steps_per_epoch, epochs, warmup_epochs, warmup_steps)
    return np.append(rise, decay_rate ** _decays(rest, steps_per_epoch, decay_epochs))


@register("step")
def step(
    steps_per_epoch: int,
    epochs: int,
    *,
    decay_rate: float,
    decay_epochs: float = 1.0,
    warmup_epochs: float = 0.0,
    warmup_steps: int = 0,
) -> Factors:
    """Falls at once, times `decay_rate` after every `decay_epochs`; as `ExponentialDecay(staircase=True)`."""
    rise, rest = _rise(steps_per_epoch, epochs, warmup_epochs, warmup_steps)
    decays = np.floor(_decays(rest, steps_per_epoch, decay_epochs))
    return np.append(rise, decay_rate**decays)


def _rise(
    steps_per_epoch: int, epochs: int, warmup_epochs: float, warmup_steps: int
) -> tuple[Factors, int]:
    """The warm-up before another schedule, empty if there is none, and the steps that are left for that."""
    rise, total = np.zeros(0), epochs * steps_per_epoch
    if warmup_epochs or warmup_steps:
        rise = warmup(steps_per_epoch, warmup_epochs=warmup_epochs, warmup_steps=warmup_steps)
    return rise[:total], max(total - len(rise), 0)


def _decays(steps: int, steps_per_epoch: int, decay_epochs: float) -> Factors:
    """How many times a learning rate has fallen at each step."""
    _above_zero("decay_epochs", decay_epochs)
    return np.arange(steps) / (decay_epochs * steps_per_epoch)


def _above_zero(name: str, value: float | None) -> None:
    if value is not None and not value > 0:
        raise ValueError(f"{name} must be above 0, got {value}")
