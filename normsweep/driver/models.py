"""Logging each arm's best model, once, when the search is done."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from normsweep.analysis import best_of_arms
from normsweep.driver.background import Background
from normsweep.driver.checkpoints import Checkpoints
from normsweep.driver.signals import Signals
from normsweep.errors import StudyStopped
from normsweep.execution import Executor
from normsweep.parts import models
from normsweep.reporting.console import Display
from normsweep.search import Search
from normsweep.sweep.study_record import TrialRecord
from normsweep.sweep.trial import Epoch, Trial
from normsweep.tracking import Tracker, TrackingFailed, save_model
from normsweep.training import Finished, Keep, ModelState

__all__ = ["log_best_models"]

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
    logged, records = search.info.models, search.records()
    lacking: list[str] = []
    for arm, record in best_of_arms(records).items():
        number = record.trial.number
        if record.trial.model == models.SIMULATED or logged.get(arm, {}).get("trial") == number:
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
            before = logged.get(arm, {}).get("trial")
            background.call(lambda before=before: _unmark(records, before, tracker))
        except (StudyStopped, TrackingFailed) as error:
            display.note(f"model of {arm} not logged, the same command tries again: {error}")
            lacking.append(arm)
    return lacking


def _unmark(records: Sequence[TrialRecord], trial: int | None, tracker: Tracker) -> None:
    """Take the mark of the best from the trial that was it before."""
    for record in records:
        if record.trial.number == trial and record.run_id:
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
    search.mark_model(trial.arm, trial.number, model_id)


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
