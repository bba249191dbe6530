"""A study from a validated sweep to its tables: opens the parts, runs them, closes them."""

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
from normsweep.parts.catalog import carried_parts, is_trained
from normsweep.parts.metrics import metric
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
    """Show what a study will do, and how long a measured step says it takes; record nothing."""
    with ExitStack() as stack, tempfile.TemporaryDirectory() as work:
        stack.enter_context(console.status("loading data and network, measuring a step"))
        signals = stack.enter_context(Signals())
        shop = _workshop(sweep, settings, Path(work), _threads(sweep, settings, None), signals)
        stack.callback(shop.executor.close)
        sweep, facts = shop.load(sweep)
        print_plan(shop.plan(sweep, facts, measure=True))


def run_study(sweep: Sweep, settings: Settings, console: Console) -> bool:
    """Run what is left of a study, log it to MLflow, print its tables.

    What is said goes through the logger `normsweep`: see `normsweep.console.screen.screen`.

    Returns:
        Whether MLflow has all of it, and the trials that ended brought a score.

    Raises:
        UserError: something that the user can mend, before any trial.
        Interrupted: SIGINT or SIGTERM; everything is recorded.
        StudyStopped: the study cannot go on.
    """
    with ExitStack() as stack:
        stack.enter_context(quiet())
        signals = stack.enter_context(Signals())
        waiting = stack.enter_context(console.status("loading data and network"))
        lock = stack.enter_context(lock_study(settings.storage, sweep.name))
        begun = begun_study(settings.storage, sweep.name)
        threads = _threads(sweep, settings, begun)
        shop = _workshop(sweep, settings, settings.data_root, threads, signals)
        stack.callback(shop.executor.close)
        # Imported while the workers import the backend.
        from normsweep.runner.interrupts import Background
        from normsweep.runner.phases import Running

        sweep, facts = shop.load(sweep, begun)
        store = open_study(settings.storage, sweep.name, sweep)
        store.check_data(facts)
        search, machine = _search(store, sweep, facts, shop)
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
            executor=shop.executor,
            tracker=tracker,
            background=stack.enter_context(Background()),
            root=settings.root,
            storage=settings.storage,
            lock=lock,
            signals=signals,
            console=console,
        )
        return running.run(settings.phase)


def _search(
    store: StudyStore, sweep: Sweep, facts: DataFacts, shop: _Workshop
) -> tuple[Search, dict[str, str]]:
    """The search, begun or taken up, and the machine that trials run on."""
    head, data = store.record(trials=False), data_key(sweep, facts)
    search = Search(store, without(sweep, head.same), data) if head.begun else None
    if search is not None and not search.left:
        return search, check_device(shop.executor, shop.settings.device, shop.signals)
    from normsweep.tracking.client import ready_store

    ready_store(shop.settings.tracking_uri)
    plan = shop.plan(sweep, facts)
    print_plan(plan)
    assert plan.findings is not None
    store.begin_study(facts, plan.findings.same, shop.threads)
    return search or Search(store, plan.sweep, data), plan.findings.machine


@dataclass(frozen=True)
class _Workshop:
    """Where trials run, and what may interrupt it."""

    settings: Settings
    data_root: Path
    executor: Executor
    threads: int
    signals: Signals

    def load(self, sweep: Sweep, begun: StudyRecord | None = None) -> tuple[Sweep, DataFacts]:
        """The data, on disk for the workers, and the sweep with its network named."""
        begun_on = begun.data.name if begun and begun.data else None
        with self.signals.waiting():
            facts = load_data(sweep, self.settings.data_dir, self.data_root, begun_on)
        self.executor.provide(facts.digest)
        return identified(sweep, facts, self.executor, self.signals), facts

    def plan(self, sweep: Sweep, facts: DataFacts, measure: bool = False) -> Plan:
        """What the study will do."""
        return prepare(sweep, facts, self.executor, self.settings.device, self.signals, measure)


def _workshop(
    sweep: Sweep, settings: Settings, data_root: Path, threads: int, signals: Signals
) -> _Workshop:
    """Workers that import the backend."""
    executor = _executor(sweep, settings, data_root, threads)
    return _Workshop(settings, data_root, executor, threads, signals)


def _threads(sweep: Sweep, settings: Settings, begun: StudyRecord | None) -> int:
    """Threads of a worker: a study that was begun keeps its own, since bits change with them."""
    if begun is not None and begun.threads:
        return begun.threads
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
        parts=b"" if settings.executor == "inline" else carried_parts(),
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
    """Where a study is kept and where it runs; nothing here changes a curve but the device."""

    storage: str = STORAGE
    tracking_uri: str = TRACKING
    mlflow_page: str | None = None
    """Address at which browsers open MLflow, where it is not the tracking URI."""
    executor: ExecutorName = "processes"
    n_jobs: int | None = None
    """Trials side by side; None: one, and on a cluster as many as it has room for."""
    ray_address: str | None = None
    """Of the cluster; None: one is started on this machine."""
    device: Device = "auto"
    data_dir: Path | None = None
    root: Path = Path("mlruns")
    """Folder for artifacts, checkpoints and the data of the workers."""
    sweep_file: Path | None = None
    """Kept with every run."""
    phase: PhaseName = "all"
    overrides: tuple[str, ...] = ()
    """What the command line set otherwise than the file."""

    @property
    def data_root(self) -> Path:
        """Where workers find the datasets."""
        return self.root / "data"
