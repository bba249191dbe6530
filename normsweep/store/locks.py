"""One driver a study: a lock that its process holds, and that nothing outlives."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from normsweep.errors import StoreError, StudyStopped
from normsweep.store.storage import make_folder
from normsweep.urls import check_address, parsed_url, sqlite_file

__all__ = ["Hold", "holder", "holding"]

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


LOOK = 10.0
"""Seconds between looks at whether a server still holds the lock for us."""


class Hold:
    """A study that this process is the only driver of."""

    def check(self) -> None:
        """Make sure that it is still ours; a lock that was lost with its connection is taken anew.

        Raises:
            StudyStopped: another process has taken the study over meanwhile.
        """


@contextmanager
def holding(url: str, study: str) -> Iterator[Hold]:
    """The study's only driver, while entered.

    On SQLite by a lock on a file beside the database, on PostgreSQL by an advisory lock of a
    connection of its own: both end with the process that holds them, however that ends.

    Raises:
        StoreError: another process holds the study: which, and since when; or the address is none.
    """
    check_address("--storage", url)
    parsed = parsed_url(url)
    file = sqlite_file(parsed)
    if file is not None and fcntl is not None:
        with _locked_file(file, url, study):
            yield Hold()
    elif parsed is not None and parsed.get_backend_name() == "postgresql":
        hold = _Advisory(parsed, study)
        try:
            yield hold
        finally:
            hold.release()
    else:
        yield Hold()


def holder(url: str, study: str) -> str:
    """Who drives a study now, in words; empty where nobody does, or it cannot be told."""
    parsed = parsed_url(url)
    file = sqlite_file(parsed)
    if file is not None and fcntl is not None:
        return _file_holder(Path(f"{file}.{study}.lock"))
    if parsed is not None and parsed.get_backend_name() == "postgresql":
        with (
            suppress(SQLAlchemyError),
            create_engine(parsed, poolclass=NullPool).connect() as opened,
        ):
            found = opened.execute(text(HOLDER), _halves(_key(study))).one_or_none()
            return found.application_name.removeprefix("normsweep ") if found else ""
    return ""


def _file_holder(lock: Path) -> str:
    assert fcntl is not None
    with suppress(OSError), lock.open() as opened:
        name = opened.read().strip()
        if not name:  # nobody's, and not to be taken where a driver might want it now
            return ""
        try:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return name
    return ""  # whoever left the name is gone


@contextmanager
def _locked_file(file: Path, url: str, study: str) -> Iterator[None]:
    assert fcntl is not None
    make_folder(file, url)
    try:
        opened = _opened(f"{file}.{study}.lock")
    except OSError as error:
        raise StoreError(f"--storage: cannot write beside {url}: {error.strerror}") from None
    with opened as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise _held(study, _holder(opened)) from None
        with suppress(OSError):  # on a full disk the holder has no name
            lock.truncate(0)
            lock.write(_ourselves())
            lock.flush()
        try:
            yield
        finally:
            with suppress(OSError):
                lock.truncate(0)


def _holder(lock: IO[str]) -> str:
    """Who has written a name into the lock; one who has just taken it may not have, yet."""
    for _ in range(10):
        lock.seek(0)
        if name := lock.read().strip():
            return name
        time.sleep(0.1)
    return ""


def _opened(path: str) -> IO[str]:
    """The lock's file; no link is followed, since what it leads to would be emptied."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
    return os.fdopen(os.open(path, flags, 0o664), "a+")


class _Advisory(Hold):
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
        raise _held(self._study, other.application_name.removeprefix("normsweep ") if other else "")


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


def _held(study: str, holder: str) -> StoreError:
    return StoreError(
        f"study {study}: is being run by {holder or 'another process'}; legal: wait until it ends, "
        "stop it, or another --study-name"
    )
