"""The outcomes: one table that reads an outcome off an interval and a margin.

Python reads it with `outcome`; the page of a report gets the same rows as data (`as_data`) and reads
them in the browser, for the margin that a reader picks.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

__all__ = [
    "EARLIER",
    "OUTCOMES",
    "Outcome",
    "OutcomeRow",
    "Side",
    "as_data",
    "earlier_word",
    "outcome",
    "outcome_of",
    "side",
]


class Outcome(StrEnum):
    """The outcome of a verdict. The last three are those of studies under earlier rules."""

    AHEAD = "ahead"
    LEVEL = "level"
    A_LITTLE_BEHIND = "level, a little behind"
    BEHIND = "behind"
    CLEARLY_BEHIND = "clearly behind"
    OPEN = "open"
    DOES_NOT_TRAIN = "does not train"
    CONTRADICTORY = "contradictory"
    CATCHES_UP = "catches up"
    DOES_NOT = "does not catch up"
    NOT_ENOUGH = "not enough evidence"


class Side(StrEnum):
    """What an outcome says about the arm: as good as the reference, worse, or neither."""

    YES = "yes"
    NO = "no"
    OPEN = "open"


SIDES: Mapping[Outcome, Side] = MappingProxyType(
    {
        Outcome.AHEAD: Side.YES,
        Outcome.LEVEL: Side.YES,
        Outcome.A_LITTLE_BEHIND: Side.YES,
        Outcome.BEHIND: Side.OPEN,
        Outcome.CLEARLY_BEHIND: Side.NO,
        Outcome.OPEN: Side.OPEN,
        Outcome.DOES_NOT_TRAIN: Side.NO,
        Outcome.CONTRADICTORY: Side.OPEN,
        Outcome.CATCHES_UP: Side.YES,
        Outcome.DOES_NOT: Side.NO,
        Outcome.NOT_ENOUGH: Side.OPEN,
    }
)

Bounds = tuple[float, float]
"""The lower and the upper bound of an interval."""
Relation = Literal[">", ">=", "<", "<="]
RELATIONS: Mapping[str, Callable[[float, float], bool]] = MappingProxyType(
    {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
)


@dataclass(frozen=True)
class Condition:
    """A bound of the interval compared with a number of margins, or with the other bound.

    `low > -1` is low > −margin.
    """

    bound: Literal["low", "high"]
    relation: Relation
    than: Literal[0, -1, "high"]

    def holds(self, gap: Bounds, moved: Bounds) -> bool:
        """Whether it is met, with `moved` for a bound plus the margin; never by a bound that is NaN."""
        low, high = moved if self.than == -1 else gap
        than = high if self.than == "high" else 0.0
        return RELATIONS[self.relation](low if self.bound == "low" else high, than)


@dataclass(frozen=True)
class OutcomeRow:
    """An outcome and the conditions that all have to hold for it."""

    outcome: Outcome
    conditions: tuple[Condition, ...] = ()


OUTCOMES = (
    OutcomeRow(Outcome.CONTRADICTORY, (Condition("low", ">", "high"),)),
    OutcomeRow(Outcome.AHEAD, (Condition("low", ">", 0),)),
    OutcomeRow(Outcome.LEVEL, (Condition("low", ">", -1), Condition("high", ">=", 0))),
    OutcomeRow(Outcome.A_LITTLE_BEHIND, (Condition("low", ">", -1), Condition("high", "<", 0))),
    OutcomeRow(Outcome.CLEARLY_BEHIND, (Condition("high", "<", -1),)),
    OutcomeRow(Outcome.BEHIND, (Condition("high", "<", 0),)),
    OutcomeRow(Outcome.OPEN),
)
"""In order: the first row whose conditions hold is the outcome; the last one has none."""

EARLIER = (
    OutcomeRow(Outcome.CATCHES_UP, (Condition("low", ">", -1),)),
    OutcomeRow(Outcome.DOES_NOT, (Condition("high", "<", -1),)),
    OutcomeRow(Outcome.NOT_ENOUGH),
)
"""The table of studies under earlier rules."""

WORDS: Mapping[Outcome, Outcome] = MappingProxyType(
    {
        Outcome.AHEAD: Outcome.CATCHES_UP,
        Outcome.LEVEL: Outcome.CATCHES_UP,
        Outcome.A_LITTLE_BEHIND: Outcome.CATCHES_UP,
        Outcome.CLEARLY_BEHIND: Outcome.DOES_NOT,
    }
)


def outcome(
    low: float, high: float, margin: float, rows: Sequence[OutcomeRow] = OUTCOMES
) -> Outcome:
    """The outcome of a gap (arm − reference, higher is better) with the interval from `low` to `high`.

    Bounds and margin are in the unit of the metric; an unknown bound is NaN and meets no condition.
    """
    return outcome_of((low, high), (low + margin, high + margin), rows)


def outcome_of(gap: Bounds, moved: Bounds, rows: Sequence[OutcomeRow] = OUTCOMES) -> Outcome:
    """The outcome of the interval of a gap, and of that of the gap plus the margin.

    The second one is an interval of its own if the margin is a share of the reference, which has noise.
    """
    return next(
        row.outcome
        for row in rows
        if all(condition.holds(gap, moved) for condition in row.conditions)
    )


def side(found: Outcome) -> Side:
    """What an outcome says about the arm."""
    return SIDES[found]


def earlier_word(found: Outcome) -> Outcome:
    """The outcome in the words of earlier rules, for the column `word`."""
    return found if found in WORDS.values() else WORDS.get(found, Outcome.NOT_ENOUGH)


def as_data(rows: Sequence[OutcomeRow] = OUTCOMES) -> list[dict[str, object]]:
    """The table as JSON for the page: rows of outcome, side and conditions [bound, relation, than]."""
    return [
        {
            "outcome": row.outcome.value,
            "side": side(row.outcome).value,
            "conditions": [[c.bound, c.relation, c.than] for c in row.conditions],
        }
        for row in rows
    ]
