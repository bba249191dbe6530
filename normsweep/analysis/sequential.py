"""The sequential confirmation: an analysis after every further seed, at levels that share one error rate.

What is still open after an analysis: whether further seeds can decide, and how many would.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtr, stdtrit

from normsweep.analysis.estimates import Moments

__all__ = ["Hope", "hope", "levels", "seeds_until_decided", "spent"]

Values = NDArray[np.float64]

ENDS = 2.5
"""Level of the first and of the last analysis, relative to those between: for clear cases, and for power."""
COARSE, FINE, POINTS = 100, 400, 32
"""Nodes of the statistic after each seed, and points of the integral over the next: exact to 0.05 %."""

UNLIKELY, LIKELY = 0.05, 0.5
"""Conditional power below which an arm is given up, and above which more test data is needed."""


class Hope(StrEnum):
    """Whether further seeds can decide, at the effect and the noise seen so far."""

    SEEDS = "more seeds"
    IMAGES = "more test data"
    NONE = "nothing"


def hope(low: Moments, high: Moments, margin: float, level: float, most: int) -> Hope:
    """What can still decide whether the gap is above or below −`margin`.

    `low` and `high` are the moments from which the lower and the upper bound are computed, `level` is the
    one-sided level of the last analysis, after `most` seeds. If the conditional power of that analysis is
    below 5 %, seeds are no hope; if it were over 50 % without the variance of the images, images are.
    The variance of the seeds is taken as known, the gap so far as the true one. Stopping then cannot
    make an outcome wrong, only leave it open.
    """
    if low.n >= most:
        return Hope.NONE
    if _power(low, high, margin, level, most) >= UNLIKELY:
        return Hope.SEEDS
    without = _power(low, high, margin, level, most, images=0.0)
    return Hope.IMAGES if without > LIKELY else Hope.NONE


def seeds_until_decided(
    low: Moments, high: Moments, margin: float, at: Sequence[float], most: int
) -> int | None:
    """Further seeds until an analysis decides, if gap and noise stay what they are; None: none with up to `most`.

    `at` are the levels of the analyses, of which the last one is after `most` seeds.
    """
    for seeds in range(max(low.n + 1, most - len(at) + 1), most + 1):
        level = at[seeds - most - 1]
        above = low.mean + margin > _half_width(low, level, seeds)
        if above or high.mean + margin < -_half_width(high, level, seeds):
            return seeds - low.n
    return None


def _power(
    low: Moments, high: Moments, margin: float, level: float, most: int, images: float = 1.0
) -> float:
    """Conditional power of the analysis after `most` seeds, with this share of the images' variance."""
    spread = math.sqrt(low.n * low.v_seeds * (1 / low.n - 1 / most))
    above = low.mean + margin - _half_width(low, level, most, images)
    below = -(high.mean + margin) - _half_width(high, level, most, images)
    if spread == 0:
        return float(above > 0 or below > 0)
    return float(stdtr(low.n - 1, above / spread) + stdtr(low.n - 1, below / spread))


def _half_width(m: Moments, level: float, seeds: int, images: float = 1.0) -> float:
    """Half-width of the interval after so many seeds, with the variances seen so far."""
    t, z = float(stdtrit(seeds - 1, 1 - level)), float(ndtri(1 - level))
    return math.sqrt(t * t * m.n * m.v_seeds / seeds + z * z * images * m.v_images)


@lru_cache
def levels(side: float, first: int, most: int) -> tuple[float, ...]:
    """The one-sided levels of the analyses after `first`, `first` + 1, …, `most` seeds.

    Together they spend `side`: with Gaussian noise between seeds and none between images, a true gap at
    the boundary is crossed in any of the analyses with this probability.

    Raises:
        ValueError: `side` is not between 0 and 0.5, or not 2 <= `first` <= `most`.
    """
    if not (0 < side < 0.5 and 2 <= first <= most):
        raise ValueError(
            f"expected 0 < side < 0.5 and 2 <= first <= most, got {side}, {first}, {most}"
        )
    if first == most:
        return (side,)
    at = np.ones(most - first + 1)
    at[[0, -1]] = ENDS
    at *= side / at.sum()
    for nodes in (COARSE,) * 4 + (FINE,) * 2:
        at *= side / spent(at, first, nodes)  # which is nearly proportional to the levels
    # The same on machines that differ in the last bits.
    return tuple(float(f"{level:.5g}") for level in at)


def spent(at: Values, first: int, count: int) -> float:
    """Probability that Student's t of a sequence of normal values is beyond any of the levels.

    Backwards over the seeds, for u = sum / √(sum of squares), which with each value x becomes
    u·cos θ + sin θ. Here tan θ = x / √(sum of squares so far) does not depend on u: √n·tan θ is
    Student's t with n degrees of freedom.
    """
    most = first + len(at) - 1
    bound = _bound(most, at[-1])
    nodes, later = np.array([-math.sqrt(most), bound]), np.zeros(2)
    for n in range(most - 1, first - 1, -1):
        before = _nodes(n, at[n - first], count)
        later = _crossed_later(n, before, bound, nodes, later)
        nodes, bound = before, float(before[-1])
    # The angle of u = √n·sin φ after n values has a density like cos^(n − 2).
    angles = np.arcsin(np.clip(nodes / math.sqrt(first), -1, 1))
    return float(at[0] + np.trapezoid(later * _density(first - 1, angles), angles))


def _crossed_later(n: int, u: Values, bound: float, nodes: Values, later: Values) -> Values:
    """Probability, given u after n values, to cross from n + 1 on; `later`: from n + 2 on, at `nodes`."""
    turn = np.arctan(u)
    reach = np.arcsin(np.minimum(bound / np.sqrt(1 + u * u), 1))
    high = np.minimum(math.pi - reach - turn, math.pi / 2)
    low = np.minimum(reach - turn, high)  # beyond the bound from low to high
    crossed = stdtr(n, math.sqrt(n) * np.tan(high)) - stdtr(n, math.sqrt(n) * np.tan(low))
    ends = np.full_like(u, math.pi / 2)
    x, weights = np.polynomial.legendre.leggauss(POINTS)
    for start, end in ((-ends, low), (high, ends)):
        half = (end - start) / 2
        theta = ((start + end) / 2)[:, None] + half[:, None] * x
        after = np.interp(u[:, None] * np.cos(theta) + np.sin(theta), nodes, later)
        crossed = crossed + half * ((after * _density(n, theta)) @ weights)
    return crossed


def _density(n: int, theta: Values) -> Values:
    """Density of θ, where √n·tan θ is Student's t with n degrees of freedom."""
    log = math.lgamma((n + 1) / 2) - math.lgamma(n / 2) - math.log(math.pi) / 2
    return math.exp(log) * np.cos(theta) ** (n - 1)


def _bound(n: int, level: float) -> float:
    """The u beyond which Student's t of n values is significant at a one-sided level."""
    t = float(stdtrit(n - 1, 1 - level))
    return t * math.sqrt(n / (n - 1 + t * t))


def _nodes(n: int, level: float, count: int) -> Values:
    """Values of u up to the bound, closer to one another near it."""
    end = math.asin(_bound(n, level) / math.sqrt(n))
    return math.sqrt(n) * np.sin(end - (end + math.pi / 2) * np.linspace(1, 0, count) ** 2)
