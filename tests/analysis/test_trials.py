"""The search's trials: the best of an arm, the best of so many, the search as it went."""

import math
from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from normsweep.analysis.trials import (
    arm_summaries,
    best_of_arms,
    best_so_far,
    expected_best,
    expected_best_band,
    progress,
    scored,
    tuning_curves,
)
from normsweep.sweep.study_record import TrialRecord
from normsweep.sweep.trial import Status

scores = st.lists(st.floats(0, 1), min_size=1, max_size=9)


@given(scores, st.data())
def test_the_expected_best_is_the_mean_over_all_sets_of_k(values, data):
    k = data.draw(st.integers(1, len(values)))
    sets = [max(chosen) for chosen in combinations(values, k)]
    assert expected_best(values, k) == pytest.approx(sum(sets) / len(sets))


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
    with pytest.raises(ValueError, match=f"k: must be from 1 to 3, the number of trials, got {k}"):
        expected_best([0.1, 0.2, 0.3], k)


@pytest.mark.parametrize("values", [[0.1, np.nan], [np.inf], [[0.1], [0.2]]])
def test_scores_that_are_not_numbers_in_a_row_are_refused(values):
    with pytest.raises(ValueError, match="expected finite numbers"):
        expected_best(values, 1)
    with pytest.raises(ValueError, match="expected finite numbers"):
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


@pytest.fixture
def records(record) -> list[TrialRecord]:
    """Two arms with trials that ended in every way, and one that still runs."""
    running = record(8, "unit")
    return [
        record(0, "none", (0.3, 0.6), learning_rate=0.01),
        record(1, "none", (0.2,), Status.DIVERGED),
        record(2, "none", (0.9,), Status.INTERRUPTED),
        record(3, "none", (0.8,), Status.PRUNED),
        record(4, "unit", (0.5, 0.7, 0.9)),
        record(5, "unit", (), Status.CRASHED, error="killed by signal 9"),
        record(6, "unit", (0.4,), Status.TIMED_OUT),
        record(7, "unit", (0.95, 0.8)),
        TrialRecord(running.trial, None),
    ]


def test_the_best_of_an_arm_is_its_highest_last_epoch(records):
    best = best_of_arms(records)
    assert {arm: r.trial.number for arm, r in best.items()} == {"none": 0, "unit": 4}


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        pytest.param((0.1, 0.2, 0.9), (0.1, 0.9), 1, id="fewer-epochs"),
        pytest.param((0.1, 0.9), (0.1, 0.2, 0.9), 0, id="fewer-epochs-first"),
        pytest.param((0.1, 0.9), (0.2, 0.9), 0, id="the-earlier"),
        pytest.param((0.1, 0.9), (0.1, 0.2, 0.91), 1, id="higher-before-shorter"),
    ],
)
def test_of_equal_trials_the_shorter_and_then_the_earlier_is_best(record, first, second, kept):
    made = [record(0, "unit", first), record(1, "unit", second)]
    assert best_of_arms(made)["unit"].trial.number == kept
    assert best_of_arms(made[::-1])["unit"].trial.number == kept


def test_only_complete_trials_can_be_best(record):
    made = [record(i, "unit", (0.9,), status) for i, status in enumerate(Status)]
    assert [r.result.status for r in best_of_arms(made).values()] == [Status.COMPLETE]
    assert best_of_arms(made[1:]) == {}


@pytest.fixture
def trials(record) -> list[TrialRecord]:
    """Two arms, one of them with trials that ended in other ways; numbers against slots."""
    return [
        record(0, "none", (0.3, 0.6), slot=1, learning_rate=0.01, optimizer="sgd"),
        record(1, "none", (0.2,), Status.DIVERGED, slot=0, learning_rate=0.5),
        record(2, "none", (0.9,), Status.INTERRUPTED, slot=2),
        record(3, "none", (), Status.CRASHED, slot=3),
        record(4, "none", (0.8,), Status.PRUNED, slot=4),
        record(5, "none", (0.4,), slot=5),
        record(6, "unit", (0.5, 0.7, 0.9), slot=0),
        TrialRecord(record(7, "unit").trial, None),
    ]


def test_complete_and_diverged_trials_have_a_score(trials):
    found = [(trial.number, result.score) for trial, result in scored(trials)]
    assert found == [(0, 0.6), (1, 0.1), (5, 0.4), (6, 0.9)]


def test_an_adaptive_samplers_trials_are_the_best_so_far_in_their_order(trials):
    none, unit = tuning_curves(trials, ["none", "unit"], "tpe", seed=0)
    assert (none.arm, none.kind, none.scores) == ("none", "best so far", (0.1, 0.6, 0.6))
    assert (unit.arm, unit.kind, unit.scores) == ("unit", "best so far", (0.9,))
    assert np.isnan([*none.low, *none.high, *unit.low, *unit.high]).all()


def test_random_trials_are_the_expected_best_with_a_band(record):
    scores = np.random.default_rng(0).random(16)
    made = [record(i, "unit", (float(s),)) for i, s in enumerate(scores)]
    (curve,) = tuning_curves(made, ["none", "unit"], "random", seed=0)
    assert curve.kind == "expected best"
    assert curve.scores == pytest.approx([expected_best(scores, k) for k in range(1, 17)])
    for low, expected, high in zip(curve.low[:4], curve.scores, curve.high, strict=False):
        assert low < expected < high
    assert np.isnan(curve.low[4:]).all()
    (again,) = tuning_curves(made, ["none", "unit"], "random", seed=0)
    assert np.array_equal(again.low, curve.low, equal_nan=True)


def test_tuning_takes_the_time_of_all_attempts(record):
    def timed(slot: int, seconds: float, status: Status = Status.COMPLETE, retry: int = 0):
        made = record(10 * retry + slot, "unit", (0.5,), status, slot=slot)
        return replace(made, result=replace(made.result, seconds=seconds))

    made = [timed(1, 5.0, Status.CRASHED), timed(2, 3.0), timed(0, 2.0), timed(1, 4.0, retry=1)]
    (so_far,) = tuning_curves(made, ["unit"], "tpe", seed=0)
    (expected,) = tuning_curves(made, ["unit"], "random", seed=0)
    assert so_far.seconds == (2.0, 11.0, 14.0)
    assert expected.seconds == pytest.approx((14 / 3, 28 / 3, 14.0))


def test_an_arm_whose_trials_have_no_score_has_no_tuning_curve(record):
    made = [record(0, "none", (), Status.CRASHED), record(1, "unit", (0.5,))]
    for sampler in ("tpe", "random"):
        assert [c.arm for c in tuning_curves(made, ["none", "unit"], sampler, 0)] == ["unit"]


def test_a_diverged_trial_counts_as_a_guess(trials):
    (curve,) = tuning_curves(trials, ["none"], "random", 0)
    assert curve.scores[0] == pytest.approx((0.6 + 0.1 + 0.4) / 3)
    assert not math.isnan(curve.scores[-1])


def test_progress_goes_by_the_time_at_which_trials_ended(record):
    def ended(number: int, arm: str, score: float, started: float, seconds: float) -> TrialRecord:
        made = record(number, arm, (score,))
        return replace(made, result=replace(made.result, started=started, seconds=seconds))

    steps = progress(
        [
            ended(0, "none", 0.5, 1000.0, 7200.0),
            ended(1, "none", 0.7, 1000.0, 3600.0),
            ended(2, "unit", 0.9, 4600.0, 1800.0),
            ended(3, "none", 0.6, 8200.0, 3600.0),
            record(4, "none", (), Status.CRASHED),
        ]
    )
    assert [step.trial for step in steps] == [1, 2, 0, 3]
    assert [step.hours for step in steps] == pytest.approx([1.0, 1.5, 2.0, 3.0])
    assert [step.done for step in steps] == [1, 1, 2, 3]
    assert [step.best for step in steps] == [0.7, 0.9, 0.7, 0.7]


def test_without_trials_there_is_nothing_to_draw():
    assert progress([]) == ()
    assert tuning_curves([], ["none"], "random", 0) == ()
    assert [(s.trials, s.best_epochs) for s in arm_summaries([], ["none"])] == [(0, None)]
