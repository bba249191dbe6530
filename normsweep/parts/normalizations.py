"""Normalizations: functions that fit to the training split and return built-in Keras layers.

A normalization takes the raw training inputs of any numeric dtype: images (n, height, width, channels), a
table (n, features) or sequences (n, time, features). It returns the layers that follow a cast to float32,
built-in ones or functional models of these and of `keras.ops`. They become the preprocessing of the saved
model, which therefore takes raw inputs and loads without normsweep. A zero scale counts as 1. Statistics
are over all pixels of images, but over each feature of a table, and of sequences over time too.

A keyword-only argument is the scheme's option: `divide(256)` in a sweep sets `by`. One named `full_scale`
gets `[data] full_scale`, if that is set.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from normsweep.errors import DataError
from normsweep.parts.dataset import InputFacts
from normsweep.parts.registry import Registry
from normsweep.sweep.problems import unknown
from normsweep.sweep.schemes import DEFAULT, ByColumn, Chain, Scheme, parse

__all__ = ["ZCA_LIMIT", "fit", "forward", "register", "registry"]

registry = Registry("normalization")
register = registry.register

Layers = list[Any]
Images = np.ndarray[Any, Any]

IMAGES_ONLY = ("symmetric", "pixel_standardize", "sample_standardize", "caffe", "tf", "torch", "l2")
"""Normalizations that are undefined for a table, whose features have different units."""

A_NUMBER: tuple[str, ...] = ()
DISTRIBUTIONS = ("uniform", "normal")
"""What the option of a scheme may be: one of these texts, or a number above 0."""
ZCA_LIMIT = 4096
"""Largest number of features for whitening, whose matrix is (features, features)."""
PIECES = 64
"""Pieces of the map of `quantile`."""
PART = 128
"""Inputs that a step of a chain is applied to at once: `quantile` makes 64 numbers of each."""


@register("none")
def none(train: Images) -> Layers:
    """Raw pixels."""
    return []


@register("unit", A_NUMBER)
def unit(train: Images, *, full_scale: float | None = None) -> Layers:
    """Division by the full scale, or else the largest value of the type, for 8 bits by 255, into [0, 1].

    Other types than uint8 and uint16, and each feature of a table or of sequences, are divided by the
    largest magnitude in the training split, because their range is unknown.
    """
    if full_scale is None and _by_features(train):
        return maxabs(train)
    return [_affine(scale=1 / _full_scale(train, full_scale))]


@register("symmetric", A_NUMBER)
def symmetric(train: Images, *, full_scale: float | None = None) -> Layers:
    """The range of the type mapped to [-1, 1]; the range starts at 0 if no pixel is negative."""
    _refuse_table("symmetric", train)
    scale = _full_scale(train, full_scale)
    if train.min() < 0:
        return [_affine(scale=1 / scale)]
    return [_affine(scale=2 / scale, offset=-1.0)]


@register("divide", A_NUMBER)
def divide(train: Images, *, by: float = 255.0) -> Layers:
    """Division by a number, 255 if none is given: divide(256) changes no digit, as it is a power of two."""
    if not isinstance(by, int | float) or not np.isfinite(by) or by == 0:
        raise DataError(f"normalization divide: expected a number such as divide(256), got {by!r}")
    return [_affine(scale=1 / by)]


@register("maxabs")
def maxabs(train: Images) -> Layers:
    """Division by the largest magnitude in the training split (of each feature of a table)."""
    if _by_features(train):
        return _by_feature(scale=np.abs(train.astype(np.float64)).max(axis=_rows(train)))
    return [_affine(scale=1 / _full_scale(train.astype(np.float64)))]


@register("center")
def center(train: Images) -> Layers:
    """Subtraction of the mean over all pixels of the training split, without scaling."""
    if _by_features(train):
        return _by_feature(center=_means(train))
    return [_affine(offset=-_moments(train)[0])]


@register("standardize")
def standardize(train: Images) -> Layers:
    """Zero mean and unit variance over all pixels of the training split; of a table, of each feature."""
    if _by_features(train):
        return _by_feature(_means(train), _deviations(train))
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
    """Zero mean and unit variance within each image, or of each feature within each sequence."""
    _refuse_table("sample_standardize", train)
    import keras

    def within(axes: Any, variance: float) -> Any:
        # A constant sample is 0 / √ε: ε is far below the variance of the data and far above rounding.
        return keras.layers.LayerNormalization(
            axis=axes, epsilon=1e-6 * variance, center=False, scale=False
        )

    if _by_features(train):  # to one scale first, which ε belongs to
        return [*standardize(train), within(1, 1.0)]
    return [within(tuple(range(1, train.ndim)), _moments(train)[1] ** 2)]


@register("minmax")
def minmax(train: Images) -> Layers:
    """The smallest and largest value of the training split (of each feature of a table) to 0 and 1."""
    if _by_features(train):
        least, most = (f(train, axis=_rows(train)).astype(np.float64) for f in (np.min, np.max))
        return _by_feature(least, most - least)
    low, high = float(train.min()), float(train.max())
    return [_affine(scale=1 / ((high - low) or 1.0), offset=-low / ((high - low) or 1.0))]


@register("robust")
def robust(train: Images) -> Layers:
    """Median 0 and interquartile range 1, over the non-zero pixels, or each feature of a table."""
    if _by_features(train):
        quartiles = np.percentile(train.astype(np.float64), [25, 50, 75], axis=_rows(train))
        return _by_feature(quartiles[1], quartiles[2] - quartiles[0])
    # Over all pixels of images with a black background the three quartiles are 0.
    values = train[train != 0]
    if not values.size:
        return []
    low, median, high = (float(q) for q in np.percentile(values, [25, 50, 75]))
    spread = (high - low) or 1.0
    return [_affine(scale=1 / spread, offset=-median / spread)]


@register("log1p")
def log1p(train: Images) -> Layers:
    """log(1 + x), and of negative values -log(1 - x)."""
    from keras import ops

    return [_of_each(train, lambda x: ops.multiply(ops.sign(x), ops.log1p(ops.abs(x))))]


@register("asinh")
def asinh(train: Images) -> Layers:
    """The inverse hyperbolic sine: linear near 0, a logarithm far from it."""
    from keras import ops

    return [_of_each(train, ops.arcsinh)]


@register("sqrt")
def sqrt(train: Images) -> Layers:
    """The square root, and of negative values -√-x."""
    from keras import ops

    return [_of_each(train, lambda x: ops.multiply(ops.sign(x), ops.sqrt(ops.abs(x))))]


@register("quantile", DISTRIBUTIONS)
def quantile(train: Images, *, output: str = "uniform") -> Layers:
    """Quantiles of the training split mapped to a uniform distribution over [0, 1], or quantile(normal).

    Linear between 65 quantiles, and constant outside of the training split's range. Equal values get the
    mean of their quantiles. The map is a frozen network: a ReLU that ends at 1 for each piece.
    """
    if output not in DISTRIBUTIONS:
        raise DataError(f"normalization quantile: expected uniform or normal, got {output}")
    columns = train.reshape(-1, train.shape[-1] if _by_features(train) else 1)
    levels, outputs = _levels(output, len(columns))
    knots = np.quantile(columns.astype(np.float64), levels, axis=0).astype(np.float32)
    return [_piecewise(train, [_without_ties(each, outputs) for each in knots.T])]


CAFFE = (103.939, 116.779, 123.68)
"""Mean of ImageNet's pixels: blue, green, red."""
TORCH = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of ImageNet's pixels divided by 255: red, green, blue."""


@register("caffe")
def caffe(train: Images) -> Layers:
    """Keras's preprocess_input of VGG and ResNet: RGB to BGR, minus ImageNet's mean, not scaled."""
    import keras

    _refuse_gray("caffe", train)
    swapped = _of_each(train, lambda x: keras.ops.flip(x, axis=-1))
    return [swapped, _affine(offset=[-mean for mean in CAFFE])]


@register("tf")
def tf(train: Images) -> Layers:
    """Keras's preprocess_input of Inception and MobileNet: 8 bits to [-1, 1], whatever the type is."""
    _refuse_table("tf", train)
    return [_affine(scale=1 / 127.5, offset=-1.0)]


@register("torch")
def torch(train: Images) -> Layers:
    """Keras's preprocess_input of DenseNet: divided by 255, ImageNet's mean and deviation by channel."""

    _refuse_gray("torch", train)
    mean, deviation = np.array(TORCH)
    scale, offset = 1 / (255 * deviation), -mean / deviation
    return [_affine(scale.tolist(), offset.tolist())]


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


def fit(text: str, train: Images, facts: InputFacts) -> Layers:
    """Fit a normalization as a sweep writes it (`normsweep.sweep.schemes`) to raw training inputs.

    Raises:
        DataError: it does not fit the data, or a column has no scheme.
    """
    found = parse(text)
    if facts.tokens and found != (Scheme("none"),):
        raise DataError(
            f'normalization {text}: must be "none" with data.kind = "tokens", which are not scaled'
        )
    if isinstance(found, ByColumn):
        return _of_columns(found, train, facts)
    return _chained(found, train, facts.full_scale)


def forward(layers: Sequence[Any], x: Any, *, training: bool = False) -> Images:
    """The layers called one after another."""
    import keras

    for layer in layers:
        takes_training = "training" in inspect.signature(layer.call).parameters
        x = layer(x, training=training) if takes_training else layer(x)
    return np.asarray(keras.ops.convert_to_numpy(x))


def _chained(chain: Chain, train: Images, full_scale: float | None) -> Layers:
    """Each scheme is fitted to what the one before makes of the inputs; the first gets the full scale."""
    layers: Layers = []
    fitted: Layers = []
    for number, scheme in enumerate(chain):
        if number:
            train = _in_parts(fitted, train.astype(np.float32))
        options = registry[scheme.name].options
        values: dict[str, Any] = {}
        if scheme.value is not None:
            values[options[0]] = scheme.value
        elif not number and full_scale is not None and "full_scale" in options:
            values["full_scale"] = full_scale
        fitted = registry[scheme.name].function(train, **values)
        layers.extend(fitted)
    return layers


def _in_parts(layers: Layers, inputs: Images) -> Images:
    parts = (inputs[i : i + PART] for i in range(0, len(inputs), PART))
    return np.concatenate([forward(layers, part) for part in parts])


def _of_columns(found: ByColumn, train: Images, facts: InputFacts) -> Layers:
    if train.ndim != 2:
        raise DataError(
            f"normalization by column: expected a table, got inputs of {train.shape[1:]}"
        )
    groups = _grouped(found, facts.columns or tuple(map(str, range(train.shape[1]))))
    made = {
        tuple(columns): _chained(chain, train[:, columns], facts.full_scale)
        for chain, columns in groups.items()
    }
    return _merged(made) or [_split(made, train.shape[1])]


def _grouped(found: ByColumn, names: Sequence[str]) -> dict[Chain, list[int]]:
    """The columns of each chain of schemes."""
    if strange := next((name for name in found.columns if name not in (*names, DEFAULT)), None):
        raise DataError(f"normalization by column: {unknown('column', strange, names)}")
    groups: dict[Chain, list[int]] = {}
    for place, name in enumerate(names):
        chain = found.columns.get(name, found.columns.get(DEFAULT))
        if chain is None:
            raise DataError(
                f'normalization by column: {name} has no scheme; add one, or default = "none"'
            )
        groups.setdefault(chain, []).append(place)
    return groups


def _merged(made: Mapping[tuple[int, ...], Layers]) -> Layers:
    """The same as one layer for all columns at each place; empty if not all layers are affine."""
    import keras

    if any(
        type(layer) is not keras.layers.Rescaling for layers in made.values() for layer in layers
    ):
        return []
    count = sum(map(len, made))
    merged: Layers = []
    for place in range(max(map(len, made.values()), default=0)):
        scale, offset = np.ones(count), np.zeros(count)
        for columns, layers in made.items():
            if place < len(layers):
                scale[list(columns)], offset[list(columns)] = (
                    layers[place].scale,
                    layers[place].offset,
                )
        merged.append(_affine(scale.tolist(), offset.tolist()))
    return merged or [_affine()]


def _split(made: Mapping[tuple[int, ...], Layers], count: int) -> Any:
    """A model that passes each group of columns through its own layers."""
    import keras

    inputs = keras.Input((count,), dtype="float32")
    outputs = []
    for columns, layers in made.items():
        part = keras.ops.take(inputs, list(columns), axis=-1)
        for layer in layers:
            part = layer(part)
        outputs.append(part)
    order = np.argsort([column for columns in made for column in columns]).tolist()
    return keras.Model(inputs, keras.ops.take(keras.ops.concatenate(outputs, -1), order, axis=-1))


def _affine(scale: Any = 1.0, offset: Any = 0.0) -> Any:
    """scale·x + offset, each a number or a list that is broadcast."""
    import keras

    return keras.layers.Rescaling(scale=scale, offset=offset)


def _of_each(train: Images, function: Callable[[Any], Any]) -> Any:
    """A function of `keras.ops` as a model, which is saved without code."""
    import keras

    inputs = keras.Input(train.shape[1:], dtype="float32")
    return keras.Model(inputs, function(inputs))


def _by_features(train: Images) -> bool:
    """Whether each feature has statistics of its own: of tables and sequences."""
    return train.ndim < 4


def _rows(train: Images) -> Any:
    """The axes of a table or of sequences that statistics are over."""
    return tuple(range(train.ndim - 1))


def _refuse_table(name: str, train: Images) -> None:
    """Raise for a table; the message lists the normalizations for tables."""
    if train.ndim == 2:
        available = ", ".join(part.name for part in registry if part.name not in IMAGES_ONLY)
        raise DataError(
            f"normalization {name}: expected images, got a table of {train.shape[1]:,} features; "
            f"available for tables: {available}"
        )


def _refuse_gray(name: str, train: Images) -> None:
    _refuse_table(name, train)
    if train.ndim != 4 or train.shape[-1] != 3:
        raise DataError(
            f"normalization {name}: expected images of 3 channels, red, green and blue, got inputs of "
            f"{train.shape[1:]}"
        )


def _by_feature(center: Images | None = None, scale: Images | None = None) -> Layers:
    """(x − center) / scale, both (features,); a zero scale counts as 1.

    In two layers: x / scale − center / scale would lose the digits of a feature whose mean is far
    larger than its standard deviation.
    """

    layers = []
    if center is not None:
        layers.append(_affine(offset=(-center).tolist()))
    if scale is not None:
        layers.append(_affine((1 / np.where(scale == 0, 1.0, scale)).tolist()))
    return layers


def _means(train: Images) -> Images:
    return train.mean(axis=_rows(train), dtype=np.float64)


def _deviations(train: Images) -> Images:
    """Standard deviation of each feature; exactly 0 if it is constant, in spite of rounding."""
    constant = train.min(axis=_rows(train)) == train.max(axis=_rows(train))
    return np.where(constant, 0.0, train.std(axis=_rows(train), dtype=np.float64))


def _full_scale(train: Images, stated: float | None = None) -> float:
    """As stated, or 255 or 65535 for 8 and 16 bits; otherwise the largest magnitude in the training split."""
    if stated is not None:
        if not isinstance(stated, int | float) or not stated > 0:
            raise DataError(f"full scale: expected a number above 0, got {stated!r}")
        return float(stated)
    if train.dtype in (np.uint8, np.uint16):
        return float(np.iinfo(train.dtype).max)
    return max(-float(train.min()), float(train.max())) or 1.0


def _moments(train: Images) -> tuple[float, float]:
    mean = float(train.mean(dtype=np.float64))
    constant = train.min() == train.max()
    return mean, 1.0 if constant else float(train.std(dtype=np.float64))


def _levels(output: str, rows: int) -> tuple[Images, Images]:
    """Quantiles to take of so many values, (65,), and what they are mapped to.

    For a normal distribution they are equidistant there, so that its tails are as exact as its middle.
    """
    if output == "uniform":
        levels = np.linspace(0, 1, PIECES + 1)
        return levels, levels
    from scipy.special import ndtr, ndtri

    end = float(ndtri(1 - 0.5 / max(rows, 2)))
    outputs = np.linspace(-end, end, PIECES + 1)
    levels = ndtr(outputs)
    levels[0], levels[-1] = 0.0, 1.0
    return levels, outputs


def _without_ties(knots: Images, outputs: Images) -> tuple[Images, Images]:
    """Knots in ascending order and their outputs; equal knots get the mean of theirs."""
    kept, place = np.unique(knots, return_inverse=True)
    return kept.astype(np.float64), np.bincount(place, outputs) / np.bincount(place)


def _piecewise(train: Images, maps: Sequence[tuple[Images, Images]]) -> Any:
    """Piecewise linear maps, one for each feature or one for all, as a model of ReLUs.

    A piece is (x - start) / length, cut to [0, 1], times its rise: no sum of large numbers that cancel.
    """
    import keras
    from keras import ops

    shape = (len(maps), max(len(knots) for knots, _ in maps) - 1)
    starts, lengths, rises = np.zeros(shape), np.ones(shape), np.zeros(shape)
    for row, (knots, outputs) in enumerate(maps):
        own = slice(len(knots) - 1)
        starts[row, own], lengths[row, own] = knots[:-1], np.diff(knots)
        rises[row, own] = np.diff(outputs)
    first = [float(outputs[0]) for _, outputs in maps]
    inputs = keras.Input(train.shape[1:], dtype="float32")
    if not shape[1]:  # every feature is constant
        return keras.Model(inputs, _affine(0.0, first)(inputs))
    x = ops.repeat(ops.expand_dims(inputs, -1), shape[1], axis=-1)
    x = _affine(offset=(-starts).tolist())(x)
    x = keras.layers.ReLU(max_value=1.0)(_affine((1 / lengths).tolist())(x))
    x = ops.sum(_affine(rises.tolist())(x), axis=-1)
    return keras.Model(inputs, _affine(offset=first)(x))


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
