"""The tables of a study as data frames, by name; their columns are stable and stated in docs/columns.md."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from normsweep.analysis.evidence import Evidence, evidence
from normsweep.analysis.trials import (
    ArmSummary,
    arm_summaries,
    best_by_epochs,
    best_of_arms,
    rank,
    read_at_epoch,
)
from normsweep.errors import StoreError
from normsweep.parts.metrics import ACCURACY
from normsweep.reporting.commands import Commands
from normsweep.reporting.evidence_tables import verdict_table
from normsweep.sweep.study_record import StudyRecord, TrialRecord
from normsweep.sweep.trial import Epoch, Status
from normsweep.urls import STORAGE

__all__ = [
    "ARMS",
    "arms_table",
    "best_table",
    "brief_table",
    "budgets_table",
    "confirmed_evidence",
    "epochs_table",
    "study_table",
    "trials_table",
]

ARMS = ["arm", "trials", "complete", "diverged", "failed", "median_val_{metric}", "seconds"]
"""Columns of the brief table of arms."""

LEADING = ("normalization", "optimizer", "learning_rate", "epochs", "batch_size")
OUTCOME = (
    "trial", "phase", "arm", "slot", "status", "val_accuracy", "val_loss", "train_accuracy", "train_loss",
    "test_accuracy", "epochs_run", "configuration",
)  # fmt: skip
ORIGIN = (
    "seconds", "reused_epochs", "reused_from", "seed", "dataset", "data_digest", "device", "threads", "precision", "same_as", "fingerprint",
    "run_id", "error",
)  # fmt: skip


def study_table(
    record: StudyRecord,
    name: str,
    top: int | None = None,
    storage: str = STORAGE,
    epochs: int | None = None,
) -> pd.DataFrame:
    """A table of a study, its columns as docs/columns.md has them.

    Args:
        record: with its trials.
        name: best, budgets, trials, epochs, arms or verdict.
        top: with best: so many trials overall, not one an arm.
        epochs: with best: all trials read after this epoch, not after their last one.
        storage: address of Optuna's database, for the commands.

    Raises:
        StoreError: the verdict is asked for, and there is none yet.
    """
    match name:
        case "best":
            read = record.searched if epochs is None else read_at_epoch(record.searched, epochs)
            return best_table(read, record.arms, top, record.same)
        case "budgets":
            return budgets_table(record)
        case "trials":
            return trials_table(record.trials, record.same)
        case "epochs":
            return epochs_table(record.trials)
        case "arms":
            return arms_table(arm_summaries(record.searched, record.arms), record.same)
        case _:
            found = confirmed_evidence(record, storage)
            return verdict_table(found.verdicts, found.metric)


def brief_table(record: StudyRecord, name: str, columns: Sequence[str]) -> pd.DataFrame:
    """Some columns of a `study_table`, in this order; `{metric}` in a name is the study's metric."""
    named = [column.format(metric=record.sweep.metric) for column in columns]
    return study_table(record, name).filter(named)


def confirmed_evidence(record: StudyRecord, storage: str = STORAGE) -> Evidence:
    """All that a study with a verdict found.

    Raises:
        StoreError: it has none yet.
    """
    if not record.analyses:
        raise StoreError(
            f"study {record.name}: has no verdict yet; its confirmation gives one: "
            f"{Commands(record, storage).confirm()}"
        )
    return evidence(record)


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
    chosen = sorted(chosen, key=rank, reverse=True)[:top]
    table = _trials(chosen, _columns(records), same or {})
    tested = [name for name in table.columns if name in _tested_columns(records)]
    return table.drop(columns=["phase", "slot", "status", *tested, "configuration", "error"])


def budgets_table(record: StudyRecord) -> pd.DataFrame:
    """One row an arm and number of epochs: the best trial, read after exactly so many epochs."""
    budgets = record.sweep.search.space["epochs"].grid() or ()
    best = best_by_epochs(record.searched, record.arms, [int(n) for n in budgets])
    own = list(dict.fromkeys(name for each in best for name in _own(each.record)))
    rows = [
        {
            "arm": each.arm,
            "epochs": each.epochs,
            "trial": each.record.trial.number,
            **_by_metric(each.record, "val", each.score),
            "val_accuracy": _accuracy(each.record),
            "val_loss": each.record.result.curve[-1].val_loss if each.record.result else math.nan,
            **{name: getattr(each.record.trial, name) for name in LEADING if name != "epochs"},
            **{name: _own(each.record).get(name) for name in own},
            "among": each.among,
            "of": each.of,
        }
        for each in best
    ]
    scores = [f"val_{name}" for name in _metrics(record.searched)]
    settings = [name for name in LEADING if name != "epochs"]
    columns = ["arm", "epochs", "trial", *scores, "val_accuracy", "val_loss", *settings, *own]
    return pd.DataFrame(rows, columns=[*columns, "among", "of"])


def arms_table(
    summaries: Sequence[ArmSummary], same: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """One row an arm: how its trials ended, its best and median score, what they cost."""
    rows = [
        {
            "arm": arm.arm,
            "trials": arm.trials,
            "complete": arm.complete,
            "diverged": arm.diverged,
            "pruned": arm.pruned,
            "failed": arm.failed,
            "retried": arm.retried,
            f"best_val_{arm.metric.name}": arm.best,
            f"median_val_{arm.metric.name}": arm.median,
            "best_learning_rate": arm.best_learning_rate,
            "best_epochs": pd.NA if arm.best_epochs is None else arm.best_epochs,
            "seconds": arm.seconds,
            "same_as": _same_as(arm.arm, same or {}),
        }
        for arm in summaries
    ]
    return pd.DataFrame(rows).astype({"best_epochs": "Int64"})


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
