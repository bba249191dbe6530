"""Finding a study in MLflow's store as it is, with nothing made there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from normsweep.errors import StoreError
from normsweep.store.locks import lock_database
from normsweep.text import masked, reason
from normsweep.tracking.settings import mlflow_settings
from normsweep.urls import check_address, parsed_url, placed, sqlite_file

__all__ = ["failure", "make_tables", "opened", "ready_store", "remote"]


def remote(uri: str) -> bool:
    """Whether a tracking URI is a server's, which keeps artifacts itself, and not a database's."""
    return uri.startswith(("http://", "https://", "databricks"))


@mlflow_settings()
def opened(uri: str) -> MlflowClient:
    """A client of a store that is there.

    Raises:
        StoreError: it is not, or cannot be opened.
    """
    check_address("--tracking-uri", uri)
    file = sqlite_file(parsed_url(uri))
    if file is not None and not file.exists():
        raise StoreError(
            f"--tracking-uri: received {masked(uri)}, where there is no store; legal: that of a study "
            "that was run (python -m normsweep.study makes one)"
        )
    try:
        client = MlflowClient(tracking_uri=placed(uri))
        client.search_experiments(max_results=1)
    except Exception as error:
        why = failure(error, uri)
        raise StoreError(f"--tracking-uri: cannot open {masked(uri)}: {why}") from None
    return client


def make_tables(uri: str) -> None:
    """Make a new SQLite file with MLflow's tables; nothing where there is one, or on a server.

    MLflow migrates a new file in dozens of steps, and one that was killed between two of them can
    never be opened again: so the file gets its name last.
    """
    file = sqlite_file(parsed_url(uri))
    if file is None or file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    # By its whole path: MLflow keeps what it has opened, and a program may change its folder.
    work = Path(f"{file.absolute()}.making")
    for left in work.parent.glob(f"{work.name}*"):
        left.unlink()
    MlflowClient(tracking_uri=f"sqlite:///{work}").search_experiments(max_results=1)
    work.replace(file)


def ready_store(uri: str) -> None:
    """Make a store's tables where it has none, and import what opens it, which takes a second.

    Raises:
        StoreError: the store cannot be opened.
    """
    with _opening(uri):
        MlflowClient(tracking_uri=placed(uri))


@contextlib.contextmanager
def _opening(uri: str) -> Iterator[None]:
    """Alone in a store that has its tables; what fails is a `StoreError`."""
    check_address("--tracking-uri", uri)
    try:
        with mlflow_settings(), lock_database(uri):
            make_tables(uri)
            yield
    except StoreError:
        raise
    except Exception as error:
        why = failure(error, uri)
        raise StoreError(f"--tracking-uri: cannot open {masked(uri)}: {why}") from None


def failure(error: Exception, uri: str) -> str:
    """What MLflow raised, in a line without passwords; with its kind, where that is no error of MLflow's."""
    return reason(error, uri, kind=not isinstance(error, MlflowException))
