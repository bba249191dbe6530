"""`Shared`: settings of the whole process, for as long as any thread needs them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

__all__ = ["Shared", "log_levels"]


class Shared:
    """A setting that all threads share: the first one to enter sets it, the last one to exit restores it."""

    def __init__(self, change: Callable[[], Callable[[], None]]) -> None:
        """`change` sets it, and returns what restores it."""
        self._change = change
        self._lock = threading.Lock()
        self._inside = 0
        self._restore: Callable[[], None] | None = None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """A context with the setting."""
        with self._lock:
            if not self._inside:
                self._restore = self._change()
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside and self._restore is not None:
                    self._restore()


def log_levels(levels: Mapping[str, int]) -> Callable[[], None]:
    """Set the levels of loggers by name; returns what restores them."""
    before = {name: logging.getLogger(name).level for name in levels}

    def set_to(levels: Mapping[str, int]) -> None:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)

    set_to(levels)
    return lambda: set_to(before)
