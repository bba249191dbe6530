"""Opening Optuna's database."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import optuna
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from normsweep.errors import StoreError

__all__ = ["masked", "open_storage"]

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
        return optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": arguments})
    except (SQLAlchemyError, ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise StoreError(f"--storage: cannot open {masked(url)}: {reason}") from None


def _make_folder(file: Path, url: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"--storage: cannot make the folder of {url}: {error.strerror}") from None


def masked(url: str) -> str:
    """The URL with its password as ***."""
    return make_url(url).render_as_string(hide_password=True)


def _sqlite_file(url: URL) -> Path | None:
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return Path(str(url.database))
