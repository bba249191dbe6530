"""Reuse of earlier training: curves of stored trials, and checkpoints to resume from."""

from __future__ import annotations

import contextlib
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from normsweep.errors import StudyStopped
from normsweep.sweep.study_record import StudyRecord, TrialRecord
from normsweep.sweep.trial import Epoch, Result, Status, Trial
from normsweep.training.snapshot import ModelState, Snapshot

__all__ = ["Checkpoints", "Curves", "checkpoint_folder", "checkpoint_storage"]

FILE_NAME = re.compile(r"[0-9a-f]{32}-(\d{6}|running)\.npz")
"""A lineage's state after an epoch, or the last snapshot of its running trial."""


GIB = 2**30


class Curves:
    """The longest curve of each lineage, among trials of this run, stored ones, and those of another study.

    A curve contains every shorter one of its lineage, bit for bit,
    if it was trained on the same machine with the same threads and versions. A curve of another study
    is taken as it was recorded, on whatever machine: it is what that training gave, but training the
    trial here may give other bits.
    """

    def __init__(
        self,
        records: Iterable[TrialRecord],
        identity: Callable[[Trial], Mapping[str, str]],
        other: StudyRecord | None = None,
    ) -> None:
        """`identity` returns what a trial's results depend on now; only needed for stored trials.

        `other`: a study whose trials are reused.
        """
        self._identity = identity
        self._known: dict[str, Mapping[str, str]] = {}
        self._new: dict[str, TrialRecord] = {}
        self._old: dict[str, TrialRecord] = {}
        for record in records:
            _add(self._old, record)
        self._study = other.name if other is not None else ""
        # Those with test results apart: only a confirmation has any.
        self._others: dict[bool, dict[str, TrialRecord]] = {False: {}, True: {}}
        for record in other.trials if other is not None else ():
            _add(self._others[record.trial.confirms], record)

    def add(self, record: TrialRecord) -> None:
        """Add a trial that has ended in this run."""
        if record.result is not None and not record.result.origin_study:
            _add(self._new, record)

    def result(self, trial: Trial, until: int | None = None) -> Result | None:
        """The result of a trial from an earlier curve, or None if it has to be trained.

        `until`: the epoch at which it pauses; by default its last one.
        """
        until = until or trial.epochs
        new = _reused(trial, until, self._new.get(trial.lineage))
        if new is not None:
            return new
        old = _reused(trial, until, self._old.get(trial.lineage))
        if old is not None and self._trusted(trial, old):
            return old
        other = _reused(trial, until, self._others[trial.confirms].get(trial.lineage))
        if other is None or not self._same_components(trial, other):
            return None
        return replace(other, origin_study=self._study)

    def _trusted(self, trial: Trial, known: Result) -> bool:
        """Whether training a stored curve again would give the same results."""
        return dict(known.machine) == dict(self._identity_of(trial))

    def _same_components(self, trial: Trial, known: Result) -> bool:
        """Whether network, normalization and optimizer are what their names meant in the other study."""
        now = self._identity_of(trial)
        return bool(now) and all(
            known.machine.get(key) == value for key, value in now.items() if key.endswith("_digest")
        )

    def _identity_of(self, trial: Trial) -> Mapping[str, str]:
        key = replace(
            trial, learning_rate=0.0
        ).lineage  # the identity does not depend on the learning rate
        if not self._known.get(key):
            self._known[key] = self._identity(trial)
        return self._known[key]


def _reused(trial: Trial, until: int, record: TrialRecord | None) -> Result | None:
    """The result of a trial up to an epoch from a record of its lineage, or None if that did not get there."""
    if record is None or record.result is None:
        return None
    curve = tuple(epoch for epoch in record.result.curve if epoch.epoch <= until)
    diverged = not curve[-1].finite
    if len(curve) < until and not diverged and not record.stopped:
        return None
    tested = record.result.test_digest and (diverged or all(e.tested for e in curve))
    if trial.confirms and not (tested and all(map(_has_rows, _read_ones(trial, curve)))):
        return None
    return replace(
        record.result,
        trial=trial.number,
        status=Status.DIVERGED if diverged else Status.COMPLETE,
        curve=tuple(replace(epoch, trial=trial.number) for epoch in curve),
        error="",
        inspection=record.result.inspection if len(curve) == len(record.result.curve) else None,
        origin=record.trial.number,
        origin_study="",
        reused=len(curve),
    )


def _read_ones(trial: Trial, curve: Sequence[Epoch]) -> Iterator[Epoch]:
    """The epochs after which a question reads single rows."""
    return (epoch for epoch in curve if epoch.finite and epoch.epoch in trial.readings)


def _has_rows(epoch: Epoch) -> bool:
    return epoch.tested is not None and bool(epoch.tested.influence)


def _add(longest: dict[str, TrialRecord], record: TrialRecord) -> None:
    result = record.result
    if result is None or not result.curve or not result.machine:
        return
    before = longest.get(record.trial.lineage)
    if before is None or before.result is None or _reach(before) < _reach(record):
        longest[record.trial.lineage] = record


def _reach(record: TrialRecord) -> float:
    """Number of epochs that a curve covers; infinite if it diverged or stopped early."""
    assert record.result is not None
    curve = record.result.curve
    return float("inf") if record.stopped or not curve[-1].finite else len(curve)


def checkpoint_folder(root: Path, study: str, study_id: str) -> Path:
    """The folder of a study's checkpoints; with its ID, as names are only unique within a storage."""
    return root / "checkpoints" / study / study_id[:12]


STORAGE_FILE = "storage"
"""The file with the identity of the study's storage, in the folder of its checkpoints."""


def checkpoint_storage(folder: Path) -> str:
    """The identity of the storage whose study has these checkpoints; empty if it is unknown."""
    try:
        return (folder / STORAGE_FILE).read_text(encoding="utf-8")
    except OSError:
        return ""


class Checkpoints:
    """One `.npz` file per lineage and epoch, and the last snapshot of running trials.

    The oldest files are deleted if all together exceed the limit.
    """

    def __init__(self, folder: Path, limit: float, every: float = 30.0, storage: str = "") -> None:
        """A folder of at most `limit` GiB, with a snapshot of running trials every `every` seconds.

        `storage`: the identity of the study's storage, which is written into the study's folder.
        """
        self._folder, self._limit, self.every = folder, limit * GIB, every
        self._storage = storage

    @property
    def enabled(self) -> bool:
        """Whether any state may be saved."""
        return self._limit > 0

    def save(self, trial: Trial, snapshot: Snapshot) -> None:
        """Save the state after an epoch, or after the last one, which may have been before that of the trial.

        Raises:
            StudyStopped: it cannot be written; on a full disk, writing results would fail next.
        """
        ended = snapshot.so_far.status is Status.COMPLETE
        epochs = trial.epochs if ended else snapshot.epoch
        self._write(self._path(trial, f"{epochs:06d}"), snapshot)

    def save_running(self, trial: Trial, snapshot: Snapshot) -> None:
        """Save the state of a running trial, replacing its previous one.

        Raises:
            StudyStopped: it cannot be written.
        """
        self._write(self._path(trial, "running"), snapshot)

    def drop_running(self, trial: Trial) -> None:
        """Delete the state of a running trial: it has ended, or must not resume."""
        with contextlib.suppress(OSError):
            self._path(trial, "running").unlink(missing_ok=True)

    def load(self, trial: Trial) -> ModelState | None:
        """A trial's state after its last epoch, or None if it is not saved or cannot be read."""
        snapshot = _read(self._path(trial, f"{trial.epochs:06d}"))
        return snapshot.state if snapshot else None

    def start(self, trial: Trial) -> Snapshot | None:
        """The state of a trial's lineage with the most epochs that it can resume from, if any."""
        names = self._folder.glob(f"{trial.lineage[:32]}-[0-9]*.npz")
        epochs = sorted(
            (int(p.stem[-6:]) for p in names if FILE_NAME.fullmatch(p.name)), reverse=True
        )
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
        """Delete the final states of all other trials."""
        kept = {self._path(trial, f"{trial.epochs:06d}") for trial in trials}
        for path in self._files():
            if path not in kept and not path.stem.endswith("running"):
                path.unlink(missing_ok=True)

    def _write(self, path: Path, snapshot: Snapshot) -> None:
        try:
            snapshot.save(path)
            if self._storage and not checkpoint_storage(study := self._folder.parent):
                (study / STORAGE_FILE).write_text(self._storage, encoding="utf-8")
            self._trim()
        except OSError as error:
            raise StudyStopped(
                f"{path}: cannot be written: {error.strerror}; fix this and run the command again"
            ) from None

    def _trim(self) -> None:
        """Delete the oldest files until the total size is within the limit."""
        found = [(path.stat(), path) for path in self._files()]
        total = sum(about.st_size for about, _ in found)
        for about, path in sorted(found, key=lambda each: each[0].st_mtime_ns):
            if total <= self._limit:
                return
            path.unlink(missing_ok=True)
            total -= about.st_size

    def _files(self) -> list[Path]:
        """Checkpoint files only: the folder may be a link to one with other files."""
        return [path for path in self._folder.glob("*.npz") if FILE_NAME.fullmatch(path.name)]

    def _path(self, trial: Trial, which: str) -> Path:
        return self._folder / f"{trial.lineage[:32]}-{which}.npz"


def _read(path: Path) -> Snapshot | None:
    try:
        return Snapshot.load(path)
    except (OSError, ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile):
        return None
