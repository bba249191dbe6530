"""Optimizers: functions of the learning rate that return an unbuilt Keras optimizer.

The keyword-only arguments of the function are the options that `[search.space]` can set; all other
settings are Keras's defaults.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from normsweep.parts.registry import Registry

__all__ = ["register", "registry", "settings"]

registry = Registry("optimizer")
register = registry.register

SETTINGS = {"sgd": ("momentum",), "adamw": ("weight_decay",)}
MATCHED = ("sgd", "rmsprop", "adagrad", "adam", "adamw", "nadam")
"""Optimizers whose step for scaled inputs is known: `input_rate = "matched"`."""


def settings(optimizer: str, options: Mapping[str, Any]) -> dict[str, float]:
    """The options that are variables of the optimizer, so that trials with other values share a graph.

    An option that is 0 is left out: the optimizer then has no variables for it.
    """
    names = SETTINGS.get(optimizer, ())
    return {name: float(options[name]) for name in names if options.get(name)}


@register("sgd")
def sgd(learning_rate: float, *, momentum: float = 0.0, nesterov: bool = False) -> Any:
    """Stochastic gradient descent, optionally with momentum."""
    import keras

    if not momentum:
        return keras.optimizers.SGD(learning_rate)
    return _with_settings()["sgd"](learning_rate, momentum=float(momentum), nesterov=nesterov)


@register("rmsprop")
def rmsprop(learning_rate: float) -> Any:
    """RMSprop with Keras's defaults."""
    import keras

    return keras.optimizers.RMSprop(learning_rate)


@register("adagrad")
def adagrad(learning_rate: float) -> Any:
    """Adagrad with Keras's defaults."""
    import keras

    return keras.optimizers.Adagrad(learning_rate)


@register("adam")
def adam(learning_rate: float) -> Any:
    """Adam with Keras's defaults."""
    import keras

    return keras.optimizers.Adam(learning_rate)


@register("adamw")
def adamw(learning_rate: float, *, weight_decay: float = 0.004) -> Any:
    """Adam with decoupled weight decay."""
    import keras

    made = _with_settings()["adamw"] if weight_decay else keras.optimizers.AdamW
    return made(learning_rate, weight_decay=float(weight_decay))


@register("nadam")
def nadam(learning_rate: float) -> Any:
    """Adam with Nesterov momentum, with Keras's defaults."""
    import keras

    return keras.optimizers.Nadam(learning_rate)


@functools.cache
def _with_settings() -> dict[str, Any]:
    """Keras's optimizers with an option as a variable; results are equal bit for bit."""
    import keras
    from keras import ops

    def variable(optimizer: Any, name: str, value: float) -> Any:
        initial = keras.initializers.Constant(value)
        return optimizer.add_variable((), initial, dtype="float32", name=name)

    class SGD(keras.optimizers.SGD):
        def build(self, variables: Any) -> None:
            if not self.built:
                super().build(variables)
                self.momentum_setting = variable(self, "momentum_setting", self.momentum)

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            gradient = ops.cast(gradient, variable.dtype)
            momentum = ops.cast(self.momentum_setting, variable.dtype)
            step = ops.multiply(gradient, ops.cast(learning_rate, variable.dtype))
            velocity = self.momentums[self._get_variable_index(variable)]
            self.assign(velocity, ops.subtract(ops.multiply(velocity, momentum), step))
            if self.nesterov:
                ahead = ops.subtract(ops.multiply(velocity, momentum), step)
                self.assign_add(variable, ahead)
            else:
                self.assign_add(variable, velocity)

    class AdamW(keras.optimizers.AdamW):
        def build(self, var_list: Any) -> None:
            if not self.built:
                super().build(var_list)
                self.weight_decay_setting = variable(self, "weight_decay", self.weight_decay)
                self.weight_decay = self.weight_decay_setting

    return {"sgd": SGD, "adamw": AdamW}
