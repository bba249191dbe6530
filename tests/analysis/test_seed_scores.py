"""Test scores by seed, and their spread."""

import math
from dataclasses import replace

import pytest

from normsweep.analysis.confirm_runs import Guess, confirmed
from normsweep.analysis.seed_scores import seed_scores, spreads
from normsweep.sweep.study_record import BASELINE, TUNED_LONG, TUNED_SHORT

RAW, UNIT = ("none", BASELINE), ("unit", BASELINE)


def test_each_configuration_is_read_at_the_epochs_that_it_is_asked_for(planted):
    made = planted()
    scored = seed_scores(confirmed(made.look, made.records), 2)
    of_arm = [s for s in scored if s.configuration.arm == "none" and s.slot == 0]
    assert [(s.configuration.name, s.epochs, s.value) for s in of_arm] == [
        (BASELINE, 2, 0.6),
        (BASELINE, 6, 0.86),
        (TUNED_SHORT, 2, 0.78),
        (TUNED_LONG, 6, 0.89),
    ]
    assert len(scored) == 2 * 4 * 5
    assert [s.trial for s in scored[:2]] == [made.number(RAW, slot) for slot in (0, 1)]


def test_epochs_are_told_once_if_the_baseline_has_the_most(planted):
    made = planted()
    scored = seed_scores(confirmed(made.look, made.records), 6)
    assert {s.epochs for s in scored} == {6}
    assert len(scored) == 2 * 3 * 5


def test_seeds_that_did_not_train_have_no_score(planted):
    made = planted(diverged={RAW: {1: 4}}, failed={RAW: [3]})
    found = confirmed(made.look, made.records)
    scored = [
        s for s in seed_scores(found, 2) if (s.configuration.arm, s.configuration.name) == RAW
    ]
    short, long = ([s for s in scored if s.epochs == epochs] for epochs in (2, 6))
    assert [s.ended for s in long] == ["trained", "diverged", "trained", "failed", "trained"]
    assert [math.isnan(s.value) for s in long] == [False, True, False, True, False]
    assert [s.ended for s in short].count("trained") == 4
    assert long[3].trial is None


def test_the_spread_is_over_the_seeds_that_trained(planted):
    levels = {RAW: (0.5,), UNIT: (0.9,)}
    made = planted(levels=levels, diverged={RAW: {1: 1}})
    raw, unit = spreads(seed_scores(confirmed(made.look, made.records), 1))
    assert (raw.mean, raw.lowest, raw.highest) == (0.5, 0.5, 0.5)
    assert (raw.trained, raw.seeds) == (4, 5)
    assert raw.deviation == pytest.approx(0)
    assert (unit.mean, unit.trained) == (0.9, 5)


def test_without_seeds_there_is_no_mean(planted):
    made = planted(levels={RAW: (0.5,), UNIT: (0.9,)}, failed={RAW: range(5)})
    raw, _ = spreads(seed_scores(confirmed(made.look, made.records), 1))
    assert (raw.trained, raw.seeds) == (0, 5)
    assert math.isnan(raw.mean)
    assert math.isnan(raw.deviation)


def test_a_seed_that_is_stuck_has_a_score_that_counts_for_no_mean(planted):
    made = planted(levels={RAW: (0.05,), UNIT: (0.9,)})
    found = replace(confirmed(made.look, made.records), guess=Guess(0.1, 0.4))
    scored = seed_scores(found, 1)
    assert [s.ended for s in scored] == ["stuck"] * 5 + ["trained"] * 5
    assert scored[0].value == 0.05
    raw, unit = spreads(scored)
    assert (raw.trained, unit.trained) == (0, 5)
