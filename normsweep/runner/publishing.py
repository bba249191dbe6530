"""Each arm's best model, saved, logged to MLflow and registered."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from normsweep.analysis.tables import best_of_arms
from normsweep.console.display import Display
from normsweep.errors import StudyStopped, TrackingFailed
from normsweep.executors.protocol import Executor
from normsweep.parts import models
from normsweep.runner.checkpoints import Checkpoints
from normsweep.runner.interrupts import Background, Signals
from normsweep.search.search_phase import Search
from normsweep.sweep.study_record import LoggedModel, StudyRecord, TrialRecord
from normsweep.sweep.trial import Epoch, Trial
from normsweep.tracking.model_registry import aliases, model_uri, save_model
from normsweep.tracking.tracker import Tracker
from normsweep.training.engine import Finished
from normsweep.training.snapshot import Keep, ModelState

__all__ = ["log_best_models", "model_uris", "register_models"]

TOLERANCE = 0.002
"""Difference in validation accuracy that rounding may make between two ways to run a network."""


def log_best_models(
    search: Search,
    tracker: Tracker,
    executor: Executor,
    checkpoints: Checkpoints,
    display: Display,
    signals: Signals,
    background: Background,
) -> list[str]:
    """Log the best model of each arm that is not logged yet, checked on raw validation images.

    Returns:
        The arms whose model should be in MLflow by now, and is not.
    """
    logged, records = search.store.record(trials=False).models, search.records()
    lacking: list[str] = []
    for arm, record in best_of_arms(records).items():
        number = record.trial.number
        before = logged.get(arm)
        if record.trial.model == models.SIMULATED or (before and before.trial == number):
            continue
        if not record.run_id:
            display.note(f"model of {arm} not logged: MLflow does not have its trial {number} yet")
            continue
        state = checkpoints.load(record.trial) or _trained_again(
            record.trial, checkpoints, executor, signals
        )
        if state is None:
            display.note(f"model of {arm} not logged: trial {number} failed when trained again")
            continue
        try:
            _log(record, state, search, tracker, executor, display, signals, background)
            background.call(lambda before=before: _unmark(records, before, tracker))
        except (StudyStopped, TrackingFailed) as error:
            display.note(f"model of {arm} not logged, the same command tries again: {error}")
            lacking.append(arm)
    return lacking


def _unmark(records: Sequence[TrialRecord], before: LoggedModel | None, tracker: Tracker) -> None:
    """Take the mark of the best from the trial that was it before."""
    for record in records:
        if before and record.trial.number == before.trial and record.run_id:
            tracker.not_best(record.run_id)


def _log(
    record: TrialRecord,
    state: ModelState,
    search: Search,
    tracker: Tracker,
    executor: Executor,
    display: Display,
    signals: Signals,
    background: Background,
) -> None:
    trial, result = record.trial, record.result
    assert result is not None
    with signals.waiting():
        saved = executor.call(save_model, trial, state)
    with tempfile.TemporaryDirectory() as work:
        saved.write(Path(work))
        trained = result.curve[-1].val_accuracy
        if abs(saved.val_accuracy - trained) > TOLERANCE:
            display.note(
                f"model of {trial.arm}: the saved model has validation accuracy "
                f"{saved.val_accuracy:.4f} on raw images, its trial had {trained:.4f}"
            )
        with signals.waiting():
            model_id = background.call(lambda: tracker.log_model(Path(work), record, "model"))
    search.store.note_model(trial.arm, LoggedModel(trial.number, model_id))


def _trained_again(
    trial: Trial, checkpoints: Checkpoints, executor: Executor, signals: Signals
) -> ModelState | None:
    """The trial's weights where they were not kept: the same trial gives the same ones."""
    executor.submit(trial, Keep.last(), checkpoints.start(trial))
    while True:
        with signals.waiting():
            events = executor.poll(0.5)
        for event in events:
            if isinstance(event, Finished):
                return event.state
            if isinstance(event, Epoch):
                executor.reply(trial.number, True)


def register_models(
    search: Search, tracker: Tracker, display: Display, background: Background
) -> list[str]:
    """Have each arm's alias mean the model that was logged for it; nothing where it does already.

    Returns:
        The arms whose model should be in the registry by now, and is not.
    """
    study = search.store.record(trials=False)
    names = aliases(study.arms)
    runs = {record.trial.number: record.run_id for record in search.records()}
    lacking = []
    for arm, model in study.models.items():
        if arm not in names:
            continue
        model_id, run_id = model.model_id, runs.get(model.trial, "")
        try:
            ours = background.call(
                lambda arm=arm, model_id=model_id, run_id=run_id: tracker.register(
                    arm, names[arm], model_id, run_id
                )
            )
        except TrackingFailed as error:
            display.note(f"model of {arm} not registered, the same command tries again: {error}")
            lacking.append(arm)
            continue
        if not ours:
            display.note(
                f"models not registered: MLflow has a registered model {study.name} that is not this "
                "study's; rename it, or run the study under another --study-name"
            )
            break
    return lacking


def model_uris(study: StudyRecord) -> dict[str, str]:
    """By arm, what `mlflow.pyfunc.load_model` takes for the model that was logged for it."""
    names = aliases(study.arms)
    return {arm: model_uri(study.name, names[arm]) for arm in study.models if arm in names}
