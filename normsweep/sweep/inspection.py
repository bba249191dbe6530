"""`Inspection`: a network that ended no better than guessing, as its worker measured it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

__all__ = ["INSPECTED", "Inspection"]

INSPECTED = 512
"""Validation images that are looked at, at most."""


@dataclass(frozen=True)
class Inspection:
    """Measured on validation images after the last step; None: there is no such layer."""

    input_range: float
    """The largest difference between two images in any input of the network; 0: all images are the same."""
    same_output: float
    """The share of the images for which the network has one and the same output."""
    gradient: float | None
    """Euclidean norm of the loss's gradient in the first layer with weights, on the images with that output.

    None if these are less than half of all, if that layer is the only one, or if it is not finite.
    """
    batch_accuracy: float | None
    """Accuracy if BatchNormalization takes the statistics of each batch, as it does in training."""
    momentum: float | None
    """The largest momentum of the running averages of a BatchNormalization."""
    steps: int
    """Training steps so far."""

    def to_plain(self) -> dict[str, float | None]:
        """Encode as JSON values; `from_plain` decodes it."""
        return asdict(self)

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> Self:
        """Decode what `to_plain` returned."""
        return cls(**content)
