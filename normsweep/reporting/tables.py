"""The tables of a study as data frames, by name; their columns are stable and stated in docs/columns.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from normsweep.analysis.evidence import Evidence, evidence
from normsweep.analysis.trials import ArmSummary, arm_summaries, read_at_epoch
from normsweep.errors import StoreError
from normsweep.reporting.commands import Commands
from normsweep.reporting.ending_tables import endings_table
from normsweep.reporting.evidence_tables import verdict_table
from normsweep.reporting.methods import methods, methods_table
from normsweep.reporting.rows import arm_rows, best_rows, budget_rows, epoch_rows, trial_rows
from normsweep.reporting.score_tables import (
    exchange_table,
    mechanism_table,
    seeds_table,
    summary_table,
)
from normsweep.sweep.study_record import StudyRecord, TrialRecord
from normsweep.urls import STORAGE

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "arms_table",
    "best_table",
    "budgets_table",
    "confirmed_evidence",
    "epochs_table",
    "study_table",
    "trials_table",
]


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
        name: best, budgets, trials, epochs, arms, endings, verdict, summary, seeds, exchange, mechanism or methods.
        top: with best: so many trials overall, not one an arm.
        epochs: with best: all trials read after this epoch, not after their last one.
        storage: address of Optuna's database, for the commands.

    Raises:
        StoreError: the table is one of the confirmation, and there is none yet.
    """
    return _with_keys(_study_table(record, name, top, storage, epochs), record)


def _with_keys(table: pd.DataFrame, record: StudyRecord) -> pd.DataFrame:
    """The table with the column `arm_key`, if the arms have labels."""
    keys = record.keys
    if "arm" not in table or all(arm == key for arm, key in keys.items()):
        return table
    return table.assign(arm_key=[keys.get(arm, arm) for arm in table["arm"]])


def _study_table(
    record: StudyRecord, name: str, top: int | None, storage: str, epochs: int | None
) -> pd.DataFrame:
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
            return arms_table(arm_summaries(record.searched, record.arms), record.equal)
        case "endings":
            return endings_table(evidence(record).endings.arms)
        case "methods":
            return methods_table(methods(evidence(record)))
        case _:
            return _confirmed_table(confirmed_evidence(record, storage), name)


def _confirmed_table(found: Evidence, name: str) -> pd.DataFrame:
    match name:
        case "summary":
            return summary_table(found.scores, found.metric)
        case "seeds":
            return seeds_table(found.scores, found.metric, found.level)
        case "exchange":
            return exchange_table(found.exchanges, found.metric)
        case "mechanism":
            return mechanism_table(found.factorials)
        case _:
            return verdict_table(found.verdicts, found.metric)


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
    return trial_rows(records, same).frame(reused_from="Int64")


def epochs_table(records: Sequence[TrialRecord]) -> pd.DataFrame:
    """One row an epoch: trial, arm, epoch (from 1), losses, accuracies, seconds.

    Only the confirmation's epochs have a test accuracy. Another metric has columns of its own.
    """
    return epoch_rows(records).frame()


def best_table(
    records: Sequence[TrialRecord],
    arms: Sequence[str],
    top: int | None = None,
    same: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Each arm's best trial, best arm first; with `top`, the best trials overall.

    Columns as `trials_table`, without those that are the same by construction.
    """
    return best_rows(records, arms, top, same).frame(reused_from="Int64")


def budgets_table(record: StudyRecord) -> pd.DataFrame:
    """One row an arm and number of epochs: the best trial, read after exactly so many epochs."""
    return budget_rows(record).frame()


def arms_table(
    summaries: Sequence[ArmSummary], same: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """One row an arm: how its trials ended, its best and median score, what they cost."""
    return arm_rows(summaries, same).frame(best_epochs="Int64")
