"""`Processes`: long-lived worker processes; one that crashes or hangs costs its own trial only."""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Callable, Iterator
from typing import Any

from normsweep.errors import StudyStopped
from normsweep.executors.protocol import (
    Begun,
    Call,
    Event,
    Raised,
    Reply,
    Returned,
    Train,
    WorkerOptions,
)
from normsweep.executors.worker_handle import Inbox, Job, Worker, kill, seats
from normsweep.sweep.trial import Epoch, Result, Status, Trial
from normsweep.text import without_secrets
from normsweep.training.engine import Finished
from normsweep.training.reproducibility import environment
from normsweep.training.snapshot import CheckpointPolicy, Snapshot

__all__ = ["Processes"]

TICK = 0.2
"""Seconds after which a wait looks up, so that a signal's handler gets its turn."""


STARTING, WAKING = 300.0, 10.0
"""Seconds that a worker has to take up a trial, the first one and a later one."""


CALL = 3600.0
"""Seconds that a call may take; the longest ones train an epoch, or load data that is not here yet."""


GIB = 2**30


class Processes:
    """Worker processes side by side, replaced when lost, with limits of time and memory a trial."""

    blocks = False

    def __init__(self, options: WorkerOptions, jobs: int = 1) -> None:
        """Start `jobs` workers at once, so that their imports overlap with the driver's."""
        self.slots, self._options = jobs, options
        settings = environment(options.device, options.threads)
        shared = {**without_secrets(os.environ), **settings}
        self._seats = [{**shared, **own} for own in seats(options.device, jobs)]
        self._inbox: Inbox = queue.SimpleQueue()
        self._pending: list[Event] = []
        self._workers: list[Worker | None] = [self._start(seat) for seat in range(jobs)]

    def provide(self, digest: str) -> None:
        """It is here already: workers read the folder."""

    def submit(
        self, trial: Trial, policy: CheckpointPolicy | None = None, start: Snapshot | None = None
    ) -> None:
        """Hand a trial to a worker that has none; a lost one is replaced first."""
        worker = self._free()
        worker.job = Job(trial, time.monotonic() + (WAKING if worker.spoke else STARTING))
        worker.send(Train(trial, policy, start))

    def poll(self, timeout: float) -> list[Event]:
        """What workers said, and what became of trials whose limits are passed or worker is gone."""
        events, self._pending = self._pending, []
        deadline = time.monotonic() + (0 if events else timeout)
        while True:
            for worker, message in self._messages(deadline):
                events += self._event(worker, message)
            events += self._beyond_limits()
            if events or time.monotonic() >= deadline:
                return events

    def reply(self, trial: int, go_on: bool) -> None:
        """Pass the answer on, where the trial waits for one."""
        if self._options.asks:
            for worker, _ in self._at(trial):
                worker.send(Reply(go_on))

    def cancel(self, trial: int) -> None:
        """Kill the worker that runs the trial."""
        for worker, job in self._at(trial):
            self._pending.append(self._lose(worker, job, Status.INTERRUPTED, ""))

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run the function in a worker that has no trial; limits of the others are kept meanwhile."""
        worker, deadline = self._free(), time.monotonic() + CALL
        worker.send(Call(function, args, kwargs))
        try:
            answer = self._answer(worker, deadline)
        except BaseException:  # what it may still answer is nobody's
            self._dismiss(worker)
            raise
        if isinstance(answer, Raised):
            raise answer.error
        return answer.value

    def _answer(self, worker: Worker, deadline: float) -> Returned | Raised:
        """What a worker answers to a call, waiting in short steps, so that signals get their turn."""
        while time.monotonic() < deadline:
            answers: list[Returned | Raised] = []
            for sender, message in self._messages(time.monotonic() + TICK):
                if sender is not worker:
                    self._pending += self._event(sender, message)
                elif message is None and not answers:
                    raise StudyStopped(f"the worker process ended: {worker.last_words()}")
                elif isinstance(message, Returned | Raised):
                    answers.append(message)
            if answers:
                return answers[0]
            self._pending += self._beyond_limits()
        raise StudyStopped(f"a worker did not answer within {CALL:g} s and was killed")

    def close(self) -> None:
        """Kill what still runs."""
        kill(worker for worker in self._workers if worker is not None)
        self._workers = [None] * self.slots

    def _free(self) -> Worker:
        """A worker without a job."""
        for seat, worker in enumerate(self._workers):
            if worker is not None and worker.job is None and worker.ended:
                self._dismiss(worker)
                worker = None
            if worker is None:
                worker = self._workers[seat] = self._start(seat)
            if worker.job is None:
                return worker
        raise RuntimeError(f"all {self.slots} workers have a trial")

    def _start(self, seat: int) -> Worker:
        worker = Worker(self._seats[seat], self._inbox)
        worker.send(self._options)
        return worker

    def _working(self) -> Iterator[tuple[Worker, Job]]:
        for worker in list(self._workers):
            if worker is not None and worker.job is not None:
                yield worker, worker.job

    def _at(self, trial: int) -> Iterator[tuple[Worker, Job]]:
        return ((w, job) for w, job in self._working() if job.trial.number == trial)

    def _messages(self, deadline: float) -> list[tuple[Worker, Any]]:
        """All messages that are there, waiting for the first until `deadline`, in short steps."""
        try:
            first = self._inbox.get(timeout=max(0.0, min(TICK, deadline - time.monotonic())))
        except queue.Empty:
            return []
        rest = (self._inbox.get() for _ in range(self._inbox.qsize()))
        return [first, *rest]

    def _event(self, worker: Worker, message: Any) -> list[Event]:
        if worker not in self._workers:
            return []
        worker.spoke = True
        if worker.job is None:
            if message is None:
                self._dismiss(worker)
            return []
        match message:
            case Begun():
                worker.job.clock = time.monotonic()
            case Epoch():
                worker.job.curve.append(message)
                return [message]
            case Snapshot():
                return [message]
            case Finished():
                worker.job = None
                return [message]
            case None:
                return [self._lose(worker, worker.job, Status.CRASHED, worker.last_words())]
        return []

    def _beyond_limits(self) -> list[Event]:
        timeout, memory = self._options.trial_timeout, self._options.trial_memory
        events: list[Event] = []
        for worker, job in self._working():
            if timeout is not None and time.monotonic() - job.clock > timeout:
                why = f"exceeded {timeout:g} s and was killed"
                events.append(self._lose(worker, job, Status.TIMED_OUT, why))
            elif memory is not None and worker.memory > memory * GIB:
                why = (
                    f"held {worker.memory / GIB:.2f} GiB, more than trial_memory = "
                    f"{memory:g}, and was killed"
                )
                events.append(self._lose(worker, job, Status.CRASHED, why))
        return events

    def _lose(self, worker: Worker, job: Job, status: Status, error: str) -> Finished:
        """Kill the worker; its trial ends with what it had reported."""
        self._dismiss(worker)
        seconds = time.time() - job.started
        curve = tuple(job.curve)
        return Finished(
            Result(
                job.trial.number, status, curve, seconds=seconds, started=job.started, error=error
            )
        )

    def _dismiss(self, worker: Worker) -> None:
        """Give up a worker: it ends with whatever it started."""
        worker.kill()
        self._workers[self._workers.index(worker)] = None
