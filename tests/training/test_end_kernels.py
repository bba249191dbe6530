"""Which kernel is the first, and which the last, of networks of every kind."""

from __future__ import annotations

import numpy as np
import pytest

from normsweep.training.end_kernels import first_kernel, last_kernel, require_scalable


def ending(x, classes=3):
    import keras

    return keras.layers.Dense(classes, activation="softmax", name="ending")(x)


def plain():
    import keras

    x = inputs = keras.Input((6, 6, 1))
    x = keras.layers.Conv2D(2, 3, activation="relu", name="beginning")(x)
    return keras.Model(inputs, ending(keras.layers.Flatten()(x)))


def nested():
    import keras

    body = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            keras.layers.Conv2D(2, 3, name="beginning"),
            keras.layers.Flatten(),
        ]
    )
    inputs = keras.Input((6, 6, 1))
    return keras.Model(inputs, ending(keras.Sequential([body, keras.layers.ReLU()])(inputs)))


def subclassed():
    """A layer that makes its parts in another order than it calls them."""
    import keras

    class Block(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.after = keras.layers.Dense(4, name="after")
            self.before = keras.layers.Dense(5, name="beginning")

        def build(self, shape):
            self.before.build(shape)
            self.after.build((None, 5))

        def call(self, x):
            return self.after(keras.ops.relu(self.before(x)))

    x = inputs = keras.Input((6, 6, 1))
    return keras.Model(inputs, ending(Block()(keras.layers.Flatten()(x))))


def recurrent():
    import keras

    x = inputs = keras.Input((6, 6))
    return keras.Model(inputs, ending(keras.layers.GRU(4, name="beginning")(x)))


def shifted():
    import keras

    x = inputs = keras.Input((6, 6, 1))
    x = keras.layers.Rescaling(2.0, offset=-1.0)(x)
    return keras.Model(
        inputs, ending(keras.layers.Dense(4, name="beginning")(keras.layers.Flatten()(x)))
    )


def branched():
    import keras

    x = inputs = keras.Input((6, 6, 1))
    x = keras.layers.Flatten()(x)
    branches = [keras.layers.Dense(4, name=f"branch_{i}")(x) for i in range(2)]
    return keras.Model(inputs, ending(keras.layers.Add()(branches)))


def around():
    """The input also goes around the first layer."""
    import keras

    x = inputs = keras.Input((6, 6, 1))
    x = keras.layers.Flatten()(x)
    x = keras.layers.Add()([x, keras.layers.Dense(36, name="beginning")(x)])
    return keras.Model(inputs, ending(x))


def normalized():
    import keras

    x = inputs = keras.Input((6, 6, 1))
    x = keras.layers.BatchNormalization(name="norm")(x)
    return keras.Model(inputs, ending(keras.layers.Flatten()(x)))


def weightless():
    import keras

    x = inputs = keras.Input((3,))
    return keras.Model(inputs, keras.layers.Softmax()(x))


@pytest.mark.parametrize("build", [plain, nested, subclassed, recurrent, shifted])
def test_the_kernels_are_found_and_the_network_is_left_as_it_was(build):
    network = build()
    before = [np.array(each) for each in network.variables]
    first, last = first_kernel(network), last_kernel(network)
    assert "beginning" in first.path
    assert first.path.endswith("kernel")
    assert last.path.endswith("ending/kernel")
    for was, now in zip(before, network.variables, strict=True):
        np.testing.assert_array_equal(was, np.array(now))
    assert not any("call" in vars(layer) for layer in network._flatten_layers())


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (branched, "is not the only first layer"),
        (around, "outputs depend on the input although the kernel beginning/kernel is 0"),
        (normalized, "the first layer with weights is norm, a BatchNormalization without a kernel"),
        (weightless, "the network has no layer with weights"),
    ],
)
def test_a_network_without_one_first_kernel_says_why(build, text):
    with pytest.raises(ValueError, match=text):
        first_kernel(build())


def test_a_network_that_shifts_its_input_has_no_matched_step():
    for build in (plain, nested, subclassed, recurrent):
        network = build()
        require_scalable(network, first_kernel(network))
    network = shifted()
    with pytest.raises(ValueError, match="twice the input is not undone by half of the kernel"):
        require_scalable(network, first_kernel(network))
