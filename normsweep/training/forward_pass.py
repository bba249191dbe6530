"""What goes through a network: its inputs, those of its first layer, the outputs of its ReLUs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from normsweep.training.second_moment import first_layer, leaves

__all__ = ["Seen", "dead", "forward", "network_of"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Seen:
    """What went through a network."""

    fed: Array
    """Inputs of the network, after its preprocessing."""
    first: Array | None
    """Inputs of the first layer with a kernel."""
    units: list[Array]
    """Outputs of the ReLUs."""


def forward(model: Any, images: Array) -> Seen:
    """Record the images' way through a network in training mode; changes nothing."""
    import keras

    network = network_of(model)
    first, relus = first_layer(network), [layer for layer in leaves(network) if _is_relu(layer)]
    fed: list[Array] = []
    entering: list[Array] = []
    units: list[Array] = []
    with (
        keras.StatelessScope(),  # which keeps running means and the state of random layers as they are
        _recording([network], fed, before=True),
        _recording([first] if first is not None else [], entering, before=True),
        _recording(relus, units),
    ):
        model(images, training=True)
    return Seen(fed[0], entering[0] if entering else None, units)


def network_of(model: Any) -> Any:
    """The network behind trainable preprocessing; without such preprocessing, the whole model."""
    import keras

    nested = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    return nested[-1] if len(nested) == 1 and model.layers[-1] is nested[-1] else model


def _is_relu(layer: Any) -> bool:
    import keras

    relu = isinstance(layer, keras.layers.ReLU)
    return relu or getattr(layer, "activation", None) is keras.activations.relu


@contextmanager
def _recording(
    layers: Sequence[Any], recorded: list[Array], *, before: bool = False
) -> Iterator[None]:
    """Record the layers' outputs, or with `before` their inputs, while the context is active."""
    import keras

    def recording(call: Any) -> Any:
        def wrapped(x: Any, *args: Any, **kwargs: Any) -> Any:
            result = call(x, *args, **kwargs)
            recorded.append(np.asarray(keras.ops.convert_to_numpy(x if before else result)))
            return result

        return wrapped

    originals = [layer.call for layer in layers]
    for layer, call in zip(layers, originals, strict=True):
        layer.call = recording(call)
    try:
        yield
    finally:
        for layer, call in zip(layers, originals, strict=True):
            layer.call = call


def dead(outputs: list[Array]) -> float:
    """Fraction of units (channels, of a convolution) whose output is always zero."""
    never = [np.all(o <= 0, axis=tuple(range(o.ndim - 1))) for o in outputs]
    return float(np.mean(np.concatenate(never))) if never else math.nan
