"""The training and validation split of a seed, and the order of its batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from normsweep.errors import DataError
from normsweep.parts import Dataset

__all__ = ["Split", "batch_order", "split"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Split:
    """Raw images (n, height, width, channels) and labels (n,) int64."""

    x_train: Array
    y_train: Array
    x_val: Array
    y_val: Array


def split(data: Dataset, validation_split: float, seed: int) -> Split:
    """Hold out a share of the training images, drawn with the seed, with each class's share kept.

    A class too small for its share has one image on the side where it would have none.

    Raises:
        DataError: the share is too small, or too large, for an image of each class on both sides.
    """
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
            f"data.validation_split: received {validation_split} for {len(data.y_train)} training "
            f"images of {data.classes} classes; legal: a share with an image of each class: {error}"
        ) from None
    train, val = _with_every_class(data.y_train, np.array(train), np.array(val))
    train.sort()
    val.sort()
    return Split(data.x_train[train], data.y_train[train], data.x_train[val], data.y_train[val])


def _with_every_class(labels: Array, train: Array, val: Array) -> tuple[Array, Array]:
    """The two sides, the first image of a class that one of them lacks brought over from the other."""
    classes = np.arange(labels.max() + 1)
    for label in np.setdiff1d(classes, labels[val]):
        moved = train[labels[train] == label][:1]
        train, val = np.setdiff1d(train, moved), np.append(val, moved)
    for label in np.setdiff1d(classes, labels[train]):
        moved = val[labels[val] == label][:1]
        train, val = np.append(train, moved), np.setdiff1d(val, moved)
    return train, val


def batch_order(n: int, seed: int, epoch: int) -> Array:
    """The order of `n` training images in an epoch (from 1): a permutation of its own for each.

    Keras's own shuffling would repeat one order in every epoch once the global seed is set.
    """
    return np.random.default_rng([seed, epoch]).permutation(n)
