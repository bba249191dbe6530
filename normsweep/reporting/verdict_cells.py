"""The table of verdicts for documents: everything that a verdict stands on, in few columns."""

from __future__ import annotations

import math

import pandas as pd

from normsweep.reporting.verdict_rows import VerdictRow, read_verdicts
from normsweep.reporting.words import between, points, question_of

__all__ = ["verdict_cells"]

COLUMNS = [
    "question", "arm", "verdict", "gap", "interval", "on_these_images", "seeds", "images", "margin",
    "look",
]  # fmt: skip


def verdict_cells(verdicts: pd.DataFrame) -> pd.DataFrame:
    """One row a question and arm, all text; gaps, intervals and the margin in the metric's unit: for the
    accuracy and all other shares in percentage points.

    `interval` holds for new seeds and new images, `on_these_images` for new seeds alone; what too
    few seeds leave unknown is empty. The primary question has a star.
    """
    rows = [_cells(row) for row in read_verdicts(verdicts)]
    return pd.DataFrame(rows, columns=COLUMNS, dtype=object)


def _cells(row: VerdictRow) -> tuple[str, ...]:
    return (
        question_of(row.question).label(row.horizon) + (" *" if row.primary else ""),
        f"{row.arm} − {row.reference}",
        row.verdict,
        points(row.gap, by=row.by).partition(" ")[0] if math.isfinite(row.gap) else "",
        _interval(row, row.low, row.high),
        _interval(row, row.seeds_low, row.seeds_high),
        f"{row.seeds}",
        f"{row.images}",
        points(row.margin, sign=False, by=row.by).partition(" ")[0],
        f"{row.look}",
    )


def _interval(row: VerdictRow, low: float, high: float) -> str:
    return between(low, high, row.by) if math.isfinite(low) else ""
