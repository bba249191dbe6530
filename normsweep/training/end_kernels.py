"""The kernels of a network's first and last layer with weights, and whether they are what they seem.

A network of any kind is called once: in a functional model the order of layers is known, in a subclassed
one only its call shows it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from normsweep.training.forward_pass import calls_seen

__all__ = ["first_kernel", "last_kernel", "require_scalable"]

Array = np.ndarray[Any, Any]

ROWS = 4
"""Number of random inputs on which outputs are compared."""


def first_kernel(network: Any) -> Any:
    """The variable that the input is multiplied by first, and all of it.

    Raises:
        ValueError: no variable is; the message says why.
    """
    return _kernel(network, "first", 0)


def last_kernel(network: Any) -> Any:
    """The variable that is multiplied last: without it, outputs do not depend on the input.

    Raises:
        ValueError: no variable is; the message says why.
    """
    return _kernel(network, "last", -1)


def require_scalable(network: Any, kernel: Any) -> None:
    """Check that twice the input and half the first kernel give the same outputs.

    Raises:
        ValueError: they do not, so no step undoes the input's scale.
    """
    images = _images(network)
    before = _outputs(network, images)
    with _scaled(kernel, 0.5):
        after = _outputs(network, 2 * images)
    if not np.allclose(before, after, rtol=1e-3, atol=1e-5):
        raise ValueError(
            f"twice the input is not undone by half of {_place(network, kernel)}: the network "
            "changes the input before that layer in another way than by a factor"
        )


def _kernel(network: Any, which: str, at: int) -> Any:
    layers = _in_order_of_calls(network)
    if not layers:
        raise ValueError("the network has no layer with weights")
    layer = layers[at]
    kernels = [each for each in layer.trainable_variables if len(each.shape) > 1]
    if not kernels:
        raise ValueError(
            f"the {which} layer with weights is {layer.name}, a {type(layer).__name__} without a kernel"
        )
    images = _images(network)
    with _scaled(kernels[0], 0.0):
        one, other = _outputs(network, images), _outputs(network, 1 - images)
    if not np.array_equal(one, other):
        raise ValueError(
            f"outputs depend on the input although {_place(network, kernels[0])} is 0: "
            f"it is not the only {which} layer"
        )
    return kernels[0]


def _place(network: Any, kernel: Any) -> str:
    return f"the kernel {kernel.path.removeprefix(f'{network.name}/')}"


def _images(network: Any) -> Array:
    shape = (ROWS, *network.input_shape[1:])
    return np.random.default_rng(0).random(shape, dtype=np.float32)


def _outputs(network: Any, images: Array) -> Array:
    import keras

    return np.asarray(keras.ops.convert_to_numpy(network(images, training=False)), np.float32)


@contextmanager
def _scaled(kernel: Any, factor: float) -> Iterator[None]:
    before = np.array(kernel)
    kernel.assign(factor * before)
    try:
        yield
    finally:
        kernel.assign(before)


def _in_order_of_calls(network: Any) -> list[Any]:
    """The innermost layers with trainable weights, in the order in which their calls end."""
    found: list[Any] = []
    layers = [layer for layer in network._flatten_layers() if layer.trainable_variables]
    with calls_seen(layers, lambda layer, inputs, outputs: found.append(layer)):
        _outputs(network, _images(network))
    seen: set[int] = set()
    innermost = []
    for layer in found:  # a layer ends after those that it is made of
        own = {id(each) for each in layer.trainable_variables}
        if not own <= seen:
            innermost.append(layer)
        seen |= own
    return innermost
