"""A thread for what may hang, so that nobody waits for it longer than he wants."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Self, TypeVar

from normsweep.tracking import TrackingFailed

__all__ = ["Background"]

R = TypeVar("R")

CLOSING = 5.0
"""Seconds that what was begun has to end, when the program is stopped."""


class Background:
    """Does one thing after another; what is left when it is over, or still hangs, is let go."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        self._until: float | None = None
        self._over = False
        threading.Thread(target=self._work, name="normsweep's tracking", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.hurry()
        with contextlib.suppress(TrackingFailed):
            self.call(lambda: None)
        self._over = True
        self.put(lambda: None)

    def put(self, job: Callable[[], R]) -> Future[R]:
        """Have something done after all that was put before."""
        future: Future[R] = Future()
        self._jobs.put((future, job))
        return future

    def wait(self, future: Future[R]) -> R:
        """What a job returns, or raises.

        Raises:
            TrackingFailed: we are in a hurry, and it has not ended in time.
        """
        left = None if self._until is None else max(0.0, self._until - time.monotonic())
        try:
            return future.result(left)
        except TimeoutError:
            if future.done():  # it is the job's own
                raise
            raise TrackingFailed("MLflow did not answer in time") from None

    def call(self, job: Callable[[], R]) -> R:
        """What a job returns, or raises, as `wait`."""
        return self.wait(self.put(job))

    def hurry(self) -> None:
        """From now on all waits together last no longer than `CLOSING`."""
        self._until = min(self._until or float("inf"), time.monotonic() + CLOSING)

    def _work(self) -> None:
        while not self._over:
            future, job = self._jobs.get()
            try:
                future.set_result(job())
            except BaseException as error:
                future.set_exception(error)
