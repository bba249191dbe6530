"""Optimizers: each returns an unbuilt Keras optimizer at its defaults but for what is given."""

from __future__ import annotations

from typing import Any

from normsweep.parts.registry import Registry

__all__ = ["register", "registry"]

registry = Registry("optimizer")
register = registry.register


@register("sgd")
def sgd(learning_rate: float, *, momentum: float = 0.0, nesterov: bool = False) -> Any:
    """Stochastic gradient descent, with momentum where it is given."""
    import keras

    return keras.optimizers.SGD(learning_rate, momentum=float(momentum), nesterov=nesterov)


@register("rmsprop")
def rmsprop(learning_rate: float) -> Any:
    """RMSprop at Keras's defaults."""
    import keras

    return keras.optimizers.RMSprop(learning_rate)


@register("adagrad")
def adagrad(learning_rate: float) -> Any:
    """Adagrad at Keras's defaults."""
    import keras

    return keras.optimizers.Adagrad(learning_rate)


@register("adam")
def adam(learning_rate: float) -> Any:
    """Adam at Keras's defaults."""
    import keras

    return keras.optimizers.Adam(learning_rate)


@register("adamw")
def adamw(learning_rate: float, *, weight_decay: float = 0.004) -> Any:
    """Adam with decoupled weight decay."""
    import keras

    return keras.optimizers.AdamW(learning_rate, weight_decay=weight_decay)


@register("nadam")
def nadam(learning_rate: float) -> Any:
    """Adam with Nesterov momentum at Keras's defaults."""
    import keras

    return keras.optimizers.Nadam(learning_rate)
