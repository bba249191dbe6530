"""Ctrl-C and SIGTERM: noticed at once, acted on where nothing is half written."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

from normsweep.errors import Interrupted

__all__ = ["Signals"]

GRACE = 3.0
"""Seconds that a second signal leaves to what is being recorded."""


class Signals:
    """While entered, SIGINT and SIGTERM raise `Interrupted` inside `waiting` only.

    A second one raises at once, wherever the program is; inside `closing`, after a grace. `more` are
    signals that are taken in the same way. In a thread that is not the main one, which Python gives no
    signals, nothing is changed.
    """

    def __init__(self, *more: int) -> None:
        self._numbers = (signal.SIGINT, signal.SIGTERM, *more)
        self._received: list[int] = []
        self._waiting = self._closing = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self
        for number in self._numbers:
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Here, and only here, a signal may interrupt."""
        self.check()
        self._waiting = True
        try:
            yield
        finally:
            self._waiting = False

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Here what ran is recorded, which a second signal does not break off at once."""
        self._closing = True
        if len(self._received) > 1:
            self._allow_grace()
        try:
            yield
        finally:
            self._closing = False
            if ALARM is not None:
                signal.setitimer(signal.ITIMER_REAL, 0)

    def check(self) -> None:
        """Raise for a signal that came while nothing could be interrupted."""
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
        if ALARM is not None:
            signal.signal(ALARM, self._out_of_grace)
            signal.setitimer(signal.ITIMER_REAL, GRACE)

    def _out_of_grace(self, number: int, frame: FrameType | None) -> None:
        raise Interrupted(self._received[0])


ALARM: int | None = getattr(signal, "SIGALRM", None)
"""None on Windows, which has no such timer."""
