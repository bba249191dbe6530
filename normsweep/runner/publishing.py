"""What is logged to MLflow beside the trials: views, note, the best model of each arm."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from normsweep.analysis.trials import best_of_arms
from normsweep.console.display import Display
from normsweep.errors import StudyStopped, TrackingFailed
from normsweep.executors.protocol import Executor
from normsweep.parts import models
from normsweep.parts.catalog import is_trained
from normsweep.parts.metrics import metric
from normsweep.reporting.commands import aliases, model_uris
from normsweep.reporting.note import Pages, experiment_note
from normsweep.runner.checkpoints import Checkpoints
from normsweep.runner.interrupts import Background, Signals
from normsweep.search.search_phase import Search
from normsweep.sweep.study_record import LoggedModel, StudyRecord, TrialRecord
from normsweep.sweep.trial import Epoch, Trial
from normsweep.tracking.model_registry import save_model
from normsweep.tracking.tracker import Tracker
from normsweep.tracking.views import ARMS_VIEW, CONFIRM_VIEW, TRIALS_VIEW
from normsweep.training.engine import Finished
from normsweep.training.snapshot import CheckpointPolicy, ModelState

__all__ = ["BestModels", "prepare_pages", "study_pages", "study_views"]

TOLERANCE = 0.002
"""Difference in validation accuracy that rounding may cause between two ways to run a network."""


def prepare_pages(search: Search, tracker: Tracker) -> Callable[[], None]:
    """A function that writes the study's views, and its note unless it has a verdict, to MLflow."""
    record = search.store.record().labelled()
    note, views = experiment_note(record, study_pages(record, tracker)), study_views(search)

    def write() -> None:
        tracker.relabel()
        tracker.prepare_views(*views)
        if not record.analyses:  # a note with a verdict is kept
            tracker.note(note)

    return write


def study_views(search: Search) -> tuple[list[str], bool]:
    """Columns of the study's views, the parameters that the search varies; whether higher is better.

    Called in the thread of the study: registries have a caller's data and networks only there.
    """
    sweep = search.sweep
    options = models.registry[sweep.model.name].options  # `own@…` is known as `own`
    names = [d.name for d in sweep.space if d.count != 1]
    columns = [f"model.{name}" if name in options else name for name in names]
    return columns, metric(sweep.metric).sign > 0


def study_pages(record: StudyRecord, tracker: Tracker) -> Pages:
    """Pages of MLflow to which the note links."""
    views = {
        "every trial": tracker.view_page(TRIALS_VIEW),
        "the mean of each arm": tracker.view_page(ARMS_VIEW),
    }
    if record.analyses:
        views["the confirmation"] = tracker.view_page(CONFIRM_VIEW)
    return Pages(run=tracker.run_page, views=views, models=model_uris(record))


@dataclass(frozen=True)
class BestModels:
    """Logs and registers the best model of each arm of a search in MLflow."""

    search: Search
    tracker: Tracker
    executor: Executor
    checkpoints: Checkpoints
    display: Display
    signals: Signals
    background: Background
    reused: Checkpoints | None = None
    """Those of the search of another study, whose trials are reused."""

    def log(self) -> list[str]:
        """Log the models that are not yet logged, after a check on raw validation images.

        Returns:
            The arms whose model could not be logged.
        """
        if not is_trained(self.search.sweep.model.name):
            return []
        logged = self.search.store.record(trials=False).models
        missing: list[str] = []
        for arm, record in best_of_arms(self.search.records()).items():
            known = logged.get(arm)
            if known is not None and not known.logged_in(self.tracker.store_id):
                known = None
            if known is not None and known.trial == record.trial.number:
                continue
            try:
                if self._log(record) and known is not None:
                    self._unmark(known.trial)
            except (StudyStopped, TrackingFailed) as error:
                self._note(
                    arm,
                    f"not yet logged, will be tried again by the next run of the command: {error}",
                )
                missing.append(arm)
        return missing

    def register(self) -> list[str]:
        """Set each arm's alias to its logged model, unless it is already.

        Returns:
            The arms whose model could not be registered.
        """
        study = self.search.store.record(trials=False)
        names = aliases(study.arms)
        runs = {record.trial.number: record.run_id for record in self.search.records()}
        here = self.tracker.store_id
        missing: list[str] = []
        for arm, model in study.models.items():
            if arm not in names or not model.logged_in(here):
                continue
            given = arm, names[arm], model.model_id, runs.get(model.trial, "")
            try:
                ours = self.background.call(lambda given=given: self.tracker.register(*given))
            except TrackingFailed as error:
                self._note(
                    arm,
                    f"not yet registered, will be tried again by the next run of the command: {error}",
                )
                missing.append(arm)
                continue
            if model.registered != ours:
                self.search.store.note_model(arm, replace(model, registered=ours))
            if not ours:
                self.display.note(
                    f"models not registered: MLflow has a registered model {study.name} of another "
                    "study; rename it, or run the study with another --study-name"
                )
                break
        return missing

    def _log(self, record: TrialRecord) -> bool:
        """Log the model of a trial; returns whether it is logged."""
        trial = record.trial
        if not record.logged_in(self.tracker.store_id):
            self._note(
                trial.arm, f"not logged: its trial {trial.number} is not yet logged to MLflow"
            )
            return False
        state = self._state(record)
        if state is None:
            self._note(trial.arm, f"not logged: trial {trial.number} failed when trained again")
            return False
        with self.signals.waiting():
            saved = self.executor.call(save_model, trial, state)
        self._compare(record, saved.val_accuracy)
        with tempfile.TemporaryDirectory() as work:
            saved.write(Path(work))
            with self.signals.waiting():
                model_id = self.background.call(
                    lambda: self.tracker.log_model(Path(work), record, "model")
                )
        model = LoggedModel(trial.number, model_id, store=self.tracker.store_id)
        self.search.store.note_model(trial.arm, model)
        return True

    def _compare(self, record: TrialRecord, saved: float) -> None:
        """Report a saved model whose accuracy differs from its trial's."""
        assert record.result is not None
        trained = record.result.last.val_accuracy
        if abs(saved - trained) > TOLERANCE:
            self.display.note(
                f"model of {self.search.sweep.label(record.trial.arm)}: the saved model has validation accuracy "
                f"{saved:.4f} on raw images, its trial had {trained:.4f}"
            )

    def _unmark(self, trial: int) -> None:
        """Remove the tag of the best trial from the run that had it before."""
        runs = [r.run_id for r in self.search.records() if r.trial.number == trial and r.run_id]
        for run in runs:
            self.background.call(lambda run=run: self.tracker.not_best(run))

    def _state(self, record: TrialRecord) -> ModelState | None:
        """The weights of a trial, from a checkpoint or trained again; None if that failed."""
        state = self.checkpoints.load(record.trial)
        if (
            state is None
            and self.reused is not None
            and record.result
            and record.result.origin_study
        ):
            state = self.reused.load(record.trial)
        return state or self._trained_again(record.trial)

    def _trained_again(self, trial: Trial) -> ModelState | None:
        """The weights of the trial, trained again because there is no checkpoint; None if it failed."""
        self.executor.submit(trial, CheckpointPolicy.last(), self.checkpoints.start(trial))
        while True:
            with self.signals.waiting():
                events = self.executor.poll(0.5)
            for event in events:
                if isinstance(event, Finished):
                    return event.state
                if isinstance(event, Epoch):
                    self.executor.reply(trial.number, True)

    def _note(self, arm: str, text: str) -> None:
        self.display.note(f"model of {self.search.sweep.label(arm)} {text}")
