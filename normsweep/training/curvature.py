"""Gradient and curvature of a network's loss: Hessian-vector products, and the largest eigenvalue.

The eigenvalue is the sharpness of Cohen, Kaur, Li, Kolter and Talwalkar, "Gradient descent on neural networks
typically occurs at the edge of stability" (2021). Lanczos's method finds it: a power iteration that keeps what
it has seen, and so needs a third of the products.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from normsweep.training.second_moment import leaves

__all__ = ["Curvature", "Slope", "largest_eigenvalue", "layer_norms"]

Array = np.ndarray[Any, Any]

PRODUCTS = 10
"""Most products of a largest eigenvalue; with gaps as of networks it is then known to a few percent."""
CLOSE = 0.1
"""Relative residual at which an eigenvalue counts as found; its error is about the square of that."""


@dataclass(frozen=True)
class Slope:
    """Loss, outputs and gradient of a network on some images, in training mode."""

    loss: float
    """Mean loss, with the network's own regularization."""
    outputs: Array
    """(n, units): probabilities, or in a regression scaled targets."""
    gradients: tuple[Array, ...]
    """By trainable variable, in the model's order."""


class Curvature:
    """The loss of a model as a function of its weights; nothing that is computed changes the model.

    Programs are traced at the first call, and then run for any number of images.
    """

    def __init__(self, model: Any, loss: Callable[[Any, Any], Any] | None = None) -> None:
        """For a built model, whose weights are read at each call.

        `loss`: of labels and outputs; by default the cross-entropy of numbers of classes.
        """
        import keras

        self._model = model
        self._of = loss or keras.losses.sparse_categorical_crossentropy
        backend = {"tensorflow": _tensorflow, "jax": _jax}[keras.backend.backend()]
        self._slope, self._product = backend(self._loss)

    def slope(self, images: Array, labels: Array) -> Slope:
        """Loss, outputs and gradient at the present weights."""
        loss, outputs, gradients = self._slope(*self._values(), *_tensors(images, labels))
        return Slope(float(loss), _array(outputs), tuple(_array(g) for g in gradients))

    def sharpness(
        self, images: Array, labels: Array, denominators: Sequence[Array] | None = None
    ) -> float:
        """Largest eigenvalue of the loss's Hessian; NaN if it cannot be computed.

        Args:
            images: (n, …), inputs of the model.
            labels: (n,) int64, or what the loss takes, (n, units).
            denominators: by trainable variable, what an optimizer divides its gradient by; the eigenvalue is
                then that of D^(-1/2) H D^(-1/2).
        """
        values, data = self._values(), _tensors(images, labels)
        shapes = [tuple(v.shape) for v in self._model.trainable_variables]
        scale = None if denominators is None else 1 / np.sqrt(_flat(denominators))

        def product(vector: Array) -> Array:
            scaled = vector if scale is None else scale * vector
            parts = [p.astype(np.float32) for p in _parts(scaled, shapes)]
            result = _flat([_array(p) for p in self._product(*values, *data, _backend(parts))])
            return result if scale is None else scale * result

        return largest_eigenvalue(product, sum(math.prod(shape) for shape in shapes))

    def _values(self) -> tuple[list[Any], list[Any]]:
        model = self._model
        return tuple(  # type: ignore[return-value]
            [v.value for v in each]
            for each in (model.trainable_variables, model.non_trainable_variables)
        )

    def _loss(self, weights: Any, others: Any, x: Any, y: Any) -> tuple[Any, Any]:
        import keras

        # The state of random layers is among the others: every call draws the same.
        outputs, _, losses = self._model.stateless_call(
            weights, others, x, training=True, return_losses=True
        )
        loss: Any = keras.ops.mean(self._of(y, outputs))
        return sum(losses, loss), outputs


def layer_norms(model: Any, slope: Slope) -> list[tuple[str, float]]:
    """Euclidean norm of the gradient by layer with trainable variables, in the order of the network."""
    gradients = {id(v): g for v, g in zip(model.trainable_variables, slope.gradients, strict=True)}
    norms = []
    for layer in leaves(model):
        own = [gradients[id(v)] for v in layer.trainable_variables]
        if own:
            squares = (float(np.sum(np.square(g, dtype=np.float64))) for g in own)
            norms.append((layer.name, math.sqrt(sum(squares))))
    return norms


def largest_eigenvalue(
    product: Callable[[Array], Array], size: int, most: int = PRODUCTS, close: float = CLOSE
) -> float:
    """Largest eigenvalue of a symmetric matrix that is given by its products with vectors (Lanczos).

    Args:
        product: of the matrix and a vector (size,).
        size: rows of the matrix.
        most: products at most.
        close: relative residual at which to stop.

    Returns:
        The eigenvalue, from below; NaN if a product is not finite.
    """
    vector = np.random.default_rng(0).standard_normal(size)
    vector, before = vector / np.linalg.norm(vector), np.zeros(size)
    diagonal: list[float] = []
    beside: list[float] = []
    values = np.array([math.nan])
    for _ in range(min(most, size)):
        with np.errstate(all="ignore"):
            after = product(vector) - (beside[-1] * before if beside else 0)
            diagonal.append(float(after @ vector))
            after -= diagonal[-1] * vector
            residual = float(np.linalg.norm(after))
        if not math.isfinite(residual):
            return math.nan
        matrix = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
        values, vectors = np.linalg.eigh(matrix)
        if residual * abs(vectors[-1, -1]) <= close * abs(values[-1]):
            break
        beside.append(residual)
        before, vector = vector, after / residual
    return float(values[-1])


def _tensorflow(loss: Callable[..., Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    import tensorflow as tf

    zero = tf.UnconnectedGradients.ZERO

    def slope(weights: Any, others: Any, x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(weights)
            value, outputs = loss(weights, others, x, y)
        return value, outputs, tape.gradient(value, weights, unconnected_gradients=zero)

    def product(weights: Any, others: Any, x: Any, y: Any, vector: Any) -> Any:
        with tf.GradientTape() as outer:
            outer.watch(weights)
            gradients = slope(weights, others, x, y)[2]
        return outer.gradient(
            gradients, weights, output_gradients=vector, unconnected_gradients=zero
        )

    return tf.function(slope, reduce_retracing=True, autograph=False), tf.function(
        product, reduce_retracing=True, autograph=False
    )


def _jax(loss: Callable[..., Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    import jax

    def slope(weights: Any, others: Any, x: Any, y: Any) -> Any:
        (value, outputs), gradients = jax.value_and_grad(loss, has_aux=True)(weights, others, x, y)
        return value, outputs, gradients

    def product(weights: Any, others: Any, x: Any, y: Any, vector: Any) -> Any:
        def gradient(at: Any) -> Any:
            return slope(at, others, x, y)[2]

        return jax.jvp(gradient, (weights,), (vector,))[1]

    return jax.jit(slope), jax.jit(product)


def _tensors(images: Array, labels: Array) -> list[Any]:
    return _backend([images, labels])


def _backend(arrays: Sequence[Array]) -> list[Any]:
    import keras

    return [keras.ops.convert_to_tensor(array) for array in arrays]


def _array(tensor: Any) -> Array:
    import keras

    return np.asarray(keras.ops.convert_to_numpy(tensor))


def _flat(arrays: Sequence[Array]) -> Array:
    return np.concatenate([np.asarray(a, np.float64).ravel() for a in arrays])


def _parts(vector: Array, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
    ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
    return [p.reshape(s) for p, s in zip(np.split(vector, ends), shapes, strict=True)]
