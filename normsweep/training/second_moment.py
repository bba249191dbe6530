"""Second moment of what a network's first layer learns from: its inputs, uncentred, and the bias's column.

For a linear layer with a squared loss this matrix is the Hessian: its largest eigenvalue bounds the learning rate,
and its condition number says how well one rate fits all directions (LeCun, Bottou, Orr and Müller, "Efficient
BackProp", 1998). A dense layer has features as inputs, a convolution patches.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = [
    "Moments",
    "Spectrum",
    "Window",
    "first_layer",
    "leaves",
    "moments",
    "spectrum",
]

Array = np.ndarray[Any, Any]

PART = 64
"""Images whose patches are taken at once."""
WIDEST = 1024
"""Most columns of a matrix of moments; of wider inputs, the matrix between rows is taken, of as many rows."""
ROUNDING = 1e-12
"""Eigenvalues below this share of the largest are zero up to rounding."""


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues of a second moment."""

    largest: float
    condition: float
    """Largest divided by smallest eigenvalue, without those that are zero up to rounding."""

    @classmethod
    def of(cls, moment: Array) -> Spectrum:
        """Of a symmetric matrix; NaN if it is not finite."""
        if not np.isfinite(moment).all():
            return cls(math.nan, math.nan)
        values = np.linalg.eigvalsh(moment)
        kept = values[values > ROUNDING * values[-1]]
        return cls(float(kept[-1]), float(kept[-1] / kept[0])) if len(kept) else cls(0.0, math.nan)


@dataclass(frozen=True)
class Window:
    """What a layer sees of its inputs at once: the last axis, or a patch of the axes before it."""

    size: tuple[int, ...] = ()
    """Of a patch, (height, width); empty for a layer that is not a convolution."""
    strides: tuple[int, ...] = ()
    padding: str = "valid"
    dilation: tuple[int, ...] = ()
    bias: bool = True

    @classmethod
    def of(cls, layer: Any) -> Window | None:
        """Of a dense layer or a convolution of Keras; None for other layers."""
        import keras

        if isinstance(layer, keras.layers.Dense):
            return cls(bias=layer.use_bias)
        convolutions = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
        if not isinstance(layer, convolutions) or layer.data_format != "channels_last":
            return None
        strides, dilation = tuple(layer.strides), tuple(layer.dilation_rate)
        return cls(tuple(layer.kernel_size), strides, layer.padding, dilation, layer.use_bias)

    def width(self, inputs: Array) -> int:
        """Number of columns."""
        return inputs.shape[-1] * math.prod(self.size)

    def columns(self, inputs: Array) -> Array:
        """All patches of inputs (n, …, channels), (columns, patches): a row for each place and channel."""
        channels = np.moveaxis(inputs, -1, 0)
        reach = [(size - 1) * step + 1 for size, step in zip(self.size, self.dilation, strict=True)]
        pads = map(self._pads, inputs.shape[1:-1], reach, self.strides)
        padded = np.pad(channels, [(0, 0), (0, 0), *pads]) if self.size else channels
        starts = [length - far for length, far in zip(padded.shape[2:], reach, strict=False)]
        seen = [
            padded[(..., *map(slice, first, np.add(first, starts) + 1, self.strides))]
            for first in itertools.product(
                *(range(0, far, step) for far, step in zip(reach, self.dilation, strict=True))
            )
        ]
        return np.concatenate([part.reshape(len(part), -1) for part in seen])

    def _pads(self, length: int, reach: int, stride: int) -> tuple[int, int]:
        """Zeros before and after an axis, as Keras pads it."""
        if self.padding == "valid":
            return 0, 0
        if self.padding == "causal":
            return reach - 1, 0
        missing = max((math.ceil(length / stride) - 1) * stride + reach - length, 0)
        return missing // 2, missing - missing // 2


def first_layer(model: Any) -> Any:
    """The first layer with a kernel, in the order of the network; None if there is none."""
    layers = (layer for layer in leaves(model) if getattr(layer, "kernel", None) is not None)
    return next(layers, None)


def leaves(model: Any) -> Iterator[Any]:
    """The layers in the order of the network, including those of nested networks."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from leaves(layer)
        else:
            yield layer


@dataclass(frozen=True)
class Moments:
    """Joint second moment of inputs, of which of their places are in the image, and of 1.

    The second moment of every affine function of the inputs follows from it: padding stays zero.
    """

    joint: Array
    """(2·columns + 1, 2·columns + 1) float64."""
    bias: bool

    def affine(self, scale: Any = 1.0, offset: Any = 0.0) -> Array:
        """Second moment of scale·x + offset, each a number or one for each channel."""
        columns = len(self.joint) // 2
        channels = max(np.size(scale), np.size(offset))
        factor, shift = (
            np.tile(np.broadcast_to(np.ravel(value), channels), columns // channels)
            for value in (scale, offset)
        )
        change = np.zeros((columns + 1, len(self.joint)))
        change[:columns, :columns] = np.diag(factor)
        change[:columns, columns:-1] = np.diag(shift)
        change[-1, -1] = 1.0
        moment = change @ self.joint @ change.T
        return moment if self.bias else moment[:-1, :-1]


def moments(inputs: Array, window: Window) -> Moments:
    """Moments of a layer's inputs (n, …, channels), of at most `WIDEST` columns."""

    def joined(part: Array) -> Array:
        return np.concatenate([window.columns(part), window.columns(np.ones_like(part))])

    return Moments(_moment(inputs, joined, bias=True), window.bias)


def spectrum(inputs: Array, window: Window) -> Spectrum:
    """Eigenvalues of the second moment of a layer's inputs (n, …, channels)."""
    if window.width(inputs) <= WIDEST:
        return Spectrum.of(_moment(inputs, window.columns, window.bias))
    columns = window.columns(inputs[:WIDEST].astype(np.float64))
    count = columns.shape[1]
    rows = columns.T[np.linspace(0, count - 1, min(count, WIDEST)).astype(int)]
    # The matrix between rows has the same eigenvalues, but for zeros.
    return Spectrum.of((rows @ rows.T + float(window.bias)) / len(rows))


def _moment(inputs: Array, columns: Callable[[Array], Array], bias: bool) -> Array:
    """Second moment of the columns of inputs, and of the bias's, in float64."""
    total, count = np.zeros(()), 0
    for part in np.array_split(inputs, max(len(inputs) // PART, 1)):
        each = columns(part.astype(np.float64))
        each = np.concatenate([each, np.ones((1, each.shape[1]))]) if bias else each
        total, count = total + each @ each.T, count + each.shape[1]
    return total / count
