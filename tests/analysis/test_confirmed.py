"""The runs of a look: bits by configuration and seed, what diverged, what failed."""

from dataclasses import replace

import numpy as np
import pytest

from normsweep.analysis.confirm_runs import confirmed
from normsweep.sweep.study_record import BASELINE, TUNED_SHORT, Analysis

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
    with pytest.raises(ValueError, match="tested on different images"):
        confirmed(made.look, [other, *rest])


def test_before_the_first_look_there_is_nothing(planted):
    found = confirmed(Analysis(0, ()), planted().records)
    assert (dict(found.runs), found.images, found.epochs) == ({}, 0, 0)
