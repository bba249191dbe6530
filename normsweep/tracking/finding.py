"""Finding a study in MLflow's store as it is, with nothing made there."""

from __future__ import annotations

from mlflow import MlflowClient
from mlflow.entities import Experiment

from normsweep.databases import parsed_url, placed, sqlite_file
from normsweep.errors import StoreError
from normsweep.secrets import masked
from normsweep.stores import check_address
from normsweep.tracking.views import TAG, TRIALS_VIEW, page

__all__ = ["find_page", "opened", "remote"]

EVERYONES = "Default"
"""The experiment that every store has."""


def remote(uri: str) -> bool:
    """Whether a tracking URI is a server's, which keeps artifacts itself, and not a database's."""
    return uri.startswith(("http://", "https://", "databricks"))


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
        reason = masked(" ".join(str(error).split()), uri)[:300]
        raise StoreError(f"--tracking-uri: cannot open {masked(uri)}: {reason}") from None
    return client


def find_page(uri: str, study: str | None) -> str:
    """Where MLflow's pages show a study, below their address; with no name, the only one there is.

    Raises:
        StoreError: there is no such study, or the store cannot be opened.
    """
    found = {each.name: each for each in opened(uri).search_experiments(max_results=1000)}
    found.pop(EVERYONES, None)
    if study is None:
        return _page(*found.values()) if len(found) == 1 else "#/experiments"
    if study not in found:
        names = ", ".join(sorted(found)) or "no study"
        raise StoreError(f"--study-name: received {study}; {masked(uri)} holds {names}")
    return _page(found[study])


def _page(experiment: Experiment) -> str:
    prepared = f"{TAG}{TRIALS_VIEW}" in experiment.tags
    return page(experiment.experiment_id, TRIALS_VIEW if prepared else "")
