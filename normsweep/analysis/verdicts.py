"""The verdict on one question for one arm: `judge` reads its outcome off an interval of the gap."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from normsweep.analysis.estimates import (
    IMAGES,
    Estimate,
    Moments,
    interval,
    moments,
    more_seeds,
    seeds_only,
    smallest_margin,
)
from normsweep.analysis.outcomes import Outcome, Side, outcome_of, side
from normsweep.analysis.parity import (
    Gap,
    Pairs,
    Parity,
    Read,
    Unpaired,
    Values,
    at,
    parity,
    window_of,
)
from normsweep.analysis.repeats import Repeated
from normsweep.analysis.rules import (
    LEAST_SEEDS,
    Chosen,
    Comparison,
    Lack,
    Missing,
    Rules,
    Trained,
)
from normsweep.analysis.sequential import Hope, hope, seeds_until_decided
from normsweep.parts.metrics import ACCURACY, Metric
from normsweep.text import counted, quoted

__all__ = [
    "Reading",
    "Verdict",
    "at_chance",
    "check_epochs",
    "further",
    "judge",
    "primary_verdicts",
    "repeated_questions",
    "upward",
    "verdict_of",
    "without_repeats",
]


def judge(
    comparison: Comparison,
    rules: Rules,
    arm: Values,
    reference: Values,
    trained: tuple[Trained, Trained] | None = None,
    paired: bool = True,
    alone: Values | None = None,
) -> Verdict:
    """Compare an arm with its reference.

    `arm` and `reference` are (seeds, epochs, images), bool or integers 0 and 1 or, for another metric
    than the accuracy, floats whose mean over the images is the metric. They are paired by seed, in the
    order of the seeds, have the images in the same order, and only the seeds with which both trained.
    `trained` counts the seeds of arm and reference, also those that did not train; by default, all
    trained. If lower is better, values are negated first. If they are not `paired`, their numbers may differ,
    and the interval is Welch's. `alone` are the values of the reference for all seeds with which it trained,
    by default those of `reference`.

    The outcome is read off the intersection of the intervals of all analyses, so further seeds only
    sharpen it. There is no verdict with fewer than 5 pairs, nor if the reference is not clearly better
    than chance: the lower bound of its mean must be above chance + 2·margin, so that an arm at chance is
    always below the margin and cannot pass. An arm that does not train is compared with a reference that does.

    Raises ValueError if seeds or images differ, or a compared epoch does not exist.
    """
    kind = Pairs if paired else Unpaired
    pairs = kind(upward(arm, rules), upward(reference, rules), comparison.fixed_at)
    check_epochs(comparison, pairs)
    counts = trained or (Trained(len(arm)), Trained(len(reference)))
    own = pairs.reference if alone is None else upward(alone, rules)
    read = _read(comparison, rules, pairs, counts, own)
    verdict = verdict_of(comparison, rules, pairs, counts, read)
    if pairs.seeds or not len(own):
        return verdict
    level = float(at(own, pairs.reference_epoch(comparison.horizon)).mean())
    return replace(
        verdict, margin=rules.margin_at(level)
    )  # a share is one of a reference that trained


def _read(
    comparison: Comparison,
    rules: Rules,
    pairs: Pairs,
    trained: tuple[Trained, Trained],
    alone: Values,
) -> Reading:
    horizon = comparison.horizon
    longest = 1 if comparison.horizon_only else window_of(horizon)
    window = pairs.window(horizon, longest)
    ((m, image),) = pairs.gaps(horizon, window, [pairs.seeds], rules.image)
    ((last, largest),) = pairs.gaps(horizon, 1, [pairs.seeds], rules.image)
    decides = _deciding(rules, pairs, horizon, window) or (m, image, rules.margin)
    read = _reader(pairs, rules, longest)
    lack = _barrier(comparison, rules, pairs, trained, alone)
    gap, plain = read(horizon, True), interval(m, rules.tail, image)
    found, epochs = Outcome.OPEN, Parity()
    if not lack.reason:
        found = outcome_of(gap.plain.bounds, gap.moved.bounds)
        lost = max(each.lost for each in trained)
        lack = _needed(found, rules, *decides, lost)
        if found is not Outcome.CONTRADICTORY:
            known = [horizon] if comparison.horizon_only else _epochs(pairs, horizon)
            epochs = parity(read, known)
    elif lack.missing is Missing.NOTHING:
        found = Outcome.DOES_NOT_TRAIN
    return Reading(
        outcome=found,
        parity=epochs,
        gap=gap.plain,
        plain=plain,
        on_these_images=seeds_only(m, rules.tail),
        last_epoch=interval(last, rules.tail, largest),
        window=window,
        tail=rules.tail,
        analysis=max(len(rules.analyses(pairs.seeds)), 1),
        lack=lack,
        margin_needed=smallest_margin(decides[0], rules.tail, decides[1]),
        relative=_relative(rules, pairs, horizon, window, gap.plain) if rules.share else None,
    )


def _relative(rules: Rules, pairs: Pairs, horizon: int, window: int, gap: Estimate) -> Estimate:
    """The gap as a share of the size of the reference; its bounds are the shares that would just decide.

    With a share as the margin, the interval that decides is that of the gap plus this share of the
    reference: a bound is the share with which that interval begins, or ends, at 0.
    Reference: Fieller, Journal of the Royal Statistical Society B 16(2), 1954.
    """
    unknown = Estimate(math.nan, math.nan, math.nan, gap.n)
    if not all(map(math.isfinite, gap.bounds)):
        return unknown
    size, read = abs(pairs.means(horizon, window)[1]), _of_analyses(pairs, rules)
    if not size:
        return unknown
    low = -_root(lambda share: read(horizon, window, share).low, size)
    high = -_root(lambda share: read(horizon, window, share).high, size)
    return Estimate(gap.value / size, low, high, gap.n)


def _root(bound: Callable[[float], float], size: float) -> float:
    """The share at which a bound, which rises with the share, is 0; NaN if there is none."""
    from scipy.optimize import root_scalar

    start, step = -bound(0.0) / size, 0.01
    for _ in range(20):
        low, high = start - step, start + step
        if bound(low) < 0 < bound(high):
            return float(root_scalar(bound, bracket=(low, high)).root)
        step *= 2
    return math.nan


def _deciding(
    rules: Rules, pairs: Pairs, horizon: int, window: int
) -> tuple[Moments, float, float] | None:
    """With a share as the margin: the moments that decide, that of the gap plus the margin.

    Also the difference of one more image, and the margin that is left, 0.
    """
    if not rules.share:
        return None
    ((m, image),) = pairs.gaps(horizon, window, [pairs.seeds], rules.image, rules.share)
    return m, image, 0.0


def _epochs(pairs: Pairs, horizon: int) -> list[int]:
    """The epochs up to the horizon whose values are known."""
    return [epoch for epoch in range(1, horizon + 1) if pairs.read(epoch)]


def _reader(pairs: Pairs, rules: Rules, window: int) -> Read:
    """Reads the intersections of the intervals of all analyses, at an epoch."""
    of_all = _of_analyses(pairs, rules)

    @functools.cache
    def found(epoch: int, window: int) -> Gap:
        plain = of_all(epoch, window, 0.0)
        if not rules.share:
            return Gap.of(plain, rules.margin)
        return Gap(plain, of_all(epoch, window, rules.share))

    return lambda epoch, smoothed: found(epoch, pairs.window(epoch, window if smoothed else 1))


def _of_analyses(pairs: Pairs, rules: Rules) -> Callable[[int, int, float], Estimate]:
    """Reads the intersection at an epoch, of a window, with a share of the reference added."""
    analyses = rules.analyses(pairs.seeds) or ((pairs.seeds, rules.tail),)

    def of_all(epoch: int, window: int, share: float) -> Estimate:
        each = pairs.gaps(epoch, window, [n for n, _ in analyses], rules.image, share)
        tails = (tail for _, tail in analyses)
        return intersection(
            [interval(m, tail, image) for (m, image), tail in zip(each, tails, strict=True)]
        )

    return of_all


def intersection(intervals: Sequence[Estimate]) -> Estimate:
    """The values in all intervals, around the last estimate; empty, if `low` is above `high`."""
    last = intervals[-1]
    low, high = max(i.low for i in intervals), min(i.high for i in intervals)
    return Estimate(last.value, low, high, last.n)


def upward(values: Values, rules: Rules) -> Values:
    """The values with higher ones better."""
    return values if rules.metric.sign > 0 else -values


def check_epochs(comparison: Comparison, pairs: Pairs) -> None:
    """Raise ValueError if a compared epoch does not exist."""
    needed = {
        comparison.arm: (comparison.horizon, pairs.arm),
        comparison.reference: (pairs.reference_epoch(comparison.horizon), pairs.reference),
    }
    for name, (epoch, values) in needed.items():
        if not 1 <= epoch <= values.shape[1]:
            raise ValueError(f"{name}: expected an epoch from 1 to {values.shape[1]}, got {epoch}")


def _barrier(
    comparison: Comparison,
    rules: Rules,
    pairs: Pairs,
    trained: tuple[Trained, Trained],
    alone: Values,
) -> Lack:
    """Why the interval is not read; without a reason if it is. Nothing is missing if an arm does not train.

    While seeds are added, the first analysis is that of the declared number of pairs: one with fewer would
    have no part of the level. Where no seed can come, it is the only one.
    """
    arm, reference = trained
    epoch = pairs.reference_epoch(comparison.horizon)
    final = rules.most is None or arm.seeds >= rules.most or not arm.trained
    needed = LEAST_SEEDS if final else max(LEAST_SEEDS, rules.first)
    if pairs.seeds < needed:
        if arm.trained < LEAST_SEEDS <= min(arm.seeds, reference.seeds) and final:
            lack = _untrained(comparison, rules, reference, at(alone, epoch))
            return lack if lack.reason else Lack(Missing.NOTHING, arm.words)
        names = ((comparison.arm, arm.lost), (comparison.reference, reference.lost))
        lost = ", ".join(f"{count} of {quoted(name)}" for name, count in names if count)
        lost = f" (seeds that did not train: {lost})" if lost else ""
        can = f"{pairs.seeds} can be compared{lost}"
        return Lack(Missing.TOO_FEW_SEEDS, f"at least {needed} seeds are needed, {can}")
    level = interval(moments(at(pairs.reference, epoch)), rules.tail)
    return at_chance(comparison, rules, level)


def _untrained(comparison: Comparison, rules: Rules, reference: Trained, values: Values) -> Lack:
    """That the reference of an arm that does not train does not train either, or is at chance."""
    if reference.trained < LEAST_SEEDS:
        reason = f"the reference {comparison.reference} does not train either: {reference.words}"
        return Lack(Missing.REFERENCE_AT_CHANCE, reason)
    return at_chance(comparison, rules, interval(moments(values), rules.tail))


def at_chance(comparison: Comparison, rules: Rules, level: Estimate) -> Lack:
    """That the reference, whose mean is at `level`, is not clearly better than chance."""
    sign = rules.metric.sign
    if level.low > sign * rules.chance + 2 * rules.margin_at(level.value):
        return Lack()
    reason = (
        f"the reference {comparison.reference} is not clearly better than chance"
        f" ({rules.metric.label} {rules.metric.shown(sign * level.value)}, "
        f"chance {rules.metric.shown(rules.chance)})"
    )
    return Lack(Missing.REFERENCE_AT_CHANCE, reason)


def _needed(
    found: Outcome, rules: Rules, m: Moments, image: float, margin: float, lost: int
) -> Lack:
    """What would decide an open question."""
    if found is Outcome.CONTRADICTORY:
        return Lack(Missing.NOTHING, "the intervals of its analyses exclude one another")
    if side(found) is not Side.OPEN:
        return Lack()
    low, high = (m.with_image(-image), m.with_image(image)) if image else (m, m)
    if rules.most is not None:
        return _hope(rules, low, high, margin, lost)
    return further(more_seeds(low if m.mean > -margin else high, margin, rules.tail))


def _hope(rules: Rules, low: Moments, high: Moments, margin: float, lost: int) -> Lack:
    """What further seeds can do if there is an analysis after each; `lost` ones can no longer be pairs."""
    at, most = rules.levels, (rules.most or 0) - lost
    expected = hope(low, high, margin, at[-1], most)
    if expected is Hope.SEEDS:
        more, left = seeds_until_decided(low, high, margin, at, most), most - low.n
        if more is not None:
            return further(str(more))
        reason = f"up to {counted(left, 'more seed')} may decide"
        return Lack(Missing.MORE_SEEDS, reason, str(left))
    reason = f"not decidable within {rules.most} seeds"
    if expected is Hope.IMAGES:
        return Lack(Missing.MORE_IMAGES, f"{reason}; more test data would decide", IMAGES)
    return Lack(Missing.UNDECIDABLE, reason)


def further(seeds: str) -> Lack:
    """How many further seeds would decide, as `more_seeds` found."""
    if seeds == IMAGES:
        reason = "more test data would decide, not more seeds"
        return Lack(Missing.MORE_IMAGES, reason, seeds)
    if seeds.isdigit():
        more = counted(int(seeds), "more seed")
        return Lack(Missing.MORE_SEEDS, f"about {more} would decide", seeds)
    return Lack(Missing.MORE_SEEDS, f"{seeds} further seeds would be needed", seeds)


@dataclass(frozen=True)
class Reading:
    """What the rules read off the pairs, higher is better; the fields are those of `Verdict`."""

    outcome: Outcome
    parity: Parity
    gap: Estimate
    plain: Estimate
    on_these_images: Estimate
    last_epoch: Estimate
    window: int
    tail: float
    analysis: int
    lack: Lack
    margin_needed: float
    rules: int = 3
    relative: Estimate | None = None


@dataclass(frozen=True)
class Verdict:
    """The answer to one question for one arm: the outcome and its evidence.

    `gap` is arm − reference at the horizon, a mean of the last `window` epochs, with the interval that
    the outcome is read off: for new seeds and images, the intersection of those of all analyses.
    `plain` has the ordinary interval of all seeds, `on_these_images` the one for new seeds only, and
    `last_epoch` is the gap of the horizon's own epoch. `parity` are the epochs from which the arm is
    level; without a decision there are none. `value` and `reference_value` are the means whose
    difference is the gap. All are in the unit and direction of the metric. `trained` counts the seeds
    of arm and reference; `seeds` are the pairs. `tail` is the one-sided level of all analyses together.
    `missing` and `reason` say why there is no decision; the reason is empty otherwise. `more_seeds` is
    as in `estimates.more_seeds`, and empty if more seeds are not needed. `margin_needed` is the smallest
    margin that these images can confirm. `chosen`: how the tuned configurations were found. `repeated`:
    the gap over repeats of the whole tuning, which the outcome does not depend on. `warnings`
    qualify the verdict. `rules` are those of its study. With a `share`, the margin was declared as that
    share of the reference, and `margin` is what it amounts to. `paired`: whether its seeds are; otherwise
    `seeds` is the smaller number of the two. `relative` is the gap as a share of the reference, with the
    interval that any margin of that kind is read off; None if the margin is no share. Of runs that were made elsewhere, `horizon` is 0 if only final
    scores are known, and `images` is 0 if only means over them are.
    """

    question: str
    arm: str
    reference: str
    outcome: Outcome
    parity: Parity
    horizon: int
    gap: Estimate
    plain: Estimate
    on_these_images: Estimate
    last_epoch: Estimate
    window: int
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
    trained: tuple[Trained, Trained]
    value: float
    reference_value: float
    margin_needed: float
    metric: Metric
    primary: bool
    baseline_epochs: int | None
    most: int | None = None
    chosen: tuple[Chosen, ...] = ()
    repeated: Repeated | None = None
    warnings: tuple[str, ...] = ()
    rules: int = 3
    share: float = 0.0
    relative: Estimate | None = None
    paired: bool = True

    @property
    def epoch(self) -> int | None:
        """The epoch from which on the arm is level, at the latest; None if it is not."""
        return self.parity.up

    @property
    def epoch_low(self) -> int | None:
        """The first epoch at which it may be level; None if there is none."""
        return self.parity.low

    @property
    def earlier(self) -> bool:
        """Whether it was read by the rules of an earlier version."""
        return self.rules < 3

    @property
    def catches_up(self) -> bool:
        """Whether the arm is at most the margin behind."""
        return side(self.outcome) is Side.YES

    @property
    def barred(self) -> bool:
        """Whether the outcome is not read off the interval: too few pairs, or a reference at chance."""
        barriers = (Missing.TOO_FEW_SEEDS, Missing.REFERENCE_AT_CHANCE)
        return self.outcome is Outcome.DOES_NOT_TRAIN or self.missing in barriers

    @property
    def margin_too_small(self) -> bool:
        """Whether the outcome is open, and no number of seeds could confirm the margin on these images."""
        undecided = side(self.outcome) is Side.OPEN and not self.barred
        return undecided and self.margin_needed > self.margin

    @property
    def confirmable(self) -> str:
        """`margin_needed` in words, rounded up to three digits: one that is rounded down cannot be confirmed."""
        if not self.share:
            return self.metric.amount(_raised(self.margin_needed))
        level = abs(self.reference_value)
        return f"{100 * _raised(self.margin_needed / level if level else math.inf):g} %"

    @property
    def falls_short(self) -> bool:
        """Whether the arm is more than the margin behind, or does not train."""
        return side(self.outcome) is Side.NO

    @property
    def undecided(self) -> bool:
        """Whether neither is known."""
        return side(self.outcome) is Side.OPEN

    @property
    def diverged(self) -> tuple[int, int]:
        """Numbers of diverged seeds of arm and reference."""
        return self.trained[0].diverged, self.trained[1].diverged

    @property
    def lost(self) -> tuple[int, int]:
        """Numbers of seeds of arm and reference that did not train."""
        return self.trained[0].lost, self.trained[1].lost

    @property
    def of_some(self) -> bool:
        """Whether its outcome is that of the seeds that trained, and others did not."""
        return any(self.lost) and not self.barred

    @property
    def further_seeds(self) -> int | None:
        """Number of further seeds that are needed; None if seeds do not help or too many are needed."""
        return int(self.more_seeds) if self.more_seeds.isdigit() else None

    @property
    def level(self) -> float:
        """The confidence level of its intervals: higher with several arms."""
        return 1 - 2 * self.tail

    @property
    def method(self) -> str:
        """The method of the interval, and its one-sided level."""
        test = "Student's t" if self.paired else "Welch's t, unpaired,"
        if self.metric is not ACCURACY and self.metric.influence is None:
            return f"{test} over seeds only, one-sided level {self.tail:.3g}"
        of_variance = "two-way analysis of variance over seeds and test examples"
        if self.earlier:
            return (
                f"{of_variance}, Student's t with Satterthwaite's degrees of freedom, one-sided level "
                f"{self.tail:.3g}"
            )
        shared = f" of all analyses up to {self.most} seeds" if self.most else ""
        return (
            f"{of_variance} with one more example, {test} for seeds and normal for examples, one-sided "
            f"level {self.tail:.3g}{shared}"
        )


def _raised(number: float, digits: int = 3) -> float:
    """A positive number rounded up to so many significant digits."""
    if not 0 < number < math.inf:
        return number
    step = 10.0 ** (math.floor(math.log10(number)) + 1 - digits)
    return math.ceil(number / step - 1e-9) * step


def verdict_of(
    comparison: Comparison,
    rules: Rules,
    pairs: Pairs,
    trained: tuple[Trained, Trained],
    read: Reading,
) -> Verdict:
    """The verdict, in the direction of the metric."""
    value, reference_value = (math.nan, math.nan)
    if pairs.seeds:
        value, reference_value = pairs.means(comparison.horizon, read.window)
    sign = rules.metric.sign
    return Verdict(
        question=comparison.question,
        arm=comparison.arm,
        reference=comparison.reference,
        outcome=read.outcome,
        parity=read.parity,
        horizon=comparison.horizon,
        gap=read.gap.times(sign),
        plain=read.plain.times(sign),
        on_these_images=read.on_these_images.times(sign),
        last_epoch=read.last_epoch.times(sign),
        window=read.window,
        seeds=pairs.seeds,
        images=pairs.images,
        margin=rules.margin_at(reference_value),
        confidence=1 - rules.alpha,
        tail=read.tail,
        analysis=read.analysis,
        comparisons=rules.arms,
        missing=read.lack.missing,
        more_seeds=read.lack.more_seeds,
        reason=read.lack.reason,
        trained=trained,
        value=sign * value,
        reference_value=sign * reference_value,
        margin_needed=read.margin_needed,
        metric=rules.metric,
        primary=comparison.primary,
        baseline_epochs=comparison.baseline_epochs,
        most=rules.most,
        rules=read.rules,
        share=rules.share,
        relative=read.relative.times(sign) if read.relative else None,
        paired=not isinstance(pairs, Unpaired),
    )


def without_repeats(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts without redundant questions, see `repeated_questions`."""
    asked = ((v.question, v.horizon, v.primary) for v in verdicts)
    repeated = repeated_questions(asked, verdicts[0].baseline_epochs if verdicts else None)
    return [v for v in verdicts if v.question not in repeated]


def repeated_questions(
    asked: Iterable[tuple[str, int, bool]], baseline_epochs: int | None = None
) -> set[str]:
    """The questions that repeat another one, as they do if the baseline has the most epochs.

    `asked`: questions with their horizon, and whether they are the primary one. Of two equal questions the one
    with the most epochs, or with equal ones, is kept, or the primary one.
    """
    known, repeated = {question: (horizon, main) for question, horizon, main in asked}, set[str]()
    pairs = [("tuned_rate", "tuned_rate_longest"), ("both_tuned_short", "both_tuned")]
    if "more_epochs" in known and known["more_epochs"][0] == baseline_epochs:
        pairs.append(("more_epochs", "equal_epochs"))
    for short, long in pairs:
        if short in known and long in known and known[short][0] == known[long][0]:
            repeated.add(long if known[short][1] else short)
    return repeated


def primary_verdicts(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts on the primary question; if there is none, on the first question."""
    marked = [v for v in verdicts if v.primary]
    return marked or [v for v in verdicts if v.question == verdicts[0].question]
