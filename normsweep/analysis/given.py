"""Runs that were made elsewhere: their verdicts, from plain numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from normsweep.analysis.confirm_runs import Curve, SeedCurve
from normsweep.analysis.estimates import Estimate, interval, moments
from normsweep.analysis.outcomes import Outcome
from normsweep.analysis.parity import Parity, Values
from normsweep.analysis.rules import LEAST_SEEDS, Comparison, Missing, Rules, Trained
from normsweep.analysis.verdicts import Verdict, judge
from normsweep.parts.metrics import Metric
from normsweep.text import counted, listed

__all__ = ["GIVEN", "ArmRuns", "GivenRuns", "Judgement", "judged"]

GIVEN = "given_runs"
"""The question of given runs, and the name of their only configuration."""
NO_SPREAD = 1e-9
"""Width of an interval as a share of the scores, up to which it is rounding."""


@dataclass(frozen=True)
class ArmRuns:
    """The runs of an arm: scores (runs, epochs), or (runs, 1, examples) whose mean is the score.

    A score that is not finite is that of a run that did not train. `seeds` name the runs, and are empty
    if no seed is known; equal ones of two arms are a pair.
    """

    arm: str
    scores: NDArray[np.float64]
    seeds: tuple[str, ...] = ()

    @cached_property
    def trained(self) -> tuple[int, ...]:
        """The places of the runs whose scores are all finite."""
        finite = np.isfinite(self.scores).reshape(len(self.scores), -1).all(axis=1)
        return tuple(np.flatnonzero(finite).tolist())

    @property
    def count(self) -> Trained:
        """How many runs trained."""
        return Trained(len(self.trained), len(self.scores) - len(self.trained))

    @property
    def finals(self) -> tuple[float, ...]:
        """The final score of each run; NaN if it did not train."""
        last = self.scores[:, -1]
        return tuple((last.mean(axis=1) if last.ndim == 2 else last).tolist())

    def values(self, places: Sequence[int]) -> Values:
        """(runs, epochs, examples); where only means are known, two equal ones stand for all examples."""
        chosen = self.scores[list(places)]
        return chosen if chosen.ndim == 3 else np.repeat(chosen[:, :, None], 2, axis=2)


@dataclass(frozen=True)
class GivenRuns:
    """Runs of several arms with the same number of epochs; the metric says which score is better.

    `epochs` is 0 if only final scores are known. `notes` say how they were read. `varied` are settings
    that differ between the runs of one arm.
    """

    name: str
    arms: tuple[ArmRuns, ...]
    metric: Metric
    epochs: int = 0
    notes: tuple[str, ...] = ()
    varied: tuple[str, ...] = ()

    @property
    def examples(self) -> int:
        """Number of examples with scores of their own; 0 if only means are known."""
        return self.arms[0].scores.shape[2] if self.arms[0].scores.ndim == 3 else 0

    def arm(self, name: str) -> ArmRuns:
        """The runs of an arm."""
        return next(runs for runs in self.arms if runs.arm == name)


@dataclass(frozen=True)
class Judgement:
    """The verdicts on given runs, and their curves if scores of several epochs are known."""

    runs: GivenRuns
    reference: str
    margin: float
    confidence: float
    verdicts: tuple[Verdict, ...]
    curves: tuple[Curve, ...]

    @property
    def metric(self) -> Metric:
        """The metric of the runs."""
        return self.runs.metric

    @property
    def names(self) -> tuple[str, ...]:
        """The arms, in the order of the runs."""
        return tuple(runs.arm for runs in self.runs.arms)

    @property
    def data_words(self) -> str:
        """Of which data the scores are is not known."""
        return ""

    @property
    def steps_per_epoch(self) -> None:
        """Not known."""
        return None

    def seeds_of(self, curve: Curve) -> tuple[SeedCurve, ...]:
        """The runs behind a curve, those that did not train left out."""
        runs = self.runs.arm(curve.arm)
        rows = runs.values(runs.trained).mean(axis=2)
        return tuple(SeedCurve(i, None, tuple(row.tolist())) for i, row in enumerate(rows))

    def tuning_seconds(self, curve: Curve) -> float:
        """Not known."""
        return math.nan


def judged(
    runs: GivenRuns,
    reference: str,
    margin: float,
    confidence: float = 0.95,
    chance: float | None = None,
) -> Judgement:
    """Compare each arm with the reference, by the rules of a study with one analysis.

    Runs are paired where arm and reference have at least five seeds in common, or as many as unpaired runs
    would give; otherwise Welch's interval is taken. `chance` is the level of guessing, if it is known.

    Raises ValueError if there is no such reference or no other arm, or margin or confidence make no sense.
    """
    others = [arm for arm in runs.arms if arm.arm != reference]
    if len(others) == len(runs.arms) or not others:
        raise ValueError(f"expected the reference {reference} and another arm")
    if not (margin > 0 and 0.5 < confidence < 1):
        raise ValueError(
            f"expected a margin above 0 and a confidence in (0.5, 1), got {margin}, {confidence}"
        )
    by = runs.metric
    rules = Rules(
        margin=margin,
        alpha=1 - confidence,
        arms=len(others),
        chance=-by.sign * math.inf if chance is None else chance,
        metric=by,
        image=_one_more(runs),
    )
    verdicts = tuple(_verdict(runs, arm, runs.arm(reference), rules) for arm in others)
    return Judgement(
        runs, reference, margin, confidence, verdicts, tuple(_curves(runs, confidence))
    )


def _one_more(runs: GivenRuns) -> float | None:
    """The difference of one more example: 0 if examples are unknown, 1 of scores 0 and 1."""
    if not runs.examples:
        return 0.0
    seen = [arm.scores[list(arm.trained)] for arm in runs.arms]
    binary = all(np.isin(scores, (0, 1)).all() for scores in seen)
    return 1.0 if binary else None


def _verdict(runs: GivenRuns, arm: ArmRuns, reference: ArmRuns, rules: Rules) -> Verdict:
    a, b = _pairs(arm, reference)
    paired = min(len(a), len(b)) >= min(LEAST_SEEDS, len(arm.trained), len(reference.trained))
    paired = paired and bool(a)
    if not paired:
        a, b = arm.trained, reference.trained
    comparison = Comparison(GIVEN, arm.arm, reference.arm, max(runs.epochs, 1), primary=True)
    trained = arm.count, reference.count
    alone = reference.values(reference.trained)
    found = judge(comparison, rules, arm.values(a), reference.values(b), trained, paired, alone)
    parity = found.parity if runs.epochs else Parity()
    warnings = tuple(_warnings(arm, reference, found))
    found = replace(found, parity=parity, images=runs.examples, warnings=warnings)
    if _without_spread(found):
        reason = "all runs give the same gap, and without a spread there is no interval: were the seeds used?"
        missing = Missing.TOO_FEW_SEEDS
        found = replace(
            found,
            outcome=Outcome.OPEN,
            parity=Parity(),
            missing=missing,
            reason=reason,
            gap=_unknown(found.gap),
            plain=_unknown(found.plain),
            last_epoch=_unknown(found.last_epoch),
            on_these_images=_unknown(found.on_these_images),
        )
    return found if runs.epochs else replace(found, horizon=0)


def _unknown(estimate: Estimate) -> Estimate:
    return replace(estimate, low=math.nan, high=math.nan)


def _without_spread(verdict: Verdict) -> bool:
    """Whether the seeds make no difference and no example says otherwise: that is no certainty."""
    spread = verdict.on_these_images.high - verdict.on_these_images.low
    scale = max(abs(verdict.value), abs(verdict.reference_value))
    return not verdict.images and spread <= NO_SPREAD * scale


def _pairs(arm: ArmRuns, reference: ArmRuns) -> tuple[list[int], list[int]]:
    """The places of the runs of both with the same seeds, with which both trained."""
    places = {reference.seeds[place]: place for place in reference.trained if reference.seeds}
    both = [(p, places[arm.seeds[p]]) for p in arm.trained if arm.seeds and arm.seeds[p] in places]
    return [p for p, _ in both], [p for _, p in both]


def _warnings(arm: ArmRuns, reference: ArmRuns, verdict: Verdict) -> Iterator[str]:
    by = verdict.metric
    for each in (arm, reference):
        if lost := each.count.lost:
            yield f"{counted(lost, 'run')} of {each.arm} without a finite score: not in the gap"
    common = set(arm.seeds) & set(reference.seeds)
    if not verdict.paired and common:
        both = len(_pairs(arm, reference)[0])
        trained = " with which both trained" if both < len(common) else ""
        few = counted(both, "seed")
        yield f"{arm.arm} and {reference.arm} have only {few} in common{trained}, so runs are not paired"
    alone = sorted(set(arm.seeds) ^ set(reference.seeds))
    if verdict.paired and alone:
        seeds = listed([*alone[:3], *([f"{len(alone) - 3} more"] if len(alone) > 3 else [])])
        yield f"not in the gap of {arm.arm}: seeds that only one of the two arms has ({seeds})"
    if verdict.images and verdict.margin_too_small:
        yield (
            f"the margin of {by.amount(verdict.margin)} is too small for {counted(verdict.images, 'example')}, "
            f"which can confirm {verdict.confirmable} or more"
        )


def _curves(runs: GivenRuns, confidence: float) -> Iterator[Curve]:
    """The mean of each epoch with its interval; of final scores alone, of one epoch."""
    for arm in runs.arms:
        values = arm.values(arm.trained)
        if len(values):
            tail, epochs = (1 - confidence) / 2, range(values.shape[1])
            estimates = (interval(moments(values[:, e]), tail) for e in epochs)
            yield Curve(arm.arm, GIVEN, tuple(estimates))
