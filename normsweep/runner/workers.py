"""The executor of a study: its workers import the backend while the driver does everything else."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from normsweep.errors import SweepError
from normsweep.executors.inline import Inline
from normsweep.executors.processes import Processes
from normsweep.executors.protocol import Executor, WorkerOptions
from normsweep.executors.worker_handle import has_gpus
from normsweep.parts.catalog import is_trained, pickled_components
from normsweep.store.glance import glance
from normsweep.sweep.schema import AUTO, Sweep
from normsweep.sweep.trial import PhaseName
from normsweep.text import masked
from normsweep.training.reproducibility import Device
from normsweep.urls import STORAGE, TRACKING

__all__ = ["ExecutorName", "Settings", "Workers"]

MANY = 64
"""Width of a stack from which on a GPU is full."""

ExecutorName = Literal["processes", "inline", "ray"]


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
    reuse: str | None = None
    """Name of another study in the storage, whose finished trials are reused."""
    overrides: tuple[str, ...] = ()
    """Keys that the command line overrides, as KEY=VALUE."""

    @property
    def source(self) -> tuple[str, ...]:
        """The sweep file and the overrides as words of a command; a study from Python has no file to name."""
        file = "SWEEP.toml" if self.sweep_file is None else str(self.sweep_file)
        return (file, *(("--set", *map(masked, self.overrides)) if self.overrides else ()))

    @property
    def data_root(self) -> Path:
        """Folder with the workers' data."""
        return self.root / "data"


class Workers:
    """A context with the executor of a study, which is started once and closed at the end.

    Worker processes are started at once, before Optuna and MLflow are imported, if a glance at the
    storage shows how many threads they need, and that the study is not finished.
    """

    def __init__(self, sweep: Sweep, settings: Settings, data_root: Path | None = None) -> None:
        """`data_root`: the folder of the workers' data, that of the settings by default."""
        self._sweep, self._settings = sweep, settings
        self._data_root = data_root or settings.data_root
        self._executor: Executor | None = None
        self._options: WorkerOptions | None = None
        self.threads = 0
        """Threads of each worker, once it is started."""

    def __enter__(self) -> Self:
        seen = None
        if self._settings.executor == "processes":
            seen = glance(self._settings.storage, self._sweep.name)
        if seen is not None and not seen.published:
            self.start(self._sweep, seen.threads)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._executor is not None:
            self._executor.close()

    def start(self, sweep: Sweep, stored: int | None) -> Executor:
        """The executor, started if it is not, and anew if it was for other trials.

        Args:
            sweep: the sweep as it is run.
            stored: the threads of a stored study, if it has any.
        """
        self.threads = stored or _threads(sweep, self._settings)
        options = _options(sweep, self._settings, self._data_root, self.threads)
        if self._executor is not None and options != self._options:
            self._executor.close()
            self._executor = None
        if self._executor is None:
            self._executor = _executor(sweep, self._settings, options)
            self._options = options
        return self._executor


def _threads(sweep: Sweep, settings: Settings) -> int:
    """Threads of a worker; a stored study keeps its number, which determines the exact bits."""
    if sweep.execution.threads is not None:
        return sweep.execution.threads
    alone = settings.executor != "ray" and (settings.n_jobs or 1) == 1
    return _cores() if alone else 1


def _cores() -> int:
    known = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return known or 1


def _options(sweep: Sweep, settings: Settings, data_root: Path, threads: int) -> WorkerOptions:
    limits = sweep.execution
    trained = is_trained(sweep.model.name)
    return WorkerOptions(
        data_root.absolute(),
        settings.device,
        threads,
        limits.trial_timeout,
        limits.trial_memory,
        trained=trained,
        awaits_reply=sweep.search.pruner != "none",
        system_metrics=limits.system_metrics,
        stack=_stack(sweep, settings) if trained else 1,
        parts=b"" if settings.executor == "inline" else pickled_components(),
    )


def _stack(sweep: Sweep, settings: Settings) -> int:
    """Trials that a worker trains together; with `auto` on a GPU as many as there are, at most `MANY`.

    Raises:
        SweepError: this is not possible.
    """
    wanted, name = sweep.execution.stack, os.environ.get("KERAS_BACKEND", "tensorflow")
    if wanted == AUTO:
        if name != "jax" or settings.executor == "inline" or not _has_gpus(sweep, settings):
            return 1
        trials = max(sweep.total_trials // (settings.n_jobs or 1), 1)
        return min(MANY, 2 ** (trials.bit_length() - 1))
    if wanted > 1 and name != "jax":
        raise SweepError(
            f"execution.stack: needs Keras on JAX (KERAS_BACKEND=jax), got {wanted} with {name}; use 1"
        )
    if wanted > 1 and settings.executor == "inline":
        raise SweepError(
            f"execution.stack: must be 1 with --executor inline, got {wanted}; use --executor processes"
        )
    return wanted


def _has_gpus(sweep: Sweep, settings: Settings) -> bool:
    """Whether trials run on GPUs; those of a cluster are asked for."""
    if settings.device == "cpu":
        return False
    if settings.executor == "ray":
        return settings.device == "gpu" or bool(sweep.execution.num_gpus)
    return has_gpus()


def _executor(sweep: Sweep, settings: Settings, options: WorkerOptions) -> Executor:
    limits = sweep.execution
    if settings.executor == "inline":
        return Inline(options)
    if settings.executor == "ray":
        from normsweep.executors.ray_connection import TrialResources
        from normsweep.executors.ray_executor import Cluster

        each = TrialResources(limits.num_cpus or options.threads, limits.num_gpus)
        return Cluster(options, address=settings.ray_address, jobs=settings.n_jobs, resources=each)
    return Processes(options, settings.n_jobs or 1)
