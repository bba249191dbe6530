"""Models: functions of the input shape and the number of outputs that return a Keras model.

The input shape is (height, width, channels), (features,) for a table, (time, features) for sequences and
signals, or (time,) for tokens. The model is not compiled, and
ends in float32, also with mixed precision: the loss needs more digits than bfloat16 or float16 have. In a
classification its outputs are a softmax over the classes, in a regression one linear output for each
target. A third argument without a default, or with one of these as its default, gets the activation that task and
loss need: "softmax", "linear", "sigmoid" or "softplus". The keyword-only arguments of the function are the options that
`[model.options]` and `[search.space]` can set; the shipped networks take an `initializer` of their kernels, any
name that Keras knows.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from normsweep.parts.losses import Head
from normsweep.parts.registry import Registry

__all__ = ["OWN", "SYNTHETIC", "Copies", "built", "register", "registry"]

registry = Registry("model")
register = registry.register

GLOROT = "glorot_uniform"
"""Keras's own default for kernels."""
SYNTHETIC = "synthetic"
"""The only model that is not trained: its learning curves come from a formula."""
OWN = "own"
"""A model passed from Python; its name in a study is `own@` and the digest of its configuration."""

ACTIVATIONS = ("softmax", "linear", "sigmoid", "softplus", None)
"""Defaults of a third argument that gets the activation of the head."""


class Copies:
    """Builds copies of a model object, as a function builds networks: with weights drawn anew, or with its own."""

    def __init__(self, model: Any) -> None:
        """`model`: a Keras model; how it was compiled is not looked at."""
        self.model = model

    def __call__(self, input_shape: tuple[int, ...], classes: int) -> Any:
        """A copy whose weights are drawn by Keras's global seed.

        Raises:
            ValueError: the precision is not that of its layers.
        """
        import keras

        wanted, own = keras.config.dtype_policy().name, self.model.dtype_policy.name
        if wanted != own:
            raise ValueError(
                f"the model object has layers of {own}, whatever model.precision says; pass a function that "
                "builds it instead"
            )
        copy = keras.models.clone_model(self.model)
        # What a layer was adapted to is no weight that a seed draws.
        for own, layer in zip(self.model._flatten_layers(), copy._flatten_layers(), strict=True):
            if hasattr(own, "adapt"):
                _adapt_as(own, layer)
        return copy

    def built(self, input_shape: tuple[int, ...], classes: int) -> Any:
        """A copy with the weights of the model object."""
        copy = self(input_shape, classes)
        copy.set_weights(self.model.get_weights())
        return copy


def _adapt_as(own: Any, layer: Any) -> None:
    """Give a layer what another one was adapted to, as Keras does when it loads a model."""
    state: dict[str, Any] = {}
    own.save_own_variables(state)
    layer.load_own_variables({name: np.array(value) for name, value in state.items()})


def built(
    function: Callable[..., Any], shape: tuple[int, ...], head: Head, options: Mapping[str, Any]
) -> Any:
    """What a model's function returns for inputs of a shape and a head, with these options."""
    parameters = inspect.signature(function).parameters.values()
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    activation = (head.activation,) if _takes_activation(places) else ()
    return function(shape, head.units, *activation, **options)


def _takes_activation(places: Sequence[inspect.Parameter]) -> bool:
    """Whether the third argument is the activation of the head, and not an option that has its own default."""
    if len(places) < 3:
        return False
    default = places[2].default
    return default in (inspect.Parameter.empty, *ACTIVATIONS)


@register("lenet")
def lenet(
    input_shape: tuple[int, ...],
    classes: int,
    activation: str = "softmax",
    *,
    initializer: str = GLOROT,
) -> Any:
    """LeNet-like network of the Keras MNIST script: two convolutions, two dense layers."""
    import keras
    from keras import layers

    if len(input_shape) != 3:
        raise ValueError(
            "lenet has convolutions for images; use mlp for a table, cnn1d for sequences"
        )

    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Conv2D(20, 5, padding="same", activation="relu", kernel_initializer=initializer),
            layers.MaxPooling2D(),
            layers.Conv2D(50, 5, padding="same", activation="relu", kernel_initializer=initializer),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(500, activation="relu", kernel_initializer=initializer),
            _last(classes, activation, initializer),
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
    initializer: str = GLOROT,
) -> Any:
    """Fully connected network for all inputs: `layers` hidden layers of `units` ReLUs."""
    import keras

    hidden = [
        keras.layers.Dense(units, activation="relu", kernel_initializer=initializer)
        for _ in range(layers)
    ]
    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Flatten(),
            *hidden,
            _last(classes, activation, initializer),
        ]
    )


@register("linear")
def linear(
    input_shape: tuple[int, ...],
    classes: int,
    activation: str = "softmax",
    *,
    initializer: str = GLOROT,
) -> Any:
    """One dense layer: multinomial logistic regression of all inputs."""
    import keras

    return keras.Sequential(
        [keras.Input(input_shape), keras.layers.Flatten(), _last(classes, activation, initializer)]
    )


@register("cnn1d")
def cnn1d(
    input_shape: tuple[int, ...],
    classes: int,
    activation: str = "softmax",
    *,
    filters: int = 32,
    kernel: int = 5,
    initializer: str = GLOROT,
    vocabulary: int = 0,
) -> Any:
    """Two convolutions over time, for sequences and signals; tokens need their `vocabulary`."""
    import keras
    from keras import layers

    return keras.Sequential(
        [
            keras.Input(input_shape),
            *_in_time("cnn1d", input_shape, vocabulary, filters),
            layers.Conv1D(
                filters, kernel, padding="same", activation="relu", kernel_initializer=initializer
            ),
            layers.MaxPooling1D(padding="same"),
            layers.Conv1D(
                2 * filters,
                kernel,
                padding="same",
                activation="relu",
                kernel_initializer=initializer,
            ),
            layers.GlobalAveragePooling1D(),
            _last(classes, activation, initializer),
        ]
    )


@register("lstm")
def lstm(
    input_shape: tuple[int, ...],
    classes: int,
    activation: str = "softmax",
    *,
    units: int = 64,
    cell: str = "lstm",
    initializer: str = GLOROT,
    vocabulary: int = 0,
) -> Any:
    """A recurrent layer over time, `cell` lstm or gru; tokens need their `vocabulary`."""
    import keras

    cells = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}
    if cell not in cells:
        raise ValueError(f"cell must be lstm or gru, got {cell}")
    return keras.Sequential(
        [
            keras.Input(input_shape),
            *_in_time("lstm", input_shape, vocabulary, units),
            cells[cell](units, kernel_initializer=initializer),
            _last(classes, activation, initializer),
        ]
    )


def _last(outputs: int, activation: str, initializer: str) -> Any:
    import keras

    return keras.layers.Dense(
        outputs, activation=activation, kernel_initializer=initializer, dtype="float32"
    )


def _in_time(name: str, shape: tuple[int, ...], vocabulary: int, width: int) -> list[Any]:
    """Layers that turn tokens, of which there are so many different ones, into sequences.

    Raises:
        ValueError: the inputs are neither sequences nor tokens.
    """
    import keras

    if vocabulary and len(shape) == 1:
        return [keras.layers.Embedding(vocabulary, width)]
    if not vocabulary and len(shape) == 2:
        return []
    raise ValueError(
        f'{name} needs sequences: set data.kind = "signal" for (n, time), "sequence" for (n, time, features), '
        f'or "tokens" and the option vocabulary; got inputs of {shape} with vocabulary = {vocabulary}'
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
