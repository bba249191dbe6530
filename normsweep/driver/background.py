"""A thread for what may hang, so that nobody waits for it longer than he wants."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from normsweep.tracking import TrackingFailed

__all__ = ["Background"]

R = TypeVar("R")


class Background:
    """Does one thing after another; what still hangs when the program ends is let go."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        self._until: float | None = None
        threading.Thread(target=self._work, daemon=True).start()

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

    def hurry(self, seconds: float) -> None:
        """From now on all waits end after so many seconds, together."""
        self._until = min(self._until or float("inf"), time.monotonic() + seconds)

    def _work(self) -> None:
        while True:
            future, job = self._jobs.get()
            try:
                future.set_result(job())
            except BaseException as error:
                future.set_exception(error)
