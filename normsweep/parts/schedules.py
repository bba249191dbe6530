"""Schedules: functions that return the factor on the learning rate at each step of a training.

A schedule takes the number of steps of an epoch and the keyword-only options that `[arms]` and
`[search.space]` can set, and returns an array of factors, one for each step from the first; the last one
stays until the end of the training. What it returns must not depend on the number of epochs: a curve
then holds every shorter training.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from normsweep.parts.registry import Registry
from normsweep.sweep.parameters import CONSTANT

__all__ = ["register", "registry"]

registry = Registry("schedule")
register = registry.register

Factors = np.ndarray[Any, Any]


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
