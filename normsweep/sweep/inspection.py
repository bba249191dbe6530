"""`Inspection`: a network that ended no better than guessing, as its worker measured it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

__all__ = ["INSPECTED", "Inspection"]

INSPECTED = 512
"""Validation images that are looked at, at most."""


@dataclass(frozen=True)
class Inspection:
    """Measured on validation images after the last step; NaN: there is no such layer."""

    input_range: float
    """The largest difference between two images in any input of the network; 0: all images are the same."""
    same_output: float
    """The share of the images for which the network has one and the same output."""
    gradient: float
    """Euclidean norm of the loss's gradient in the first layer with weights, on the images with that output.

    NaN if these are less than half of all, or that layer is the only one.
    """
    batch_accuracy: float
    """Accuracy if BatchNormalization takes the statistics of each batch, as it does in training."""
    momentum: float
    """The largest momentum of the running averages of a BatchNormalization."""
    steps: int
    """Training steps so far."""

    def to_plain(self) -> dict[str, float | str]:
        """Encode as JSON values, with non-finite numbers as strings; `from_plain` decodes it."""
        return {k: v if math.isfinite(v) else str(v) for k, v in asdict(self).items()}

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> Self:
        """Decode what `to_plain` returned."""
        numbers = {name: float(value) for name, value in content.items() if name != "steps"}
        return cls(**numbers, steps=int(content["steps"]))
