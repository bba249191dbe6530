"""`Supervisor`: the Ray actor on a node of a cluster, with one worker process."""

from __future__ import annotations

import getpass
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from normsweep.errors import NormsweepError
from normsweep.executors.processes import Processes
from normsweep.executors.protocol import Event, Raised, Returned, Train, WorkerOptions
from normsweep.executors.worker_handle import Job, Jobs, gpu_share
from normsweep.parts.dataset import Dataset
from normsweep.sweep.trial import Epoch, Result, Status, Trial
from normsweep.training.engine import Finished
from normsweep.training.snapshot import CheckpointPolicy, Snapshot

__all__ = ["Supervisor", "SupervisorOptions", "SupervisorSlot"]

POLL = 1.0
"""Seconds that a supervisor waits for its worker's events before it returns none."""


@dataclass(frozen=True)
class SupervisorOptions:
    """Settings of a supervisor."""

    worker: WorkerOptions
    """Those of its worker; `data_root` is replaced by a folder of the node."""
    environment: Mapping[str, str]
    """Environment variables of the backend, from the driver: results depend on them bit by bit."""
    gpus: float
    """GPUs per trial, or a fraction of one."""


class Supervisor:
    """Enforces the time and memory limits of a worker on its own node, and detects how it ends.

    Its methods are called one at a time. They are those of an executor with one worker, but `call`
    returns an exception instead of raising it.
    """

    def __init__(self, options: SupervisorOptions) -> None:
        """Start the worker, so that its imports overlap with the transfer of the data."""
        os.environ.update({**options.environment, **gpu_share(options.gpus)})
        self._data = _private_folder()
        self._refused: list[Event] = []
        self._executor = Processes(replace(options.worker, data_root=self._data))

    def provide(self, dataset: Dataset) -> None:
        """Save a dataset on the node, from where workers map it into memory."""
        dataset.save(self._data)

    def submit(self, trial: Trial, policy: CheckpointPolicy | None, start: Snapshot | None) -> None:
        """Start a trial."""
        try:
            self._executor.submit(trial, policy, start)
        except OSError as error:  # no process can be started on this node
            why = f"the worker process could not be started: {error}"
            self._refused.append(Finished(Result(trial.number, Status.CRASHED, error=why)))

    def poll(self, timeout: float) -> list[Event]:
        """New events, waiting up to `timeout` seconds for the first."""
        refused, self._refused = self._refused, []
        return refused or self._executor.poll(timeout)

    def reply(self, trial: int, go_on: bool) -> None:
        """Tell the trial whether to continue."""
        self._executor.reply(trial, go_on)

    def call(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Returned | Raised:
        """Run a function in the worker."""
        try:
            return Returned(self._executor.call(function, *args, **kwargs))
        except NormsweepError as error:
            return Raised(error)


def _private_folder() -> Path:
    """A data folder shared by all supervisors of this user on this node, and by nobody else."""
    folder = Path(tempfile.gettempdir()) / f"normsweep-{getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    about = folder.lstat()
    mine = not hasattr(os, "getuid") or about.st_uid == os.getuid()
    if folder.is_symlink() or not mine or about.st_mode & 0o022:
        return Path(tempfile.mkdtemp(prefix="normsweep-"))
    return folder


class SupervisorSlot:
    """The driver's view of a supervisor: its trials and its pending requests."""

    def __init__(self, stack: int) -> None:
        """`stack`: as of the worker."""
        self.jobs = Jobs(stack)
        self.clear()

    def clear(self) -> None:
        """Forget the supervisor."""
        self.actor: Any = None
        self.ready = False
        """Whether it has answered a request yet."""
        self.pending_poll: Any = None
        """Ray's reference to its next events, if they were requested."""
        self.jobs.clear()
        self._submitted: dict[int, tuple[Train, Any]] = {}
        """What was sent for its trials, with Ray's reference to the call."""

    @property
    def idle(self) -> bool:
        """Whether it is up and trains nothing."""
        return self.ready and not self.jobs

    def room(self, trial: Trial, alone: bool = False) -> bool:
        """Whether it can accept a trial, which may have to be alone."""
        return self.ready and self.jobs.room(trial, alone)

    def submit(self, job: Job, message: Train, alone: bool = False) -> None:
        """Start a trial, which may have to be alone."""
        self.jobs.add(job, alone)
        reference = self.actor.submit.remote(message.trial, message.policy, message.start)
        self._submitted[job.trial.number] = message, reference

    def sent(self) -> list[tuple[Job, Train, Any]]:
        """The trials that it should have, each with what was sent and Ray's reference to the call."""
        return [(job, *self._submitted[job.trial.number]) for job in self.jobs]

    def reply(self, trial: int, go_on: bool) -> None:
        """Tell a trial that reported an epoch whether to continue."""
        if trial in self.jobs:
            self.actor.reply.remote(trial, go_on)

    def request_events(self) -> None:
        """Request events unless a request is pending; a new supervisor answers once it is up."""
        if self.pending_poll is None:
            self.pending_poll = self.actor.poll.remote(POLL if self.ready else 0.0)

    def record(self, event: Event) -> None:
        """Keep what its trials reported, in case the supervisor is lost."""
        if isinstance(event, Finished):
            self.jobs.remove(event.result.trial)
            self._submitted.pop(event.result.trial, None)
        elif isinstance(event, Epoch) and (job := self.jobs.get(event.trial)) is not None:
            job.curve.append(event)
