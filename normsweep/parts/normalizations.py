"""Normalizations: functions that fit to the training split and return built-in Keras layers.

A normalization takes the raw training images, (n, height, width, channels) of any numeric dtype, or a
table (n, features), and returns the layers that follow a cast to float32. The layers become the
preprocessing of the saved model, which therefore takes raw pixels and loads without normsweep. A zero
scale counts as 1. Statistics are over all pixels of images, but over each feature of a table.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from normsweep.errors import DataError
from normsweep.parts.registry import Registry

__all__ = ["ZCA_LIMIT", "register", "registry"]

registry = Registry("normalization")
register = registry.register

Layers = list[Any]
Images = np.ndarray[Any, Any]

IMAGES_ONLY = ("symmetric", "pixel_standardize", "sample_standardize", "l2")
"""Normalizations that are undefined for a table, whose features have different units."""

ZCA_LIMIT = 4096
"""Largest number of features for whitening, whose matrix is (features, features)."""


@register("none")
def none(train: Images) -> Layers:
    """Raw pixels."""
    return []


@register("unit")
def unit(train: Images) -> Layers:
    """Division by the largest value of the type, for 8 bits by 255, into [0, 1].

    Other types than uint8 and uint16, and each feature of a table, are divided by the largest magnitude
    in the training split, because their range is unknown.
    """
    if _is_table(train):
        return _by_feature(scale=np.abs(train.astype(np.float64)).max(axis=0))
    return [_affine(scale=1 / _full_scale(train))]


@register("symmetric")
def symmetric(train: Images) -> Layers:
    """The range of the type mapped to [-1, 1]; the range starts at 0 if no pixel is negative."""
    _refuse_table("symmetric", train)
    if train.min() < 0:
        return unit(train)
    return [_affine(scale=2 / _full_scale(train), offset=-1.0)]


@register("center")
def center(train: Images) -> Layers:
    """Subtraction of the mean over all pixels of the training split, without scaling."""
    if _is_table(train):
        return _by_feature(center=train.mean(axis=0, dtype=np.float64))
    return [_affine(offset=-_moments(train)[0])]


@register("standardize")
def standardize(train: Images) -> Layers:
    """Zero mean and unit variance over all pixels of the training split; of a table, of each feature."""
    if _is_table(train):
        return _by_feature(train.mean(axis=0, dtype=np.float64), _deviations(train))
    mean, deviation = _moments(train)
    return [_affine(scale=1 / deviation, offset=-mean / deviation)]


@register("pixel_standardize")
def pixel_standardize(train: Images) -> Layers:
    """Zero mean and unit variance of each pixel over the training split."""
    _refuse_table("pixel_standardize", train)
    from keras import layers

    axes: Any = tuple(range(1, train.ndim))
    mean = train.mean(axis=0, dtype=np.float64)
    variance = train.var(axis=0, dtype=np.float64)
    # By rounding, a constant pixel of 0.1 has a variance near 1e-34, not 0.
    variance[train.min(axis=0) == train.max(axis=0)] = 1.0
    return [layers.Normalization(axis=axes, mean=mean, variance=variance)]


@register("sample_standardize")
def sample_standardize(train: Images) -> Layers:
    """Zero mean and unit variance within each image."""
    _refuse_table("sample_standardize", train)
    import keras

    # A constant image is 0 / √ε: ε is far below the variance of the data and far above rounding.
    epsilon = 1e-6 * _moments(train)[1] ** 2
    axes: Any = tuple(range(1, train.ndim))
    return [keras.layers.LayerNormalization(axis=axes, epsilon=epsilon, center=False, scale=False)]


@register("minmax")
def minmax(train: Images) -> Layers:
    """The smallest and largest value of the training split (of each feature of a table) to 0 and 1."""
    if _is_table(train):
        least = train.min(axis=0).astype(np.float64)
        return _by_feature(least, train.max(axis=0) - least)
    low, high = float(train.min()), float(train.max())
    return [_affine(scale=1 / ((high - low) or 1.0), offset=-low / ((high - low) or 1.0))]


@register("robust")
def robust(train: Images) -> Layers:
    """Median 0 and interquartile range 1, over the non-zero pixels, or each feature of a table."""
    if _is_table(train):
        low, median, high = np.percentile(train.astype(np.float64), [25, 50, 75], axis=0)
        return _by_feature(median, high - low)
    # Over all pixels of images with a black background the three quartiles are 0.
    values = train[train != 0]
    if not values.size:
        return []
    low, median, high = (float(q) for q in np.percentile(values, [25, 50, 75]))
    spread = (high - low) or 1.0
    return [_affine(scale=1 / spread, offset=-median / spread)]


@register("l2")
def l2(train: Images) -> Layers:
    """Each image divided by its Euclidean norm."""
    _refuse_table("l2", train)
    import keras

    # Flat, because Keras normalizes over one axis; an all-zero image stays zero.
    shape = train.shape[1:]
    return [
        keras.layers.Flatten(),
        keras.layers.UnitNormalization(axis=-1),
        keras.layers.Reshape(shape),
    ]


@register("zca")
def zca(train: Images) -> Layers:
    """ZCA whitening: the covariance of the pixels made the identity (Bell & Sejnowski 1997).

    A tenth of their mean is added to the eigenvalues, so that directions without signal are not
    amplified to the scale of the others.

    Raises:
        DataError: an image has more than 4,096 features.
    """
    import keras

    shape = train.shape[1:]
    features = int(np.prod(shape))
    if features > ZCA_LIMIT:
        raise DataError(
            f"normalization zca: must have at most {ZCA_LIMIT:,} features, got images of {features:,}; "
            "remove zca from search.space.normalization"
        )
    mean, matrix = _whitening(train.reshape(len(train), features))
    whiten = keras.layers.Dense(features, trainable=False, name="whiten")
    whiten.build((None, features))
    whiten.set_weights([matrix, -mean @ matrix])
    return [keras.layers.Flatten(), whiten, keras.layers.Reshape(shape)]


@register("batch_norm")
def batch_norm(train: Images) -> Layers:
    """A BatchNormalization layer on raw pixels or features, trained with the rest of the network."""
    import keras

    return [keras.layers.BatchNormalization()]


def _affine(scale: float = 1.0, offset: float = 0.0) -> Any:
    import keras

    return keras.layers.Rescaling(scale=scale, offset=offset)


def _is_table(train: Images) -> bool:
    return train.ndim == 2


def _refuse_table(name: str, train: Images) -> None:
    """Raise for a table; the message lists the normalizations for tables."""
    if _is_table(train):
        available = ", ".join(part.name for part in registry if part.name not in IMAGES_ONLY)
        raise DataError(
            f"normalization {name}: expected images, got a table of {train.shape[1]:,} features; "
            f"available for tables: {available}"
        )


def _by_feature(center: Images | None = None, scale: Images | None = None) -> Layers:
    """(x − center) / scale, both (features,); a zero scale counts as 1.

    In two layers: x / scale − center / scale would lose the digits of a feature whose mean is far
    larger than its standard deviation.
    """
    import keras

    layers = []
    if center is not None:
        layers.append(keras.layers.Rescaling(1.0, offset=(-center).tolist()))
    if scale is not None:
        layers.append(keras.layers.Rescaling((1 / np.where(scale == 0, 1.0, scale)).tolist()))
    return layers


def _deviations(train: Images) -> Images:
    """Standard deviation of each feature; exactly 0 if it is constant, in spite of rounding."""
    constant = train.min(axis=0) == train.max(axis=0)
    return np.where(constant, 0.0, train.std(axis=0, dtype=np.float64))


def _full_scale(train: Images) -> float:
    """255 or 65535 for 8 and 16 bits; for other types the largest magnitude in the training split."""
    if train.dtype in (np.uint8, np.uint16):
        return float(np.iinfo(train.dtype).max)
    return max(-float(train.min()), float(train.max())) or 1.0


def _moments(train: Images) -> tuple[float, float]:
    mean = float(train.mean(dtype=np.float64))
    constant = train.min() == train.max()
    return mean, 1.0 if constant else float(train.std(dtype=np.float64))


def _whitening(flat: Images) -> tuple[Images, Images]:
    """Mean (features,) and the symmetric whitening matrix (features, features), float32."""
    flat = flat.astype(np.float32)
    mean = flat.mean(axis=0, dtype=np.float64).astype(np.float32)
    flat -= mean
    covariance = (flat.T @ flat).astype(np.float64) / len(flat)
    values, vectors = np.linalg.eigh(covariance)
    values = np.maximum(values, 0) + 0.1 * (float(np.trace(covariance)) / len(values))
    values[values == 0] = 1.0
    return mean, ((vectors / np.sqrt(values)) @ vectors.T).astype(np.float32)
