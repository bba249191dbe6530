"""Opening Optuna's database."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import OptunaError
from sqlalchemy import create_engine, event, inspect
from sqlalchemy.exc import SQLAlchemyError

from normsweep.databases import alone, parsed_url, sqlite_file
from normsweep.errors import StoreError
from normsweep.search.patience import PATIENCE, Patient
from normsweep.secrets import masked
from normsweep.stores import check_address

__all__ = ["make_folder", "open_storage"]

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)

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
        with alone(url, making=create):
            tables = _tables(url)
            if not tables and not create:
                raise _nothing(url)
            _refuse_others(url, tables)
            storage = kind(url, engine_kwargs=options, skip_table_creation=not create)
    except (OptunaError, SQLAlchemyError, ImportError, RuntimeError) as error:
        reason = masked(" ".join(str(error.__cause__ or error).split()), url)[:200]
        raise StoreError(f"--storage: cannot open {masked(url)}: {reason}") from None
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
