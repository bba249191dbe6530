"""Planted worlds: networks that are right or wrong on test images, with a known gap between two arms.

Each image has a probability of being classified incorrectly, drawn from a mixture: most are never wrong,
the hard ones have a Beta distribution. Arms share most difficulties. The gap sits on all hard images, or
on a rare kind of image. A seed's network is better or worse than the mean of its arm on all images. The
expected accuracy over new images and seeds is exact by construction, with every kind of noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Noise", "World", "draw", "pairs_of", "seeds_of"]

Noise = Literal["normal", "t3", "exponential"]
Floats = NDArray[np.float64]
HARD, EASIER, HARDER = 5.0, 0.3, 1.2
"""Hard images per wrong one, and the parameters of their Beta distribution, whose mean is 1/5."""
SHARED = 0.7
"""Share of the hard images that are as hard for the arm as for the reference."""
CROSSING = 0.5
"""Margins that an arm wins and loses on rare kinds of image, if its gap is 0."""
SEEDS = 20


@dataclass(frozen=True)
class World:
    """What is planted. `margin`, `error` and `gap` are fractions of the images."""

    images: int
    margin: float
    error: float
    """Share of the images that a network classifies incorrectly; 0 where images make no noise (`seeds_of`)."""
    gap: float
    """The true gap, in margins."""
    rare: float = 0.0
    """Share of the images of the kind that the gap sits on, at least; 0: all hard images."""
    noise: Noise = "normal"
    seed: float = 0.35
    """Standard deviation of a seed's accuracy, in margins."""
    stuck: float = 0.0
    """Probability that a network does not train."""
    arms: int = 1
    """Arms that are compared with the reference."""

    @property
    def truth(self) -> float:
        """The gap, as a fraction."""
        return self.gap * self.margin


def draw(
    world: World, rng: np.random.Generator
) -> tuple[list[NDArray[np.bool_]], NDArray[np.bool_]]:
    """New images and seeds: the wrong images of each network, and which networks trained.

    Returns:
        For the reference and then each arm (seeds, images), without images that nobody can get wrong;
        (arms + 1, seeds).
    """
    loss, gain = max(-world.truth, 0.0), max(world.truth, 0.0)
    if world.rare and not world.gap:
        loss = gain = CROSSING * world.margin
    hard = int(rng.binomial(world.images, HARD * world.error))
    kinds = [_share(world, part) for part in (loss, gain)]
    easy = int(rng.binomial(world.images - hard, sum(kinds))) if world.rare else 0
    reference = np.concatenate([rng.beta(EASIER, HARDER, hard), np.zeros(easy)])
    kind = _kinds(world, kinds, hard, easy, rng)
    nets = [_hit(reference, kind == 1, gain, kinds[1], world)]
    for _ in range(world.arms):
        own = reference.copy()
        other = np.flatnonzero(rng.random(hard) > SHARED)
        own[other] = rng.beta(EASIER, HARDER, len(other))
        nets.append(_hit(own, kind == 0, loss, kinds[0], world))
    trained = rng.random((len(nets), SEEDS)) >= world.stuck
    return [_wrong(world, net, place > 0, rng) for place, net in enumerate(nets)], trained


def pairs_of(
    wrong: list[NDArray[np.bool_]], trained: NDArray[np.bool_]
) -> Iterator[NDArray[np.int8]]:
    """For each arm the differences arm − reference (pairs, images), of the seeds with which both trained."""
    reference = wrong[0].astype(np.int8)
    for arm, also in zip(wrong[1:], trained[1:], strict=True):
        both = trained[0] & also
        yield (reference - arm)[both]


def seeds_of(world: World, studies: int, rng: np.random.Generator) -> Floats:
    """Differences of the networks' accuracies (studies, pairs) on infinitely many images."""
    arm, reference = (
        np.array([_unit(world.noise, arm, rng) for _ in range(studies)]) for arm in (True, False)
    )
    return world.truth + world.seed * world.margin * (reference - arm)


def _share(world: World, part: float) -> float:
    """The share of the images of a kind on which `part` of all images is lost."""
    if not part:
        return 0.0
    if not world.rare:
        return HARD * world.error
    return max(world.rare / (1 if world.gap else 2), 1.05 * part / (1 - world.error))


def _kinds(
    world: World, shares: list[float], hard: int, easy: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """0 for images on which the arm loses, 1 for those on which the reference does, otherwise −1."""
    if not world.rare:
        return np.full(hard, 0 if world.gap < 0 else 1)
    place = rng.random(hard)
    kind = np.where(place < shares[0], 0, np.where(place < sum(shares), 1, -1))
    more = rng.random(easy) * sum(shares)
    return np.concatenate([kind, (more >= shares[0]).astype(int)])


def _hit(
    chances: Floats, hit: NDArray[np.bool_], part: float, share: float, world: World
) -> Floats:
    """More errors on the images of a kind, so that `part` of all images is lost in expectation."""
    if not part:
        return chances
    right = 1 - (world.error if world.rare else 1 / HARD)
    found = chances.copy()
    found[hit] += part / (share * right) * (1 - found[hit])
    return found


def _wrong(world: World, chances: Floats, arm: bool, rng: np.random.Generator) -> NDArray[np.bool_]:
    quality = _unit(world.noise, arm, rng) * world.seed * world.margin
    room = chances * (1 - chances)
    # The variance of a Beta distribution's p(1 − p), so that a seed's accuracy has the stated deviation.
    mean = HARD * world.error * EASIER * HARDER / ((EASIER + HARDER) * (EASIER + HARDER + 1))
    moved = chances + np.clip(quality / mean, -1, 1)[:, None] * room
    return rng.random((SEEDS, len(chances)), dtype=np.float32) < moved


def _unit(noise: Noise, arm: bool, rng: np.random.Generator) -> Floats:
    """Values of mean 0; a high value is a bad network. The difference of arm and reference has variance 2."""
    if noise == "t3":
        return rng.standard_t(3, SEEDS) / sqrt(3)
    if noise == "exponential":  # only the arm has bad networks
        return sqrt(2) * (rng.exponential(1.0, SEEDS) - 1) if arm else np.zeros(SEEDS)
    return rng.standard_normal(SEEDS)
