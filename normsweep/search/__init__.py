"""The search, and the record of the study: the only package that imports Optuna."""

from normsweep.search.confirmation import Confirmation, planned
from normsweep.search.hold import Hold, holder, holding
from normsweep.search.pages import check_installed, study_page
from normsweep.search.phase import Archive, Phase
from normsweep.search.record import (
    StudyInfo,
    begin,
    begun_study,
    check_data,
    delete_study,
    load_study,
    open_study,
    read_studies,
    read_study,
    set_diagnosis,
    study_info,
    study_names,
)
from normsweep.search.search import Search
from normsweep.search.studies import Study

__all__ = [
    "Archive",
    "Confirmation",
    "Hold",
    "Phase",
    "Search",
    "Study",
    "StudyInfo",
    "begin",
    "begun_study",
    "check_data",
    "check_installed",
    "delete_study",
    "holder",
    "holding",
    "load_study",
    "open_study",
    "planned",
    "read_studies",
    "read_study",
    "set_diagnosis",
    "study_info",
    "study_names",
    "study_page",
]
