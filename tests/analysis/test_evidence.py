"""All frames of a study, from the record of both of its phases."""

from __future__ import annotations

from dataclasses import fields

import pandas as pd
import pytest

from normsweep.analysis.evidence import Evidence, evidence
from normsweep.analysis.questions import COLUMNS
from normsweep.sweep.study_record import Analysis, Diagnosis, Stage, TrialRecord
from normsweep.sweep.trial import SEARCH

ARMS = ["none", "unit"]
STAGE = Stage(33.0, 78.0, 1.2e5, 41.5, 0.25, (("dense_1", 2.0),))
DIAGNOSES = {arm: Diagnosis(STAGE, STAGE) for arm in ARMS}


@pytest.fixture
def searched(record) -> list[TrialRecord]:
    return [record(0, "none", (0.5, 0.6)), record(1, "unit", (0.7, 0.9))]


@pytest.fixture
def whole(planted, sweep, searched, recorded) -> Evidence:
    study = planted()
    records = [*searched, *study.records]
    return evidence(recorded(sweep(), records, [Analysis(5, ()), study.look], diagnoses=DIAGNOSES))


def frames(found: Evidence) -> dict[str, pd.DataFrame]:
    values = {field.name: getattr(found, field.name) for field in fields(found)}
    return {name: value for name, value in values.items() if isinstance(value, pd.DataFrame)}


def test_a_whole_study_has_rows_in_every_frame(whole):
    assert {name for name, frame in frames(whole).items() if frame.empty} == set()
    assert len(frames(whole)) == 9
    assert (whole.seeds, whole.arms, whole.declared.look) == (5, ("none", "unit"), 2)
    assert len(whole.verdicts) == 6
    assert len(whole.configurations) == 6


def test_search_and_confirmation_are_kept_apart(whole, searched):
    assert whole.learning_rates["trial"].tolist() == [r.trial.number for r in searched]
    assert whole.progress["trial"].tolist() == [0, 1]
    assert whole.tunability["trials"].tolist() == [1, 1]
    assert whole.speed["tuning_epochs"].tolist() == [0, 2, 2, 0, 2, 2]
    assert whole.curves["epoch"].max() == 6


def test_before_the_first_look_the_confirmations_frames_are_empty_with_their_columns(
    whole, sweep, searched, planted, recorded
):
    """However many of its trials have run: only a look counts."""
    records = [*searched, *planted().records]
    for given in (searched, records):
        before = evidence(recorded(sweep(), given, []))
        empty = {name for name, frame in frames(before).items() if frame.empty}
        assert empty == {"verdicts", "curves", "configurations", "speed", "inputs", "gradients"}
        for name, frame in frames(before).items():
            assert frame.columns.tolist() == frames(whole)[name].columns.tolist(), name
        assert before.verdicts.columns.tolist() == COLUMNS
        assert before.verdicts[before.verdicts["primary"]].columns.tolist() == COLUMNS
        assert (before.seeds, before.declared.look, before.warnings) == (0, 1, ())
        assert before.learning_rates["trial"].tolist() == [0, 1]


def test_a_study_without_any_trial_has_empty_frames(sweep, recorded):
    found = evidence(recorded(sweep(), [], []))
    assert all(frame.empty for frame in frames(found).values())


def test_the_latest_look_is_the_one_that_counts(planted, sweep, recorded):
    few, many = planted(seeds=5), planted(seeds=8)
    looks = [few.look, many.look]
    found = evidence(recorded(sweep(), many.records, looks))
    assert set(found.verdicts["seeds"]) == {8}
    assert set(found.verdicts["look"]) == {2}
    assert found.seeds == 8
    first = evidence(recorded(sweep(), many.records, looks[:1]))
    assert set(first.verdicts["seeds"]) == {5}


def test_what_the_sweep_declared_is_what_is_judged_by(planted, sweep, recorded):
    study = planted()
    made = sweep("confirm.margin=0.04", "confirm.confidence=0.9", "confirm.primary=equal_epochs")
    found = evidence(recorded(made, study.records, [study.look]))
    declared = found.declared
    assert (declared.compare, declared.reference) == ("normalization", "unit")
    assert (declared.margin, declared.confidence) == (0.04, 0.9)
    assert (declared.primary, declared.baseline_epochs) == ("equal_epochs", 2)
    assert set(found.verdicts["margin"]) == {0.04}


def test_the_search_is_told_by_its_phase(planted, sweep, searched, recorded):
    study = planted()
    assert {r.trial.phase for r in searched} == {SEARCH}
    found = evidence(recorded(sweep(), study.records, [study.look]))
    assert found.learning_rates.empty
    assert found.warnings == ()
