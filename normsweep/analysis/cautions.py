"""What changes how a verdict is read: said beside it, wherever it is shown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from normsweep.analysis.confirm_runs import Confirmed
from normsweep.analysis.questions import PUT, Declared
from normsweep.analysis.tables import settled
from normsweep.analysis.verdicts import Verdict
from normsweep.parts.metrics import ACCURACY, Metric, metric
from normsweep.sweep.schema import Sweep
from normsweep.sweep.space import Choice
from normsweep.sweep.study_record import BASELINE, TUNED_LONG, Configuration, TrialRecord
from normsweep.sweep.trial import Status

__all__ = ["cautions", "general_cautions"]

EDGE = 0.05
"""Share of the (logarithmic) range of learning rates that counts as its edge."""


FEW = 20
"""Test images of a class below which its share in a metric is told no better than roughly."""


def general_cautions(
    sweep: Sweep,
    arms: Sequence[str],
    records: Sequence[TrialRecord],
    test_counts: Sequence[int] = (),
) -> list[str]:
    """What holds for every verdict of a study.

    `records` are those of its search, `test_counts` how many test images each class has.
    """
    found = [*_of_metric(metric(sweep.metric), test_counts)]
    size = sweep.data.train_size
    if size is not None:
        found.append(f"a subset of the data: {size:,} training images, validation included")
    trials = {arm: _ended(arm, records) for arm in arms}
    if len(set(trials.values())) > 1:
        counts = ", ".join(f"{arm} {count}" for arm, count in trials.items())
        found.append(f"unequal numbers of search trials: {counts}")
    pruned = [arm for arm in arms if _count(arm, records, Status.PRUNED)]
    if pruned:
        found.append(f"trials stopped early by the pruner (censored): {', '.join(pruned)}")
    return found


def _of_metric(by: Metric, test_counts: Sequence[int]) -> Iterator[str]:
    if by is not ACCURACY and by.influence is None:
        yield (
            f"intervals are for new seeds on exactly these test images: of {by.label} no image's share "
            "is known"
        )
    few = [f"{images} of class {k}" for k, images in enumerate(test_counts) if images < FEW]
    if by.every_class and few:
        more = f" and of {len(few) - 3} more classes" if len(few) > 3 else ""
        yield (
            f"few test images ({', '.join(few[:3])}{more}): {by.label} weighs every class alike, and "
            "its intervals are rough"
        )


def cautions(sweep: Sweep, declared: Declared, found: Confirmed, verdict: Verdict) -> list[str]:
    """What holds for one verdict."""
    return [
        *_of_configurations(sweep, declared, found, verdict),
        *_of_seeds(found, verdict),
        *_of_levels(found, verdict),
        *_of_tuning(found, verdict),
    ]


def _of_configurations(
    sweep: Sweep, declared: Declared, found: Confirmed, verdict: Verdict
) -> Iterator[str]:
    for arm, name in _sides(verdict):
        runs = found.runs.get((arm, name))
        if runs is None:
            yield f"no search trial of {arm} trained, so none could be chosen"
            continue
        configuration = runs.configuration
        tuned = name != BASELINE and declared.compare != "learning_rate"
        if tuned and _at_edge(sweep, configuration):
            yield f"the best learning rate of {arm} is at the edge of its range"
        budget = found.epochs if name == TUNED_LONG else declared.baseline_epochs
        wanted, at = min(budget, found.epochs), configuration.selected_at
        if at is not None and at < wanted:
            yield f"no search trial of {arm} trained for {wanted} epochs: tuned at epoch {at}"


def _of_seeds(found: Confirmed, verdict: Verdict) -> Iterator[str]:
    for (arm, name), diverged in zip(_sides(verdict), verdict.diverged, strict=True):
        runs = found.runs.get((arm, name))
        if diverged:
            yield f"{_seeds(diverged, arm, 'diverged')} left out of the gap"
        if runs is not None and runs.failed:
            yield f"{_seeds(runs.failed, arm, 'failed')} left out"


def _seeds(count: int, arm: str, ended: str) -> str:
    return f"{count} {'seed' if count == 1 else 'seeds'} of {arm} {ended} and " + (
        "is" if count == 1 else "are"
    )


def _of_levels(found: Confirmed, verdict: Verdict) -> Iterator[str]:
    by = verdict.metric
    if verdict.margin_needed > verdict.margin:
        yield (
            f"the margin of {by.amount(verdict.margin)} is too small for "
            f"{verdict.images:,} test images, which can confirm "
            f"{by.scale * verdict.margin_needed:.3g} or more"
        )
    if abs(by.best - verdict.reference_value) > abs(by.best - found.chance) / 2:
        yield f"{verdict.reference} itself is nearer to guessing than to being right"


def _of_tuning(found: Confirmed, verdict: Verdict) -> Iterator[str]:
    for arm, name in _sides(verdict):
        if name == BASELINE:
            continue
        tuned, baseline = (_mean(found, arm, n, verdict.horizon) for n in (name, BASELINE))
        if verdict.metric.sign * (tuned - baseline) < -verdict.margin:
            yield (
                f"{arm} is worse as tuned than with the baseline ({tuned:.4f} against "
                f"{baseline:.4f} after epoch {verdict.horizon}): more search trials may help"
            )


def _mean(found: Confirmed, arm: str, name: str, epoch: int) -> float:
    """Mean of the metric on the test images at an epoch, over the seeds that came to it; NaN without any."""
    runs = found.runs.get((arm, name))
    results = [r for r in runs.results if r is not None] if runs else []
    tested = [r.curve[epoch - 1].tested for r in results if len(r.curve) >= epoch]
    values = [t.value for t in tested if t is not None]
    return sum(values) / len(values) if values else math.nan


def _sides(verdict: Verdict) -> tuple[tuple[str, str], tuple[str, str]]:
    of_arm, of_reference = PUT[verdict.question]
    return (verdict.arm, of_arm), (verdict.reference, of_reference)


def _at_edge(sweep: Sweep, configuration: Configuration) -> bool:
    rate = float(configuration.params["learning_rate"])
    searched = next((d for d in sweep.search.space if d.name == "learning_rate"), None)
    if isinstance(searched, Choice):
        values = [float(value) for value in searched.values]
        return len(values) > 2 and rate in (min(values), max(values))
    if searched is None or searched.high <= searched.low:
        return False
    low, high = searched.low, searched.high
    scale = math.log if searched.log else float
    place = (scale(rate) - scale(low)) / (scale(high) - scale(low))
    return not EDGE <= place <= 1 - EDGE


def _ended(arm: str, records: Sequence[TrialRecord]) -> int:
    return sum(record.trial.arm == arm for record in settled(records))


def _count(arm: str, records: Sequence[TrialRecord], status: Status) -> int:
    return sum(
        r.trial.arm == arm and r.result is not None and r.result.status is status for r in records
    )
