"""The configurations to confirm: the baseline, and each arm's best by validation score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from normsweep.parts.metrics import metric
from normsweep.sweep.schema import Sweep
from normsweep.sweep.space import Choice, Scalar
from normsweep.sweep.study_record import (
    BASELINE,
    TUNED_LONG,
    TUNED_SHORT,
    Configuration,
    TrialRecord,
)
from normsweep.sweep.trial import Status

__all__ = ["chosen_configurations"]


def chosen_configurations(sweep: Sweep, records: Sequence[TrialRecord]) -> list[Configuration]:
    """The configurations of all arms, in the order of the arms.

    Args:
        sweep: the sweep with the arms that were run.
        records: the trials of the search.
    """
    return [c for arm in sweep.arms for c in _of_arm(sweep, arm, records)]


def _of_arm(sweep: Sweep, arm: Scalar, records: Sequence[TrialRecord]) -> Iterator[Configuration]:
    yield Configuration(str(arm), BASELINE, _baseline(sweep, arm))
    of_arm = [r for r in records if r.trial.arm == str(arm)]
    longest = min(sweep.confirm_epochs, sweep.longest)
    for name, epoch in ((TUNED_SHORT, sweep.baseline_epochs), (TUNED_LONG, longest)):
        found = _tuned(name, str(arm), of_arm, epoch, sweep.confirm_epochs)
        if found is not None:
            yield found


def _baseline(sweep: Sweep, arm: Scalar) -> dict[str, Scalar]:
    """The declared baseline, with the parameters that the space fixes, but not the searched ones."""
    declared, space = sweep.confirm.baseline, sweep.search.space
    params: dict[str, Scalar] = {
        "normalization": declared.normalization or space.choices("normalization")[0],
        "optimizer": declared.optimizer,
        "learning_rate": declared.learning_rate,
        "epochs": sweep.confirm_epochs,
        sweep.compare: arm,
    }
    for dimension in space.active(params):
        if isinstance(dimension, Choice) and len(dimension.values) == 1:
            params.setdefault(dimension.name, dimension.values[0])
    return params


def _tuned(
    name: str, arm: str, records: Sequence[TrialRecord], epoch: int, epochs: int
) -> Configuration | None:
    """The best of the trials whose curves reach `epoch`, or the last epoch that any curve reaches.

    Ties: the trial with fewer epochs, then the earlier one. A trial that diverged later is not chosen.
    """
    usable = [r for r in records if _usable(r)]
    if not usable:
        return None
    read_at = min(epoch, max(_length(r) for r in usable))
    reached = [r for r in usable if _length(r) >= read_at]
    best = max(reached, key=lambda r: _rank(r, read_at))
    params = {**best.trial.params, "epochs": epochs}
    return Configuration(arm, name, params, best.trial.number, read_at, len(reached))


def _usable(record: TrialRecord) -> bool:
    result = record.result
    ended = (Status.COMPLETE, Status.PRUNED)
    return result is not None and bool(result.curve) and result.status in ended


def _length(record: TrialRecord) -> int:
    assert record.result is not None
    return len(record.result.curve)


def _rank(record: TrialRecord, epoch: int) -> tuple[float, int, int]:
    assert record.result is not None
    score = metric(record.trial.metric).sign * record.result.curve[epoch - 1].value
    return score, -record.trial.epochs, -record.trial.number
