"""The levels of a sequential confirmation, against a simulation of Student's t that shares no code."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student

from normsweep.analysis.sequential import levels


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
