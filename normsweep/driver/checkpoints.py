"""States of models on disk: those that a trial can go on from, and each arm's best."""

from __future__ import annotations

import contextlib
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path

from normsweep.errors import StudyStopped
from normsweep.sweep.trial import Trial
from normsweep.training import ModelState, Snapshot

__all__ = ["Checkpoints", "states_of"]

OURS = re.compile(r"[0-9a-f]{32}-(\d{6}|running)\.npz")
"""A lineage's state after an epoch, or where its training stood last."""
GIB = 2**30


def states_of(root: Path, study: str, study_id: str) -> Path:
    """The folder of a study's states: by its own number, as another storage may have one of its name."""
    return root / "checkpoints" / study / study_id[:12]


class Checkpoints:
    """One `.npz` a lineage and epoch; of one that runs, the last snapshot. The oldest go first."""

    def __init__(self, folder: Path, limit: float, every: float = 30.0) -> None:
        """A folder of so many GiB, with a snapshot of what runs each `every` seconds."""
        self._folder, self._limit, self.every = folder, limit * GIB, every

    @property
    def wanted(self) -> bool:
        """Whether any state may be kept."""
        return self._limit > 0

    def save(self, trial: Trial, snapshot: Snapshot) -> None:
        """Keep the state after an epoch.

        Raises:
            StudyStopped: it cannot be written: on a full disk the record is next.
        """
        self._write(self._path(trial, f"{snapshot.epoch:06d}"), snapshot)

    def save_running(self, trial: Trial, snapshot: Snapshot) -> None:
        """Keep where a trial stands that still runs, in the place of where it stood before.

        Raises:
            StudyStopped: it cannot be written.
        """
        self._write(self._path(trial, "running"), snapshot)

    def drop_running(self, trial: Trial) -> None:
        """The trial has ended, or may not go on from where it was."""
        with contextlib.suppress(OSError):
            self._path(trial, "running").unlink(missing_ok=True)

    def load(self, trial: Trial) -> ModelState | None:
        """A trial's state after its last epoch, or None where it is not kept or cannot be read."""
        snapshot = _read(self._path(trial, f"{trial.epochs:06d}"))
        return snapshot.state if snapshot else None

    def start(self, trial: Trial) -> Snapshot | None:
        """The furthest state of a trial's lineage that it can go on from."""
        names = self._folder.glob(f"{trial.lineage[:32]}-[0-9]*.npz")
        epochs = sorted((int(p.stem[-6:]) for p in names if OURS.fullmatch(p.name)), reverse=True)
        running = _read(self._path(trial, "running"))
        if running is not None and running.epoch >= trial.epochs:
            running = None
        for epoch in epochs:
            if epoch < trial.epochs and (running is None or epoch > running.epoch):
                snapshot = _read(self._path(trial, f"{epoch:06d}"))
                if snapshot is not None and snapshot.epoch == epoch:
                    return snapshot
        return running

    def keep_only(self, trials: Iterable[Trial]) -> None:
        """Drop the last states of all other trials."""
        kept = {self._path(trial, f"{trial.epochs:06d}") for trial in trials}
        for path in self._ours():
            if path not in kept and not path.stem.endswith("running"):
                path.unlink(missing_ok=True)

    def _write(self, path: Path, snapshot: Snapshot) -> None:
        try:
            snapshot.save(path)
            self._trim()
        except OSError as error:
            raise StudyStopped(
                f"{path}: cannot be written: {error.strerror}; mend that, and run the same command "
                "again"
            ) from None

    def _trim(self) -> None:
        """Drop the oldest while all together are larger than the limit."""
        found = [(path.stat(), path) for path in self._ours()]
        total = sum(about.st_size for about, _ in found)
        for about, path in sorted(found, key=lambda each: each[0].st_mtime_ns):
            if total <= self._limit:
                return
            path.unlink(missing_ok=True)
            total -= about.st_size

    def _ours(self) -> list[Path]:
        """Our own files: the folder may be a link to where others lie too."""
        return [path for path in self._folder.glob("*.npz") if OURS.fullmatch(path.name)]

    def _path(self, trial: Trial, which: str) -> Path:
        return self._folder / f"{trial.lineage[:32]}-{which}.npz"


def _read(path: Path) -> Snapshot | None:
    try:
        return Snapshot.load(path)
    except (OSError, ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile):
        return None
