"""A study that is open: its phases one after the other, and what a person is told at the end."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from normsweep.console.display import Display
from normsweep.console.live_display import make_display
from normsweep.errors import NormsweepError, StudyStopped, TrackingFailed
from normsweep.executors.protocol import Executor
from normsweep.parts import models
from normsweep.runner.checkpoints import Checkpoints, states_of
from normsweep.runner.closing import (
    deliver_ending,
    prepare_pages,
    print_lacking,
    print_missing,
    print_next,
    print_reuse,
    print_tables,
    write_ending,
    write_note,
)
from normsweep.runner.delivery import TrialLogger
from normsweep.runner.interrupts import Background, Signals
from normsweep.runner.loop import run_phase
from normsweep.runner.publishing import log_best_models, register_models
from normsweep.search.confirm_phase import Confirmation, planned
from normsweep.search.phase import Phase
from normsweep.search.search_phase import Search
from normsweep.search.selection import chosen_configurations
from normsweep.store.locks import StudyLock
from normsweep.store.optuna_tables import Study
from normsweep.store.study_store import Archive, set_diagnosis
from normsweep.sweep.schema import Sweep
from normsweep.sweep.study_record import BASELINE, DataFacts
from normsweep.sweep.trial import CONFIRM, SEARCH, DataKey, PhaseName, Result, Trial
from normsweep.tracking.tracker import Tracker
from normsweep.training.diagnosis import diagnose
from normsweep.urls import tracking_option

__all__ = ["Running", "diagnose_arms", "open_confirmation"]


@dataclass(frozen=True)
class Running:
    """What the phases of a study share."""

    study: Study
    search: Search
    data: DataKey
    about: DataFacts
    where: Result
    """Machine and chance level, for trials whose process is lost with them."""
    executor: Executor
    tracker: Tracker
    background: Background
    """Where all writes to MLflow are made."""
    root: Path
    storage: str
    """As an option that names the study's storage, empty where it is the default."""
    lock: StudyLock
    signals: Signals
    console: Console

    def run(self, wanted: PhaseName) -> bool:
        """Run the phases that are wanted.

        Returns:
            Whether MLflow has all of it, and the search brought a score.
        """
        search, console = self.search, self.console
        if not search.left:
            console.print(
                f"study {search.sweep.name} is done: {search.total} of {search.total} trials"
            )
        self.background.put(prepare_pages(search, self.tracker))
        lacking: list[str] = []
        try:
            if wanted != CONFIRM:
                lacking = self._search()
            if wanted == CONFIRM or (wanted == "all" and not search.left):
                late = self._confirm()
                # MLflow may be back since the search.
                lacking = late + (self._make_up() if lacking and not late else lacking)
        except BaseException:
            self.background.hurry()
            with contextlib.suppress(StudyStopped):  # it would stand before what is wrong
                write_note(search, self.tracker, self.background, console)
            raise
        print_tables(search, console)
        print_reuse(Archive(self.study).records(), console)
        lacking += self._close(reachable=not lacking)
        print_next(search, self.storage, self.tracker, console)
        scored = print_missing(search, wanted != CONFIRM, console)
        if lacking:
            options = self.storage + tracking_option(self.tracker.uri)
            print_lacking(search.sweep.name, lacking, options, console)
        return scored and not lacking

    def _close(self, reachable: bool) -> list[str]:
        """Write the verdict and the report; what MLflow lacks of them."""
        with self.signals.waiting():
            ending = write_ending(self.study, self.search, self.root, self.storage, self.console)
            if not reachable:
                return ["the report"]
            try:
                self.background.call(lambda: deliver_ending(ending, self.search, self.tracker))
            except TrackingFailed as error:
                return [f"the report ({error})"]
        return []

    def _search(self) -> list[str]:
        sweep = self.search.sweep
        return self._phase(self.search, sweep.search.timeout)

    def _confirm(self) -> list[str]:
        confirmation = open_confirmation(self.study, self.search, self.data)
        lacking = self._phase(confirmation, None)
        if not confirmation.left:
            confirmation.look()
        return lacking

    def _make_up(self) -> list[str]:
        """Log what is not yet logged of all phases; what still is not."""
        archive = Archive(self.study)
        with make_display(self.console) as display, self._delivery(archive, display) as delivery:
            return self._deliver(delivery, display, self.search)

    def _phase(self, phase: Phase, timeout: float | None) -> list[str]:
        """Run a phase; what of it is not yet logged in the end."""
        arms = [str(arm) for arm in self.search.sweep.arms]
        phase.note_plan()
        with make_display(self.console) as display, self._delivery(phase, display) as delivery:
            delivery.log_earlier()
            display.begin(phase.records(), phase.total, arms)
            if isinstance(phase, Confirmation):
                diagnose_arms(self.study, phase, self.data, self.executor, display, self.signals)
            run_phase(
                phase,
                self.executor,
                delivery,
                self._checkpoints(phase),
                display,
                self.signals,
                self.lock,
                self.where,
                timeout,
            )
            return self._deliver(delivery, display, phase)

    def _checkpoints(self, phase: Phase) -> Checkpoints:
        head = self.search.head
        folder = states_of(self.root, head.name, head.id) / phase.phase
        limits = self.search.sweep.execution
        return Checkpoints(folder, limits.checkpoints, limits.checkpoint_every)

    def _delivery(self, archive: Archive, display: Display) -> TrialLogger:
        return TrialLogger(archive, self.tracker, self.about, display.note, self.background)

    def _deliver(self, delivery: TrialLogger, display: Display, phase: Phase) -> list[str]:
        """Log trials, and a search's models; what of them is not yet logged."""
        lacking = [f"trial {number}" for number in delivery.log_rest(self.signals)]
        if isinstance(phase, Search):
            unlogged = log_best_models(
                phase,
                self.tracker,
                self.executor,
                self._checkpoints(phase),
                display,
                self.signals,
                self.background,
            )
            lacking += [f"the model of {arm}" for arm in unlogged]
            unregistered = register_models(phase, self.tracker, display, self.background)
            lacking += [f"the registered model of {arm}" for arm in unregistered]
        return lacking


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
    known = confirmation.head.diagnoses
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
            set_diagnosis(study, trial.arm, found)


def _baselines(sweep: Sweep, confirmation: Confirmation, data: DataKey) -> list[Trial]:
    """Each arm's first trial with the baseline's configuration, as one that is not tested."""
    baselines = [c for c in confirmation.configurations if c.name == BASELINE]
    trials = planned(sweep, data, baselines)[: len(baselines)]
    return [replace(trial, phase=SEARCH) for trial in trials]
