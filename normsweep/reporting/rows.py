"""The tables of a study as plain rows, which the console prints without pandas."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from normsweep.analysis.trials import (
    ArmSummary,
    arm_summaries,
    best_by_epochs,
    best_of_arms,
    rank,
)
from normsweep.parts.metrics import ACCURACY, REGRESSION, metric, registry
from normsweep.sweep.study_record import StudyRecord, TrialRecord
from normsweep.sweep.trial import Epoch, Status

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ARMS",
    "LEADING",
    "Rows",
    "arm_rows",
    "best_rows",
    "brief_rows",
    "budget_rows",
    "epoch_rows",
    "trial_rows",
]

ARMS = ["arm", "trials", "complete", "diverged", "failed", "median_val_{metric}", "seconds"]
"""Columns of the brief table of arms."""

LEADING = ("normalization", "optimizer", "learning_rate", "epochs", "batch_size")
OUTCOME = (
    "trial", "phase", "arm", "slot", "status", "val_accuracy", "val_loss", "train_accuracy", "train_loss",
    "test_accuracy", "epochs_run", "configuration",
)  # fmt: skip
ORIGIN = (
    "seconds", "reused_epochs", "reused_from", "reused_study", "seed", "dataset", "data_digest", "device", "threads", "precision", "same_as", "fingerprint",
    "run_id", "error",
)  # fmt: skip


@dataclass(frozen=True)
class Rows:
    """A table: its columns in order, and a mapping of values for each row; None where a value is missing."""

    columns: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]

    @classmethod
    def of(cls, columns: Iterable[str], rows: Iterable[Sequence[Any]]) -> Rows:
        """A table of rows whose values have the order of the columns."""
        names = tuple(columns)
        return cls(names, tuple(dict(zip(names, row, strict=True)) for row in rows))

    def __getitem__(self, column: str) -> list[Any]:
        return [row.get(column) for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def mappings(self) -> list[dict[str, Any]]:
        """Each row as a dictionary of the table's columns."""
        return [{name: row.get(name) for name in self.columns} for row in self.rows]

    def only(self, columns: Iterable[str]) -> Rows:
        """Some of the columns, in this order; those that the table has not are left out."""
        return Rows(tuple(name for name in columns if name in self.columns), self.rows)

    def without(self, *columns: str) -> Rows:
        """The other columns."""
        return self.only(name for name in self.columns if name not in columns)

    def frame(self, **types: str) -> pd.DataFrame:
        """As a data frame; `types`: the dtypes of columns whose missing values would change it."""
        import pandas as pd

        return pd.DataFrame(list(self.rows), columns=list(self.columns)).astype(types)


def brief_rows(record: StudyRecord, name: str, columns: Sequence[str]) -> Rows:
    """Some columns of the table `best` or `arms`; `{metric}` in a name is the study's metric."""
    named = [column.format(metric=record.sweep.metric) for column in columns]
    if name == "best":
        return best_rows(record.searched, record.arms, same=record.same).only(named)
    return arm_rows(arm_summaries(record.searched, record.arms), record.equal).only(named)


def trial_rows(records: Sequence[TrialRecord], same: Mapping[str, str] | None = None) -> Rows:
    """One row a trial, by number; trials that still run are left out."""
    chosen = [record for record in records if record.result is not None]
    return _with_accuracy(_trials(chosen, _columns(records), same or {}), records)


def epoch_rows(records: Sequence[TrialRecord]) -> Rows:
    """One row an epoch: trial, arm, epoch (from 1), losses, scores, seconds."""
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
    return _with_accuracy(Rows((*columns, *(own or ["test_accuracy"])), tuple(rows)), records)


def best_rows(
    records: Sequence[TrialRecord],
    arms: Sequence[str],
    top: int | None = None,
    same: Mapping[str, str] | None = None,
) -> Rows:
    """Each arm's best trial, best arm first; with `top`, the best trials overall."""
    if top is None:
        best = best_of_arms(records)
        chosen = [best[arm] for arm in arms if arm in best]
    else:
        chosen = [r for r in records if r.result is not None and r.result.status is Status.COMPLETE]
    chosen = sorted(chosen, key=rank, reverse=True)[:top]
    table = _trials(chosen, _columns(records), same or {})
    tested = _tested_columns(records)
    rest = table.without("phase", "slot", "status", *tested, "configuration", "error")
    return _with_accuracy(rest, records)


def budget_rows(record: StudyRecord) -> Rows:
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
            "val_loss": each.record.result.last.val_loss if each.record.result else math.nan,
            **{name: getattr(each.record.trial, name) for name in LEADING if name != "epochs"},
            **{name: _own(each.record).get(name) for name in own},
            "among": each.among,
            "of": each.of,
            "reached_by": each.reached_by,
        }
        for each in best
    ]
    scores = [f"val_{name}" for name in _metrics(record.searched)]
    settings = [name for name in LEADING if name != "epochs"]
    columns = ["arm", "epochs", "trial", *scores, "val_accuracy", "val_loss", *settings, *own]
    table = Rows((*columns, "among", "of", "reached_by"), tuple(rows))
    return _with_accuracy(table, record.searched)


def arm_rows(summaries: Sequence[ArmSummary], same: Mapping[str, str] | None = None) -> Rows:
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
            "best_epochs": arm.best_epochs,
            "seconds": arm.seconds,
            "same_as": _same_as(arm.arm, same or {}),
        }
        for arm in summaries
    ]
    return Rows(tuple(rows[0]) if rows else (), tuple(rows))


def _trials(
    records: Iterable[TrialRecord], columns: Sequence[str], same: Mapping[str, str]
) -> Rows:
    return Rows(tuple(columns), tuple(_trial_row(record, same) for record in records))


def _trial_row(record: TrialRecord, same: Mapping[str, str]) -> dict[str, Any]:
    trial, result = record.trial, record.result
    assert result is not None
    last = result.last if result.curve else None
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
        **({"restored_epoch": last.epoch} if last and result.restores else {}),
        "configuration": trial.configuration,
        **{name: getattr(trial, name) for name in LEADING},
        **_own(record),
        "seconds": result.seconds,
        "reused_epochs": result.reused,
        "reused_from": result.origin,
        "reused_study": result.origin_study,
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


def _with_accuracy(table: Rows, records: Sequence[TrialRecord]) -> Rows:
    """The table, in a regression without the columns of the accuracy, which it has none of."""
    names = _metrics(records)
    if not any(name in registry and REGRESSION in metric(name).tasks for name in names):
        return table
    return table.without(*(f"{on}_accuracy" for on in ("train", "val", "test")))


def _accuracy(record: TrialRecord) -> float:
    """Validation accuracy: the score, where no other metric is; else what the last epoch had."""
    result = record.result
    assert result is not None
    if record.trial.metric == ACCURACY.name:
        return result.score
    return result.last.val_accuracy if result.curve else math.nan


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
    at, end = OUTCOME.index("val_accuracy"), OUTCOME.index("configuration")
    restored = ["restored_epoch"] if any(r.result and r.result.restores for r in records) else []
    outcome = (*OUTCOME[:at], *scores, *tested, *OUTCOME[at:end], *restored, *OUTCOME[end:])
    return [*outcome, *LEADING, *own, *ORIGIN]


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
