"""The phases of an open study, one after the other, and the output at their end."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from normsweep.analysis.evidence import Evidence, evidence
from normsweep.analysis.repeats import ended_repeats
from normsweep.console.display import Display
from normsweep.console.live_display import make_display
from normsweep.console.screen import say
from normsweep.console.summary import (
    print_next,
    print_not_logged,
    print_remaining,
    print_repeats,
    print_reuse,
    print_tables,
    print_unconfirmed,
    print_verdict,
)
from normsweep.errors import LockLost, NormsweepError, StudyStopped, TrackingFailed
from normsweep.executors.protocol import Executor
from normsweep.parts.catalog import is_trained
from normsweep.reporting.commands import Commands
from normsweep.runner.checkpoints import Checkpoints, checkpoint_folder
from normsweep.runner.dashboard import DashboardNotes
from normsweep.runner.delivery import TrialLogger
from normsweep.runner.finished import Origin
from normsweep.runner.interrupts import Background, Patience, Signals
from normsweep.runner.loop import PhaseContext, run_phase
from normsweep.runner.publishing import BestModels, prepare_pages
from normsweep.runner.report_upload import ReportUpload, publish_report
from normsweep.search.confirm_phase import Confirmation, planned
from normsweep.search.phase import Phase
from normsweep.search.repeat_phase import RepeatConfirmation
from normsweep.search.search_phase import Search
from normsweep.search.selection import chosen_configurations
from normsweep.search.selection_phase import SelectionRound
from normsweep.store.locks import StudyLock
from normsweep.sweep.schema import Sweep
from normsweep.sweep.study_record import BASELINE, DataFacts, StudyRecord
from normsweep.sweep.trial import (
    CONFIRM,
    SEARCH,
    SELECT,
    DataKey,
    PhaseName,
    Result,
    Trial,
    phase_of,
)
from normsweep.text import counted
from normsweep.tracking.tracker import Tracker
from normsweep.training.diagnosis import diagnose

__all__ = ["Running", "diagnose_arms", "open_confirmation"]

NAMED = 8
"""Trials that are not yet logged up to which each one is named."""


@dataclass(frozen=True)
class Running:
    """An open study with everything that its phases share."""

    search: Search
    data: DataKey
    about: DataFacts
    where: Result
    """Machine and chance level, for trials whose process was lost."""
    executor: Executor
    tracker: Tracker
    background: Background
    """Thread that makes all writes to MLflow."""
    patience: Patience
    """How long MLflow is tried again at the end."""
    origin: Origin
    root: Path
    storage: str
    """Address of Optuna's database."""
    lock: StudyLock
    signals: Signals
    console: Console
    notes: DashboardNotes
    reuse: StudyRecord | None = None
    """Another study, whose trials need not be trained again."""

    def run(self, wanted: PhaseName) -> bool:
        """Run the `wanted` phases and print the results.

        Returns:
            Whether everything is logged to MLflow, and a trial of the search has a score.
        """
        limit = self.search.sweep.search.timeout
        deadline = math.inf if limit is None else time.monotonic() + limit
        missing, confirmation = self._phases(wanted, deadline)
        record = self.search.store.record().labelled()
        print_tables(record)
        print_reuse(record)
        missing += self._publish(record, reachable=not missing)
        commands = Commands(record, self.storage, self.tracker.uri, self.origin.source)
        print_next(commands, self._address)
        print_remaining(record, self.search.left, searched=wanted != CONFIRM)
        unfinished = self._due(wanted) and not (confirmation and confirmation.over)
        if unfinished:
            standings = confirmation.outlook.standings if confirmation else ()
            print_unconfirmed(standings, self._labels)
        elif wanted != SEARCH and (ended := ended_repeats(record)) < self._repeats:
            unfinished = True
            print_repeats(ended, self._repeats)
        if missing:
            print_not_logged(missing, commands)
        elif not self.search.left and not unfinished:
            self.origin.note_published(self.search.store, self._address, wanted)
        return (record.scored or bool(self.search.left)) and not missing

    def _due(self, wanted: PhaseName) -> bool:
        """Whether this command confirms: after the search, or at once if it is asked for alone."""
        return wanted == CONFIRM or (wanted == "all" and not self.search.left)

    def _phases(self, wanted: PhaseName, deadline: float) -> tuple[list[str], Confirmation | None]:
        """Run the phases until a monotonic time.

        Returns:
            What is not yet logged to MLflow, and the confirmation, if it has begun.
        """
        search, missing, confirmation = self.search, list[str](), None
        search.note_plan()
        if not search.left:
            say(
                f"the search of {search.sweep.name} is done: {search.total} of {search.total} trials"
            )
        self.background.put(prepare_pages(search, self.tracker))
        self.notes.begin()
        try:
            if wanted != CONFIRM:
                missing = self._phase(search, deadline)
            if self._due(wanted):
                late, selected = self._select(search, deadline)
                if selected:
                    confirmation = open_confirmation(search, self.data)
                    confirmation.note_plan()
                    late += self._phase(confirmation, deadline)
                if wanted == "all" and confirmation and confirmation.over:
                    late += self._repeat(deadline)
                missing += late
            # MLflow may be reachable again, and no trial waits for a worker any more; a phase that an
            # earlier command ended, and did not log to its end, was not run.
            if missing or self._unlogged:
                missing = self._log_all()
        except LockLost:
            self.background.hurry()
            raise
        except BaseException:
            self.background.hurry()
            self._update_note()
            raise
        return missing, confirmation

    def _update_note(self) -> None:
        """Update the notes in Optuna's dashboard and in MLflow after an interruption."""
        try:
            pages = prepare_pages(self.search, self.tracker)
            self.notes.begin()
            self.background.call(pages)
        except TrackingFailed as error:
            say(f"the experiment's note was not written: {error}")
        except StudyStopped:  # the first error is the one to report
            pass

    def _publish(self, record: StudyRecord, reachable: bool) -> list[str]:
        """Print the verdict and write the report; returns what is not yet logged to MLflow."""
        with self.signals.waiting():
            found = evidence(record)
            print_verdict(found, self.search.left)
            self.notes.write(found)
            folder = self.root / "reports" / record.name
            if not reachable:
                say(f"report: {publish_report(found, folder, self.storage)}")
                return ["the report"]
            upload = self._upload(found, folder)
            try:
                address = self.tracker.run_address
                say(f"report: {publish_report(found, folder, self.storage, address, upload.add)}")
                # A failed upload does not go on: the next one logs everything again.
                again = (self._upload(found, folder) for _ in itertools.count())
                uploads = itertools.chain([upload], again)
                self.patience.call(lambda: next(uploads).end())
            except TrackingFailed as error:
                return [f"the report ({error})"]
            except BaseException:
                upload.give_up()
                raise
        return []

    def _upload(self, found: Evidence, folder: Path) -> ReportUpload:
        return ReportUpload(found, folder, self.search, self.tracker, self.background)

    @property
    def _address(self) -> str:
        """The study's page on MLflow's server; empty if there is no server."""
        return f"{self.tracker.address}/{self.tracker.page}" if self.tracker.address else ""

    @property
    def _repeats(self) -> int:
        """How often the whole tuning is done."""
        return self.search.sweep.search.repeats

    def _repeat(self, deadline: float) -> list[str]:
        """Repeat the whole tuning, with seeds of its own; returns what is not yet logged to MLflow."""
        missing: list[str] = []
        for repeat in range(2, self._repeats + 1):
            late, ended = self._repeat_once(repeat, deadline)
            missing += late
            if not ended:
                break
        return missing

    def _repeat_once(self, repeat: int, deadline: float) -> tuple[list[str], bool]:
        """Run a repeat of the whole tuning; returns what is not yet logged, and whether it has ended."""
        store, sweep = self.search.store, self.search.sweep.repeated(repeat)
        search = Search(store, sweep, self.data, repeat)
        search.note_plan()
        missing: list[str] = []
        if search.left:
            what = f"repeat {repeat} of {self._repeats} of the whole tuning"
            missing = self._phase(search, deadline, f"{what}: {counted(search.left, 'trial')}")
        late, selected = ([], False) if search.left else self._select(search, deadline, repeat)
        missing += late
        if not selected:
            return missing, False
        again = [r for r in store.trials() if r.trial.phase == phase_of(SELECT, repeat)]
        found = RepeatConfirmation(store, sweep, self.data, repeat, search.records(), again)
        found.note_plan()
        if found.left:
            what = f"its confirmation: {counted(found.left, 'trial')}"
            missing += self._phase(found, deadline, what)
        return missing, not found.left

    def _select(self, search: Search, deadline: float, repeat: int = 1) -> tuple[list[str], bool]:
        """Run the selection round after a search; returns what is not yet logged, and whether it has ended."""
        sweep = search.sweep
        if not sweep.selection_seeds:
            return [], True
        selection = SelectionRound(search.store, sweep, search.records(), repeat)
        selection.note_plan()
        if not selection.left:
            return [], True
        seeds = counted(len(sweep.selection_seeds), "further seed")
        what = f"selection round: {counted(selection.left, 'trial')} on {seeds}"
        missing = self._phase(selection, deadline, what)
        return missing, not selection.left

    @property
    def _unlogged(self) -> bool:
        """Whether a trial that has ended, of whatever phase, is not yet logged to MLflow."""
        ended = (r for r in self.search.store.trials() if r.result is not None)
        return any(not r.logged_in(self.tracker.store_id) for r in ended)

    def _log_all(self) -> list[str]:
        """Log the trials of all phases, and the search's models; returns what is not yet logged."""
        with make_display(self.console) as display, self._logger(display) as logger:
            missing = _trials(logger.log_rest(self.signals, self.patience))
            return missing + self._log_models(display, self.patience, train=True)

    @property
    def _labels(self) -> dict[str, str]:
        """The arms' labels by key."""
        return {arm.key: arm.label for arm in self.search.sweep.arms}

    def _phase(self, phase: Phase, deadline: float, announcement: str = "") -> list[str]:
        """Run a phase until a monotonic time; returns what is not yet logged to MLflow.

        The announcement is printed if there is time for trials.
        """
        if announcement and time.monotonic() < deadline:
            say(announcement)
        with (
            make_display(self.console) as display,
            self._logger(display, phase.phase) as logger,
        ):
            logger.log_earlier()
            display.begin(phase.records(), phase.outlook, self._labels)
            if isinstance(phase, Confirmation) and time.monotonic() < deadline:
                diagnose_arms(phase, self.data, self.executor, display, self.signals)
            context = PhaseContext(
                self.executor,
                logger,
                self._checkpoints(phase),
                display,
                self.signals,
                self.lock,
                self.reuse,
            )
            run_phase(phase, context, self.where, deadline)
            missing = _trials(logger.log_rest(self.signals, Patience.none()))
            if phase is not self.search:
                return missing
            # Other trials wait for the workers: what has to be trained again is, after them.
            return missing + self._log_models(display, Patience.none(), train=False)

    def _checkpoints(self, phase: Phase, study: StudyRecord | None = None) -> Checkpoints:
        """The checkpoints of a phase, of this study or of another one."""
        head = study or self.search.store.record(trials=False)
        folder = checkpoint_folder(self.root, head.name, head.id) / phase.phase
        limits, storage = self.search.sweep.execution, self.tracker.study.storage_id
        return Checkpoints(folder, limits.checkpoints, limits.checkpoint_every, storage)

    def _logger(self, display: Display, phase: str | None = None) -> TrialLogger:
        store = self.search.store
        return TrialLogger(store, self.tracker, self.about, display.note, self.background, phase)

    def _log_models(self, display: Display, patience: Patience, train: bool) -> list[str]:
        """Log the best models, trained again if need be; returns what is not yet logged."""
        best = BestModels(
            self.search,
            self.tracker,
            self.about,
            self.executor,
            self._checkpoints(self.search),
            display,
            self.signals,
            self.background,
            patience,
            self._checkpoints(self.search, self.reuse) if self.reuse else None,
        )
        missing = [f"the model of {arm}" for arm in best.log(train)]
        return missing + [f"the registered model of {arm}" for arm in best.register()]


def _trials(numbers: Sequence[int]) -> list[str]:
    """The trials that are not yet logged: each one, or how many."""
    if len(numbers) > NAMED:
        return [counted(len(numbers), "trial")]
    return [f"trial {number}" for number in numbers]


def open_confirmation(search: Search, data: DataKey) -> Confirmation:
    """The confirmation of the configurations that the search has found so far, or of those analysed."""
    sweep, head = search.sweep, search.store.record(trials=False)
    again = [r for r in search.store.trials() if r.trial.phase == SELECT]
    chosen = chosen_configurations(sweep, search.records(), again)
    if head.analysed:
        kept = [replace(c, runs=()) for c in head.analyses[-1].configurations]
        if [c.params for c in kept] != [c.params for c in chosen]:
            say(
                "the confirmation keeps the configurations of its first analysis; to confirm others, start a "
                f"new study with --study-name {sweep.name}-2 --reuse {sweep.name}"
            )
        chosen = kept
    return Confirmation(search.store, sweep, data, chosen)


def diagnose_arms(
    confirmation: Confirmation,
    data: DataKey,
    executor: Executor,
    display: Display,
    signals: Signals,
) -> None:
    """Diagnose the baseline network of every arm, once per study; a failure is only reported."""
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
            label = confirmation.sweep.label(trial.arm)
            display.note(f"{label}: could not be diagnosed: {str(error).strip()[-300:]}")
            continue
        confirmation.store.note_diagnosis(trial.arm, found)


def _baselines(sweep: Sweep, confirmation: Confirmation, data: DataKey) -> list[Trial]:
    """Each arm's first trial with the baseline configuration, as a trial of the search: without test."""
    baselines = [c for c in confirmation.configurations if c.name == BASELINE]
    trials = planned(sweep, data, baselines, range(1))
    return [replace(trial, phase=SEARCH) for trial in trials]
