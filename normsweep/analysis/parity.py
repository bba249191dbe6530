"""Parity: the epoch from which on an arm is not worse than the reference by more than the margin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normsweep.analysis.estimates import Estimate, Moments, interval, moments

__all__ = ["WINDOW", "Pairs", "parity"]

WINDOW = 3
"""Epochs of the trailing mean."""

Values = NDArray[Any]
"""Value of each image, higher is better, (seeds, epochs, images): whether it was classified
correctly, as bool or integers 0 and 1, or floats whose mean over the images is the metric."""


@dataclass(frozen=True)
class Pairs:
    """The values of an arm and of its reference, paired by seed and image.

    Both are (seeds, epochs, images). Epochs count from 1. With `fixed_at` the reference is evaluated
    at that epoch, and only the arm is smoothed; otherwise both are evaluated at the same epoch, and
    their difference is smoothed.

    Raises ValueError if the numbers of seeds or of images differ.
    """

    arm: Values
    reference: Values
    fixed_at: int | None = None

    def __post_init__(self) -> None:
        if self.arm.shape[::2] != self.reference.shape[::2] or self.arm.ndim != 3:
            raise ValueError(
                "expected values (seeds, epochs, images) with the same seeds and images, got "
                f"{self.arm.shape} and {self.reference.shape}"
            )

    @property
    def seeds(self) -> int:
        return self.arm.shape[0]

    @property
    def images(self) -> int:
        return self.arm.shape[2]

    def reference_epoch(self, epoch: int) -> int:
        """The epoch of the reference that `epoch` of the arm is compared with."""
        return epoch if self.fixed_at is None else self.fixed_at

    def gap(self, epoch: int, window: int = WINDOW) -> Moments:
        """Arm − reference, as a trailing mean over at most `window` epochs."""
        window = self._window(epoch, window)
        arm, epochs = _trailing(self.arm, epoch, window)
        if self.fixed_at is None:
            reference, _ = _trailing(self.reference, epoch, window)
        else:
            reference = epochs * at(self.reference, self.fixed_at)
        return moments(arm - reference, scale=epochs)

    def _window(self, epoch: int, window: int) -> int:
        """The window, without epochs before that of a fixed reference.

        On a rising curve, a mean with earlier epochs is below the last epoch of the same curve.
        """
        if self.fixed_at is None or epoch < self.fixed_at:
            return window
        return min(window, epoch - self.fixed_at + 1)

    def means(self, epoch: int, window: int = WINDOW) -> tuple[float, float]:
        """Means of arm and reference over the epochs that `gap` compares."""
        first = max(epoch - self._window(epoch, window), 0)
        compared = slice(first, epoch) if self.fixed_at is None else self.fixed_at - 1
        return float(self.arm[:, first:epoch].mean()), float(self.reference[:, compared].mean())


def parity(pairs: Pairs, horizon: int, margin: float, tail: float) -> tuple[int | None, int | None]:
    """The epochs N_low and N_up between which the arm comes within `margin` and stays there.

    N_up is the first epoch such that the smoothed gap of this and every later epoch up to the horizon
    has a lower bound (one-sided level `tail`) above −margin. The epochs are tested in a fixed sequence
    backwards from the horizon that ends with the first failure, so no correction for multiple testing
    is needed. N_low is the first epoch whose unsmoothed gap has an upper bound of at least −margin.
    None: there is no such epoch.

    Reference: Westfall & Krishen, Journal of Statistical Planning and Inference 99(1), 2001 (fixed
    sequences of tests).
    """
    up = _last_run(pairs, horizon, margin, tail)
    low = _first_possible(pairs, horizon, margin, tail)
    if up is None or low is None:
        return up if low is None else low, up
    return min(low, up), up


def _last_run(pairs: Pairs, horizon: int, margin: float, tail: float) -> int | None:
    passed = None
    for epoch in range(horizon, 0, -1):
        if not interval(pairs.gap(epoch), tail).low > -margin:
            break
        passed = epoch
    return passed


def _first_possible(pairs: Pairs, horizon: int, margin: float, tail: float) -> int | None:
    def upper(epoch: int) -> Estimate:
        return interval(pairs.gap(epoch, window=1), tail)

    return next((e for e in range(1, horizon + 1) if upper(e).high >= -margin), None)


def at(values: Values, epoch: int) -> NDArray[Any]:
    """The (seeds, images) table of one epoch, in a dtype for sums and differences."""
    return values[:, epoch - 1].astype(np.float64 if values.dtype.kind == "f" else np.int8)


def _trailing(values: Values, epoch: int, window: int) -> tuple[NDArray[Any], int]:
    """The sum over the trailing epochs and their number; sums of integers are exact."""
    epochs = range(max(epoch - window, 0) + 1, epoch + 1)
    total = at(values, epochs[0])
    for one in epochs[1:]:
        total += at(values, one)
    return total, len(epochs)
