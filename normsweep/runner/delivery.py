"""Logging trials to MLflow: live if that works, later if it does not."""

from __future__ import annotations

import contextlib
import queue
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Self

from normsweep.errors import StoreError, TrackingFailed
from normsweep.reporting.commands import Commands
from normsweep.runner.interrupts import Background, Patience, Signals
from normsweep.store.identity import storage_id
from normsweep.store.locks import lock_study
from normsweep.store.storage import load_study
from normsweep.store.study_store import StudyStore
from normsweep.sweep.study_record import DataFacts, TrialRecord
from normsweep.sweep.trial import Epoch, Trial
from normsweep.text import counted
from normsweep.tracking.client import ready_store
from normsweep.tracking.settings import mlflow_settings
from normsweep.tracking.tracker import TrackedStudy, Tracker, relocate_study

__all__ = ["TrialLogger", "relocate_studies", "sync_studies", "sync_study"]

PAUSE = 10.0
"""Seconds after a failure in which no run is started."""

DELAY = 1.0
"""Seconds that a live run is behind at most, so that short epochs share a request."""

BEHIND = 200
"""Pending writes to MLflow from which the wait for them is reported."""


@dataclass
class _LiveRun:
    """The run of a trial that is logged while it is trained, and what is not yet written to it."""

    trial: Trial
    due: float
    """Monotonic time from which what is new is written."""
    epochs: deque[Epoch] = field(default_factory=deque)
    record: TrialRecord | None = None
    """The trial with its result, once it has ended."""
    run_id: str = ""
    """Empty until the run has started."""

    def take_epochs(self) -> list[Epoch]:
        """The epochs that are not yet written."""
        return [self.epochs.popleft() for _ in range(len(self.epochs))]


class TrialLogger:
    """Logs trials to MLflow as they run, and marks the completely logged ones in the study.

    Live writes are made in the background; training never waits for them. A trial without the mark
    is not yet logged, whatever the reason, and is logged by `log_rest`: after a crash, after an
    outage, by a later command. After an exception nothing more is started.
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
        """`say` reports what could not be logged; `phase`: log only this phase; None: all."""
        self._store, self._tracker, self._data, self._say = store, tracker, data, say
        self._phase = phase
        self._background = background
        self._writes: deque[Future[None]] = deque()
        self._news: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._live: dict[int, _LiveRun] = {}
        self._given_up: list[str] = []
        self._down_until = 0.0
        self._abandoned = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *exception: object) -> None:
        if kind is not None and not self._abandoned:
            self.abandon()

    def not_yet_logged(self) -> list[TrialRecord]:
        """The trials that have ended and are not yet completely logged."""
        return [
            r
            for r in self._store.trials()
            if self._phase in (None, r.trial.phase)
            and r.result is not None
            and not r.logged_in(self._tracker.store_id)
        ]

    def log_earlier(self) -> None:
        """Queue the trials of earlier commands that are not yet logged."""
        for record in self.not_yet_logged():
            self._write(record.trial.number, partial(self._log, record))

    def started(self, trial: Trial) -> None:
        """Start a live run, unless MLflow has just failed."""
        self._live[trial.number] = _LiveRun(trial, time.monotonic() + DELAY)

    def epoch(self, epoch: Epoch) -> None:
        """Write an epoch to the live run if there is one."""
        if live := self._live.get(epoch.trial):
            live.epochs.append(epoch)

    def finished(self, record: TrialRecord) -> None:
        """End the live run; the trial is marked as logged by the next `collect`."""
        if live := self._live.get(record.trial.number):
            live.record = record
            self._update(record.trial.number)

    def collect(self) -> None:
        """Mark the trials that were logged, report failures, and write what is new of live runs."""
        self._update_live()
        self._collect_done()

    def _collect_done(self) -> None:
        while self._writes and self._writes[0].done():
            self._writes.popleft().result()
        for _ in range(self._news.qsize()):  # later ones must not delay the next trial
            self._news.get()()

    def abandon(self) -> None:
        """End the live runs of trials that will not be finished, if MLflow answers in time."""
        self._abandoned = True
        self._background.hurry()
        with contextlib.suppress(TrackingFailed):
            self._background.call(self._close)
        self._collect_done()

    def leave(self) -> None:
        """Write nothing more: the study is another process's now."""
        self._abandoned = True
        self._background.hurry()
        for write in self._writes:
            write.cancel()

    def log_rest(self, signals: Signals, patience: Patience) -> list[int]:
        """Log what is not yet logged; returns the numbers of the trials that could not be logged.

        `patience`: how long MLflow is tried again if it fails.

        Raises:
            Interrupted: between trials, or while MLflow hangs.
        """
        if (behind := sum(not write.done() for write in self._writes)) >= BEHIND:
            self._say(f"waiting for MLflow, which is {behind} writes behind")
        with signals.waiting():
            for write in self._writes:
                self._background.wait(write)
        self._collect_done()
        left = self.not_yet_logged()
        for done, record in enumerate(left):
            try:
                log = partial(self._tracker.log, record, self._data)
                run_id = patience.call(partial(self._background.call, log), signals.waiting)
            except TrackingFailed as error:
                self._say(f"MLflow: {error}")
                return [r.trial.number for r in left[done:]]
            self._mark(record.trial.number, run_id)
        return []

    def _update_live(self) -> None:
        now = time.monotonic()
        for trial, live in list(self._live.items()):
            if now >= live.due and live.record is None and (live.epochs or not live.run_id):
                live.due = now + DELAY
                self._update(trial)

    def _update(self, trial: int) -> None:
        self._write(trial, partial(self._write_news, trial))

    def _write(self, trial: int, write: Callable[[], None]) -> None:
        self._writes.append(self._background.put(partial(self._try, trial, write)))

    def _mark(self, trial: int, run_id: str) -> None:
        """Mark a trial as logged to this MLflow store: another one, in another place, may lack it."""
        self._store.note_run(trial, run_id, self._tracker.store_id)

    # What follows runs in the background.

    def _try(self, trial: int, write: Callable[[], None]) -> None:
        try:
            write()
        except TrackingFailed as error:
            # All live runs are given up: each of them might hang as long as this one.
            self._given_up += self._end_live()
            self._live.pop(trial, None)  # if it could not be started
            self._down_until = time.monotonic() + PAUSE
            self._news.put(
                partial(
                    self._say,
                    f"trial {trial} could not be logged to MLflow ({error}); training continues, the trial "
                    "is stored, and will be logged at the end or by the next run of this command",
                )
            )

    def _log(self, record: TrialRecord) -> None:
        if self._beginning:
            self._logged(record.trial.number, self._tracker.log(record, self._data))

    def _write_news(self, trial: int) -> None:
        """Write all that is new of a trial: the further MLflow is behind, the fewer requests it needs."""
        if (live := self._live.get(trial)) is None:
            return
        record = live.record  # first: all of its epochs are there
        epochs = live.take_epochs()
        if not live.run_id and not self._beginning:
            del self._live[trial]
        elif not live.run_id and record is not None:
            del self._live[trial]
            self._logged(trial, self._tracker.log_new(record, self._data))
        else:
            self._continue(live, epochs, record)

    def _continue(self, live: _LiveRun, epochs: list[Epoch], record: TrialRecord | None) -> None:
        """Start the run if it has not started, and write epochs and the end."""
        live.run_id = live.run_id or self._tracker.start(live.trial, self._data)
        if record is not None:
            self._tracker.finish(live.run_id, record, epochs)
            del self._live[record.trial.number]
            self._logged(record.trial.number, live.run_id)
        elif epochs:
            self._tracker.epochs(live.run_id, epochs)

    def _logged(self, trial: int, run_id: str) -> None:
        self._news.put(partial(self._mark, trial, run_id))

    @property
    def _beginning(self) -> bool:
        """Whether to start runs: not shortly after a failure, nor when the study is being stopped."""
        return not self._abandoned and time.monotonic() >= self._down_until

    def _close(self) -> None:
        for run_id in [*self._end_live(), *self._given_up]:
            with contextlib.suppress(TrackingFailed):
                self._tracker.kill(run_id)
        self._given_up.clear()

    def _end_live(self) -> list[str]:
        """Write no more to the live runs; returns their ids."""
        started = {n: live.run_id for n, live in list(self._live.items()) if live.run_id}
        for trial in started:
            del self._live[trial]
        return list(started.values())


def relocate_studies(
    names: Sequence[str],
    tracking_uri: str,
    say: Callable[[str], None],
    root: Path = Path("mlruns"),
) -> None:
    """Correct the places of artifacts and models in MLflow's database after the folder was moved.

    Raises:
        StoreError: the artifacts are not here, or MLflow's store cannot be opened.
    """
    artifacts = root / "artifacts"
    if not artifacts.is_dir():
        raise StoreError(f"--moved: no folder {artifacts} here; run this where mlruns is now")
    for name in names:
        corrected = relocate_study(tracking_uri, name, artifacts)
        say(
            f"{name}: {counted(corrected, 'place')} corrected"
            if corrected
            else f"{name}: not moved"
        )


def sync_studies(
    names: Sequence[str], storage: str, tracking_uri: str, say: Callable[[str], None]
) -> bool:
    """Log what is not yet logged of several studies; one that cannot be logged is skipped.

    Returns:
        Whether everything is logged.

    Raises:
        StoreError: MLflow's store cannot be opened.
    """
    ready_store(tracking_uri)
    whole, skipped = True, list[str]()
    for name in names:
        try:
            whole &= sync_study(name, storage, tracking_uri, say)
        except StoreError as error:  # usually another process runs it, and logs it
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
    """Log the trials of a study that are not yet completely logged, or whose runs MLflow has lost.

    Args:
        name: name of the study.
        storage: URL of Optuna's database.
        tracking_uri: MLflow tracking URI.
        say: prints what was done.
        root: folder for artifacts if MLflow's store is a local database.

    Returns:
        Whether everything is logged.

    Raises:
        StoreError: the study or a store does not exist, or another process runs the study.
        Interrupted: SIGINT or SIGTERM; what was logged is marked.
    """
    store, patience = load_study(storage, name), Patience.of_environment(say)
    with (
        Signals() as signals,
        lock_study(storage, name),
        mlflow_settings(),  # once for all threads: see `run_study`
        Background() as background,
    ):
        record = store.record(trials=False)
        if record.data is None:
            say(f"{name}: no trials yet")
            return True
        tags = {"normsweep.executor": "sync"}
        tracked = TrackedStudy.of(record, storage_id(storage), tags)
        tracker = Tracker(tracking_uri, tracked, root / "artifacts")
        with TrialLogger(store, tracker, record.data, say, background) as logger:
            with signals.waiting():
                lost = _unmark_lost(store, tracker, background)
                models = _unmark_lost_models(store, tracker, background)
            if lost:
                say(f"{name}: MLflow has lost the runs of {counted(lost, 'trial')}")
            if models:
                say(
                    f"{name}: MLflow has lost the models of {', '.join(map(record.sweep.label, models))}"
                )
            missing = logger.not_yet_logged()
            left = logger.log_rest(signals, patience)
        say(
            f"{name}: logged {len(missing) - len(left)} of {len(missing)} trials that were not yet logged"
        )
        if (missing or models) and store.published is not None:
            say(f"{name}: report and models are logged by running the study's command again:")
            say(f"  {Commands(record, storage, tracking_uri).study()}")
        return not (left or models)


def _unmark_lost_models(store: StudyStore, tracker: Tracker, background: Background) -> list[str]:
    """Mark the models that this MLflow store no longer has as lost; returns their arms."""
    known = store.record(trials=False).models
    logged = {arm: model for arm, model in known.items() if model.logged_in(tracker.store_id)}
    there = {
        arm: background.call(lambda model=model: tracker.has_model(model.model_id))
        for arm, model in logged.items()
    }
    lost = [arm for arm, found in there.items() if not found]
    for arm in lost:
        store.note_model(arm, logged[arm].lost)
    return lost


def _unmark_lost(store: StudyStore, tracker: Tracker, background: Background) -> int:
    """Unmark the trials that were logged to this MLflow store, which has their runs no more; returns how many."""
    logged = {r.run_id: r.trial.number for r in store.trials() if r.logged_in(tracker.store_id)}
    lost = background.call(lambda: tracker.lost(logged)) if logged else set[str]()
    for run_id in lost:
        store.note_run(logged[run_id], "", tracker.store_id)
    return len(lost)
