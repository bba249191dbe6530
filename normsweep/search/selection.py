"""The configurations to confirm: the baseline, and each arm's best by validation score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from normsweep.analysis.trials import longest_curve, rank, read_at_epoch, settled
from normsweep.sweep.schema import Sweep
from normsweep.sweep.space import Scalar
from normsweep.sweep.study_record import (
    BASELINE,
    TUNED_LONG,
    TUNED_SHORT,
    Configuration,
    TrialRecord,
)

__all__ = ["chosen_configurations"]


def chosen_configurations(sweep: Sweep, records: Sequence[TrialRecord]) -> list[Configuration]:
    """The configurations of all arms, in the order of the arms.

    Args:
        sweep: the sweep with the arms that were run.
        records: the trials of the search.
    """
    return [c for arm in sweep.arms for c in _of_arm(sweep, arm, records)]


def _of_arm(sweep: Sweep, arm: Scalar, records: Sequence[TrialRecord]) -> Iterator[Configuration]:
    yield Configuration(str(arm), BASELINE, sweep.baseline(arm, sweep.confirm_epochs))
    of_arm = [r for r in records if r.trial.arm == str(arm)]
    longest = min(sweep.confirm_epochs, sweep.longest)
    for name, epoch in ((TUNED_SHORT, sweep.baseline_epochs), (TUNED_LONG, longest)):
        found = _tuned(sweep, name, str(arm), of_arm, epoch)
        if found is not None:
            yield found


def _tuned(
    sweep: Sweep, name: str, arm: str, records: Sequence[TrialRecord], epoch: int
) -> Configuration | None:
    """The best of the trials whose curves reach `epoch`, or the last epoch that any curve reaches.

    A trial that diverged later is not chosen.
    """
    read_at = min(epoch, longest_curve(records))
    reached = read_at_epoch(records, read_at) if read_at else []
    if not reached:
        return None
    best = max(reached, key=_rank_by_rules_1 if sweep.rules == 1 else rank)
    params = {**best.trial.params, "epochs": sweep.confirm_epochs}
    among, of = len(reached), len(settled(records))
    return Configuration(arm, name, params, best.trial.number, read_at, among, of=of)


def _rank_by_rules_1(record: TrialRecord) -> tuple[float, int, int]:
    """Ties: the trial with fewer epochs, then the earlier one."""
    score, _, _, number = rank(record)
    return score, -record.trial.epochs, number
