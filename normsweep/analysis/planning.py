"""What an undecided comparison still needs: seeds, test images, or a wider margin."""

from __future__ import annotations

import math

from scipy.special import ndtri

from normsweep.analysis.estimates import Moments

__all__ = ["IMAGES", "more_seeds", "smallest_margin"]

POWER = 0.84
"""Normal quantile of a power of 80 %."""

IMAGES = "images"
"""In place of a number of seeds: test images are what is missing."""

STEPS = (5, 10, 20)


def smallest_margin(m: Moments) -> float:
    """The margin under which no number of seeds confirms equality on a test set of this size.

    2.8 standard errors of the images: 1.96 for the 95 % interval and 0.84 for a power of 80 %.
    NaN where the images' variance is not known.
    """
    return 2.8 * math.sqrt(m.v_images)


def more_seeds(m: Moments, margin: float, tail: float) -> str:
    """How many more seeds decide with a power of 80 % whether the mean is above −margin.

    `tail` is the one-sided level of the look at which they will be read, and the mean found so far
    is taken for the true one. "5", "10", "20" or a multiple of ten; "more than N" past 20 and three
    times the seeds there are; "images" where the images' variance alone is already too large, and
    so many seeds would do if it were not.
    """
    most = max(STEPS[-1], 3 * m.n)
    needed = ((m.mean + margin) / (POWER - float(ndtri(tail)))) ** 2
    seeds = _further(m, needed - m.v_images)
    if seeds > most and m.v_images > 0 and needed <= m.v_images and _further(m, needed) <= most:
        return IMAGES
    return _rounded(seeds, most)


def _further(m: Moments, allowed: float) -> float:
    """Seeds beyond those there are, for a variance of the seeds' part of at most `allowed`."""
    return m.n * m.v_seeds / allowed - m.n if allowed > 0 else math.inf


def _rounded(seeds: float, most: int) -> str:
    if seeds > most:
        return f"more than {most}"
    return str(next((step for step in STEPS if seeds <= step), 10 * math.ceil(seeds / 10)))
