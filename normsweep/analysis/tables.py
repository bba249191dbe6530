"""The tables of a study as data frames; their columns are stable and stated in docs/columns.md."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from normsweep.parts.metrics import ACCURACY, metric
from normsweep.sweep.study_record import TrialRecord
from normsweep.sweep.trial import Epoch, Status

__all__ = ["arms_table", "best_of_arms", "best_table", "epochs_table", "settled", "trials_table"]

LEADING = ("normalization", "optimizer", "learning_rate", "epochs", "batch_size")
OUTCOME = (
    "trial", "phase", "arm", "slot", "status", "val_accuracy", "val_loss", "train_accuracy", "train_loss",
    "test_accuracy", "epochs_run", "configuration",
)  # fmt: skip
ORIGIN = (
    "seconds", "reused_epochs", "reused_from", "seed", "dataset", "data_digest", "device", "threads", "precision", "same_as", "fingerprint",
    "run_id", "error",
)  # fmt: skip


def best_of_arms(records: Iterable[TrialRecord]) -> dict[str, TrialRecord]:
    """Each arm's best complete trial: best score on validation after its last epoch.

    Of equals the one with fewer epochs, then the earlier one.
    """
    best: dict[str, TrialRecord] = {}
    for record in records:
        if record.result is None or record.result.status is not Status.COMPLETE:
            continue
        known = best.get(record.trial.arm)
        if known is None or _rank(record) > _rank(known):
            best[record.trial.arm] = record
    return best


def settled(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """The trials that count: the last at each place of the plan, interrupted and running ones not."""
    ended = [r for r in records if r.result and r.result.status is not Status.INTERRUPTED]
    return list({record.place: record for record in ended}.values())


def trials_table(
    records: Sequence[TrialRecord], same: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """One row a trial, by number; trials that still run are left out."""
    chosen = [record for record in records if record.result is not None]
    return _trials(chosen, _columns(records), same or {})


def epochs_table(records: Sequence[TrialRecord]) -> pd.DataFrame:
    """One row an epoch: trial, arm, epoch (from 1), losses, accuracies, seconds.

    Only the confirmation's epochs have a test accuracy. Another metric has columns of its own.
    """
    columns = [
        "trial", "arm", "epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds",
    ]  # fmt: skip
    rows = [
        {
            **{c: getattr(epoch, c) for c in columns if c != "arm"},
            "arm": record.trial.arm,
            "test_accuracy": _test_accuracy(epoch),
            **_by_metric(record, "val", epoch.value),
            **_by_metric(record, "test", epoch.tested.value if epoch.tested else math.nan),
        }
        for record in records
        if record.result is not None
        for epoch in record.result.curve
    ]
    own = dict.fromkeys(name for row in rows for name in row if name not in columns)
    return pd.DataFrame(rows, columns=[*columns, *(own or ["test_accuracy"])])


def best_table(
    records: Sequence[TrialRecord],
    arms: Sequence[str],
    top: int | None = None,
    same: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Each arm's best trial, best arm first; with `top`, the best trials overall.

    Columns as `trials_table`, without those that are the same by construction.
    """
    if top is None:
        best = best_of_arms(records)
        chosen = [best[arm] for arm in arms if arm in best]
    else:
        chosen = [r for r in records if r.result is not None and r.result.status is Status.COMPLETE]
    chosen = sorted(chosen, key=_rank, reverse=True)[:top]
    table = _trials(chosen, _columns(records), same or {})
    tested = [name for name in table.columns if name in _tested_columns(records)]
    return table.drop(columns=["phase", "slot", "status", *tested, "configuration", "error"])


def arms_table(
    records: Sequence[TrialRecord], arms: Sequence[str], same: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """One row an arm: how its trials ended, its best and median score, what they cost."""
    best = best_of_arms(records)
    rows = []
    for arm in arms:
        of_arm = [r for r in records if r.trial.arm == arm and r.result is not None]
        rows.append(_arm_row(arm, of_arm, best.get(arm), same or {}))
    return pd.DataFrame(rows).astype({"best_epochs": "Int64"})


def _arm_row(
    arm: str, records: Sequence[TrialRecord], best: TrialRecord | None, same: Mapping[str, str]
) -> dict[str, Any]:
    results = [record.result for record in settled(records) if record.result is not None]
    attempts = [record.result for record in records if record.result is not None]
    counts = {status: sum(r.status is status for r in results) for status in Status}
    scores = [r.score for r in results if r.status.scored]
    top = best.result.score if best and best.result else math.nan
    by = records[0].trial.metric if records else ACCURACY.name
    return {
        "arm": arm,
        "trials": len(results),
        "complete": counts[Status.COMPLETE],
        "diverged": counts[Status.DIVERGED],
        "pruned": counts[Status.PRUNED],
        "failed": counts[Status.CRASHED] + counts[Status.TIMED_OUT],
        "retried": sum(r.status.failed for r in attempts) - sum(r.status.failed for r in results),
        f"best_val_{by}": top,
        f"median_val_{by}": float(pd.Series(scores, dtype=float).median()),
        "best_learning_rate": best.trial.learning_rate if best else math.nan,
        "best_epochs": best.trial.epochs if best else pd.NA,
        "seconds": sum(r.seconds for r in attempts),
        "same_as": _same_as(arm, same),
    }


def _trials(
    records: Iterable[TrialRecord], columns: Sequence[str], same: Mapping[str, str]
) -> pd.DataFrame:
    rows = [_trial_row(record, same) for record in records]
    return pd.DataFrame(rows, columns=list(columns)).astype({"reused_from": "Int64"})


def _trial_row(record: TrialRecord, same: Mapping[str, str]) -> dict[str, Any]:
    trial, result = record.trial, record.result
    assert result is not None
    last = result.curve[-1] if result.curve else None
    return {
        "trial": trial.number,
        "phase": trial.phase,
        "arm": trial.arm,
        "slot": trial.slot,
        "status": result.status.value,
        **_by_metric(record, "val", result.score),
        "val_accuracy": _accuracy(record),
        "val_loss": last.val_loss if last else math.nan,
        "train_accuracy": last.train_accuracy if last else math.nan,
        "train_loss": last.train_loss if last else math.nan,
        **_by_metric(record, "test", last.tested.value if last and last.tested else math.nan),
        "test_accuracy": _test_accuracy(last),
        "epochs_run": len(result.curve),
        "configuration": trial.configuration,
        **{name: getattr(trial, name) for name in LEADING},
        **_own(record),
        "seconds": result.seconds,
        "reused_epochs": result.reused,
        "reused_from": pd.NA if result.origin is None else result.origin,
        "seed": trial.seed,
        "dataset": trial.data.name,
        "data_digest": trial.data.digest,
        "device": result.machine.get("device", ""),
        "threads": result.machine.get("threads", ""),
        "precision": trial.precision,
        "same_as": _same_as(trial.normalization, same),
        "fingerprint": trial.fingerprint,
        "run_id": record.run_id,
        "error": result.error,
    }


def _test_accuracy(epoch: Epoch | None) -> float:
    return epoch.tested.accuracy if epoch is not None and epoch.tested is not None else math.nan


def _accuracy(record: TrialRecord) -> float:
    """Validation accuracy: the score, where no other metric is; else what the last epoch had."""
    result = record.result
    assert result is not None
    if record.trial.metric == ACCURACY.name:
        return result.score
    return result.curve[-1].val_accuracy if result.curve else math.nan


def _by_metric(record: TrialRecord, on: str, value: float) -> dict[str, float]:
    """The column of a metric other than the accuracy, which has its own."""
    name = record.trial.metric
    return {} if name == ACCURACY.name else {f"{on}_{name}": value}


def _metrics(records: Sequence[TrialRecord]) -> list[str]:
    names = dict.fromkeys(record.trial.metric for record in records)
    return [name for name in names if name != ACCURACY.name]


def _tested_columns(records: Sequence[TrialRecord]) -> list[str]:
    return ["test_accuracy", *(f"test_{name}" for name in _metrics(records))]


def _columns(records: Sequence[TrialRecord]) -> list[str]:
    """The columns of a table of trials: fixed ones, with the study's own parameters among them."""
    own = dict.fromkeys(name for record in records for name in _own(record))
    scores = [f"val_{name}" for name in _metrics(records)]
    tested = [f"test_{name}" for name in _metrics(records)]
    at = OUTCOME.index("val_accuracy")
    return [*OUTCOME[:at], *scores, *tested, *OUTCOME[at:], *LEADING, *own, *ORIGIN]


def _own(record: TrialRecord) -> dict[str, Any]:
    """The study's own parameters; one named as a fixed column gets `param_` before its name."""
    taken = (*OUTCOME, *ORIGIN)
    return {
        f"param_{name}" if name in taken else name: value
        for name, value in record.trial.params.items()
        if name not in LEADING
    }


def _same_as(normalization: str, same: Mapping[str, str]) -> str:
    """The normalizations that do the same on this data, and so were not run."""
    return ", ".join(sorted(name for name, kept in same.items() if kept == normalization))


def _rank(record: TrialRecord) -> tuple[float, int, int]:
    assert record.result is not None
    sign = metric(record.trial.metric).sign
    return sign * record.result.score, -record.trial.epochs, -record.trial.number
