"""A supervisor of a cluster as the driver sees it."""

from __future__ import annotations

from typing import Any

from normsweep.execution.protocol import Event
from normsweep.execution.worker_process import Job
from normsweep.sweep.trial import Epoch
from normsweep.training import Finished, Keep, Snapshot

__all__ = ["Seat"]

NEWS = 1.0
"""Seconds that a supervisor waits for news of its worker before it says that there are none."""


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
        self.keep: Keep | None = None
        self.start: Snapshot | None = None

    @property
    def free(self) -> bool:
        """Whether a trial can be handed to it."""
        return self.ready and self.job is None

    def take(self, job: Job, keep: Keep | None, start: Snapshot | None) -> None:
        """Hand it a trial."""
        self.job, self.keep, self.start = job, keep, start
        self.taken = self.actor.submit.remote(job.trial, keep, start)

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
