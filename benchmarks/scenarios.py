"""Scenarios: true gaps between an arm and its reference by epoch, and the right verdict for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf

import numpy as np

from normsweep.analysis.parity import window_of

MARGIN = 0.002
EPOCHS = 10


@dataclass(frozen=True)
class Scenario:
    """True gaps at each epoch, in units of the margin; `fixed_at` is the epoch of a fixed reference."""

    name: str
    gaps: tuple[float, ...]
    fixed_at: int | None = None

    @property
    def truth(self) -> float:
        """The true value of the verdict's gap, as a fraction: the mean of the last epochs."""
        return MARGIN * self._smoothed()[-1]

    @property
    def parity(self) -> tuple[float, float]:
        """The epoch from which the gap stays above −margin: unsmoothed and smoothed."""
        return _from(self.gaps), _from(self._smoothed())

    @property
    def level(self) -> bool:
        """Whether "catches up" is the right verdict."""
        return self.parity[1] < inf

    def _smoothed(self) -> list[float]:
        ends, window = range(1, len(self.gaps) + 1), window_of(len(self.gaps))
        return [float(np.mean(self.gaps[max(end - window, 0) : end])) for end in ends]


def _from(gaps: Sequence[float]) -> float:
    """The first epoch from which on all gaps are above −1, or infinity."""
    below = [epoch for epoch, gap in enumerate(gaps, start=1) if gap <= -1]
    first = max(below, default=0) + 1
    return first if first <= len(gaps) else inf


RISE = tuple(-5 * exp(-epoch / 2) for epoch in range(EPOCHS))

SCENARIOS = (
    Scenario("level", (0.0,) * EPOCHS),
    Scenario("rises to level", RISE),
    Scenario("level, dips to the margin for 3 epochs", (0.0,) * 3 + (-1.0,) * 3 + (0.0,) * 4),
    Scenario("at the margin", (-1.0,) * EPOCHS),
    Scenario("at the margin, reference fixed", (-1.0,) * EPOCHS, fixed_at=4),
    Scenario("rises to the margin", tuple(gap - 1 for gap in RISE)),
    Scenario("ahead, then falls to the margin", (0.5,) * 4 + (0.0, -0.5) + (-1.0,) * 4),
    Scenario("twice the margin", (-2.0,) * EPOCHS),
)
