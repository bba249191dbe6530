"""The database: opened, and its studies found, made and deleted."""

from __future__ import annotations

import time
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.exceptions import OptunaError
from sqlalchemy import create_engine, event, inspect
from sqlalchemy.exc import SQLAlchemyError

from normsweep.errors import StoreError, SweepError
from normsweep.parts.metrics import metric
from normsweep.store.encoding import ID, QUESTION, SWEEP
from normsweep.store.locks import lock_database, make_folder
from normsweep.store.optuna_tables import PATIENCE, Patient, StudyTables, names_with
from normsweep.store.study_store import StudyStore
from normsweep.sweep.problems import shown
from normsweep.sweep.recorded import GROWING, changes, to_plain
from normsweep.sweep.schema import Sweep, is_name
from normsweep.sweep.study_record import StudyRecord
from normsweep.sweep.trial import SEARCH
from normsweep.text import masked, reason
from normsweep.urls import check_address, parsed_url, sqlite_file

__all__ = [
    "begun_study",
    "delete_study",
    "load_study",
    "open_storage",
    "open_study",
    "quiet",
    "read_studies",
    "read_study",
    "study_names",
]

SQLITE_TIMEOUT = 20.0
"""Seconds that a write waits for another process's."""


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
        with lock_database(url, making=create):
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


def open_study(storage_url: str, name: str, sweep: Sweep) -> StudyStore:
    """The study of a sweep, made where there is none.

    Raises:
        StoreError: the database cannot be opened, or the name is taken by a study of another kind.
        SweepError: the study was begun with another sweep; the differences are named.
    """
    storage = open_storage(storage_url, create=True)
    made = optuna.create_study(
        storage=storage,
        study_name=name,
        direction=metric(sweep.metric).direction,
        load_if_exists=True,
    )
    tables = StudyTables(storage, name)
    if tables.attrs([SWEEP.key]):
        _refuse_changes(tables, sweep)
    elif len(tables):
        raise StoreError(
            f"--study-name: received {name}, which {masked(storage_url)} holds as a "
            "study that normsweep did not make; legal: another name"
        )
    else:
        made.set_metric_names([f"val_{sweep.metric}"])
        tables.set_attr_of_study(ID.key, uuid.uuid4().hex)
        tables.set_attr_of_study(QUESTION.key, sweep.question)
    _write_sweep(tables, sweep)
    return _store(tables)


def read_study(storage_url: str, name: str | None) -> StudyRecord:
    """A study's record; with no name, that of the only study there is.

    Raises:
        StoreError: there is no such study.
    """
    return load_study(storage_url, name).record()


def load_study(storage_url: str, name: str | None) -> StudyStore:
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
    return _store(StudyTables(storage, chosen))


def study_names(storage_url: str) -> list[str]:
    """The names of normsweep's studies in a database."""
    return _names(open_storage(storage_url, create=False))


def read_studies(storage_url: str) -> Iterator[StudyRecord]:
    """The records of normsweep's studies in a database, by name.

    Raises:
        StoreError: the database cannot be opened, or a record cannot be read.
    """
    storage = open_storage(storage_url, create=False)
    for name in _names(storage):
        yield _store(StudyTables(storage, name)).record()


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
        begun = load_study(storage_url, name).record(trials=False)
    except StoreError:  # what is wrong with the storage is told when it is opened
        return None
    return begun if begun.begun else None


@contextmanager
def quiet() -> Iterator[None]:
    """Within, Optuna neither logs what is no error nor warns of what it calls experimental."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


def _store(tables: StudyTables) -> StudyStore:
    """A study whose phases all are in one of Optuna's."""
    return StudyStore({SEARCH: tables})


def _names(storage: optuna.storages.RDBStorage) -> list[str]:
    ours = names_with(storage, SWEEP.key)
    return sorted(name for name in ours if is_name(name))  # folders and a lock file have it


def _write_sweep(tables: StudyTables, sweep: Sweep) -> None:
    plain, was = to_plain(sweep), SWEEP.of(tables.attrs([SWEEP.key]))
    for key in GROWING:  # a smaller number asks for nothing, and takes nothing back
        plain[key] = max(plain[key], was.get(key, 0))
    if plain != was:
        tables.set_attr_of_study(SWEEP.key, SWEEP.dump(plain))


def _refuse_changes(tables: StudyTables, sweep: Sweep) -> None:
    """Raise where a study that was begun cannot go on with a sweep."""
    before = _store(tables).record(trials=False)
    was, is_ = before.sweep.model.name, sweep.model.name
    if "@" in was and "@" in is_ and was != is_ and before.begun:
        raise SweepError(
            f"study {before.name}: was begun with a network of another configuration ({was}), "
            f"received {is_}; legal: the same network, or another study name"
        )
    if not before.begun and before.sweep.metric == sweep.metric:  # it never came to a trial
        return
    keys = SWEEP.of(tables.attrs([SWEEP.key]))  # with those that only another version has
    changed = changes(keys, sweep, more_epochs=not tables.lists("epochs"))
    if changed:
        raise SweepError(
            [
                f"study {before.name}: was begun with another sweep; legal: the same, more "
                "trials, seeds or epochs, other limits under [execution], or another --study-name:",
                *changed,
            ]
        )
