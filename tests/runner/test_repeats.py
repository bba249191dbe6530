"""The whole tuning, done several times: by its commands, stopped and killed, and beside the answer."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from normsweep.analysis.evidence import evidence
from normsweep.analysis.repeats import ended_repeats
from normsweep.analysis.trials import settled
from normsweep.reporting.answer import repeats_sentence, study_answer
from normsweep.reporting.evidence_tables import verdict_table
from normsweep.reporting.methods import methods
from normsweep.sweep.study_record import StudyRecord, TrialRecord
from normsweep.sweep.trial import Result, Status
from tests import forkserver
from tests.runner.test_confirmation import interrupt, wait_for_trials
from tests.runner.test_sequential import Place

SWEEP = """
name = "sequential"
reference = "unit"
[data]
dataset = "digits"
[model]
name = "synthetic"
[model.options]
ceiling = { standardize = 0.5, default = 0.9 }
speed = 3.0
noise = 0.02
[search]
trials = 6
repeats = 3
[search.space]
normalization = ["unit", "standardize"]
learning_rate = { low = 1e-4, high = 1e-1, log = true }
optimizer = "adam"
epochs = 2
[select]
top = 2
seeds = 1
[confirm]
seeds = { first = 5, most = 6 }
margin = 0.033
baseline = { epochs = 1 }
"""
ALONE = ("--set", "search.repeats=1")


def placed(folder: Path, sweep: str = SWEEP) -> Place:
    made = Place(folder)
    (folder / "sequential.toml").write_text(sweep)
    return made


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A study whose tuning was repeated after its answer was there."""
    made = placed(tmp_path_factory.mktemp("repeated"))
    said = made.study(*ALONE)
    assert "the whole tuning" not in said.lower()
    made.answer = study_answer(evidence(made.read()))  # type: ignore[attr-defined]
    assert "of the whole tuning: 6 trials" not in made.study("--timeout", "1e-9")
    said = made.study()
    assert "repeat 2 of 3 of the whole tuning: 6 trials" in said
    assert "The whole tuning, done 3 times: “standardize” −" in said
    return made


def trained(record: StudyRecord) -> dict[tuple[object, ...], float]:
    """What was trained in which phase, with its score."""
    return {
        (r.trial.phase, r.trial.arm, r.trial.slot, r.trial.fingerprint): r.result.score
        for r in settled(record.trials)
        if r.result is not None
    }


def test_every_tuning_has_seeds_and_optuna_studies_of_its_own(place):
    record = place.read()
    phases = Counter(r.trial.phase for r in record.trials)
    assert phases["search"] == phases["search-2"] == phases["search-3"] == 6
    assert phases["confirm-2"] == phases["confirm-3"] == 2 * 5
    assert phases["select-2"]
    seeds = [
        {r.trial.seed for r in record.trials if r.trial.phase.partition("-")[2] == repeat}
        for repeat in ("", "2", "3")
    ]
    assert not seeds[0] & seeds[1] | seeds[0] & seeds[2] | seeds[1] & seeds[2]
    scores = [
        [r.result.score for r in record.trials if r.result and r.trial.phase == phase]
        for phase in ("search", "search-2")
    ]
    assert scores[0] != scores[1]
    url = f"sqlite:///{place.folder}/mlruns/optuna.db"
    kinds = [f"sequential{sep}" for sep in ("", "/select", "/confirm")]
    repeats = [f"sequential/{kind}-{r}" for r in (2, 3) for kind in ("search", "select", "confirm")]
    assert sorted(optuna.get_all_study_names(url)) == sorted([*kinds, *repeats])
    again = optuna.load_study(study_name="sequential/search-2", storage=url)
    assert {"learning_rate", "normalization"} <= again.best_trial.params.keys()
    assert all(r.result.test_digest for r in record.trials if r.trial.confirms)


def test_the_interval_is_a_second_line_and_the_answer_stays(place):
    record = place.read().labelled()
    found = evidence(record)
    assert study_answer(found) == place.answer
    (verdict,) = found.primary
    repeated = verdict.repeated
    assert repeated is not None
    assert ended_repeats(record) == repeated.ended == 3
    assert repeated.gap.low < repeated.gap.value < repeated.gap.high
    assert all(-0.6 < gap < -0.2 for gap in repeated.gaps)
    assert len(set(repeated.gaps)) == 3
    assert all(v.repeated is None for v in found.verdicts if not v.primary)
    line = repeats_sentence(found.verdicts)
    assert "Student's t with 2 degrees of freedom" in line
    row = verdict_table(found.verdicts).set_index("question").loc["both_tuned"]
    assert row["repeats"] == 3
    assert row["low_repeats"] == repeated.gap.low
    assert "done 3 times" in methods(found)["repeats"]
    page = (place.folder / "mlruns" / "reports" / "sequential" / "index.html").read_text()
    assert '<p class="repeats">The whole tuning, done 3 times' in page


def test_the_first_tunings_value_is_that_of_its_first_seeds(place):
    (verdict,) = evidence(place.read()).primary
    assert verdict.seeds == 5
    assert verdict.repeated.gaps[0] == pytest.approx(verdict.gap.value)


def changed_in(
    record: StudyRecord, phase: str, change: Callable[[TrialRecord], TrialRecord]
) -> StudyRecord:
    """The record with one of the runs of a phase changed."""
    at = next(
        n for n, r in enumerate(record.trials) if r.trial.phase == phase and r.trial.slot == 2
    )
    trials = list(record.trials)
    trials[at] = change(trials[at])
    return replace(record, trials=tuple(trials))


def test_a_run_of_a_repeat_that_was_lost_is_missing_among_its_seeds(place):
    """As one whose worker was killed: it has neither a machine nor test images."""
    record = place.read()
    (before,) = evidence(record).primary

    def lost(r: TrialRecord) -> TrialRecord:
        return replace(r, result=Result(r.trial.number, Status.CRASHED, error="killed by SIGKILL"))

    (verdict,) = evidence(changed_in(record, "confirm-2", lost)).primary
    assert verdict.repeated.ended == 3
    assert verdict.repeated.gaps[1] != before.repeated.gaps[1]
    assert verdict.repeated.gaps[2] == before.repeated.gaps[2]


def test_a_repeat_of_an_extended_study_has_ended_when_all_of_its_phases_have(place):
    record = place.read()
    longer = {**record.planned, "search-2": record.planned["search-2"] + 6}
    assert ended_repeats(replace(record, planned=longer)) == 1

    def other_settings(r: TrialRecord) -> TrialRecord:
        params = {**r.trial.params, "learning_rate": 0.5}
        return replace(r, trial=replace(r.trial, params=params))

    assert ended_repeats(changed_in(record, "confirm-3", other_settings)) == 2


def test_a_finished_study_is_finished_and_fewer_repeats_change_nothing(place):
    before = place.read()
    assert "is done: 6 of 6 trials" in place.study()
    assert "The whole tuning, done 3 times" in place.study(*ALONE)
    assert place.read().trials == before.trials


def test_a_study_that_is_stopped_and_killed_between_is_the_study_in_one_go(place, tmp_path):
    other = placed(tmp_path)
    whole = trained(place.read())
    own = sum("-" not in str(planned[0]) for planned in whole)
    arguments = ("sequential.toml", "--executor", "inline")
    interrupt(other, own + 4, *arguments)
    assert "1 so far" in repeats_sentence(evidence(other.read()).verdicts)
    process = forkserver.Popen(
        [sys.executable, "-m", "normsweep.study", *arguments],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for_trials(other, own + 4 + 20)
    process.send_signal(signal.SIGKILL)
    process.wait()
    said = other.study("--phase", "confirm")
    assert "the whole tuning was done" in said
    assert "The whole tuning, done 3 times" in other.study()
    assert trained(other.read()) == whole


def test_a_plan_says_what_the_repeats_take(place):
    said = place.study("--dry-run")
    assert "repeats   the whole tuning 3 times" in said
    assert "for repeats of the tuning, from one measured step" in said
