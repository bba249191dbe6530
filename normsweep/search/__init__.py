"""The search, and the record of the study: the only package that imports Optuna."""

from normsweep.search.record import (
    StudyInfo,
    begin,
    begun_on_data,
    check_data,
    open_study,
    read_study,
    study_info,
    study_names,
)
from normsweep.search.search import Search
from normsweep.search.storage import holding

__all__ = [
    "Search",
    "StudyInfo",
    "begin",
    "begun_on_data",
    "check_data",
    "holding",
    "open_study",
    "read_study",
    "study_info",
    "study_names",
]
