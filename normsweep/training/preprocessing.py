"""Training and validation splits, and preprocessing that is fitted on the training split."""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from normsweep.errors import DataError
from normsweep.parts import normalizations
from normsweep.parts.dataset import PLAIN, Dataset, InputFacts
from normsweep.parts.normalizations import forward
from normsweep.sweep.parameters import CLASSIFICATION
from normsweep.sweep.trial import Trial
from normsweep.training.reproducibility import config_digest, precision, xla_is_faster

__all__ = [
    "Inputs",
    "Preprocessing",
    "Split",
    "SplitRows",
    "affine_of",
    "batch_order",
    "fit_preprocessing",
    "prepare",
    "preprocessing_of",
    "split",
    "split_rows",
]

Array = np.ndarray[Any, Any]


BATCH = 2048
"""Images per batch when preprocessing is applied."""


@dataclass(frozen=True)
class Preprocessing:
    """The layers that turn raw images into the network's inputs."""

    layers: tuple[Any, ...]
    """A cast to float32, then the normalization's layers."""
    fixed: bool
    """Whether the layers have no trainable weights and behave the same in training and inference."""

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the layers' configurations and variables, hexadecimal."""
        digest = hashlib.sha256()
        for layer in self.layers:
            config = {"class": type(layer).__name__, **layer.get_config()}
            digest.update(config_digest(config).encode())
            for variable in layer.variables:
                digest.update(np.ascontiguousarray(variable).tobytes())
        return digest.hexdigest()

    @property
    def slope(self) -> float | None:
        """What all inputs are multiplied by, apart from what is added; None if there is no such number."""
        found = affine_of(self.layers)
        return None if found is None or np.ndim(found[0]) else float(found[0])

    def scheme(self, shape: tuple[int, ...]) -> tuple[Array, Array] | None:
        """What is subtracted from raw inputs of this shape, and what they are multiplied by then, float32.

        None if the layers do something else.
        """
        found = affine_of(self.layers)
        if (
            found is None
            or np.broadcast_shapes(np.shape(found[0]), np.shape(found[1]), shape) != shape
        ):
            return None
        scale, offset = (np.broadcast_to(each, shape) for each in found)
        if not scale.all():
            return None
        # Not scale·x + offset, which would lose the digits of inputs whose mean is far above their deviation.
        return (-offset / scale).astype(np.float32), scale.astype(np.float32)

    def attach(self, inputs: Any) -> Any:
        """Apply the preprocessing to a Keras tensor."""
        for layer in self.layers:
            inputs = layer(inputs)
        return inputs

    def apply(self, images: Array) -> Array:
        """Apply the preprocessing to raw images (n, …); returns float32 of the same shape."""
        size = normalizations.PART if any(hasattr(e, "layers") for e in self.layers) else BATCH
        parts = [images[i : i + size] for i in range(0, len(images), size)]
        whole = np.issubdtype(images.dtype, np.integer)
        eager = whole and _rounds_alike(self.layers)
        applied = self._eagerly if eager else self._traced(images)
        return np.concatenate([applied(part) for part in parts])

    def _eagerly(self, images: Array) -> Array:
        """The layers called one after another, without the time to trace a model."""
        return forward(self.layers, images, training=False)

    def _traced(self, images: Array) -> Callable[[Array], Array]:
        """The layers as a model, for images of this shape and dtype."""
        import keras

        inputs = keras.Input(images.shape[1:], dtype=images.dtype.name)
        return keras.Model(inputs, self.attach(inputs)).predict_on_batch


def fit_preprocessing(
    normalization: str,
    train: Array,
    scale: float = 1.0,
    shift: float = 0.0,
    facts: InputFacts = PLAIN,
) -> Preprocessing:
    """Fit a normalization to raw training inputs: images (n, height, width, channels), a table or sequences.

    Always in float32, whatever the precision of the network: unit norm on raw pixels overflows in
    float16. Its outputs are multiplied by `scale`, and `shift` is added.
    """
    import keras

    with precision("float32"):
        fitted = normalizations.fit(normalization, train, facts)
        more = [] if (scale, shift) == (1.0, 0.0) else [keras.layers.Rescaling(scale, shift)]
        return preprocessing_of((*fitted, *more), train)


def preprocessing_of(fitted: tuple[Any, ...], train: Array) -> Preprocessing:
    """The preprocessing made of layers that were fitted to raw training images."""
    import keras

    with precision("float32"):
        layers = (keras.layers.Rescaling(1.0, dtype="float32"), *fitted)
        return Preprocessing(layers, _is_fixed(layers, np.asarray(train[:64])))


def _is_fixed(layers: tuple[Any, ...], probe: Array) -> bool:
    """Whether layers are not trainable and behave the same in training and inference; builds them."""
    in_inference = forward(layers, probe, training=False)
    if any(layer.trainable_variables for layer in layers):
        return False
    variables = [variable for layer in layers for variable in layer.variables]
    before = [np.array(variable) for variable in variables]
    in_training = forward(layers, probe, training=True)
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)  # the probe changes running means and seed states
    return np.array_equal(in_training, in_inference)


def _rounds_alike(layers: tuple[Any, ...]) -> bool:
    """Whether the layers give the same bits for integers eagerly and in a traced model.

    Products and sums do, except with XLA, which contracts them, and for -0.0, which no integer is.
    Others may not: a traced division by a constant becomes a product.
    """
    import keras

    return all(type(layer) is keras.layers.Rescaling for layer in layers) and not xla_is_faster()


def affine_of(layers: Sequence[Any]) -> tuple[Any, Any] | None:
    """Scale and offset of preprocessing that is an affine function of its inputs; None for others."""
    import keras

    scale: Any = 1.0
    offset: Any = 0.0
    for layer in layers:
        if type(layer) is not keras.layers.Rescaling:
            return None
        factor = np.asarray(layer.scale, np.float64)
        scale, offset = scale * factor, offset * factor + np.asarray(layer.offset, np.float64)
    return scale, offset


@dataclass(frozen=True)
class Inputs:
    """The inputs of one arm's network: normalized if its preprocessing is fixed, otherwise raw."""

    normalization: str
    preprocessing: Preprocessing
    split: Split
    counts: tuple[int, ...]
    """Number of images of each class, over all training images of the dataset; empty in a regression."""
    facts: InputFacts = PLAIN
    names: tuple[str, ...] = ()
    """The names of the classes; empty if they are numbers."""

    @property
    def classes(self) -> int:
        """The number of classes; 0 in a regression."""
        return len(self.counts)

    @property
    def outputs(self) -> int:
        """The number of targets of a regression; 0 in a classification."""
        return 0 if self.counts else self.split.y_train.shape[1]

    @property
    def shape(self) -> tuple[int, ...]:
        """(height, width, channels) of one image."""
        return self.split.x_train.shape[1:]

    @property
    def dtype(self) -> str:
        """float32 if the preprocessing is fixed, otherwise the dataset's dtype."""
        return self.split.x_train.dtype.name

    @property
    def scheme(self) -> tuple[Array, Array] | None:
        """What is subtracted from the raw inputs, and what they are multiplied by then; None for other preprocessing."""
        return self.preprocessing.scheme(self.shape) if self.preprocessing.fixed else None

    @property
    def nbytes(self) -> int:
        """Size of the images in bytes."""
        return self.split.x_train.nbytes + self.split.x_val.nbytes


def prepare(
    dataset: Dataset,
    validation_split: float,
    seed: int,
    normalization: str,
    scale: float = 1.0,
    shift: float = 0.0,
) -> Inputs:
    """Split the training images, fit the normalization on the training split and apply it to both.

    Its outputs are multiplied by `scale`, and `shift` is added.
    Fixed preprocessing is applied once, here, so that all fixed arms share one compiled model.
    """
    parts = split(dataset, validation_split, seed)
    preprocessing = fit_preprocessing(normalization, parts.x_train, scale, shift, dataset.facts)
    if preprocessing.fixed:
        x_train, x_val = preprocessing.apply(parts.x_train), preprocessing.apply(parts.x_val)
        parts = replace(parts, x_train=x_train, x_val=x_val)
    counts = tuple(dataset.counts.tolist())
    return Inputs(normalization, preprocessing, parts, counts, dataset.facts, dataset.labels)


@dataclass(frozen=True)
class Split:
    """Images (n, height, width, channels) and labels (n,) int64, or targets (n, outputs) float64."""

    x_train: Array
    y_train: Array
    x_val: Array
    y_val: Array

    def steps(self, size: int) -> int:
        """Training steps of a pass over the images, in batches of `size`."""
        return math.ceil(len(self.y_train) / size)

    def first(self, count: int, seed: int) -> tuple[Array, Array]:
        """The images that are trained first, and their labels or targets."""
        order = batch_order(len(self.y_train), seed, 1)[:count]
        return self.x_train[order], self.y_train[order]

    def steps_of(self, trial: Trial) -> int:
        """Training steps of an epoch of a trial."""
        return trial.steps_per_epoch or self.steps(trial.batch_size)


@dataclass(frozen=True)
class SplitRows:
    """Which images of a dataset's training images are for training and for validation: indices, ascending."""

    train: Array
    val: Array


def split_rows(data: Dataset, validation_split: float, seed: int) -> SplitRows:
    """A split of the training images, drawn with the seed, and stratified by class.

    Each class has at least one image on both sides.

    Raises:
        DataError: `validation_split` is too small or too large for that.
    """
    classes = data.task == CLASSIFICATION
    train, val = (
        _by_class(data, validation_split, seed) if classes else _drawn(data, validation_split, seed)
    )
    return SplitRows(np.sort(train), np.sort(val))


def split(data: Dataset, validation_split: float, seed: int) -> Split:
    """The images and labels of a split.

    Raises:
        DataError: `validation_split` is too small or too large.
    """
    rows = split_rows(data, validation_split, seed)
    train, val = rows.train, rows.val
    return Split(data.x_train[train], data.y_train[train], data.x_train[val], data.y_train[val])


def _drawn(data: Dataset, validation_split: float, seed: int) -> tuple[Array, Array]:
    """A random split."""
    rows = len(data.y_train)
    held_out = math.ceil(rows * validation_split - 1e-9)
    if not 2 <= held_out <= rows - 2:
        raise DataError(
            f"data.validation_split: must leave two rows on both sides, got {validation_split} for {rows} "
            "training rows"
        )
    order = np.random.default_rng(seed).permutation(rows)
    return order[held_out:], order[:held_out]


def _by_class(data: Dataset, validation_split: float, seed: int) -> tuple[Array, Array]:
    from sklearn.model_selection import train_test_split

    try:
        train, val = train_test_split(
            np.arange(len(data.y_train)),
            test_size=validation_split,
            stratify=data.y_train,
            random_state=seed,
        )
    except ValueError as error:
        raise DataError(
            "data.validation_split: must leave an image of each class on both sides, got "
            f"{validation_split} for {len(data.y_train)} training images of {data.classes} classes: "
            f"{error}"
        ) from None
    return _with_every_class(data.y_train, np.array(train), np.array(val))


def _with_every_class(labels: Array, train: Array, val: Array) -> tuple[Array, Array]:
    """Move the first image of each class that is missing on one side over from the other side."""
    classes = np.arange(labels.max() + 1)
    for label in np.setdiff1d(classes, labels[val]):
        moved = train[labels[train] == label][:1]
        train, val = np.setdiff1d(train, moved), np.append(val, moved)
    for label in np.setdiff1d(classes, labels[train]):
        moved = val[labels[val] == label][:1]
        train, val = np.append(train, moved), np.setdiff1d(val, moved)
    return train, val


def batch_order(n: int, seed: int, epoch: int) -> Array:
    """A permutation of `n` training images, different for each pass over them (counted from 1).

    Keras's own shuffling repeats the same order in every epoch once the global seed is set.
    """
    return np.random.default_rng([seed, epoch]).permutation(n)
