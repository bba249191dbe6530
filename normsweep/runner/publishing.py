"""What is logged to MLflow beside the trials: views, note, the best trial and model of each arm."""

from __future__ import annotations

import math
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

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
from normsweep.runner.interrupts import Background, Patience, Signals
from normsweep.search.search_phase import Search
from normsweep.sweep.study_record import DataFacts, LoggedModel, StudyRecord, TrialRecord
from normsweep.sweep.trial import Epoch, Status
from normsweep.text import counted
from normsweep.tracking.model_registry import save_model
from normsweep.tracking.tracker import Tracker
from normsweep.tracking.views import BEST_VIEW, CONFIRM_VIEW, TRIALS_VIEW
from normsweep.training.engine import Finished
from normsweep.training.snapshot import CheckpointPolicy, ModelState, Snapshot

__all__ = ["BestModels", "prepare_pages", "prepare_views", "study_pages", "trained_again"]

R = TypeVar("R")

POLL = 0.5
"""Seconds that one wait for trials that are trained again lasts at most."""

TOLERANCE = 0.002
"""Difference in validation accuracy, or relative difference of another score, that rounding may cause between
two ways to run a network."""


def prepare_pages(search: Search, tracker: Tracker) -> Callable[[], None]:
    """A function that writes the study's views, and its note unless it has a verdict, to MLflow."""
    record, views = search.store.record().labelled(), prepare_views(search, tracker)
    note = experiment_note(record, study_pages(record, tracker))

    def write() -> None:
        tracker.relabel()
        views()
        if not record.analyses:  # a note with a verdict is kept
            tracker.note(note)

    return write


def prepare_views(search: Search, tracker: Tracker) -> Callable[[], None]:
    """A function that writes the study's views to MLflow, and which trials are the best of their arms.

    Prepared in the thread of the study: registries have a caller's data and networks only there.
    """
    sweep = search.sweep
    options = models.registry[sweep.model.name].options  # `own@…` is known as `own`
    names = [d.name for d in sweep.space if d.count != 1]
    columns = [f"model.{name}" if name in options else name for name in names]
    maximize = metric(sweep.metric).sign > 0
    best = best_of_arms(search.records()).values()

    def write() -> None:
        tracker.prepare_views(columns, maximize)
        tracker.mark_best(_logged(best, tracker))

    return write


def _logged(records: Iterable[TrialRecord], tracker: Tracker) -> set[str]:
    """The runs of those trials that are completely logged."""
    return {record.run_id for record in records if record.logged_in(tracker.store_id)}


def study_pages(record: StudyRecord, tracker: Tracker) -> Pages:
    """Pages of MLflow to which the note links."""
    views = {
        "every trial": tracker.view_page(TRIALS_VIEW),
        "the best trial of each arm": tracker.view_page(BEST_VIEW),
    }
    if record.analyses:
        views["the confirmation, mean over seeds"] = tracker.view_page(CONFIRM_VIEW)
    return Pages(run=tracker.run_page, views=views, models=model_uris(record))


@dataclass(frozen=True)
class BestModels:
    """Logs and registers the best model of each arm of a search in MLflow."""

    search: Search
    tracker: Tracker
    data: DataFacts
    executor: Executor
    checkpoints: Checkpoints
    display: Display
    signals: Signals
    background: Background
    patience: Patience
    """How long MLflow is tried again if it fails."""
    reused: Checkpoints | None = None
    """Those of the search of another study, whose trials are reused."""

    def log(self, train: bool) -> list[str]:
        """Log the models that are not yet logged, after a check on raw validation images.

        Args:
            train: whether to train again, on all workers, trials that have no checkpoint. Otherwise
                their models are not logged.

        Returns:
            The arms whose model could not be logged.
        """
        best = best_of_arms(self.search.records())
        self.background.put(lambda: self.tracker.mark_best(_logged(best.values(), self.tracker)))
        if not is_trained(self.search.sweep.model.name):
            return []
        missing, without = list[str](), list[TrialRecord]()
        for record in filter(self._due, best.values()):
            state = self._checkpoint(record)
            if state is None:
                without.append(record)
            elif not self._log(record, state):
                missing.append(record.trial.arm)
        if not train:
            return [*missing, *(record.trial.arm for record in without)]
        if without:
            trials = counted(len(without), "trial")
            self.display.note(f"no checkpoints for the models of {trials}, which are trained again")
        for record, state in trained_again(without, self.executor, self.checkpoints, self.signals):
            if state is None:
                self._note(
                    record.trial.arm,
                    f"not logged: trial {record.trial.number} failed when trained again",
                )
            elif not self._log(record, state):
                missing.append(record.trial.arm)
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
                ours = self._call(lambda given=given: self.tracker.register(*given))
            except TrackingFailed as error:
                self._note(arm, f"not yet registered: {error}")
                missing.append(arm)
                if self._is_lost(model):
                    self.search.store.note_model(arm, model.lost)
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

    def _is_lost(self, model: LoggedModel) -> bool:
        """Whether MLflow answers that the model does not exist."""
        try:
            return not self.background.call(lambda: self.tracker.has_model(model.model_id))
        except TrackingFailed:
            return False

    def _due(self, record: TrialRecord) -> bool:
        """Whether the model of an arm's best trial is still to be logged, and can be."""
        known = self.search.store.record(trials=False).models.get(record.trial.arm)
        if (
            known is not None
            and known.trial == record.trial.number
            and known.logged_in(self.tracker.store_id)
        ):
            return False
        if not record.logged_in(self.tracker.store_id):
            number = record.trial.number
            self._note(
                record.trial.arm, f"not logged: its trial {number} is not yet logged to MLflow"
            )
            return False
        return True

    def _log(self, record: TrialRecord, state: ModelState) -> bool:
        """Log the model of a trial; returns whether it is logged."""
        trial = record.trial
        try:
            with self.signals.waiting():
                saved = self.executor.call(save_model, trial, state)
            self._compare(record, saved.val_score)
            name = aliases(self.search.store.record(trials=False).arms)[trial.arm]
            with tempfile.TemporaryDirectory() as work:
                saved.write(Path(work))
                model_id = self._call(
                    lambda: self.tracker.log_model(Path(work), record, self.data, name)
                )
        except (StudyStopped, TrackingFailed) as error:
            self._note(trial.arm, f"not yet logged: {error}")
            return False
        model = LoggedModel(trial.number, model_id, store=self.tracker.store_id)
        self.search.store.note_model(trial.arm, model)
        return True

    def _call(self, job: Callable[[], R]) -> R:
        """What a write to MLflow returns; it is tried again for a while."""
        return self.patience.call(lambda: self.background.call(job), self.signals.waiting)

    def _compare(self, record: TrialRecord, saved: float) -> None:
        """Report a saved model whose score differs from its trial's."""
        assert record.result is not None
        last, name = record.result.last, "accuracy"
        trained, tolerance = last.val_accuracy, TOLERANCE
        if math.isnan(trained):  # a regression
            trained, name = last.value, record.trial.metric
            tolerance = TOLERANCE * max(abs(trained), abs(saved))
        if abs(saved - trained) > tolerance:
            self.display.note(
                f"model of {self.search.sweep.label(record.trial.arm)}: the saved model has validation {name} "
                f"{saved:#.4g} on raw images, its trial had {trained:#.4g}"
            )

    def _checkpoint(self, record: TrialRecord) -> ModelState | None:
        """The weights of a trial; None if they were not kept."""
        state = self.checkpoints.load(record.trial)
        reused = record.result is not None and record.result.origin_study
        if state is None and self.reused is not None and reused:
            state = self.reused.load(record.trial)
        return state

    def _note(self, arm: str, text: str) -> None:
        self.display.note(f"model of {self.search.sweep.label(arm)} {text}")


def trained_again(
    records: Sequence[TrialRecord], executor: Executor, checkpoints: Checkpoints, signals: Signals
) -> Iterator[tuple[TrialRecord, ModelState | None]]:
    """Train trials again on all workers; each as it ends, with its weights, or None if it failed.

    States are kept as in a search: after an interruption, training goes on from there.
    """
    every = checkpoints.every if checkpoints.enabled else None
    policy = replace(CheckpointPolicy.last(), every=every)
    waiting, running = deque(records), dict[int, TrialRecord]()
    while waiting or running:
        while waiting and executor.free:
            record = waiting.popleft()
            running[record.trial.number] = record
            executor.submit(record.trial, policy, checkpoints.start(record.trial))
        with signals.waiting():
            events = executor.poll(POLL)
        for event in events:
            match event:
                case Epoch():
                    executor.reply(event.trial, True)
                case Snapshot():
                    checkpoints.save_running(running[event.so_far.trial].trial, event)
                case Finished():
                    record = running.pop(event.result.trial)
                    if event.result.status is Status.INTERRUPTED:  # it was lost with others
                        waiting.append(record)
                        continue
                    if event.state is not None and checkpoints.enabled:
                        checkpoints.save(record.trial, Snapshot(event.result, event.state))
                        checkpoints.drop_running(record.trial)
                    yield record, event.state
