"""The verdicts on all questions of a confirmation for all arms, with their warnings."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from normsweep.analysis import earlier_rules
from normsweep.analysis.confirm_runs import Confirmed, Guess, Runs, Values
from normsweep.analysis.estimates import interval
from normsweep.analysis.parity import Pairs
from normsweep.analysis.repeats import Repeated, confirmed_repeats, repeated_gaps
from normsweep.analysis.rules import LEAST_SEEDS, Chosen, Comparison, Rules, compared
from normsweep.analysis.stuck import Kind, Level, kind
from normsweep.analysis.trials import settled
from normsweep.analysis.verdicts import Verdict, judge
from normsweep.parts.metrics import ACCURACY, CLASSIFICATION, Metric, metric
from normsweep.sweep.parameters import BUILT, FROZEN
from normsweep.sweep.schema import QUESTIONS, Sweep
from normsweep.sweep.space import Choice
from normsweep.sweep.study_record import (
    BASELINE,
    TUNED_LONG,
    Configuration,
    StudyRecord,
    TrialRecord,
)
from normsweep.sweep.trial import Status
from normsweep.text import quoted

__all__ = ["general_warnings", "primary", "verdicts"]

SHORT = ("tuned_rate", "both_tuned_short")
"""Questions whose horizon is the epochs of the baseline."""
KEPT = {
    BUILT: "what a training draws, not the initial weights, which are kept as built",
    FROZEN: "the weights of trained layers; those of frozen layers are kept as built",
}
"""What a seed varies if initial weights are kept."""
EDGE = 0.05
"""Share of the (logarithmic) range of learning rates at each end that counts as its edge."""
FEW = 20
"""Number of test images of a class below which its share in a metric is imprecise."""


def verdicts(record: StudyRecord, found: Confirmed) -> tuple[Verdict, ...]:
    """The verdict on each question for each arm but the reference, ordered by question.

    `found` are the runs of the latest analysis. Empty before the first analysis.
    """
    if not record.analyses:
        return ()
    reference = str(record.sweep.reference)
    others = [arm for arm in record.arms if arm != reference]
    rules = _rules(record, found, len(others))
    given = (_judged(q, arm, record, found, rules) for q in QUESTIONS for arm in others)
    general = general_warnings(record)
    tunings = confirmed_repeats(record) if record.sweep.search.repeats > 1 else ()
    chosen = (
        replace(v, chosen=_chosen(found, v), repeated=_repeated(record.sweep, tunings, v))
        for v in given
    )
    return tuple(replace(v, warnings=(*_warnings(record, found, v), *general)) for v in chosen)


def primary(record: StudyRecord, found: Confirmed) -> tuple[Verdict, ...]:
    """The verdicts on the primary question for each arm but the reference, without their warnings."""
    reference, question = str(record.sweep.reference), record.sweep.confirm.primary
    others = [arm for arm in record.arms if arm != reference]
    rules = _rules(record, found, len(others))
    return tuple(_judged(question, arm, record, found, rules) for arm in others)


def _rules(record: StudyRecord, found: Confirmed, arms: int) -> Rules:
    by, confirm = metric(record.sweep.metric), record.sweep.confirm
    return Rules(
        margin=confirm.margin_at(math.nan),
        alpha=1 - confirm.confidence,
        arms=arms,
        chance=found.chance,
        metric=by,
        image=by.image_bound(record.data.test_class_counts if record.data else ()),
        share=confirm.share,
    )


def _judged(
    question: str, arm: str, record: StudyRecord, found: Confirmed, rules: Rules
) -> Verdict:
    sweep, (of_arm, of_reference) = record.sweep, compared(question)
    reference, short = str(sweep.reference), min(sweep.confirm.baseline.epochs, found.epochs)
    comparison = Comparison(
        question,
        arm,
        reference,
        horizon=short if question in SHORT else found.epochs,
        fixed_at=short if question == "more_epochs" else None,
        primary=question == sweep.confirm.primary,
        baseline_epochs=short,
        horizon_only=any(
            runs.of_length for (each, _), runs in found.runs.items() if each in (arm, reference)
        ),
    )
    earlier = sweep.rules <= earlier_rules.LAST
    until = None if earlier else comparison.fixed_at
    paired = found.pairs((arm, of_arm), (reference, of_reference), comparison.horizon, until)
    values = paired.arm, paired.reference, paired.trained
    if not earlier:
        rules = _sequential(sweep, comparison, rules)
        return judge(comparison, rules, *values, alone=paired.alone)
    # An analysis with too few seeds for a verdict does not count as an interim analysis.
    decided = sum(analysis.seeds >= LEAST_SEEDS for analysis in record.analyses)
    return earlier_rules.judge(comparison, rules, *values, max(decided, 1))


def _sequential(sweep: Sweep, comparison: Comparison, rules: Rules) -> Rules:
    """The rules with an analysis after each seed, if the confirmation adds seeds for the question."""
    seeds = sweep.confirm.seeds
    if not comparison.primary or seeds.fixed:
        return rules
    return replace(rules, first=seeds.first, most=seeds.most)


def _repeated(sweep: Sweep, tunings: Sequence[Confirmed], verdict: Verdict) -> Repeated | None:
    """The primary question's gap over repeats of the whole tuning; None without repeats."""
    if not verdict.primary or sweep.search.repeats == 1:
        return None
    sides = verdict.arm, verdict.reference
    return repeated_gaps(tunings, sweep, *sides, verdict.question, verdict.horizon, verdict.window)


def _chosen(found: Confirmed, verdict: Verdict) -> tuple[Chosen, ...]:
    """How the tuned configurations behind a verdict were chosen."""
    sides = [(arm, name) for arm, name in _sides(verdict) if name != BASELINE]
    return tuple(_found_of(found, verdict, side) for side in sides if side in found.runs)


def _found_of(found: Confirmed, verdict: Verdict, tuned: tuple[str, str]) -> Chosen:
    arm, chosen = tuned[0], found.runs[tuned].configuration
    paired = found.pairs(tuned, (arm, BASELINE), verdict.horizon)
    if not len(paired.arm):
        return Chosen(arm, chosen.among, chosen.of)
    sign = verdict.metric.sign
    pairs = Pairs(sign * at_last(paired.arm), sign * at_last(paired.reference))
    value, baseline = (sign * each for each in pairs.means(1, 1))
    gap = pairs.gap(1)
    # By its interval, or by the margin.
    worse = interval(gap, verdict.tail).high < 0 or gap.mean < -verdict.margin
    return Chosen(arm, chosen.among, chosen.of, value, baseline, worse)


def at_last(values: Values) -> Values:
    """The values of the last epoch, as signed numbers."""
    return values[:, -1:].astype(np.float64 if values.dtype.kind == "f" else np.int8)


def general_warnings(record: StudyRecord) -> tuple[str, ...]:
    """Warnings about all verdicts of a study."""
    return tuple(_of_study(record))


def _of_study(record: StudyRecord) -> Iterator[str]:
    test_counts = record.data.test_class_counts if record.data else ()
    yield from _of_metric(metric(record.sweep.metric), test_counts)
    size, searched = record.sweep.data.train_size, record.searched
    if size is not None:
        yield f"a subset of the data: {size:,} training images, validation included"
    trials = {arm: sum(r.trial.arm == arm for r in settled(searched)) for arm in record.arms}
    if len(set(trials.values())) > 1:
        counts = ", ".join(f"{arm} {count}" for arm, count in trials.items())
        yield f"unequal numbers of search trials: {counts}"
    yield from _of_lengths(record)
    pruned = [arm for arm in record.arms if _pruned(arm, searched)]
    if pruned:
        yield f"trials stopped early by the pruner (censored): {', '.join(pruned)}"


def _of_lengths(record: StudyRecord) -> Iterator[str]:
    """What a schedule over the whole training, or early stopping, does to the questions."""
    own = [arm for arm in record.arms if any(_of_arm(arm, record, lambda r: r.trial.of_length))]
    if own:
        yield (
            f"the learning rates of {', '.join(own)} depend on the number of epochs, so each number is a training of "
            "its own: gaps are those of the last epoch alone, and no epoch of parity is read"
        )
    for initial, varies in KEPT.items():
        kept = [
            a
            for a in record.arms
            if any(_of_arm(a, record, lambda r, i=initial: r.trial.initial == i))
        ]
        if kept:
            yield f"the seeds of {', '.join(kept)} vary the split, the order of the batches and {varies}"
    for arm in record.arms:
        stopped = _of_arm(arm, record, lambda r: r.stopped, confirmed=True)
        if any(stopped):
            yield (
                f"{arm} stops early: {sum(stopped)} of {len(stopped)} confirmation runs ended before their last epoch "
                "and count with the weights that they restored; what their later epochs would have given is not known "
                "(censored)"
            )


def _of_arm(
    arm: str, record: StudyRecord, what: Callable[[TrialRecord], bool], confirmed: bool = False
) -> list[bool]:
    """What is true of an arm's trials."""
    return [
        what(r) for r in (record.confirmed if confirmed else record.trials) if r.trial.arm == arm
    ]


def _pruned(arm: str, records: Sequence[TrialRecord]) -> bool:
    results = [r.result for r in records if r.trial.arm == arm and r.result is not None]
    return any(result.status is Status.PRUNED for result in results)


def _of_metric(by: Metric, test_counts: Sequence[int]) -> Iterator[str]:
    if by is not ACCURACY and by.influence is None:
        yield (
            f"intervals are for new seeds on the same test data: the influence of an example on {by.label} "
            "is unknown"
        )
    few = [f"{images} of class {k}" for k, images in enumerate(test_counts) if images < FEW]
    if by.every_class and few:
        more = f" and {len(few) - 3} more classes" if len(few) > 3 else ""
        yield (
            f"few test examples ({', '.join(few[:3])}{more}): {by.label} weights all classes equally, so "
            "its intervals are imprecise"
        )


def _warnings(record: StudyRecord, found: Confirmed, verdict: Verdict) -> Iterator[str]:
    """Warnings about one verdict."""
    yield from _of_configurations(record, found, verdict)
    yield from _of_seeds(record, found, verdict)
    yield from _of_levels(found, verdict)
    yield from _of_tuning(verdict)


def _of_configurations(record: StudyRecord, found: Confirmed, verdict: Verdict) -> Iterator[str]:
    sweep = record.sweep
    for arm, name in _sides(verdict):
        runs = found.runs.get((arm, name))
        if runs is None:
            yield f"no search trial of {arm} completed, so none could be selected"
            continue
        configuration = runs.configuration
        tuned = name != BASELINE and "learning_rate" not in sweep.arm(arm).params
        if tuned and _at_edge(record, configuration):
            yield f"the best learning rate of {arm} is at the edge of its range"
        budget = found.epochs if name == TUNED_LONG else sweep.confirm.baseline.epochs
        wanted, at = min(budget, found.epochs), configuration.selected_at
        if at is not None and at < wanted:
            yield f"no search trial of {arm} reached epoch {wanted}: selected at epoch {at}"


def _of_seeds(record: StudyRecord, found: Confirmed, verdict: Verdict) -> Iterator[str]:
    for (arm, name), trained in zip(_sides(verdict), verdict.trained, strict=True):
        runs = found.runs.get((arm, name))
        if trained.diverged:
            yield f"{_seeds(trained.diverged, arm, 'diverged')} excluded from the gap"
        if trained.stuck:
            ended = f"did not get beyond guessing{_kinds(record, runs)}"
            yield f"{_seeds(trained.stuck, arm, ended)} excluded from the gap"
        if runs is not None and runs.failed:
            yield f"{_seeds(runs.failed, arm, 'failed')} excluded"


def _kinds(record: StudyRecord, runs: Runs | None) -> str:
    """Why the seeds that are no better than guessing are stuck: ` (3 dead)`; empty if it is not known."""
    if runs is None or record.data is None:
        return ""
    level = Level.of(record.data, record.sweep.data.validation_split)
    guess = Guess.of(record.data, metric(record.sweep.metric))
    whys = Counter(
        kind(result, level)
        for result in runs.results
        if result is not None and result.curve and guess.of_run(result).no_better(result.last)
    )
    known = [f"{count} {why}" for why, count in whys.most_common() if why is not Kind.UNKNOWN]
    return f" ({', '.join(known)})" if known else ""


def _seeds(count: int, arm: str, ended: str) -> str:
    return f"{count} {'seed' if count == 1 else 'seeds'} of {quoted(arm)} {ended} and " + (
        "is" if count == 1 else "are"
    )


def _of_levels(found: Confirmed, verdict: Verdict) -> Iterator[str]:
    by = verdict.metric
    if verdict.margin_too_small:
        declared = f"{100 * verdict.share:g} %" if verdict.share else by.amount(verdict.margin)
        yield (
            f"the margin of {declared} is too small for {quoted(verdict.arm)} with "
            f"{verdict.images:,} test examples, which can confirm {verdict.confirmable} or more"
        )
    # The best possible value of a regression is not known: part of the targets is noise.
    if (
        CLASSIFICATION in by.tasks
        and abs(by.best - verdict.reference_value) > abs(by.best - found.chance) / 2
    ):
        yield f"{verdict.reference} itself is closer to chance than to the best possible value"


def _of_tuning(verdict: Verdict) -> Iterator[str]:
    shown = verdict.metric.shown
    for chosen in verdict.chosen:
        if chosen.worse:
            yield (
                f"{chosen.arm} is worse after tuning than with the baseline ({shown(chosen.value)} vs. "
                f"{shown(chosen.baseline)} after epoch {verdict.horizon}): more search trials may help"
            )


def _sides(verdict: Verdict) -> tuple[tuple[str, str], tuple[str, str]]:
    of_arm, of_reference = compared(verdict.question)
    return (verdict.arm, of_arm), (verdict.reference, of_reference)


def _at_edge(record: StudyRecord, configuration: Configuration) -> bool:
    rate, space = float(configuration.params["learning_rate"]), record.sweep.search.space
    if "learning_rate" not in space:
        return False
    rates = space["learning_rate"]
    if isinstance(rates, Choice):
        values = [float(value) for value in rates.values]
        return len(values) > 2 and rate in (min(values), max(values))
    if rates.high <= rates.low:
        return False
    ladder = record.run_sweep.sampler == "ladder"
    tried = _tried_rates(record, configuration) if ladder else set()
    last = len(tried) > 2 and rate in (min(tried), max(tried))
    return last or not EDGE <= rates.to_unit(rate) <= 1 - EDGE


def _tried_rates(record: StudyRecord, configuration: Configuration) -> set[float]:
    """The learning rates that the arm tried with the optimizer of a configuration."""
    arm, optimizer = configuration.arm, configuration.params["optimizer"]
    trials = (r.trial for r in record.searched)
    return {t.learning_rate for t in trials if (t.arm, t.optimizer) == (arm, optimizer)}
