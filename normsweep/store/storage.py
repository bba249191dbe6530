"""Optuna's database: open it; find, create and delete studies."""

from __future__ import annotations

import logging
import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import optuna
from sqlalchemy import create_engine, event, inspect

from normsweep.errors import StoreError, SweepError
from normsweep.parts.metrics import metric
from normsweep.process_wide import Shared, log_levels
from normsweep.store.database_errors import DATABASE_ERRORS, database_errors, described
from normsweep.store.encoding import APART, DATA, ID, QUESTION, SWEEP
from normsweep.store.locks import lock_database, make_folder
from normsweep.store.optuna_tables import PATIENCE, Patient, Reader, StudyTables, names_with
from normsweep.store.phase_studies import PhaseStudies, delete_phases, orphaned_phases
from normsweep.store.study_store import StudyStore
from normsweep.sweep.problems import nearest, shown
from normsweep.sweep.recorded import changes, grown
from normsweep.sweep.schema import Sweep, is_name
from normsweep.sweep.study_record import StudyRecord
from normsweep.text import masked
from normsweep.urls import check_address, parsed_url, sqlite_file

__all__ = [
    "begun_study",
    "delete_orphaned",
    "delete_study",
    "known_ids",
    "load_study",
    "open_storage",
    "open_study",
    "orphaned_studies",
    "quiet",
    "read_studies",
    "read_study",
    "study_names",
]

SQLITE_TIMEOUT = 20.0
"""Seconds that a write waits for one of another process."""


def open_storage(url: str, *, create: bool, read_only: bool = False) -> optuna.storages.RDBStorage:
    """Optuna's storage at an SQLAlchemy URL.

    Args:
        url: address of the database.
        create: create the database and its tables if missing.
        read_only: it is only read, which needs less of Optuna.

    Raises:
        StoreError: the URL is invalid, or the database cannot be opened.
    """
    check_address("--storage", url)
    parsed = parsed_url(url)
    if parsed is None:
        raise StoreError(
            "--storage: must be a database URL, such as sqlite:///mlruns/optuna.db or "
            f"postgresql+psycopg://user@host/database, got {masked(url)!r}"
        )
    file = sqlite_file(parsed)
    if file is not None and not file.exists():
        if not create:
            raise _no_database(url)
        make_folder(file, url)
    arguments: dict[str, Any] = {"timeout": SQLITE_TIMEOUT} if file is not None else {}
    options = {"connect_args": arguments, "pool_pre_ping": file is None}
    kind = Patient if file is None else optuna.storages.RDBStorage
    # Optuna writes its version even when it opens a database to read: not while another creates it.
    try:
        with lock_database(url, making=create):
            tables = _tables(url)
            if not tables and not create:
                raise _no_database(url)
            _refuse_foreign_database(url, tables)
            reader = Reader(url, options) if read_only and file is not None else None
            if reader is not None and reader.current:
                return reader
            storage = kind(url, engine_kwargs=options, skip_table_creation=not create)
    except (*DATABASE_ERRORS, ImportError, RuntimeError) as error:
        why = described(error, url)
        raise StoreError(f"--storage: cannot open {masked(url)}: {why}") from None
    if file is None:
        event.listen(storage.engine, "do_connect", _patiently)
    return storage


def _patiently(dialect: Any, record: Any, arguments: Any, options: Any) -> Any:
    """Connect to a server; wait if it is being restarted."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return dialect.connect(*arguments, **options)
        except dialect.loaded_dbapi.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1.0)


def _no_database(url: str) -> StoreError:
    return StoreError(
        f"--storage: no database at {masked(url)}; pass the storage of an existing study, or run a "
        "study first (python -m normsweep.study)"
    )


def _tables(url: str) -> set[str]:
    engine = create_engine(url)
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


def _refuse_foreign_database(url: str, tables: set[str]) -> None:
    """Raise for a database of MLflow (both use the table `alembic_version`) or of other software."""
    if "experiments" in tables and "studies" not in tables:
        raise StoreError(
            f"--storage: {masked(url)} is MLflow's database; use a separate one, such as "
            "sqlite:///mlruns/optuna.db"
        )
    if tables and "studies" not in tables:
        raise StoreError(
            f"--storage: must be an empty database or Optuna's; {masked(url)} has other tables "
            f"({', '.join(sorted(tables)[:3])}, …)"
        )


def open_study(storage_url: str, name: str, sweep: Sweep) -> StudyStore:
    """The study of a sweep, created if there is none.

    Raises:
        StoreError: the database cannot be opened, or normsweep did not create the study of this name.
        SweepError: the study was created with a different sweep; lists the differences.
    """
    storage = open_storage(storage_url, create=True)
    with database_errors(storage_url):
        return _opened(storage, storage_url, name, sweep)


def _opened(
    storage: optuna.storages.RDBStorage, storage_url: str, name: str, sweep: Sweep
) -> StudyStore:
    made = optuna.create_study(
        storage=storage,
        study_name=name,
        direction=metric(sweep.metric).direction,
        load_if_exists=True,
    )
    tables = StudyTables(storage, name)
    like_ours = [d.name.lower() for d in made.directions] == [metric(sweep.metric).direction]
    begun = {ID.key, APART.key, QUESTION.key}  # by a command that was killed here
    if tables.attrs([SWEEP.key]):
        _refuse_changes(PhaseStudies(storage, name), sweep)
    elif len(tables) or not like_ours or made.user_attrs.keys() - begun:
        raise StoreError(
            f"--study-name: study {shown(name)} in {masked(storage_url)} was not created by normsweep; "
            "use another name"
        )
    else:
        made.set_metric_names([f"val_{sweep.metric}"])
        tables.set_attr_of_study(ID.key, uuid.uuid4().hex)
        tables.set_attr_of_study(APART.key, True)
        tables.set_attr_of_study(QUESTION.key, sweep.question)
    _write_sweep(tables, sweep)
    return StudyStore(PhaseStudies(storage, name))


def read_study(storage_url: str, name: str | None, option: str = "--study-name") -> StudyRecord:
    """A study as plain data; if `name` is None, the only study in the database.

    `option`: where the name is from, for messages.

    Raises:
        StoreError: there is no such study.
    """
    return load_study(storage_url, name, read_only=True, option=option).record()


def load_study(
    storage_url: str, name: str | None, read_only: bool = False, option: str = "--study-name"
) -> StudyStore:
    """The store of an existing study; if `name` is None, the only study in the database.

    Raises:
        StoreError: there is no such study.
    """
    storage = open_storage(storage_url, create=False, read_only=read_only)
    with database_errors(storage_url):
        names = _names(storage)
    where, available = masked(storage_url), ", ".join(names) or "none"
    if name is None and not names:
        raise StoreError(f"--study-name: no study in {where}")
    if name is None and len(names) > 1:
        raise StoreError(f"--study-name: required, {where} has several; available: {available}")
    chosen = name if name is not None else names[0]
    if chosen not in names:
        raise StoreError(
            f"{option}: no study {shown(chosen)} in {where}{nearest(chosen, names)}; available: {available}"
        )
    with database_errors(storage_url):
        return StudyStore(PhaseStudies(storage, chosen))


def study_names(storage_url: str) -> list[str]:
    """The names of normsweep's studies in a database."""
    storage = open_storage(storage_url, create=False, read_only=True)
    with database_errors(storage_url):
        return _names(storage)


def read_studies(storage_url: str) -> Iterator[StudyRecord]:
    """normsweep's studies in a database as plain data, sorted by name.

    Raises:
        StoreError: the database cannot be opened, or a study cannot be read.
    """
    storage = open_storage(storage_url, create=False, read_only=True)
    with database_errors(storage_url):
        stores = [StudyStore(PhaseStudies(storage, name)) for name in _names(storage)]
    for store in stores:
        yield store.record()


def delete_study(storage_url: str, name: str) -> None:
    """Delete a study with its trials.

    Raises:
        StoreError: there is no such study.
    """
    load_study(storage_url, name)
    storage = open_storage(storage_url, create=False)
    with database_errors(storage_url):
        delete_phases(storage, name)


def known_ids(storage_url: str) -> tuple[set[str], set[str]]:
    """The ids and the digests of the data of all of normsweep's studies, whatever they were renamed to.

    Raises:
        StoreError: the database cannot be opened.
    """
    storage = open_storage(storage_url, create=False, read_only=True)
    with database_errors(storage_url):
        ids = set(names_with(storage, ID.key).values())
        data = map(DATA.load, names_with(storage, DATA.key).values())
        return ids, {each.digest for each in data if each is not None}


def orphaned_studies(storage_url: str) -> list[str]:
    """Optuna studies of phases that are left of a study which was deleted with Optuna's own tools."""
    storage = open_storage(storage_url, create=False, read_only=True)
    with database_errors(storage_url):
        return orphaned_phases(storage)


def delete_orphaned(storage_url: str, names: Iterable[str]) -> None:
    """Delete those of the Optuna studies that are still orphaned."""
    storage = open_storage(storage_url, create=False)
    with database_errors(storage_url):
        for name in set(names).intersection(orphaned_phases(storage)):
            optuna.delete_study(study_name=name, storage=storage)


def begun_study(storage_url: str, name: str) -> StudyStore | None:
    """The store of a study, to be read; None if there is none, or its data and arms are not yet fixed."""
    try:
        store = load_study(storage_url, name, read_only=True)
        return store if store.record(trials=False).begun else None
    except StoreError:  # errors of the storage are reported when it is opened
        return None


def _quieter() -> Callable[[], None]:
    optuna.logging.get_verbosity()  # sets its level the first time
    return log_levels({"optuna": logging.ERROR, "sqlalchemy.pool": logging.CRITICAL})


_levels = Shared(_quieter)


@contextmanager
def quiet() -> Iterator[None]:
    """A context in which Optuna logs only errors, and does not warn of experimental features.

    SQLAlchemy logs the traceback of a connection that is cut while it commits; the error is also raised.
    """
    with _levels(), warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def _names(storage: optuna.storages.RDBStorage) -> list[str]:
    ours = names_with(storage, SWEEP.key)
    return sorted(name for name in ours if is_name(name))  # folders and a lock file are named so


def _write_sweep(tables: StudyTables, sweep: Sweep) -> None:
    was = SWEEP.of(tables.attrs([SWEEP.key]))
    plain = grown(was, sweep)
    if plain != was:
        tables.set_attr_of_study(SWEEP.key, SWEEP.dump(plain))


def _refuse_changes(studies: PhaseStudies, sweep: Sweep) -> None:
    """Raise if a study cannot be resumed with a sweep."""
    before = StudyStore(studies).record(trials=False)
    was, is_ = before.sweep.model.name, sweep.model.name
    if "@" in was and "@" in is_ and was != is_ and before.begun:
        raise SweepError(
            f"study {shown(before.name)} was created with a different network ({was} -> {is_}); use the same "
            "network, or another study name"
        )
    if not before.begun and before.sweep.metric == sweep.metric:  # no trial was started
        return
    keys = SWEEP.of(studies.search.attrs([SWEEP.key]))  # including keys of other versions
    listed = studies.search.lists("epochs")
    changed = changes(keys, sweep, not listed, before.analysed)
    if not changed:
        return
    if not changes(keys, sweep, not listed):  # only the seeds
        raise SweepError([*_more_seeds_refused(before.name), *changed])
    raise SweepError(
        [
            f"study {shown(before.name)} was created with a different sweep; pass another name "
            "(--study-name, in Python study_name=) to start a new study, or restore:",
            *changed,
        ]
    )


def _more_seeds_refused(name: str) -> tuple[str, ...]:
    return (
        f"study {shown(name)} has an analysis, and more seeds would change the levels of its analyses; "
        "start a new study, which reuses the finished trials, with",
        f"  --study-name {name}-2 --reuse {name}",
        "or restore:",
    )
