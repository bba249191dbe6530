"""Scenarios: true gaps between an arm and its reference by epoch, and the right verdict for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf

import numpy as np

MARGIN = 0.002
EPOCHS = 12


@dataclass(frozen=True)
class Scenario:
    """True gaps at each epoch, in units of the margin; `fixed_at` is the epoch of a fixed reference.

    `window` is the number of epochs of the trailing mean; None: by the rule, a quarter of the epochs, from 1 to 3.
    """

    name: str
    gaps: tuple[float, ...]
    fixed_at: int | None = None
    window: int | None = None

    @property
    def smoothed_over(self) -> int:
        """Epochs of the trailing mean."""
        return self.window or min(3, max(1, len(self.gaps) // 4))

    @property
    def truth(self) -> float:
        """The true value of the verdict's gap, in margins: the mean of the last epochs."""
        return self._smoothed()[-1]

    @property
    def parity(self) -> tuple[float, float]:
        """The epoch from which the gap stays above −margin: unsmoothed and smoothed."""
        return _from(self.gaps), _from(self._smoothed())

    def window_at(self, epoch: int) -> int:
        """Epochs of the trailing mean at an epoch: none before that of a fixed reference."""
        window = min(self.smoothed_over, epoch)
        if self.fixed_at is not None and epoch >= self.fixed_at:
            window = min(window, epoch - self.fixed_at + 1)
        return window

    def _smoothed(self) -> list[float]:
        ends = range(1, len(self.gaps) + 1)
        return [float(np.mean(self.gaps[end - self.window_at(end) : end])) for end in ends]


def _from(gaps: Sequence[float]) -> float:
    """The first epoch from which on all gaps are above −1, or infinity."""
    below = [epoch for epoch, gap in enumerate(gaps, start=1) if gap <= -1]
    first = max(below, default=0) + 1
    return first if first <= len(gaps) else inf


RISE = tuple(-5 * exp(-epoch / 2) for epoch in range(EPOCHS))

SCENARIOS = (
    Scenario("level", (0.0,) * EPOCHS),
    Scenario("rises to level", RISE),
    Scenario("level, dips to the margin for 3 epochs", (0.0,) * 3 + (-1.0,) * 3 + (0.0,) * 6),
    Scenario("at the margin", (-1.0,) * EPOCHS),
    Scenario("at the margin, reference fixed", (-1.0,) * EPOCHS, fixed_at=4),
    Scenario("rises to the margin", tuple(gap - 1 for gap in RISE)),
    Scenario("ahead, then falls to the margin", (0.5,) * 4 + (0.0, -0.5) + (-1.0,) * 6),
    Scenario("twice the margin", (-2.0,) * EPOCHS),
)


def rising(epochs: int, window: int | None = None) -> Scenario:
    """An arm that begins ten margins behind, and is half a margin behind after its last epoch."""
    steep = 9.5 / max(epochs - 1, 1)
    gaps = tuple(-0.49 - steep * (epochs - epoch) for epoch in range(1, epochs + 1))
    return Scenario(f"rises to −0.49 m in {epochs} epochs", gaps, window=window)
