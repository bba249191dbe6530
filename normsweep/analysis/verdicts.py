"""The verdict on one question about one arm: catches up, does not, or not enough evidence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from normsweep.analysis.estimates import (
    IMAGES,
    Estimate,
    interval,
    moments,
    more_seeds,
    seeds_only,
    smallest_margin,
)
from normsweep.analysis.parity import Pairs, Values, at, parity
from normsweep.parts.metrics import ACCURACY, Metric

__all__ = [
    "LEAST_SEEDS",
    "Comparison",
    "Missing",
    "Rules",
    "Verdict",
    "Word",
    "judge",
    "primary_verdicts",
    "without_repeats",
]

LEAST_SEEDS = 5
"""Seed pairs under which no verdict is given."""


def judge(
    comparison: Comparison, rules: Rules, arm: Values, reference: Values, diverged: tuple[int, int]
) -> Verdict:
    """Hold an arm against its reference.

    `arm` and `reference` are (seeds, epochs, images), bool or integers 0 and 1 or, for another metric
    than the accuracy, floats whose mean over the images it is: paired by seed, only seeds of which both
    trained to the horizon, in the same order of images. `diverged` counts the other seeds of arm and
    reference, which the text of the verdict then names. Where lower is better, all that follows holds
    of the values' negatives.

    The arm catches up where its smoothed gap stays above −margin from some epoch to the horizon; it
    does not where the gap at the horizon is under −margin; both at the one-sided level
    `rules.tail`. There is no verdict under 5 seeds, nor where the reference is not clearly better
    than chance: its mean has to have a lower bound above chance + 2·margin, so that an arm
    that merely guesses is always under the margin and can never pass.

    Raises ValueError where seeds or images of the two differ, or an epoch asked for is not there.
    """
    pairs = Pairs(_upward(arm, rules), _upward(reference, rules), comparison.fixed_at)
    _check_epochs(comparison, pairs)
    lack = _barrier(comparison, rules, pairs, diverged)
    low, up = None, None
    if not lack.reason:
        low, up = parity(pairs, comparison.horizon, rules.margin, rules.tail)
    return _verdict(comparison, rules, pairs, diverged, lack, (low, up))


def _upward(values: Values, rules: Rules) -> Values:
    return values if rules.metric.sign > 0 else -values


def _verdict(
    comparison: Comparison,
    rules: Rules,
    pairs: Pairs,
    diverged: tuple[int, int],
    lack: Lack,
    epochs: tuple[int | None, int | None],
) -> Verdict:
    m, (low, up) = pairs.gap(comparison.horizon), epochs
    gap = interval(m, rules.tail)
    word = Word.NOT_ENOUGH if lack.reason else _word(gap, up, rules.margin)
    if word is Word.NOT_ENOUGH and not lack.reason:
        lack = _further(more_seeds(m, rules.margin, rules.tail_at(rules.look + 1)))
    value, reference_value = (
        pairs.means(comparison.horizon) if pairs.seeds else (math.nan, math.nan)
    )
    sign = rules.metric.sign
    return Verdict(
        question=comparison.question,
        arm=comparison.arm,
        reference=comparison.reference,
        word=word,
        epoch=up,
        epoch_low=low,
        horizon=comparison.horizon,
        gap=gap.times(sign),
        on_these_images=seeds_only(m, rules.tail).times(sign),
        seeds=pairs.seeds,
        images=pairs.images,
        margin=rules.margin,
        confidence=1 - rules.alpha,
        tail=rules.tail,
        look=rules.look,
        comparisons=rules.arms,
        missing=lack.missing,
        more_seeds=lack.more_seeds,
        reason=lack.reason,
        diverged=diverged,
        value=sign * value,
        reference_value=sign * reference_value,
        margin_needed=smallest_margin(m),
        metric=rules.metric,
        primary=comparison.primary,
        baseline_epochs=comparison.baseline_epochs,
    )


def _check_epochs(comparison: Comparison, pairs: Pairs) -> None:
    needed = {
        comparison.arm: (comparison.horizon, pairs.arm),
        comparison.reference: (pairs.reference_epoch(comparison.horizon), pairs.reference),
    }
    for name, (epoch, values) in needed.items():
        if not 1 <= epoch <= values.shape[1]:
            raise ValueError(f"{name}: epoch {epoch} is not among its {values.shape[1]} epochs")


def _barrier(comparison: Comparison, rules: Rules, pairs: Pairs, diverged: tuple[int, int]) -> Lack:
    """Why no verdict can be given at all, or nothing."""
    if pairs.seeds < LEAST_SEEDS:
        can = "can be compared" + _lost(comparison, diverged)
        reason = f"at least {LEAST_SEEDS} seeds are needed, {pairs.seeds} {can}"
        return Lack(Missing.TOO_FEW_SEEDS, reason)
    stands = at(pairs.reference, pairs.reference_epoch(comparison.horizon))
    level, sign = interval(moments(stands), rules.tail), rules.metric.sign
    if not level.low > sign * rules.chance + 2 * rules.margin:
        reason = (
            f"{comparison.reference}, which it is held against, is not clearly better than guessing"
            f" ({rules.metric.label} {sign * level.value:.4f}, guessing {rules.chance:.4f})"
        )
        return Lack(Missing.REFERENCE_AT_CHANCE, reason)
    return Lack(Missing.NOTHING)


def _lost(comparison: Comparison, diverged: tuple[int, int]) -> str:
    names = (comparison.arm, comparison.reference)
    lost = [f"{name} {count}" for name, count in zip(names, diverged, strict=True) if count]
    return f" (seeds that diverged: {', '.join(lost)})" if lost else ""


def _word(gap: Estimate, up: int | None, margin: float) -> Word:
    if up is not None:
        return Word.CATCHES_UP
    return Word.DOES_NOT if gap.high < -margin else Word.NOT_ENOUGH


def _further(seeds: str) -> Lack:
    if seeds == IMAGES:
        reason = "more test images would decide, not more seeds"
        return Lack(Missing.MORE_IMAGES, reason, seeds)
    if seeds.isdigit():
        return Lack(Missing.MORE_SEEDS, f"about {seeds} more seeds would decide", seeds)
    return Lack(Missing.MORE_SEEDS, f"{seeds} further seeds would be needed", seeds)


class Word(StrEnum):
    """The three verdicts."""

    CATCHES_UP = "catches up"
    DOES_NOT = "does not catch up"
    NOT_ENOUGH = "not enough evidence"


class Missing(StrEnum):
    """What a verdict lacks to be decided."""

    NOTHING = "nothing"
    MORE_SEEDS = "more seeds"
    MORE_IMAGES = "more images"
    TOO_FEW_SEEDS = "too few seeds"
    REFERENCE_AT_CHANCE = "reference at chance"


@dataclass(frozen=True)
class Lack:
    """What a verdict lacks, in words, and how many more seeds."""

    missing: Missing
    reason: str = ""
    more_seeds: str = ""


@dataclass(frozen=True)
class Comparison:
    """Which arm is held against which, up to which epoch (the horizon, counted from 1).

    `fixed_at` is the epoch at which the reference stands; None: the same epoch as the arm's.
    `primary` says that the sweep declared the question as its own; `baseline_epochs` at which epoch
    the baseline is read, if there is one.
    """

    question: str
    arm: str
    reference: str
    horizon: int
    fixed_at: int | None = None
    primary: bool = False
    baseline_epochs: int | None = None


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
    """The answer to one question for one arm: a word with all that it stands on.

    `epoch` and `epoch_low` are N_up and N_low of `parity`, both None where no verdict is given.
    `gap` is arm − reference at the horizon, smoothed, for new seeds and images;
    `on_these_images` the same for new seeds alone. `value` and `reference_value` are the means whose
    difference the gap is. All are in the metric's own unit and direction. `diverged` counts the seeds of arm and reference that are left out.
    `missing` and `reason` say why the evidence is not enough; the reason is empty otherwise. `more_seeds`
    is as in `estimates.more_seeds`, empty where more seeds are not the matter. `margin_needed` is the
    smallest margin that these images can confirm. `warnings` change how the verdict is read.
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
    confidence: float
    tail: float
    look: int
    comparisons: int
    missing: Missing
    more_seeds: str
    reason: str
    diverged: tuple[int, int]
    value: float
    reference_value: float
    margin_needed: float
    metric: Metric
    primary: bool
    baseline_epochs: int | None
    warnings: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The verdict in a sentence's words, with the divergences that qualify it."""
        return f"{self.word}: {self.reason}" if self.undecided else f"{self.word} {self.when}"

    @property
    def when(self) -> str:
        """At which epoch, or within how many; empty where it is undecided."""
        if self.catches_up:
            return f"at epoch {self.epoch}{_where_it_trains(self)}"
        epochs = "epoch" if self.horizon == 1 else "epochs"
        return f"within {self.horizon} {epochs}" if self.falls_short else ""

    @property
    def catches_up(self) -> bool:
        """Whether the arm was found to catch up."""
        return self.word is Word.CATCHES_UP

    @property
    def falls_short(self) -> bool:
        """Whether the arm was found not to catch up."""
        return self.word is Word.DOES_NOT

    @property
    def undecided(self) -> bool:
        """Whether the evidence is not enough."""
        return self.word is Word.NOT_ENOUGH

    @property
    def further_seeds(self) -> int | None:
        """How many more seeds would decide; None where seeds do not, or too many would be needed."""
        return int(self.more_seeds) if self.more_seeds.isdigit() else None

    @property
    def level(self) -> float:
        """The confidence level of its intervals: above the declared one with several arms and at later looks."""
        return 1 - 2 * self.tail

    @property
    def method(self) -> str:
        """How the interval was computed, and its one-sided level."""
        if self.metric is not ACCURACY and self.metric.influence is None:
            return f"Student's t over seeds alone, one-sided level {self.tail:.3g}"
        return (
            "two-way analysis of variance over seeds and test images, Student's t with Satterthwaite's "
            f"degrees of freedom, one-sided level {self.tail:.3g}"
        )


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


def without_repeats(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Without the questions that say the same as another: the baseline trains as long as it goes.

    Of two such questions the one at the longest budget stays, or the primary one.
    """
    repeated = set()
    for short, long in (("tuned_rate", "tuned_rate_longest"), ("both_tuned_short", "both_tuned")):
        ends = {v.question: v for v in verdicts if v.question in (short, long)}
        if len({v.horizon for v in ends.values()}) == 1 and len(ends) == 2:
            repeated.add(long if ends[short].primary else short)
    return [v for v in verdicts if v.question not in repeated]


def primary_verdicts(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Those of the question that the sweep declared as its own, else of the first one."""
    marked = [v for v in verdicts if v.primary]
    return marked or [v for v in verdicts if v.question == verdicts[0].question]
