"""Networks and normalizations of the sweeps in this folder. Sizes of several layers are written `"100-50"`."""

from __future__ import annotations

from typing import Any

import numpy as np

from normsweep.parts import models, normalizations


@models.register("dense")
def dense(
    input_shape: tuple[int, ...],
    outputs: int,
    activation: str = "softmax",
    *,
    hidden: str = "100",
    hidden_activation: str = "relu",
    dropout: float = 0.0,
) -> Any:
    """Hidden layers of the sizes `hidden`, with one activation for all or one each: `"sigmoid-elu"`."""
    import keras
    from keras import layers

    sizes, names = hidden.split("-"), hidden_activation.split("-")
    network = [keras.Input(input_shape), layers.Flatten()]
    for units, name in zip(sizes, names * (len(sizes) // len(names)), strict=True):
        network.append(layers.Dense(int(units), activation=name))
        if dropout:
            network.append(layers.Dropout(dropout))
    return keras.Sequential(
        [*network, layers.Dense(outputs, activation=activation, dtype="float32")]
    )


@models.register("small_conv")
def small_conv(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    filters: str = "8-16",
    kernel: int = 3,
    units: int = 0,
    biases: bool = True,
    weights: str = "glorot",
) -> Any:
    """Convolutions with pooling, then perhaps a dense layer.

    `weights = "small"` draws those of each layer from U(−1, 1) / √(the number of its weights).
    """
    import keras
    from keras import layers

    def initial(*shape: int) -> Any:
        if weights == "glorot":
            return "glorot_uniform"
        limit = 1 / float(np.sqrt(np.prod(shape)))
        return keras.initializers.RandomUniform(-limit, limit)

    network, (height, width, channels) = [keras.Input(input_shape)], input_shape
    for count in map(int, filters.split("-")):
        drawn = initial(kernel, kernel, channels, count)
        convolution = layers.Conv2D(
            count, kernel, activation="relu", use_bias=biases, kernel_initializer=drawn
        )
        network += [convolution, layers.MaxPooling2D()]
        height, width, channels = (height - kernel + 1) // 2, (width - kernel + 1) // 2, count
    network.append(layers.Flatten())
    inputs = height * width * channels
    if units:
        drawn = initial(inputs, units)
        network.append(layers.Dense(units, activation="relu", kernel_initializer=drawn))
    last = layers.Dense(
        classes,
        activation="softmax",
        use_bias=biases,
        kernel_initializer=initial(units or inputs, classes),
        dtype="float32",
    )
    return keras.Sequential([*network, last])


@models.register("double_conv")
def double_conv(input_shape: tuple[int, ...], classes: int) -> Any:
    """Two times two convolutions and a pooling, 64 dense units."""
    import keras
    from keras import layers

    first, second, third, fourth = [layers.Conv2D(16, 3, activation="relu") for _ in range(4)]
    return keras.Sequential(
        [
            keras.Input(input_shape),
            first,
            second,
            layers.MaxPooling2D(),
            third,
            fourth,
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(classes, activation="softmax", dtype="float32"),
        ]
    )


@models.register("temporal_conv")
def temporal_conv(input_shape: tuple[int, ...], classes: int, *, filters: int = 16) -> Any:
    """Residual blocks of causal, dilated convolutions over time; the last step decides."""
    import keras
    from keras import layers

    inputs = keras.Input(input_shape)
    x = layers.Conv1D(filters, 1)(inputs)
    for dilation in (1, 2, 4, 8):
        y = x
        for _ in range(2):
            y = layers.Conv1D(
                filters, 5, padding="causal", dilation_rate=dilation, activation="relu"
            )(y)
        x = layers.Add()([x, y])
    last = layers.Dense(classes, activation="softmax", dtype="float32")
    return keras.Model(inputs, last(x[:, -1]))


@normalizations.register("integer_divide")
def integer_divide(train: Any, *, by: float = 255.0) -> Any:
    """Divided as integers: the fraction is lost."""
    import keras

    inputs = keras.Input(train.shape[1:], dtype="float32")
    return [keras.Model(inputs, keras.ops.floor(inputs / by))]


@normalizations.register("log")
def log(train: Any) -> Any:
    """The natural logarithm of positive values; anything below 1e-6 counts as that."""
    import keras

    inputs = keras.Input(train.shape[1:], dtype="float32")
    return [keras.Model(inputs, keras.ops.log(keras.ops.maximum(inputs, 1e-6)))]


@normalizations.register("pixel_center")
def pixel_center(train: Any) -> Any:
    """The mean of each pixel subtracted, then all divided by one standard deviation."""
    from keras import layers

    mean = train.mean(axis=0, dtype=np.float64)
    deviation = float(train.std(dtype=np.float64)) or 1.0
    return [layers.Rescaling(1.0, offset=(-mean).tolist()), layers.Rescaling(1 / deviation)]
