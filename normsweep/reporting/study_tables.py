"""The tables of a study by name, as commands and Python code ask for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from normsweep.analysis.evidence import Evidence
from normsweep.analysis.tables import arms_table, best_table, epochs_table, trials_table
from normsweep.errors import StoreError
from normsweep.reporting.study_report import study_evidence
from normsweep.sweep.study_record import TrialRecord
from normsweep.sweep.trial import SEARCH

if TYPE_CHECKING:
    from normsweep.store.encoding import StudyInfo

__all__ = ["ARMS", "brief_table", "confirmed_evidence", "study_table"]

ARMS = ["arm", "trials", "complete", "diverged", "failed", "median_val_{metric}", "seconds"]
"""Of the table of arms, what is told of a study in brief."""


def study_table(
    info: StudyInfo,
    records: Sequence[TrialRecord],
    name: str,
    top: int | None = None,
    storage: str = "",
) -> pd.DataFrame:
    """A table of a study, its columns as docs/columns.md has them.

    Args:
        info: the study as a whole.
        records: the trials of both phases.
        name: best, trials, epochs, arms or verdict.
        top: with best: so many trials overall, not one an arm.
        storage: the option that names the study's storage in commands; empty: it needs none.

    Raises:
        StoreError: the verdict is asked for, and there is none yet.
    """
    searched = [record for record in records if record.trial.phase == SEARCH]
    match name:
        case "best":
            return best_table(searched, info.arms, top, info.same)
        case "trials":
            return trials_table(records, info.same)
        case "epochs":
            return epochs_table(records)
        case "arms":
            return arms_table(searched, info.arms, info.same)
        case _:
            return confirmed_evidence(info, records, storage).verdicts


def brief_table(
    info: StudyInfo, records: Sequence[TrialRecord], name: str, columns: Sequence[str]
) -> pd.DataFrame:
    """Some columns of a `study_table`, in this order; `{metric}` in a name is the study's metric."""
    named = [column.format(metric=info.sweep["metric"]) for column in columns]
    return study_table(info, records, name).filter(named)


def confirmed_evidence(
    info: StudyInfo, records: Sequence[TrialRecord], storage: str = ""
) -> Evidence:
    """All that a study with a verdict found.

    Raises:
        StoreError: it has none yet.
    """
    if not info.looks:
        raise StoreError(
            f"study {info.name}: has no verdict yet; its confirmation gives one: "
            f"python -m normsweep.study SWEEP --study-name {info.name}{storage} --phase confirm"
        )
    return study_evidence(info, records)
