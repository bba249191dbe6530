"""A study that is open: its phases one after the other, and what a person is told at the end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from normsweep.analysis.evidence import evidence
from normsweep.console.display import Display
from normsweep.console.live_display import make_display
from normsweep.console.screen import say
from normsweep.console.summary import (
    print_lacking,
    print_left,
    print_next,
    print_reuse,
    print_tables,
    print_verdict,
)
from normsweep.errors import NormsweepError, StudyStopped, TrackingFailed
from normsweep.executors.protocol import Executor
from normsweep.parts.catalog import is_trained
from normsweep.reporting.commands import Commands
from normsweep.runner.checkpoints import Checkpoints, checkpoint_folder
from normsweep.runner.delivery import TrialLogger
from normsweep.runner.interrupts import Background, Signals
from normsweep.runner.loop import PhaseContext, run_phase
from normsweep.runner.publishing import (
    BestModels,
    deliver_report,
    prepare_pages,
    publish_report,
)
from normsweep.search.confirm_phase import Confirmation, planned
from normsweep.search.phase import Phase
from normsweep.search.search_phase import Search
from normsweep.search.selection import chosen_configurations
from normsweep.store.locks import StudyLock
from normsweep.sweep.schema import Sweep
from normsweep.sweep.study_record import BASELINE, DataFacts, StudyRecord
from normsweep.sweep.trial import CONFIRM, SEARCH, DataKey, PhaseName, Result, Trial
from normsweep.tracking.tracker import Tracker
from normsweep.training.diagnosis import diagnose

__all__ = ["Running", "diagnose_arms", "open_confirmation"]


@dataclass(frozen=True)
class Running:
    """What the phases of a study share."""

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
    """Address of Optuna's database."""
    lock: StudyLock
    signals: Signals
    console: Console

    def run(self, wanted: PhaseName) -> bool:
        """Run the phases that are wanted, and say what came of them.

        Returns:
            Whether MLflow has all of it, and the search brought a score.
        """
        lacking = self._phases(wanted)
        record = self.search.store.record()
        print_tables(record)
        print_reuse(record)
        lacking += self._publish(record, reachable=not lacking)
        commands = Commands(record, self.storage, self.tracker.uri)
        print_next(commands, self._address)
        print_left(record, self.search.left, searched=wanted != CONFIRM)
        if lacking:
            print_lacking(lacking, commands)
        return (record.scored or bool(self.search.left)) and not lacking

    def _phases(self, wanted: PhaseName) -> list[str]:
        """Run them; what MLflow lacks of them."""
        search, lacking = self.search, list[str]()
        search.note_plan()
        if not search.left:
            say(f"study {search.sweep.name} is done: {search.total} of {search.total} trials")
        self.background.put(prepare_pages(search, self.tracker))
        try:
            if wanted != CONFIRM:
                lacking = self._search()
            if wanted == CONFIRM or (wanted == "all" and not search.left):
                late = self._confirm()
                # MLflow may be back since the search.
                lacking = late + (self._make_up() if lacking and not late else lacking)
        except BaseException:
            self.background.hurry()
            self._note_interrupted()
            raise
        return lacking

    def _note_interrupted(self) -> None:
        """Describe the study in MLflow as far as it came."""
        try:
            self.background.call(prepare_pages(self.search, self.tracker))
        except TrackingFailed as error:
            say(f"the experiment's note was not written: {error}")
        except StudyStopped:  # it would stand before what is wrong
            pass

    def _publish(self, record: StudyRecord, reachable: bool) -> list[str]:
        """Say the verdict and write the report; what MLflow lacks of them."""
        with self.signals.waiting():
            found = evidence(record)
            print_verdict(found, self.search.left)
            page = publish_report(found, self.root, self.storage)
            say(f"report: {page}")
            if not reachable:
                return ["the report"]
            try:
                self.background.call(deliver_report(found, page, self.search, self.tracker))
            except TrackingFailed as error:
                return [f"the report ({error})"]
        return []

    @property
    def _address(self) -> str:
        """Where browsers find the study, if MLflow's server is there."""
        return f"{self.tracker.address}/{self.tracker.page}" if self.tracker.address else ""

    def _search(self) -> list[str]:
        sweep = self.search.sweep
        return self._phase(self.search, sweep.search.timeout)

    def _confirm(self) -> list[str]:
        confirmation = open_confirmation(self.search, self.data)
        confirmation.note_plan()
        lacking = self._phase(confirmation, None)
        if not confirmation.left:
            confirmation.store.note_analysis(confirmation.analysis())
        return lacking

    def _make_up(self) -> list[str]:
        """Log what is not yet logged of all phases; what still is not."""
        with make_display(self.console) as display, self._delivery(display) as delivery:
            return self._deliver(delivery, display, self.search)

    def _phase(self, phase: Phase, timeout: float | None) -> list[str]:
        """Run a phase; what of it is not yet logged in the end."""
        arms = [str(arm) for arm in self.search.sweep.arms]
        with (
            make_display(self.console) as display,
            self._delivery(display, phase.phase) as delivery,
        ):
            delivery.log_earlier()
            display.begin(phase.records(), phase.total, arms)
            if isinstance(phase, Confirmation):
                diagnose_arms(phase, self.data, self.executor, display, self.signals)
            context = PhaseContext(
                self.executor,
                delivery,
                self._checkpoints(phase),
                display,
                self.signals,
                self.lock,
            )
            run_phase(phase, context, self.where, timeout)
            return self._deliver(delivery, display, phase)

    def _checkpoints(self, phase: Phase) -> Checkpoints:
        head = self.search.store.record(trials=False)
        folder = checkpoint_folder(self.root, head.name, head.id) / phase.phase
        limits = self.search.sweep.execution
        return Checkpoints(folder, limits.checkpoints, limits.checkpoint_every)

    def _delivery(self, display: Display, phase: str | None = None) -> TrialLogger:
        store = self.search.store
        return TrialLogger(store, self.tracker, self.about, display.note, self.background, phase)

    def _deliver(self, delivery: TrialLogger, display: Display, phase: Phase) -> list[str]:
        """Log trials, and a search's models; what of them is not yet logged."""
        lacking = [f"trial {number}" for number in delivery.log_rest(self.signals)]
        if isinstance(phase, Search):
            best = BestModels(
                phase,
                self.tracker,
                self.executor,
                self._checkpoints(phase),
                display,
                self.signals,
                self.background,
            )
            lacking += [f"the model of {arm}" for arm in best.log()]
            lacking += [f"the registered model of {arm}" for arm in best.register()]
        return lacking


def open_confirmation(search: Search, data: DataKey) -> Confirmation:
    """The confirmation that follows from a search as far as it went."""
    sweep = search.sweep
    return Confirmation(search.store, sweep, data, chosen_configurations(sweep, search.records()))


def diagnose_arms(
    confirmation: Confirmation,
    data: DataKey,
    executor: Executor,
    display: Display,
    signals: Signals,
) -> None:
    """Look into every arm's network at the baseline, once a study; a failure is told, and no more."""
    if not is_trained(confirmation.sweep.model.name):
        return
    known = confirmation.store.record(trials=False).diagnoses
    for trial in _baselines(confirmation.sweep, confirmation, data):
        if trial.arm in known:
            continue
        try:
            with signals.waiting():
                found = executor.call(diagnose, trial)
        except NormsweepError as error:
            display.note(f"{trial.arm}: could not be looked into: {str(error).strip()[-300:]}")
            continue
        confirmation.store.note_diagnosis(trial.arm, found)


def _baselines(sweep: Sweep, confirmation: Confirmation, data: DataKey) -> list[Trial]:
    """Each arm's first trial with the baseline's configuration, as one that is not tested."""
    baselines = [c for c in confirmation.configurations if c.name == BASELINE]
    trials = planned(sweep, data, baselines)[: len(baselines)]
    return [replace(trial, phase=SEARCH) for trial in trials]
