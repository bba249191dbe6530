"""The search, and the record of the study: the only package that imports Optuna."""

from normsweep.search.record import (
    StudyInfo,
    begin,
    open_study,
    read_study,
    study_info,
    study_names,
)
from normsweep.search.search import Search
from normsweep.search.storage import masked

__all__ = [
    "Search",
    "StudyInfo",
    "begin",
    "masked",
    "open_study",
    "read_study",
    "study_info",
    "study_names",
]
