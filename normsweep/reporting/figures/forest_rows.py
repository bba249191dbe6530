"""Where the verdicts stand below one another, and how far their axis reaches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from normsweep.analysis.verdicts import Verdict, without_repeats
from normsweep.reporting.words import question_of

__all__ = ["ROW", "ForestGroup", "forest_groups", "reach"]

HEAD, ROW = 0.4, 0.3
"""Heights in inches of a question's title and of an arm."""
MOST = 9.0
"""Margins that the axis reaches at most; what lies beyond is drawn as an arrow."""


@dataclass(frozen=True)
class ForestGroup:
    """A question's verdicts: title, arms, and their distances from the top in inches."""

    title: str
    y: float
    rows: tuple[Verdict, ...]
    lines: tuple[float, ...]


def forest_groups(verdicts: Sequence[Verdict], narrow: bool = False) -> list[ForestGroup]:
    """The verdicts by question, in the report's order; on a phone an arm takes two lines."""
    every = without_repeats(verdicts)
    step = 2 * ROW - 0.06 if narrow else ROW
    groups: list[ForestGroup] = []
    y = -0.1
    for question in dict.fromkeys(row.question for row in every):
        rows = tuple(row for row in every if row.question == question)
        lines = tuple(y + HEAD + (i + 1) * step - ROW / 2 for i in range(len(rows)))
        groups.append(ForestGroup(_title(rows[0]), y + HEAD - 0.1, rows, lines))
        y = lines[-1] + ROW / 2
    return groups


def reach(rows: Sequence[Verdict]) -> tuple[float, float]:
    """The axis of gaps, better to the right: two margins at least, nine at most."""
    margin = max(row.margin for row in rows)
    sign = rows[0].metric.sign
    estimates = [e for row in rows for e in (row.gap, row.on_these_images)]
    bounds = [sign * bound for e in estimates for bound in (e.low, e.high)]
    seen = [b for b in bounds if abs(b) <= MOST * margin]
    low, high = min([*seen, -2 * margin]), max([*seen, 2 * margin])
    room = 0.06 * (high - low)
    return low - room, high + room


def _title(row: Verdict) -> str:
    words = question_of(row.question).heading(row.reference, row.horizon, row.baseline_epochs)
    return f"{words} (main question)" if row.primary else words
