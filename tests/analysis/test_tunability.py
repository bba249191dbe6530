from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from normsweep.analysis.tunability import best_so_far, expected_best, expected_best_band

scores = st.lists(st.floats(0, 1), min_size=1, max_size=9)


@settings(deadline=None)
@given(scores, st.data())
def test_the_expected_best_is_the_mean_over_all_sets_of_k(values, data):
    k = data.draw(st.integers(1, len(values)))
    sets = [max(chosen) for chosen in combinations(values, k)]
    assert expected_best(values, k) == pytest.approx(sum(sets) / len(sets))


@settings(deadline=None)
@given(scores)
def test_it_goes_from_the_mean_up_to_the_highest(values):
    best = [expected_best(values, k) for k in range(1, len(values) + 1)]
    assert best[0] == pytest.approx(np.mean(values))
    assert best[-1] == pytest.approx(max(values))
    assert all(b >= a - 1e-12 for a, b in pairwise(best))


def test_it_is_unbiased_where_taking_samples_with_replacement_is_not():
    """Of uniform scores the best of k is k/(k + 1) on average."""
    rng = np.random.default_rng(0)
    n, k = 12, 6
    ours, dodge = [], []
    for _ in range(3000):
        values = np.sort(rng.random(n))
        ours.append(expected_best(values, k))
        share = (np.arange(n + 1) / n) ** k
        dodge.append(np.diff(share) @ values)
    assert np.mean(ours) == pytest.approx(k / (k + 1), abs=0.005)
    assert np.mean(dodge) < k / (k + 1) - 0.01


def test_hundreds_of_trials_overflow_nothing():
    values = np.linspace(0, 1, 600)
    assert expected_best(values, 300) == pytest.approx(300 / 301, abs=0.002)


@pytest.mark.parametrize("k", [0, 4, -1])
def test_the_best_of_none_or_of_more_than_there_are_is_refused(k):
    with pytest.raises(ValueError, match=f"of 3 trials needs a k from 1 on, not {k}"):
        expected_best([0.1, 0.2, 0.3], k)


@pytest.mark.parametrize("values", [[0.1, np.nan], [np.inf], [[0.1], [0.2]]])
def test_scores_that_are_not_numbers_in_a_row_are_refused(values):
    with pytest.raises(ValueError, match="finite numbers in one row"):
        expected_best(values, 1)
    with pytest.raises(ValueError, match="finite numbers in one row"):
        expected_best_band(values, np.random.default_rng(0))


@pytest.mark.parametrize(("n", "most"), [(3, 0), (4, 1), (16, 4), (19, 4)])
def test_there_is_a_band_for_a_quarter_of_the_trials(n, most):
    values = np.linspace(0.5, 0.9, n)
    band = expected_best_band(values, np.random.default_rng(0))
    assert band.shape == (n, 2)
    assert np.isfinite(band).all(axis=1).tolist() == [k <= most for k in range(1, n + 1)]
    for k in range(1, most + 1):
        low, high = band[k - 1]
        assert low < expected_best(values, k) < high <= values.max()


def test_a_band_is_the_same_from_the_same_seed_and_wider_at_more_confidence():
    values = np.random.default_rng(1).random(20)
    first, again = (expected_best_band(values, np.random.default_rng(7)) for _ in range(2))
    wide = expected_best_band(values, np.random.default_rng(7), confidence=0.99)
    np.testing.assert_array_equal(first, again)
    assert (wide[:5, 0] < first[:5, 0]).all()
    assert (wide[:5, 1] >= first[:5, 1]).all()


def test_trials_that_are_all_alike_have_no_band_to_speak_of():
    band = expected_best_band([0.9] * 8, np.random.default_rng(0))
    assert band[:2] == pytest.approx(np.full((2, 2), 0.9))


def test_the_band_covers_what_new_trials_give():
    """Scores like those of a learning-rate search: near the top, or at chance."""
    rng = np.random.default_rng(2)

    def search(size):
        near_the_top = 0.985 - 0.01 * rng.exponential(1, size)
        return np.where(rng.random(size) < 0.3, 0.1, near_the_top)

    k = 8
    truth = search((100_000, k)).max(axis=1).mean()
    bands = [expected_best_band(search(32), rng, draws=400)[k - 1] for _ in range(300)]
    covered = np.mean([low <= truth <= high for low, high in bands])
    assert 0.85 < covered < 0.99


def test_the_best_so_far_follows_the_order_of_trials():
    assert best_so_far([0.3, 0.1, 0.5, 0.4]).tolist() == [0.3, 0.3, 0.5, 0.5]
    assert best_so_far([]).tolist() == []


def test_trials_without_a_score_add_nothing_to_the_best_so_far():
    got = best_so_far([np.nan, 0.2, np.nan, 0.3])
    np.testing.assert_array_equal(got, [np.nan, 0.2, 0.2, 0.3])
