"""The database: what is opened, made, found and refused."""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings
from contextlib import ExitStack
from dataclasses import replace

import optuna
import pytest
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from normsweep.errors import StoreError, SweepError
from normsweep.store.storage import (
    begun_study,
    load_study,
    open_study,
    quiet,
    read_study,
    study_names,
)
from normsweep.sweep.loading import load_sweep
from normsweep.sweep.study_record import Analysis, Configuration
from tests.search.searches import DATA, opened, run_all
from tests.shared import place_stores
from tests.store.test_locks import disconnect_all


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ("seed=9", "seed: 0 -> 9"),
        ("search.space.learning_rate.high=1.0", "search.space.learning_rate.high: 0.1 -> 1.0"),
        ("search.sampler=random", 'search.sampler: "auto" -> "random"'),
        ("model.name=mlp", 'model.name: "lenet" -> "mlp"'),
        ("confirm.margin=0.05", "confirm.margin: 0.002 -> 0.05"),
        ("data.train_size=500", "data.train_size"),
    ],
)
def test_a_sweep_changed_since_the_study_began_is_refused(url, sweep, change, key):
    run_all(opened(url, sweep()), 1)
    with pytest.raises(SweepError) as caught:
        opened(url, sweep(change))
    assert key in str(caught.value)
    assert len(caught.value.lines) == 2


def test_more_trials_seeds_and_time_are_no_change(url, sweep):
    run_all(opened(url, sweep()), 1)
    more = sweep("search.trials=30", "confirm.seeds=20", "search.timeout=5", 'question="?"')
    assert opened(url, more).left == 29
    assert opened(url, sweep()).store.record(trials=False).sweep.search.trials == 30


def test_after_an_analysis_more_seeds_need_a_new_study(url, sweep, trial):
    store = opened(url, sweep("confirm.seeds=5")).store
    for _ in range(5):
        store.begin_trial(trial())
    runs = [Configuration(arm, "baseline", {}, runs=(0, 1, 2, 3, 4)) for arm in ("none", "unit")]
    store.note_analysis(Analysis(4, tuple(replace(c, runs=c.runs[:4]) for c in runs)))
    opened(url, sweep("confirm.seeds=6"))  # four seeds allow no verdict
    store.note_analysis(Analysis(5, tuple(runs)))
    opened(url, sweep("confirm.seeds=6"))
    with pytest.raises(SweepError) as caught:
        opened(url, sweep("confirm.seeds=7"))
    assert caught.value.lines == (
        'study "tested" has an analysis, and more seeds would change the levels of its analyses; start a '
        "new study, which reuses the finished trials, with",
        "  --study-name tested-2 --reuse tested",
        "or restore:",
        "  confirm.seeds: 6 -> 7",
    )


def test_under_earlier_rules_more_seeds_are_another_analysis(url, sweep):
    store = opened(url, sweep("confirm.seeds=5", "rules=2")).store
    runs = [Configuration(arm, "baseline", {}, runs=(0, 1, 2, 3, 4)) for arm in ("none", "unit")]
    store.note_analysis(Analysis(5, tuple(runs)))
    opened(url, sweep("confirm.seeds=7", "rules=2"))
    assert read_study(url, "tested").sweep.confirm.seeds.most == 7


def test_other_data_is_refused(url, sweep):
    run_all(opened(url, sweep()), 1)
    with pytest.raises(
        SweepError, match="created with different data: digits .*digest d1.* -> mnist"
    ):
        open_study(url, "tested", sweep()).check_data(replace(DATA, digest="d2", name="mnist"))


@pytest.mark.parametrize("directions", [["minimize"], ["maximize", "minimize"]], ids=str)
def test_an_empty_study_of_somebody_elses_with_another_direction_is_left_alone(
    url, sweep, directions
):
    optuna.create_study(storage=url, study_name="tested", directions=directions)
    with pytest.raises(StoreError, match="was not created by normsweep"):
        open_study(url, "tested", sweep())


def test_an_empty_study_with_attributes_of_somebody_elses_is_left_alone(url, sweep):
    optuna.create_study(storage=url, study_name="tested", direction="maximize").set_user_attr(
        "a", 1
    )
    with pytest.raises(StoreError, match="was not created by normsweep"):
        open_study(url, "tested", sweep())


def test_a_study_of_somebody_elses_is_left_alone(url, sweep):
    study = optuna.create_study(storage=url, study_name="tested")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    with pytest.raises(StoreError, match="was not created by normsweep"):
        opened(url, sweep())
    assert list(study.user_attrs) == []


def test_the_record_is_read_by_name_or_as_the_only_one(url, sweep):
    run_all(opened(url, sweep()), 3)
    record = read_study(url, None)
    assert (record.name, len(record.trials)) == ("tested", 3)
    assert record.arms == ("none", "unit", "standardize")
    opened(url, sweep("name=other"))
    assert study_names(url) == ["other", "tested"]
    with pytest.raises(StoreError, match="--study-name: required.* available: other, tested"):
        read_study(url, None)
    with pytest.raises(StoreError, match='no study "tset" in .*available: other, tested'):
        read_study(url, "tset")


@pytest.mark.parametrize(
    "bad", ["no url", "sqlite:////proc/none/x.db", "postgresql+psycopg://user:secret@127.0.0.1:1/x"]
)
def test_a_database_that_cannot_be_opened_is_told_without_its_password(sweep, bad):
    with pytest.raises(StoreError) as caught:
        opened(bad, sweep())
    assert "--storage" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_database_of_something_else_is_left_as_it_is(tmp_path, sweep):
    url = f"sqlite:///{place_stores(tmp_path, 'mlflow.db')}/mlflow.db"
    tables = set(inspect(create_engine(url)).get_table_names())
    for use in (lambda: opened(url, sweep()), lambda: read_study(url, None)):
        with pytest.raises(StoreError, match="MLflow's database"):
            use()
    assert set(inspect(create_engine(url)).get_table_names()) == tables


def test_a_study_that_came_to_no_trial_may_be_changed(url, sweep):
    open_study(url, "tested", sweep())
    assert opened(url, sweep("seed=9")).ask().seed == 9


def test_a_study_made_again_under_its_name_has_an_id_of_its_own(url, sweep):
    first = opened(url, sweep()).store.record(trials=False).id
    optuna.delete_study(study_name="tested", storage=url)
    assert opened(url, sweep()).store.record(trials=False).id != first


@pytest.mark.system
def test_a_server_with_nothing_in_it_is_told_and_taken(postgresql_url, sweep_file, parts):
    with pytest.raises(
        StoreError, match="--storage: no database at .*; pass the storage of an existing"
    ):
        load_study(postgresql_url, "base")
    assert begun_study(postgresql_url, "base") is None
    study = open_study(postgresql_url, "base", load_sweep(sweep_file, parts))
    assert study.name == "base"


def test_an_import_changes_neither_optunas_verbosity_nor_the_warnings(tmp_path):
    said = subprocess.run(
        [
            sys.executable,
            "-c",
            "import warnings, optuna; before = optuna.logging.get_verbosity(), list(warnings.filters)\n"
            "import normsweep.search.search_phase, normsweep.store.storage\n"
            "assert (optuna.logging.get_verbosity(), list(warnings.filters)) == before",
        ],
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stderr


def test_what_two_threads_made_quiet_is_as_it_was_after_the_last_one():
    before = optuna.logging.get_verbosity()
    first, second = ExitStack(), ExitStack()
    first.enter_context(quiet())
    second.enter_context(quiet())
    first.close()
    assert optuna.logging.get_verbosity() == logging.ERROR
    second.close()
    assert optuna.logging.get_verbosity() == before


def test_what_is_made_quiet_is_as_it_was_afterwards():
    before = optuna.logging.get_verbosity(), list(warnings.filters)
    with quiet():
        assert optuna.logging.get_verbosity() == optuna.logging.ERROR
        with warnings.catch_warnings(record=True) as caught:
            warnings.warn("new", optuna.exceptions.ExperimentalWarning, stacklevel=1)
        assert caught == []
    assert (optuna.logging.get_verbosity(), list(warnings.filters)) == before


@pytest.mark.system
def test_a_connection_that_is_cut_while_it_commits_is_an_error_and_no_traceback(
    postgresql_url, caplog
):
    with quiet():
        engine = create_engine(postgresql_url)
        with engine.connect() as connection:
            connection.execute(text("CREATE TEMPORARY TABLE cut (a int)"))
            disconnect_all(postgresql_url)
            with pytest.raises(SQLAlchemyError):
                connection.commit()
        engine.dispose()
    assert caplog.records == []
    assert logging.getLogger("sqlalchemy.pool").level == logging.NOTSET


def test_a_study_is_read_without_alembic_unless_the_tables_are_of_another_optuna(url, sweep):
    run_all(opened(url, sweep()), 1)
    code = (
        "import sys; from normsweep.store.storage import read_study\n"
        f"assert len(read_study({url!r}, None).trials) == 1; assert 'alembic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with create_engine(url).begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'v2.6.0.a'"))
    with pytest.raises(StoreError, match="its tables are of Optuna"):
        read_study(url, None)
