"""What is read and written past Optuna's own methods, and all of Optuna that it takes as given."""

from __future__ import annotations

import re
from inspect import getsource

import optuna
from sqlalchemy import inspect

from normsweep.store import optuna_tables
from normsweep.store.optuna_tables import REPEATED, Patient, StudyTables
from normsweep.store.storage import open_storage, open_study


def test_a_trial_that_was_written_unconfirmed_and_again_is_closed_and_one_counts(url, sweep):
    open_study(url, "tested", sweep())
    study = StudyTables(open_storage(url, create=False), "tested")

    def attrs(number: int) -> dict[str, int]:
        if number == 0:  # a first writing, of which the answer is lost
            optuna.load_study(storage=url, study_name="tested").ask()
        return {"number": number}

    number, key = study.begin({}, {}, attrs)
    assert (number, key) == (1, 2)
    lost, begun = optuna.load_study(storage=url, study_name="tested").trials
    assert (lost.state.name, begun.state.name) == ("FAIL", "RUNNING")
    assert begun.user_attrs == {"number": 1}


RELIED_ON = {
    "studies": {"study_id", "study_name"},
    "study_user_attributes": {"study_id", "key", "value_json"},
    "study_system_attributes": {"study_id", "key", "value_json"},
    "trials": {"trial_id", "study_id", "number", "state"},
    "trial_params": {"trial_id", "param_name", "distribution_json"},
    "trial_user_attributes": {"trial_id", "key", "value_json"},
}
"""The columns that our SQL names, by table."""


def test_optunas_tables_are_those_that_our_statements_name(url):
    storage = open_storage(url, create=True)
    found = inspect(storage.engine)
    for table, columns in RELIED_ON.items():
        assert columns <= {column["name"] for column in found.get_columns(table)}, table
    statements = [value for value in vars(optuna_tables).values() if isinstance(value, str)]
    named = set(re.findall(r"(?:FROM|JOIN|INTO) (\w+)", " ".join(statements)))
    assert named == RELIED_ON.keys()


def test_optunas_schema_is_the_one_that_was_looked_at(url):
    """Where this fails, look at what Optuna changed before the version here is raised."""
    assert open_storage(url, create=True).get_head_version() == "v3.2.0.a"


def test_what_is_done_again_after_an_outage_is_there_in_optuna():
    own = vars(optuna.storages.RDBStorage)
    assert [name for name in REPEATED if name not in own] == []
    assert "set_trial_state_values" in own
    assert all(vars(Patient)[name].__wrapped__ is own[name] for name in REPEATED)


def test_what_optuna_does_with_the_database_is_done_again_after_an_outage():
    """Of the methods that we call, each is repeated itself or calls nothing but what is."""
    source = getsource(optuna_tables)
    called = set(re.findall(r"self\._storage\.(\w+)\(|[^.]\bstorage\.(\w+)\(", source))
    names = {name for pair in called for name in pair if name}
    indirect = {
        "create_new_trial": "_create_new_trial",
        "get_trial_id_from_study_id_trial_number": None,  # of trials that another process began
        "set_trial_state_values": "set_trial_state_values",
        "scoped_session": None,  # SQLAlchemy's sessions, in which those methods write
    }
    assert names - indirect.keys() <= set(REPEATED)
    for name in filter(None, indirect.values()):
        assert name in vars(Patient)
