"""From the record of a study to what its report shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from normsweep.analysis.evidence import Evidence, evidence
from normsweep.spec import Record

if TYPE_CHECKING:
    from normsweep.search import StudyInfo

__all__ = ["study_evidence"]


def study_evidence(info: StudyInfo, records: Sequence[Record]) -> Evidence:
    """All that a study found; `records` are those of both phases."""
    return evidence(
        info.sweep, info.arms, info.looks, info.diagnoses, info.data["classes"], records
    )
