from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from normsweep.errors import StoreError, StudyStopped
from normsweep.store.locks import holding

pytestmark = pytest.mark.system

HOLDER = """
import sys, time
from normsweep.store.locks import holding
with holding(sys.argv[1], "tested"):
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
    with holding(url, "tested"):
        with pytest.raises(StoreError, match="is being run by process"), holding(url, "tested"):
            pass
        with holding(url, "other"):
            pass
    with holding(url, "tested"):
        pass


def test_a_second_driver_is_told_who_and_since_when(url):
    process = holder(url)
    try:
        with pytest.raises(StoreError) as caught, holding(url, "tested"):
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
            with holding(url, "tested"):
                return
        except StoreError:  # the server has not seen it yet
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_lock_that_went_with_its_connection_is_taken_anew(postgresql_url, monkeypatch):
    monkeypatch.setattr("normsweep.store.locks.LOOK", 0.0)
    with holding(postgresql_url, "tested") as hold:
        disconnect_all(postgresql_url)
        hold.check()
        with pytest.raises(StoreError), holding(postgresql_url, "tested"):
            pass


def test_a_study_that_another_took_over_meanwhile_is_left_to_it(postgresql_url, monkeypatch):
    monkeypatch.setattr("normsweep.store.locks.LOOK", 0.0)
    with holding(postgresql_url, "tested") as hold:
        disconnect_all(postgresql_url)
        with holding(postgresql_url, "tested"), pytest.raises(StudyStopped, match="was lost"):
            hold.check()


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path):
    precious = tmp_path / "precious.txt"
    precious.write_text("data")
    (tmp_path / "optuna.db.tested.lock").symlink_to(precious)
    with (
        pytest.raises(StoreError, match="--storage: cannot write beside"),
        holding(f"sqlite:///{tmp_path}/optuna.db", "tested"),
    ):
        pass
    assert precious.read_text() == "data"


def test_a_lock_is_written_by_its_owners_only(tmp_path):
    before = os.umask(0)
    try:
        with holding(f"sqlite:///{tmp_path}/optuna.db", "tested"):
            mode = (tmp_path / "optuna.db.tested.lock").stat().st_mode
    finally:
        os.umask(before)
    assert not mode & 0o002


def test_a_part_of_a_password_is_not_looked_up_as_a_host():
    address = "postgresql+psycopg://me:S3c@ret@127.0.0.1:9/base"
    with pytest.raises(StoreError) as caught, holding(address, "tested"):
        pass
    assert "--storage: received postgresql+psycopg://me:***@127.0.0.1:9/base" in str(caught.value)
