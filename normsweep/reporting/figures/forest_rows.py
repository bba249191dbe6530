"""Where the verdicts stand below one another, and how far their axis reaches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from normsweep.reporting.verdict_rows import (
    VerdictRow,
    baseline_epochs,
    read_verdicts,
    without_repeats,
)
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
    rows: tuple[VerdictRow, ...]
    lines: tuple[float, ...]


def forest_groups(verdicts: pd.DataFrame | None, narrow: bool = False) -> list[ForestGroup]:
    """The verdicts by question, in the report's order; on a phone an arm takes two lines."""
    known = read_verdicts(verdicts)
    every, stop = without_repeats(known), baseline_epochs(known)
    step = 2 * ROW - 0.06 if narrow else ROW
    groups: list[ForestGroup] = []
    y = -0.1
    for question in dict.fromkeys(row.question for row in every):
        rows = tuple(row for row in every if row.question == question)
        lines = tuple(y + HEAD + (i + 1) * step - ROW / 2 for i in range(len(rows)))
        groups.append(ForestGroup(_title(rows[0], stop), y + HEAD - 0.1, rows, lines))
        y = lines[-1] + ROW / 2
    return groups


def reach(rows: Sequence[VerdictRow]) -> tuple[float, float]:
    """The axis of gaps, better to the right: two margins at least, nine at most."""
    margin = max(row.margin for row in rows)
    sign = rows[0].by.sign
    bounds = [sign * b for row in rows for b in (row.low, row.high, row.seeds_low, row.seeds_high)]
    seen = [b for b in bounds if abs(b) <= MOST * margin]
    low, high = min([*seen, -2 * margin]), max([*seen, 2 * margin])
    room = 0.06 * (high - low)
    return low - room, high + room


def _title(row: VerdictRow, stop: int | None) -> str:
    words = question_of(row.question).heading(row.reference, row.horizon, stop)
    return f"{words} (main question)" if row.primary else words
