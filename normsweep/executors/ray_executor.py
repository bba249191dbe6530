"""`Cluster`: trials on the nodes of a Ray cluster; a lost node only affects its own trials."""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from normsweep.errors import ClusterError, StudyStopped
from normsweep.executors.processes import CALL_TIMEOUT, LOST_TOGETHER
from normsweep.executors.protocol import Event, Raised, Train, WorkerOptions
from normsweep.executors.ray_actor import Supervisor, SupervisorOptions, SupervisorSlot
from normsweep.executors.ray_connection import (
    TrialResources,
    capacity,
    connect,
    gpus_per_trial,
    shortage,
)
from normsweep.executors.worker_handle import Job, is_free
from normsweep.parts.dataset import Dataset
from normsweep.sweep.trial import Result, Status, Trial
from normsweep.text import reason
from normsweep.training.engine import Finished
from normsweep.training.reproducibility import environment
from normsweep.training.snapshot import CheckpointPolicy, Snapshot

__all__ = ["Cluster"]

PATIENCE = 10.0
"""Seconds that a call waits for an idle worker while trials run."""

TICK = 0.2
"""Seconds that one wait lasts at most, so that signal handlers can run."""


class Cluster:
    """Supervisors spread over the cluster's nodes, each with one worker; replaced when lost.

    Trials are queued until a supervisor is idle; one whose node has no capacity yet gets none.
    """

    blocks = False

    def __init__(
        self,
        options: WorkerOptions,
        *,
        address: str | None = None,
        jobs: int | None = None,
        resources: TrialResources | None = None,
    ) -> None:
        """Connect, and start the supervisors.

        Args:
            options: settings of the workers; nodes get their datasets by `provide`.
            address: Ray's address of the cluster; None: start one on this machine.
            jobs: number of parallel trials; None: the capacity of the nodes.
            resources: of each trial; None: one CPU per thread, and one GPU if there are any.

        Raises:
            ClusterError: Ray is not installed, the cluster cannot be reached, or no node has the
                resources of a trial.
        """
        each = resources or TrialResources(options.threads, None)
        self._options = options
        self._ray = connect(address, math.ceil((jobs or 1) * each.cpus))
        each = replace(each, gpus=gpus_per_trial(self._ray, options.device, each))
        most = capacity(self._ray, each)
        if not most:
            message = shortage(self._ray, each)
            self._ray.shutdown()
            raise ClusterError(message)
        count = jobs or most
        settings = environment(options.device, options.threads)
        supervised = SupervisorOptions(options, settings, each.gpus or 0.0)
        remote = self._ray.remote(
            num_cpus=each.cpus, num_gpus=each.gpus, scheduling_strategy="SPREAD"
        )(Supervisor)
        self._create_actor: Callable[[], Any] = lambda: remote.remote(supervised)
        self._data: dict[str, Any] = {}
        self._waiting: deque[tuple[Job, Train]] = deque()
        self._pending: list[Event] = []
        self._apart: set[str] = set()
        """Lineages of trials that were trained together when their supervisor or its worker was lost: then one by one."""
        self._supervisors = [SupervisorSlot(options.stack) for _ in range(count)]
        for slot in self._supervisors:
            self._start(slot)

    @property
    def free(self) -> bool:
        """Whether another trial can be queued."""
        running = (job.trial for slot in self._supervisors for job in slot.jobs)
        waiting = (job.trial for job, _ in self._waiting)
        return is_free((*running, *waiting), len(self._supervisors), self._options.stack)

    def provide(self, digest: str) -> None:
        """Send a dataset to the nodes through Ray's object store, once to each."""
        self._data[digest] = self._ray.put(Dataset.open(self._options.data_root, digest))
        for slot in self._supervisors:
            if slot.actor is not None:
                slot.actor.provide.remote(self._data[digest])

    def submit(
        self, trial: Trial, policy: CheckpointPolicy | None = None, start: Snapshot | None = None
    ) -> None:
        """Queue a trial for the next supervisor with room for it."""
        self._waiting.append((Job(trial), Train(trial, policy, start)))

    def poll(self, timeout: float) -> list[Event]:
        """The supervisors' events, and the results of trials whose supervisor was lost."""
        events, self._pending = self._pending, []
        deadline = time.monotonic() + (0 if events else timeout)
        while True:
            self._assign()
            for slot in self._busy():
                slot.request_events()
            events += self._collect(max(0.0, min(TICK, deadline - time.monotonic())))
            if events or time.monotonic() >= deadline:
                return events

    def reply(self, trial: int, go_on: bool) -> None:
        """Send the reply to the supervisor, if trials wait for one."""
        if self._options.awaits_reply:
            for slot in self._running(trial):
                slot.reply(trial, go_on)

    def cancel(self, trial: int) -> None:
        """Kill the supervisor of the trial, and its worker with it."""
        for waiting in [w for w in self._waiting if w[0].trial.number == trial]:
            self._waiting.remove(waiting)
            self._pending.append(_ended(waiting[0], Status.INTERRUPTED, ""))
        for slot in self._running(trial):
            self._pending += [_ended(job, Status.INTERRUPTED, "") for job in slot.jobs]
            self._discard(slot)

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run the function in an idle worker.

        Raises:
            StudyStopped: every worker is busy, or the call failed, timed out or lost its worker.
        """
        deadline = time.monotonic() + CALL_TIMEOUT
        slot = self._wait_for_idle(deadline)
        try:
            reference = slot.actor.call.remote(function, args, kwargs)
            while not self._ray.wait([reference], timeout=TICK)[0]:
                _check(deadline)
            answer = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            self._discard(slot)
            raise StudyStopped(f"the worker was lost: {reason(error, most=600)}") from None
        except BaseException:  # a late answer must not reach the next call
            self._discard(slot)
            raise
        if isinstance(answer, Raised):
            raise answer.error
        return answer.value

    def _wait_for_idle(self, deadline: float) -> SupervisorSlot:
        """An idle supervisor; waits in short steps until there is one."""
        patience = time.monotonic() + PATIENCE
        while (slot := self._idle()) is None:
            busy = list(self._busy())
            if busy and time.monotonic() > patience:
                raise StudyStopped("all workers of the cluster are busy")
            _check(deadline)
            self._assign()
            for each in busy:
                each.request_events()
            self._pending += self._collect(TICK)
        return slot

    def close(self) -> None:
        """Kill the supervisors and disconnect; a cluster that was started here ends."""
        for slot in self._supervisors:
            with contextlib.suppress(Exception):  # it may be lost with its cluster
                self._discard(slot)
        self._waiting.clear()
        self._ray.shutdown()

    def _start(self, slot: SupervisorSlot) -> None:
        slot.actor = self._create_actor()
        for dataset in self._data.values():
            slot.actor.provide.remote(dataset)
        slot.request_events()

    def _assign(self) -> None:
        """Assign queued trials to supervisors with room for them; lost ones are replaced first."""
        for slot in self._supervisors:
            if self._waiting and slot.actor is None:
                self._start(slot)
        for waiting in list(self._waiting):
            job, message = waiting
            alone = job.trial.lineage in self._apart
            slots = [slot for slot in self._supervisors if slot.room(job.trial, alone)]
            if slots:
                self._waiting.remove(waiting)
                best = max(slots, key=lambda s: (s.jobs.alike(job.trial), -len(s.jobs)))
                best.submit(job, message, alone)

    def _collect(self, timeout: float) -> list[Event]:
        """All available events, waiting up to `timeout` seconds for the first."""
        polled = {s.pending_poll: s for s in self._supervisors if s.pending_poll is not None}
        if not polled:
            time.sleep(timeout)
            return []
        refs = list(polled)
        first, _ = self._ray.wait(refs, num_returns=1, timeout=timeout)
        ready, _ = self._ray.wait(refs, num_returns=len(refs), timeout=0) if first else ([], [])
        events: list[Event] = []
        for ref in ready:
            events += self._received(polled[ref], ref)
        return events

    def _received(self, slot: SupervisorSlot, ref: Any) -> list[Event]:
        """The events of one supervisor; the result of its trial if it was lost."""
        try:
            events: list[Event] = self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            return self._lose(slot, error)
        slot.pending_poll, slot.ready = None, True
        for event in events:
            if isinstance(event, Finished) and event.result.error.startswith(LOST_TOGETHER):
                self._apart.update(job.trial.lineage for job in slot.jobs)
            slot.record(event)
        return events

    def _lose(self, slot: SupervisorSlot, error: Exception) -> list[Event]:
        """Discard a lost supervisor; a trial that it had not started is queued again."""
        if getattr(error, "actor_init_failed", False):
            raise StudyStopped(
                f"a worker cannot be started on the cluster: {reason(error, most=600)}"
            )
        sent = [(job, message, self._started(call)) for job, message, call in slot.sent()]
        self._discard(slot)
        for job, message, started in reversed(sent):
            if not started:
                self._waiting.appendleft((Job(job.trial), message))
        # If it had several trials, it is not known which one's fault it was: they are trained one by one.
        if len(sent) > 1:
            self._apart.update(job.trial.lineage for job, _, _ in sent)
        status = Status.CRASHED if len(sent) == 1 else Status.INTERRUPTED
        why = f"its node or its Ray worker was lost: {reason(error, most=600)}"
        return [_ended(job, status, why) for job, _, started in sent if started]

    def _started(self, submission: Any) -> bool:
        try:
            self._ray.get(submission, timeout=0)
        except self._ray.exceptions.RayError:
            return False
        return True

    def _discard(self, slot: SupervisorSlot) -> None:
        actor = slot.actor
        slot.clear()  # first, as `kill` fails if the cluster is lost
        if actor is not None:
            self._ray.kill(actor)

    def _idle(self) -> SupervisorSlot | None:
        """A supervisor that trains nothing, or one whose worker answers between its epochs."""
        for slot in self._supervisors:
            if slot.actor is None:
                self._start(slot)
        ready = [slot for slot in self._supervisors if slot.ready]
        fewest = min(ready, key=lambda slot: len(slot.jobs), default=None)
        return fewest if fewest and (fewest.idle or self._options.stack > 1) else None

    def _busy(self) -> Iterator[SupervisorSlot]:
        return (slot for slot in self._supervisors if slot.jobs)

    def _running(self, trial: int) -> list[SupervisorSlot]:
        return [slot for slot in self._busy() if trial in slot.jobs]


def _check(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise StudyStopped(f"no worker of the cluster answered within {CALL_TIMEOUT:g} s")


def _ended(job: Job, status: Status, error: str) -> Finished:
    seconds, curve = time.time() - job.started, tuple(job.curve)
    return Finished(
        Result(job.trial.number, status, curve, seconds=seconds, started=job.started, error=error)
    )
