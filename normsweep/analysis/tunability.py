"""How good the best of k trials is: what an arm gives for an effort of tuning."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["best_so_far", "expected_best", "expected_best_band"]

Floats = NDArray[np.float64]


def expected_best(scores: ArrayLike, k: int) -> float:
    """The mean, over all sets of k of the n trials, of the highest score in the set.

    Σ x₍ᵢ₎·C(i−1, k−1)/C(n, k) over the scores x₍₁₎ ≤ … ≤ x₍ₙ₎: unbiased where the trials are
    independent draws of one distribution, as random search makes them.

    `scores` are (n,) finite floats; a diverged trial counts with the score of a guess.
    Raises ValueError for scores that are not, and for a k outside 1 … n.
    Reference: Tang et al., Showing Your Work Doesn't Always Work, ACL 2020.
    """
    ordered = _ordered(scores)
    if not 1 <= k <= len(ordered):
        raise ValueError(f"the best of k of {len(ordered)} trials needs a k from 1 on, not {k}")
    return float(_weights(len(ordered), [k])[0] @ ordered)


def expected_best_band(
    scores: ArrayLike, rng: np.random.Generator, confidence: float = 0.95, draws: int = 2000
) -> Floats:
    """The bounds of `expected_best` for k = 1 … n, an (n, 2) array: percentile bootstrap of trials.

    NaN where k > n/4: a resample of n trials repeats its highest, so that the bootstrap of a
    maximum fails as k nears n, and it is somewhat narrow already at n/4.

    `scores` are as in `expected_best`; `draws` is the number of resamples.
    Reference: Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapters 7.4 and 13.
    """
    ordered = _ordered(scores)
    n = len(ordered)
    ks = range(1, n // 4 + 1)
    band = np.full((n, 2), np.nan)
    if ks:
        resamples = np.sort(ordered[rng.integers(0, n, (draws, n))], axis=1)
        tail = (1 - confidence) / 2
        bounds = np.quantile(resamples @ _weights(n, ks).T, (tail, 1 - tail), axis=0)
        band[: len(ks)] = bounds.T
    return band


def best_so_far(scores: ArrayLike) -> Floats:
    """The highest of the first 1, 2, … n scores, (n,) in the order of the trials.

    Trials of an adaptive sampler are not exchangeable, and this is all that they say. A NaN is a
    trial without a score, and adds nothing.
    """
    return np.fmax.accumulate(np.asarray(scores, np.float64))


def _ordered(scores: ArrayLike) -> Floats:
    values = np.sort(np.asarray(scores, np.float64))
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError("scores are finite numbers in one row")
    return values


def _weights(n: int, ks: Sequence[int]) -> Floats:
    """What each of n ordered scores counts for the best of k, (len(ks), n)."""
    # Whole numbers of any size, divided at the end: binomials of hundreds overflow floats.
    return np.array([[math.comb(i, k - 1) / math.comb(n, k) for i in range(n)] for k in ks])
