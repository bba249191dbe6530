"""The configurations to confirm: the baseline, and each arm's best by validation score.

With a selection round, the arm's best trials and its baseline are trained on further seeds, and the
best mean over these seeds and that of the search is chosen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from normsweep.analysis.trials import longest_curve, rank, read_at_epoch, settled
from normsweep.parts.catalog import depends_on_length
from normsweep.parts.metrics import metric
from normsweep.sweep.arms import Arm
from normsweep.sweep.schema import Sweep
from normsweep.sweep.space import Scalar
from normsweep.sweep.study_record import (
    BASELINE,
    BASELINE_SHORT,
    TUNED_LONG,
    TUNED_SHORT,
    Configuration,
    TrialRecord,
)
from normsweep.sweep.trial import Result, Status

__all__ = [
    "Budget",
    "budgets",
    "candidates",
    "chosen_configurations",
    "most_configurations",
    "of_arm",
]


@dataclass(frozen=True)
class Budget:
    """A number of epochs for which a configuration is selected."""

    configuration: str
    epochs: int

    def read_at(self, records: Sequence[TrialRecord]) -> int:
        """The epoch at which trials are compared: the last one that any of them reached, if it is earlier."""
        return min(self.epochs, longest_curve(records))


def budgets(sweep: Sweep) -> tuple[Budget, ...]:
    """The epochs of the baseline, and the largest number."""
    longest = min(sweep.confirm_epochs, sweep.longest)
    return Budget(TUNED_SHORT, sweep.baseline_epochs), Budget(TUNED_LONG, longest)


def most_configurations(sweep: Sweep) -> int:
    """Configurations of an arm in the confirmation, at most: its baseline, and one tuned for each budget.

    The baseline counts twice if its shorter training is one of its own, and the tuned ones are trials of the search.
    """
    baselines = (sweep.baseline(arm, sweep.confirm_epochs) for arm in sweep.arms)
    of_baseline = 1 + any(_has_short(sweep, baseline) for baseline in baselines)
    others = sweep.points_per_arm - (sweep.rules > 1)  # the first trial is the baseline
    return of_baseline + min(len({budget.epochs for budget in budgets(sweep)}), others)


def _has_short(sweep: Sweep, baseline: Mapping[str, Scalar]) -> bool:
    """Whether a baseline's shorter training is not a part of its longer one."""
    return sweep.baseline_epochs < sweep.confirm_epochs and depends_on_length(baseline)


def of_arm(records: Iterable[TrialRecord], arm: Arm) -> list[TrialRecord]:
    """The trials of one arm."""
    return [r for r in records if r.trial.arm == arm.key]


def chosen_configurations(
    sweep: Sweep, records: Sequence[TrialRecord], again: Sequence[TrialRecord] = ()
) -> list[Configuration]:
    """The configurations of all arms, in the order of the arms.

    Args:
        sweep: the sweep with the arms that were run.
        records: the trials of the search.
        again: the trials of the selection round.
    """
    by_lineage = {r.trial.lineage: r.result for r in settled(again) if r.result is not None}
    return [c for arm in sweep.arms for c in _of_arm(sweep, arm, records, by_lineage)]


def _of_arm(
    sweep: Sweep, arm: Arm, records: Sequence[TrialRecord], again: Mapping[str, Result]
) -> Iterator[Configuration]:
    baseline = sweep.baseline(arm, sweep.confirm_epochs)
    yield Configuration(arm.key, BASELINE, baseline)
    if _has_short(sweep, baseline):
        short = sweep.baseline(arm, sweep.baseline_epochs)
        yield Configuration(arm.key, BASELINE_SHORT, short)
    for budget in budgets(sweep):
        found = _tuned(sweep, budget, of_arm(records, arm), again)
        if found is not None:
            yield found


def _tuned(
    sweep: Sweep, budget: Budget, records: Sequence[TrialRecord], again: Mapping[str, Result]
) -> Configuration | None:
    """The best of the trials whose curves reach the budget, or the last epoch that any curve reaches."""
    at = budget.read_at(records)
    best = candidates(sweep, records, at)
    if not best:
        return None
    chosen, seeds = best[0], 0
    means = [(mean, r) for r in best if (mean := _mean(sweep, r, at, again)) is not None]
    if means:
        chosen, seeds = max(means, key=lambda pair: pair[0])[1], len(sweep.selection_seeds)
    own = chosen.trial.of_length
    epochs = chosen.trial.epochs if own else sweep.confirm_epochs
    params = {**chosen.trial.params, "epochs": epochs}
    return Configuration(
        chosen.trial.arm,
        budget.configuration,
        params,
        chosen.trial.number,
        at,
        len(read_at_epoch(records, at)),
        of=len(settled(records)),
        reselected=seeds,
    )


def candidates(sweep: Sweep, records: Sequence[TrialRecord], epoch: int) -> list[TrialRecord]:
    """The best trials of an arm after an epoch, best first, and its baseline, read at that epoch.

    Without a selection round all trials. A trial that diverged later is left out.
    """
    read = read_at_epoch(records, epoch) if epoch else []
    ordered = sorted(read, key=_rank_by_rules_1 if sweep.rules == 1 else rank, reverse=True)
    if not sweep.selection_seeds:
        return ordered
    top = sweep.select.top
    return [r for i, r in enumerate(ordered) if i < top or r.trial.configuration == BASELINE]


def _mean(
    sweep: Sweep, record: TrialRecord, epoch: int, again: Mapping[str, Result]
) -> tuple[float, float] | None:
    """Mean score and negated mean loss of a candidate after an epoch, over all seeds; None if a seed is missing."""
    assert record.result is not None
    results = [record.result]
    for seed in sweep.selection_seeds:
        found = again.get(replace(record.trial, seed=seed).lineage)
        if found is None or not found.status.scored:
            return None
        results.append(found)
    if not sweep.selection_seeds:
        return None
    pairs = [_after(result, epoch) for result in results]
    sign = metric(record.trial.metric).sign
    return sign * sum(score for score, _ in pairs) / len(pairs), -sum(x for _, x in pairs) / len(
        pairs
    )


def _after(result: Result, epoch: int) -> tuple[float, float]:
    """Score and loss after an epoch; chance if the trial had diverged."""
    if len(result.curve) < epoch and result.status is not Status.COMPLETE:
        return result.chance, math.inf
    read = result.course(epoch)[-1]
    return (read.value, read.val_loss) if read.finite else (result.chance, math.inf)


def _rank_by_rules_1(record: TrialRecord) -> tuple[float, int, int]:
    """Ties: the trial with fewer epochs, then the earlier one."""
    score, _, _, number = rank(record)
    return score, -record.trial.epochs, number
