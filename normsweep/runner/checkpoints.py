"""What need not be trained, because the record or a kept state has it already."""

from __future__ import annotations

import contextlib
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from normsweep.errors import StudyStopped
from normsweep.sweep.study_record import TrialRecord
from normsweep.sweep.trial import CONFIRM, Result, Status, Trial
from normsweep.training.snapshot import ModelState, Snapshot

__all__ = ["Checkpoints", "Curves", "states_of"]

OURS = re.compile(r"[0-9a-f]{32}-(\d{6}|running)\.npz")
"""A lineage's state after an epoch, or where its training stood last."""


GIB = 2**30


class Curves:
    """The longest curve of each lineage: of those that ended here, and of those on record before.

    With a constant learning rate a curve holds every shorter one of its lineage, bit for bit, where
    it was trained on the same machine with the same threads and versions.
    """

    def __init__(
        self, records: Iterable[TrialRecord], identity: Callable[[Trial], Mapping[str, str]]
    ) -> None:
        """`identity` says what a trial's bits would depend on now; asked for what is older than this."""
        self._identity = identity
        self._known: dict[str, Mapping[str, str]] = {}
        self._new: dict[str, TrialRecord] = {}
        self._old: dict[str, TrialRecord] = {}
        for record in records:
            _add(self._old, record)

    def add(self, record: TrialRecord) -> None:
        """Take up a trial that has just ended here."""
        _add(self._new, record)

    def answer(self, trial: Trial) -> Result | None:
        """The result that the record holds of a trial, or None where it has to be trained."""
        new = _answer(trial, self._new.get(trial.lineage))
        if new is not None:
            return new
        old = _answer(trial, self._old.get(trial.lineage))
        return old if old is not None and self._trusted(trial, old) else None

    def _trusted(self, trial: Trial, known: Result) -> bool:
        """Whether an older curve is what would come out here and now."""
        key = replace(trial, learning_rate=0.0).lineage  # what is asked for depends on no rate
        if not self._known.get(key):
            self._known[key] = self._identity(trial)
        return dict(known.machine) == dict(self._known[key])


def _answer(trial: Trial, record: TrialRecord | None) -> Result | None:
    """What a record of the trial's lineage has of the trial, or None where it has not all of it."""
    if record is None or record.result is None:
        return None
    curve = tuple(epoch for epoch in record.result.curve if epoch.epoch <= trial.epochs)
    diverged = not curve[-1].finite
    if len(curve) < trial.epochs and not diverged:
        return None
    tested = record.result.test_digest and (diverged or all(e.tested for e in curve))
    if trial.phase == CONFIRM and not tested:
        return None
    return replace(
        record.result,
        trial=trial.number,
        status=Status.DIVERGED if diverged else Status.COMPLETE,
        curve=tuple(replace(epoch, trial=trial.number) for epoch in curve),
        error="",
        origin=record.trial.number,
        reused=len(curve),
    )


def _add(longest: dict[str, TrialRecord], record: TrialRecord) -> None:
    result = record.result
    if result is None or not result.curve or not result.machine:
        return
    before = longest.get(record.trial.lineage)
    if before is None or before.result is None or _reach(before.result) < _reach(result):
        longest[record.trial.lineage] = record


def _reach(result: Result) -> float:
    """How many epochs a curve answers for: one that diverged, all that could follow."""
    return float("inf") if not result.curve[-1].finite else len(result.curve)


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
