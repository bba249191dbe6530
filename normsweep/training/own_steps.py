"""A Keras optimizer with a step of its own for one kernel, and with a schedule.

Keras has neither a learning rate by layer nor a schedule whose learning rate can be set between trials.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = [
    "FACTORS",
    "RATE",
    "RATIO",
    "OwnSteps",
    "has_schedule",
    "kernel_step",
    "schedule_setting",
    "with_own_steps",
]

RATE, RATIO, FACTORS = "input_rate", "input_ratio", "factors"


@dataclass(frozen=True)
class OwnSteps:
    """What is special about the steps of an optimizer; trials with equal ones share a compiled model."""

    kind: str = ""
    """Of the kernel: `input_rate`, a factor on its learning rate; `input_ratio`, the step that it would
    have if its input were multiplied by this; empty: the step of all others."""
    factors: int = 0
    """Length of the schedule in steps; 0: the learning rate does not change."""
    clip: float | None = None
    """Largest norm of the gradient."""

    @property
    def settings(self) -> dict[str, tuple[int, ...]]:
        """The variables of the optimizer that trials set, with their shapes."""
        own = {RATE: (), RATIO: (2,)}
        kernel = {self.kind: own[self.kind]} if self.kind else {}
        return {**kernel, FACTORS: (self.factors,)} if self.factors else kernel


def with_own_steps(optimizer: Any, steps: OwnSteps, kernel: int | None) -> Any:
    """An optimizer that is not built yet, with these steps; `kernel`: index among trainable variables.

    Its variables are named as in `settings`, with `_setting`. The ratio's has its inverse, too.
    """
    if steps.clip is not None:
        _require_no_clipping(optimizer)
        optimizer.global_clipnorm = steps.clip
    if steps.factors and has_schedule(optimizer):
        raise ValueError("it has a schedule of its own, so schedule must not be set")
    if steps.settings:
        # Not made anew from its configuration, which an optimizer of the user's own may not have.
        optimizer.__class__ = _stepping(type(optimizer))
        optimizer.kernel_index, optimizer.own_steps = kernel, steps
    return optimizer


def has_schedule(optimizer: Any) -> bool:
    """Whether a Keras optimizer has a schedule of its own, so that its learning rate cannot be set."""
    import keras

    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # in float16
    kind = keras.optimizers.schedules.LearningRateSchedule
    return isinstance(getattr(optimizer, "_learning_rate", None), kind)


def _require_no_clipping(optimizer: Any) -> None:
    for name in ("clipnorm", "clipvalue", "global_clipnorm"):
        if getattr(optimizer, name, None) is not None:
            raise ValueError(f"it sets {name} itself, so clip must not be set")


@functools.cache
def _stepping(kind: Any) -> Any:
    """The class of an optimizer, with steps of its own."""
    from keras import ops

    def divided(values: Any, by: Any) -> Any:
        # XLA joins a product with the sum that follows and so rounds once less, but not through a choice.
        values = ops.convert_to_tensor(values)
        return ops.where(ops.isfinite(values), values / by, values)

    class Stepping(kind):
        def build(self, variables: Any) -> None:
            if self.built:
                return
            super().build(variables)
            steps: OwnSteps = self.own_steps
            for name, shape in steps.settings.items():
                made = self.add_variable(shape, "ones", dtype="float32", name=name)
                setattr(self, f"{name}_setting", made)

        @property
        def learning_rate(self) -> Any:
            rate = super().learning_rate
            if not self.own_steps.factors or not self.built:
                return rate
            step = ops.minimum(self.iterations, self.own_steps.factors - 1)
            return rate * ops.cast(ops.take(self.factors_setting, step), rate.dtype)

        @learning_rate.setter
        def learning_rate(self, value: Any) -> None:
            kind.learning_rate.fset(self, value)

        def apply(self, grads: Any, trainable_variables: Any = None) -> None:
            """Update a kernel w of inputs x as the optimizer updates u = w/ratio of inputs ratio·x."""
            variables = trainable_variables or self._trainable_variables
            matched = self.own_steps.kind == RATIO
            at = [i for i, each in enumerate(variables) if matched and self._is_kernel(each)]
            grads = list(grads)
            for i in at:
                ratio, inverse = (self.input_ratio_setting[j] for j in range(2))
                variables[i].assign(divided(variables[i], ratio))
                grads[i] = divided(grads[i], inverse)
            super().apply(grads, trainable_variables)
            for i in at:
                variables[i].assign(variables[i] * self.input_ratio_setting[0])

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            if self.own_steps.kind == RATE and self._is_kernel(variable):
                learning_rate = learning_rate * self.input_rate_setting
            super().update_step(gradient, variable, learning_rate)

        def _apply_weight_decay(self, variables: Any) -> None:
            """Decay the kernel at its own learning rate."""
            own = [
                each for each in variables if self.own_steps.kind == RATE and self._is_kernel(each)
            ]
            super()._apply_weight_decay([v for v in variables if all(v is not k for k in own)])
            for kernel in own:
                if self.weight_decay is not None and self._use_weight_decay(kernel):
                    rate = self.learning_rate * self.input_rate_setting
                    kernel.assign(kernel - kernel * self.weight_decay * rate)

        def _is_kernel(self, variable: Any) -> bool:
            return self._get_variable_index(variable) == self.kernel_index

    return Stepping


def kernel_step(optimizer: Any) -> tuple[int, float] | None:
    """Index of the kernel with a step of its own, and how large that is; None if there is none."""
    steps = getattr(optimizer, "own_steps", OwnSteps())
    if not steps.kind:
        return None
    setting = np.asarray(getattr(optimizer, f"{steps.kind}_setting"), np.float64)
    return optimizer.kernel_index, float(setting if steps.kind == RATE else setting[0] ** 2)


def schedule_setting(factors: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The factors of a schedule as a variable's value.

    Raises:
        ValueError: they are not a list of finite numbers of at least 0.
    """
    values = np.asarray(factors, np.float32)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all() or values.min() < 0:
        raise ValueError("expected a list of finite factors of at least 0, one for each step")
    return values
