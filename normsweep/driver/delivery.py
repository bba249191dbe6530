"""Projecting the record to MLflow: live where that works, afterwards where it did not."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from normsweep.search import Archive
from normsweep.spec import Epoch, Record, Trial
from normsweep.tracking import Tracker, TrackingFailed

__all__ = ["Delivery"]


PAUSE = 60.0
"""Seconds after a failure in which no live run is begun: each attempt may hold training up."""


class Delivery:
    """Writes trials to MLflow as they run, and marks in the record those that are there whole.

    A trial without the mark is undelivered, whatever the reason; `deliver` is the one way to make
    up for it: after a crash, after an outage, in a later command.
    """

    def __init__(
        self, phase: Archive, tracker: Tracker, data: Mapping[str, Any], say: Callable[[str], None]
    ) -> None:
        """`say` is told what could not be written."""
        self._phase, self._tracker, self._data, self._say = phase, tracker, data, say
        self._runs: dict[int, str] = {}
        self._down_until = 0.0

    def started(self, trial: Trial) -> None:
        """Begin a live run, unless MLflow has just failed."""
        if time.monotonic() < self._down_until:
            return
        try:
            self._runs[trial.number] = self._tracker.start(trial, self._data)
        except TrackingFailed as error:
            self._failed(trial.number, error)

    def epoch(self, epoch: Epoch) -> None:
        """Write an epoch to the live run, where there is one."""
        run_id = self._runs.get(epoch.trial)
        if run_id is None:
            return
        try:
            self._tracker.epoch(run_id, epoch)
        except TrackingFailed as error:
            self._failed(epoch.trial, error)

    def finished(self, record: Record) -> None:
        """End the live run and mark the trial as delivered."""
        run_id = self._runs.pop(record.trial.number, None)
        if run_id is None:
            return
        try:
            self._tracker.finish(run_id, record)
        except TrackingFailed as error:
            self._failed(record.trial.number, error)
        else:
            self._phase.mark(record.trial.number, run_id)

    def abandon(self) -> None:
        """Close the live runs of trials that will not be told any more."""
        for run_id in self._runs.values():
            with contextlib.suppress(TrackingFailed):
                self._tracker.kill(run_id)
        self._runs.clear()

    def deliver(self, check: Callable[[], None]) -> list[int]:
        """Write what is unmarked; the numbers of the trials that still could not be written.

        `check` is called between trials, and may raise.
        """
        left = [r for r in self._phase.records() if r.result is not None and not r.run_id]
        for done, record in enumerate(left):
            check()
            try:
                run_id = self._tracker.deliver(record, self._data)
            except TrackingFailed as error:
                self._say(f"MLflow: {error}")
                return [r.trial.number for r in left[done:]]
            self._phase.mark(record.trial.number, run_id)
        return []

    def _failed(self, trial: int, error: TrackingFailed) -> None:
        self._runs.pop(trial, None)
        self._down_until = time.monotonic() + PAUSE
        self._say(
            f"MLflow did not take trial {trial} ({error}); training goes on, the record has it, and "
            "it is delivered at the end or by the next run of this command"
        )
