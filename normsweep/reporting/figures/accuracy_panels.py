"""What is drawn of a metric against epochs, as numbers: upwards is better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from normsweep.parts.metrics import Metric
from normsweep.reporting.figures.rows import Rows
from normsweep.reporting.figures.style import Style
from normsweep.reporting.verdict_rows import VerdictRow, baseline_epochs, read_verdicts
from normsweep.reporting.words import points
from normsweep.text import counted

__all__ = ["AccuracyPanel", "Curve", "accuracy_panels"]

PANELS = {
    "baseline": ("The baseline settings", "more_epochs"),
    "tuned_long": ("Each with its own settings tuned", "both_tuned"),
    "tuned_short": ("Each tuned for the baseline's epochs", "both_tuned_short"),
}
"""Configurations, with a title and the question whose parity is marked."""
USUAL_MARGIN = 0.002


@dataclass(frozen=True)
class Curve:
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
    curves: tuple[Curve, ...]
    answers: dict[str, VerdictRow]
    level: float | None
    stop: int | None
    margin: float

    def reference(self, style: Style) -> Curve | None:
        """The reference's curve."""
        return next((c for c in self.curves if c.arm == style.reference), None)


def accuracy_panels(
    curves: pd.DataFrame, verdicts: pd.DataFrame | None, style: Style
) -> list[AccuracyPanel]:
    """At most two panels: the baseline settings and the tuned ones."""
    every = Rows.of(curves)
    if not len(every):
        return []
    present = [name for name in PANELS if name in every.each("configuration")][:2]
    rows = read_verdicts(verdicts)
    return [_panel(every, rows, name, style) for name in present]


def _panel(every: Rows, rows: Sequence[VerdictRow], name: str, style: Style) -> AccuracyPanel:
    title, question = PANELS[name]
    of_panel = every.where("configuration", name)
    answers = {row.arm: row for row in rows if row.question == question}
    first = next(iter(answers.values()), None)
    sign, still = style.metric.sign, question == "more_epochs"
    level = sign * first.reference_value if first and still else None
    margin = first.margin if first else USUAL_MARGIN
    stop = baseline_epochs(rows)
    around = f"± {points(margin, sign=False, by=style.metric)}"
    note = _what_the_band_is(style.reference, level, stop, around) if first else ""
    arms = style.ordered(of_panel.each("arm"))
    return AccuracyPanel(
        title,
        note,
        tuple(_curve(of_panel, arm, style.metric) for arm in arms),
        answers,
        level,
        stop,
        margin,
    )


def _what_the_band_is(reference: str, level: float | None, stop: int | None, around: str) -> str:
    if level is None:
        return f"band: {reference} at the same epoch {around}"
    when = counted(stop, "epoch") if stop else "the baseline's epochs"
    return f"band: {reference} after {when} {around}"


def _curve(every: Rows, arm: str, by: Metric) -> Curve:
    rows = every.where("arm", arm).by("epoch")
    columns = (by.sign * rows.numbers(name) for name in (by.name, "low", "high"))
    return Curve(arm, rows.numbers("epoch").astype(int), *columns)
