"""Ctrl-C and SIGTERM: noticed at once, acted on where nothing is half written."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

from normsweep.errors import Interrupted

__all__ = ["Signals"]


class Signals:
    """While entered, SIGINT and SIGTERM raise `Interrupted` inside `waiting` only.

    A second one raises at once, wherever the program is.
    """

    def __init__(self) -> None:
        self._received: int | None = None
        self._waiting = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
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

    def check(self) -> None:
        """Raise for a signal that came while nothing could be interrupted."""
        if self._received is not None:
            raise Interrupted(self._received)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again, self._received = self._received is not None, number
        if again or self._waiting:
            self._waiting = False
            raise Interrupted(number)
