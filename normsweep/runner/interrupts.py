"""SIGINT, SIGTERM and the background thread that writes to MLflow."""

from __future__ import annotations

import contextlib
import math
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import copy_context
from types import FrameType
from typing import Any, Self, TypeVar

from normsweep.errors import Interrupted, TrackingFailed, UserError

__all__ = ["Background", "Patience", "Signals"]

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


WAIT, DEFAULT_WAIT = "NORMSWEEP_MLFLOW_WAIT", 60.0
"""The variable with the seconds for which a command tries MLflow again at its end, and their default."""

PAUSE = 2.0
"""Seconds between two attempts."""


class Patience:
    """How long a command tries MLflow again, all that it writes taken together."""

    def __init__(self, seconds: float, say: Callable[[str], None]) -> None:
        """`say` reports the first failure of all that are tried again."""
        self._left, self._say, self._said = seconds, say, False

    @classmethod
    def none(cls) -> Patience:
        """That of a command which goes on: what fails is tried again at its end."""
        return cls(0.0, lambda text: None)

    @classmethod
    def of_environment(cls, say: Callable[[str], None]) -> Patience:
        """That of the user's setting.

        Raises:
            UserError: it is no number of seconds.
        """
        text = os.environ.get(WAIT) or str(DEFAULT_WAIT)
        try:
            seconds = float(text)
        except ValueError:
            seconds = math.nan
        if not 0 <= seconds < math.inf:
            raise UserError(f"{WAIT}: must be a number of seconds, at least 0, got {text!r}")
        return cls(seconds, say)

    def call(
        self,
        job: Callable[[], R],
        waiting: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> R:
        """The result of a job, which is tried again while time is left.

        `waiting`: a context in which a signal may interrupt, as `Signals.waiting`.

        Raises:
            TrackingFailed: the job did, and no time is left.
        """
        while True:
            began = time.monotonic()
            try:
                with waiting():
                    return job()
            except TrackingFailed as error:
                if self._left <= 0:
                    raise
                if not self._said:
                    self._say(f"MLflow: {error}; trying again for {self._left:.0f} s")
                self._said = True
            with waiting():
                time.sleep(min(PAUSE, self._left))
            self._left -= time.monotonic() - began


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
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(job())
            except BaseException as error:
                future.set_exception(error)
