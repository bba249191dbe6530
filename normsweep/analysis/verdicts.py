"""The verdict on one question for one arm: catches up, does not, or not enough evidence."""

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
from normsweep.analysis.outcomes import Outcome, outcome
from normsweep.analysis.parity import Pairs, Values, at, parity
from normsweep.parts.metrics import ACCURACY, Metric

__all__ = [
    "LEAST_SEEDS",
    "Comparison",
    "Missing",
    "Rules",
    "Verdict",
    "judge",
    "primary_verdicts",
    "without_repeats",
]

LEAST_SEEDS = 5
"""Smallest number of seed pairs for a verdict."""


def judge(
    comparison: Comparison, rules: Rules, arm: Values, reference: Values, diverged: tuple[int, int]
) -> Verdict:
    """Compare an arm with its reference.

    `arm` and `reference` are (seeds, epochs, images), bool or integers 0 and 1 or, for another metric
    than the accuracy, floats whose mean over the images is the metric. They are paired by seed, have
    the images in the same order, and only the seeds with which both reached the horizon. `diverged`
    counts the diverged seeds of arm and reference, which the text of the verdict mentions. If lower is
    better, values are negated first.

    The arm catches up if its smoothed gap stays above −margin from some epoch to the horizon; it does
    not if the gap at the horizon is below −margin; both at the one-sided level `rules.tail`. There is
    no verdict with fewer than 5 seeds, nor if the reference is not clearly better than chance: the
    lower bound of its mean must be above chance + 2·margin, so that an arm at chance is always below
    the margin and cannot pass.

    Raises ValueError if seeds or images differ, or a compared epoch does not exist.
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
    found = Outcome.NOT_ENOUGH if lack.reason else outcome(gap.low, gap.high, rules.margin)
    if found is Outcome.NOT_ENOUGH and not lack.reason:
        lack = _further(more_seeds(m, rules.margin, rules.tail_at(rules.analysis + 1)))
    value, reference_value = (
        pairs.means(comparison.horizon) if pairs.seeds else (math.nan, math.nan)
    )
    sign = rules.metric.sign
    return Verdict(
        question=comparison.question,
        arm=comparison.arm,
        reference=comparison.reference,
        outcome=found,
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
        analysis=rules.analysis,
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
            raise ValueError(f"{name}: expected an epoch from 1 to {values.shape[1]}, got {epoch}")


def _barrier(comparison: Comparison, rules: Rules, pairs: Pairs, diverged: tuple[int, int]) -> Lack:
    """Why there cannot be a verdict; `Missing.NOTHING` if there can."""
    if pairs.seeds < LEAST_SEEDS:
        can = "can be compared" + _lost(comparison, diverged)
        reason = f"at least {LEAST_SEEDS} seeds are needed, {pairs.seeds} {can}"
        return Lack(Missing.TOO_FEW_SEEDS, reason)
    of_reference = at(pairs.reference, pairs.reference_epoch(comparison.horizon))
    level, sign = interval(moments(of_reference), rules.tail), rules.metric.sign
    if not level.low > sign * rules.chance + 2 * rules.margin:
        reason = (
            f"the reference {comparison.reference} is not clearly better than chance"
            f" ({rules.metric.label} {sign * level.value:.4f}, chance {rules.chance:.4f})"
        )
        return Lack(Missing.REFERENCE_AT_CHANCE, reason)
    return Lack(Missing.NOTHING)


def _lost(comparison: Comparison, diverged: tuple[int, int]) -> str:
    names = (comparison.arm, comparison.reference)
    lost = [f"{name} {count}" for name, count in zip(names, diverged, strict=True) if count]
    return f" (diverged seeds: {', '.join(lost)})" if lost else ""


def _further(seeds: str) -> Lack:
    if seeds == IMAGES:
        reason = "more test images would decide, not more seeds"
        return Lack(Missing.MORE_IMAGES, reason, seeds)
    if seeds.isdigit():
        return Lack(Missing.MORE_SEEDS, f"about {seeds} more seeds would decide", seeds)
    return Lack(Missing.MORE_SEEDS, f"{seeds} further seeds would be needed", seeds)


class Missing(StrEnum):
    """What is missing for a decision."""

    NOTHING = "nothing"
    MORE_SEEDS = "more seeds"
    MORE_IMAGES = "more images"
    TOO_FEW_SEEDS = "too few seeds"
    REFERENCE_AT_CHANCE = "reference at chance"


@dataclass(frozen=True)
class Lack:
    """What is missing for a decision, why, and how many more seeds are needed."""

    missing: Missing
    reason: str = ""
    more_seeds: str = ""


@dataclass(frozen=True)
class Comparison:
    """A comparison of an arm with the reference up to an epoch (the horizon, counted from 1).

    `fixed_at` is the epoch of the reference; None: the same epoch as that of the arm. `primary`:
    whether it is the primary question of the sweep; `baseline_epochs`: the epoch at which the baseline
    is evaluated, if there is one.
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
    """The parameters of a verdict.

    `margin` and `chance` are in the unit of the metric. `alpha` is 1 − confidence; `analysis` is the
    number of this analysis, from 1; `arms` is the number of arms compared with the reference.
    Raises ValueError if `analysis` or `arms` is below 1.
    """

    margin: float
    alpha: float
    analysis: int
    arms: int
    chance: float
    metric: Metric = ACCURACY

    def __post_init__(self) -> None:
        if self.analysis < 1 or self.arms < 1:
            raise ValueError(
                f"analysis, arms: must be at least 1, got {self.analysis} and {self.arms}"
            )

    @property
    def tail(self) -> float:
        """The one-sided level: half of alpha at the first analysis, halved at each further one."""
        return self.tail_at(self.analysis)

    def tail_at(self, analysis: int) -> float:
        """The one-sided level of an analysis; all analyses together stay below alpha."""
        return self.alpha / 2**analysis / self.arms


@dataclass(frozen=True)
class Verdict:
    """The answer to one question for one arm: the outcome and its evidence.

    `epoch` and `epoch_low` are N_up and N_low of `parity`, both None without a decision. `gap` is
    arm − reference at the horizon, smoothed, for new seeds and images; `on_these_images` the same for
    new seeds only. `value` and `reference_value` are the means whose difference is the gap. All are in
    the unit and direction of the metric. `diverged` counts the excluded seeds of arm and reference.
    `missing` and `reason` say why there is not enough evidence; the reason is empty otherwise.
    `more_seeds` is as in `estimates.more_seeds`, and empty if more seeds are not needed.
    `margin_needed` is the smallest margin that these images can confirm. `warnings` qualify the
    verdict.
    """

    question: str
    arm: str
    reference: str
    outcome: Outcome
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
    analysis: int
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
        """The verdict as part of a sentence, with divergences that qualify it."""
        return f"{self.outcome}: {self.reason}" if self.undecided else f"{self.outcome} {self.when}"

    @property
    def when(self) -> str:
        """At which epoch, or within how many; empty if it is undecided."""
        if self.catches_up:
            return f"at epoch {self.epoch}{_where_it_trains(self)}"
        epochs = "epoch" if self.horizon == 1 else "epochs"
        return f"within {self.horizon} {epochs}" if self.falls_short else ""

    @property
    def catches_up(self) -> bool:
        """Whether the arm catches up."""
        return self.outcome is Outcome.CATCHES_UP

    @property
    def falls_short(self) -> bool:
        """Whether the arm does not catch up."""
        return self.outcome is Outcome.DOES_NOT

    @property
    def undecided(self) -> bool:
        """Whether there is not enough evidence."""
        return self.outcome is Outcome.NOT_ENOUGH

    @property
    def further_seeds(self) -> int | None:
        """Number of further seeds that are needed; None if seeds do not help or too many are needed."""
        return int(self.more_seeds) if self.more_seeds.isdigit() else None

    @property
    def level(self) -> float:
        """The confidence level of its intervals: higher with several arms and in later analyses."""
        return 1 - 2 * self.tail

    @property
    def method(self) -> str:
        """The method of the interval, and its one-sided level."""
        if self.metric is not ACCURACY and self.metric.influence is None:
            return f"Student's t over seeds only, one-sided level {self.tail:.3g}"
        return (
            "two-way analysis of variance over seeds and test images, Student's t with Satterthwaite's "
            f"degrees of freedom, one-sided level {self.tail:.3g}"
        )


def _where_it_trains(verdict: Verdict) -> str:
    """The divergences behind a verdict; seeds with which one of the two diverged are not paired."""
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
    """The verdicts without redundant questions, which arise if the baseline has the most epochs.

    Of two equal questions the one with the most epochs is kept, or the primary one.
    """
    repeated = set()
    for short, long in (("tuned_rate", "tuned_rate_longest"), ("both_tuned_short", "both_tuned")):
        ends = {v.question: v for v in verdicts if v.question in (short, long)}
        if len({v.horizon for v in ends.values()}) == 1 and len(ends) == 2:
            repeated.add(long if ends[short].primary else short)
    return [v for v in verdicts if v.question not in repeated]


def primary_verdicts(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts on the primary question; if there is none, on the first question."""
    marked = [v for v in verdicts if v.primary]
    return marked or [v for v in verdicts if v.question == verdicts[0].question]
