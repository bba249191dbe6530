"""`Processes`: long-lived worker processes; a crash or hang only affects the trial that caused it."""

from __future__ import annotations

import os
import queue
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from normsweep.errors import StudyStopped
from normsweep.executors.protocol import (
    Begun,
    ByItself,
    Call,
    Event,
    Raised,
    Reply,
    Returned,
    Train,
    WorkerOptions,
    stack_kind,
)
from normsweep.executors.worker_handle import (
    Inbox,
    Job,
    Worker,
    is_free,
    kill_workers,
    worker_environments,
)
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
LOST_TOGETHER = "its worker was lost with"
"""How the error begins of trials that were trained together when their worker was lost."""


class Processes:
    """Worker processes in parallel, replaced when lost, with time and memory limits per trial."""

    blocks = False

    def __init__(self, options: WorkerOptions, jobs: int = 1) -> None:
        """Start `jobs` workers at once, so that their imports overlap with the driver's."""
        self._options = options
        settings = environment(options.device, options.threads)
        shared = {**without_secrets(os.environ), **settings}
        self._environments = [
            {**shared, **own} for own in worker_environments(options.device, jobs)
        ]
        self._inbox: Inbox = queue.SimpleQueue()
        self._pending: list[Event] = []
        self._waiting: deque[Train] = deque()
        """Trials of stacks for which no worker has room at the moment."""
        self._apart: set[str] = set()
        """Lineages of trials that were trained together when their worker was lost: then one by one."""
        self._by_itself: set[tuple[object, ...]] = set()
        """Kinds of trials that cannot be trained in stacks, as a worker found out."""
        self._workers: list[Worker | None] = [self._start(slot) for slot in range(jobs)]

    @property
    def free(self) -> bool:
        """Whether another trial can be started."""
        running = (job.trial for _, job in self._busy())
        waiting = (message.trial for message in self._waiting)
        return is_free((*running, *waiting), len(self._workers), self._options.stack)

    def provide(self, digest: str) -> None:
        """Nothing to do: workers read the data folder."""

    def submit(
        self, trial: Trial, policy: CheckpointPolicy | None = None, start: Snapshot | None = None
    ) -> None:
        """Send a trial to a worker with room for it; a lost one is replaced first."""
        message = Train(trial, policy, start)
        self._waiting.append(message)
        try:
            self._assign()
        except BaseException:  # the caller reports the trial as failed, so it must not run later
            if message in self._waiting:
                self._waiting.remove(message)
            raise

    def _assign(self) -> None:
        """Send waiting trials to the workers, as far as there is room."""
        for message in list(self._waiting):
            trial = message.trial
            alone = trial.lineage in self._apart or stack_kind(trial) in self._by_itself
            worker = self._worker_for(trial, alone)
            if worker is None:
                continue
            self._waiting.remove(message)
            if not worker.jobs:
                start = LATER_START if worker.responded else FIRST_START
                worker.due = time.monotonic() + start
            worker.jobs.add(Job(trial, message), alone)
            worker.send(message)

    def _worker_for(self, trial: Trial, alone: bool) -> Worker | None:
        """The worker with room that has most trials like this one, or else the fewest; started if necessary."""
        workers = [w for w in self._live() if w.jobs.room(trial, alone)]
        return max(workers, key=lambda w: (w.jobs.alike(trial), -len(w.jobs)), default=None)

    def _live(self) -> Iterator[Worker]:
        """The workers; those that ended without a trial, or were lost, are replaced."""
        for slot, worker in enumerate(self._workers):
            if worker is not None and not worker.jobs and worker.ended:
                self._discard(worker)
                worker = None
            if worker is None:
                worker = self._workers[slot] = self._start(slot)
            yield worker

    def poll(self, timeout: float) -> list[Event]:
        """The workers' events, and the results of trials that exceeded a limit or lost their worker."""
        events, self._pending = self._pending, []
        deadline = time.monotonic() + (0 if events else timeout)
        while True:
            self._assign()
            for worker, message in self._messages(deadline):
                events += self._event(worker, message)
            events += self._enforce_limits()
            if events or time.monotonic() >= deadline:
                return events

    def reply(self, trial: int, go_on: bool) -> None:
        """Send the reply to the worker, if trials wait for one."""
        if self._options.awaits_reply:
            for worker, _ in self._running(trial):
                worker.send(Reply(trial, go_on))

    def cancel(self, trial: int) -> None:
        """Kill the worker that runs the trial."""
        for message in [m for m in self._waiting if m.trial.number == trial]:
            self._waiting.remove(message)
            self._pending.append(Finished(Result(trial, Status.INTERRUPTED)))
        for worker, _ in list(self._running(trial)):
            self._pending += self._end(worker)

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run the function in an idle worker, or else in the one with fewest trials; limits of trials are still enforced.

        A busy worker runs it between the epochs of a stack, or when its trial by itself has ended.

        Raises:
            StudyStopped: the worker's trial waits for a reply, or the call failed, timed out or lost its worker.
        """
        worker, deadline = (
            min(self._live(), key=lambda w: len(w.jobs)),
            time.monotonic() + CALL_TIMEOUT,
        )
        worker.send(Call(function, args, kwargs))
        try:
            answer = self._answer(worker, deadline)
        except BaseException:  # a late answer must not reach the next call
            if worker in self._workers:
                self._pending += self._end(worker)
            raise
        if isinstance(answer, Raised):
            raise answer.error
        return answer.value

    def _answer(self, worker: Worker, deadline: float) -> Returned | Raised:
        """Wait for a worker's answer to a call, in short steps, so that signal handlers can run."""
        while time.monotonic() < deadline:
            answers: list[Returned | Raised] = []
            for sender, message in self._messages(time.monotonic() + TICK):
                if sender is worker and message is None and not answers:
                    ended = StudyStopped(f"the worker process ended: {worker.exit_report()}")
                    answers.append(Raised(ended))
                if sender is worker and isinstance(message, Returned | Raised):
                    answers.append(message)
                else:
                    self._pending += self._event(sender, message)
            if answers:
                return answers[0]
            self._pending += self._enforce_limits()
        raise StudyStopped(f"a worker did not answer within {CALL_TIMEOUT:g} s and was killed")

    def close(self) -> None:
        """Kill all workers."""
        kill_workers(worker for worker in self._workers if worker is not None)
        self._workers = [None] * len(self._workers)
        self._waiting.clear()

    def _start(self, slot: int) -> Worker:
        worker = Worker(self._environments[slot], self._inbox, self._options.stack)
        worker.send(self._options)
        return worker

    def _busy(self) -> Iterator[tuple[Worker, Job]]:
        for worker in list(self._workers):
            if worker is not None:
                yield from ((worker, job) for job in worker.jobs)

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
        match message:
            case Begun(trial):
                worker.jobs[trial].began = time.monotonic()
            case ByItself(trial, back):
                self._by_itself.add(stack_kind(worker.jobs[trial].trial))
                self._waiting.extendleft(worker.jobs[each].message for each in reversed(back))
                for each in back:
                    worker.jobs.remove(each)
                worker.jobs.alone = len(worker.jobs) == 1
            case Epoch():
                worker.jobs[message.trial].curve.append(message)
                return [message]
            case Snapshot():
                return [message]
            case Finished():
                worker.jobs.remove(message.result.trial)
                worker.due = time.monotonic() + LATER_START
                return [message]
            case None:
                return self._lose(worker, worker.exit_report())
        return []

    def _enforce_limits(self) -> list[Event]:
        timeout, memory = self._options.trial_timeout, self._options.trial_memory
        now, events = time.monotonic(), list[Event]()
        for worker in {w: None for w, _ in self._busy()}:
            clocks = worker.clocks
            slow = [job for job in clocks if timeout is not None and now - clocks[job] > timeout]
            if slow:
                why = f"exceeded {timeout:g} s and was killed"
                ends = {job.trial.number: (Status.TIMED_OUT, why) for job in slow}
                events += self._end(worker, ends)
            elif memory is not None and worker.memory > memory * GIB:
                why = (
                    f"used {worker.memory / GIB:.2f} GiB, more than trial_memory = "
                    f"{memory:g}, and was killed"
                )
                events += self._lose(worker, why)
        return events

    def _lose(self, worker: Worker, why: str) -> list[Event]:
        """A worker is lost by one of its trials; if it had several, they are to be trained one by one."""
        if len(worker.jobs) == 1:
            return self._end(
                worker, {job.trial.number: (Status.CRASHED, why) for job in worker.jobs}
            )
        self._apart.update(job.trial.lineage for job in worker.jobs)
        why = f"{LOST_TOGETHER} {len(worker.jobs)} trials: {why}"
        ends = {job.trial.number: (Status.INTERRUPTED, why) for job in worker.jobs}
        return self._end(worker, ends)

    def _end(
        self, worker: Worker, ends: Mapping[int, tuple[Status, str]] | None = None
    ) -> list[Event]:
        """Kill a worker; its trials end with the epochs they reported, interrupted if nothing else is said."""
        jobs = list(worker.jobs)
        self._discard(worker)
        events: list[Event] = []
        for job in jobs:
            number = job.trial.number
            status, error = (ends or {}).get(number, (Status.INTERRUPTED, ""))
            seconds, curve = time.time() - job.started, tuple(job.curve)
            result = Result(
                number, status, curve, seconds=seconds, started=job.started, error=error
            )
            events.append(Finished(result))
        return events

    def _discard(self, worker: Worker) -> None:
        """Kill a worker and all processes it started."""
        worker.kill()
        self._workers[self._workers.index(worker)] = None
