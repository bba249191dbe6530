"""Open MLflow's tracking store, and create its tables."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from normsweep.errors import StoreError
from normsweep.store.database_errors import remedy
from normsweep.store.locks import lock_database
from normsweep.text import masked, reason
from normsweep.tracking.settings import mlflow_settings
from normsweep.tracking.template import make_database
from normsweep.urls import absolute_url, check_address, parsed_url, sqlite_file

__all__ = ["failure", "make_tables", "opened", "ready_store", "remote"]

OTHER_TABLES = re.compile(r"out-of-date database schema \(found version (\w+)")
MIGRATIONS = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"
"""MLflow's scripts that change its tables, named by their versions."""


def remote(uri: str) -> bool:
    """Whether a tracking URI is a server, which stores artifacts itself, and not a database."""
    return uri.startswith(("http://", "https://", "databricks"))


@mlflow_settings()
def opened(uri: str) -> MlflowClient:
    """A client of an existing store.

    Raises:
        StoreError: the store does not exist or cannot be opened.
    """
    check_address("--tracking-uri", uri)
    file = sqlite_file(parsed_url(uri))
    if file is not None and not file.exists():
        raise StoreError(
            f"--tracking-uri: no store at {masked(uri)}; pass the tracking URI of an existing study, or "
            "run a study first (python -m normsweep.study)"
        )
    try:
        client = MlflowClient(tracking_uri=absolute_url(uri))
        client.search_experiments(max_results=1)
    except Exception as error:
        raise _unopened(uri, error) from None
    return client


def make_tables(uri: str) -> None:
    """Create a SQLite file with MLflow's tables; does nothing if it exists, or for a server.

    The file gets its name last: if the process is killed while MLflow migrates it, it can never be
    opened again.
    """
    file = sqlite_file(parsed_url(uri))
    if file is None or file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    work = Path(f"{file.absolute()}.making")
    for left in work.parent.glob(f"{work.name}*"):
        left.unlink()
    make_database(work)
    work.replace(file)


def ready_store(uri: str) -> None:
    """Create the tables of a store if there are none, and import MLflow, which takes a second.

    Raises:
        StoreError: the store cannot be opened.
    """
    with _opening(uri):
        MlflowClient(tracking_uri=absolute_url(uri))


@contextlib.contextmanager
def _opening(uri: str) -> Iterator[None]:
    """A context with the store locked and its tables created; errors are raised as `StoreError`."""
    check_address("--tracking-uri", uri)
    try:
        with mlflow_settings(), lock_database(uri):
            make_tables(uri)
            yield
    except StoreError:
        raise
    except Exception as error:
        raise _unopened(uri, error) from None


def _unopened(uri: str, error: Exception) -> StoreError:
    why = failure(error, uri)
    if found := OTHER_TABLES.search(str(error)):
        older = any(MIGRATIONS.glob(f"{found[1]}_*.py"))
        how = f"mlflow db upgrade {masked(uri)}" if older else "pip install --upgrade mlflow"
        why = f"its tables are of {'an older' if older else 'a newer'} MLflow; run: {how}"
    elif "Can't locate revision" in why:
        why = "it is not MLflow's; use a separate database, such as sqlite:///mlruns/mlflow.db"
    elif not remote(uri):
        why = f"{why}; {remedy(why)}"
    return StoreError(f"--tracking-uri: cannot open {masked(uri)}: {why}")


def failure(error: Exception, uri: str) -> str:
    """MLflow's error in a line without passwords; with its class unless it is an `MlflowException`."""
    return reason(error, uri, kind=not isinstance(error, MlflowException | SQLAlchemyError))
