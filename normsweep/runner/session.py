"""A study from a validated sweep to its tables: opens the parts, runs them, closes them."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console

from normsweep.executors.inline import Inline
from normsweep.executors.processes import Processes
from normsweep.executors.protocol import Executor
from normsweep.executors.ray_connection import Share
from normsweep.executors.ray_executor import Cluster
from normsweep.parts import models
from normsweep.parts.catalog import carried_parts
from normsweep.parts.metrics import metric
from normsweep.runner.interrupts import Signals
from normsweep.runner.prepare import (
    check_device,
    device_warning,
    identified,
    load_data,
    prepare,
    print_plan,
)
from normsweep.search.plan import without
from normsweep.search.search_phase import Search
from normsweep.store.encoding import study_head
from normsweep.store.identity import storage_id
from normsweep.store.locks import lock_study
from normsweep.store.storage import begun_study, open_study
from normsweep.store.study_store import begin, check_data
from normsweep.sweep.schema import Sweep
from normsweep.sweep.study_record import StudyRecord
from normsweep.sweep.trial import DataKey, PhaseName, Result, Status
from normsweep.text import masked
from normsweep.training.reproducibility import Device
from normsweep.urls import STORAGE, TRACKING, storage_option

if TYPE_CHECKING:
    from normsweep.tracking.tracker import Tracker

__all__ = ["ExecutorName", "Settings", "plan_study", "run_study"]

ExecutorName = Literal["processes", "inline", "ray"]


def plan_study(sweep: Sweep, settings: Settings, console: Console) -> None:
    """Show what a study will do, and how long a measured step says it takes; record nothing."""
    with ExitStack() as stack, tempfile.TemporaryDirectory() as work:
        stack.enter_context(console.status("loading data and network, measuring a step"))
        signals = stack.enter_context(Signals())
        executor = _executor(sweep, settings, Path(work), _threads(sweep, settings, None))
        stack.callback(executor.close)
        with signals.waiting():
            data, about = load_data(sweep, settings.data_dir, Path(work))
        executor.provide(data.digest)
        sweep = identified(sweep, data, executor, signals)
        prepared = prepare(sweep, data, executor, settings.device, signals, measure=True)
        print_plan(prepared, about, console)


def run_study(sweep: Sweep, settings: Settings, console: Console) -> bool:
    """Run what is left of a study, project it to MLflow, print its tables.

    Returns:
        Whether MLflow has all of it, and the trials that ended brought a score.

    Raises:
        UserError: something that the user can mend, before any trial.
        Interrupted: SIGINT or SIGTERM; everything is recorded.
        StudyStopped: the study cannot go on.
    """
    with ExitStack() as stack:
        signals = stack.enter_context(Signals())
        waiting = stack.enter_context(console.status("loading data and network"))
        lock = stack.enter_context(lock_study(settings.storage, sweep.name))
        begun = begun_study(settings.storage, sweep.name)
        threads = _threads(sweep, settings, begun)
        executor = _executor(sweep, settings, settings.data_root, threads)
        stack.callback(executor.close)
        # Imported while the workers import the backend.
        from normsweep.runner.interrupts import Background
        from normsweep.runner.phases import Running
        from normsweep.tracking.client import ready_store

        with signals.waiting():
            begun_on = begun.data.name if begun and begun.data else None
            data, about = load_data(sweep, settings.data_dir, settings.data_root, begun_on)
        executor.provide(data.digest)
        sweep = identified(sweep, data, executor, signals)
        study = open_study(settings.storage, sweep.name, sweep)
        check_data(study, about)
        where = Result(
            -1, Status.INTERRUPTED, chance=metric(sweep.metric).guessing(about.class_counts)
        )
        search = _resumed(study, sweep, data)
        if search is None or search.left:
            ready_store(settings.tracking_uri)
            prepared = prepare(sweep, data, executor, settings.device, signals)
            print_plan(prepared, about, console)
            begin(study, about, prepared.findings.same, threads)
            where = replace(where, machine=prepared.findings.machine)
            search = search or Search(study, prepared.sweep, data)
        else:
            machine = check_device(sweep, executor, settings.device, signals)
            where = replace(where, machine=machine)
        if warning := device_warning(where.machine, search.records()):
            console.print(warning, markup=False, highlight=False, soft_wrap=True)
        signals.check()
        tracker = _tracker(settings, search.head)
        waiting.stop()
        running = Running(
            study=study,
            search=search,
            data=data,
            about=about,
            where=where,
            executor=executor,
            tracker=tracker,
            background=stack.enter_context(Background()),
            root=settings.root,
            storage=storage_option(settings.storage),
            lock=lock,
            signals=signals,
            console=console,
        )
        return running.run(settings.phase)


def _resumed(study: Any, sweep: Sweep, data: DataKey) -> Search | None:
    head = study_head(study)
    return Search(study, without(sweep, head.same), data) if head.begun else None


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
    if settings.executor == "inline":
        return Inline(data_root, settings.device, threads, limits.trial_timeout)
    place = (data_root.absolute(), settings.device, threads, limits.trial_timeout)
    options: dict[str, Any] = {
        "trial_memory": limits.trial_memory,
        "warm": sweep.model.name != models.SIMULATED,
        "asks": sweep.search.pruner != "none",
        "parts": carried_parts(),
    }
    if settings.executor == "ray":
        share = Share(limits.num_cpus or threads, limits.num_gpus)
        address = settings.ray_address
        return Cluster(*place, address=address, jobs=settings.n_jobs, share=share, **options)
    return Processes(*place, jobs=settings.n_jobs or 1, **options)


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
