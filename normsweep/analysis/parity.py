"""From which epoch on an arm holds up to the reference, out of its confirmations."""

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
"""What each image adds to the metric, higher being better, (seeds, epochs, images): whether it was
told correctly, as bool or integers 0 and 1, or floats whose mean over the images is the metric."""


@dataclass(frozen=True)
class Pairs:
    """The values of an arm and of its reference, paired by seed and image.

    Both are (seeds, epochs, images). Epochs count from 1. With `fixed_at`
    the reference stands at that epoch, and only the arm is smoothed; otherwise both are taken at
    the same epoch and their difference is smoothed.

    Raises ValueError where the seeds or the images of the two differ in number.
    """

    arm: Values
    reference: Values
    fixed_at: int | None = None

    def __post_init__(self) -> None:
        if self.arm.shape[::2] != self.reference.shape[::2] or self.arm.ndim != 3:
            raise ValueError(
                "the values of both arms are (seeds, epochs, images) with the same seeds and images,"
                f" not {self.arm.shape} and {self.reference.shape}"
            )

    @property
    def seeds(self) -> int:
        return self.arm.shape[0]

    @property
    def images(self) -> int:
        return self.arm.shape[2]

    def reference_epoch(self, epoch: int) -> int:
        """The epoch at which the reference stands while the arm is at `epoch`."""
        return epoch if self.fixed_at is None else self.fixed_at

    def gap(self, epoch: int, window: int = WINDOW) -> Moments:
        """Arm − reference, a trailing mean over `window` epochs or as many as there are."""
        window = self._window(epoch, window)
        arm, epochs = _trailing(self.arm, epoch, window)
        if self.fixed_at is None:
            reference, _ = _trailing(self.reference, epoch, window)
        else:
            reference = epochs * at(self.reference, self.fixed_at)
        return moments(arm - reference, scale=epochs)

    def _window(self, epoch: int, window: int) -> int:
        """From the epoch of a fixed reference on, no epoch before it is averaged with it.

        On a rising curve a mean with earlier epochs would find an arm behind its own last epoch.
        """
        if self.fixed_at is None or epoch < self.fixed_at:
            return window
        return min(window, epoch - self.fixed_at + 1)

    def means(self, epoch: int, window: int = WINDOW) -> tuple[float, float]:
        """Means of arm and reference, over what `gap` compares at this epoch."""
        first = max(epoch - self._window(epoch, window), 0)
        stands = slice(first, epoch) if self.fixed_at is None else self.fixed_at - 1
        return float(self.arm[:, first:epoch].mean()), float(self.reference[:, stands].mean())


def parity(pairs: Pairs, horizon: int, margin: float, tail: float) -> tuple[int | None, int | None]:
    """The epochs N_low and N_up between which the arm comes within `margin`, to stay there.

    N_up is the first epoch from which on every epoch to the horizon has a lower bound (one-sided
    level `tail`, of the smoothed gap) above −margin: tests in a fixed sequence backwards from the
    horizon, that ends with the first failure, and so needs no correction for their number. N_low is
    the first epoch whose own gap has an upper bound of at least −margin. None: no such epoch.

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
    """The (seeds, images) table of one epoch, fit for sums and differences."""
    return values[:, epoch - 1].astype(np.float64 if values.dtype.kind == "f" else np.int8)


def _trailing(values: Values, epoch: int, window: int) -> tuple[NDArray[Any], int]:
    """The sum over the trailing epochs, and how many they are: whole numbers stay exact."""
    epochs = range(max(epoch - window, 0) + 1, epoch + 1)
    total = at(values, epochs[0])
    for one in epochs[1:]:
        total += at(values, one)
    return total, len(epochs)
