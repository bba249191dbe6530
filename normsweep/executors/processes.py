"""`Processes`: long-lived worker processes; a crash or hang only affects the trial that caused it."""

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
from normsweep.executors.worker_handle import Inbox, Job, Worker, kill_workers, worker_environments
from normsweep.sweep.trial import Epoch, Result, Status, Trial
from normsweep.text import without_secrets
from normsweep.training.engine import Finished
from normsweep.training.reproducibility import environment
from normsweep.training.snapshot import CheckpointPolicy, Snapshot

__all__ = ["Processes"]

TICK = 0.2
"""Seconds that one wait lasts at most, so that signal handlers can run."""

FIRST_START, LATER_START = 300.0, 10.0
"""Seconds after which the time limit of a worker's first and of a later trial begins at the latest."""

CALL_TIMEOUT = 3600.0
"""Seconds that a call may take; the longest ones train an epoch or wait for data."""

GIB = 2**30


class Processes:
    """Worker processes in parallel, replaced when lost, with time and memory limits per trial."""

    blocks = False

    def __init__(self, options: WorkerOptions, jobs: int = 1) -> None:
        """Start `jobs` workers at once, so that their imports overlap with the driver's."""
        self.slots, self._options = jobs, options
        settings = environment(options.device, options.threads)
        shared = {**without_secrets(os.environ), **settings}
        self._environments = [
            {**shared, **own} for own in worker_environments(options.device, jobs)
        ]
        self._inbox: Inbox = queue.SimpleQueue()
        self._pending: list[Event] = []
        self._workers: list[Worker | None] = [self._start(slot) for slot in range(jobs)]

    def provide(self, digest: str) -> None:
        """Nothing to do: workers read the data folder."""

    def submit(
        self, trial: Trial, policy: CheckpointPolicy | None = None, start: Snapshot | None = None
    ) -> None:
        """Send a trial to an idle worker; a lost one is replaced first."""
        worker = self._idle_worker()
        worker.job = Job(
            trial, time.monotonic() + (LATER_START if worker.responded else FIRST_START)
        )
        worker.send(Train(trial, policy, start))

    def poll(self, timeout: float) -> list[Event]:
        """The workers' events, and the results of trials that exceeded a limit or lost their worker."""
        events, self._pending = self._pending, []
        deadline = time.monotonic() + (0 if events else timeout)
        while True:
            for worker, message in self._messages(deadline):
                events += self._event(worker, message)
            events += self._enforce_limits()
            if events or time.monotonic() >= deadline:
                return events

    def reply(self, trial: int, go_on: bool) -> None:
        """Send the reply to the worker, if trials wait for one."""
        if self._options.awaits_reply:
            for worker, _ in self._running(trial):
                worker.send(Reply(go_on))

    def cancel(self, trial: int) -> None:
        """Kill the worker that runs the trial."""
        for worker, job in self._running(trial):
            self._pending.append(self._end_trial(worker, job, Status.INTERRUPTED, ""))

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run the function in an idle worker; limits of running trials are still enforced."""
        worker, deadline = self._idle_worker(), time.monotonic() + CALL_TIMEOUT
        worker.send(Call(function, args, kwargs))
        try:
            answer = self._answer(worker, deadline)
        except BaseException:  # a late answer must not reach the next call
            self._discard(worker)
            raise
        if isinstance(answer, Raised):
            raise answer.error
        return answer.value

    def _answer(self, worker: Worker, deadline: float) -> Returned | Raised:
        """Wait for a worker's answer to a call, in short steps, so that signal handlers can run."""
        while time.monotonic() < deadline:
            answers: list[Returned | Raised] = []
            for sender, message in self._messages(time.monotonic() + TICK):
                if sender is not worker:
                    self._pending += self._event(sender, message)
                elif message is None and not answers:
                    raise StudyStopped(f"the worker process ended: {worker.exit_report()}")
                elif isinstance(message, Returned | Raised):
                    answers.append(message)
            if answers:
                return answers[0]
            self._pending += self._enforce_limits()
        raise StudyStopped(f"a worker did not answer within {CALL_TIMEOUT:g} s and was killed")

    def close(self) -> None:
        """Kill all workers."""
        kill_workers(worker for worker in self._workers if worker is not None)
        self._workers = [None] * self.slots

    def _idle_worker(self) -> Worker:
        """An idle worker, started if necessary."""
        for slot, worker in enumerate(self._workers):
            if worker is not None and worker.job is None and worker.ended:
                self._discard(worker)
                worker = None
            if worker is None:
                worker = self._workers[slot] = self._start(slot)
            if worker.job is None:
                return worker
        raise RuntimeError(f"all {self.slots} workers are busy")

    def _start(self, slot: int) -> Worker:
        worker = Worker(self._environments[slot], self._inbox)
        worker.send(self._options)
        return worker

    def _busy(self) -> Iterator[tuple[Worker, Job]]:
        for worker in list(self._workers):
            if worker is not None and worker.job is not None:
                yield worker, worker.job

    def _running(self, trial: int) -> Iterator[tuple[Worker, Job]]:
        return ((w, job) for w, job in self._busy() if job.trial.number == trial)

    def _messages(self, deadline: float) -> list[tuple[Worker, Any]]:
        """All available messages; waits a short while for the first one, at most until `deadline`."""
        try:
            first = self._inbox.get(timeout=max(0.0, min(TICK, deadline - time.monotonic())))
        except queue.Empty:
            return []
        rest = (self._inbox.get() for _ in range(self._inbox.qsize()))
        return [first, *rest]

    def _event(self, worker: Worker, message: Any) -> list[Event]:
        if worker not in self._workers:
            return []
        worker.responded = True
        if worker.job is None:
            if message is None:
                self._discard(worker)
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
                return [self._end_trial(worker, worker.job, Status.CRASHED, worker.exit_report())]
        return []

    def _enforce_limits(self) -> list[Event]:
        timeout, memory = self._options.trial_timeout, self._options.trial_memory
        events: list[Event] = []
        for worker, job in self._busy():
            if timeout is not None and time.monotonic() - job.clock > timeout:
                why = f"exceeded {timeout:g} s and was killed"
                events.append(self._end_trial(worker, job, Status.TIMED_OUT, why))
            elif memory is not None and worker.memory > memory * GIB:
                why = (
                    f"used {worker.memory / GIB:.2f} GiB, more than trial_memory = "
                    f"{memory:g}, and was killed"
                )
                events.append(self._end_trial(worker, job, Status.CRASHED, why))
        return events

    def _end_trial(self, worker: Worker, job: Job, status: Status, error: str) -> Finished:
        """Kill the worker; its trial ends with the epochs it reported."""
        self._discard(worker)
        seconds = time.time() - job.started
        curve = tuple(job.curve)
        return Finished(
            Result(
                job.trial.number, status, curve, seconds=seconds, started=job.started, error=error
            )
        )

    def _discard(self, worker: Worker) -> None:
        """Kill a worker and all processes it started."""
        worker.kill()
        self._workers[self._workers.index(worker)] = None
