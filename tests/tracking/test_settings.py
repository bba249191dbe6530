"""What a program that uses normsweep finds of its process afterwards: all as it was."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading

import pytest

from normsweep.tracking.settings import ENVIRONMENT, LEVELS, mlflow_settings
from tests import forkserver

PROGRAM = """
import json, logging, os, sys, warnings
# What these change when they are imported is theirs. MLflow's telemetry is not asked for.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
import mlflow, mlflow.store.tracking.sqlalchemy_store, optuna, pandas, sklearn.datasets, sqlalchemy, alembic
from mlflow import MlflowClient

os.environ.update(json.loads(sys.argv[1]))
logging.getLogger("mlflow").setLevel(logging.DEBUG)

def process():
    loggers = ("", "mlflow", "mlflow.store.db.utils", "alembic", "sqlalchemy", "py.warnings")
    return {
        "environment": dict(os.environ),
        "levels": {name: logging.getLogger(name).level for name in loggers},
        "handlers": {name: len(logging.getLogger(name).handlers) for name in loggers},
        "filters": [str(f) for f in warnings.filters],
        "optuna": optuna.logging.get_verbosity(),
        "folder": os.getcwd(),
        "tracking": mlflow.get_tracking_uri(),
        "excepthook": repr(sys.excepthook),
    }

SWEEP = {
    "name": "tidy", "question": "?", "reference": "unit", "data": {"dataset": "digits"},
    "model": {"name": "synthetic"},
    "search": {"trials": 2, "space": {
        "normalization": ["none", "unit"], "learning_rate": [0.01], "optimizer": ["sgd"], "epochs": [2]}},
    "confirm": {"seeds": 2, "baseline": {"epochs": 2}},
}
def check(when):
    now = process()
    assert now == before, (when, {key: (before[key], now[key]) for key in now if now[key] != before[key]})

before = process()
import normsweep
check("import")
study = normsweep.run(SWEEP, executor="inline", quiet=True)
check("run")
study = normsweep.load("tidy")
check("load")
len(study.trials()), study.answer, study.report()
check("tables")
try:
    normsweep.run(SWEEP, executor="inline", quiet=True, study_name="other", tracking_uri="http://127.0.0.1:9")
except normsweep.errors.StoreError:
    check("a run that fails")
else:
    raise AssertionError("no server is there")
"""


@pytest.mark.system
@pytest.mark.parametrize("own", ["{}", '{"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3"}'], ids=["none", "own"])  # fmt: skip
def test_a_program_finds_its_process_as_it_was(tmp_path, own):
    environment = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
    done = forkserver.run(
        [sys.executable, "-c", PROGRAM, own], cwd=tmp_path, env=environment, capture_output=True, text=True
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def bare(monkeypatch):
    """An environment without MLflow's variables, and levels of the caller's."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    before = {name: logging.getLogger(name).level for name in LEVELS}
    for name in LEVELS:
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def seen() -> tuple[dict[str, str], list[int]]:
    variables = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    return variables, [logging.getLogger(name).level for name in LEVELS]


OURS = dict(ENVIRONMENT), list(LEVELS.values())
THEIRS: tuple[dict[str, str], list[int]] = {}, [logging.DEBUG] * len(LEVELS)


def test_settings_hold_inside_and_are_put_back(bare):
    with mlflow_settings():
        with mlflow_settings():
            assert seen() == OURS
        assert seen() == OURS
    assert seen() == THEIRS
    with contextlib.suppress(KeyboardInterrupt), mlflow_settings():
        raise KeyboardInterrupt
    assert seen() == THEIRS


def test_what_a_user_has_set_holds(bare, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "4")
    with mlflow_settings():
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "4"
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "4"


def test_of_threads_that_overlap_the_last_puts_back(bare):
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with mlflow_settings():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with mlflow_settings():
        thread.start()
        inside.wait(10)
    assert seen() == OURS  # the other thread is in it still
    leave.set()
    thread.join()
    assert seen() == THEIRS


def test_mlflow_repeats_no_request_of_ours(bare):
    from mlflow.environment_variables import (
        MLFLOW_HTTP_REQUEST_MAX_RETRIES,
        MLFLOW_HTTP_REQUEST_TIMEOUT,
    )

    with mlflow_settings():
        assert (MLFLOW_HTTP_REQUEST_MAX_RETRIES.get(), MLFLOW_HTTP_REQUEST_TIMEOUT.get()) == (0, 20)
    assert MLFLOW_HTTP_REQUEST_MAX_RETRIES.get() > 0
