"""Locks: only one process runs a study, and only one at a time creates the tables of a database.

For SQLite, a lock is a file in the folder `.locks` next to the database; for PostgreSQL, an advisory
lock. Both are released by the system if a process ends in any way.
"""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from normsweep.errors import LockLost, StoreError, StudyLocked
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

CHECK_INTERVAL = 10.0
"""Seconds between checks whether the server still has our lock."""


FOLDER = ".locks"
"""Next to a SQLite file. Lock files are kept when released, so that all processes lock the same file."""


MODE = 0o664
"""Mode of lock files: a group that shares a database shares the locks."""


SETUP = 0x6E6F726D
"""Key of the advisory lock for creating tables."""


class StudyLock:
    """The lock of a study, which only one process has."""

    @property
    def can_be_lost(self) -> bool:
        """Whether another process may get it while this one runs: locks of files end with their process."""
        return False

    def check(self) -> None:
        """Check that the lock is still ours; acquire it again if its connection was lost.

        Raises:
            LockLost: another process has locked the study meanwhile.
        """

    def fence(self, engine: Engine, ours: Callable[[], bool]) -> None:
        """Let no transaction of an engine commit once another process has, or has had, the lock.

        `ours`: whether no other process has run the study since this one began; asked if the connection with
        the lock was lost. Commits then raise `LockLost`.
        """


@contextmanager
def lock_study(url: str, study: str) -> Iterator[StudyLock]:
    """A context in which a study is locked.

    Raises:
        StudyLocked: another process runs the study; the message says which, and since when.
        StoreError: the lock cannot be acquired for another reason, or the URL is invalid.
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
    """The process that runs a study, and since when; empty if there is none, or it is unknown."""
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
    """Delete the lock files of a deleted study; the caller has the lock."""
    file = sqlite_file(parsed_url(url))
    if file is not None:
        lock = _lock_file(file, study)
        for path in (lock, _owner_file(lock)):
            with suppress(OSError):
                path.unlink(missing_ok=True)


@contextmanager
def lock_database(url: str, making: bool = True) -> Iterator[None]:
    """A context for only one process at a time: two that create the tables at once would crash.

    With `making=False`, no lock file is created if there is none. A lock that cannot be acquired is
    not an error here: the cause is reported when the database is opened.
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
    """Create the folder of a SQLite file.

    Raises:
        StoreError: it cannot be created.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"--storage: cannot create the folder of {url}: {error.strerror}"
        ) from None


def _new_lock(path: Path) -> FileLock:
    return FileLock(path, mode=MODE)


def _lock_file(file: Path, study: str = "") -> Path:
    """The lock file of a study; if empty, that of the database. Symbolic links are resolved."""
    file = file.resolve()
    return file.parent / FOLDER / ".".join(filter(None, (file.name, study, "lock")))


def _owner_file(lock: Path) -> Path:
    """The file with the name of the owner: on Windows others cannot read the lock file itself."""
    return lock.with_suffix(".owner")


def _make_lock_folder(file: Path) -> None:
    _lock_file(file).parent.mkdir(parents=True, exist_ok=True)


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
            f"--storage: cannot lock {path} next to {masked(url)}: {error.strerror or error}; the file "
            "must be yours, on a file system that supports locks"
        ) from None
    try:
        with suppress(OSError):  # on a full disk, the owner is not written
            _write_owner(owner)
        yield
    finally:
        with suppress(OSError):
            owner.unlink(missing_ok=True)
        lock.release()


def _write_owner(path: Path) -> None:
    """Write our name into a new file; never through a link, whose target would be overwritten."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE), "w") as file:
        file.write(_ourselves())


def _owner(path: Path) -> str:
    """The owner of a lock; waits for one that has not written its name yet."""
    for _ in range(10):
        with suppress(OSError):
            if name := path.read_text().strip():
                return name
        time.sleep(0.1)
    return ""


def _file_owner(lock: Path) -> str:
    with suppress(OSError):
        name = _owner_file(lock).read_text().strip()
        if not name:  # not locked; acquiring it to check could block a starting process
            return ""
        try:
            with _new_lock(lock).acquire(blocking=False):
                return ""  # the process that wrote the name is gone
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
        with suppress(SQLAlchemyError):  # the connection may be lost, and the lock with it
            connection.close()


class _AdvisoryLock(StudyLock):
    """An advisory lock of PostgreSQL; the name of its connection says who has it."""

    def __init__(self, url: URL, study: str) -> None:
        self._study, self._key = study, _key(study)
        # With keep-alives the server notices within half a minute that a client's machine is gone.
        alive = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
        name = {"application_name": f"normsweep {_ourselves()}"[:63]}
        self._engine: Engine | None = None
        self._ours: Callable[[], bool] = lambda: True
        self._released, self._lost = False, ""
        self._backend = 0
        """The server's process id of the connection that has, or had, the lock."""
        self._connection: Connection | None = None
        self._checked = time.monotonic()
        # Errors of the server or its driver are reported when the database is opened.
        with suppress(SQLAlchemyError, ImportError, TypeError):
            self._engine = create_engine(url, poolclass=NullPool, connect_args={**alive, **name})
            self._take()

    def check(self) -> None:
        if time.monotonic() - self._checked < CHECK_INTERVAL:
            return
        self._checked = time.monotonic()
        try:
            if self._connection is not None:
                self._connection.execute(text("SELECT 1"))
                self._connection.commit()
                return
        except SQLAlchemyError:
            self._disconnect()
        # If the server is unreachable, the storage's connection waits for it.
        with suppress(SQLAlchemyError):
            self._take_again()

    @property
    def can_be_lost(self) -> bool:
        return self._engine is not None

    def fence(self, engine: Engine, ours: Callable[[], bool]) -> None:
        self._ours = ours
        event.listen(engine, "commit", self._before_commit)

    def _before_commit(self, connection: Connection) -> None:
        """In the transaction itself: what is asked before it could be out of date when it commits."""
        try:
            self._require(connection)
        except LockLost:
            connection.connection.rollback()  # SQLAlchemy takes the transaction for ended
            raise

    def _require(self, connection: Connection) -> None:
        if self._released:
            return
        if self._lost:
            raise LockLost(self._lost)
        held = {**_halves(self._key), "backend": self._backend}
        if connection.execute(text(HELD), held).one_or_none() is None:
            self._disconnect()
            self._take_again()

    def _take_again(self) -> None:
        try:
            self._take()
        except StudyLocked as error:
            self._lost = f"{error} (the connection with the lock was lost)"
        if self._connection is not None and not self._ours():
            self._disconnect()
            self._lost = (
                f"study {self._study} was run by another process after the connection with the lock was lost; "
                "run the command again to resume"
            )
        if self._lost:
            raise LockLost(self._lost)

    def release(self) -> None:
        self._released = True
        # After a mere disconnect the server would hold the lock for a moment longer.
        if self._connection is not None:
            with suppress(SQLAlchemyError):
                self._connection.execute(text(RELEASE), {"key": self._key})
            self._disconnect()

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(SQLAlchemyError):
                self._connection.close()
            self._connection = None

    def _take(self) -> None:
        assert self._engine is not None
        connection = self._engine.connect()
        taken = connection.execute(text(TAKE), {"key": self._key}).one()
        if taken.locked:
            connection.commit()
            self._connection, self._backend = connection, taken.backend
            return
        other = connection.execute(text(HOLDER), _halves(self._key)).one_or_none()
        connection.close()
        if other is not None and other.pid == self._backend:
            return  # our own lost connection, which the server still considers open
        raise _locked(
            self._study, other.application_name.removeprefix("normsweep ") if other else ""
        )


LOW = 2**32 - 1


TAKE = "SELECT pg_try_advisory_lock(:key) AS locked, pg_backend_pid() AS backend"


RELEASE = "SELECT pg_advisory_unlock(:key)"


HELD = """
SELECT pid FROM pg_locks
WHERE locktype = 'advisory' AND granted AND classid = :high AND objid = :low AND pid = :backend
"""


HOLDER = """
SELECT pid, application_name FROM pg_stat_activity JOIN pg_locks USING (pid)
WHERE locktype = 'advisory' AND granted AND classid = :high AND objid = :low
"""


def _halves(key: int) -> dict[str, int]:
    return {"high": key >> 32, "low": key & LOW}


def _key(study: str) -> int:
    """The key of a study's lock: 63 bits without sign, so that its halves are as in pg_locks."""
    return int.from_bytes(hashlib.sha256(study.encode()).digest()[:8]) >> 1


def _ourselves() -> str:
    return f"process {os.getpid()} on {socket.gethostname()[:20]} since {time.strftime('%m-%d %H:%M:%S')}"


def _locked(study: str, owner: str) -> StudyLocked:
    return StudyLocked(
        f"study {study} is locked by {owner or 'another process'}, which runs it; wait until it ends, "
        "stop it, or use another --study-name"
    )
