"""What is drawn of a metric against epochs, as numbers: upwards is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normsweep.analysis.confirm_runs import Curve
from normsweep.analysis.evidence import Evidence
from normsweep.analysis.verdicts import Verdict
from normsweep.parts.metrics import Metric
from normsweep.reporting.figures.style import Style
from normsweep.reporting.words import points
from normsweep.text import counted

__all__ = ["AccuracyPanel", "Line", "accuracy_panels"]

PANELS = {
    "baseline": ("The baseline settings", "more_epochs"),
    "tuned_long": ("Each with its own settings tuned", "both_tuned"),
    "tuned_short": ("Each tuned for the baseline's epochs", "both_tuned_short"),
}
"""Configurations, with a title and the question whose parity is marked."""
USUAL_MARGIN = 0.002


@dataclass(frozen=True)
class Line:
    """An arm's mean on the test images by epoch, with its interval (NaN where there is none)."""

    arm: str
    epoch: NDArray[Any]
    level: NDArray[Any]
    low: NDArray[Any]
    high: NDArray[Any]


@dataclass(frozen=True)
class AccuracyPanel:
    """One configuration's curves, and what the verdicts say of them.

    `level` is the value at which the reference stands still, where the question is that of more
    epochs, and `stop` the epoch at which it does; a level of None: the arms are held against the
    reference's curve.
    """

    title: str
    note: str
    curves: tuple[Line, ...]
    answers: dict[str, Verdict]
    level: float | None
    stop: int | None
    margin: float

    def reference(self, style: Style) -> Line | None:
        """The reference's curve."""
        return next((c for c in self.curves if c.arm == style.reference), None)


def accuracy_panels(found: Evidence, style: Style) -> list[AccuracyPanel]:
    """At most two panels: the baseline settings and the tuned ones."""
    known = {curve.configuration for curve in found.curves}
    present = [name for name in PANELS if name in known][:2]
    return [_panel(found, name, style) for name in present]


def _panel(found: Evidence, name: str, style: Style) -> AccuracyPanel:
    title, question = PANELS[name]
    curves = {curve.arm: curve for curve in found.curves if curve.configuration == name}
    answers = {v.arm: v for v in found.verdicts if v.question == question}
    first = next(iter(answers.values()), None)
    sign, still = style.metric.sign, question == "more_epochs"
    level = sign * first.reference_value if first and still else None
    margin = first.margin if first else USUAL_MARGIN
    stop = first.baseline_epochs if first else None
    around = f"± {points(margin, sign=False, by=style.metric)}"
    note = _what_the_band_is(style.reference, level, stop, around) if first else ""
    lines = tuple(_line(curves[arm], style.metric) for arm in style.ordered(curves))
    return AccuracyPanel(title, note, lines, answers, level, stop, margin)


def _what_the_band_is(reference: str, level: float | None, stop: int | None, around: str) -> str:
    if level is None:
        return f"band: {reference} at the same epoch {around}"
    when = counted(stop, "epoch") if stop else "the baseline's epochs"
    return f"band: {reference} after {when} {around}"


def _line(curve: Curve, by: Metric) -> Line:
    values = ((e.value, e.low, e.high) for e in curve.epochs)
    level, low, high = by.sign * np.array(list(values), dtype=float).T
    return Line(curve.arm, np.arange(1, len(level) + 1), level, low, high)
