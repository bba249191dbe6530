"""Where a study is kept and where it runs, as commands and Python code set it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from normsweep.stores import STORAGE, TRACKING
from normsweep.sweep.trial import PhaseName
from normsweep.training import Device

__all__ = ["ExecutorName", "Settings"]

ExecutorName = Literal["processes", "inline", "ray"]


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
