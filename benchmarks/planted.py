"""Simulated predictions of two arms with a known true gap, with noise like that of LeNet on MNIST.

Most test images are classified correctly by every network. For each of the others, drawn anew in
each replicate, a standard normal number, the sum of the effects in `Noise`, is compared with a
threshold set by the arm's accuracy. The expected accuracy over new images, seeds and epochs is exact
by construction, and both arms make errors on many of the same images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Bits = NDArray[np.bool_]


@dataclass(frozen=True)
class Noise:
    """The sources of variation, as fractions of the variance on a hard image.

    The defaults give, in percentage points of accuracy on one test set: epoch jitter 0.15, seed deviation 0.08,
    paired difference 0.24 for one epoch and 0.16 for a mean of three; the images' standard error of
    the gap is 0.055. Two networks of one arm share 62 % of their errors, of two arms 48 %.
    """

    images: int = 10_000
    """Number of test images."""

    accuracy: float = 0.989
    """Accuracy of the reference, at every epoch."""

    hard: float = 0.04
    """Fraction of the images that a network may classify incorrectly."""

    image: float = 0.45
    """Difficulty of an image, common to both arms."""

    image_of_arm: float = 0.25
    """Difficulty of an image for one arm."""

    seed: float = 0.0028
    """Quality of a seed's network."""

    epoch: float = 0.0108
    """Quality of a seed's network at one epoch."""

    image_of_seed: float = 0.15
    """Difficulty of an image for one seed's network at all epochs."""

    @property
    def rest(self) -> float:
        """The remaining variance: one seed's network, one image, one epoch."""
        return 1 - sum((self.image, self.image_of_arm, self.seed, self.epoch, self.image_of_seed))


def draw(
    gaps: Sequence[float], seeds: int, noise: Noise, rng: np.random.Generator
) -> tuple[Bits, Bits]:
    """Draw new images and seeds: correctness of the arm and the reference, (seeds, epochs, images).

    `gaps` are the true differences arm − reference at each epoch, as fractions.
    """
    hard = int(rng.binomial(noise.images, noise.hard))
    image = _normal(rng, noise.image, 1, 1, hard)
    arm = _one(np.asarray(gaps, float), image, seeds, noise, rng)
    return arm, _one(np.zeros(len(gaps)), image, seeds, noise, rng)


def _one(
    gaps: NDArray[np.float64],
    image: NDArray[np.float32],
    seeds: int,
    noise: Noise,
    rng: np.random.Generator,
) -> Bits:
    epochs, hard = len(gaps), image.shape[-1]
    clearness = (
        image
        + _normal(rng, noise.image_of_arm, 1, 1, hard)
        + _normal(rng, noise.seed, seeds, 1, 1)
        + _normal(rng, noise.epoch, seeds, epochs, 1)
        + _normal(rng, noise.image_of_seed, seeds, 1, hard)
        + _normal(rng, noise.rest, seeds, epochs, hard)
    )
    wrong = (1 - noise.accuracy - gaps) / noise.hard
    bits = np.ones((seeds, epochs, noise.images), bool)
    bits[:, :, :hard] = clearness > ndtri(wrong)[:, None]
    return bits


def _normal(rng: np.random.Generator, share: float, *shape: int) -> NDArray[Any]:
    return np.float32(sqrt(share)) * rng.standard_normal(shape, dtype=np.float32)
