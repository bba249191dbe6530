"""`Cluster`: trials on the nodes of a Ray cluster; a node that dies costs its own trials only."""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from normsweep.errors import ClusterError, StudyStopped
from normsweep.executors.processes import CALL
from normsweep.executors.protocol import Event, Raised, WorkerOptions
from normsweep.executors.ray_actor import Post, Seat, Supervisor
from normsweep.executors.ray_connection import Share, connected, gpus_each, room, too_small
from normsweep.executors.worker_handle import Job
from normsweep.parts.dataset import Dataset
from normsweep.sweep.trial import Result, Status, Trial
from normsweep.text import reason
from normsweep.training.engine import Finished
from normsweep.training.reproducibility import environment
from normsweep.training.snapshot import CheckpointPolicy, Snapshot

__all__ = ["Cluster"]

PATIENCE = 10.0
"""Seconds that a call waits for a worker while all of them have trials."""


TICK = 0.2
"""Seconds after which a wait looks up, so that a signal's handler gets its turn."""


class Cluster:
    """Supervisors spread over the cluster's nodes, each with one worker; replaced when lost.

    Trials wait here until a supervisor is free: one whose node has no room yet holds none.
    """

    blocks = False

    def __init__(
        self,
        options: WorkerOptions,
        *,
        address: str | None = None,
        jobs: int | None = None,
        share: Share | None = None,
    ) -> None:
        """Connect, and start the supervisors.

        Args:
            options: nodes have the datasets that `provide` names, not the folder.
            address: of the cluster, as Ray spells it; None: one is started on this machine.
            jobs: how many trials run in parallel; None: as many as the nodes have room for.
            share: what of a node each trial is given; None: a CPU a thread, a GPU where there are.

        Raises:
            ClusterError: Ray is not installed, the cluster cannot be reached or has no such node.
        """
        share = share or Share(options.threads, None)
        self._options = options
        self._ray = connected(address, math.ceil((jobs or 1) * share.cpus))
        share = replace(share, gpus=gpus_each(self._ray, options.device, share))
        place = room(self._ray, share)
        if not place:
            refusal = too_small(self._ray, share)
            self._ray.shutdown()
            raise ClusterError(refusal)
        self.slots = jobs or place
        settings = environment(options.device, options.threads)
        post = Post(options, settings, share.gpus or 0.0)
        remote = self._ray.remote(
            num_cpus=share.cpus, num_gpus=share.gpus, scheduling_strategy="SPREAD"
        )(Supervisor)
        self._hire: Callable[[], Any] = lambda: remote.remote(post)
        self._data: dict[str, Any] = {}
        self._waiting: deque[tuple[Job, CheckpointPolicy | None, Snapshot | None]] = deque()
        self._pending: list[Event] = []
        self._seats = [Seat() for _ in range(self.slots)]
        for seat in self._seats:
            self._start(seat)

    def provide(self, digest: str) -> None:
        """Send a dataset to the nodes: through Ray's object store, once to each."""
        self._data[digest] = self._ray.put(Dataset.open(self._options.data_root, digest))
        for seat in self._seats:
            if seat.actor is not None:
                seat.actor.take.remote(self._data[digest])

    def submit(
        self, trial: Trial, policy: CheckpointPolicy | None = None, start: Snapshot | None = None
    ) -> None:
        """Hand a trial to the next supervisor that is free."""
        self._waiting.append((Job(trial, time.monotonic()), policy, start))

    def poll(self, timeout: float) -> list[Event]:
        """What supervisors said, and what became of the trials of those that are gone."""
        events, self._pending = self._pending, []
        deadline = time.monotonic() + (0 if events else timeout)
        while True:
            self._assign()
            for seat in self._busy():
                seat.ask_for_news()
            events += self._news(max(0.0, min(TICK, deadline - time.monotonic())))
            if events or time.monotonic() >= deadline:
                return events

    def reply(self, trial: int, go_on: bool) -> None:
        """Pass the answer on, where the trial waits for one."""
        if self._options.asks:
            for seat in self._at(trial):
                seat.answer(go_on)

    def cancel(self, trial: int) -> None:
        """Kill the supervisor that has the trial, its worker with it."""
        for waiting in [w for w in self._waiting if w[0].trial.number == trial]:
            self._waiting.remove(waiting)
            self._pending.append(_ended(waiting[0], Status.INTERRUPTED, ""))
        for seat in self._at(trial):
            assert seat.job is not None
            self._pending.append(_ended(seat.job, Status.INTERRUPTED, ""))
            self._dismiss(seat)

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run the function in a worker that has no trial.

        Raises:
            StudyStopped: none is to be had while trials run, of which nothing is heard meanwhile.
        """
        deadline = time.monotonic() + CALL
        seat = self._seat(deadline)
        try:
            answer = seat.actor.call.remote(function, args, kwargs)
            while not self._ray.wait([answer], timeout=TICK)[0]:
                _check(deadline)
            told = self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            self._dismiss(seat)
            raise StudyStopped(f"the worker was lost: {reason(error, most=600)}") from None
        except BaseException:  # what it may still answer is nobody's
            self._dismiss(seat)
            raise
        if isinstance(told, Raised):
            raise told.error
        return told.value

    def _seat(self, deadline: float) -> Seat:
        """A seat without a trial, waiting until there is one, in short steps."""
        patience = time.monotonic() + PATIENCE
        while (seat := self._free()) is None:
            busy = list(self._busy())
            if busy and time.monotonic() > patience:
                raise StudyStopped("every worker that the cluster has room for has a trial")
            _check(deadline)
            self._assign()
            for each in busy:
                each.ask_for_news()
            self._pending += self._news(TICK)
        return seat

    def close(self) -> None:
        """Kill what still runs, and leave the cluster; one that was started here ends."""
        for seat in self._seats:
            with contextlib.suppress(Exception):  # it may be gone with its cluster
                self._dismiss(seat)
        self._waiting.clear()
        self._ray.shutdown()

    def _start(self, seat: Seat) -> None:
        seat.actor = self._hire()
        for dataset in self._data.values():
            seat.actor.take.remote(dataset)
        seat.ask_for_news()

    def _assign(self) -> None:
        """Give trials that wait to supervisors that are free; lost ones are replaced first."""
        for seat in self._seats:
            if not self._waiting:
                return
            if seat.actor is None:
                self._start(seat)
            elif seat.free:
                seat.take(*self._waiting.popleft())

    def _news(self, timeout: float) -> list[Event]:
        """All news that are there, waiting for the first up to `timeout` seconds."""
        asked = {seat.news: seat for seat in self._seats if seat.news is not None}
        if not asked:
            time.sleep(timeout)
            return []
        refs = list(asked)
        first, _ = self._ray.wait(refs, num_returns=1, timeout=timeout)
        there, _ = self._ray.wait(refs, num_returns=len(refs), timeout=0) if first else ([], [])
        events: list[Event] = []
        for ref in there:
            events += self._told(asked[ref], ref)
        return events

    def _told(self, seat: Seat, ref: Any) -> list[Event]:
        """What one supervisor said, or that it is gone."""
        try:
            events: list[Event] = self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            return self._lose(seat, error)
        seat.news, seat.ready = None, True
        for event in events:
            seat.note(event)
        return events

    def _lose(self, seat: Seat, error: Exception) -> list[Event]:
        """A supervisor is gone; a trial that it had not begun is given to another one."""
        if getattr(error, "actor_init_failed", False):
            raise StudyStopped(
                f"a worker cannot be started on the cluster: {reason(error, most=600)}"
            )
        job, policy, start, begun = seat.job, seat.policy, seat.start, self._begun(seat)
        self._dismiss(seat)
        if job is None:
            return []
        if not begun:
            self._waiting.appendleft((Job(job.trial, time.monotonic()), policy, start))
            return []
        return [
            _ended(
                job,
                Status.CRASHED,
                f"lost with its node or its Ray worker: {reason(error, most=600)}",
            )
        ]

    def _begun(self, seat: Seat) -> bool:
        if seat.taken is None:
            return False
        try:
            self._ray.get(seat.taken, timeout=0)
        except self._ray.exceptions.RayError:
            return False
        return True

    def _dismiss(self, seat: Seat) -> None:
        actor = seat.actor
        seat.clear()  # first: with the cluster gone, killing fails
        if actor is not None:
            self._ray.kill(actor)

    def _free(self) -> Seat | None:
        for seat in self._seats:
            if seat.actor is None:
                self._start(seat)
        return next((seat for seat in self._seats if seat.free), None)

    def _busy(self) -> Iterator[Seat]:
        return (seat for seat in self._seats if seat.job is not None)

    def _at(self, trial: int) -> list[Seat]:
        return [s for s in self._busy() if s.job is not None and s.job.trial.number == trial]


def _check(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise StudyStopped(f"no worker of the cluster answered within {CALL:g} s")


def _ended(job: Job, status: Status, error: str) -> Finished:
    seconds, curve = time.time() - job.started, tuple(job.curve)
    return Finished(
        Result(job.trial.number, status, curve, seconds=seconds, started=job.started, error=error)
    )
