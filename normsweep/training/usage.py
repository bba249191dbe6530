"""Processor time and memory of a worker, measured after each epoch."""

from __future__ import annotations

import time

import psutil

from normsweep.sweep.trial import Usage

__all__ = ["Meter"]

MIB = 2**20


class Meter:
    """Measures this process from one call of `take` to the next."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._wall, self._busy = time.perf_counter(), self._processor

    def take(self) -> Usage:
        """What the process has used since the last call, and its memory now."""
        wall, busy = time.perf_counter(), self._processor
        passed = max(wall - self._wall, 1e-9)
        percent = 100 * (busy - self._busy) / passed
        self._wall, self._busy = wall, busy
        return Usage(round(percent, 1), round(self._process.memory_info().rss / MIB, 1))

    @property
    def _processor(self) -> float:
        """Seconds of processor time so far."""
        times = self._process.cpu_times()
        return times.user + times.system
