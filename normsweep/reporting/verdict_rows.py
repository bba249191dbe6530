"""The rows of the verdicts' data frame, as figures, sentences and pages read them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import pandas as pd

from normsweep.parts.metrics import ACCURACY, Metric, metric

__all__ = ["VerdictRow", "baseline_epochs", "primary_rows", "read_verdicts", "without_repeats"]


@dataclass(frozen=True)
class VerdictRow:
    """One answer: a question, an arm, a word, and what it stands on.

    Values, gap (arm − reference), margin and bounds are in the metric's unit: of the accuracy fractions
    of images. `low` and `high` hold for new seeds and new images, `seeds_low` and `seeds_high` for new seeds alone. `epoch` and
    `epoch_low` are None where there is no such epoch.
    """

    question: str
    arm: str
    reference: str
    verdict: str
    word: str
    epoch: int | None
    epoch_low: int | None
    horizon: int
    gap: float
    low: float
    high: float
    seeds_low: float
    seeds_high: float
    value: float
    reference_value: float
    seeds: int
    images: int
    margin: float
    confidence: float
    level: float
    look: int
    method: str
    diverged: int
    reference_diverged: int
    more_seeds: str
    primary: bool
    warnings: tuple[str, ...]
    metric: str = ACCURACY.name

    @property
    def by(self) -> Metric:
        """The metric that the values are of."""
        return metric(self.metric)

    @property
    def interval_level(self) -> str:
        """The level of the row's own intervals: `97.5 %`, or nothing where it is unknown.

        It is above the declared confidence with several arms and at later looks.
        """
        level = self.level if math.isfinite(self.level) else self.confidence
        return f"{100 * level:.4g} %" if math.isfinite(level) else ""

    @property
    def catches_up(self) -> bool:
        """Whether the arm was found to catch up."""
        return self.word == "catches up"

    @property
    def falls_short(self) -> bool:
        """Whether the arm was found not to catch up."""
        return self.word == "does not catch up"

    @property
    def undecided(self) -> bool:
        """Whether the evidence is not enough."""
        return not (self.catches_up or self.falls_short)

    @property
    def reason(self) -> str:
        """What an undecided verdict lacks, in its own words."""
        return self.verdict.partition(": ")[2] if self.undecided else ""


def read_verdicts(verdicts: pd.DataFrame | None) -> list[VerdictRow]:
    """The rows in their order; none where there was no confirmation yet."""
    if verdicts is None or verdicts.empty:
        return []
    return [_row(record) for record in verdicts.astype(object).to_dict(orient="records")]


def baseline_epochs(rows: Sequence[VerdictRow]) -> int | None:
    """The baseline's epochs, told by the questions that end there; None without such a row."""
    ends = (row.horizon for row in rows if row.question in ("tuned_rate", "both_tuned_short"))
    return next(ends, None)


def without_repeats(rows: Sequence[VerdictRow]) -> list[VerdictRow]:
    """Without the questions that say the same as another: the baseline trains as long as it goes.

    Of two such questions the one at the longest budget stays, or the primary one.
    """
    repeated = set()
    for short, long in (("tuned_rate", "tuned_rate_longest"), ("both_tuned_short", "both_tuned")):
        ends = {row.question: row for row in rows if row.question in (short, long)}
        if len({row.horizon for row in ends.values()}) == 1 and len(ends) == 2:
            repeated.add(long if ends[short].primary else short)
    return [row for row in rows if row.question not in repeated]


def primary_rows(rows: Sequence[VerdictRow], question: str = "") -> list[VerdictRow]:
    """The rows of the primary question, else of `question`, else those of the first one."""
    marked = [row for row in rows if row.primary] or [r for r in rows if r.question == question]
    return marked or [row for row in rows if row.question == rows[0].question]


def _row(record: dict[Any, Any]) -> VerdictRow:
    cells: dict[str, Any] = {}
    name = record.get("metric", ACCURACY.name)
    columns = {"value": name, "reference_value": f"reference_{name}"}
    for field in fields(VerdictRow):
        value = record.get(columns.get(field.name, field.name))
        cells[field.name] = READERS[str(field.type)](None if _missing(value) else value)
    return VerdictRow(**{**cells, "metric": name})


def _missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def _split(text: str | None) -> tuple[str, ...]:
    return tuple(filter(None, (text or "").split("; ")))


READERS: dict[str, Callable[[Any], Any]] = {
    "str": lambda value: "" if value is None else str(value),
    "int": lambda value: int(value or 0),
    "int | None": lambda value: None if value is None else int(value),
    "float": lambda value: math.nan if value is None else float(value),
    "bool": bool,
    "tuple[str, ...]": _split,
}
"""How a cell is read, by the type of its field."""
