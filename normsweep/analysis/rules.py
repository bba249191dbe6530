"""What a verdict is asked (`Comparison`), by which rules (`Rules`), and how many seeds trained."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from scipy.special import betaincinv

from normsweep.analysis.sequential import levels
from normsweep.parts.metrics import ACCURACY, Metric
from normsweep.sweep.schema import LEAST_SEEDS
from normsweep.sweep.study_record import BASELINE, BASELINE_SHORT, TUNED_LONG, TUNED_SHORT
from normsweep.text import counted

__all__ = [
    "LEAST_SEEDS",
    "Chosen",
    "Comparison",
    "Lack",
    "Missing",
    "Rules",
    "Trained",
    "compared",
    "of_reference",
]


_CONFIGURATIONS = {
    "more_epochs": (BASELINE, BASELINE),
    "equal_epochs": (BASELINE, BASELINE),
    "tuned_rate": (TUNED_SHORT, BASELINE),
    "tuned_rate_longest": (TUNED_LONG, BASELINE),
    "both_tuned_short": (TUNED_SHORT, TUNED_SHORT),
    "both_tuned": (TUNED_LONG, TUNED_LONG),
}
"""For each question, the configurations of arm and reference."""
AT_BASELINE_EPOCHS = ("more_epochs", "tuned_rate")
"""Questions that read the reference's baseline at its own epochs."""


def compared(question: str) -> tuple[str, str]:
    """The configurations of arm and reference that a question compares."""
    return _CONFIGURATIONS[question]


def of_reference(question: str) -> tuple[str, ...]:
    """The configurations of the reference that a question needs, if they are of several lengths."""
    _, name = compared(question)
    return (name, BASELINE_SHORT) if question in AT_BASELINE_EPOCHS else (name,)


class Missing(StrEnum):
    """What is missing for a decision."""

    NOTHING = "nothing"
    MORE_SEEDS = "more seeds"
    MORE_IMAGES = "more images"
    TOO_FEW_SEEDS = "too few seeds"
    UNDECIDABLE = "undecidable"
    REFERENCE_AT_CHANCE = "reference at chance"


@dataclass(frozen=True)
class Lack:
    """What is missing for a decision, why, and how many more seeds are needed."""

    missing: Missing = Missing.NOTHING
    reason: str = ""
    more_seeds: str = ""


@dataclass(frozen=True)
class Comparison:
    """A comparison of an arm with the reference up to an epoch (the horizon, counted from 1).

    `fixed_at` is the epoch of the reference; None: the same epoch as that of the arm. `primary`:
    whether it is the primary question of the sweep; `baseline_epochs`: the epoch at which the baseline
    is evaluated, if there is one. `horizon_only`: whether no other epoch is read, because each number of
    epochs is a training of its own.
    """

    question: str
    arm: str
    reference: str
    horizon: int
    fixed_at: int | None = None
    primary: bool = False
    baseline_epochs: int | None = None
    horizon_only: bool = False


@dataclass(frozen=True)
class Rules:
    """The parameters of a verdict.

    `margin` and `chance` are in the unit of the metric; with a `share`, the margin is that share of the
    value of the reference instead. `alpha` is 1 − confidence; `arms` is the number
    of arms compared with the reference. With `most` there is an analysis after each number of pairs from
    `first` to `most`, which share the level; otherwise one analysis of all pairs. `image` is the largest
    difference that one more image can make to the gap of M images, times M + 1; None: the largest that
    was seen; 0: none, if the influence of an image is unknown.

    Raises ValueError if `arms` is below 1, or `most` below `first`.
    """

    margin: float
    alpha: float
    arms: int
    chance: float
    metric: Metric = ACCURACY
    image: float | None = 1.0
    first: int = LEAST_SEEDS
    most: int | None = None
    share: float = 0.0

    def __post_init__(self) -> None:
        if self.arms < 1:
            raise ValueError(f"arms: must be at least 1, got {self.arms}")
        if self.most is not None and self.most < self.first:
            raise ValueError(f"most: must be at least {self.first}, got {self.most}")

    def margin_at(self, reference: float) -> float:
        """The margin in the unit of the metric, for a value of the reference."""
        return self.share * abs(reference) if self.share else self.margin

    @property
    def tail(self) -> float:
        """The one-sided level of all analyses together."""
        return self.alpha / 2 / self.arms

    @property
    def levels(self) -> tuple[float, ...]:
        """The one-sided level of each analysis."""
        return (self.tail,) if self.most is None else levels(self.tail, self.first, self.most)

    def analyses(self, pairs: int) -> tuple[tuple[int, float], ...]:
        """The analyses up to a number of pairs: the pairs and the one-sided level of each."""
        if self.most is None:
            return ((pairs, self.tail),)
        at = enumerate(self.levels, start=self.first)
        return tuple((n, level) for n, level in at if n <= pairs)


@dataclass(frozen=True)
class Trained:
    """How many seeds of a configuration trained, diverged, or were stuck at the level of guessing."""

    trained: int
    diverged: int = 0
    stuck: int = 0

    @property
    def seeds(self) -> int:
        """The number of seeds."""
        return self.trained + self.lost

    @property
    def lost(self) -> int:
        """The number of seeds that did not train."""
        return self.diverged + self.stuck

    @property
    def words(self) -> str:
        """`3 of 5 seeds trained`."""
        return f"{self.trained} of {counted(self.seeds, 'seed')} trained"

    @property
    def lost_at_most(self) -> float:
        """The 95 % upper bound of the share of all seeds that do not train.

        Reference: Clopper & Pearson, Biometrika 26(4), 1934.
        """
        if not self.trained:
            return 1.0 if self.seeds else math.nan
        return float(betaincinv(self.lost + 1, self.trained, 0.95))


@dataclass(frozen=True)
class Chosen:
    """How the tuned configuration of an arm was chosen, and what the confirmation found of it.

    `among` are the trials of the arm that reached its epoch, `of` all of them, 0 in older studies.
    `value` and `baseline` are means at the horizon of a question; `worse`: whether the tuned
    configuration is worse than the baseline.
    """

    arm: str
    among: int
    of: int
    value: float = math.nan
    baseline: float = math.nan
    worse: bool = False
