"""The trials of the search: the best of each arm, their outcomes, and score by tuning effort."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from normsweep.parts.metrics import ACCURACY, Metric, metric
from normsweep.sweep.study_record import BASELINE, TrialRecord
from normsweep.sweep.trial import Result, Status, Trial

__all__ = [
    "ArmSummary",
    "BestAtEpoch",
    "Progress",
    "TuningCurve",
    "arm_summaries",
    "best_by_epochs",
    "best_of_arms",
    "best_so_far",
    "ended_trials",
    "expected_best",
    "expected_best_band",
    "longest_curve",
    "metric_of",
    "place",
    "progress",
    "rank",
    "read_at_epoch",
    "scored",
    "settled",
    "tuning_curves",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ArmSummary:
    """Outcomes and cost of the search trials of an arm."""

    arm: str
    metric: Metric
    trials: int
    """Trials that ended, without interrupted ones; of a retried trial the last attempt."""
    complete: int
    diverged: int
    pruned: int
    failed: int
    retried: int
    """Failed attempts that were retried."""
    best: float
    """Validation score of the best complete trial, NaN if there is none, as the next two."""
    median: float
    """Median score of the complete and diverged trials."""
    best_learning_rate: float
    best_epochs: int | None
    seconds: float
    """Wall time of all attempts."""


@dataclass(frozen=True)
class TuningCurve:
    """Validation score of an arm by the number of trials k = 1, 2, ….

    Kind `expected best`: the expected best of k trials, with a band (NaN if unknown);
    `best so far`: the best of the first k trials, without a band.
    """

    arm: str
    kind: str
    scores: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    seconds: tuple[float, ...]
    """Wall time of the k trials together, with their failed attempts; expected best: k times the mean."""


@dataclass(frozen=True)
class Progress:
    """The score of a trial and the time at which it ended."""

    arm: str
    trial: int
    hours: float
    """Hours since the start of the first trial."""
    done: int
    """Number of trials of the arm up to this one."""
    score: float
    best: float
    """Best score of the arm so far."""


@dataclass(frozen=True)
class BestAtEpoch:
    """The best trial of an arm after a number of epochs."""

    arm: str
    epochs: int
    record: TrialRecord
    """The trial, its curve up to that epoch."""
    among: int
    """Number of trials of the arm that reached the epoch: less than `of` if trials were pruned or sampled."""
    of: int
    """Number of trials of the arm."""

    @property
    def reached_by(self) -> str:
        """`all`, or `survivors` if only some of the arm's trials were trained so far."""
        return "all" if self.among == self.of else "survivors"

    @property
    def score(self) -> float:
        """Validation score after that epoch."""
        assert self.record.result is not None
        return self.record.result.score


def metric_of(records: Sequence[TrialRecord]) -> Metric:
    """The metric of the trials of a study; the accuracy if there are no trials."""
    return metric(records[0].trial.metric) if records else ACCURACY


def scored(records: Iterable[TrialRecord]) -> list[tuple[Trial, Result]]:
    """The trials with a score, including diverged ones, in the same order."""
    known = ((r.trial, r.result) for r in records if r.result is not None)
    return [(trial, result) for trial, result in known if result.status.scored]


def rank(record: TrialRecord) -> tuple[float, int, float, int]:
    """Sort key: higher for a better score, then for fewer epochs, a lower validation loss, an earlier trial."""
    assert record.result is not None
    sign, curve = metric(record.trial.metric).sign, record.result.curve
    loss = record.result.last.val_loss if curve else math.inf
    return sign * record.result.score, -len(curve), -loss, -record.trial.number


def longest_curve(records: Iterable[TrialRecord]) -> int:
    """The largest number of epochs after which a trial can be selected; 0 if there is none."""
    return max((_reach(r) for r in records if r.result and _selectable(r.result)), default=0)


def _reach(record: TrialRecord) -> int:
    """The epochs of a trial; with early stopping those that it could have trained."""
    assert record.result is not None
    return record.trial.epochs if record.stopped else len(record.result.curve)


def read_at_epoch(records: Iterable[TrialRecord], epoch: int) -> list[TrialRecord]:
    """The trials whose curves reach an epoch, as if they had ended after it; ones that ended by themselves before.

    Complete and pruned ones only: a trial that diverged later is left out. One that halving let go on
    counts once.
    """
    read = ((r, r.within(epoch)) for r in settled(records))
    return [replace(r, result=result) for r, result in read if result is not None]


def _selectable(result: Result) -> bool:
    return result.status in (Status.COMPLETE, Status.PRUNED)


def best_by_epochs(
    records: Sequence[TrialRecord], arms: Sequence[str], epochs: Iterable[int]
) -> tuple[BestAtEpoch, ...]:
    """The best trial of each arm after each number of epochs, by the score at exactly that epoch."""
    counts = Counter(r.trial.arm for r in settled(records))
    found = []
    for epoch in epochs:
        read = read_at_epoch(records, epoch)
        among, best = Counter(r.trial.arm for r in read), best_of_arms(read)
        found += [BestAtEpoch(arm, epoch, best[arm], among[arm], counts[arm]) for arm in best]
    return tuple(sorted(found, key=lambda each: (arms.index(each.arm), each.epochs)))


def best_of_arms(records: Iterable[TrialRecord]) -> dict[str, TrialRecord]:
    """The best complete trial of each arm by the validation score after its last epoch.

    Ties go to fewer epochs, then to the lower validation loss, then to the earlier trial.
    """
    best: dict[str, TrialRecord] = {}
    for record in records:
        if record.result is None or record.result.status is not Status.COMPLETE:
            continue
        known = best.get(record.trial.arm)
        if known is None or rank(record) > rank(known):
            best[record.trial.arm] = record
    return best


def settled(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """The last attempt of each planned trial, without interrupted and running ones."""
    ended = [r for r in records if r.result and r.result.status is not Status.INTERRUPTED]
    return list({record.planned: record for record in ended}.values())


def place(record: TrialRecord) -> tuple[str, str, int, str, int]:
    """What an ended trial fills of its phase's plan: a retry the same, each part of a trial that pauses another."""
    paused = record.result is not None and record.result.status is Status.PRUNED
    return *record.planned, len(record.result.curve) if paused and record.result else 0


def ended_trials(records: Iterable[TrialRecord], phase: str) -> int:
    """Number of planned trials of a phase that have ended; interrupted ones have not."""
    ended = (r for r in records if r.result and r.result.status is not Status.INTERRUPTED)
    return len({place(r) for r in ended if r.trial.phase == phase})


def arm_summaries(records: Sequence[TrialRecord], arms: Sequence[str]) -> tuple[ArmSummary, ...]:
    """The summary of each arm, from the trials of the search."""
    best, by = best_of_arms(records), metric_of(records)
    return tuple(
        _summary(arm, [r for r in records if r.trial.arm == arm], best.get(arm), by) for arm in arms
    )


def _summary(
    arm: str, records: Sequence[TrialRecord], best: TrialRecord | None, by: Metric
) -> ArmSummary:
    results = [record.result for record in settled(records) if record.result is not None]
    attempts = [record.result for record in records if record.result is not None]
    counts = Counter(result.status for result in results)
    scores = [r.score for r in results if r.status.scored and not math.isnan(r.score)]
    return ArmSummary(
        arm=arm,
        metric=by,
        trials=len(results),
        complete=counts[Status.COMPLETE],
        diverged=counts[Status.DIVERGED],
        pruned=counts[Status.PRUNED],
        failed=counts[Status.CRASHED] + counts[Status.TIMED_OUT],
        retried=sum(r.status.failed for r in attempts) - sum(r.status.failed for r in results),
        best=best.result.score if best and best.result else math.nan,
        median=float(np.median(scores)) if scores else math.nan,
        best_learning_rate=best.trial.learning_rate if best else math.nan,
        best_epochs=best.trial.epochs if best else None,
        seconds=sum(result.worker_seconds for result in attempts),
    )


def tuning_curves(
    records: Sequence[TrialRecord], arms: Sequence[str], sampler: str, seed: int
) -> tuple[TuningCurve, ...]:
    """The tuning curve of each arm whose trials have scores.

    The expected best if the sampler draws trials independently (`random`), without the baseline, which
    is not drawn; the best so far for other samplers. `seed` is used for the band.
    """
    by, independent = metric_of(records), sampler == "random"
    if independent:
        records = [r for r in records if r.trial.configuration != BASELINE]
    curves = []
    for arm in arms:
        of_arm = sorted((r for r in records if r.trial.arm == arm), key=_by_slot)
        scores = np.array([result.score for _, result in scored(of_arm)])
        if len(scores):
            seconds = _spent(of_arm)
            curves.append(
                _expected(arm, scores, seconds, seed, by)
                if independent
                else _so_far(arm, scores, seconds, by)
            )
    return tuple(curves)


def _by_slot(record: TrialRecord) -> tuple[int, int]:
    return record.trial.slot, record.trial.number


def _spent(records: Sequence[TrialRecord]) -> Floats:
    """Seconds of all attempts up to each trial with a score."""
    ended = [r.result for r in records if r.result is not None]
    total = np.cumsum([result.worker_seconds for result in ended])
    return total[[result.status.scored for result in ended]]


def _expected(arm: str, scores: Floats, seconds: Floats, seed: int, by: Metric) -> TuningCurve:
    upward, n = by.sign * scores, len(scores)
    band = by.sign * expected_best_band(upward, np.random.default_rng(seed))
    best = (by.sign * expected_best(upward, k) for k in range(1, n + 1))
    low, high = band.min(axis=1).tolist(), band.max(axis=1).tolist()
    spent = (seconds[-1] / n * np.arange(1, n + 1)).tolist()
    return TuningCurve(arm, "expected best", tuple(best), tuple(low), tuple(high), tuple(spent))


def _so_far(arm: str, scores: Floats, seconds: Floats, by: Metric) -> TuningCurve:
    best = tuple(by.sign * float(score) for score in best_so_far(by.sign * scores))
    unknown = (math.nan,) * len(best)
    return TuningCurve(arm, "best so far", best, unknown, unknown, tuple(seconds.tolist()))


def progress(records: Sequence[TrialRecord]) -> tuple[Progress, ...]:
    """The search trials with a score, in the order in which they ended."""
    by, ended = metric_of(records), scored(records)
    start = min((result.started for _, result in ended), default=0.0)
    ended.sort(key=lambda pair: pair[1].started + pair[1].seconds)
    done: Counter[str] = Counter()
    best: dict[str, float] = {}
    steps = []
    for trial, result in ended:
        arm, score = trial.arm, result.score
        done[arm] += 1
        best[arm] = max(best.get(arm, score), score, key=lambda value: by.sign * value)
        hours = (result.started + result.seconds - start) / 3600
        steps.append(Progress(arm, trial.number, hours, done[arm], score, best[arm]))
    return tuple(steps)


def expected_best(scores: ArrayLike, k: int) -> float:
    """The expected highest score of k trials: the mean over all sets of k of the n trials.

    Σ x₍ᵢ₎·C(i−1, k−1)/C(n, k) over the scores x₍₁₎ ≤ … ≤ x₍ₙ₎: unbiased if the trials are
    independent draws from one distribution, as in random search.

    `scores` are (n,) finite floats; the score of a diverged trial is chance.
    Raises ValueError for other scores, and for k outside 1 … n.
    Reference: Tang et al., Showing Your Work Doesn't Always Work, ACL 2020.
    """
    ordered = _ordered(scores)
    if not 1 <= k <= len(ordered):
        raise ValueError(f"k: must be from 1 to {len(ordered)}, the number of trials, got {k}")
    return float(_weights(len(ordered), [k])[0] @ ordered)


def expected_best_band(
    scores: ArrayLike, rng: np.random.Generator, confidence: float = 0.95, draws: int = 2000
) -> Floats:
    """Bounds of `expected_best` for k = 1 … n, (n, 2), by a percentile bootstrap of the trials.

    NaN for k > n/4: a resample of n trials repeats its highest score, so the bootstrap of a maximum
    fails as k approaches n, and is somewhat narrow already at n/4.

    `scores` are as in `expected_best`; `draws` is the number of resamples.
    Reference: Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapters 7.4 and 13.
    """
    ordered = _ordered(scores)
    n = len(ordered)
    ks = range(1, n // 4 + 1)
    band = np.full((n, 2), np.nan)
    if ks:
        resamples = np.sort(ordered[rng.integers(0, n, (draws, n))], axis=1)
        tail = (1 - confidence) / 2
        bounds = np.quantile(resamples @ _weights(n, ks).T, (tail, 1 - tail), axis=0)
        band[: len(ks)] = bounds.T
    return band


def best_so_far(scores: ArrayLike) -> Floats:
    """The running maximum of the scores, (n,) in the order of the trials.

    Trials of an adaptive sampler are not exchangeable, so no expectation is estimated. NaN, for a
    trial without a score, is ignored.
    """
    return np.fmax.accumulate(np.asarray(scores, np.float64))


def _ordered(scores: ArrayLike) -> Floats:
    values = np.sort(np.asarray(scores, np.float64))
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError("scores: expected finite numbers of shape (n,)")
    return values


def _weights(n: int, ks: Sequence[int]) -> Floats:
    """Weight of each of the n ordered scores in the expected best of k, (len(ks), n)."""
    # Integers of any size, divided at the end: binomials of hundreds overflow floats.
    return np.array([[math.comb(i, k - 1) / math.comb(n, k) for i in range(n)] for k in ks])
