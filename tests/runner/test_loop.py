"""What becomes of what executors say, with an executor that says what it is told to."""

from __future__ import annotations

import contextlib
import io
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from rich.console import Console

from normsweep.console.live_display import make_display
from normsweep.console.screen import screen
from normsweep.errors import Interrupted
from normsweep.executors.protocol import Event
from normsweep.runner.checkpoints import Checkpoints
from normsweep.runner.delivery import TrialLogger
from normsweep.runner.interrupts import Background, Patience, Signals
from normsweep.runner.loop import PhaseContext, run_phase
from normsweep.search.search_phase import Search
from normsweep.store.locks import StudyLock
from normsweep.store.storage import open_study
from normsweep.sweep.loading import load_sweep
from normsweep.sweep.study_record import DataFacts
from normsweep.sweep.trial import DataKey, Epoch, Result, Status, Trial
from normsweep.tracking.tracker import TrackedStudy, Tracker
from normsweep.training.engine import Finished
from normsweep.training.snapshot import CheckpointPolicy, Snapshot
from tests import shared

DATA = DataFacts(
    name="digits", source="test", digest="d1", train_images=10, test_images=5,
    classes=10,
)  # fmt: skip
SAID = "\x1b]0;title\x07\x1b[31mcannot open postgresql://me:S3cret@host/db\x1b[0m\u202e"


class Crashing:
    """An executor of one trial at a time, which crashes with a text."""

    blocks = False

    def __init__(self, text: str) -> None:
        self._text, self._events = text, list[Event]()
        self.free = True

    def submit(
        self, trial: Trial, policy: CheckpointPolicy | None = None, start: Snapshot | None = None
    ) -> None:
        self._tell(Finished(Result(trial.number, Status.CRASHED, error=self._text)))

    def _tell(self, *events: Event) -> None:
        """What the next poll returns of a trial that begins now."""
        self.free = False
        self._events += events

    def poll(self, timeout: float) -> list[Event]:
        events, self._events = self._events, []
        self.free = self.free or any(isinstance(event, Finished) for event in events)
        return events

    def reply(self, trial: int, go_on: bool) -> None: ...
    def cancel(self, trial: int) -> None: ...
    def close(self) -> None: ...
    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any: ...


class Losing(Crashing):
    """One whose workers are lost when a trial has told its last epoch, and nothing of its end."""

    def __init__(self) -> None:
        super().__init__("killed")
        self.trained = list[int]()

    def submit(
        self, trial: Trial, policy: CheckpointPolicy | None = None, start: Snapshot | None = None
    ) -> None:
        self.trained.append(trial.number)
        told = [Epoch(trial.number, e + 1, 1.0, 0.5, 1.0, 0.5, 1.0) for e in range(trial.epochs)]
        lost = Result(trial.number, Status.CRASHED, curve=tuple(told), error="killed")
        self._tell(*told, Finished(lost))


class Hanging(Crashing):
    """One whose trials end well, and whose calls are answered late."""

    def submit(
        self, trial: Trial, policy: CheckpointPolicy | None = None, start: Snapshot | None = None
    ) -> None:
        curve = tuple(
            Epoch(trial.number, e + 1, 1.0, 0.5, 1.0, 0.5, 1.0) for e in range(trial.epochs)
        )
        machine = {"device": "none"}
        ended = Result(trial.number, Status.COMPLETE, curve=curve, chance=0.1, machine=machine)
        self._tell(*curve, Finished(ended))

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        time.sleep(20)


@pytest.fixture
def search(tmp_path: Path, sweep_file, parts) -> Search:
    return opened(tmp_path, sweep_file, parts, "execution.retries=0")


def opened(folder: Path, sweep_file, parts, *overrides: str) -> Search:
    sweep = load_sweep(sweep_file, parts, ["search.trials=2", *overrides])
    study = open_study(f"sqlite:///{folder}/optuna.db", sweep.name, sweep)
    study.begin_study(DATA, {})
    return Search(study, sweep, DataKey("digits", "d1", 0.2))


@pytest.fixture
def tracker(tmp_path) -> Tracker:
    shared.place_stores(tmp_path, "mlflow.db")
    study = TrackedStudy("base", "abc")
    return Tracker(f"sqlite:///{tmp_path}/mlflow.db", study, tmp_path / "artifacts")


def run_with(executor: Crashing, search: Search, tracker: Tracker, folder: Path) -> Console:
    """Run a search to its end; what a person was told."""
    console = Console(file=io.StringIO(), width=300)
    with (
        screen(console),
        make_display(console) as display,
        Signals() as signals,
        Background() as background,
    ):
        delivery = TrialLogger(search.store, tracker, DATA, display.note, background)
        where = Result(-1, Status.INTERRUPTED, chance=0.1, machine={"device": "none"})
        checkpoints = Checkpoints(folder, 1.0)
        context = PhaseContext(executor, delivery, checkpoints, display, signals, StudyLock())
        run_phase(search, context, where)
    return console


def test_what_a_worker_said_is_harmless_before_it_is_recorded_or_shown(search, tracker, tmp_path):
    console = run_with(Crashing(SAID), search, tracker, tmp_path)
    shown = "\\x1b]0;title\\x07cannot open postgresql://me:***@host/db\\u202e"
    assert [r.result.error for r in search.records()] == [shown, shown]
    runs = MlflowClient(tracker.uri).search_runs([tracker.experiment_id])
    assert {run.data.tags["normsweep.error"] for run in runs} == {shown}
    assert console.file.getvalue().count(shown) == 2  # type: ignore[attr-defined]
    assert not any(b"S3cret" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_the_curve_of_a_trial_whose_end_was_lost_is_no_answer_to_its_retry(
    tracker, tmp_path, sweep_file, parts
):
    search = opened(tmp_path, sweep_file, parts, "execution.retries=1")
    losing = Losing()
    run_with(losing, search, tracker, tmp_path)
    assert len(losing.trained) == len(search.records()) == 4
    assert {r.result.status for r in search.records()} == {Status.CRASHED}


class Gone(Crashing):
    """One whose cluster goes while a trial runs, as soon as `ready` says so."""

    def __init__(self, ready: Callable[[], bool] = lambda: True) -> None:
        super().__init__("gone")
        self._ready = ready

    def submit(
        self, trial: Trial, policy: CheckpointPolicy | None = None, start: Snapshot | None = None
    ) -> None:
        self._tell(Epoch(trial.number, 1, 1.0, 0.5, 1.0, 0.5, 1.0))

    def poll(self, timeout: float) -> list[Event]:
        if self._events or not self._ready():
            return super().poll(timeout)
        raise ConnectionError("the cluster is gone")

    def cancel(self, trial: int) -> None:
        raise ConnectionError("the cluster is gone")


def runs_of(tracker: Tracker) -> list[Run]:
    return MlflowClient(tracker.uri).search_runs([tracker.experiment_id])


def test_what_ran_on_a_cluster_that_is_gone_is_recorded(search, tracker, tmp_path):
    with pytest.raises(ConnectionError):
        run_with(Gone(ready=lambda: bool(runs_of(tracker))), search, tracker, tmp_path)
    (record,) = search.records()
    assert record.result.status is Status.INTERRUPTED
    (run,) = runs_of(tracker)
    assert run.info.status == "KILLED"


def test_a_trial_whose_cluster_goes_before_mlflow_has_its_run_is_logged_later(
    search, tracker, tmp_path
):
    with pytest.raises(ConnectionError):
        run_with(Gone(), search, tracker, tmp_path)
    with Signals() as signals, Background() as background:
        logger = TrialLogger(search.store, tracker, DATA, [].append, background)
        assert logger.log_rest(signals, Patience.none()) == []
    (record,) = search.records()
    (run,) = [run for run in runs_of(tracker) if run.info.run_id == record.run_id]
    assert run.info.status == "KILLED"


@pytest.mark.usefixtures("interruptible")
def test_a_first_interrupt_is_taken_while_a_call_waits(tracker, tmp_path, sweep_file, parts):
    one = [
        "search.space.learning_rate=0.001",
        "search.space.optimizer=adam",
        "search.space.epochs=1",
    ]
    run_with(Hanging("late"), opened(tmp_path, sweep_file, parts, *one), tracker, tmp_path)
    # The same trials again: whether they are answered from the record depends on a call.
    more = opened(tmp_path, sweep_file, parts, *one, "search.trials=4")
    main, began = threading.main_thread().ident, time.monotonic()
    threading.Timer(2.0, signal.pthread_kill, [main, signal.SIGINT]).start()
    with pytest.raises(Interrupted):
        run_with(Hanging("late"), more, tracker, tmp_path)
    assert time.monotonic() - began < 15
    assert [r.result.status for r in more.records()][2:] == [Status.INTERRUPTED]


def untold(search: Search) -> list[int]:
    """Two trials that end; their numbers."""
    numbers = []
    for _ in range(2):
        trial = search.ask(set())
        assert trial is not None
        search.tell(Result(trial.number, Status.CRASHED, error="RuntimeError: no"))
        numbers.append(trial.number)
    return numbers


@pytest.fixture
def writing(tracker, tmp_path) -> Iterator[sqlite3.Connection]:
    """Another one that writes to MLflow's database, which has to wait for its `rollback`."""
    file = tmp_path / "mlflow.db"
    with contextlib.closing(sqlite3.connect(file, check_same_thread=False)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield connection


def test_what_mlflow_lacks_is_made_up_for_while_the_study_goes_on(search, tracker, writing):
    numbers, said = untold(search), list[str]()
    with Signals() as signals, Background() as background:
        delivery = TrialLogger(search.store, tracker, DATA, said.append, background)
        delivery.log_earlier()
        delivery.collect()
        assert not any(record.run_id for record in search.records())
        writing.rollback()
        assert delivery.log_rest(signals, Patience.none()) == []
    assert said == []
    runs = MlflowClient(tracker.uri).search_runs([tracker.experiment_id])
    marks = {r.trial.number: r.run_id for r in search.records()}
    assert {int(r.data.tags["normsweep.trial"]): r.info.run_id for r in runs} == marks
    assert sorted(marks) == numbers
    assert len(runs) == 2


@pytest.mark.usefixtures("interruptible")
def test_what_waits_for_mlflow_is_not_begun_when_the_study_is_stopped(search, tracker, writing):
    untold(search)
    threads = set(threading.enumerate())
    with Signals() as signals, Background() as background:
        delivery = TrialLogger(search.store, tracker, DATA, [].append, background)
        background.put(lambda: tracker.note("kept waiting"))
        delivery.log_earlier()
        main = threading.main_thread().ident
        threading.Timer(0.5, signal.pthread_kill, [main, signal.SIGINT]).start()
        threading.Timer(1.0, writing.rollback).start()
        with pytest.raises(Interrupted), delivery:
            delivery.log_rest(signals, Patience.none())
    for thread in set(threading.enumerate()) - threads:
        thread.join(10)
        assert not thread.is_alive()
    assert not any(record.run_id for record in search.records())
    assert not MlflowClient(tracker.uri).search_runs([tracker.experiment_id])
