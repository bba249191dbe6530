"""The runs of an analysis: bits by configuration and seed, curves by epoch, what it took to the level."""

import math
from dataclasses import replace

import numpy as np
import pytest

from normsweep.analysis.confirm_runs import Curve, Speed, confirmed, curves, speeds
from normsweep.analysis.estimates import interval, moments
from normsweep.sweep.study_record import BASELINE, TUNED_LONG, TUNED_SHORT, Analysis
from normsweep.sweep.trial import Status

RAW, UNIT = ("none", BASELINE), ("unit", BASELINE)


def test_the_bits_are_those_of_each_seed_and_epoch(planted):
    made = planted()
    found = confirmed(made.look, made.records)
    assert (found.images, found.epochs, found.chance) == (1000, 6, 0.1)
    arm, reference, diverged = found.pairs(RAW, UNIT, 4)
    assert arm.shape == reference.shape == (5, 4, 1000)
    assert diverged == (0, 0)
    for bits, key in ((arm, RAW), (reference, UNIT)):
        for epoch, level in enumerate(made.levels[key][:4]):
            right = np.tile(np.arange(1000) < level * 1000, (5, 1))
            np.testing.assert_array_equal(bits[:, epoch], right)


def test_runs_are_paired_by_seed_whatever_the_order_of_the_records(planted):
    levels = {RAW: (0.5,), UNIT: (0.9,)}
    made = planted(levels=levels, diverged={RAW: {1: 1}, UNIT: {3: 1}})
    arm, reference, diverged = confirmed(made.look, made.records[::-1]).pairs(RAW, UNIT, 1)
    assert arm.shape == reference.shape == (3, 1, 1000)
    assert diverged == (1, 1)


def test_a_seed_that_diverged_later_counts_before(planted):
    made = planted(diverged={RAW: {2: 4}})
    found = confirmed(made.look, made.records)
    seeds = {horizon: found.pairs(RAW, UNIT, horizon)[0].shape[0] for horizon in (2, 3, 4, 6)}
    assert seeds == {2: 5, 3: 5, 4: 4, 6: 4}
    diverged = {horizon: found.pairs(RAW, UNIT, horizon)[2] for horizon in (3, 4)}
    assert diverged == {3: (0, 0), 4: (1, 0)}


def test_a_seed_that_failed_is_left_out_and_did_not_diverge(planted):
    made = planted(failed={UNIT: [0, 4]})
    found = confirmed(made.look, made.records)
    arm, _, diverged = found.pairs(RAW, UNIT, 6)
    assert (arm.shape[0], diverged) == (3, (0, 0))
    assert (found.runs[UNIT].failed, found.runs[RAW].failed) == (2, 0)


def test_runs_of_other_looks_are_left_out(planted):
    made = planted(seeds=7)
    few = planted(seeds=5).look
    arm, _, _ = confirmed(few, made.records).pairs(RAW, UNIT, 6)
    assert arm.shape[0] == 5


def test_a_configuration_that_is_not_there_gives_no_pairs(planted):
    made = planted(levels={RAW: (0.5, 0.6), UNIT: (0.8, 0.9)})
    found = confirmed(made.look, made.records)
    for keys in ((RAW, ("unit", TUNED_SHORT)), (("none", TUNED_SHORT), UNIT)):
        arm, reference, diverged = found.pairs(*keys, 2)
        assert arm.shape == reference.shape == (0, 2, 1000)
        assert diverged == (0, 0)


def test_where_every_run_diverged_at_once_there_is_nothing_to_pair(planted):
    made = planted(diverged={RAW: dict.fromkeys(range(5), 1)})
    arm, reference, diverged = confirmed(made.look, made.records).pairs(RAW, UNIT, 6)
    assert arm.shape[0] == reference.shape[0] == 0
    assert diverged == (5, 0)


def test_runs_that_were_tested_on_different_images_are_refused(planted):
    made = planted()
    first, *rest = made.records
    other = replace(first, result=replace(first.result, test_digest="u" * 64))
    with pytest.raises(ValueError, match="expected runs with the same test images"):
        confirmed(made.look, [other, *rest])


def test_before_the_first_look_there_is_nothing(planted):
    found = confirmed(Analysis(0, ()), planted().records)
    assert (dict(found.runs), found.images, found.epochs) == ({}, 0, 0)


def drawn(study) -> dict[tuple[str, str], Curve]:
    found = confirmed(study.look, study.records)
    return {(curve.arm, curve.configuration): curve for curve in curves(found, 0.95)}


def speed(study, searched=(), baseline_epochs=2) -> dict[tuple[str, str], Speed]:
    found = confirmed(study.look, study.records)
    made = speeds(found, curves(found, 0.95), searched, "unit", baseline_epochs)
    return {(each.arm, each.configuration): each for each in made}


def test_a_curve_is_the_mean_test_accuracy_of_every_epoch(planted):
    study = planted()
    found = drawn(study)
    assert list(found) == list(study.levels)
    for key, levels in study.levels.items():
        assert [e.value for e in found[key].epochs] == pytest.approx(list(levels))
        assert [e.n for e in found[key].epochs] == [5] * 6


def test_a_curves_interval_is_the_two_way_one_at_the_confidence(planted):
    study = planted()
    right = np.tile(np.arange(1000) < 500, (5, 1))
    found = confirmed(study.look, study.records)
    for confidence in (0.95, 0.8):
        first = curves(found, confidence)[0].epochs[0]
        expected = interval(moments(right), (1 - confidence) / 2)
        assert (first.low, first.high) == pytest.approx((expected.low, expected.high))


def test_a_seed_that_ended_early_is_left_out_of_all_epochs(planted):
    study = planted(diverged={RAW: {1: 6}, UNIT: dict.fromkeys(range(5), 1)}, failed={RAW: [0]})
    found = drawn(study)
    assert [e.n for e in found[RAW].epochs] == [3] * 6
    assert UNIT not in found


def test_speed_is_the_first_epoch_at_the_references_baseline_level(planted):
    found = speed(planted())
    assert {key: each.epochs for key, each in found.items()} == {
        RAW: 6, ("none", TUNED_SHORT): 6, ("none", TUNED_LONG): 5,
        UNIT: 2, ("unit", TUNED_SHORT): 2, ("unit", TUNED_LONG): 2,
    }  # fmt: skip
    assert [each.seconds for each in found.values()] == [3.0, 3.0, 2.5, 1.0, 1.0, 1.0]


def test_a_level_that_is_not_reached_is_missing(planted):
    slow = {**planted().levels, RAW: (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)}
    found = list(speed(planted(levels=slow)).values())
    assert [each.epochs is None for each in found] == [True] + [False] * 5
    assert math.isnan(found[0].seconds)
    lost = speed(planted(diverged={UNIT: dict.fromkeys(range(5), 1)}))
    assert [each.epochs for each in lost.values()] == [None] * 6


def test_tuning_costs_the_whole_search_of_the_arm_and_nothing_for_the_baseline(planted, record):
    searched = [
        record(0, "none", (0.1, 0.2, 0.3)),
        record(1, "none", (), Status.CRASHED),
        record(2, "none", (0.5,), Status.DIVERGED),
        record(3, "unit", (0.9,)),
    ]
    found = speed(planted(), searched)
    assert (found[RAW].tuning_seconds, found[RAW].tuning_epochs) == (0, 0)
    for name in (TUNED_SHORT, TUNED_LONG):
        tuned = found["none", name]
        assert (tuned.tuning_seconds, tuned.tuning_epochs) == (2.5 + 1.0 + 1.5, 4)
    assert found["unit", TUNED_LONG].tuning_epochs == 1


def test_the_level_is_read_within_the_confirmation(planted):
    levels = {key: values[:3] for key, values in planted().levels.items()}
    found = speed(planted(levels=levels), baseline_epochs=9)
    assert [each.epochs for each in found.values()] == [None, None, None, 3, 2, 2]


def test_before_the_first_analysis_there_is_neither_curve_nor_speed(planted):
    found = confirmed(Analysis(0, ()), planted().records)
    assert curves(found, 0.95) == ()
    assert speeds(found, (), [], "unit", 2) == ()
