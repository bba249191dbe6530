"""Fronts: a normalization fitted to a training split, as a Keras model on raw images."""

from __future__ import annotations

import functools
import hashlib
import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np

from normsweep.parts import normalizations
from normsweep.training.digests import config_digest
from normsweep.training.precision import precision

__all__ = ["Front", "fit_front", "front_of"]

Array = np.ndarray[Any, Any]

PART = 2048


@dataclass(frozen=True)
class Front:
    """The layers between raw images and the network."""

    layers: tuple[Any, ...]
    """A cast to float32, then the scheme's layers."""
    fixed: bool
    """Whether the layers do the same in training and afterwards, and learn nothing."""

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the layers and what they were fitted to, hexadecimal."""
        digest = hashlib.sha256()
        for layer in self.layers:
            config = {"class": type(layer).__name__, **layer.get_config()}
            digest.update(config_digest(config).encode())
            for variable in layer.variables:
                digest.update(np.ascontiguousarray(variable).tobytes())
        return digest.hexdigest()

    def attach(self, inputs: Any) -> Any:
        """The front applied to a Keras tensor."""
        for layer in self.layers:
            inputs = layer(inputs)
        return inputs

    def apply(self, images: Array) -> Array:
        """The front applied to raw images (n, …), as float32 of the same shape."""
        import keras

        inputs = keras.Input(images.shape[1:], dtype=images.dtype.name)
        model = keras.Model(inputs, self.attach(inputs))
        parts = [images[i : i + PART] for i in range(0, len(images), PART)]
        return np.concatenate([model.predict_on_batch(part) for part in parts])


def fit_front(normalization: str, train: Array) -> Front:
    """Fit a registered normalization to raw training images (n, height, width, channels).

    Everything is float32, whatever the precision of the network: unit norm on raw pixels
    overflows in float16.
    """
    with precision("float32"):
        return front_of(tuple(normalizations.registry[normalization].function(train)), train)


def front_of(fitted: tuple[Any, ...], train: Array) -> Front:
    """The front of layers that were fitted to raw training images."""
    import keras

    with precision("float32"):
        layers = (keras.layers.Rescaling(1.0, dtype="float32"), *fitted)
        return Front(layers, _is_fixed(layers, np.asarray(train[:64])))


def _is_fixed(layers: tuple[Any, ...], probe: Array) -> bool:
    """Whether layers learn nothing and do in training what they do afterwards; builds them."""
    afterwards = _through(layers, probe, training=False)
    if any(layer.trainable_variables for layer in layers):
        return False
    variables = [variable for layer in layers for variable in layer.variables]
    before = [np.array(variable) for variable in variables]
    in_training = _through(layers, probe, training=True)
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)  # what the probe moved: running means, states of seeds
    return np.array_equal(in_training, afterwards)


def _through(layers: tuple[Any, ...], x: Any, *, training: bool) -> Array:
    import keras

    for layer in layers:
        x = _call(layer, x, training)
    return np.asarray(keras.ops.convert_to_numpy(x))


def _call(layer: Any, x: Any, training: bool) -> Any:
    takes_training = "training" in inspect.signature(layer.call).parameters
    return layer(x, training=training) if takes_training else layer(x)
