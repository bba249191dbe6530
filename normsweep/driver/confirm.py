"""The confirmation of a study: what its arms are trained with again, and how they look inside."""

from __future__ import annotations

from dataclasses import replace

from normsweep.analysis import chosen_configurations
from normsweep.driver.signals import Signals
from normsweep.errors import NormsweepError
from normsweep.execution import Executor
from normsweep.parts import models
from normsweep.reporting.console import Display
from normsweep.search import Confirmation, Search, Study, planned, set_diagnosis
from normsweep.sweep.schema import Sweep
from normsweep.sweep.study_record import BASELINE
from normsweep.sweep.trial import SEARCH, DataKey, Trial
from normsweep.training import diagnose

__all__ = ["diagnose_arms", "open_confirmation"]


def open_confirmation(study: Study, search: Search, data: DataKey) -> Confirmation:
    """The confirmation that follows from a search as far as it went."""
    sweep = search.sweep
    return Confirmation(study, sweep, data, chosen_configurations(sweep, search.records()))


def diagnose_arms(
    study: Study,
    confirmation: Confirmation,
    data: DataKey,
    executor: Executor,
    display: Display,
    signals: Signals,
) -> None:
    """Look into every arm's network at the baseline, once a study; a failure is told, and no more."""
    known = confirmation.info.diagnoses
    for trial in _baselines(confirmation.sweep, confirmation, data):
        if trial.arm in known or trial.model == models.SIMULATED:
            continue
        try:
            with signals.waiting():
                found = executor.call(diagnose, trial)
        except NormsweepError as error:
            display.note(f"{trial.arm}: could not be looked into: {str(error).strip()[-300:]}")
            continue
        if found is not None:
            set_diagnosis(study, trial.arm, found.to_plain())


def _baselines(sweep: Sweep, confirmation: Confirmation, data: DataKey) -> list[Trial]:
    """Each arm's first trial with the baseline's configuration, as one that is not tested."""
    baselines = [c for c in confirmation.configurations if c.name == BASELINE]
    trials = planned(sweep, data, baselines)[: len(baselines)]
    return [replace(trial, phase=SEARCH) for trial in trials]
