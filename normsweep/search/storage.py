"""Opening Optuna's database."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from sqlalchemy import create_engine, inspect
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from normsweep.errors import StoreError, masked

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

__all__ = ["holding", "open_storage"]

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)

SQLITE_TIMEOUT = 20.0
"""Seconds that a write waits for another process's."""


def open_storage(url: str, *, create: bool) -> optuna.storages.RDBStorage:
    """Optuna's storage at an SQLAlchemy URL; its tables are made where `create`.

    Raises:
        StoreError: the URL is none, or the database cannot be opened.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise StoreError(
            f"--storage: received {url!r}; legal: a database URL, as sqlite:///mlruns/optuna.db or "
            "postgresql+psycopg://user@host/database"
        ) from None
    file = _sqlite_file(parsed)
    if file is not None and not file.exists():
        if not create:
            raise StoreError(
                f"--storage: received {url}, where there is no database; legal: the storage of a "
                "study that was run (python -m normsweep.study makes one)"
            )
        _make_folder(file, url)
    arguments: dict[str, Any] = {"timeout": SQLITE_TIMEOUT} if file is not None else {}
    try:
        _refuse_others(url)
        return optuna.storages.RDBStorage(
            url, engine_kwargs={"connect_args": arguments}, skip_table_creation=not create
        )
    except (SQLAlchemyError, ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise StoreError(f"--storage: cannot open {masked(url)}: {reason}") from None


@contextmanager
def holding(url: str, study: str) -> Iterator[None]:
    """The study's only driver, while entered; on SQLite by a lock on a file beside the database.

    The operating system lets go of the lock when its process ends, however that happens.

    Raises:
        StoreError: another process holds the study.
    """
    file = _sqlite_file(make_url(url)) if "://" in url else None
    if file is None or fcntl is None:
        yield
        return
    _make_folder(file, url)
    with Path(f"{file}.{study}.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise StoreError(
                f"study {study}: is being run by {lock.read().strip() or 'another process'}; legal: "
                "wait until it ends, stop it, or another --study-name"
            ) from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}")
        lock.flush()
        yield


def _refuse_others(url: str) -> None:
    """Raise where the database is MLflow's: the two cannot share one (both keep `alembic_version`)."""
    engine = create_engine(url)
    try:
        tables = set(inspect(engine).get_table_names())
    finally:
        engine.dispose()
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


def _make_folder(file: Path, url: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"--storage: cannot make the folder of {url}: {error.strerror}") from None


def _sqlite_file(url: URL) -> Path | None:
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return Path(str(url.database))
