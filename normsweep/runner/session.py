"""Run or plan a study: open storage and tracker, run the phases, close everything."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from normsweep.console.overview import print_plan
from normsweep.console.screen import say, warn
from normsweep.errors import UserError
from normsweep.executors.protocol import Executor
from normsweep.parts.metrics import metric
from normsweep.reporting.commands import Commands
from normsweep.runner.finished import Origin, preferred_first
from normsweep.runner.interrupts import Signals
from normsweep.runner.prepare import (
    check_device,
    data_key,
    decided,
    device_warning,
    example_trial,
    identified,
    load_data,
    precision_warning,
    prepare,
    scale_warning,
)
from normsweep.runner.workers import Settings, Workers
from normsweep.search.plan import Plan, without
from normsweep.search.search_phase import Search
from normsweep.store.identity import storage_id
from normsweep.store.locks import lock_study
from normsweep.store.storage import begun_study, open_study, quiet, read_study
from normsweep.store.study_store import StudyStore
from normsweep.sweep.recorded import as_begun
from normsweep.sweep.schema import Sweep, in_precision
from normsweep.sweep.study_record import DataFacts, StudyRecord, TrialRecord
from normsweep.sweep.trial import Result, Status
from normsweep.text import masked

if TYPE_CHECKING:
    from normsweep.tracking.tracker import Tracker

__all__ = ["plan_study", "run_study"]


def plan_study(sweep: Sweep, settings: Settings, console: Console) -> None:
    """Print the plan of a study, with a time estimate from a measured training step; store nothing."""
    with ExitStack() as stack, tempfile.TemporaryDirectory() as work:
        stack.enter_context(quiet())
        _reused_study(sweep.name, settings)
        stack.enter_context(console.status("loading data and network, measuring a step"))
        signals = stack.enter_context(Signals())
        workers = stack.enter_context(Workers(sweep, settings, Path(work)))
        setup = _Setup(settings, Path(work), workers.start(sweep, None), workers.threads, signals)
        sweep, facts = setup.load(sweep)
        print_plan(setup.plan(sweep, facts, measure=True))


def run_study(sweep: Sweep, settings: Settings, workers: Workers, console: Console) -> bool:
    """Run the remaining trials of a study, log them to MLflow, print its tables.

    `workers`, of the same sweep and settings, are not needed by a study that is finished.

    Output goes through the logger `normsweep`, see `normsweep.console.screen.screen`.

    Returns:
        Whether everything is logged to MLflow, and at least one trial has a score.

    Raises:
        UserError: an error that the user can fix, before the first trial.
        Interrupted: SIGINT or SIGTERM; all results so far are stored.
        StudyStopped: the study cannot be continued.
    """
    with ExitStack() as stack:
        stack.enter_context(quiet())
        signals = stack.enter_context(Signals())
        reuse = _reused_study(sweep.name, settings)
        waiting = stack.enter_context(console.status("loading data and network"))
        lock = stack.enter_context(lock_study(settings.storage, sweep.name))
        begun = begun_study(settings.storage, sweep.name)
        stored = begun and begun.record(trials=False)
        sweep = _as_begun(stored, sweep, settings)
        with signals.waiting():
            origin = _origin(sweep, settings, stored)
            mark = begun and origin.published(begun, settings.phase)
        if begun is not None and mark is not None:
            waiting.stop()
            with signals.waiting():
                return origin.answer(begun.record(), mark, settings.phase)
        executor = workers.start(sweep, stored.threads if stored else None)
        setup = _Setup(settings, settings.data_root, executor, workers.threads, signals)
        # Imported while the workers import the backend.
        from normsweep.runner.dashboard import DashboardNotes
        from normsweep.runner.interrupts import Background, Patience
        from normsweep.runner.phases import Running
        from normsweep.tracking.settings import mlflow_settings

        patience, asked = Patience.of_environment(say), sweep.model.precision
        sweep, facts = setup.load(sweep, stored)
        store = open_study(settings.storage, sweep.name, in_precision(sweep, asked))
        store.fence(lock)
        store.check_data(facts)
        if reuse is not None:
            say(_reusing(reuse, facts))
        search, machine = _search(store, sweep, facts, setup)
        for warning in setup.warnings(sweep, facts, machine, search.records()):
            warn(warning)
        signals.check()
        tracker = _tracker(settings, store.record(trials=False))
        # Once for all threads: another one may read the environment while it is changed, and crash.
        stack.enter_context(mlflow_settings())
        waiting.stop()
        known = facts.class_counts  # in a regression each trial says what guessing reaches
        chance = metric(sweep.metric).guessing(known) if known else math.nan
        running = Running(
            search=search,
            data=data_key(sweep, facts),
            about=facts,
            where=Result(-1, Status.INTERRUPTED, chance=chance, machine=machine),
            executor=setup.executor,
            tracker=tracker,
            background=stack.enter_context(Background()),
            patience=patience,
            origin=origin,
            root=settings.root,
            storage=settings.storage,
            lock=lock,
            signals=signals,
            console=console,
            notes=DashboardNotes(store, tracker, settings.storage),
            reuse=reuse,
        )
        return running.run(settings.phase)


def _reused_study(name: str, settings: Settings) -> StudyRecord | None:
    """The study whose trials are reused."""
    if settings.reuse is None:
        return None
    if settings.reuse == name:
        raise UserError(f"--reuse: must be another study, got {name}")
    return read_study(settings.storage, settings.reuse, option="--reuse")


def _reusing(other: StudyRecord, facts: DataFacts) -> str:
    """What is said of the reused study."""
    if other.data is not None and other.data.digest != facts.digest:
        return (
            f"warning: --reuse: study {other.name} has different data, so nothing of it is reused"
        )
    return f"trials that study {other.name} has finished are reused, as they were recorded there"


def _origin(sweep: Sweep, settings: Settings, stored: StudyRecord | None) -> Origin:
    origin = Origin.of(
        sweep,
        stored,
        settings.data_dir,
        settings.storage,
        settings.tracking_uri,
        settings.root,
        settings.mlflow_page,
        settings.executor,
        settings.device,
    )
    return replace(origin, source=settings.source)


def _as_begun(stored: StudyRecord | None, sweep: Sweep, settings: Settings) -> Sweep:
    """The sweep with which its study is resumed; a line is printed if its rules are older."""
    if stored is None:
        return sweep
    begun = as_begun(stored.sweep, sweep)
    if begun.rules == sweep.rules:
        return begun
    say(f"study {sweep.name} was created under earlier rules and continues with them; by today's:")
    say(f"  {Commands(stored, settings.storage, settings.tracking_uri, settings.source).renew()}")
    return begun


def _search(
    store: StudyStore, sweep: Sweep, facts: DataFacts, setup: _Setup
) -> tuple[Search, dict[str, str]]:
    """The search, new or resumed, and the machine on which trials run."""
    head, data = store.record(trials=False), data_key(sweep, facts)
    search = Search(store, without(sweep, head.same), data) if head.begun else None
    if search is not None and not search.left:
        return search, check_device(setup.executor, setup.settings.device, setup.signals)
    from normsweep.tracking.client import ready_store

    ready_store(setup.settings.tracking_uri)
    plan = setup.plan(sweep, facts)
    print_plan(plan)
    assert plan.findings is not None
    store.begin_study(facts, plan.findings.same, setup.threads, sweep.model.precision)
    return search or Search(store, plan.sweep, data), plan.findings.machine


@dataclass(frozen=True)
class _Setup:
    """The executor of a study with its settings."""

    settings: Settings
    data_root: Path
    executor: Executor
    threads: int
    signals: Signals

    def load(self, sweep: Sweep, stored: StudyRecord | None = None) -> tuple[Sweep, DataFacts]:
        """Load the data and write it to disk for the workers; the sweep gets its task, precision and network's name."""
        names = preferred_first(sweep.data.candidates, stored)
        with self.signals.waiting():
            sweep, facts = load_data(sweep, names, self.settings.data_dir, self.data_root)
        self.executor.provide(facts.digest)
        sweep = decided(sweep, stored, self.executor, self.signals)
        return identified(sweep, facts, self.executor, self.signals), facts

    def plan(self, sweep: Sweep, facts: DataFacts, measure: bool = False) -> Plan:
        """The plan of the study."""
        return prepare(sweep, facts, self.executor, self.settings.device, self.signals, measure)

    def warnings(
        self,
        sweep: Sweep,
        facts: DataFacts,
        machine: Mapping[str, str],
        records: Sequence[TrialRecord],
    ) -> list[str]:
        """What the user should know about machine and data before it trains."""
        example = example_trial(sweep, facts)
        found = (
            device_warning(machine, records),
            precision_warning(example, self.executor, self.signals),
            scale_warning(sweep, facts, self.data_root),
        )
        return [warning for warning in found if warning]


def _tracker(settings: Settings, record: StudyRecord) -> Tracker:
    from normsweep.tracking.tracker import TrackedStudy, Tracker

    tags = {
        "normsweep.sweep_file": str(settings.sweep_file or ""),
        "normsweep.overrides": masked(" ".join(settings.overrides)),
        "normsweep.executor": settings.executor,
    }
    study = TrackedStudy.of(record, storage_id(settings.storage), tags, settings.sweep_file)
    artifacts = settings.root / "artifacts"
    return Tracker(settings.tracking_uri, study, artifacts, settings.mlflow_page)
