"""Confidence intervals of a mean over seeds and test images, for new seeds and new images."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
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
    "satterthwaite",
    "seeds_only",
    "smallest_margin",
    "welch",
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

    @property
    def bounds(self) -> tuple[float, float]:
        """The lower and the upper bound."""
        return self.low, self.high

    def plus(self, amount: float) -> Estimate:
        """The estimate moved by `amount`."""
        return Estimate(self.value + amount, self.low + amount, self.high + amount, self.n)

    def times(self, sign: int) -> Estimate:
        """The estimate multiplied by `sign`, 1 or −1."""
        return self if sign > 0 else Estimate(-self.value, -self.high, -self.low, self.n)


@dataclass(frozen=True)
class Moments:
    """Mean of a seeds × images table and its analysis of variance.

    `v_seeds` is the part of the variance of the mean that decreases with more seeds; the residual is in
    it. `ms_images` and `ms_residual` are the mean squares between images and of the residual. All
    three are NaN for fewer than two seeds or two images. `freedom` are the degrees of freedom of
    `v_seeds`; None: one less than the seeds.
    """

    mean: float
    seed_means: tuple[float, ...]
    v_seeds: float
    ms_images: float
    ms_residual: float
    images: int
    freedom: float | None = None

    @property
    def n(self) -> int:
        """The number of seeds."""
        return len(self.seed_means)

    @property
    def v_images(self) -> float:
        """The part of the variance of the mean that decreases with more images."""
        cells = self.n * self.images
        # Of NaN and 0 the maximum is the first one.
        return max(self.ms_images - self.ms_residual, 0.0) / cells if cells else math.nan

    @property
    def variance(self) -> float:
        """Variance of the mean over new seeds and new images."""
        return self.v_seeds + self.v_images

    def with_image(self, value: float) -> Moments:
        """The moments of the table with one more image that has this value in all seeds."""
        n, images = self.n, self.images
        if not images:
            return self
        share = images / (images + 1)
        of_seeds = self.v_seeds * n * (n - 1) * images
        of_images = self.ms_images * (images - 1) + n * share * (self.mean - value) ** 2
        residual = self.ms_residual * (n - 1) * (images - 1) + of_seeds / (images + 1)
        return Moments(
            mean=share * self.mean + (1 - share) * value,
            seed_means=tuple(share * mean + (1 - share) * value for mean in self.seed_means),
            v_seeds=share**2 * self.v_seeds,
            ms_images=of_images / images,
            ms_residual=residual / (max(n - 1, 1) * images),
            images=images + 1,
            freedom=self.freedom,
        )


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
    v_seeds, ms_images, ms_residual = (part / scale**2 for part in _parts(table, seed_means))
    means = tuple(float(mean) / scale for mean in seed_means)
    mean = float(seed_means.mean()) / scale
    return Moments(mean, means, v_seeds, ms_images, ms_residual, images)


def welch(arm: NDArray[Any], reference: NDArray[Any], scale: int = 1) -> Moments:
    """The moments of arm − reference for tables (seeds, images) whose seeds are not paired.

    Images are the same, in the same order; the numbers of seeds may differ, and `n` is the smaller
    one. `v_seeds` is the sum of both, with Satterthwaite's degrees of freedom; `seed_means` are those of
    the differences of as many seeds in the order given, and only their number has a meaning.

    Raises ValueError if the images differ.
    Reference: Welch, Biometrika 34(1–2), 1947.
    """
    if arm.shape[1:] != reference.shape[1:]:
        raise ValueError(f"expected the same images, got {arm.shape[1:]} and {reference.shape[1:]}")
    a, b = moments(arm, scale), moments(reference, scale)
    n = min(a.n, b.n)
    if n < 2 or a.images < 2:
        return Moments(a.mean - b.mean, (math.nan,) * n, math.nan, math.nan, math.nan, a.images)
    by_image = arm.mean(axis=0, dtype=np.float64) - reference.mean(axis=0, dtype=np.float64)
    return Moments(
        mean=a.mean - b.mean,
        seed_means=tuple(x - y for x, y in zip(a.seed_means[:n], b.seed_means[:n], strict=True)),
        v_seeds=a.v_seeds + b.v_seeds,
        ms_images=n * float(by_image.var(ddof=1)) / scale**2,
        ms_residual=n * (a.ms_residual / a.n + b.ms_residual / b.n),
        images=a.images,
        freedom=satterthwaite((a.v_seeds, a.n - 1), (b.v_seeds, b.n - 1)),
    )


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


def interval(m: Moments, tail: float, image: float = 0.0) -> Estimate:
    """The mean ± √(t²·v_seeds + z²·v_images): for new seeds and new images.

    Each bound has error probability `tail` (0.025: the usual 95 % interval); t is Student's with the
    degrees of freedom of the seeds, z normal. With `image`, the lower bound is that of the table with one more image
    that is −`image` in all seeds, and the upper bound that with one of +`image`: images that none of
    the present ones is like may exist.
    """
    if not image:
        return Estimate(m.mean, m.mean - _half(m, tail), m.mean + _half(m, tail), m.n)
    down, up = m.with_image(-image), m.with_image(image)
    return Estimate(m.mean, down.mean - _half(down, tail), up.mean + _half(up, tail), m.n)


def seeds_only(m: Moments, tail: float) -> Estimate:
    """The mean ± t·√v_seeds, Student's t: for new seeds on the same images."""
    half = _student(m, tail) * math.sqrt(m.v_seeds)
    return Estimate(m.mean, m.mean - half, m.mean + half, m.n)


def _half(m: Moments, tail: float) -> float:
    """Half the width of the interval."""
    of_seeds = _student(m, tail) ** 2 * m.v_seeds
    return math.sqrt(of_seeds + float(ndtri(tail)) ** 2 * m.v_images)


def _student(m: Moments, tail: float) -> float:
    freedom = m.n - 1 if m.freedom is None else m.freedom
    return float(stdtrit(freedom, 1 - tail)) if m.n > 1 else math.nan


def _parts(table: NDArray[Any], seed_means: NDArray[np.float64]) -> tuple[float, float, float]:
    """Variance of the mean due to seeds (with the residual); mean squares of images and residual."""
    n, images = table.shape
    if n < 2 or images < 2:
        return math.nan, math.nan, math.nan
    mean = seed_means.mean()
    of_seeds = images * float(np.square(seed_means - mean).sum())
    of_images = n * float(np.square(table.sum(axis=0, dtype=np.float64) / n - mean).sum())
    # Sums without a copy as floats, which would be eight times as large as the bits.
    squares = np.einsum("ij,ij->", table, table, dtype=np.float64, casting="unsafe")
    total = float(squares) - n * images * float(mean) ** 2
    residual = max(total - of_seeds - of_images, 0.0)
    return (
        of_seeds / ((n - 1) * n * images),
        of_images / (images - 1),
        residual / ((n - 1) * (images - 1)),
    )


def smallest_margin(m: Moments, tail: float, image: float = 0.0) -> float:
    """The smallest equivalence margin that this number of test images can confirm, with any seeds.

    With a power of 80 % for a true mean of 0; `tail` and `image` are as in `interval`. NaN if the
    variance of the images is unknown.
    """
    bound = replace(m, mean=0.0).with_image(-image) if image else m
    shift = bound.mean if image else 0.0
    return -float(ndtri(tail)) * math.sqrt(bound.v_images) - shift + POWER * math.sqrt(m.v_images)


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
