"""`Supervisor`: what stands on a node of a cluster, with one worker process of its own."""

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
from normsweep.executors.protocol import Event, Raised, Returned, WorkerOptions
from normsweep.executors.worker_handle import Job, share
from normsweep.parts.dataset import Dataset
from normsweep.sweep.trial import Epoch, Result, Status, Trial
from normsweep.training.engine import Finished
from normsweep.training.snapshot import CheckpointPolicy, Snapshot

__all__ = ["Post", "Seat", "Supervisor"]

NEWS = 1.0
"""Seconds that a supervisor waits for news of its worker before it says that there are none."""


@dataclass(frozen=True)
class Post:
    """What a supervisor is told when it is started."""

    options: WorkerOptions
    """Its folder of datasets is the driver's: a node has its own."""
    environment: Mapping[str, str]
    """Of the backend, as the driver has it: the bits of every trial depend on it."""
    gpus: float
    """Of a GPU, or how many."""


class Supervisor:
    """Keeps the limits of time and memory, and sees how a worker ends, where the worker is.

    Its methods are called one at a time. They are those of an executor with one slot, but that
    what a called function raises is returned.
    """

    def __init__(self, post: Post) -> None:
        """Start the worker, so that its imports overlap with the data's journey."""
        os.environ.update({**post.environment, **share(post.gpus)})
        self._data = _private_folder()
        self._refused: list[Event] = []
        self._executor = Processes(replace(post.options, data_root=self._data))

    def take(self, dataset: Dataset) -> None:
        """Keep a dataset where the worker maps it into memory, once a node."""
        dataset.save(self._data)

    def submit(self, trial: Trial, policy: CheckpointPolicy | None, start: Snapshot | None) -> None:
        """Start a trial."""
        try:
            self._executor.submit(trial, policy, start)
        except OSError as error:  # no process can be started here
            why = f"no worker could be started: {error}"
            self._refused.append(Finished(Result(trial.number, Status.CRASHED, error=why)))

    def poll(self, timeout: float) -> list[Event]:
        """What happened, waiting up to `timeout` seconds for the first."""
        refused, self._refused = self._refused, []
        return refused or self._executor.poll(timeout)

    def reply(self, trial: int, go_on: bool) -> None:
        """Whether the trial goes on."""
        self._executor.reply(trial, go_on)

    def call(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Returned | Raised:
        """What the function returned or raised in the worker."""
        try:
            return Returned(self._executor.call(function, *args, **kwargs))
        except NormsweepError as error:
            return Raised(error)


def _private_folder() -> Path:
    """A folder for data that all supervisors of this user on this node share, and nobody else."""
    folder = Path(tempfile.gettempdir()) / f"normsweep-{getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    about = folder.lstat()
    mine = not hasattr(os, "getuid") or about.st_uid == os.getuid()
    if folder.is_symlink() or not mine or about.st_mode & 0o022:
        return Path(tempfile.mkdtemp(prefix="normsweep-"))
    return folder


class Seat:
    """What a supervisor was given, and what it was asked."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """There is none."""
        self.actor: Any = None
        self.ready = False
        """Whether it has been heard of."""
        self.news: Any = None
        """What it was asked for and has not said yet."""
        self.taken: Any = None
        """Whether it has begun its trial."""
        self.job: Job | None = None
        self.policy: CheckpointPolicy | None = None
        self.start: Snapshot | None = None

    @property
    def free(self) -> bool:
        """Whether a trial can be handed to it."""
        return self.ready and self.job is None

    def take(self, job: Job, policy: CheckpointPolicy | None, start: Snapshot | None) -> None:
        """Hand it a trial."""
        self.job, self.policy, self.start = job, policy, start
        self.taken = self.actor.submit.remote(job.trial, policy, start)

    def answer(self, go_on: bool) -> None:
        """Tell its trial, which has reported an epoch, whether it goes on."""
        if self.job is not None:
            self.actor.reply.remote(self.job.trial.number, go_on)

    def ask_for_news(self) -> None:
        """Ask, unless it was asked; a new one answers as soon as it stands."""
        if self.news is None:
            self.news = self.actor.poll.remote(NEWS if self.ready else 0.0)

    def note(self, event: Event) -> None:
        """Keep what its trial reported, for the case that it is lost."""
        if isinstance(event, Finished):
            self.job = self.start = None
        elif self.job is not None and isinstance(event, Epoch):
            self.job.curve.append(event)
