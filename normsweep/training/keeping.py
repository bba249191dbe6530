"""Which states of a training are given back while it runs and at its end."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from normsweep.parts import Metric
from normsweep.sweep.trial import Epoch

__all__ = ["Keep", "Occasions"]

SHARE = 50
"""Between two timed snapshots at least so many times what one took: they cost 2 % at most."""


@dataclass(frozen=True)
class Keep:
    """What is wanted of a training's states. Scores are times the metric's sign: higher is better."""

    final: float | None = None
    """The state after the last epoch, where the score is at least this; None: not."""
    epochs: frozenset[int] = frozenset()
    """Of these epochs the state after each that is the best so far, where it is above `final`."""
    every: float | None = None
    """A state each so many seconds, from which a trial that is stopped can go on; None: none."""

    @classmethod
    def last(cls) -> Keep:
        """The state after the last epoch, whatever the score."""
        return cls(final=-math.inf)

    def wants(self, score: float) -> bool:
        """Whether the last state is wanted."""
        return self.final is not None and score >= self.final


class Occasions:
    """When, in the course of a training, a snapshot is due."""

    def __init__(self, keep: Keep, metric: Metric) -> None:
        self._keep, self._sign = keep, metric.sign
        self._best = -math.inf if keep.final is None else keep.final
        self._begun = time.monotonic()
        self._due = float("inf") if keep.every is None else self._begun + keep.every

    def take(self, epoch: Epoch) -> bool:
        """Whether the state after this epoch is wanted."""
        score = self._sign * epoch.value
        best = epoch.epoch in self._keep.epochs and score > self._best
        if best:
            self._best = score
        self._begun = time.monotonic()
        return best or self._begun >= self._due

    def taken(self) -> None:
        """A snapshot has been handed over; the next is due the later the longer that took."""
        if self._keep.every is not None:
            now = time.monotonic()
            self._due = now + max(self._keep.every, SHARE * (now - self._begun))
