"""`Processes`: long-lived worker processes; one that crashes or hangs costs its own trial only."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from normsweep.errors import StudyStopped
from normsweep.execution.messages import Begun, Call, Raised, Reply, Returned, Setup, Train
from normsweep.execution.protocol import Event
from normsweep.spec import Epoch, Result, Status, Trial
from normsweep.training import Device, Finished, environment

__all__ = ["Processes"]

Inbox = queue.SimpleQueue[tuple["_Worker", Any]]

TICK = 0.2
"""Seconds after which a wait looks up, so that a signal's handler gets its turn."""


class Processes:
    """One worker process, replaced when it is lost, with a time limit for each trial."""

    slots = 1
    blocks = False

    def __init__(
        self,
        data_root: Path,
        device: Device,
        threads: int,
        trial_timeout: float | None = None,
        *,
        warm: bool = True,
        asks: bool = False,
    ) -> None:
        """Start the worker at once, so that its imports overlap with the driver's.

        Args:
            data_root: folder of the datasets, by digest.
            device: `auto`, `cpu` or `gpu`.
            threads: threads of the backend within one operation.
            trial_timeout: seconds after which a trial is killed.
            warm: whether workers import the backend before they are given work.
            asks: whether a trial waits for `reply` after each epoch.
        """
        self._setup = Setup(data_root, warm, asks)
        self._environment = {**_without_secrets(), **environment(device, threads)}
        self._timeout = trial_timeout
        self._inbox: Inbox = queue.SimpleQueue()
        self._lost: list[Finished] = []
        self._worker: _Worker | None = self._start()

    def submit(self, trial: Trial, keep_from: float | None = None) -> None:
        """Hand a trial to the worker; a lost one is replaced first."""
        worker = self._ready()
        worker.job = _Job(trial)
        worker.send(Train(trial, keep_from))

    def poll(self, timeout: float) -> list[Event]:
        """What the worker said, and what became of a trial whose time is up or worker is gone."""
        events: list[Event] = [*self._lost]
        self._lost.clear()
        deadline = time.monotonic() + (0 if events else timeout)
        while True:
            for worker, message in self._messages(deadline):
                events += self._event(worker, message)
            events += self._timed_out()
            if events or time.monotonic() >= deadline:
                return events

    def reply(self, trial: int, go_on: bool) -> None:
        """Pass the answer on."""
        if self._worker is not None:
            self._worker.send(Reply(go_on))

    def cancel(self, trial: int) -> None:
        """Kill the worker that runs the trial."""
        worker = self._worker
        if worker is not None and worker.job is not None and worker.job.trial.number == trial:
            self._lost.append(self._lose(worker, Status.INTERRUPTED, ""))

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run the function in the worker, between trials."""
        worker = self._ready()
        worker.send(Call(function, args, kwargs))
        while True:
            for sender, message in self._messages(time.monotonic() + TICK):
                if sender is not worker:
                    continue
                match message:
                    case Returned(value):
                        return value
                    case Raised(error):
                        raise error
                    case None:
                        self._worker = None
                        raise StudyStopped(f"the worker process ended: {worker.last_words()}")

    def close(self) -> None:
        """Kill what still runs."""
        if self._worker is not None:
            self._worker.kill()
            self._worker = None

    def _ready(self) -> _Worker:
        if self._worker is None or self._worker.ended:
            self._worker = self._start()
        return self._worker

    def _start(self) -> _Worker:
        worker = _Worker(self._environment, self._inbox)
        worker.send(self._setup)
        return worker

    def _messages(self, deadline: float) -> list[tuple[_Worker, Any]]:
        """All messages that are there, waiting for the first until `deadline`, in short steps."""
        try:
            first = self._inbox.get(timeout=max(0.0, min(TICK, deadline - time.monotonic())))
        except queue.Empty:
            return []
        rest = (self._inbox.get() for _ in range(self._inbox.qsize()))
        return [first, *rest]

    def _event(self, worker: _Worker, message: Any) -> list[Event]:
        if worker is not self._worker or worker.job is None:
            if message is None and worker is self._worker:
                self._worker = None
            return []
        match message:
            case Begun():
                worker.job.begun = time.monotonic()
            case Epoch():
                worker.job.curve.append(message)
                return [message]
            case Finished():
                worker.job = None
                return [message]
            case None:
                return [self._lose(worker, Status.CRASHED, worker.last_words())]
        return []

    def _timed_out(self) -> list[Event]:
        worker = self._worker
        if worker is None or worker.job is None or self._timeout is None or not worker.job.begun:
            return []
        if time.monotonic() - worker.job.begun <= self._timeout:
            return []
        return [
            self._lose(worker, Status.TIMED_OUT, f"exceeded {self._timeout:g} s and was killed")
        ]

    def _lose(self, worker: _Worker, status: Status, error: str) -> Finished:
        """Kill the worker; its trial ends with what it had reported."""
        assert worker.job is not None
        job, self._worker = worker.job, None
        worker.kill()
        seconds = time.time() - job.started
        curve = tuple(job.curve)
        return Finished(
            Result(
                job.trial.number, status, curve, seconds=seconds, started=job.started, error=error
            )
        )


def _without_secrets() -> dict[str, str]:
    """Our environment without addresses and passwords of stores: workers open none."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PG", "MLFLOW_TRACKING_")) and name != "OPTUNA_STORAGE"
    }


class _Job:
    """The trial that a worker is at."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.curve: list[Epoch] = []
        self.started = time.time()
        self.begun = 0.0
        """Monotonic time at which the worker took it up; 0 before."""


class _Worker:
    """A process, the thread that reads from it, and the file that takes what it prints."""

    def __init__(self, env: dict[str, str], inbox: Inbox) -> None:
        self.job: _Job | None = None
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115 (as long as the worker lives)
        # A session of its own: Ctrl-C in the terminal is the driver's to handle.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "normsweep.execution.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._printed,
            env=env,
            start_new_session=True,
        )
        threading.Thread(target=self._read, args=(inbox,), daemon=True).start()

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def send(self, message: Any) -> None:
        """Write a message; that the process is gone is told by its last message, None."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ValueError):
            pickle.dump(message, self._process.stdin)
            self._process.stdin.flush()

    def kill(self) -> None:
        """End the process and whatever it started."""
        if not self.ended:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def last_words(self) -> str:
        """How the process ended, and the end of what it printed."""
        try:
            code = self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:  # alive, but what it says cannot be read
            self.kill()
            code = self._process.wait()
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        self._printed.seek(0)
        printed = self._printed.read().decode(errors="replace").strip()
        return f"{how}\n{printed[-1500:]}".strip()

    def _read(self, inbox: Inbox) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            while True:
                try:
                    inbox.put((self, pickle.load(stream)))
                except Exception:  # the end of the stream, in the middle of a message or not
                    inbox.put((self, None))
                    return
