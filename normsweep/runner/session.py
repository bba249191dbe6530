"""Run or plan a study: open storage, executor and tracker, run the phases, close everything."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.console import Console

from normsweep.console.overview import print_plan
from normsweep.console.screen import warn
from normsweep.executors.inline import Inline
from normsweep.executors.processes import Processes
from normsweep.executors.protocol import Executor, WorkerOptions
from normsweep.executors.ray_connection import TrialResources
from normsweep.executors.ray_executor import Cluster
from normsweep.parts.catalog import is_trained, pickled_components
from normsweep.parts.metrics import metric
from normsweep.runner.finished import Origin, preferred_first
from normsweep.runner.interrupts import Signals
from normsweep.runner.prepare import (
    check_device,
    data_key,
    device_warning,
    identified,
    load_data,
    prepare,
)
from normsweep.search.plan import Plan, without
from normsweep.search.search_phase import Search
from normsweep.store.identity import storage_id
from normsweep.store.locks import lock_study
from normsweep.store.storage import begun_study, open_study, quiet
from normsweep.store.study_store import StudyStore
from normsweep.sweep.schema import Sweep
from normsweep.sweep.study_record import DataFacts, StudyRecord
from normsweep.sweep.trial import PhaseName, Result, Status
from normsweep.text import masked
from normsweep.training.reproducibility import Device
from normsweep.urls import STORAGE, TRACKING

if TYPE_CHECKING:
    from normsweep.tracking.tracker import Tracker

__all__ = ["ExecutorName", "Settings", "plan_study", "run_study"]

ExecutorName = Literal["processes", "inline", "ray"]


def plan_study(sweep: Sweep, settings: Settings, console: Console) -> None:
    """Print the plan of a study, with a time estimate from a measured training step; store nothing."""
    with ExitStack() as stack, tempfile.TemporaryDirectory() as work:
        stack.enter_context(console.status("loading data and network, measuring a step"))
        signals = stack.enter_context(Signals())
        setup = _set_up(sweep, settings, Path(work), _threads(sweep, settings, None), signals)
        stack.callback(setup.executor.close)
        sweep, facts = setup.load(sweep)
        print_plan(setup.plan(sweep, facts, measure=True))


def run_study(sweep: Sweep, settings: Settings, console: Console) -> bool:
    """Run the remaining trials of a study, log them to MLflow, print its tables.

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
        waiting = stack.enter_context(console.status("loading data and network"))
        lock = stack.enter_context(lock_study(settings.storage, sweep.name))
        begun = begun_study(settings.storage, sweep.name)
        stored = begun and begun.record(trials=False)
        with signals.waiting():
            origin = _origin(sweep, settings, stored)
            mark = begun and origin.published(begun, settings.phase)
        if begun is not None and mark is not None:
            waiting.stop()
            with signals.waiting():
                return origin.answer(begun.record(), mark, settings.phase)
        threads = _threads(sweep, settings, stored)
        setup = _set_up(sweep, settings, settings.data_root, threads, signals)
        stack.callback(setup.executor.close)
        # Imported while the workers import the backend.
        from normsweep.runner.interrupts import Background
        from normsweep.runner.phases import Running

        sweep, facts = setup.load(sweep, stored)
        store = open_study(settings.storage, sweep.name, sweep)
        store.check_data(facts)
        search, machine = _search(store, sweep, facts, setup)
        if warning := device_warning(machine, search.records()):
            warn(warning)
        signals.check()
        tracker = _tracker(settings, store.record(trials=False))
        waiting.stop()
        chance = metric(sweep.metric).guessing(facts.class_counts)
        running = Running(
            search=search,
            data=data_key(sweep, facts),
            about=facts,
            where=Result(-1, Status.INTERRUPTED, chance=chance, machine=machine),
            executor=setup.executor,
            tracker=tracker,
            background=stack.enter_context(Background()),
            origin=origin,
            root=settings.root,
            storage=settings.storage,
            lock=lock,
            signals=signals,
            console=console,
        )
        return running.run(settings.phase)


def _origin(sweep: Sweep, settings: Settings, stored: StudyRecord | None) -> Origin:
    return Origin.of(
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
    store.begin_study(facts, plan.findings.same, setup.threads)
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
        """Load the data and write it to disk for the workers; the sweep gets the name of its network."""
        names = preferred_first(sweep.data.candidates, stored)
        with self.signals.waiting():
            facts = load_data(sweep, names, self.settings.data_dir, self.data_root)
        self.executor.provide(facts.digest)
        return identified(sweep, facts, self.executor, self.signals), facts

    def plan(self, sweep: Sweep, facts: DataFacts, measure: bool = False) -> Plan:
        """The plan of the study."""
        return prepare(sweep, facts, self.executor, self.settings.device, self.signals, measure)


def _set_up(
    sweep: Sweep, settings: Settings, data_root: Path, threads: int, signals: Signals
) -> _Setup:
    """Start the executor, whose workers import the backend."""
    executor = _executor(sweep, settings, data_root, threads)
    return _Setup(settings, data_root, executor, threads, signals)


def _threads(sweep: Sweep, settings: Settings, stored: StudyRecord | None) -> int:
    """Threads of a worker; a stored study keeps its number, which determines the exact bits."""
    if stored is not None and stored.threads:
        return stored.threads
    if sweep.execution.threads is not None:
        return sweep.execution.threads
    alone = settings.executor != "ray" and (settings.n_jobs or 1) == 1
    return _cores() if alone else 1


def _cores() -> int:
    known = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return known or 1


def _executor(sweep: Sweep, settings: Settings, data_root: Path, threads: int) -> Executor:
    limits = sweep.execution
    options = WorkerOptions(
        data_root.absolute(),
        settings.device,
        threads,
        limits.trial_timeout,
        limits.trial_memory,
        trained=is_trained(sweep.model.name),
        awaits_reply=sweep.search.pruner != "none",
        parts=b"" if settings.executor == "inline" else pickled_components(),
    )
    if settings.executor == "inline":
        return Inline(options)
    if settings.executor == "ray":
        each = TrialResources(limits.num_cpus or threads, limits.num_gpus)
        return Cluster(options, address=settings.ray_address, jobs=settings.n_jobs, resources=each)
    return Processes(options, settings.n_jobs or 1)


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


@dataclass(frozen=True)
class Settings:
    """Where a study is stored and where it runs; of these, only the device changes the curves."""

    storage: str = STORAGE
    tracking_uri: str = TRACKING
    mlflow_page: str | None = None
    """Address of MLflow in a browser, if not the tracking URI."""
    executor: ExecutorName = "processes"
    n_jobs: int | None = None
    """Number of parallel trials; None: 1, and on a cluster as many as fit."""
    ray_address: str | None = None
    """Address of the cluster; None: one is started on this machine."""
    device: Device = "auto"
    data_dir: Path | None = None
    root: Path = Path("mlruns")
    """Folder for artifacts, checkpoints and the workers' data."""
    sweep_file: Path | None = None
    """Logged with every run."""
    phase: PhaseName = "all"
    overrides: tuple[str, ...] = ()
    """Keys that the command line overrides, as KEY=VALUE."""

    @property
    def data_root(self) -> Path:
        """Folder with the workers' data."""
        return self.root / "data"
