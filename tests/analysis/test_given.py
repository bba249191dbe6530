"""Given runs: paired and unpaired intervals, runs that did not train, examples."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from normsweep.analysis.estimates import interval, moments, welch
from normsweep.analysis.given import ArmRuns, GivenRuns, Judgement, judged
from normsweep.analysis.outcomes import Outcome
from normsweep.analysis.rules import Missing
from normsweep.parts.metrics import metric

SCORE = replace(metric("accuracy"), influence=None)


def drawn(mean: float, spread: float, runs: int, seed: int) -> np.ndarray:
    return (mean + spread * np.random.default_rng(seed).normal(size=runs))[:, None]


def judgement(*arms: ArmRuns, margin: float = 0.002, **changed: object) -> Judgement:
    return judged(GivenRuns("runs", arms, SCORE, **changed), "unit", margin)  # type: ignore[arg-type]


def test_runs_without_seeds_get_the_interval_of_welch():
    a, b = drawn(0.95, 0.01, 8, 0), drawn(0.96, 0.004, 11, 1)
    (verdict,) = judgement(ArmRuns("none", a), ArmRuns("unit", b)).verdicts
    expected = stats.ttest_ind(a[:, 0], b[:, 0], equal_var=False).confidence_interval(0.95)
    assert (verdict.gap.low, verdict.gap.high) == pytest.approx(tuple(expected))
    assert not verdict.paired
    assert "Welch" in verdict.method
    assert (verdict.images, verdict.horizon) == (0, 0)


def test_runs_with_common_seeds_are_paired_and_others_left_out():
    a, b = drawn(0.95, 0.01, 8, 0), drawn(0.96, 0.004, 9, 1)
    arms = ArmRuns("none", a, tuple("12345678")), ArmRuns("unit", b, tuple("987654321"))
    (verdict,) = judgement(*arms).verdicts
    expected = stats.ttest_rel(a[:, 0], b[::-1][:8, 0]).confidence_interval(0.95)
    assert (verdict.gap.low, verdict.gap.high) == pytest.approx(tuple(expected))
    assert verdict.paired
    assert any("9" in text for text in verdict.warnings)


def test_too_few_common_seeds_for_a_verdict_are_not_paired():
    a, b = drawn(0.95, 0.001, 8, 0), drawn(0.96, 0.001, 8, 1)
    arms = ArmRuns("none", a, tuple("abcd1234")), ArmRuns("unit", b, tuple("efgh1234"))
    (verdict,) = judgement(*arms).verdicts
    assert not verdict.paired
    assert verdict.outcome is Outcome.CLEARLY_BEHIND


def test_seeds_in_common_are_those_with_which_both_trained():
    a, b = drawn(0.95, 0.001, 10, 0), drawn(0.96, 0.001, 8, 1)
    a[:3] = math.nan
    arms = ArmRuns("none", a, tuple("0123456789")), ArmRuns("unit", b, tuple("012345xy"))
    (verdict,) = judgement(*arms).verdicts
    assert not verdict.paired
    line = (
        "none and unit have only 3 seeds in common with which both trained, so runs are not paired"
    )
    assert line in verdict.warnings


def test_level_is_shared_by_the_arms_and_lower_may_be_better():
    lower = replace(SCORE, direction="minimize", range=(-math.inf, math.inf))
    arms = [
        ArmRuns(name, drawn(mean, 0.001, 9, i))
        for i, (name, mean) in enumerate([("unit", 0.5), ("none", 0.4), ("minmax", 0.6)])
    ]
    found = judged(GivenRuns("runs", tuple(arms), lower), "unit", 0.01)
    assert [v.outcome for v in found.verdicts] == [Outcome.AHEAD, Outcome.CLEARLY_BEHIND]
    assert found.verdicts[0].level == pytest.approx(0.975)


def test_runs_without_a_finite_score_did_not_train():
    a = drawn(0.95, 0.001, 6, 0)
    a[:4] = math.nan
    (verdict,) = judgement(ArmRuns("none", a), ArmRuns("unit", drawn(0.96, 0.001, 6, 1))).verdicts
    assert verdict.outcome is Outcome.DOES_NOT_TRAIN
    assert verdict.trained[0].lost == 4


def test_runs_without_any_spread_give_no_verdict():
    a, b = np.full((6, 1), 0.95), np.full((6, 1), 0.96)
    (verdict,) = judgement(ArmRuns("none", a), ArmRuns("unit", b)).verdicts
    assert verdict.outcome is Outcome.OPEN
    assert "spread" in verdict.reason
    assert np.isnan([verdict.gap.low, verdict.gap.high]).all()


def test_few_runs_give_no_verdict():
    arms = (ArmRuns(name, drawn(0.9, 0.001, 3, i)) for i, name in enumerate(("none", "unit")))
    (verdict,) = judgement(*arms).verdicts
    assert verdict.missing is Missing.TOO_FEW_SEEDS


def test_curves_say_from_which_epoch_an_arm_is_level():
    rise = 0.9 - 0.3 / np.arange(1, 13)
    noise = 0.0002 * np.random.default_rng(0).normal(size=(2, 6, 12))
    late = rise - 0.05 * (np.arange(1, 13) < 6)
    arms = (
        ArmRuns("none", late + noise[0], tuple("123456")),
        ArmRuns("unit", rise + noise[1], tuple("123456")),
    )
    (verdict,) = judgement(*arms, epochs=12).verdicts
    assert verdict.horizon == 12
    assert verdict.parity.behind
    assert verdict.epoch == 8  # the mean of three epochs is level from here on
    assert len(judgement(*arms, epochs=12).curves[0].epochs) == 12


def test_examples_widen_the_interval_for_new_ones():
    rng = np.random.default_rng(0)
    hard = rng.random(400) < 0.1
    tables = [(rng.random((7, 1, 400)) > np.where(hard, p, 0.01)).astype(float) for p in (0.8, 0.5)]
    (verdict,) = judgement(ArmRuns("none", tables[0]), ArmRuns("unit", tables[1])).verdicts
    assert verdict.images == 400
    assert verdict.gap.low < verdict.on_these_images.low
    assert verdict.on_these_images.value == pytest.approx(tables[0].mean() - tables[1].mean())


def test_unpaired_tables_of_independent_runs_cover_their_mean():
    """New runs and new examples, 6 against 9: the share of intervals with the true gap inside."""
    rng, inside = np.random.default_rng(0), 0
    for _ in range(400):
        shared = 0.3 * rng.normal(size=200)
        arms = [
            0.2 * rng.normal(size=(n, 1))
            + 0.5 * rng.normal(size=(n, 200))
            + shared
            + 0.3 * rng.normal(size=200)
            for n in (6, 9)
        ]
        found = interval(welch(*arms), 0.025)
        inside += found.low <= 0 <= found.high
    assert 0.93 <= inside / 400 <= 0.985


def test_unpaired_moments_with_one_more_example_are_those_of_longer_tables():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 30)), rng.normal(size=(8, 30))
    longer = [
        np.hstack([table, np.full((len(table), 1), value)]) for table, value in ((a, 0.0), (b, 1.0))
    ]
    expected, got = welch(*longer), welch(a, b).with_image(-1.0)
    assert (got.mean, got.v_seeds, got.ms_images, got.ms_residual) == pytest.approx(
        (expected.mean, expected.v_seeds, expected.ms_images, expected.ms_residual)
    )
    assert moments(a).freedom is None
