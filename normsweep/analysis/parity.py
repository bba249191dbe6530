"""Parity: the epoch from which on an arm is not worse than the reference by more than the margin."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normsweep.analysis.estimates import Estimate, Moments, moments, welch

__all__ = ["Gap", "Pairs", "Parity", "Unpaired", "parity", "readings", "window_of"]

WINDOW = 3
"""Epochs of the trailing mean, at most."""
STEPS = 8
"""Parts of a horizon at whose ends rows are read, for the epoch of parity."""

Values = NDArray[Any]
"""Value of each image, higher is better, (seeds, epochs, images): whether it was classified
correctly, as bool or integers 0 and 1, or floats whose mean over the images is the metric."""


def window_of(horizon: int) -> int:
    """Epochs of the trailing mean up to a horizon: a quarter of it, from 1 to 3."""
    return min(WINDOW, max(1, horizon // 4))


def readings(*horizons: int) -> tuple[int, ...]:
    """The epochs after which questions with these horizons need the values of single rows.

    All up to 12. Beyond, those of the trailing mean at each horizon, and eight that share the longest one
    evenly, for the epoch of parity.
    """
    longest = max(horizons)
    if longest <= STEPS + STEPS // 2:
        return tuple(range(1, longest + 1))
    ends = {epoch for h in horizons for epoch in range(h - window_of(h) + 1, h + 1)}
    return tuple(sorted(ends | {round(longest * step / STEPS) for step in range(1, STEPS)}))


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

    def gap(self, epoch: int, window: int = 1) -> Moments:
        """Arm − reference, as a trailing mean over at most `window` epochs."""
        table, scale = self.table(epoch, window)
        return moments(table, scale)

    def gaps(
        self, epoch: int, window: int, seeds: Iterable[int], image: float | None, share: float = 0.0
    ) -> list[tuple[Moments, float]]:
        """The moments of the gap, and the difference of one more image; of the first so many pairs each.

        `image` is that difference if it is known; None: the largest mean over the seeds that was seen. With
        a `share`, the gap is that of `table`.
        """
        table, scale = self.table(epoch, window, share)
        parts = (table[:n] for n in seeds)
        return [(moments(part, scale), _largest(part, scale, image, share)) for part in parts]

    def table(self, epoch: int, window: int = 1, share: float = 0.0) -> tuple[NDArray[Any], int]:
        """The (seeds, images) differences as a sum over the trailing epochs, and their number.

        With a `share`, that of the size of the reference is added: arm − (1 ∓ share)·reference.
        """
        arm, reference, epochs = self._both(epoch, window, share)
        return arm - reference, epochs

    def _both(
        self, epoch: int, window: int, share: float = 0.0
    ) -> tuple[NDArray[Any], NDArray[Any], int]:
        """The (seeds, images) sums of arm and reference over the trailing epochs, and their number."""
        window = self.window(epoch, window)
        arm, epochs = _trailing(self.arm, epoch, window)
        if self.fixed_at is None:
            reference, _ = _trailing(self.reference, epoch, window)
        else:
            reference = epochs * at(self.reference, self.fixed_at)
        if share and len(reference):
            reference = (1 - share * math.copysign(1, float(reference.mean()))) * reference
        return arm, reference, epochs

    def window(self, epoch: int, window: int) -> int:
        """The epochs up to `epoch` that a trailing mean has, at most `window`.

        None before that of a fixed reference: on a rising curve, a mean with earlier epochs is below
        the last epoch of the same curve.
        """
        if self.fixed_at is not None and epoch >= self.fixed_at:
            window = min(window, epoch - self.fixed_at + 1)
        kept = (w for w in range(1, min(window, epoch)) if not self.read(epoch - w))
        return next(kept, min(window, epoch))

    def read(self, epoch: int) -> bool:
        """Whether the values after an epoch of the arm are known."""
        return _known(self.arm, epoch) and _known(self.reference, self.reference_epoch(epoch))

    def means(self, epoch: int, window: int = 1) -> tuple[float, float]:
        """Means of arm and reference over the epochs that `gap` compares."""
        first = epoch - self.window(epoch, window)
        compared = slice(first, epoch) if self.fixed_at is None else self.fixed_at - 1
        return float(self.arm[:, first:epoch].mean()), float(self.reference[:, compared].mean())


@dataclass(frozen=True)
class Unpaired(Pairs):
    """The same for seeds that are not paired; their numbers may differ, and `seeds` is the smaller one.

    Raises ValueError if the numbers of images differ.
    """

    def __post_init__(self) -> None:
        if self.arm.shape[2:] != self.reference.shape[2:] or self.arm.ndim != 3:
            raise ValueError(
                "expected values (seeds, epochs, images) with the same images, got "
                f"{self.arm.shape} and {self.reference.shape}"
            )

    @property
    def seeds(self) -> int:
        return min(len(self.arm), len(self.reference))

    def gap(self, epoch: int, window: int = 1) -> Moments:
        return welch(*self._both(epoch, window))

    def gaps(
        self, epoch: int, window: int, seeds: Iterable[int], image: float | None, share: float = 0.0
    ) -> list[tuple[Moments, float]]:
        """As of pairs, in one analysis of all seeds."""
        arm, reference, scale = self._both(epoch, window, share)
        by_image = [arm.mean(axis=0) - reference.mean(axis=0)] if self.seeds else []
        return [(welch(arm, reference, scale), _largest(np.array(by_image), scale, image, share))]


@dataclass(frozen=True)
class Parity:
    """The epochs from which on an arm is within the margin; None: there is none.

    `low` and `up` are bounds of the first one. Before `up` the arm was `behind`, by the interval of an
    epoch of its own; `level_until` is the last epoch at which it was level, without the last one.
    """

    low: int | None = None
    up: int | None = None
    behind: bool = False
    level_until: int | None = None


@dataclass(frozen=True)
class Gap:
    """Arm − reference, higher is better, and the same plus the margin."""

    plain: Estimate
    moved: Estimate

    @classmethod
    def of(cls, plain: Estimate, margin: float) -> Gap:
        """With a margin in the unit of the metric."""
        return cls(plain, plain.plus(margin))


Read = Callable[[int, bool], Gap]
"""The intervals of the gap at an epoch, smoothed or not."""


def parity(read: Read, epochs: Sequence[int]) -> Parity:
    """The epochs N_low and N_up between which the arm comes within the margin and stays there.

    `epochs` are those that are read, in their order; the last one is the horizon. N_up is the first one
    such that the smoothed gap of this and every later one has a lower bound above −margin. The epochs are tested in a fixed sequence backwards from the horizon
    that ends with the first failure, so no correction for multiple testing is needed. N_low is the
    first epoch whose unsmoothed gap has an upper bound of at least −margin.

    Reference: Westfall & Krishen, Journal of Statistical Planning and Inference 99(1), 2001 (fixed
    sequences of tests).
    """
    up, horizon = _last_run(read, epochs), epochs[-1]
    own = {epoch: read(epoch, False) for epoch in epochs}
    low = next((epoch for epoch, gap in own.items() if gap.moved.high >= 0), None)
    level = [e for e, gap in own.items() if gap.moved.low > 0 and e < horizon]
    return Parity(
        low=up if low is None else min(low, up or low),
        up=up,
        behind=any(
            gap.plain.high < 0 and gap.moved.low <= 0 for e, gap in own.items() if e < (up or 1)
        ),
        level_until=level[-1] if level and up is None else None,
    )


def _last_run(read: Read, epochs: Sequence[int]) -> int | None:
    passed = None
    for epoch in reversed(epochs):
        if not read(epoch, True).moved.low > 0:
            break
        passed = epoch
    return passed


def _largest(table: NDArray[Any], scale: int, image: float | None, share: float) -> float:
    if image is not None:
        return (1 + share) * image
    return float(np.abs(table.mean(axis=0)).max(initial=0.0)) / scale if len(table) else 0.0


def at(values: Values, epoch: int) -> NDArray[Any]:
    """The (seeds, images) table of one epoch, in a dtype for sums and differences."""
    return values[:, epoch - 1].astype(np.float64 if values.dtype.kind == "f" else np.int8)


def _known(values: Values, epoch: int) -> bool:
    return values.dtype.kind != "f" or not np.isnan(values[:, epoch - 1, :1]).any()


def _trailing(values: Values, epoch: int, window: int) -> tuple[NDArray[Any], int]:
    """The sum over the trailing epochs and their number; sums of integers are exact."""
    epochs = range(max(epoch - window, 0) + 1, epoch + 1)
    total = at(values, epochs[0])
    for one in epochs[1:]:
        total += at(values, one)
    return total, len(epochs)
