"""What is written of a study and read back, and what happens where the database does not take it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import optuna
import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from normsweep.errors import StudyStopped
from normsweep.parts.catalog import resolve_trial
from normsweep.store.optuna_tables import StudyTables
from normsweep.store.storage import load_study, open_storage, open_study, read_study
from normsweep.store.study_store import StudyStore
from normsweep.sweep.study_record import (
    Analysis,
    Configuration,
    Diagnosis,
    LoggedModel,
    Publication,
    Stage,
)
from normsweep.sweep.trial import CONFIRM, SEARCH, Epoch, Result, Status, Trial
from tests.search.searches import DATA, KEY

STAGE = Stage(33.0, 78.0, 41.5, float("inf"), (("dense_1", 2.0),))
DIAGNOSIS = Diagnosis(STAGE, None)
MODEL = LoggedModel(3, "m-1")
PUBLISHED = Publication("0" * 64, "http://mlflow/#/experiments/1", True)
PARAMS = {"normalization": "unit", "optimizer": "adam", "learning_rate": 0.01, "epochs": 2}
CURVE = tuple(Epoch(0, n, 1.0, 0.5, 1.0, 0.5, 0.1) for n in (1, 2))


def analysis(seeds: int, *runs: int | None) -> Analysis:
    return Analysis(seeds, (Configuration("unit", "baseline", dict(PARAMS), runs=runs),))


@pytest.fixture
def store(url, sweep) -> StudyStore:
    made = open_study(url, "tested", sweep())
    made.begin_study(DATA, {"symmetric": "unit"}, 4, "mixed_bfloat16")
    return made


@pytest.fixture
def planned(sweep) -> Trial:
    return resolve_trial(sweep(), KEY, "unit", PARAMS, number=-1, slot=0)


def test_all_that_is_noted_is_in_the_record(store, planned, url, sweep):
    for _ in range(8):
        store.begin_trial(planned)
    store.note_plan(SEARCH, 24)
    store.note_plan(CONFIRM, 6)
    store.note_model("unit", MODEL)
    store.note_model("none", MODEL)
    store.note_diagnosis("unit", DIAGNOSIS)
    store.note_analysis(analysis(5, 7))
    record = read_study(url, "tested")
    assert record == store.record()
    assert (record.sweep, record.data, record.threads) == (sweep(), DATA, 4)
    assert record.precision == "mixed_bfloat16"
    assert record.same == {"symmetric": "unit"}
    assert record.planned == {SEARCH: 24, CONFIRM: 6}
    assert record.models == {"unit": MODEL, "none": MODEL}
    assert record.diagnoses == {"unit": DIAGNOSIS}
    assert record.analyses == (analysis(5, 7),)


def test_what_a_study_was_begun_with_stays(store):
    store.begin_study(replace(DATA, digest="d2"), {}, 1, "float32")
    record = store.record(trials=False)
    assert (record.data, record.same, record.threads) == (DATA, {"symmetric": "unit"}, 4)
    assert record.precision == "mixed_bfloat16"


def test_a_trial_is_numbered_and_comes_back_with_how_it_ended(store, planned, sweep):
    trials = [store.begin_trial(planned, sweep().search.space) for _ in range(2)]
    assert trials == [replace(planned, number=0), replace(planned, number=1)]
    assert [r.result for r in store.trials()] == [None, None]
    for epoch in CURVE:
        store.report(trials[0], epoch)
    result = Result(0, Status.COMPLETE, CURVE, chance=0.1)
    assert store.tell(trials[0], result).trial == trials[0]
    store.note_run(0, "run0", "s")
    first, second = store.record().trials
    assert (first.trial, first.result, first.run_id) == (trials[0], result, "run0")
    assert (second.result, second.run_id) == (None, "")
    assert store.record(trials=False).trials == ()


def test_what_ended_is_read_once(store, planned, monkeypatch):
    read = []
    trials = StudyTables.trials

    def spied(self, attrs, where="", first=0):
        read.append(first)
        return trials(self, attrs, where, first)

    monkeypatch.setattr(StudyTables, "trials", spied)
    for number in range(2):
        trial = store.begin_trial(planned)
        store.tell(trial, Result(number, Status.COMPLETE, CURVE))
    store.begin_trial(planned)
    assert store.trials() == store.trials()
    assert read == [0, 0, 2]  # before the first one is numbered


def test_an_analysis_counts_where_there_is_anything_new_in_it(store, planned):
    for _ in range(7):
        store.begin_trial(planned)
    first = analysis(2, 0, 1)
    assert store.note_analysis(first) == store.note_analysis(first) == (first,)
    assert store.note_analysis(analysis(1, 0)) == (first,)  # of fewer seeds
    again, more = analysis(2, 0, 5), analysis(3, 0, 5, 6)
    assert store.note_analysis(again) == (first, again)
    assert store.note_analysis(more) == (first, again, more)


def test_a_phase_that_was_deleted_with_optunas_tools_is_as_one_that_has_not_begun(
    store, planned, url
):
    """Its analyses go with it; the runs that MLflow has of its trials keep their numbers."""
    for phase in (SEARCH, CONFIRM, CONFIRM):
        trial = store.begin_trial(replace(planned, phase=phase))
        store.tell(trial, Result(trial.number, Status.COMPLETE, CURVE))
        store.note_run(trial.number, f"run{trial.number}", "s")
    assert store.note_analysis(analysis(2, 1, 2)) == (analysis(2, 1, 2),)
    optuna.delete_study(study_name="tested/confirm", storage=url)
    again = load_study(url, "tested")
    assert again.record().analyses == again.record(trials=False).analyses == ()
    assert [record.run_id for record in again.trials()] == ["run0"]
    new = [again.begin_trial(replace(planned, phase=CONFIRM)).number for _ in range(2)]
    assert new == [3, 4]
    assert [record.run_id for record in again.trials()] == ["run0", "", ""]
    assert again.note_analysis(analysis(1, 3)) == (analysis(1, 3),)


def test_what_was_killed_between_two_writes_is_closed_as_it_had_ended(store, planned, url):
    _, killed = (store.begin_trial(planned) for _ in range(2))
    result = Result(0, Status.COMPLETE, CURVE, chance=0.1)
    tables = StudyTables(open_storage(url, create=False), "tested")
    told, _ = tables.trials([])
    tables.set_attr(told.key, "normsweep:result", result.to_json())
    store.repair()
    first, second = store.trials()
    assert first.result == result
    assert (second.trial, second.result.status) == (killed, Status.INTERRUPTED)


def test_the_state_differs_after_every_write_but_that_of_the_mark(store, planned):
    def changed(write: Callable[[], object]) -> bool:
        before = store.state()
        write()
        return store.state() != before

    assert store.published is None
    assert not changed(lambda: store.note_published(PUBLISHED))
    assert store.published == PUBLISHED
    trial = store.begin_trial(planned)
    assert changed(lambda: store.begin_trial(planned))
    assert changed(lambda: store.tell(trial, Result(trial.number, Status.COMPLETE, CURVE)))
    assert changed(lambda: store.note_run(trial.number, "run0", "s"))
    assert changed(lambda: store.note_model("unit", MODEL))
    assert not changed(lambda: store.note_model("unit", MODEL))


def report_together(store: StudyStore, trial: Trial) -> None:
    with store.together():
        for epoch in CURVE:
            store.report(trial, epoch)


def report_and_fail(store: StudyStore, trial: Trial) -> None:
    store.report(trial, CURVE[0])
    raise StudyStopped("the disk is full")


def test_what_is_written_together_is_there_as_a_whole_or_not_at_all(store, planned, url):
    trial = store.begin_trial(planned)
    with pytest.raises(StudyStopped), store.together():
        report_and_fail(store, trial)
    (frozen,) = optuna.load_study(study_name="tested", storage=url).trials
    assert frozen.intermediate_values == {}
    report_together(store, trial)
    store.report(trial, replace(CURVE[0], epoch=3))
    (frozen,) = optuna.load_study(study_name="tested", storage=url).trials
    assert list(frozen.intermediate_values) == [1, 2, 3]


WRITES: dict[str, Callable[[StudyStore, Trial], object]] = {
    "record": lambda store, trial: store.record(),
    "trials": lambda store, trial: store.trials(),
    "check_data": lambda store, trial: store.check_data(DATA),
    "begin_study": lambda store, trial: store.begin_study(DATA, {}),
    "begin_trial": lambda store, trial: store.begin_trial(trial),
    "report": lambda store, trial: store.report(trial, CURVE[0]),
    "together": lambda store, trial: report_together(store, trial),
    "tell": lambda store, trial: store.tell(trial, Result(0, Status.COMPLETE, CURVE)),
    "repair": lambda store, trial: store.repair(),
    "note_run": lambda store, trial: store.note_run(0, "run0", "s"),
    "note_plan": lambda store, trial: store.note_plan(SEARCH, 3),
    "note_model": lambda store, trial: store.note_model("unit", MODEL),
    "note_diagnosis": lambda store, trial: store.note_diagnosis("unit", DIAGNOSIS),
    "note_analysis": lambda store, trial: store.note_analysis(analysis(2, 0)),
    "note_published": lambda store, trial: store.note_published(PUBLISHED),
    "write_notes": lambda store, trial: store.write_notes({SEARCH: "a note"}),
    "state": lambda store, trial: store.state(),
}


def test_every_method_is_tried_without_a_database():
    public = {name for name, value in vars(StudyStore).items() if callable(value)}
    assert {name for name in public if not name.startswith("_")} - {"fence"} == WRITES.keys()


@pytest.mark.parametrize("method", WRITES)
def test_a_database_that_fails_stops_the_study(store, planned, method):
    trial = store.begin_trial(planned)

    def fail(*arguments: object) -> None:
        raise OperationalError("SELECT 1", {}, Exception("disk I/O error"))

    engine = store._parent._storage.engine
    event.listen(engine, "before_cursor_execute", fail)
    with pytest.raises(StudyStopped, match="disk I/O error"):
        WRITES[method](store, trial)
    event.remove(engine, "before_cursor_execute", fail)


def test_a_trial_costs_as_many_transactions_as_ever(store, planned, sweep):
    """One to begin it and two that read, one an epoch or several together, one to end it."""
    commits: list[str] = []
    space = sweep().search.space
    store.begin_trial(planned, space)  # the first asks how epochs were recorded
    event.listen(store._parent._storage.engine, "begin", lambda connection: commits.append("begin"))
    counts = []
    trial = store.begin_trial(planned, space)
    counts.append(len(commits))
    store.report(trial, CURVE[0])
    counts.append(len(commits))
    with store.together():
        for epoch in CURVE:
            store.report(trial, epoch)
    counts.append(len(commits))
    store.tell(trial, Result(trial.number, Status.COMPLETE, CURVE))
    counts.append(len(commits))
    assert counts == [3, 4, 5, 6]


def test_a_study_that_is_loaded_is_the_one_that_was_made(store, url):
    loaded = load_study(url, None)
    assert (loaded.name, loaded.key) == (store.name, store.key) == ("tested", 1)
