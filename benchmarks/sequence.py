"""The rules of a verdict for thousands of simulated studies at once, written independently of normsweep.

Only the levels of the analyses are normsweep's. Tests compare the results with those of `judge`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

__all__ = [
    "FIRST",
    "MOST",
    "NAMES",
    "Ends",
    "Sums",
    "bounds",
    "ends",
    "read",
    "same_everywhere",
    "sums",
]

Floats = NDArray[np.float64]
FIRST, MOST = 5, 20
NAMES = ("open", "ahead", "level", "a little behind", "behind", "clearly behind", "contradictory")
OPEN, AHEAD, LEVEL, LITTLE, BEHIND, CLEARLY, EMPTY = range(7)
DECIDED = (AHEAD, LEVEL, LITTLE, CLEARLY)
UNLIKELY = 0.05
"""Conditional power below which an arm is given up."""


@dataclass(frozen=True)
class Sums:
    """Sums over tables of differences, for the first 5, 6, … pairs of each study, (studies, analyses).

    `total` of all differences, `squares` of their squares, `by_seed` and `by_image` of the squares of the
    sums over images and over seeds. NaN where a study has fewer pairs. All tables have `images` images.
    """

    images: int
    total: Floats
    squares: Floats
    by_seed: Floats
    by_image: Floats

    def with_image(self, value: float | Floats) -> Sums:
        """The same with one more image that has a value in all seeds."""
        n = np.arange(FIRST, MOST + 1)
        return Sums(
            self.images + 1,
            self.total + n * value,
            self.squares + n * value**2,
            self.by_seed + 2 * value * self.total + n * value**2,
            self.by_image + (n * value) ** 2,
        )

    def parts(self) -> tuple[Floats, Floats, Floats]:
        """Mean, and the parts of its variance due to seeds and to images (Searle et al. 1992)."""
        n, images = np.arange(FIRST, MOST + 1), self.images
        centre = self.total**2 / (n * images)
        of_seeds, of_images = self.by_seed / images - centre, self.by_image / n - centre
        rest = np.maximum(self.squares - centre - of_seeds - of_images, 0)
        excess = of_images / (images - 1) - rest / ((n - 1) * (images - 1))
        v_seeds = of_seeds / ((n - 1) * n * images)
        return self.total / (n * images), v_seeds, np.maximum(excess, 0) / (n * images)


def sums(tables: Sequence[NDArray[Any]], images: int) -> Sums:
    """The sums of tables (pairs, images); images that are missing are 0 in all seeds."""
    found = np.full((4, len(tables), MOST - FIRST + 1), np.nan)
    for place, table in enumerate(tables):
        if len(table) < FIRST:
            continue
        seeds = table.sum(axis=1, dtype=np.float64)
        images_so_far = np.cumsum(table, axis=0, dtype=np.float64)[FIRST - 1 :]
        rows = (
            seeds.cumsum(),
            np.square(table).sum(axis=1, dtype=np.float64).cumsum(),
            np.square(seeds).cumsum(),
        )
        count = len(table) - FIRST + 1
        for row, values in zip(found, rows, strict=False):
            row[place, :count] = values[FIRST - 1 :]
        found[3, place, :count] = np.einsum("ij,ij->i", images_so_far, images_so_far)
    return Sums(images, *found)


def same_everywhere(values: Floats, images: int) -> Sums:
    """The sums of tables whose images all have the same difference, (studies, pairs): without noise of images."""
    values, squares = values.cumsum(axis=1), np.square(values).cumsum(axis=1)
    total, squared = values[:, FIRST - 1 :], squares[:, FIRST - 1 :]
    return Sums(images, images * total, images * squared, images**2 * squared, images * total**2)


def bounds(found: Sums, tails: Floats, image: float | Floats = 1.0) -> tuple[Floats, Floats]:
    """Lower and upper bound of each analysis, at its one-sided level."""
    if not np.any(image):
        mean, seeds, images = found.parts()
        return mean - _half(seeds, images, tails), mean + _half(seeds, images, tails)
    low, seeds, images = found.with_image(-image).parts()
    low = low - _half(seeds, images, tails)
    high, seeds, images = found.with_image(image).parts()
    return low, high + _half(seeds, images, tails)


def _half(seeds: Floats, images: Floats, tails: Floats) -> Floats:
    n = np.arange(FIRST, MOST + 1)
    return np.sqrt(t.isf(tails, n - 1) ** 2 * seeds + norm.isf(tails) ** 2 * images)


def read(low: Floats, high: Floats, margin: float) -> NDArray[np.int64]:
    """The outcome of each interval, as an index into `NAMES`."""
    return np.select(
        [
            low > high,
            low > 0,
            (low > -margin) & (high >= 0),
            low > -margin,
            high < -margin,
            high < 0,
        ],
        [EMPTY, AHEAD, LEVEL, LITTLE, CLEARLY, BEHIND],
        OPEN,
    )


@dataclass(frozen=True)
class Ends:
    """Where studies stop: outcome, pairs, and the printed interval, the intersection of all analyses.

    `last` is the outcome if all pairs were trained anyway, `low_last` and `high_last` its interval. The outcome is
    −1 if there are fewer than 5 pairs.
    """

    outcome: NDArray[np.int64]
    pairs: NDArray[np.int64]
    low: Floats
    high: Floats
    futile: NDArray[np.bool_]
    last: NDArray[np.int64]
    low_last: Floats
    high_last: Floats
    revoked: NDArray[np.bool_]
    """Whether an outcome was ever followed by one that says something else."""


def ends(found: Sums, tails: Floats, margin: float, futility: bool = True) -> Ends:
    """Walk through the analyses of all studies, each to where it stops."""
    low, high = bounds(found, tails)
    low, high = np.fmax.accumulate(low, axis=1), np.fmin.accumulate(high, axis=1)
    outcomes = read(low, high, margin)
    done = ~np.isnan(found.total)
    last = np.maximum(done.sum(axis=1) - 1, 0)
    stop = np.isin(outcomes, DECIDED)
    idle = _futile(found, tails, margin) if futility else np.zeros_like(stop)
    first = np.where((stop | idle).any(axis=1), (stop | idle).argmax(axis=1), last)
    first = np.minimum(first, last)
    rows = np.arange(len(low))
    some = done[:, 0]
    return Ends(
        outcome=np.where(some, outcomes[rows, first], -1),
        pairs=FIRST + first,
        low=low[rows, first],
        high=high[rows, first],
        futile=idle[rows, first] & ~stop[rows, first],
        last=np.where(some, outcomes[rows, last], -1),
        low_last=low[rows, last],
        high_last=high[rows, last],
        revoked=_revoked(outcomes),
    )


SHARPER = {
    OPEN: (AHEAD, LEVEL, LITTLE, BEHIND, CLEARLY, EMPTY),
    LEVEL: (AHEAD, LITTLE, EMPTY),
    BEHIND: (LITTLE, CLEARLY, EMPTY),
    AHEAD: (EMPTY,),
    LITTLE: (EMPTY,),
    CLEARLY: (EMPTY,),
    EMPTY: (),
}
"""Outcomes that agree with an earlier one, or say that the analyses exclude one another."""


def _revoked(outcomes: NDArray[np.int64]) -> NDArray[np.bool_]:
    allowed = np.eye(len(NAMES), dtype=bool)
    for before, after in SHARPER.items():
        allowed[before, list(after)] = True
    return ~allowed[outcomes[:, :-1], outcomes[:, 1:]].all(axis=1)


def _futile(found: Sums, tails: Floats, margin: float) -> NDArray[np.bool_]:
    """Whether the last analysis would decide with a probability under 5 %, at the gap and noise so far."""
    n = np.arange(FIRST, MOST + 1)
    chance = np.zeros_like(found.total)
    for sign in (1, -1):
        mean, seeds, images = found.with_image(-sign).parts()
        variance = n * seeds
        final = (
            norm.isf(tails[-1]) ** 2 * images + t.isf(tails[-1], MOST - 1) ** 2 * variance / MOST
        )
        ahead = sign * (mean + margin) - np.sqrt(final)
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = np.sqrt(variance * (1 / n - 1 / MOST))
            chance += np.where(spread > 0, t.cdf(ahead / spread, n - 1), ahead > 0)
    return (chance < UNLIKELY) & (n < MOST)
