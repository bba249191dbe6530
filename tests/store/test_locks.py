from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from normsweep.errors import StoreError, StudyLocked, StudyStopped
from normsweep.store.locks import forget_lock, lock_database, lock_study, locked_by

pytestmark = pytest.mark.system

HOLDER = """
import sys, time
from normsweep.store.locks import lock_study
with lock_study(sys.argv[1], "tested"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return request.getfixturevalue("postgresql_url")
    return f"sqlite:///{tmp_path}/optuna.db"


def holder(url: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, url], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def disconnect_all(url: str) -> None:
    engine = create_engine(url)
    with engine.connect() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
        )
    engine.dispose()


def test_a_study_has_one_driver_at_a_time(url):
    with lock_study(url, "tested"):
        with pytest.raises(StoreError, match="is locked by process"), lock_study(url, "tested"):
            pass
        with lock_study(url, "other"):
            pass
    with lock_study(url, "tested"):
        pass


def test_a_second_driver_is_told_who_and_since_when(url):
    process = holder(url)
    try:
        with pytest.raises(StoreError) as caught, lock_study(url, "tested"):
            pass
    finally:
        process.kill()
        process.wait()
    who = re.search(r"process (\d+) on \S+ since \d\d-\d\d \d\d:\d\d:\d\d", str(caught.value))
    assert who
    assert int(who.group(1)) == process.pid


def test_a_killed_driver_holds_nothing(url):
    process = holder(url)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 10
    while True:
        try:
            with lock_study(url, "tested"):
                return
        except StoreError:  # the server has not seen it yet
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_lock_that_went_with_its_connection_is_taken_anew(postgresql_url, monkeypatch):
    monkeypatch.setattr("normsweep.store.locks.CHECK_INTERVAL", 0.0)
    with lock_study(postgresql_url, "tested") as lock:
        disconnect_all(postgresql_url)
        lock.check()
        with pytest.raises(StoreError), lock_study(postgresql_url, "tested"):
            pass


def test_a_study_that_another_took_over_meanwhile_is_left_to_it(postgresql_url, monkeypatch):
    monkeypatch.setattr("normsweep.store.locks.CHECK_INTERVAL", 0.0)
    with lock_study(postgresql_url, "tested") as lock:
        disconnect_all(postgresql_url)
        with lock_study(postgresql_url, "tested"), pytest.raises(StudyStopped, match="was lost"):
            lock.check()


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path):
    precious = tmp_path / "precious.txt"
    precious.write_text("data")
    (tmp_path / ".locks").mkdir()
    (tmp_path / ".locks" / "optuna.db.tested.lock").symlink_to(precious)
    with (
        pytest.raises(StoreError, match="--storage: cannot lock .*optuna.db.tested.lock"),
        lock_study(f"sqlite:///{tmp_path}/optuna.db", "tested"),
    ):
        pass
    assert precious.read_text() == "data"


def test_a_file_has_one_lock_by_whatever_link_it_is_reached(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "optuna.db").touch()
    (tmp_path / "b" / "optuna.db").symlink_to("../a/optuna.db")
    (tmp_path / "c").symlink_to("a")
    first, *others = (f"sqlite:///{tmp_path}/{folder}/optuna.db" for folder in "abc")
    for other in others:
        with (
            lock_study(first, "tested"),
            pytest.raises(StoreError, match="tested"),
            lock_study(other, "tested"),
        ):
            pass


def test_a_lock_is_written_by_its_owners_only(tmp_path):
    before = os.umask(0)
    try:
        with lock_study(f"sqlite:///{tmp_path}/optuna.db", "tested"):
            files = [path.stat().st_mode for path in (tmp_path / ".locks").glob("*.tested.*")]
    finally:
        os.umask(before)
    assert len(files) == 2
    assert not any(mode & 0o002 for mode in files)


def test_the_name_of_an_owner_is_not_written_through_a_link(tmp_path):
    precious = tmp_path / "precious.txt"
    precious.write_text("data")
    (tmp_path / ".locks").mkdir()
    (tmp_path / ".locks" / "optuna.db.tested.owner").symlink_to(precious)
    with lock_study(f"sqlite:///{tmp_path}/optuna.db", "tested"):
        pass
    assert precious.read_text() == "data"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EIO, errno.EROFS])
def test_a_file_system_without_locks_is_not_taken_for_another_driver(tmp_path, monkeypatch, number):
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", flock)
    url = f"sqlite:///{tmp_path}/optuna.db"
    with pytest.raises(StoreError, match=os.strerror(number)) as caught, lock_study(url, "tested"):
        pass
    assert not isinstance(caught.value, StudyLocked)
    with lock_database(url):  # what is wrong is reported where it is opened
        pass


def test_whoever_looks_at_a_lock_sees_its_owner_and_leaves_it_free(url):
    assert locked_by(url, "tested") == ""
    process = holder(url)
    try:
        assert locked_by(url, "tested").startswith(f"process {process.pid} on ")
    finally:
        process.kill()
        process.wait()
    deadline = time.monotonic() + 10
    while locked_by(url, "tested"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    with lock_study(url, "tested"):
        pass


def test_the_files_of_a_lock_are_hidden_and_go_with_the_study(tmp_path):
    url = f"sqlite:///{tmp_path}/optuna.db"
    with lock_study(url, "tested"), lock_study(url, "other"), lock_database(url):
        forget_lock(url, "tested")
        with pytest.raises(StudyLocked), lock_study(url, "other"):
            pass
    assert [path.name for path in tmp_path.iterdir()] == [".locks"]
    left = sorted(path.name for path in (tmp_path / ".locks").iterdir())
    assert left == ["optuna.db.lock", "optuna.db.other.lock"]
    with lock_study(url, "tested"):
        pass


def test_a_part_of_a_password_is_not_looked_up_as_a_host():
    address = "postgresql+psycopg://me:S3c@ret@127.0.0.1:9/base"
    with pytest.raises(StoreError) as caught, lock_study(address, "tested"):
        pass
    said = str(caught.value)
    assert said.startswith(
        "--storage: the password in postgresql+psycopg://me:***@127.0.0.1:9/base "
    )
    assert "S3c" not in said
    assert "ret@" not in said
