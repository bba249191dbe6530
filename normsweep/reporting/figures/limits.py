"""How far an axis of scores reaches, so that one bad arm does not flatten the differences of the others."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from normsweep.analysis.evidence import Evidence
from normsweep.parts.metrics import ACCURACY, REGRESSION, Metric
from normsweep.reporting.figures.theme import Table

__all__ = ["Limits", "accuracy_limits", "cut", "in_view"]

Limits = tuple[float, float]
"""The values at the lower and at the upper edge of an axis; better values are above."""
NEAR = 0.1
"""Accuracy within which of the best an arm is always seen."""
UNIT = 0.002
"""Accuracy whose differences should still be seen."""
READABLE = 16.0
"""An axis of so many units still shows a unit well."""


def in_view(frame: Table, tops: Table, found: Evidence) -> tuple[Table, Limits]:
    """The table as `cut` gives it, and the limits of the axis on which its scores are drawn.

    Half of the scores are seen, and by their `tops` the reference and the arms near the best one.
    """
    by, best = found.metric, found.metric.sign * tops.dropna()
    upward = by.sign * frame["score"]
    # A regression's scores have the target's unit.
    scale = abs(float(upward.median())) if REGRESSION in by.tasks and len(best) else 1.0
    near = best[(best > best.max() - NEAR * scale) | (best.index == found.reference)]
    needed = [*near, upward.median()] if len(best) else []
    unit = UNIT * scale
    low, high = accuracy_limits(upward, np.array(needed) - unit, unit, by)
    limits = by.sign * low, by.sign * high
    return cut(frame, limits, by), limits


def cut(frame: Table, limits: Limits, by: Metric) -> Table:
    """The table with `drawn`, the score or the lower edge where it is `below` that."""
    below = by.sign * frame["score"] < by.sign * limits[0]
    return frame.assign(below=below, drawn=frame["score"].mask(below, limits[0]))


def accuracy_limits(
    values: Iterable[float], needed: Iterable[float], unit: float, by: Metric = ACCURACY
) -> Limits:
    """Where an axis of accuracies, or of another metric's values upwards better, begins and ends.

    It shows everything where that takes no more than 16 of `unit` (the margin); otherwise it begins
    where `needed` (the values without which the figure says nothing) does, or at 16 units under the
    top if that is lower. What lies under it is for the caller to mark.
    """
    shown, must = (np.asarray(list(given), dtype=float) for given in (values, needed))
    shown, must = shown[np.isfinite(shown)], must[np.isfinite(must)]
    if not shown.size:
        return 0.0, 1.0
    if REGRESSION in by.tasks:  # an interval may reach far beyond the best possible value
        shown = np.minimum(shown, by.sign * by.best)
    top, bottom = float(shown.max()), float(shown.min())
    allowed = max([READABLE * unit, *(1.15 * (top - must))])
    if top - bottom > 1.25 * allowed:
        bottom = top - allowed
    room = max(top - bottom, 6 * unit)
    bottom = min(bottom, top - 0.8 * room)
    best = by.sign * by.best
    return bottom - 0.05 * room, min(top + 0.07 * room, max(best + 0.01 * room, top))
