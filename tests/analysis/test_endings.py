"""How trainings ended, by trial and by arm, from planted ones."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from normsweep.analysis.confirm_runs import confirmed
from normsweep.analysis.endings import Ended, endings
from normsweep.analysis.evidence import evidence
from normsweep.analysis.stuck import Kind
from normsweep.sweep.inspection import Inspection
from normsweep.sweep.study_record import BASELINE, DataFacts
from normsweep.sweep.trial import CONFIRM, SEARCH, Status

RAW, UNIT = ("none", BASELINE), ("unit", BASELINE)
DEAD = Inspection(255.0, 1.0, 0.0, math.nan, math.nan, 100)
RUNNING = Inspection(255.0, 0.0, math.nan, 0.93, 0.99, 10)


def ended_at(record, loss, accuracy, status=Status.COMPLETE, inspection=None):
    """The trial with another last epoch."""
    last = replace(record.result.curve[-1], train_loss=loss, val_loss=loss, val_accuracy=accuracy)
    curve = (*record.result.curve[:-1], last)
    changed = replace(record.result, curve=curve, status=status, inspection=inspection)
    return replace(record, result=changed)


@pytest.fixture
def searched(sweep, recorded, record):
    """The endings of a search of arm `none`: (loss, accuracy, status, inspection) by trial."""

    def made(*trials, sampler="random", baseline=False):
        records = [
            ended_at(record(i, "none", configuration=BASELINE if baseline and not i else ""), *each)
            for i, each in enumerate(trials)
        ]
        study = recorded(sweep(f"search.sampler={sampler}"), records)
        study = replace(study, data=replace(study.data, train_images=1437))
        return evidence(study).endings

    return made


def test_a_trial_is_trained_stuck_or_diverged(searched):
    found = searched(
        (0.1, 0.95),
        (2.30, 0.11, Status.COMPLETE, DEAD),
        (math.nan, math.nan, Status.DIVERGED),
        (2.30, 0.95),  # above guessing
        (0.1, 0.10),  # has learned something
        (0.1, 0.10, Status.COMPLETE, RUNNING),
        (2.30, 0.11, Status.CRASHED),
        (4.07, 0.10),
    )
    assert [(e.record.trial.number, e.ended.value, e.kind) for e in found.searched] == [
        (0, "trained", None),
        (1, "stuck", Kind.DEAD),
        (2, "diverged", None),
        (3, "trained", None),
        (4, "trained", None),
        (5, "stuck", Kind.RUNNING_STATISTICS),
        (7, "stuck", Kind.UNKNOWN),
    ]
    (group,) = found.arms
    assert (group.arm, group.phase, group.configuration, group.failed) == ("none", SEARCH, "", 1)
    assert (group.counts.trained, group.counts.stuck, group.counts.diverged) == (3, 3, 1)
    assert group.kinds == {Kind.DEAD: 1, Kind.RUNNING_STATISTICS: 1, Kind.UNKNOWN: 1}


def test_a_pruned_trial_is_read_where_it_was_stopped(searched):
    found = searched((2.30, 0.11, Status.PRUNED), (0.5, 0.8, Status.PRUNED))
    assert [e.ended for e in found.searched] == [Ended.STUCK, Ended.TRAINED]


def test_only_independent_draws_have_a_bound(searched):
    well = [(0.1, 0.95)] * 10
    (random,) = searched(*well).arms
    assert random.lost_at_most == pytest.approx(1 - 0.05 ** (1 / 10))
    (without,) = searched(*well, baseline=True).arms
    assert without.counts.trained == 10
    assert without.lost_at_most == pytest.approx(1 - 0.05 ** (1 / 9))
    (tpe,) = searched(*well, sampler="tpe").arms
    assert math.isnan(tpe.lost_at_most)


def test_seeds_are_those_of_the_verdicts(planted, sweep, recorded):
    made = planted(
        levels={RAW: (0.1, 0.1), UNIT: (0.8, 0.9)}, diverged={UNIT: {1: 2}}, failed={UNIT: [3]}
    )
    guess = math.log(10)
    stuck = [
        replace(r, result=replace(r.result, curve=tuple(replace(e, train_loss=guess) for e in r.result.curve)))
        if r.trial.arm == "none"
        else r
        for r in made.records
    ]  # fmt: skip
    found = evidence(recorded(sweep("confirm.epochs=2"), stuck, [made.look]))
    raw, unit = found.endings.arms
    assert (raw.arm, raw.phase, raw.configuration) == ("none", CONFIRM, BASELINE)
    assert (raw.counts.trained, raw.counts.stuck, raw.lost_at_most) == (0, 5, 1)
    assert (unit.counts.trained, unit.counts.diverged, unit.failed) == (3, 1, 1)
    assert not any("guessing (" in warning for v in found.verdicts for warning in v.warnings)
    by_arm = {s.configuration.arm: [] for s in found.scores}
    for s in found.scores:
        by_arm[s.configuration.arm].append(s.ended)
    assert by_arm["none"] == [Ended.STUCK] * 5
    assert by_arm["unit"].count(Ended.TRAINED) == 3


def test_a_seed_whose_running_averages_are_to_blame_is_shown_and_stays_in_the_pairs(
    planted, sweep, recorded
):
    made = planted(levels={RAW: (0.1, 0.1), UNIT: (0.8, 0.9)})
    records = [
        replace(r, result=replace(r.result, inspection=RUNNING)) if r.trial.arm == "none" else r
        for r in made.records
    ]
    study = recorded(sweep("confirm.epochs=2"), records, [made.look])
    found = evidence(study)
    raw, unit = found.endings.arms
    assert raw.kinds == {Kind.RUNNING_STATISTICS: 5}
    assert unit.counts.trained == 5
    assert found.verdicts[0].trained[0].trained == 5


def test_without_data_and_without_trials_nothing_has_ended(sweep, recorded):
    study = recorded(sweep())
    assert endings(study, confirmed(evidence(study).analysis, ())).arms == ()
    assert evidence(replace(study, data=None)).endings.arms == ()


def test_shares_of_an_older_study_are_those_of_equal_classes(sweep, recorded, record):
    """Its data have no counts of classes."""
    study = recorded(sweep(), [ended_at(record(0, "none"), 2.30, 0.11)])
    assert isinstance(study.data, DataFacts)
    assert not study.data.class_counts
    assert evidence(study).endings.searched[0].ended is Ended.STUCK


def test_the_warning_of_a_verdict_says_why_its_seeds_are_stuck(planted, sweep, recorded):
    made = planted(levels={RAW: (0.1, 0.1), UNIT: (0.8, 0.9)})

    def dead(record):
        curve = tuple(replace(e, train_loss=math.log(10)) for e in record.result.curve)
        return replace(record, result=replace(record.result, curve=curve, inspection=DEAD))

    trials = [dead(r) if r.trial.arm == "none" else r for r in made.records]
    found = evidence(recorded(sweep("confirm.epochs=2"), trials, [made.look]))
    told = found.verdicts[0].warnings
    assert (
        "5 seeds of “none” did not get beyond guessing (5 dead) and are excluded from the gap"
        in told
    )
