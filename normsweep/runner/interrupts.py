"""SIGINT, SIGTERM and the background thread that writes to MLflow."""

from __future__ import annotations

import contextlib
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from contextvars import copy_context
from types import FrameType
from typing import Any, Self, TypeVar

from normsweep.errors import Interrupted, TrackingFailed

__all__ = ["Background", "Signals"]

GRACE = 3.0
"""Seconds to finish writing after a second signal."""


ALARM: int | None = getattr(signal, "SIGALRM", None)
"""None on Windows, which has no such timer."""


R = TypeVar("R")


CLOSING = 5.0
"""Seconds to finish running jobs when the program is stopped."""


class Signals:
    """A context in which SIGINT and SIGTERM raise `Interrupted`, but only inside `waiting`.

    A second signal raises at once everywhere; inside `closing`, after `GRACE` seconds. `more` are
    signals handled in the same way. Outside the main thread, which gets no signals, nothing changes.
    """

    def __init__(self, *more: int) -> None:
        self._numbers = (signal.SIGINT, signal.SIGTERM, *more)
        self._received: list[int] = []
        self._waiting = self._closing = False
        self._before: dict[int, Any] = {}
        self._timer: _Timer | None = None

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self
        for number in self._numbers:
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            _restore_handler(number, handler)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """A context in which a signal may interrupt."""
        self.check()
        self._waiting = True
        try:
            yield
        finally:
            self._waiting = False

    @contextmanager
    def closing(self) -> Iterator[None]:
        """A context for storing the running trials, which a second signal does not stop at once."""
        self._closing = True
        if len(self._received) > 1:
            self._allow_grace()
        try:
            yield
        finally:
            self._closing = False
            if self._timer is not None:
                self._timer.restore()
                self._timer = None

    def check(self) -> None:
        """Raise for a signal that arrived outside `waiting`."""
        if self._received:
            raise Interrupted(self._received[0])

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._received.append(number)
        if self._closing and len(self._received) == 2 and ALARM is not None:
            self._allow_grace()
        elif self._waiting or len(self._received) > 1:
            self._waiting = False
            raise Interrupted(self._received[0])

    def _allow_grace(self) -> None:
        if ALARM is not None and self._timer is None:
            self._timer = _Timer(ALARM, GRACE, self._out_of_grace)

    def _out_of_grace(self, number: int, frame: FrameType | None) -> None:
        raise Interrupted(self._received[0])


class _Timer:
    """A timer that replaces the caller's, which is restored with its remaining time."""

    def __init__(self, number: int, seconds: float, handler: Any) -> None:
        self._number, self._began = number, time.monotonic()
        # The caller's is stopped first: it must not fire into our handler.
        self._left, self._interval = signal.setitimer(signal.ITIMER_REAL, 0)
        self._handler = signal.signal(number, handler)
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def restore(self) -> None:
        """Restore the caller's timer; if it would have fired meanwhile, it fires now."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        _restore_handler(self._number, self._handler)
        if self._left:
            left = max(self._left - (time.monotonic() - self._began), 1e-3)
            signal.setitimer(signal.ITIMER_REAL, left, self._interval)


def _restore_handler(number: int, handler: Any) -> None:
    """None is the handler of a library that is not Python's, which cannot be set again from here."""
    signal.signal(number, signal.SIG_DFL if handler is None else handler)


class Background:
    """A thread that runs one job after another; jobs that are left or hang at the end are abandoned."""

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
        """Queue a job, which runs in the context of the caller: it sees the caller's registries."""
        future: Future[R] = Future()
        context = copy_context()
        self._jobs.put((future, lambda: context.run(job)))
        return future

    def wait(self, future: Future[R]) -> R:
        """Wait for the result, or the exception, of a job.

        Raises:
            TrackingFailed: after `hurry`, if the job has not ended in time.
        """
        left = None if self._until is None else max(0.0, self._until - time.monotonic())
        ended, _ = wait([future], left)
        if not ended:
            raise TrackingFailed("MLflow did not answer in time")
        return future.result()  # a timeout here was raised by the job itself

    def call(self, job: Callable[[], R]) -> R:
        """Queue a job and `wait` for it."""
        return self.wait(self.put(job))

    def hurry(self) -> None:
        """Limit all waits from now on to `CLOSING` seconds in total."""
        self._until = min(self._until or float("inf"), time.monotonic() + CLOSING)

    def _work(self) -> None:
        while not self._over:
            future, job = self._jobs.get()
            try:
                future.set_result(job())
            except BaseException as error:
                future.set_exception(error)
