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

    Raises:
        DataError: the share leaves a class without an image on one of the two sides.
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
    train.sort()
    val.sort()
    return Split(data.x_train[train], data.y_train[train], data.x_train[val], data.y_train[val])


def batch_order(n: int, seed: int, epoch: int) -> Array:
    """The order of `n` training images in an epoch (from 1): a permutation of its own for each.

    Keras's own shuffling would repeat one order in every epoch once the global seed is set.
    """
    return np.random.default_rng([seed, epoch]).permutation(n)
