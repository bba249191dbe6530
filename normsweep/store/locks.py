"""Locks: one process runs a study, and one at a time makes a database's tables.

On SQLite a lock is a file in the folder `.locks` beside the database, on PostgreSQL an advisory lock:
the system takes both back from a process that ends, however it ends.
"""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from normsweep.errors import StoreError, StudyLocked, StudyStopped
from normsweep.text import masked
from normsweep.urls import check_address, parsed_url, sqlite_file

__all__ = [
    "StudyLock",
    "forget_lock",
    "lock_database",
    "lock_study",
    "locked_by",
    "make_folder",
]

LOOK = 10.0
"""Seconds between looks at whether a server still holds the lock for us."""


FOLDER = ".locks"
"""Beside a SQLite file. Its files stay when a lock is released, so that all lock the same one."""


MODE = 0o664
"""Of its files: the group that shares a database shares the locks."""


SETUP = 0x6E6F726D
"""The advisory lock under which a server's tables are made."""


class StudyLock:
    """The right to run a study, which one process has."""

    def check(self) -> None:
        """Make sure that it is still ours; a lock that was lost with its connection is taken anew.

        Raises:
            StudyStopped: another process has taken the study over meanwhile.
        """


@contextmanager
def lock_study(url: str, study: str) -> Iterator[StudyLock]:
    """Lock a study while entered.

    Raises:
        StudyLocked: another process runs the study: which, and since when.
        StoreError: the lock cannot be taken for another reason, or the address is none.
    """
    check_address("--storage", url)
    parsed = parsed_url(url)
    file = sqlite_file(parsed)
    if file is not None:
        with _file_lock(file, url, study):
            yield StudyLock()
    elif parsed is not None and parsed.get_backend_name() == "postgresql":
        lock = _AdvisoryLock(parsed, study)
        try:
            yield lock
        finally:
            lock.release()
    else:
        yield StudyLock()


def locked_by(url: str, study: str) -> str:
    """Which process runs a study now, and since when; empty if none does, or it cannot be told."""
    parsed = parsed_url(url)
    file = sqlite_file(parsed)
    if file is not None:
        return _file_owner(_lock_file(file, study))
    if parsed is not None and parsed.get_backend_name() == "postgresql":
        with (
            suppress(SQLAlchemyError),
            create_engine(parsed, poolclass=NullPool).connect() as opened,
        ):
            found = opened.execute(text(HOLDER), _halves(_key(study))).one_or_none()
            return found.application_name.removeprefix("normsweep ") if found else ""
    return ""


def forget_lock(url: str, study: str) -> None:
    """Remove the files of the lock of a study that is deleted; whoever deletes it has the lock."""
    file = sqlite_file(parsed_url(url))
    if file is not None:
        lock = _lock_file(file, study)
        for path in (lock, _owner_file(lock)):
            with suppress(OSError):
                path.unlink(missing_ok=True)


@contextmanager
def lock_database(url: str, making: bool = True) -> Iterator[None]:
    """One process at a time in here, for a database: two that make its tables at once crash.

    Without `making`, a file beside which nobody has made any is entered with nothing written.
    A lock that cannot be taken is no error here: what is wrong is reported where the database is opened.
    """
    parsed = parsed_url(url)
    file = sqlite_file(parsed)
    if file is not None and (making or _lock_file(file).exists()):
        lock = _new_lock(_lock_file(file))
        with suppress(OSError):  # a file system without locks, or a folder that is read only
            _make_lock_folder(file)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()
    elif parsed is not None and parsed.get_backend_name() == "postgresql":
        with _server_alone(parsed):
            yield
    else:
        yield


def make_folder(file: Path, url: str) -> None:
    """Make the folder of a SQLite file.

    Raises:
        StoreError: it cannot be made.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"--storage: cannot make the folder of {url}: {error.strerror}") from None


def _new_lock(path: Path) -> FileLock:
    return FileLock(path, mode=MODE)


def _lock_file(file: Path, study: str = "") -> Path:
    """The lock of a database's study; without one, that of the database."""
    return file.parent / FOLDER / ".".join(filter(None, (file.name, study, "lock")))


def _owner_file(lock: Path) -> Path:
    """Who has a lock, in words; beside the lock, which Windows lets nobody else read."""
    return lock.with_suffix(".owner")


def _make_lock_folder(file: Path) -> None:
    (file.parent / FOLDER).mkdir(parents=True, exist_ok=True)


@contextmanager
def _file_lock(file: Path, url: str, study: str) -> Iterator[None]:
    make_folder(file, url)
    path = _lock_file(file, study)
    lock, owner = _new_lock(path), _owner_file(path)
    try:
        _make_lock_folder(file)
        lock.acquire(blocking=False)
    except Timeout:
        raise _locked(study, _owner(owner)) from None
    except OSError as error:
        raise StoreError(
            f"--storage: cannot lock {path} beside {masked(url)}: {error.strerror or error}; it must be "
            "a file of yours, on a file system that has locks"
        ) from None
    try:
        with suppress(OSError):  # on a full disk the owner has no name
            _write_owner(owner)
        yield
    finally:
        with suppress(OSError):
            owner.unlink(missing_ok=True)
        lock.release()


def _write_owner(path: Path) -> None:
    """Write our name into a new file: no link is followed, since what it leads to would be emptied."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE), "w") as file:
        file.write(_ourselves())


def _owner(path: Path) -> str:
    """Who has a lock; one who has just taken it may not have written it yet."""
    for _ in range(10):
        with suppress(OSError):
            if name := path.read_text().strip():
                return name
        time.sleep(0.1)
    return ""


def _file_owner(lock: Path) -> str:
    with suppress(OSError):
        name = _owner_file(lock).read_text().strip()
        if not name:  # nobody's, and not to be taken where a driver might want it now
            return ""
        try:
            with _new_lock(lock).acquire(blocking=False):
                return ""  # whoever left the name is gone
        except Timeout:
            return name
    return ""


@contextmanager
def _server_alone(url: URL) -> Iterator[None]:
    try:
        connection = create_engine(url, poolclass=NullPool).connect()
    except (SQLAlchemyError, ImportError, TypeError):
        yield
        return
    try:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": SETUP})
        connection.commit()
        yield
    finally:
        with suppress(SQLAlchemyError):  # it may have gone meanwhile, and the lock with it
            connection.close()


class _AdvisoryLock(StudyLock):
    """An advisory lock of PostgreSQL's; who holds it is the name of its connection."""

    def __init__(self, url: URL, study: str) -> None:
        self._study, self._key = study, _key(study)
        # The server notices a driver whose machine is gone by keep-alives, within half a minute.
        alive = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
        name = {"application_name": f"normsweep {_ourselves()}"[:63]}
        self._backend = 0
        """The server's own number of the connection that holds, or held, the lock."""
        self._connection: Connection | None = None
        self._looked = time.monotonic()
        # What is wrong with the server or its driver is told when it is opened.
        with suppress(SQLAlchemyError, ImportError, TypeError):
            self._engine = create_engine(url, poolclass=NullPool, connect_args={**alive, **name})
            self._take()

    def check(self) -> None:
        if time.monotonic() - self._looked < LOOK:
            return
        self._looked = time.monotonic()
        try:
            if self._connection is not None:
                self._connection.execute(text("SELECT 1"))
                self._connection.commit()
                return
        except SQLAlchemyError:
            self.release()
        try:
            self._take()
        except StoreError as error:
            raise StudyStopped(f"{error} (the connection that held it was lost)") from None
        except SQLAlchemyError:
            return  # the server is away; the record's own connection waits for it

    def release(self) -> None:
        if self._connection is not None:
            with suppress(SQLAlchemyError):
                self._connection.close()
            self._connection = None

    def _take(self) -> None:
        connection = self._engine.connect()
        taken = connection.execute(text(TAKE), {"key": self._key}).one()
        if taken.locked:
            connection.commit()
            self._connection, self._backend = connection, taken.backend
            return
        other = connection.execute(text(HOLDER), _halves(self._key)).one_or_none()
        connection.close()
        if other is not None and other.pid == self._backend:
            return  # our own lost connection, which the server has not missed yet
        raise _locked(
            self._study, other.application_name.removeprefix("normsweep ") if other else ""
        )


LOW = 2**32 - 1


TAKE = "SELECT pg_try_advisory_lock(:key) AS locked, pg_backend_pid() AS backend"


HOLDER = """
SELECT pid, application_name FROM pg_stat_activity JOIN pg_locks USING (pid)
WHERE locktype = 'advisory' AND granted AND classid = :high AND objid = :low
"""


def _halves(key: int) -> dict[str, int]:
    return {"high": key >> 32, "low": key & LOW}


def _key(study: str) -> int:
    """A study's own number: 63 bits, the sign left out, so that its halves are as pg_locks has them."""
    return int.from_bytes(hashlib.sha256(study.encode()).digest()[:8]) >> 1


def _ourselves() -> str:
    return f"process {os.getpid()} on {socket.gethostname()[:20]} since {time.strftime('%m-%d %H:%M:%S')}"


def _locked(study: str, owner: str) -> StudyLocked:
    return StudyLocked(
        f"study {study}: is being run by {owner or 'another process'}; wait until it ends, stop "
        "it, or choose another --study-name"
    )
