"""Logging trials to MLflow: live if that works, later if it does not."""

from __future__ import annotations

import contextlib
import queue
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Self

from normsweep.errors import StoreError, TrackingFailed
from normsweep.runner.interrupts import Background, Signals
from normsweep.store.identity import storage_id
from normsweep.store.locks import lock_study
from normsweep.store.storage import load_study
from normsweep.store.study_store import StudyStore
from normsweep.sweep.study_record import DataFacts, TrialRecord
from normsweep.sweep.trial import Epoch, Trial
from normsweep.tracking.client import ready_store
from normsweep.tracking.tracker import TrackedStudy, Tracker

__all__ = ["TrialLogger", "sync_studies", "sync_study"]

PAUSE = 10.0
"""Seconds after a failure in which no run is begun."""


BEHIND = 200
"""Writes that MLflow is behind, before a person is told what is waited for."""


class TrialLogger:
    """Logs trials to MLflow as they run, and marks in the study those that are logged whole.

    The live writes are made in the background, and training never waits for them. A trial without
    the mark is not yet logged, whatever the reason; `log_rest` is the one way to log it: after
    a crash, after an outage, in a later command. Left by an exception, it begins nothing more.
    """

    def __init__(
        self,
        store: StudyStore,
        tracker: Tracker,
        data: DataFacts,
        say: Callable[[str], None],
        background: Background,
        phase: str | None = None,
    ) -> None:
        """`say` is told what could not be written; `phase`: of one phase alone, else of all."""
        self._store, self._tracker, self._data, self._say = store, tracker, data, say
        self._phase = phase
        self._background = background
        self._writes: deque[Future[None]] = deque()
        self._news: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._runs: dict[int, str] = {}
        self._epochs: dict[int, deque[Epoch]] = {}
        self._given_up: list[str] = []
        self._down_until = 0.0
        self._abandoned = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *exception: object) -> None:
        if kind is not None and not self._abandoned:
            self.abandon()

    def not_yet_logged(self) -> list[TrialRecord]:
        """The trials that have ended and are not yet logged whole."""
        return [
            r
            for r in self._store.trials()
            if self._phase in (None, r.trial.phase) and r.result is not None and not r.run_id
        ]

    def log_earlier(self) -> None:
        """Have what earlier commands did not log written before all that comes, and go on."""
        for record in self.not_yet_logged():
            self._write(record.trial.number, partial(self._log, record))

    def started(self, trial: Trial) -> None:
        """Begin a live run, unless MLflow has just failed."""
        self._write(trial.number, partial(self._start, trial))

    def epoch(self, epoch: Epoch) -> None:
        """Write an epoch to the live run, where there is one; with it those that wait behind."""
        self._epochs.setdefault(epoch.trial, deque()).append(epoch)
        self._write(epoch.trial, partial(self._write_epochs, epoch.trial))

    def finished(self, record: TrialRecord) -> None:
        """End the live run; the trial is marked as logged by the next `collect`."""
        self._write(record.trial.number, partial(self._finish, record))

    def collect(self) -> None:
        """Mark what has been logged, and say what could not be."""
        while self._writes and self._writes[0].done():
            self._writes.popleft().result()
        for _ in range(self._news.qsize()):  # no more: the next trial waits
            self._news.get()()

    def abandon(self) -> None:
        """Close the live runs of trials that will not be told any more, if MLflow is quick."""
        self._abandoned = True
        self._background.hurry()
        with contextlib.suppress(TrackingFailed):
            self._background.call(self._close)
        self.collect()

    def log_rest(self, signals: Signals) -> list[int]:
        """Log what is not yet logged; the numbers of the trials that still could not be.

        Raises:
            Interrupted: between trials, or while MLflow hangs.
        """
        if (behind := sum(not write.done() for write in self._writes)) >= BEHIND:
            self._say(f"waiting for MLflow, which is {behind} writes behind")
        with signals.waiting():
            for write in self._writes:
                self._background.wait(write)
        self.collect()
        left = self.not_yet_logged()
        for done, record in enumerate(left):
            try:
                with signals.waiting():
                    run_id = self._background.call(partial(self._tracker.log, record, self._data))
            except TrackingFailed as error:
                self._say(f"MLflow: {error}")
                return [r.trial.number for r in left[done:]]
            self._store.note_run(record.trial.number, run_id)
        return []

    def _write(self, trial: int, write: Callable[[], None]) -> None:
        self._writes.append(self._background.put(partial(self._try, trial, write)))

    # What follows runs in the background.

    def _try(self, trial: int, write: Callable[[], None]) -> None:
        try:
            write()
        except TrackingFailed as error:
            # All live runs are given up: each of them might hang as long as this one.
            self._given_up += self._runs.values()
            self._runs.clear()
            self._down_until = time.monotonic() + PAUSE
            self._news.put(
                partial(
                    self._say,
                    f"MLflow did not take trial {trial} ({error}); training goes on, the "
                    "study has it, and it is logged at the end or by the next run of this command",
                )
            )

    def _log(self, record: TrialRecord) -> None:
        if self._beginning:
            run_id = self._tracker.log(record, self._data)
            self._news.put(partial(self._store.note_run, record.trial.number, run_id))

    def _start(self, trial: Trial) -> None:
        if self._beginning:
            self._runs[trial.number] = self._tracker.start(trial, self._data)

    def _write_epochs(self, trial: int) -> None:
        waiting = self._epochs[trial]
        taken = [waiting.popleft() for _ in range(len(waiting))]
        if taken and (run_id := self._runs.get(trial)):
            self._tracker.epochs(run_id, taken)

    def _finish(self, record: TrialRecord) -> None:
        self._epochs.pop(record.trial.number, None)
        if run_id := self._runs.get(record.trial.number):
            self._tracker.finish(run_id, record)
            del self._runs[record.trial.number]
            self._news.put(partial(self._store.note_run, record.trial.number, run_id))

    @property
    def _beginning(self) -> bool:
        """Whether runs are begun: not just after a failure, nor what is still to come at a stop."""
        return not self._abandoned and time.monotonic() >= self._down_until

    def _close(self) -> None:
        for run_id in [*self._runs.values(), *self._given_up]:
            with contextlib.suppress(TrackingFailed):
                self._tracker.kill(run_id)
        self._runs.clear()
        self._given_up.clear()


def sync_studies(
    names: Sequence[str], storage: str, tracking_uri: str, say: Callable[[str], None]
) -> bool:
    """Log what is not yet logged of several studies; one that cannot be synced holds up no other.

    Returns:
        Whether MLflow has all of them.

    Raises:
        StoreError: MLflow's store cannot be opened.
    """
    ready_store(tracking_uri)
    whole, skipped = True, list[str]()
    for name in names:
        try:
            whole &= sync_study(name, storage, tracking_uri, say)
        except StoreError as error:  # most often it is being run, and logged by whoever runs it
            say(f"{name}: skipped: {error}")
            skipped.append(name)
    if skipped:
        say(f"skipped {len(skipped)} of {len(names)} studies: {', '.join(skipped)}")
    return whole and not skipped


def sync_study(
    name: str,
    storage: str,
    tracking_uri: str,
    say: Callable[[str], None],
    root: Path = Path("mlruns"),
) -> bool:
    """Log the trials of a study that no run of MLflow holds whole, once each.

    Args:
        name: the study's.
        storage: URL of Optuna's database.
        tracking_uri: of MLflow.
        say: told what was done.
        root: folder for artifacts where MLflow's store is a local database.

    Returns:
        Whether MLflow has all of it.

    Raises:
        StoreError: the study or a store is not there, or another process runs the study.
        Interrupted: SIGINT or SIGTERM; what was logged is marked.
    """
    store = load_study(storage, name)
    with Signals() as signals, lock_study(storage, name), Background() as background:
        record = store.record(trials=False)
        if record.data is None:
            say(f"{name}: has no trial yet")
            return True
        tags = {"normsweep.executor": "sync"}
        tracked = TrackedStudy.of(record, storage_id(storage), tags)
        tracker = Tracker(tracking_uri, tracked, root / "artifacts")
        with TrialLogger(store, tracker, record.data, say, background) as logger:
            missing = logger.not_yet_logged()
            left = logger.log_rest(signals)
        say(
            f"{name}: logged {len(missing) - len(left)} of {len(missing)} trials that were not yet in MLflow"
        )
        return not left
