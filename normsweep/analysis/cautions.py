"""What changes how a verdict is read: said beside it, wherever it is shown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from normsweep.analysis.confirmed import Confirmed
from normsweep.analysis.questions import PUT, Declared
from normsweep.analysis.tables import settled
from normsweep.analysis.verdicts import Verdict
from normsweep.spec import BASELINE, TUNED_LONG, Configuration, Record, Status

__all__ = ["cautions", "general_cautions"]

EDGE = 0.05
"""Share of the (logarithmic) range of learning rates that counts as its edge."""


def general_cautions(
    sweep: Mapping[str, Any], arms: Sequence[str], records: Sequence[Record]
) -> list[str]:
    """What holds for every verdict of a study; `records` are those of its search."""
    found = []
    size = sweep.get("data.train_size")
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


def cautions(
    sweep: Mapping[str, Any], declared: Declared, found: Confirmed, verdict: Verdict
) -> list[str]:
    """What holds for one verdict."""
    return [
        *_of_configurations(sweep, declared, found, verdict),
        *_of_seeds(found, verdict),
        *_of_levels(found, verdict),
        *_of_tuning(found, verdict),
    ]


def _of_configurations(
    sweep: Mapping[str, Any], declared: Declared, found: Confirmed, verdict: Verdict
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
    if verdict.margin_needed > verdict.margin:
        yield (
            f"the margin of {100 * verdict.margin:.3g} points is too small for {verdict.images:,} "
            f"test images, which can confirm {100 * verdict.margin_needed:.3g} or more"
        )
    if verdict.reference_accuracy < found.chance + (1 - found.chance) / 2:
        yield f"{verdict.reference} itself is nearer to guessing than to being right"


def _of_tuning(found: Confirmed, verdict: Verdict) -> Iterator[str]:
    for arm, name in _sides(verdict):
        if name == BASELINE:
            continue
        tuned, baseline = (_accuracy(found, arm, n, verdict.horizon) for n in (name, BASELINE))
        if tuned < baseline - verdict.margin:
            yield (
                f"{arm} is worse as tuned than with the baseline ({tuned:.4f} against "
                f"{baseline:.4f} after epoch {verdict.horizon}): more search trials may help"
            )


def _accuracy(found: Confirmed, arm: str, name: str, epoch: int) -> float:
    """Mean test accuracy at an epoch, over the seeds that came to it; NaN without any."""
    runs = found.runs.get((arm, name))
    results = [r for r in runs.results if r is not None] if runs else []
    tested = [r.curve[epoch - 1].tested for r in results if len(r.curve) >= epoch]
    accuracies = [t.accuracy for t in tested if t is not None]
    return sum(accuracies) / len(accuracies) if accuracies else math.nan


def _sides(verdict: Verdict) -> tuple[tuple[str, str], tuple[str, str]]:
    of_arm, of_reference = PUT[verdict.question]
    return (verdict.arm, of_arm), (verdict.reference, of_reference)


def _at_edge(sweep: Mapping[str, Any], configuration: Configuration) -> bool:
    rate = float(configuration.params["learning_rate"])
    values = sweep.get("search.space.learning_rate")
    if isinstance(values, list):
        return len(values) > 2 and rate in (min(values), max(values))
    low, high = (sweep.get(f"search.space.learning_rate.{end}") for end in ("low", "high"))
    if low is None or high is None or high <= low:
        return False
    log = bool(sweep.get("search.space.learning_rate.log"))
    scale = math.log if log else float
    place = (scale(rate) - scale(low)) / (scale(high) - scale(low))
    return not EDGE <= place <= 1 - EDGE


def _ended(arm: str, records: Sequence[Record]) -> int:
    return sum(record.trial.arm == arm for record in settled(records))


def _count(arm: str, records: Sequence[Record], status: Status) -> int:
    return sum(
        r.trial.arm == arm and r.result is not None and r.result.status is status for r in records
    )
