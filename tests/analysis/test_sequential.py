"""The levels of a sequential confirmation, against a simulation of Student's t that shares no code."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student

from normsweep.analysis.estimates import Moments
from normsweep.analysis.sequential import Hope, _power, hope, levels, seeds_until_decided


def spent(at: tuple[float, ...], first: int, most: int, paths: int) -> tuple[float, float]:
    """The share of paths of normal values that cross a level, and its standard error; both sides count."""
    rng, sizes, crossed = np.random.default_rng(17), np.arange(first, most + 1), 0
    bounds = student.isf(at, sizes - 1)
    for _ in range(paths // 20_000):
        values = rng.standard_normal((20_000, most))
        means = np.stack([values[:, :n].mean(axis=1) for n in sizes], axis=1)
        errors = np.stack([values[:, :n].std(axis=1, ddof=1) for n in sizes], axis=1)
        found = means / errors * np.sqrt(sizes)
        crossed += int((found > bounds).any(axis=1).sum() + (found < -bounds).any(axis=1).sum())
    return crossed / (2 * paths), np.sqrt(crossed) / (2 * paths)


@pytest.mark.parametrize(
    ("side", "first", "most"),
    [(0.025, 5, 20), (0.025 / 7, 5, 20), (0.025, 5, 8), (0.05, 6, 30), (0.1, 2, 4)],
)
def test_the_levels_together_spend_the_side(side: float, first: int, most: int) -> None:
    at = levels(side, first, most)
    assert len(at) == most - first + 1
    found, error = spent(at, first, most, paths=100_000)
    assert abs(found - side) < 3 * error


def test_the_levels_of_five_to_twenty_seeds_are_the_same_on_every_machine() -> None:
    at = levels(0.025, 5, 20)
    assert set(at[1:-1]) == {0.0035057}
    assert at[0] == at[-1] == 0.0087643


def test_the_levels_decrease_with_the_side() -> None:
    wide, narrow = np.array(levels(0.05, 5, 20)), np.array(levels(0.025, 5, 20))
    assert np.all(narrow < wide)
    assert np.allclose(narrow / narrow.sum(), wide / wide.sum(), rtol=1e-4)


def test_one_analysis_has_the_whole_side() -> None:
    assert levels(0.025, 10, 10) == (0.025,)


@pytest.mark.parametrize("wrong", [(0.0, 5, 20), (0.5, 5, 20), (0.025, 6, 5), (0.025, 1, 5)])
def test_levels_refuses_what_has_no_meaning(wrong: tuple[float, int, int]) -> None:
    with pytest.raises(ValueError, match="expected 0 < side"):
        levels(*wrong)


def noise(gap: float, seeds: int, spread: float, images: float = 0.0) -> Moments:
    """Moments of a gap whose standard deviation is `spread` between seeds, and `images` between images."""
    return Moments(gap, (gap,) * seeds, spread**2 / seeds, images**2 * seeds * 1000, 0.0, 1000)


AT = levels(0.025, 5, 20)


@pytest.mark.parametrize(
    ("gap", "spread", "images", "expected"),
    [
        (0.0, 1.0, 0.0, Hope.SEEDS),  # in the middle of the margin
        (-0.7, 1.0, 0.0, Hope.SEEDS),  # near its end
        (-1.0, 1.0, 0.0, Hope.NONE),  # at its end: no seed moves it
        (0.0, 1.0, 0.7, Hope.IMAGES),  # the images alone leave ±1.7
        (-1.0, 0.1, 0.5, Hope.NONE),  # neither would move it from the end
        (0.0, 4.0, 0.0, Hope.NONE),  # 8 more seeds are too few by far
        (-9.0, 1.0, 0.0, Hope.SEEDS),
    ],
)
def test_hope_is_what_can_still_decide(
    gap: float, spread: float, images: float, expected: Hope
) -> None:
    m = noise(gap, 12, spread, images)
    assert hope(m, m, margin=1.0, level=AT[-1], most=20) is expected


def test_there_is_no_hope_after_the_last_seed() -> None:
    m = noise(0.0, 20, 1.0)
    assert hope(m, m, margin=1.0, level=AT[-1], most=20) is Hope.NONE


def test_the_power_that_is_left_agrees_with_a_simulation() -> None:
    """Of paths with the same first 8 seeds' gap and noise, given the noise, as many are above at 20."""
    seeds, most, margin = 8, 20, 0.6
    m = noise(-0.35, seeds, 1.0)
    rng = np.random.default_rng(5)
    # The effect is not known, so that its posterior is Student's t around the gap so far.
    effects = m.mean + rng.standard_t(seeds - 1, 400_000) / np.sqrt(seeds)
    later = effects + rng.standard_normal(400_000) / np.sqrt(most - seeds)
    at_end = (seeds * m.mean + (most - seeds) * later) / most
    half = student.isf(AT[-1], most - 1) / np.sqrt(most)
    decided = ((at_end + margin > half) | (at_end + margin < -half)).mean()
    assert _power(m, m, margin, AT[-1], most) == pytest.approx(decided, abs=0.03)


@pytest.mark.parametrize(
    ("gap", "spread", "expected"),
    [(0.0, 1.0, 4), (0.0, 0.3, 1), (-0.35, 1.0, 12), (-1.0, 1.0, None), (-9.0, 1.0, 1)],
)
def test_seeds_until_decided(gap: float, spread: float, expected: int | None) -> None:
    m = noise(gap, 8, spread)
    assert seeds_until_decided(m, m, 1.0, AT, 20) == expected
