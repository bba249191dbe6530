"""What goes through a network: its inputs, those of its first layer, the outputs of its ReLUs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from normsweep.training.second_moment import first_layer, leaves

__all__ = ["Seen", "calls_seen", "dead", "forward", "network_of"]

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

    def seen(layer: Any, inputs: tuple[Any, ...], outputs: Any) -> None:
        recorded.append(np.asarray(keras.ops.convert_to_numpy(inputs[0] if before else outputs)))

    with calls_seen(layers, seen):
        yield


@contextmanager
def calls_seen(
    layers: Sequence[Any], seen: Callable[[Any, tuple[Any, ...], Any], None]
) -> Iterator[None]:
    """Report each call of a layer that ends while the context is active: layer, inputs, outputs."""

    def watched(layer: Any, call: Any) -> Any:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            result = call(*args, **kwargs)
            seen(layer, args, result)
            return result

        return wrapped

    calls = [layer.call for layer in layers]
    own = ["call" in vars(layer) for layer in layers]  # such as that of a context around this one
    for layer, call in zip(layers, calls, strict=True):
        layer.call = watched(layer, call)
    try:
        yield
    finally:
        for layer, call, keeps in zip(layers, calls, own, strict=True):
            if keeps:
                layer.call = call
            else:
                del layer.call


def dead(outputs: list[Array]) -> float:
    """Fraction of units (channels, of a convolution) whose output is always zero."""
    never = [np.all(o <= 0, axis=tuple(range(o.ndim - 1))) for o in outputs]
    return float(np.mean(np.concatenate(never))) if never else math.nan
