"""Confidence intervals of a mean over seeds and test images, for new seeds and new images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

__all__ = [
    "IMAGES",
    "Estimate",
    "Moments",
    "interval",
    "moments",
    "more_seeds",
    "seeds_only",
    "smallest_margin",
]

POWER = 0.84
"""Normal quantile of a power of 80 %."""


IMAGES = "images"
"""Returned by `more_seeds` if more test images are needed, not more seeds."""


STEPS = (5, 10, 20)


@dataclass(frozen=True)
class Estimate:
    """A value with its interval; `n` is the number of seeds. Unknown bounds are NaN."""

    value: float
    low: float
    high: float
    n: int

    def times(self, sign: int) -> Estimate:
        """The estimate multiplied by `sign`, 1 or −1."""
        return self if sign > 0 else Estimate(-self.value, -self.high, -self.low, self.n)


@dataclass(frozen=True)
class Moments:
    """Mean of a seeds × images table and its variance components.

    `v_seeds` and `v_images` are the parts of the variance of the mean that decrease with more seeds
    and more images; the residual is in `v_seeds`. `dof` is the Satterthwaite degrees of freedom of
    their sum. All three are NaN for fewer than two seeds or two images.
    """

    mean: float
    seed_means: tuple[float, ...]
    v_seeds: float
    v_images: float
    dof: float
    images: int

    @property
    def n(self) -> int:
        """The number of seeds."""
        return len(self.seed_means)

    @property
    def variance(self) -> float:
        """Variance of the mean over new seeds and new images."""
        return self.v_seeds + self.v_images


def moments(table: NDArray[Any], scale: int = 1) -> Moments:
    """Two-way analysis of variance, without replication, of a (seeds, images) table.

    The table is bool, integer or float of shape (n, M): correctness bits, another metric plus the
    influence of each image, or differences of these. It is divided by `scale`, so that a mean of bits
    can be passed as a sum. With mean squares MS, `v_seeds` = Var(seed means)/n and
    `v_images` = max(MS_images − MS_residual, 0)/(n·M).

    Raises ValueError if the table does not have two axes.
    Reference: Searle, Casella & McCulloch, Variance Components, 1992, chapter 4.
    """
    if table.ndim != 2:
        raise ValueError(f"expected a table (seeds, images) with 2 axes, got {table.ndim}")
    n, images = table.shape
    if n == 0 or images == 0:
        return Moments(math.nan, (math.nan,) * n, math.nan, math.nan, math.nan, images)
    seed_means = table.sum(axis=1, dtype=np.float64) / images
    v_seeds, v_images = (part / scale**2 for part in _parts(table, seed_means))
    dof = satterthwaite((v_seeds, n - 1), (v_images, images - 1))
    means = tuple(float(mean) / scale for mean in seed_means)
    return Moments(float(seed_means.mean()) / scale, means, v_seeds, v_images, dof, images)


def interval(m: Moments, tail: float) -> Estimate:
    """The mean ± t·√(v_seeds + v_images): for new seeds and new images.

    Each bound has error probability `tail` (0.025: the usual 95 % interval).
    """
    return _around(m, m.variance, m.dof, tail)


def seeds_only(m: Moments, tail: float) -> Estimate:
    """The mean ± t·√v_seeds with n − 1 degrees of freedom: for new seeds on the same images."""
    return _around(m, m.v_seeds, m.n - 1, tail)


def satterthwaite(*parts: tuple[float, float]) -> float:
    """Degrees of freedom of a sum of (variance, degrees of freedom) parts: V²/Σ(Vₖ²/νₖ).

    If all parts are zero, the smallest degrees of freedom.
    Reference: Satterthwaite, Biometrics Bulletin 2(6), 1946.
    """
    total = sum(variance for variance, _ in parts)
    if math.isnan(total):
        return math.nan
    if total == 0:
        return min(dof for _, dof in parts)
    # By shares, because squares of tiny variances underflow to zero.
    return 1 / sum((variance / total) ** 2 / dof for variance, dof in parts)


def _parts(table: NDArray[Any], seed_means: NDArray[np.float64]) -> tuple[float, float]:
    """Variance of the mean due to seeds (with the residual), and due to images."""
    n, images = table.shape
    if n < 2 or images < 2:
        return math.nan, math.nan
    mean = seed_means.mean()
    of_seeds = images * float(np.square(seed_means - mean).sum())
    of_images = n * float(np.square(table.sum(axis=0, dtype=np.float64) / n - mean).sum())
    # Sums without a copy as floats, which would be eight times as large as the bits.
    squares = np.einsum("ij,ij->", table, table, dtype=np.float64, casting="unsafe")
    total = float(squares) - n * images * float(mean) ** 2
    residual = max(total - of_seeds - of_images, 0.0)
    excess = of_images / (images - 1) - residual / ((n - 1) * (images - 1))
    return of_seeds / ((n - 1) * n * images), max(excess, 0.0) / (n * images)


def _around(m: Moments, variance: float, dof: float, tail: float) -> Estimate:
    if math.isnan(variance):
        return Estimate(m.mean, math.nan, math.nan, m.n)
    reach = float(stdtrit(dof, 1 - tail)) * math.sqrt(variance)
    return Estimate(m.mean, m.mean - reach, m.mean + reach, m.n)


def smallest_margin(m: Moments) -> float:
    """The smallest equivalence margin that this number of test images can confirm, with any seeds.

    2.8 standard errors of the images: 1.96 for the 95 % interval and 0.84 for a power of 80 %.
    NaN if the variance of the images is unknown.
    """
    return 2.8 * math.sqrt(m.v_images)


def more_seeds(m: Moments, margin: float, tail: float) -> str:
    """The number of further seeds that decide with a power of 80 % whether the mean is above −margin.

    `tail` is the one-sided level of the next analysis; the observed mean is taken as the true one.
    "5", "10", "20" or a multiple of ten; "more than N" beyond 20 and three times the present seeds;
    "images" if the variance of the images is too large by itself, and the seeds would otherwise be
    few enough.
    """
    most = max(STEPS[-1], 3 * m.n)
    needed = ((m.mean + margin) / (POWER - float(ndtri(tail)))) ** 2
    seeds = _further(m, needed - m.v_images)
    if seeds > most and m.v_images > 0 and needed <= m.v_images and _further(m, needed) <= most:
        return IMAGES
    return _rounded(seeds, most)


def _further(m: Moments, allowed: float) -> float:
    """Further seeds until the seeds' part of the variance is at most `allowed`."""
    return m.n * m.v_seeds / allowed - m.n if allowed > 0 else math.inf


def _rounded(seeds: float, most: int) -> str:
    if seeds > most:
        return f"more than {most}"
    return str(next((step for step in STEPS if seeds <= step), 10 * math.ceil(seeds / 10)))
