"""What the framework needs of a network, whoever wrote it."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["network_problem"]

ROWS = 4


def network_problem(network: Any, shape: tuple[int, ...], classes: int) -> str:
    """What is wrong with a network for samples of a shape, with what is legal; empty where nothing.

    Args:
        network: what a model's function returned.
        shape: of one sample, without the axis of the batch.
        classes: the number of classes.
    """
    import keras

    if not isinstance(network, keras.Model):
        return f"{type(network).__name__}; legal: a keras.Model, not compiled"
    try:
        network.get_config()
    except NotImplementedError:
        return (
            f"{type(network).__name__}, which has no get_config; legal: a Sequential or functional "
            "keras.Model"
        )
    if not network.built:
        return "a network without an input; legal: one that begins with keras.Input(input_shape)"
    if tuple(network.input_shape) != (None, *shape):
        return f"a network of inputs {network.input_shape}; legal: {(None, *shape)}"
    if tuple(network.output_shape) != (None, classes):
        return (
            f"a network of outputs {network.output_shape}; legal: {(None, classes)}, a class each"
        )
    return _no_probabilities(network, shape)


def _no_probabilities(network: Any, shape: tuple[int, ...]) -> str:
    import keras

    probe = np.random.default_rng(0).random((ROWS, *shape), dtype=np.float32)
    outputs = np.asarray(keras.ops.convert_to_numpy(network(probe, training=False)), np.float64)
    if (outputs >= 0).all() and np.allclose(outputs.sum(axis=1), 1, atol=0.02):
        return ""
    return (
        f"a network whose outputs are no probabilities ({outputs[0, 0]:.3g} is one of them); legal: a "
        'last layer with activation="softmax"'
    )
