"""The outcomes: one table that reads an outcome off an interval and a margin.

Python reads it with `outcome`; the page of a report gets the same rows as data (`as_data`) and reads
them in the browser, for the margin that a reader picks.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

__all__ = ["OUTCOMES", "Outcome", "OutcomeRow", "Side", "as_data", "outcome", "side"]


class Outcome(StrEnum):
    """The outcome of a verdict."""

    CATCHES_UP = "catches up"
    DOES_NOT = "does not catch up"
    NOT_ENOUGH = "not enough evidence"


class Side(StrEnum):
    """What an outcome says about the arm: as good as the reference, worse, or neither."""

    YES = "yes"
    NO = "no"
    OPEN = "open"


Relation = Literal[">", ">=", "<", "<="]
RELATIONS: Mapping[str, Callable[[float, float], bool]] = MappingProxyType(
    {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
)


@dataclass(frozen=True)
class Condition:
    """A bound of the interval compared with a number of margins: `low > -1` is low > −margin."""

    bound: Literal["low", "high"]
    relation: Relation
    margins: int

    def holds(self, low: float, high: float, margin: float) -> bool:
        """Whether it is met; never by a bound that is NaN."""
        value = low if self.bound == "low" else high
        return RELATIONS[self.relation](value, self.margins * margin)


@dataclass(frozen=True)
class OutcomeRow:
    """An outcome and the conditions that all have to hold for it."""

    outcome: Outcome
    side: Side
    conditions: tuple[Condition, ...] = ()


OUTCOMES = (
    OutcomeRow(Outcome.CATCHES_UP, Side.YES, (Condition("low", ">", -1),)),
    OutcomeRow(Outcome.DOES_NOT, Side.NO, (Condition("high", "<", -1),)),
    OutcomeRow(Outcome.NOT_ENOUGH, Side.OPEN),
)
"""In order: the first row whose conditions hold is the outcome; the last one has none."""


def outcome(low: float, high: float, margin: float) -> Outcome:
    """The outcome of a gap (arm − reference, higher is better) with the interval from `low` to `high`.

    Bounds and margin are in the unit of the metric; an unknown bound is NaN and meets no condition.
    """
    return next(
        row.outcome
        for row in OUTCOMES
        if all(condition.holds(low, high, margin) for condition in row.conditions)
    )


def side(found: Outcome) -> Side:
    """What an outcome says about the arm."""
    return next(row.side for row in OUTCOMES if row.outcome is found)


def as_data() -> list[dict[str, object]]:
    """The table as JSON for the page: rows of outcome, side and conditions [bound, relation, margins]."""
    return [
        {
            "outcome": row.outcome.value,
            "side": row.side.value,
            "conditions": [[c.bound, c.relation, c.margins] for c in row.conditions],
        }
        for row in OUTCOMES
    ]
