"""How far an axis reaches, so that one bad arm does not flatten the differences of the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from normsweep.parts.metrics import ACCURACY, Metric

__all__ = ["accuracy_limits", "finite", "near_the_best"]

NEAR = 0.1
"""Accuracy within which of the best an arm is always seen."""

READABLE = 16.0
"""An axis of so many margins still shows the margin well."""


def finite(values: Iterable[float]) -> NDArray[np.float64]:
    """The finite numbers among the values."""
    numbers = np.asarray(list(values), dtype=float)
    return numbers[np.isfinite(numbers)]


def near_the_best(tops: Mapping[str, float], reference: str) -> list[float]:
    """The accuracies of the arms within ten points of the best one, and that of the reference."""
    best = max(tops.values())
    return [top for arm, top in tops.items() if arm == reference or top > best - NEAR]


def accuracy_limits(
    values: Iterable[float], needed: Iterable[float], unit: float, by: Metric = ACCURACY
) -> tuple[float, float]:
    """Where an axis of accuracies, or of another metric's values upwards better, begins and ends.

    It shows everything where that takes no more than 16 of `unit` (the margin); otherwise it begins
    where `needed` (the values without which the figure says nothing) does, or at 16 units under the
    top if that is lower. What lies under it is for the caller to mark.
    """
    shown, must = finite(values), finite(needed)
    if not shown.size:
        return 0.0, 1.0
    top = float(shown.max())
    bottom = float(shown.min())
    allowed = (
        max(READABLE * unit, 1.15 * (top - float(must.min()))) if must.size else READABLE * unit
    )
    if top - bottom > 1.25 * allowed:
        bottom = top - allowed
    room = max(top - bottom, 6 * unit)
    bottom = min(bottom, top - 0.8 * room)
    best = by.sign * by.best
    return bottom - 0.05 * room, min(top + 0.07 * room, max(best + 0.01 * room, top))
