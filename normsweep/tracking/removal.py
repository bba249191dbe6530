"""What is logged of a study in MLflow, and its deletion.

Several storages may log to one MLflow; runs and registered models are tagged with the identity of theirs.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from mlflow import MlflowClient
from mlflow.entities import Run, RunStatus, ViewType
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.utils.file_utils import local_file_uri_to_path

from normsweep.errors import StoreError, TrackingFailed
from normsweep.text import masked
from normsweep.tracking.client import asked, failure
from normsweep.tracking.model_registry import ID, OWNER, STORAGE, registered_as_ours
from normsweep.tracking.settings import mlflow_settings
from normsweep.tracking.views import forget_views

__all__ = ["LoggedStudy", "logged_studies", "logged_study", "registered_studies", "remove"]

STUDY = "normsweep.study"


@dataclass(frozen=True)
class LoggedStudy:
    """What a store has logged of one study."""

    study: str
    study_id: str
    experiments: tuple[str, ...] = ()
    """Ids of the experiments with its runs."""
    whole: tuple[str, ...] = ()
    """Those of them without other runs."""
    runs: tuple[Run, ...] = ()
    models: tuple[Any, ...] = ()
    """MLflow's logged models."""
    registered: bool = False
    """Whether the registered model of its name belongs to it."""
    storage_id: str = ""
    """The identity of its storage; empty if the runs have no such tag."""

    @property
    def running(self) -> bool:
        """Whether any of its runs is running."""
        return any(run.info.status == RunStatus.to_string(RunStatus.RUNNING) for run in self.runs)

    def __bool__(self) -> bool:
        return bool(self.runs or self.models or self.registered or self.whole)


P = ParamSpec("P")
R = TypeVar("R")


def reading(
    method: Callable[Concatenate[MlflowClient, P], R],
) -> Callable[Concatenate[MlflowClient, P], R]:
    """The function with our settings of MLflow, and every exception raised as `StoreError`."""

    @functools.wraps(method)
    def wrapped(client: MlflowClient, *args: P.args, **kwargs: P.kwargs) -> R:
        with asked(client.tracking_uri), mlflow_settings():
            return method(client, *args, **kwargs)

    return wrapped


@reading
def logged_study(client: MlflowClient, study: str, study_id: str) -> LoggedStudy:
    """What is logged of a study, without runs of another study of the same name."""
    found = client.get_experiment_by_name(study)
    registered = registered_as_ours(client, study, study_id) is True
    if found is None:
        return LoggedStudy(study, study_id, registered=registered)
    if not found.experiment_id:
        raise StoreError(
            f"--tracking-uri: {masked(client.tracking_uri)} answers without the id of an experiment; it is "
            "no MLflow server, or something in front of it answers instead"
        )
    runs = list(_runs(client, [found.experiment_id]))
    own = [run for run in runs if run.data.tags.get(ID) == study_id]
    logged = _logged(client, study, study_id, own, {found.experiment_id: len(runs)})
    return replace(logged, registered=registered)


@reading
def logged_studies(client: MlflowClient) -> list[LoggedStudy]:
    """What is logged of every study, without registered models."""
    ids = [e.experiment_id for e in _pages(client.search_experiments)]
    runs = list(_runs(client, ids)) if ids else []
    counts: dict[str, int] = {}
    own: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        counts[run.info.experiment_id] = counts.get(run.info.experiment_id, 0) + 1
        tags = run.data.tags
        if STUDY in tags and ID in tags:
            own.setdefault((tags[STUDY], tags[ID], tags.get(STORAGE, "")), []).append(run)
    return [
        replace(_logged(client, study, key, each, counts), storage_id=storage)
        for (study, key, storage), each in own.items()
    ]


@reading
def registered_studies(client: MlflowClient) -> list[LoggedStudy]:
    """The studies with a registered model."""
    return [
        LoggedStudy(
            model.name,
            model.tags.get(ID, ""),
            registered=True,
            storage_id=model.tags.get(STORAGE, ""),
        )
        for model in _pages(client.search_registered_models)
        if model.tags.get(OWNER) == model.name
    ]


def _logged(
    client: MlflowClient, study: str, study_id: str, own: list[Run], counts: dict[str, int]
) -> LoggedStudy:
    experiments = {run.info.experiment_id for run in own}
    whole = {e for e in counts if counts[e] == sum(run.info.experiment_id == e for run in own)}
    ids = {run.info.run_id for run in own}
    logged = _pages(client.search_logged_models, experiment_ids=sorted(experiments)) if own else ()
    models = tuple(m for m in logged if m.source_run_id in ids)
    return LoggedStudy(
        study, study_id, tuple(sorted(experiments)), tuple(sorted(whole)), tuple(own), models
    )


@mlflow_settings()
def remove(client: MlflowClient, logged: LoggedStudy) -> bool:
    """Delete everything, including artifacts.

    Returns:
        Whether it is deleted permanently. A server marks runs as deleted, with the experiment
        renamed; `mlflow gc` next to its database deletes them.

    Raises:
        TrackingFailed: something could not be deleted. What is left is found by `logged_study`.
    """
    try:
        return _remove(client, logged)
    except Exception as error:
        uri = client.tracking_uri
        raise TrackingFailed(f"{masked(uri)}: {failure(error, uri)}") from None


def _remove(client: MlflowClient, logged: LoggedStudy) -> bool:
    store: Any = client._tracking_client.store
    if logged.registered:
        client.delete_registered_model(logged.study)
    for experiment in logged.whole:  # a deleted one keeps its name, and cannot be renamed
        if client.get_experiment(experiment).lifecycle_stage != "active":
            client.restore_experiment(experiment)
    for model in logged.models:
        _delete_artifacts(model.artifact_location, client)
        client.delete_logged_model(model.model_id)
    for run in logged.runs:
        _delete_artifacts(run.info.artifact_uri or "", client)
        client.delete_run(run.info.run_id)
    for experiment in set(logged.experiments).difference(logged.whole):
        forget_views(client, experiment)
    for experiment in logged.whole:
        client.rename_experiment(experiment, f"{logged.study} (deleted {time.time_ns()})")
        client.delete_experiment(experiment)
    # As in `mlflow gc`, which cannot be limited to these ids if the list is empty.
    hard: list[tuple[str, Iterable[str]]] = [
        ("_hard_delete_logged_model", (m.model_id for m in logged.models)),
        ("_hard_delete_run", (run.info.run_id for run in logged.runs)),
        ("_hard_delete_experiment", logged.whole),
    ]
    if not all(hasattr(store, name) for name, _ in hard):
        return False
    for name, keys in hard:
        for key in keys:
            getattr(store, name)(key)
    return True


def _delete_artifacts(uri: str, client: MlflowClient) -> None:
    """Delete artifacts and, if empty, the folder above; missing ones are ignored."""
    with contextlib.suppress(MlflowException, OSError):
        get_artifact_repository(uri, tracking_uri=client.tracking_uri).delete_artifacts()
    if uri.startswith("file:"):
        with contextlib.suppress(OSError):
            Path(local_file_uri_to_path(uri)).parent.rmdir()


def _runs(client: MlflowClient, experiments: list[str]) -> Iterator[Run]:
    return _pages(client.search_runs, experiment_ids=experiments, run_view_type=ViewType.ALL)


def _pages(search: Callable[..., Any], **asked: Any) -> Iterator[Any]:
    """All results of a search in MLflow, page by page."""
    token = None
    while True:
        found = search(**asked, page_token=token)
        yield from found
        token = found.token
        if not token:
            return
