"""What is asked of an arm, by which rules, and how the answer reads."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from normsweep.analysis.estimates import Estimate
from normsweep.parts import ACCURACY, Metric

__all__ = ["Comparison", "Rules", "Verdict", "Word"]


class Word(StrEnum):
    """The three verdicts."""

    CATCHES_UP = "catches up"
    DOES_NOT = "does not catch up"
    NOT_ENOUGH = "not enough evidence"


@dataclass(frozen=True)
class Comparison:
    """Which arm is held against which, up to which epoch (the horizon, counted from 1).

    `fixed_at` is the epoch at which the reference stands; None: the same epoch as the arm's.
    """

    question: str
    arm: str
    reference: str
    horizon: int
    fixed_at: int | None = None


@dataclass(frozen=True)
class Rules:
    """What a verdict is held to.

    `margin` and `chance` are in the metric's unit. `alpha` is 1 − confidence; `look` counts from 1
    the times that this study's seeds were judged; `arms` are those held against the reference.
    Raises ValueError for a look or a number of arms under 1.
    """

    margin: float
    alpha: float
    look: int
    arms: int
    chance: float
    metric: Metric = ACCURACY

    def __post_init__(self) -> None:
        if self.look < 1 or self.arms < 1:
            raise ValueError(f"look and arms count from 1, not {self.look} and {self.arms}")

    @property
    def tail(self) -> float:
        """The one-sided level: half of alpha at the first look, half again at each further one."""
        return self.tail_at(self.look)

    def tail_at(self, look: int) -> float:
        """The one-sided level of a look. All looks together stay under alpha."""
        return self.alpha / 2**look / self.arms


@dataclass(frozen=True)
class Verdict:
    """A word with all that it stands on.

    `epoch` and `epoch_low` are N_up and N_low of `parity`, both None where no verdict is given.
    `gap` is arm − reference at the horizon, smoothed, for new seeds and images;
    `on_these_images` the same for new seeds alone. `value` and `reference_value` are the means whose
    difference the gap is. All are in the metric's own unit and direction. `diverged` counts the seeds of arm and reference that are left out.
    `reason` says why the evidence is not enough, and is empty otherwise; `more_seeds` is as in
    `planning.more_seeds`, empty where more seeds are not the matter. `margin_needed` is the
    smallest margin that these images can confirm.
    """

    question: str
    arm: str
    reference: str
    word: Word
    epoch: int | None
    epoch_low: int | None
    horizon: int
    gap: Estimate
    on_these_images: Estimate
    seeds: int
    images: int
    margin: float
    tail: float
    look: int
    comparisons: int
    more_seeds: str
    reason: str
    diverged: tuple[int, int]
    value: float
    reference_value: float
    margin_needed: float
    metric: Metric

    @property
    def text(self) -> str:
        """The verdict in a sentence's words, with the divergences that qualify it."""
        if self.word is Word.CATCHES_UP:
            return f"{self.word} at epoch {self.epoch}{_where_it_trains(self)}"
        if self.word is Word.DOES_NOT:
            epochs = "epoch" if self.horizon == 1 else "epochs"
            return f"{self.word} within {self.horizon} {epochs}"
        return f"{self.word}: {self.reason}"


def _where_it_trains(verdict: Verdict) -> str:
    """The divergences behind a verdict. Seeds of which only the reference trained are not paired."""
    arm, reference = verdict.diverged
    if arm and reference:
        return (
            f" where both train ({arm} of its seeds and {reference} of"
            f" {verdict.reference}'s diverged)"
        )
    if arm:
        return f" where it trains ({arm} of {verdict.seeds + arm} seeds diverged)"
    if reference:
        total = verdict.seeds + reference
        return f" where {verdict.reference} trains ({reference} of its {total} seeds diverged)"
    return ""
