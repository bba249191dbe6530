"""Search, selection and confirmation as Optuna studies of their own: what Optuna's tools say of the search."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from normsweep.parts.catalog import resolve_trial
from normsweep.search.phase import shown_space
from normsweep.store.storage import (
    delete_orphaned,
    delete_study,
    known_ids,
    load_study,
    open_study,
    orphaned_studies,
    read_study,
    study_names,
)
from normsweep.store.study_store import StudyStore
from normsweep.sweep.schema import Sweep
from normsweep.sweep.trial import CONFIRM, SEARCH, SELECT, Epoch, Result, Status, Trial
from tests.reliability import KILL
from tests.search.searches import DATA, KEY, opened, run_all

PARAMS = {"normalization": "unit", "optimizer": "adam", "learning_rate": 0.5, "epochs": 9}
"""Outside of the searched space."""


def later(sweep: Sweep, phase: str, seed: int = 100) -> Trial:
    """A trial of a later phase."""
    trial = resolve_trial(sweep, KEY, "unit", PARAMS, number=-1, slot=0)
    return replace(trial, phase=phase, configuration="baseline", seed=seed)


def run_later(store: StudyStore, sweep: Sweep, phase: str, value: float = 0.99) -> Trial:
    planned = later(sweep, phase)
    space = shown_space(sweep, sampled=False).including(planned.params)
    trial = store.begin_trial(planned, space)
    epoch = Epoch(trial.number, 1, 1.0, value, 1.0, value, 0.1)
    store.report(trial, epoch)
    store.tell(trial, Result(trial.number, Status.COMPLETE, (epoch,), chance=0.1))
    return trial


def names(url: str) -> list[str]:
    """All of Optuna's studies."""
    return sorted(optuna.get_all_study_names(url))


def loaded(url: str, name: str) -> optuna.Study:
    return optuna.load_study(storage=url, study_name=name)


def test_a_confirmation_leaves_optunas_view_of_the_search_as_it_was(any_url, sweep):
    search = opened(any_url, sweep())
    trials = run_all(search)
    before = loaded(any_url, "tested")
    best, importances = before.best_trial, optuna.importance.get_param_importances(before)
    assert {"learning_rate", "normalization", "optimizer"} <= importances.keys()
    assert importances["learning_rate"] > importances["epochs"] == 0.0  # of which all are the same
    for phase in (SELECT, CONFIRM, CONFIRM):  # with a better score than any trial of the search
        run_later(search.store, sweep(), phase)
    after = loaded(any_url, "tested")
    assert after.best_trial.number == best.number < len(trials)
    assert after.best_trial.params == best.params
    assert optuna.importance.get_param_importances(after) == importances
    assert len(after.trials) == len(trials)
    assert names(any_url) == ["tested", "tested/confirm", "tested/select"]
    confirm = loaded(any_url, "tested/confirm")
    assert confirm.metric_names == after.metric_names == ["val_accuracy"]
    assert confirm.direction == after.direction
    shown = confirm.trials[0]
    assert shown.params == PARAMS
    assert shown.user_attrs["normsweep:configuration"] == "baseline"
    assert (shown.user_attrs["normsweep:number"], shown.user_attrs["normsweep:seed"]) == (25, 100)
    assert study_names(any_url) == ["tested"]


def test_epochs_have_a_range_only_where_they_are_sampled(url, sweep):
    sampled = sweep("search.space.epochs={low = 1, high = 6, sample = true}", "name=sampled")
    for each in (sweep(), sampled):
        search = opened(url, each)
        run_all(search, 3)
        run_later(search.store, each, CONFIRM)
    ranges = {
        name: {
            (d.low, d.high) for t in loaded(url, name).trials for d in [t.distributions["epochs"]]
        }
        for name in names(url)
    }
    assert ranges == {
        "sampled": {(1, 6)},
        "sampled/confirm": {(9, 9)},
        "tested": {(6, 6)},
        "tested/confirm": {(9, 9)},
    }


def test_the_trials_of_all_phases_are_numbered_in_one_row(any_url, sweep):
    search = opened(any_url, sweep())
    run_all(search, 2)
    numbers = [run_later(search.store, sweep(), phase).number for phase in (SELECT, CONFIRM)]
    assert numbers == [2, 3]
    again = opened(any_url, sweep())
    (fourth,) = run_all(again, 1)
    assert fourth.number == 4
    again.store.note_run(3, "run3", "s")
    record = read_study(any_url, "tested")
    assert [r.trial.number for r in record.trials] == [0, 1, 2, 3, 4]
    assert [r.trial.phase for r in record.trials] == [SEARCH, SEARCH, SELECT, CONFIRM, SEARCH]
    assert [r.run_id for r in record.trials] == ["", "", "", "run3", ""]
    assert [r.result.trial for r in record.trials] == [0, 1, 2, 3, 4]
    assert record == again.store.record()


def test_what_a_killed_process_left_running_is_closed_in_every_study(any_url, sweep):
    store = opened(any_url, sweep()).store
    begun = [store.begin_trial(later(sweep(), phase)) for phase in (SELECT, CONFIRM)]
    load_study(any_url, "tested").repair()
    records = read_study(any_url, "tested").trials
    assert [r.trial for r in records] == begun
    assert {r.result.status for r in records} == {Status.INTERRUPTED}


def test_the_state_differs_after_a_trial_of_any_phase(url, sweep):
    store = opened(url, sweep()).store
    states = [store.state()]
    for phase in (SELECT, CONFIRM):
        run_later(store, sweep(), phase)
        states.append(store.state())
    assert len(set(states)) == 3
    assert load_study(url, "tested").state() == states[-1]


KILLED = """
import os, signal, sys
from normsweep.store.optuna_tables import StudyTables
from normsweep.store.phase_studies import PhaseStudies
from normsweep.store.storage import load_study
from normsweep.sweep.trial import Trial

def die(*arguments, **more):
    os.kill(os.getpid(), signal.SIGKILL)

before = {"begin": StudyTables.begin, "attribute": StudyTables.set_attr_of_study}
where = sys.argv[1]
if where == "before the attribute":
    StudyTables.set_attr_of_study = die
elif where == "before the first trial":
    StudyTables.begin = die
store = load_study(sys.argv[2], "tested")
store.begin_trial(Trial.from_json(sys.argv[3]))
die()
"""


@pytest.mark.parametrize("moment", ["before the attribute", "before the first trial", "after it"])
def test_a_process_killed_while_it_makes_the_study_of_a_phase_loses_nothing(
    any_url, sweep, moment, faults
):
    search = opened(any_url, sweep())
    run_all(search, 2)
    planned = later(sweep(), CONFIRM).to_json()
    done = subprocess.run(
        [sys.executable, "-c", KILLED, moment, any_url, planned], capture_output=True, text=True
    )
    assert done.returncode == -9, done.stderr
    assert names(any_url) == ["tested", "tested/confirm"]
    again = opened(any_url, sweep())
    trial = run_later(again.store, sweep(), CONFIRM)
    left = 3 if moment == "after it" else 2
    assert trial.number == left
    assert names(any_url) == ["tested", "tested/confirm"]
    numbers = [r.trial.number for r in read_study(any_url, "tested").trials]
    assert numbers == list(range(left + 1))
    assert len(run_all(again)) == again.total - 2
    store = "SQLite" if any_url.startswith("sqlite") else "PostgreSQL"
    faults(KILL, 1, moment="confirmation", store=store)


def test_a_study_of_somebody_elses_with_the_name_of_a_phase_is_left_alone(url, sweep):
    other = optuna.create_study(storage=url, study_name="tested/confirm")
    other.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    store = opened(url, sweep()).store
    run_later(store, sweep(), CONFIRM)
    assert len(other.trials) == 1
    assert other.user_attrs == {}
    key = store.record(trials=False).id[:8]
    assert names(url) == ["tested", "tested/confirm", f"tested/confirm {key}"]
    assert [r.trial.phase for r in read_study(url, "tested").trials] == [CONFIRM]
    delete_study(url, "tested")
    assert names(url) == ["tested/confirm"]


def test_a_deletion_that_was_interrupted_is_repeated(any_url, sweep, monkeypatch):
    store = opened(any_url, sweep()).store
    for phase in (SELECT, CONFIRM):
        run_later(store, sweep(), phase)
    delete, deleted = optuna.delete_study, []

    def interrupted(study_name: str, storage: optuna.storages.BaseStorage) -> None:
        if deleted:
            raise KeyboardInterrupt
        deleted.append(study_name)
        delete(study_name=study_name, storage=storage)

    monkeypatch.setattr(optuna, "delete_study", interrupted)
    with pytest.raises(KeyboardInterrupt):
        delete_study(any_url, "tested")
    monkeypatch.undo()
    assert len(deleted) == 1
    assert study_names(any_url) == ["tested"]
    delete_study(any_url, "tested")
    assert names(any_url) == []


def test_what_optunas_tools_left_of_a_deleted_study_is_orphaned_and_no_part_of_a_new_one(
    any_url, sweep
):
    run_later(opened(any_url, sweep()).store, sweep(), CONFIRM)
    optuna.delete_study(storage=any_url, study_name="tested")
    new = opened(any_url, sweep()).store
    assert new.record().trials == ()
    run_later(new, sweep(), CONFIRM)
    assert len(new.record().trials) == 1
    assert orphaned_studies(any_url) == ["tested/confirm"]
    delete_orphaned(any_url, ["tested/confirm", "tested"])
    assert orphaned_studies(any_url) == []
    assert len(read_study(any_url, "tested").trials) == 1


def test_a_copy_has_phases_of_its_own_and_goes_without_those_of_the_original(any_url, sweep):
    """`optuna.copy_study` copies the id too."""
    search = opened(any_url, sweep())
    run_all(search, 2)
    run_later(search.store, sweep(), CONFIRM)
    optuna.copy_study(
        from_study_name="tested", from_storage=any_url, to_storage=any_url, to_study_name="backup"
    )
    copy = load_study(any_url, "backup")
    assert {r.trial.phase for r in copy.trials()} == {SEARCH}
    run_later(copy, sweep(), CONFIRM, 0.5)
    assert names(any_url) == ["backup", "backup/confirm", "tested", "tested/confirm"]
    assert [r.result.score for r in read_study(any_url, "tested").confirmed] == [0.99]
    assert [r.result.score for r in read_study(any_url, "backup").confirmed] == [0.5]
    delete_study(any_url, "backup")
    assert names(any_url) == ["tested", "tested/confirm"]
    assert len(read_study(any_url, "tested").confirmed) == 1


@pytest.mark.parametrize("name", ["renamed", "not a name of ours"])
def test_a_renamed_study_is_known_by_its_id(url, sweep, name):
    """Optuna's dashboard renames by a copy, and deletes the original."""
    search = opened(url, sweep())
    run_all(search, 2)
    run_later(search.store, sweep(), CONFIRM)
    key = search.store.record(trials=False).id
    optuna.copy_study(
        from_study_name="tested", from_storage=url, to_storage=url, to_study_name=name
    )
    optuna.delete_study(study_name="tested", storage=url)
    assert known_ids(url) == ({key}, {DATA.digest})
    if name == "renamed":
        assert len(read_study(url, "renamed").confirmed) == 1
    assert orphaned_studies(url) == []


def test_a_study_with_all_phases_in_one_goes_on_so(tmp_path, sweep):
    older = Path(__file__).parents[1] / "search" / "begun_under_rules_1.db.gz"
    (tmp_path / "older.db").write_bytes(gzip.decompress(older.read_bytes()))
    url = f"sqlite:///{tmp_path}/older.db"
    store = load_study(url, "tested")
    searched = len(store.trials())
    trial = run_later(store, sweep(), CONFIRM)
    assert trial.number == searched
    assert names(url) == ["tested"]
    frozen = loaded(url, "tested").trials[-1]
    assert frozen.number == searched
    assert (frozen.params, sorted(frozen.user_attrs)) == (
        {},
        ["normsweep:result", "normsweep:trial"],
    )
    assert json.loads(frozen.user_attrs["normsweep:trial"])["number"] == searched
    assert [r.trial.number for r in read_study(url, "tested").trials] == list(range(searched + 1))
    delete_study(url, "tested")
    assert names(url) == []


def test_a_study_is_opened_again_with_its_phases(url, sweep):
    run_later(open_study(url, "tested", sweep()), sweep(), CONFIRM)
    store = open_study(url, "tested", sweep())
    store.begin_study(DATA, {})
    assert [r.trial.phase for r in store.trials()] == [CONFIRM]
