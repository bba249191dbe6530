"""The database: opened, and its studies found, made and deleted."""

from __future__ import annotations

import itertools
import json
import time
import uuid
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import OptunaError
from sqlalchemy import create_engine, event, inspect
from sqlalchemy.exc import SQLAlchemyError

from normsweep.errors import StoreError, SweepError
from normsweep.parts.metrics import metric
from normsweep.store.encoding import (
    ID,
    READ,
    RUN,
    SWEEP,
    readable,
    study_head,
    sweep_keys,
    to_record,
)
from normsweep.store.optuna_tables import PATIENCE, Patient, Study, names_with
from normsweep.sweep.problems import shown
from normsweep.sweep.recorded import GROWING, changes, to_plain
from normsweep.sweep.schema import Sweep, is_name
from normsweep.sweep.study_record import StudyRecord, TrialRecord
from normsweep.text import masked, reason
from normsweep.urls import alone, check_address, parsed_url, sqlite_file

__all__ = [
    "begun_study",
    "delete_study",
    "load_study",
    "make_folder",
    "open_storage",
    "open_study",
    "read_studies",
    "read_study",
    "study_names",
]

SQLITE_TIMEOUT = 20.0
"""Seconds that a write waits for another process's."""


optuna.logging.set_verbosity(optuna.logging.ERROR)


warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def open_storage(url: str, *, create: bool) -> optuna.storages.RDBStorage:
    """Optuna's storage at an SQLAlchemy URL; its tables are made where `create`.

    Raises:
        StoreError: the URL is none, or the database cannot be opened.
    """
    check_address("--storage", url)
    parsed = parsed_url(url)
    if parsed is None:
        raise StoreError(
            f"--storage: received {masked(url)!r}; legal: a database URL, as sqlite:///mlruns/optuna.db or "
            "postgresql+psycopg://user@host/database"
        )
    file = sqlite_file(parsed)
    if file is not None and not file.exists():
        if not create:
            raise _nothing(url)
        make_folder(file, url)
    arguments: dict[str, Any] = {"timeout": SQLITE_TIMEOUT} if file is not None else {}
    options = {"connect_args": arguments, "pool_pre_ping": file is None}
    kind = Patient if file is None else optuna.storages.RDBStorage
    # Optuna marks its version when a database is opened to be read, too: not while it is being made.
    try:
        with alone(url, making=create):
            tables = _tables(url)
            if not tables and not create:
                raise _nothing(url)
            _refuse_others(url, tables)
            storage = kind(url, engine_kwargs=options, skip_table_creation=not create)
    except (OptunaError, SQLAlchemyError, ImportError, RuntimeError) as error:
        why = reason(error.__cause__ or error, url)
        raise StoreError(f"--storage: cannot open {masked(url)}: {why}") from None
    if file is None:
        event.listen(storage.engine, "do_connect", _patiently)
    return storage


def _patiently(dialect: Any, record: Any, arguments: Any, options: Any) -> Any:
    """Connect, waiting for a server that is being restarted."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return dialect.connect(*arguments, **options)
        except dialect.loaded_dbapi.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1.0)


def _nothing(url: str) -> StoreError:
    return StoreError(
        f"--storage: received {masked(url)}, where there is no database; legal: the storage of a "
        "study that was run (python -m normsweep.study makes one)"
    )


def _tables(url: str) -> set[str]:
    engine = create_engine(url)
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


def _refuse_others(url: str, tables: set[str]) -> None:
    """Raise where the database is MLflow's: the two cannot share one (both keep `alembic_version`)."""
    if "experiments" in tables and "studies" not in tables:
        raise StoreError(
            f"--storage: received {masked(url)}, which is MLflow's database; legal: one of its own, "
            "as sqlite:///mlruns/optuna.db"
        )
    if tables and "studies" not in tables:
        raise StoreError(
            f"--storage: received {masked(url)}, a database of something else (tables "
            f"{', '.join(sorted(tables)[:3])}, …); legal: an empty one or Optuna's"
        )


def make_folder(file: Path, url: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"--storage: cannot make the folder of {url}: {error.strerror}") from None


def open_study(storage_url: str, name: str, sweep: Sweep) -> Study:
    """The study of a sweep, made where there is none.

    Raises:
        StoreError: the database cannot be opened, or the name is taken by a study of another kind.
        SweepError: the study was created with a different sweep; lists the differences.
    """
    storage = open_storage(storage_url, create=True)
    made = optuna.create_study(
        storage=storage,
        study_name=name,
        direction=metric(sweep.metric).direction,
        load_if_exists=True,
    )
    study = Study(storage, name)
    if study.attrs([SWEEP]):
        _refuse_changes(study, sweep)
    elif len(study):
        raise StoreError(
            f"--study-name: received {name}, which {masked(storage_url)} holds as a "
            "study that normsweep did not make; legal: another name"
        )
    else:
        made.set_metric_names([f"val_{sweep.metric}"])
        study.set_user_attr(ID, uuid.uuid4().hex)
        study.set_user_attr("question", sweep.question)
    _write_sweep(study, sweep)
    return study


def read_study(storage_url: str, name: str | None) -> StudyRecord:
    """A study's record; with no name, that of the only study there is.

    Raises:
        StoreError: there is no such study.
    """
    return read_record(load_study(storage_url, name))


def read_record(study: Study) -> StudyRecord:
    """All that is recorded of a study.

    Raises:
        StoreError: normsweep did not write it.
    """
    return replace(study_head(study), trials=tuple(records(study)))


def load_study(storage_url: str, name: str | None) -> Study:
    """A study that is there; with no name, the only one there is.

    Raises:
        StoreError: there is no such study.
    """
    storage = open_storage(storage_url, create=False)
    names = _names(storage)
    where, held = masked(storage_url), ", ".join(names) or "no study of normsweep"
    if name is None and len(names) != 1:
        raise StoreError(f"--study-name: missing; {where} holds {held}")
    chosen = name if name is not None else names[0]
    if chosen not in names:
        raise StoreError(f"--study-name: received {shown(chosen)}; {where} holds {held}")
    return Study(storage, chosen)


def study_names(storage_url: str) -> list[str]:
    """The names of normsweep's studies in a database."""
    return _names(open_storage(storage_url, create=False))


def _names(storage: optuna.storages.RDBStorage) -> list[str]:
    ours = names_with(storage, SWEEP)
    return sorted(name for name in ours if is_name(name))  # folders and a lock file have it


def read_studies(storage_url: str) -> Iterator[StudyRecord]:
    """The records of normsweep's studies in a database, by name.

    Raises:
        StoreError: the database cannot be opened, or a record cannot be read.
    """
    storage = open_storage(storage_url, create=False)
    for name in _names(storage):
        yield read_record(Study(storage, name))


def delete_study(storage_url: str, name: str) -> None:
    """Delete a study with all of its trials.

    Raises:
        StoreError: there is no such study.
    """
    load_study(storage_url, name)
    optuna.delete_study(study_name=name, storage=open_storage(storage_url, create=False))


def begun_study(storage_url: str, name: str) -> StudyRecord | None:
    """A study that has data and arms already, without its trials; None where there is none yet."""
    try:
        begun = study_head(load_study(storage_url, name))
    except StoreError:  # what is wrong with the storage is told when it is opened
        return None
    return begun if begun.begun else None


def records(study: Study) -> list[TrialRecord]:
    """All trials that were resolved, by number; those that run still have no result."""
    with readable(study.study_name):
        runs = study.attrs_after(RUN)
        rows = study.trials(READ, first=len(study.settled))
        found = [to_record(row) for row in rows]
    everything = [*study.settled, *found]
    ended = itertools.takewhile(lambda row: row.state.is_finished(), rows)
    study.settled += found[: sum(1 for _ in ended)]
    return [replace(r, run_id=runs.get(str(r.trial.number), "")) for r in everything if r]


def _write_sweep(study: Study, sweep: Sweep) -> None:
    plain, was = to_plain(sweep), sweep_keys(study)
    for key in GROWING:  # a smaller number asks for nothing, and takes nothing back
        plain[key] = max(plain[key], was.get(key, 0))
    if plain != was:
        study.set_user_attr(SWEEP, json.dumps(plain))


def _refuse_changes(study: Study, sweep: Sweep) -> None:
    before = study_head(study)
    was, is_ = before.sweep.model.name, sweep.model.name
    if "@" in was and "@" in is_ and was != is_ and before.begun:
        raise SweepError(
            f"study {before.name}: was begun with a network of another configuration ({was}), "
            f"received {is_}; legal: the same network, or another study name"
        )
    if not before.begun and before.sweep.metric == sweep.metric:  # it never came to a trial
        return
    changed = changes(sweep_keys(study), sweep, more_epochs=not study.lists("epochs"))
    if changed:
        raise SweepError(
            [
                f"study {shown(before.name)} was created with a different sweep; pass --study-name to "
                "start a new study, or restore:",
                *changed,
            ]
        )
