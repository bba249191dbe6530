"""Delete a study with everything stored about it, and clean up what is orphaned."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from normsweep.errors import StoreError, StudyStopped, TrackingFailed, UserError
from normsweep.runner.checkpoints import checkpoint_folder, checkpoint_storage
from normsweep.runner.interrupts import Patience
from normsweep.store.identity import known_storage_id
from normsweep.store.locks import forget_lock
from normsweep.store.storage import (
    delete_orphaned,
    delete_study,
    known_ids,
    orphaned_studies,
    read_study,
    study_names,
)
from normsweep.text import counted, reason
from normsweep.tracking.client import opened
from normsweep.tracking.removal import (
    LoggedStudy,
    logged_studies,
    logged_study,
    registered_studies,
    remove,
)
from normsweep.urls import parsed_url, sqlite_file

__all__ = ["Deletion", "orphans", "study_deletion"]

STATES = re.compile(r"[0-9a-f]{12}")
"""Names of the folders of studies' checkpoints."""


YOUNG = 3600.0
"""Seconds for which orphaned files are kept: a study that is starting may not be stored yet."""


@dataclass(frozen=True)
class Deletion:
    """What to delete, and how."""

    storage: str
    study: str = ""
    """The study to delete from the storage; empty if none."""
    trials: int = 0
    client: Any = None
    logged: tuple[LoggedStudy, ...] = ()
    """What to delete from MLflow."""
    paths: tuple[Path, ...] = field(default=())
    orphaned: tuple[str, ...] = ()
    """Optuna studies of phases to delete from the storage."""

    def __bool__(self) -> bool:
        return bool(self.study or self.logged or self.paths or self.orphaned)

    def lines(self) -> list[str]:
        """A line of text for each item."""
        stored = (
            [f"the study {self.study} in the storage: {counted(self.trials, 'trial')}"]
            if self.study
            else []
        )
        files = [f"{path}: {_size(path) / 2**20:.1f} MiB" for path in self.paths]
        stored += [f"the Optuna study {name} in the storage" for name in self.orphaned]
        return [*stored, *(line for each in self.logged for line in _lines(each)), *files]

    def remove(self, say: Callable[[str], None]) -> None:
        """Delete everything, the study in the storage last, so that an interrupted deletion can be repeated.

        Raises:
            StudyStopped: something cannot be deleted.
        """
        patience = Patience.of_environment(say)
        try:
            for each in self.logged:
                if not self._remove(each, patience):
                    say(
                        f"MLflow's server keeps the deleted runs of {each.study} until `mlflow gc` is "
                        "run next to its database"
                    )
            for path in self.paths:
                _delete(path)
        except (StudyStopped, UserError):
            raise
        except Exception as error:
            why = str(error) if isinstance(error, TrackingFailed) else reason(error, kind=True)
            raise StudyStopped(
                f"not everything was deleted: {why}; fix this and run the command again"
            ) from None
        if self.orphaned:
            delete_orphaned(self.storage, self.orphaned)
        if self.study:
            delete_study(self.storage, self.study)
            forget_lock(self.storage, self.study)

    def _remove(self, logged: LoggedStudy, patience: Patience) -> bool:
        """As `remove`, tried again for a while if MLflow fails, with what is left there by then."""
        tried = False

        def attempt() -> bool:
            nonlocal tried
            left = self._left(logged) if tried else logged
            tried = True
            return remove(self.client, left)

        return patience.call(attempt)

    def _left(self, logged: LoggedStudy) -> LoggedStudy:
        """What MLflow has left of a study."""
        try:
            left = logged_study(self.client, logged.study, logged.study_id)
        except StoreError as error:
            raise TrackingFailed(str(error)) from None
        return replace(left, storage_id=logged.storage_id)


def study_deletion(name: str, storage: str, tracking_uri: str, root: Path) -> Deletion:
    """Everything stored about a study.

    Raises:
        StoreError: there is no such study, or MLflow's store cannot be opened.
    """
    record = read_study(storage, name)
    client = _client(tracking_uri)
    logged = logged_study(client, name, record.id) if client is not None else None
    folders = (checkpoint_folder(root, name, record.id), root / "reports" / name)
    paths = tuple(path for path in folders if path.exists())
    return Deletion(storage, name, len(record.trials), client, (logged,) if logged else (), paths)


def orphans(storage: str, tracking_uri: str, root: Path, say: Callable[[str], None]) -> Deletion:
    """What belongs to no study of this storage: runs, models, checkpoints, workers' data, partial files,
    Optuna's studies of later phases.

    In MLflow only what was logged from this storage, and is not running, and only checkpoints of this
    storage's studies; `say` reports what is kept because its storage is unknown.

    Raises:
        StoreError: a store cannot be opened.
    """
    client = _client(tracking_uri)
    # MLflow first: a study that starts meanwhile is in its database before it has a run.
    found = [] if client is None else [*logged_studies(client), *registered_studies(client)]
    ids, digests = known_ids(storage)
    storage_id = known_storage_id(storage)
    logged = _ours(found, storage_id, ids, study_names(storage), say)
    paths = [
        *_our_checkpoints(root, storage_id, ids, say),
        *(p for p in _inside(root / "data") if _digest(p.name) and p.name not in digests),
        *_inside(root / "data", ".writing-*"),
        *(root / "checkpoints").glob("*/*/*/*.writing"),
        *_inside(root, "*.db.making*"),
    ]
    old = [path for path in paths if time.time() - path.lstat().st_mtime > YOUNG]
    return Deletion(
        storage,
        client=client,
        logged=tuple(logged),
        paths=tuple(sorted(set(old))),
        orphaned=tuple(orphaned_studies(storage)),
    )


def _ours(
    found: Iterable[LoggedStudy],
    storage_id: str,
    ids: Collection[str],
    names: Collection[str],
    say: Callable[[str], None],
) -> list[LoggedStudy]:
    """What MLflow has of deleted studies of this storage; a study that was renamed in Optuna keeps its id."""
    gone = [
        logged
        for logged in found
        if (logged.study_id not in ids if logged.study_id else logged.study not in names)
    ]
    unknown = sorted({logged.study for logged in gone if not logged.storage_id})
    if unknown:
        say(
            f"kept in MLflow: {', '.join(unknown)}: not in this storage, and logged by an older version, "
            "which did not log the storage; if no other storage has them, delete them in MLflow"
        )
    return [
        logged
        for logged in gone
        if storage_id and logged.storage_id == storage_id and not logged.running
    ]


def _our_checkpoints(
    root: Path, storage_id: str, ids: Collection[str], say: Callable[[str], None]
) -> list[Path]:
    """The checkpoints of deleted studies of this storage."""
    known = {checkpoint_folder(root, "", key).name for key in ids}
    gone = {
        folder: checkpoint_storage(folder)
        for folder in _inside(root / "checkpoints", "*/*")
        if STATES.fullmatch(folder.name) and folder.name not in known
    }
    for folder in (folder for folder, owner in gone.items() if not owner):
        say(
            f"kept: {folder}: of no study in this storage, and written by an older version, which did "
            "not note the storage; if no other storage has its study, delete the folder"
        )
    return [folder for folder, owner in gone.items() if owner and owner == storage_id]


def _client(uri: str) -> Any:
    """A client of MLflow's store; None if its file does not exist."""
    file = sqlite_file(parsed_url(uri))
    return None if file is not None and not file.exists() else opened(uri)


def _lines(logged: LoggedStudy) -> Iterable[str]:
    if logged.runs or logged.whole:
        kept = "" if logged.whole else "; its experiment has other runs and is kept"
        yield (
            f"in MLflow, of {logged.study}: {counted(len(logged.runs), 'run')}, "
            f"{counted(len(logged.models), 'logged model')}, their artifacts{kept}"
        )
    if logged.registered:
        yield f"in MLflow, the registered model {logged.study} with all of its versions"


def _inside(folder: Path, pattern: str = "*") -> Iterable[Path]:
    return folder.glob(pattern) if folder.is_dir() else ()


def _digest(name: str) -> bool:
    return len(name) == 64 and all(c in "0123456789abcdef" for c in name)


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
    return sum(file.lstat().st_size for file in files)


def _delete(path: Path) -> None:
    """Delete a file or folder; of a link only the link, not its target."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
