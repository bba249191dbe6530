"""All that a study found, from the record of both of its phases."""

from __future__ import annotations

import pytest

from normsweep.analysis.evidence import Evidence, evidence
from normsweep.sweep.study_record import Analysis, Diagnosis, Stage, TrialRecord
from normsweep.sweep.trial import SEARCH

ARMS = ["none", "unit"]
STAGE = Stage(33.0, 78.0, 41.5, 0.25, (("dense_1", 2.0),))
DIAGNOSES = {arm: Diagnosis(STAGE, STAGE) for arm in ARMS}


@pytest.fixture
def searched(record) -> list[TrialRecord]:
    return [record(0, "none", (0.5, 0.6)), record(1, "unit", (0.7, 0.9))]


@pytest.fixture
def whole(planted, sweep, searched, recorded) -> Evidence:
    study = planted()
    records = [*searched, *study.records]
    return evidence(recorded(sweep(), records, [Analysis(5, ()), study.look], diagnoses=DIAGNOSES))


FOUND = ("verdicts", "curves", "speeds", "arms", "tuning")


def test_a_whole_study_has_something_of_everything(whole):
    assert all(getattr(whole, name) for name in FOUND)
    assert (whole.analysis.seeds, whole.record.arms) == (5, ("none", "unit"))
    assert {verdict.analysis for verdict in whole.verdicts} == {1}
    assert (len(whole.verdicts), len(whole.analysis.configurations)) == (6, 6)
    assert (whole.longest, list(whole.diagnoses)) == (6, ARMS)
    assert [verdict.question for verdict in whole.primary] == ["both_tuned"]


def test_search_and_confirmation_are_kept_apart(whole):
    assert [arm.trials for arm in whole.arms] == [1, 1]
    assert [len(curve.scores) for curve in whole.tuning] == [1, 1]
    assert [speed.tuning_epochs for speed in whole.speeds] == [0, 2, 2, 0, 2, 2]
    assert {len(curve.epochs) for curve in whole.curves} == {6}


def test_before_the_first_analysis_the_confirmation_found_nothing(
    sweep, searched, planted, recorded
):
    """However many of its trials have run: only an analysis counts."""
    records = [*searched, *planted().records]
    for given in (searched, records):
        before = evidence(recorded(sweep(), given, []))
        assert [name for name in FOUND if getattr(before, name)] == ["arms", "tuning"]
        assert (before.analysis.seeds, before.longest, before.warnings) == (0, None, ())
        assert [arm.trials for arm in before.arms] == [1, 1]


def test_a_study_without_any_trial_has_found_nothing(sweep, recorded):
    found = evidence(recorded(sweep(), [], []))
    assert [arm.trials for arm in found.arms] == [0, 0]
    assert (found.verdicts, found.curves, found.speeds, found.tuning) == ((), (), (), ())


def test_the_latest_look_is_the_one_that_counts(planted, sweep, recorded):
    few, many = planted(seeds=5), planted(seeds=8)
    looks = [few.look, many.look]
    found = evidence(recorded(sweep(), many.records, looks))
    assert {v.seeds for v in found.verdicts} == {8}
    assert found.analysis.seeds == 8
    first = evidence(recorded(sweep(), many.records, looks[:1]))
    assert {v.seeds for v in first.verdicts} == {5}


def test_what_the_sweep_declared_is_what_is_judged_by(planted, sweep, recorded):
    study = planted()
    made = sweep("confirm.margin=0.04", "confirm.confidence=0.9", "confirm.primary=equal_epochs")
    found = evidence(recorded(made, study.records, [study.look]))
    assert [v.question for v in found.primary] == ["equal_epochs"]
    judged = {(v.reference, v.margin, v.baseline_epochs) for v in found.verdicts}
    assert judged == {("unit", 0.04, 2)}
    assert {v.confidence for v in found.verdicts} == {0.9}


def test_the_search_is_told_by_its_phase(planted, sweep, searched, recorded):
    study = planted()
    assert {r.trial.phase for r in searched} == {SEARCH}
    found = evidence(recorded(sweep(), study.records, [study.look]))
    assert (found.tuning, found.record.searched) == ((), ())
    assert found.warnings == ()
