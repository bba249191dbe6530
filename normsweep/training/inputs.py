"""`Inputs`: what the network of one arm is fed, from one seed's split."""

from __future__ import annotations

from dataclasses import dataclass, replace

from normsweep.parts import Dataset
from normsweep.training.fronts import Front, fit_front
from normsweep.training.splits import Split, split

__all__ = ["Inputs", "prepare"]


@dataclass(frozen=True)
class Inputs:
    """The images of one arm: normalized where its front is fixed, raw where it learns."""

    normalization: str
    front: Front
    split: Split
    counts: tuple[int, ...]
    """Of all the training images, how many are of each class."""

    @property
    def classes(self) -> int:
        """The number of classes."""
        return len(self.counts)

    @property
    def shape(self) -> tuple[int, ...]:
        """(height, width, channels) of one image."""
        return self.split.x_train.shape[1:]

    @property
    def dtype(self) -> str:
        """float32 where the front is fixed, the dataset's own dtype where it learns."""
        return self.split.x_train.dtype.name

    @property
    def nbytes(self) -> int:
        """Bytes of the images."""
        return self.split.x_train.nbytes + self.split.x_val.nbytes


def prepare(dataset: Dataset, validation_split: float, seed: int, normalization: str) -> Inputs:
    """Split the training images, fit the normalization to the training part, apply it to both.

    A fixed front is applied once, here, so that all fixed arms share one compiled network.
    """
    parts = split(dataset, validation_split, seed)
    front = fit_front(normalization, parts.x_train)
    if front.fixed:
        x_train, x_val = front.apply(parts.x_train), front.apply(parts.x_val)
        parts = replace(parts, x_train=x_train, x_val=x_val)
    return Inputs(normalization, front, parts, tuple(dataset.counts.tolist()))
