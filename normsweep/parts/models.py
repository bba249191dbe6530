"""Models: functions of the input shape and the number of outputs that return a Keras model.

The input shape is (height, width, channels), or (features,) for a table. The model is not compiled, and
ends in float32, also with mixed precision: the loss needs more digits than bfloat16 or float16 have. In a
classification its outputs are a softmax over the classes, in a regression one linear output for each
target. A function with a third argument gets the activation that task and loss need: "softmax", "linear",
"sigmoid" or "softplus". The keyword-only arguments of the function are the options that
`[model.options]` and `[search.space]` can set.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from normsweep.parts.losses import Head
from normsweep.parts.registry import Registry

__all__ = ["OWN", "SYNTHETIC", "built", "register", "registry"]

registry = Registry("model")
register = registry.register

SYNTHETIC = "synthetic"
"""The only model that is not trained: its learning curves come from a formula."""
OWN = "own"
"""A model passed from Python; its name in a study is `own@` and the digest of its configuration."""


def built(
    function: Callable[..., Any], shape: tuple[int, ...], head: Head, options: Mapping[str, Any]
) -> Any:
    """What a model's function returns for inputs of a shape and a head, with these options."""
    parameters = inspect.signature(function).parameters.values()
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    activation = (head.activation,) if len(places) > 2 else ()
    return function(shape, head.units, *activation, **options)


@register("lenet")
def lenet(input_shape: tuple[int, ...], classes: int, activation: str = "softmax") -> Any:
    """LeNet-like network of the Keras MNIST script: two convolutions, two dense layers."""
    import keras
    from keras import layers

    if len(input_shape) != 3:
        raise ValueError("lenet has convolutions for images; use mlp for a table")

    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Conv2D(20, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(50, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(500, activation="relu"),
            layers.Dense(classes, activation=activation, dtype="float32"),
        ]
    )


@register("mlp")
def mlp(
    input_shape: tuple[int, ...],
    classes: int,
    activation: str = "softmax",
    *,
    units: int = 128,
    layers: int = 2,
) -> Any:
    """Fully connected network for images and tables: `layers` hidden layers of `units` ReLUs."""
    import keras

    hidden = [keras.layers.Dense(units, activation="relu") for _ in range(layers)]
    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Flatten(),
            *hidden,
            keras.layers.Dense(classes, activation=activation, dtype="float32"),
        ]
    )


@register(SYNTHETIC)
def synthetic(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    ceiling: float | Mapping[str, float] = 0.99,
    speed: float | Mapping[str, float] = 0.5,
    best_learning_rate: float | Mapping[str, float] = 1e-3,
    width: float = 2.0,
    diverge_above: float | Mapping[str, float] = 1.0,
    noise: float = 0.001,
    seconds: float = 0.0,
    start: float = 0.0,
    step: float = 0.0,
    joint: float = 0.0,
    stuck: float | Mapping[str, float] = 0.0,
) -> Any:
    """No training: learning curves from a formula with a known optimum.

    With x = log10(learning_rate / best_learning_rate) / width, a trial's validation accuracy
    after epoch e is

        chance + (ceiling · exp(-x²) - chance) · (1 - exp(-speed · exp(-x²) · e)) + noise · N(0, 1)

    with the noise drawn from (seed, configuration, epoch). Above the learning rate
    `diverge_above` the loss of the first epoch is NaN. The ceiling is lower by `start` if the first layer
    starts larger than with pixels in [0, 1], by `step` if it takes larger steps, and by `joint` if either:
    raw pixels do both, `input_weights` and a matched `input_rate` undo one each. With the probability
    `stuck` a seed stays at chance. Options that are tables have one value per arm
    and `default` for the others. Each epoch sleeps for `seconds`. Never imports Keras.
    """
    raise TypeError("the synthetic model cannot be built; normsweep.training computes its curves")
