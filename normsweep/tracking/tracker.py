"""`Tracker`: one MLflow experiment a study, one flat run a trial, epochs in batches."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from mlflow import MlflowClient
from mlflow.entities import (
    LoggedModelOutput,
    LoggedModelStatus,
    RunStatus,
    RunTag,
)
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from normsweep.errors import StoreError, TrackingFailed
from normsweep.sweep.study_record import DataFacts, TrialRecord
from normsweep.sweep.trial import Epoch, Status, Trial
from normsweep.text import masked, reason
from normsweep.tracking import runs
from normsweep.tracking.client import _opening, remote
from normsweep.tracking.model_registry import register
from normsweep.tracking.runs import _dataset, _source_tags
from normsweep.tracking.views import TAG as VIEW
from normsweep.tracking.views import TRIALS_VIEW, page, run_page, views
from normsweep.urls import placed

__all__ = ["Tracker"]

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")


# What failed is delivered later, so no request is repeated here: one that a server had taken, and
# was too slow to answer, would make a second run that nobody ends.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")


R = TypeVar("R")


logging.getLogger("mlflow").setLevel(logging.WARNING)


# Every database error with its traceback, which is raised as well, and told in a line.
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


ENDS = {
    Status.COMPLETE: "FINISHED",
    Status.DIVERGED: "FINISHED",
    Status.PRUNED: "FINISHED",
    Status.CRASHED: "FAILED",
    Status.TIMED_OUT: "FAILED",
    Status.INTERRUPTED: "KILLED",
}


BATCH = 1000
"""Metrics that MLflow takes at once."""


class Tracker:
    """Writes a study's trials to MLflow; whatever fails raises `TrackingFailed`."""

    def __init__(
        self,
        uri: str,
        experiment: str,
        study_id: str,
        artifacts: Path,
        tags: Mapping[str, str],
        sweep_file: Path | None = None,
        mlflow_page: str | None = None,
        metric: str = "accuracy",
        colours: Mapping[str, str] | None = None,
    ) -> None:
        """Open the experiment of a study, made where there is none.

        Args:
            uri: MLflow's tracking URI.
            experiment: the study's name.
            study_id: the study's own id, by which its runs are told from others of that name.
            artifacts: folder for artifacts where the store is a local database.
            tags: what every run is tagged with, beside what its trial says.
            sweep_file: kept with every run.
            mlflow_page: address at which browsers open MLflow, where it is not the URI.
            metric: what the study's trials are scored by.
            colours: in which MLflow's pages draw each arm's runs, as #rrggbb.

        Raises:
            StoreError: the store cannot be opened.
        """
        self.address = (mlflow_page or (uri if remote(uri) else "")).rstrip("/")
        """Where browsers open MLflow; empty where its server is yet to be started."""
        self.uri, self._study, self._study_id, self._sweep_file = (
            uri,
            experiment,
            study_id,
            sweep_file,
        )
        self._metric = metric
        self._tags = {**_source_tags(), **tags, "normsweep.study_id": study_id}
        self._colours = dict(colours or {})
        with _opening(uri):
            self._client = MlflowClient(tracking_uri=placed(uri))
            self.experiment_id = self._experiment(experiment, artifacts)

    def start(self, trial: Trial, data: DataFacts) -> str:
        """Begin the run of a trial; its id."""
        tags = {**self._tags, **runs.trial_tags(trial, self._study)}
        if trial.arm in self._colours:
            tags["mlflow.runColor"] = self._colours[trial.arm]
        run = self._try(
            lambda: self._client.create_run(
                self.experiment_id, run_name=runs.run_name(trial), tags=tags
            )
        )
        run_id = run.info.run_id
        try:
            self._try(lambda: self._client.log_batch(run_id, params=runs.params(trial)))
            self._try(lambda: self._client.log_inputs(run_id, [_dataset(data)]))
            if self._sweep_file is not None:
                self._try(lambda: self._client.log_artifact(run_id, str(self._sweep_file)))
        except TrackingFailed:
            with contextlib.suppress(TrackingFailed):
                self.kill(run_id)
            raise
        return run_id

    def epochs(self, run_id: str, epochs: Sequence[Epoch]) -> None:
        """Write epochs of one trial, in as few batches as MLflow takes."""
        metrics = [m for epoch in epochs for m in runs.epoch_metrics(epoch, self._metric)]
        for start in range(0, len(metrics), BATCH):
            part = metrics[start : start + BATCH]
            self._try(lambda part=part: self._client.log_batch(run_id, metrics=part))

    def finish(self, run_id: str, record: TrialRecord) -> None:
        """Write the final values and end the run."""
        result = record.result
        assert result is not None
        tags = runs.machine_tags(result)
        self._try(
            lambda: self._client.log_batch(run_id, metrics=runs.final_metrics(record), tags=tags)
        )
        self._try(lambda: self._client.set_terminated(run_id, ENDS[result.status]))

    def deliver(self, record: TrialRecord, data: DataFacts) -> str:
        """Write a trial that the record has and MLflow has not, whole; the run's id.

        A run that holds all of it already is taken as it is; pieces of one are closed as KILLED.
        """
        result = record.result
        assert result is not None
        found = self._runs_of(record.trial.number)
        for run in found:
            if run.info.status == RunStatus.to_string(RunStatus.RUNNING):
                self.kill(run.info.run_id)
        for run in found:
            whole = (
                run.data.tags.get("normsweep.complete") and run.info.status == ENDS[result.status]
            )
            if whole or result.status is Status.INTERRUPTED:
                return run.info.run_id
        run_id = self.start(record.trial, data)
        self.epochs(run_id, result.curve)
        self.finish(run_id, record)
        return run_id

    def kill(self, run_id: str) -> None:
        """Close a run that will not be whole."""
        tag = [RunTag("normsweep.status", Status.INTERRUPTED.value)]
        self._try(lambda: self._client.log_batch(run_id, tags=tag))
        self._try(lambda: self._client.set_terminated(run_id, "KILLED"))

    def not_best(self, run_id: str) -> None:
        """Take the mark of an arm's best trial from a run."""
        self._try(lambda: self._client.set_tag(run_id, "normsweep.best_of_arm", "false"))

    def note(self, text: str) -> None:
        """The experiment's description, in Markdown."""
        self._tag_experiment("mlflow.note.content", text)

    def prepare_views(self, params: Sequence[str], maximize: bool = True) -> None:
        """Write the views in which the pages show the study; `params` are those that are searched.

        `maximize`: whether the highest score is the best.
        """
        for key, text in views(params, self._metric, maximize).items():
            self._tag_experiment(f"{VIEW}{key}", text)

    def register(self, arm: str, alias: str, model_id: str, run_id: str) -> bool:
        """Have an alias of the study's registered model mean a model that was logged.

        Returns:
            False where a registered model of the study's name is somebody else's.
        """
        return self._try(
            lambda: register(
                self._client, self._study, self._study_id, arm, alias, model_id, run_id
            )
        )

    def report(self, folder: Path, metrics: Mapping[str, float]) -> str:
        """Keep a report's files with the study, as the artifacts of a run of their own; its id.

        There is one such run a study; what it held before is written over.
        """
        own = f"tags.`normsweep.study_id` = '{self._study_id}'"
        query = f"{own} and tags.`normsweep.phase` = 'report'"
        client = self._client
        found = self._try(lambda: client.search_runs([self.experiment_id], query))
        tags = {**self._tags, "normsweep.study": self._study, "normsweep.phase": "report"}
        run = (
            found[0]
            if found
            else self._try(
                lambda: client.create_run(self.experiment_id, run_name="report", tags=tags)
            )
        )
        run_id = run.info.run_id
        values = runs.metrics(dict(metrics), 0)
        try:
            self._try(lambda: client.log_batch(run_id, metrics=values))
            self._try(lambda: client.log_artifacts(run_id, str(folder)))
        except TrackingFailed:
            with contextlib.suppress(TrackingFailed):
                self._try(lambda: client.set_terminated(run_id, "FAILED"))
            raise
        self._try(lambda: client.set_terminated(run_id, "FINISHED"))
        return run_id

    def artifact_page(self, run_id: str, path: str) -> str:
        """Where the MLflow UI shows a run's artifact, below its address."""
        return run_page(self.experiment_id, run_id, f"artifacts/{path}")

    def artifact_file(self, run_id: str, path: str) -> str:
        """Where MLflow's server has a run's artifact itself, below its address."""
        return f"get-artifact?path={path}&run_uuid={run_id}"

    def log_model(self, folder: Path, record: TrialRecord, name: str) -> str:
        """Log a model that `save_model` wrote as the outcome of its trial's run; the model's id."""
        client, trial = self._client, record.trial
        tags = {"normsweep.study": self._study, "normsweep.arm": trial.arm}
        model = self._try(
            lambda: client.create_logged_model(
                self.experiment_id,
                name=name,
                source_run_id=record.run_id,
                tags=tags,
                params={p.key: p.value for p in runs.params(trial)},
                model_type="keras",
            )
        )
        self._try(lambda: client.log_model_artifacts(model.model_id, str(folder)))
        self._try(lambda: client.finalize_logged_model(model.model_id, LoggedModelStatus.READY))
        output = LoggedModelOutput(
            model.model_id, step=len(record.result.curve) if record.result else 0
        )
        self._try(lambda: client.log_outputs(record.run_id, [output]))
        self._try(lambda: client.set_tag(record.run_id, "normsweep.best_of_arm", "true"))
        return model.model_id

    @property
    def page(self) -> str:
        """Where the MLflow UI shows the runs, below its address."""
        return self.view_page(TRIALS_VIEW)

    def view_page(self, key: str) -> str:
        """Where it shows them in a prepared view."""
        return page(self.experiment_id, key)

    def run_page(self, run_id: str) -> str:
        """Where the MLflow UI shows a run, below its address."""
        return run_page(self.experiment_id, run_id)

    def _experiment(self, name: str, artifacts: Path) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is None:
            location = None if remote(self.uri) else artifacts.absolute().as_uri()
            try:
                return self._client.create_experiment(name, artifact_location=location)
            except MlflowException:  # another command was faster
                found = self._client.get_experiment_by_name(name)
                if found is None:
                    raise
        if found.lifecycle_stage != "active":
            raise StoreError(
                f"--tracking-uri: the experiment {name} in {masked(self.uri)} is deleted; legal: "
                "restore it (mlflow experiments restore), or another --study-name"
            )
        return found.experiment_id

    def _tag_experiment(self, key: str, text: str) -> None:
        self._try(lambda: self._client.set_experiment_tag(self.experiment_id, key, text))

    def _runs_of(self, trial: int) -> list[Any]:
        own = f"tags.`normsweep.study_id` = '{self._study_id}'"
        query = f"{own} and tags.`normsweep.trial` = '{trial}'"
        return self._try(lambda: self._client.search_runs([self.experiment_id], query))

    def _try(self, write: Callable[[], R]) -> R:
        try:
            return write()
        except (MlflowException, SQLAlchemyError, OSError, ValueError) as error:
            # SQLAlchemy's where MLflow's own rollback finds the connection lost. MLflow's words may
            # hold the whole address.
            raise TrackingFailed(f"{masked(self.uri)}: {reason(error, self.uri)}") from None
