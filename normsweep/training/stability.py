"""Up to which learning rate an optimizer is stable, from the curvature of the loss.

On a quadratic, a method whose step divides the gradient by D is stable up to a factor over the largest eigenvalue of
D^(-1/2) H D^(-1/2): for momentum see Polyak (1964), for Adam Cohen et al., "Adaptive gradient methods at the edge of
stability" (2022).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["adaptive", "denominators", "rate_factor"]

Array = np.ndarray[Any, Any]


def rate_factor(optimizer: Any) -> float:
    """What the largest stable learning rate is, times the eigenvalue; NaN if it is not known.

    2 for gradient descent, RMSprop and Adagrad, 2(1 + β) with momentum, (2 + 2β₁) / (1 − β₁) for Adam, and with
    Nesterov's momentum 1 / (1 + 2β) of that.
    """
    from keras import optimizers

    if isinstance(optimizer, optimizers.Nadam):
        beta = float(optimizer.beta_1)
        return 2 * (1 + beta) / ((1 - beta) * (1 + 2 * beta))
    if isinstance(optimizer, optimizers.Adam):
        beta = float(optimizer.beta_1)
        return 2 * (1 + beta) / (1 - beta)
    if isinstance(optimizer, optimizers.SGD):
        beta = float(np.asarray(getattr(optimizer, "momentum_setting", optimizer.momentum)))
        return 2 * (1 + beta) / (1 + 2 * beta if optimizer.nesterov else 1)
    if isinstance(optimizer, optimizers.RMSprop):
        plain = not optimizer.centered and not float(optimizer.momentum)
        return 2.0 if plain else math.nan
    return 2.0 if isinstance(optimizer, optimizers.Adagrad) else math.nan


def adaptive(optimizer: Any) -> bool:
    """Whether an optimizer divides gradients by what it has seen of them."""
    from keras import optimizers

    kinds = optimizers.Adam, optimizers.Nadam, optimizers.RMSprop, optimizers.Adagrad
    return isinstance(optimizer, kinds)


def denominators(optimizer: Any) -> list[Array]:
    """What an adaptive optimizer that has taken a step divides the gradient of each trainable variable by."""
    from keras import optimizers

    step = float(np.asarray(optimizer.iterations))
    if isinstance(optimizer, optimizers.Adam | optimizers.Nadam):
        # With both corrections of the bias: of the square root, and of the gradient's mean.
        first, second = (1 - float(beta) ** step for beta in (optimizer.beta_1, optimizer.beta_2))
        roots = (np.sqrt(_values(v) / second) for v in optimizer._velocities)
        return [first * (root + float(optimizer.epsilon)) for root in roots]
    rms = isinstance(optimizer, optimizers.RMSprop)
    squares = optimizer._velocities if rms else optimizer._accumulators
    return [np.sqrt(_values(v) + float(optimizer.epsilon)) for v in squares]


def _values(variable: Any) -> Array:
    return np.asarray(variable, np.float64)
