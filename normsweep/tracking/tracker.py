"""`Tracker`: an MLflow experiment per study, a flat run per trial, epochs in batches."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from mlflow import MlflowClient
from mlflow.entities import (
    Experiment,
    LoggedModelOutput,
    LoggedModelStatus,
    Metric,
    Param,
    Run,
    RunStatus,
    RunTag,
    ViewType,
)
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from normsweep.analysis.confirm_runs import Curve
from normsweep.errors import StoreError, TrackingFailed
from normsweep.palette import arm_colours
from normsweep.sweep.study_record import DataFacts, StudyRecord, TrialRecord
from normsweep.sweep.trial import SEARCH, Epoch, Status, Trial
from normsweep.text import as_markdown, counted, masked, quoted
from normsweep.tracking import runs
from normsweep.tracking.client import _opening, failure, remote
from normsweep.tracking.model_registry import ID, STORAGE, register
from normsweep.tracking.relocation import has_moved, relocate
from normsweep.tracking.runs import _source_tags
from normsweep.tracking.settings import mlflow_settings
from normsweep.tracking.views import (
    LABELS,
    NOTE,
    TRIALS_VIEW,
    is_our_note,
    note_digest,
    page,
    run_address,
    run_page,
    views,
)
from normsweep.tracking.views import TAG as VIEW
from normsweep.urls import absolute_url

__all__ = ["TrackedStudy", "Tracker", "relocate_study"]

P = ParamSpec("P")


R = TypeVar("R")


ENDS = {
    Status.COMPLETE: "FINISHED",
    Status.DIVERGED: "FINISHED",
    Status.PRUNED: "FINISHED",
    Status.CRASHED: "FAILED",
    Status.TIMED_OUT: "FAILED",
    Status.INTERRUPTED: "KILLED",
}


CONTENT = "normsweep.content"
"""Tag of a mean over the seeds: the SHA-256 of its values, by which one that has changed is found."""


BATCH = 800
"""Metrics in one request: MLflow accepts 1,000 values, parameters and tags included."""


@dataclass(frozen=True)
class TrackedStudy:
    """What is logged of a study with every run."""

    name: str
    """Name of the study and of its experiment."""
    id: str
    """Id of the study, which distinguishes its runs from those of another study of that name."""
    storage_id: str = ""
    """Identity of the study's storage; `gc` cleans up only runs of its own storage."""
    question: str = ""
    """The study's question in words."""
    metric: str = "accuracy"
    """Metric of the study."""
    colours: Mapping[str, str] = field(default_factory=dict)
    """Color of each arm's runs in the MLflow UI, as #rrggbb."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels of the arms whose key is another text."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Tags of every run, in addition to those of its trial."""
    sweep_name: str = ""
    """Name of the sweep file, which is logged as an artifact of every run; empty if there is none."""
    sweep_text: bytes = b""
    """Its content when the command began: it may be moved or edited meanwhile."""

    @classmethod
    def of(
        cls,
        record: StudyRecord,
        storage_id: str,
        tags: Mapping[str, str],
        sweep_file: Path | None = None,
    ) -> TrackedStudy:
        """What to log of a stored study."""
        colours = arm_colours(record.arms, str(record.sweep.reference))
        labels = {arm.key: arm.label for arm in record.sweep.arms if arm.label != arm.key}
        return cls(
            record.name,
            record.id,
            storage_id,
            record.sweep.question,
            record.sweep.metric,
            colours,
            labels,
            tags,
            sweep_file.name if sweep_file else "",
            sweep_file.read_bytes() if sweep_file else b"",
        )

    @property
    def own_tags(self) -> dict[str, str]:
        """The tags that mark a run, or a registered model, as this study's."""
        storage = {STORAGE: self.storage_id} if self.storage_id else {}
        return {ID: self.id, **storage}

    @property
    def description(self) -> str:
        """What its experiment says until the study writes its note: a sentence, in Markdown."""
        asked = f" It asks: {as_markdown(self.question)}" if self.question else ""
        return f"The study {as_markdown(self.name)} has a run for each of its trials.{asked}"

    def arm_tags(self, arm: str) -> dict[str, str]:
        """Tags of a run of an arm: its colour, and its label if that is another text than its key."""
        colour = {"mlflow.runColor": self.colours[arm]} if arm in self.colours else {}
        return colour | ({runs.LABEL: self.labels[arm]} if arm in self.labels else {})


def outage(method: Callable[P, R]) -> Callable[P, R]:
    """The method with every exception raised as `TrackingFailed`.

    If a server sends invalid responses, MLflow's client fails in many ways (KeyError, AttributeError,
    ParseError), and its rollback raises SQLAlchemy's errors if the connection is lost.
    """

    @functools.wraps(method)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with mlflow_settings():
                return method(*args, **kwargs)
        except TrackingFailed:
            raise
        except Exception as error:
            uri = cast("Tracker", args[0]).uri
            # MLflow's message may contain the whole URI.
            raise TrackingFailed(f"{masked(uri)}: {failure(error, uri)}") from None

    return wrapped


def relocate_study(uri: str, name: str, artifacts: Path) -> int:
    """Correct the places of a study's artifacts after its folder was moved; returns how many.

    Raises:
        StoreError: the store cannot be opened.
    """
    with _opening(uri):
        found = MlflowClient(tracking_uri=absolute_url(uri)).get_experiment_by_name(name)
        return relocate(uri, found.artifact_location, artifacts) if found else 0


class Tracker:
    """Logs the trials of a study to MLflow; every failure raises `TrackingFailed`."""

    def __init__(
        self, uri: str, study: TrackedStudy, artifacts: Path, mlflow_page: str | None = None
    ) -> None:
        """Open the experiment of a study; create it if there is none.

        Args:
            uri: MLflow tracking URI.
            study: what is logged of the study with every run.
            artifacts: folder for artifacts if the store is a local database.
            mlflow_page: address of MLflow in a browser, if not the URI.

        Raises:
            StoreError: the store cannot be opened.
        """
        self.address = (mlflow_page or (uri if remote(uri) else "")).rstrip("/")
        """Address of MLflow in a browser; empty if there is no server."""
        self.uri, self.study = uri, study
        self._tags = {**_source_tags(), **study.tags, **study.own_tags}
        with _opening(uri):
            self._client = MlflowClient(tracking_uri=absolute_url(uri))
            experiment = self._experiment(study.name, artifacts)
        self.experiment_id = experiment.experiment_id
        self.store_id = f"{experiment.experiment_id}-{experiment.creation_time}"
        """Identifies the store by the experiment, also if its folder is moved or its host renamed."""

    @outage
    def start(self, trial: Trial, data: DataFacts) -> str:
        """Start the run of a trial; returns its id."""
        with self._created(trial, data) as run_id:
            self._client.log_batch(run_id, params=runs.params(trial))
        return run_id

    @outage
    def epochs(self, run_id: str, epochs: Sequence[Epoch]) -> None:
        """Log epochs of one trial, in as few requests as possible."""
        self._log_metrics(run_id, self._metrics(epochs))

    @outage
    def finish(self, run_id: str, record: TrialRecord, epochs: Sequence[Epoch] = ()) -> None:
        """Log the final values, after epochs that are not yet logged, and end the run."""
        result = record.result
        assert result is not None
        metrics = [*self._metrics(epochs), *runs.final_metrics(record)]
        self._log_metrics(run_id, metrics, tags=runs.machine_tags(result))
        self._client.set_terminated(run_id, ENDS[result.status])

    @outage
    def log_new(self, record: TrialRecord, data: DataFacts) -> str:
        """Log a trial that has ended and has no run, in as few requests as possible; returns its id."""
        trial, result = record.trial, record.result
        assert result is not None
        start = int(result.started * 1000)
        metrics = [*self._metrics(result.curve), *runs.final_metrics(record)]
        with self._created(trial, data, start or None) as run_id:
            self._log_metrics(run_id, metrics, runs.params(trial), runs.machine_tags(result))
            end = start + int(result.seconds * 1000)
            self._client.set_terminated(run_id, ENDS[result.status], end or None)
        return run_id

    @outage
    def log(self, record: TrialRecord, data: DataFacts) -> str:
        """Log a complete trial; returns the id of its run.

        If there is a complete run already, it is used; incomplete ones are ended as KILLED.
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
                return _given(run.info.run_id)
        return self.log_new(record, data)

    @outage
    def lost(self, run_ids: Iterable[str]) -> set[str]:
        """Those of the study's ended runs that the store does not have.

        A run that was deleted in MLflow, which keeps it for a while, is not lost.
        """
        found = self._every_run(ViewType.ALL)
        running = RunStatus.to_string(RunStatus.RUNNING)
        return set(run_ids) - {run.info.run_id for run in found if run.info.status != running}

    @outage
    def kill(self, run_id: str) -> None:
        """End a run that will not be completed."""
        tag = [RunTag("normsweep.status", Status.INTERRUPTED.value)]
        self._client.log_batch(run_id, tags=tag)
        self._client.set_terminated(run_id, "KILLED")

    @outage
    def mark_best(self, run_ids: Collection[str]) -> None:
        """Tag the runs of the arms' best trials, and no others."""
        before = {run.info.run_id for run in self._search(f"tags.`{runs.BEST}` = 'true'")}
        for run_id in before.difference(run_ids):
            self._client.delete_tag(run_id, runs.BEST)
        if new := set(run_ids) - before:
            named = ", ".join(f"'{run_id}'" for run_id in new)
            for run in self._search(f"attributes.run_id IN ({named})"):  # not deleted ones
                self._client.set_tag(run.info.run_id, runs.BEST, "true")

    @outage
    def log_means(self, curves: Sequence[Curve], keys: Mapping[str, str], seeds: int) -> None:
        """Log the confirmation's mean over its seeds, a run for each arm and configuration.

        A mean that has changed gets a new run, as a metric's values cannot be taken back.

        Args:
            curves: mean and interval after each epoch.
            keys: of the arms, by label.
            seeds: their number.
        """
        found = {r.data.tags.get(CONTENT, ""): r for r in self._search(self._of_phase(runs.MEAN))}
        for curve in curves:
            key = keys.get(curve.arm, curve.arm)
            content = hashlib.sha256(repr((key, curve, seeds)).encode()).hexdigest()
            whole = found.pop(content, None)
            if whole is None:
                self._log_mean(curve, key, seeds, content)
            elif whole.info.status != "FINISHED":
                found[content] = whole
                self._log_mean(curve, key, seeds, content)
        for run in found.values():
            self._client.delete_run(run.info.run_id)

    def _log_mean(self, curve: Curve, key: str, seeds: int, content: str) -> None:
        name = f"mean {curve.arm} {curve.configuration}"
        about = (
            f"This run is the mean over {counted(seeds, 'seed')} of the confirmation of the arm "
            f"{as_markdown(quoted(curve.arm))} in the configuration {as_markdown(curve.configuration)}, with "
            "the interval of each epoch."
        )
        tags = {
            **self._tags,
            **self.study.arm_tags(key),
            "normsweep.study": self.study.name,
            runs.ARM: key,
            runs.PHASE: runs.MEAN,
            runs.CONFIGURATION: curve.configuration,
            runs.DESCRIPTION: about,
            CONTENT: content,
        }
        run_id = _given(
            self._client.create_run(self.experiment_id, run_name=name, tags=tags).info.run_id
        )
        self._log_metrics(run_id, runs.mean_metrics(curve, self.study.metric))
        self._client.set_terminated(run_id, "FINISHED")

    @outage
    def note(self, text: str) -> None:
        """Set the note of the experiment, in Markdown, unless a user has written or edited it."""
        tags = self._client.get_experiment(self.experiment_id).tags
        now = tags.get(runs.DESCRIPTION, "")
        if now == text or not (now in ("", self.study.description) or is_our_note(tags)):
            return
        # The digests of both texts: the command may be killed between the two writes.
        self._tag_experiment(NOTE, f"{note_digest(now)} {note_digest(text)}")
        self._tag_experiment(runs.DESCRIPTION, text)

    @outage
    def prepare_views(self, params: Sequence[str], maximize: bool = True) -> None:
        """Write the prepared views of the study; `params`: names of the searched parameters.

        `maximize`: whether higher is better.
        """
        arm = runs.LABEL if self.study.labels else runs.ARM
        oldest = self._search(self._of_phase(SEARCH), order_by=["attributes.start_time"], limit=1)
        # Runs of earlier versions have no logarithm: a chart of it would lack them.
        logged = not oldest or runs.LOG_RATE in oldest[0].data.params
        rate = runs.LOG_RATE if logged else "learning_rate"
        for key, text in views(params, self.study.metric, maximize, arm, rate).items():
            self._tag_experiment(f"{VIEW}{key}", text)

    @outage
    def relabel(self) -> None:
        """Give the runs that were logged under other labels of the arms the present ones, if there are any."""
        client, labels = self._client, json.dumps(dict(self.study.labels), sort_keys=True)
        before = client.get_experiment(self.experiment_id).tags.get(LABELS, "{}")
        if before == labels:
            return
        for run in self._every_run():
            arm, run_id = run.data.tags.get(runs.ARM, ""), run.info.run_id
            was, label = run.data.tags.get(runs.LABEL, arm), self.study.labels.get(arm, arm)
            if was != label:
                client.update_run(run_id, name=runs.relabelled(run.info.run_name or "", was, label))
                client.set_tag(run_id, runs.LABEL, label)
                about = run.data.tags.get(runs.DESCRIPTION, "")
                client.set_tag(run_id, runs.DESCRIPTION, runs.redescribed(about, was, label))
        self._tag_experiment(LABELS, labels)

    @outage
    def register(self, arm: str, alias: str, model_id: str, run_id: str) -> bool:
        """Set an alias of the study's registered model to a logged model.

        Returns:
            False if a registered model of the study's name belongs to somebody else.
        """
        return register(
            self._client,
            self.study.name,
            self.study.own_tags,
            arm,
            alias,
            model_id,
            run_id,
            self.study.labels.get(arm, arm),
        )

    @outage
    def begin_report(self) -> str:
        """The id of the study's one run for its report, created if there is none."""
        found, study = self._search(self._of_phase("report")), self.study.name
        about = f"This run has the report of the study {as_markdown(study)}: its page, figures and tables."
        tags = {
            **self._tags,
            "normsweep.study": study,
            runs.PHASE: "report",
            runs.DESCRIPTION: about,
        }
        run = (
            found[0]
            if found
            else self._client.create_run(self.experiment_id, run_name="report", tags=tags)
        )
        return _given(run.info.run_id)

    @outage
    def report_files(self, run_id: str, folder: Path, paths: Sequence[Path]) -> None:
        """Log files below the report's folder as artifacts; earlier ones are overwritten."""
        for path in paths:
            place = path.parent.relative_to(folder).as_posix()
            self._client.log_artifact(run_id, str(path), None if place == "." else place)

    @outage
    def end_report(
        self,
        run_id: str,
        metrics: Mapping[str, float],
        status: str = "FINISHED",
        outcomes: Mapping[str, str] | None = None,
    ) -> None:
        """Log the metrics of a report, and the outcomes as tags, and end its run."""
        tags = [RunTag(key, value) for key, value in (outcomes or {}).items()]
        self._client.log_batch(run_id, metrics=runs.metrics(dict(metrics), 0), tags=tags)
        self._client.set_terminated(run_id, status)

    def artifact_page(self, run_id: str, path: str) -> str:
        """The path of a run's artifact in the MLflow UI."""
        return run_page(self.experiment_id, run_id, f"artifacts/{path}")

    def artifact_file(self, run_id: str, path: str) -> str:
        """The path at which MLflow's server returns a run's artifact."""
        return f"get-artifact?path={path}&run_uuid={run_id}"

    @outage
    def log_model(self, folder: Path, record: TrialRecord, data: DataFacts, name: str) -> str:
        """Log a model from `save_model` as an output of its trial's run; returns its id.

        It has the run's final metrics, by dataset.
        """
        client, trial = self._client, record.trial
        label = self.study.labels.get(trial.arm)
        labelled = {} if label is None else {runs.LABEL: label}
        tags = {"normsweep.study": self.study.name, runs.ARM: trial.arm, **labelled}
        model = client.create_logged_model(
            self.experiment_id,
            name=name,
            source_run_id=record.run_id,
            tags=tags,
            params={p.key: p.value for p in runs.params(trial)},
            model_type="keras",
        )
        model_id = _given(model.model_id)
        try:
            client.log_model_artifacts(model_id, str(folder))
            client.finalize_logged_model(model_id, LoggedModelStatus.READY)
            step = len(record.result.curve) if record.result else 0
            client.log_outputs(record.run_id, [LoggedModelOutput(model_id, step=step)])
            names = [m.key for m in runs.final_metrics(record)]
            known = [m for key in names for m in client.get_metric_history(record.run_id, key)]
            client.log_batch(record.run_id, metrics=runs.model_metrics(known, model_id, data))
        except Exception:
            with contextlib.suppress(Exception):  # the next attempt makes another one
                client.finalize_logged_model(model_id, LoggedModelStatus.FAILED)
                client.delete_logged_model(model_id)
            raise
        return model_id

    @outage
    def has_model(self, model_id: str) -> bool:
        """Whether the store has a logged model."""
        try:
            self._client.get_logged_model(model_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise
        return True

    @property
    def page(self) -> str:
        """The path of the study's runs in the MLflow UI."""
        return self.view_page(TRIALS_VIEW)

    def view_page(self, key: str) -> str:
        """The path of a prepared view in the MLflow UI."""
        return page(self.experiment_id, key)

    def run_page(self, run_id: str) -> str:
        """The path of a run in the MLflow UI."""
        return run_page(self.experiment_id, run_id)

    @property
    def run_address(self) -> Callable[[str], str] | None:
        """As `views.run_address`: from a run's id to its page in a browser, if it has one."""
        return run_address(self.address, self.experiment_id)

    @contextlib.contextmanager
    def _created(self, trial: Trial, data: DataFacts, start: int | None = None) -> Iterator[str]:
        """A context with the new run of a trial, which is ended as KILLED if an exception is raised.

        `start`: milliseconds of Unix time at which the trial started; None: now.
        """
        label = self.study.labels.get(trial.arm, trial.arm)
        own = runs.trial_tags(trial, self.study.name, label)
        run = self._client.create_run(
            self.experiment_id,
            start_time=start,
            run_name=runs.run_name(trial, label),
            tags={**self._tags, **own, **self.study.arm_tags(trial.arm)},
        )
        run_id = _given(run.info.run_id)
        try:
            self._client.log_inputs(run_id, runs.datasets(data, trial))
            self._log_sweep_file(run)
            yield run_id
        except Exception:
            with contextlib.suppress(Exception):
                self.kill(run_id)
            raise

    def _log_sweep_file(self, run: Run) -> None:
        if not self.study.sweep_name:
            return
        with tempfile.TemporaryDirectory() as work:
            file = Path(work) / self.study.sweep_name
            file.write_bytes(self.study.sweep_text)
            if remote(self.uri):
                self._client.log_artifact(run.info.run_id, str(file))
            else:  # the client would read the whole run from the database to find its folder
                assert run.info.artifact_uri is not None
                get_artifact_repository(run.info.artifact_uri).log_artifact(str(file))

    def _metrics(self, epochs: Sequence[Epoch]) -> list[Metric]:
        return [m for epoch in epochs for m in runs.epoch_metrics(epoch, self.study.metric)]

    def _log_metrics(
        self,
        run_id: str,
        metrics: Sequence[Metric],
        params: Sequence[Param] = (),
        tags: Sequence[RunTag] = (),
    ) -> None:
        """Log metrics, and with the last of them, parameters and tags, which mark a complete run."""
        while len(metrics) > BATCH:
            self._client.log_batch(run_id, metrics=metrics[:BATCH])
            metrics = metrics[BATCH:]
        self._client.log_batch(run_id, metrics=metrics, params=params, tags=tags)

    def _experiment(self, name: str, artifacts: Path) -> Experiment:
        found = self._client.get_experiment_by_name(name)
        if found is None:
            location = None if remote(self.uri) else artifacts.absolute().as_uri()
            try:
                tags = {runs.DESCRIPTION: self.study.description}
                made = self._client.create_experiment(name, location, tags)
                return self._client.get_experiment(made)
            except MlflowException:  # another command was faster
                found = self._client.get_experiment_by_name(name)
                if found is None:
                    raise
        if _given(found.experiment_id) and found.lifecycle_stage != "active":
            raise StoreError(
                f"--tracking-uri: the experiment {name} in {masked(self.uri)} is deleted; restore it "
                "(mlflow experiments restore), or use another --study-name"
            )
        if not remote(self.uri) and has_moved(found.artifact_location, artifacts):
            relocate(self.uri, found.artifact_location, artifacts)
            return self._client.get_experiment(found.experiment_id)
        return found

    def _tag_experiment(self, key: str, text: str) -> None:
        self._client.set_experiment_tag(self.experiment_id, key, text)

    def _every_run(self, which: int = ViewType.ACTIVE_ONLY) -> Iterator[Run]:
        """The study's runs of trials; `which`: without or with deleted ones."""
        own, token = f"tags.`normsweep.study_id` = '{self.study.id}'", None
        while token != "":
            found = self._client.search_runs([self.experiment_id], own, which, page_token=token)
            yield from (run for run in found if runs.ARM in run.data.tags)
            token = found.token or ""

    def _search(self, query: str, limit: int = 1000, **asked: Any) -> list[Run]:
        """The study's runs that a query finds, at most `limit` of them."""
        own = f"tags.`{ID}` = '{self.study.id}'"
        query = f"{own} and {query}"
        return self._client.search_runs([self.experiment_id], query, max_results=limit, **asked)

    def _of_phase(self, phase: str) -> str:
        return f"tags.`{runs.PHASE}` = '{phase}'"

    def _runs_of(self, trial: int) -> list[Run]:
        return self._search(f"tags.`normsweep.trial` = '{trial}'")


def _given(key: str) -> str:
    """The id that MLflow gave to what it made: an answer without one is read as an empty text."""
    if not key:
        raise ValueError("it answered without an id")
    return key
