"""The tables of a study by name, as commands and Python code ask for them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from normsweep.analysis.evidence import Evidence, evidence
from normsweep.analysis.tables import arms_table, best_table, epochs_table, trials_table
from normsweep.errors import StoreError
from normsweep.reporting.commands import Commands
from normsweep.sweep.study_record import StudyRecord
from normsweep.urls import STORAGE

__all__ = ["ARMS", "brief_table", "confirmed_evidence", "study_table"]

ARMS = ["arm", "trials", "complete", "diverged", "failed", "median_val_{metric}", "seconds"]
"""Of the table of arms, what is told of a study in brief."""


def study_table(
    record: StudyRecord,
    name: str,
    top: int | None = None,
    storage: str = STORAGE,
) -> pd.DataFrame:
    """A table of a study, its columns as docs/columns.md has them.

    Args:
        record: the study's.
        name: best, trials, epochs, arms or verdict.
        top: with best: so many trials overall, not one an arm.
        storage: address of Optuna's database, for the commands.

    Raises:
        StoreError: the verdict is asked for, and there is none yet.
    """
    searched, arms, same = record.searched, record.arms, record.same
    match name:
        case "best":
            return best_table(searched, arms, top, same)
        case "trials":
            return trials_table(record.trials, same)
        case "epochs":
            return epochs_table(record.trials)
        case "arms":
            return arms_table(searched, arms, same)
        case _:
            return confirmed_evidence(record, storage).verdicts


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
