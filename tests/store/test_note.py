"""A study's note in Optuna's dashboard: as the dashboard writes it, and never over what a user wrote."""

from __future__ import annotations

import subprocess
import sys

import optuna
import pytest
from sqlalchemy import Engine, event

from normsweep.store.note import LENGTH, OURS, write_note
from normsweep.store.optuna_tables import StudyTables
from normsweep.store.storage import open_storage

dashboard = pytest.importorskip("optuna_dashboard", reason="the extra dashboard is not installed")

OTHER = "An *own* note"
LONG = "“none” × \\ 😀\n" * 400
"""Three parts."""
NOTES = ("short", "x" * LENGTH, "x" * (LENGTH + 1), LONG, "short again")


def tables(url: str, name: str = "noted") -> StudyTables:
    storage = open_storage(url, create=True)
    optuna.create_study(storage=storage, study_name=name, load_if_exists=True)
    return StudyTables(storage, name)


def study(url: str, name: str = "noted") -> optuna.Study:
    return optuna.load_study(storage=url, study_name=name)


def shown(url: str, name: str = "noted") -> str:
    """What the dashboard reads."""
    return dashboard.get_note(study(url, name))


def attrs(url: str, name: str = "noted") -> dict[str, object]:
    """What is stored, without our own mark and the empty parts that the dashboard leaves of a longer note."""
    found = tables(url, name).system_attrs("dashboard:")
    return {key: value for key, value in found.items() if key != OURS and value != ""}


@pytest.mark.parametrize("count", range(1, len(NOTES) + 1))
def test_it_is_stored_as_the_dashboard_stores_it(url, count):
    ours, theirs = tables(url), tables(url, "theirs")
    for note in NOTES[:count]:
        write_note(ours, note)
        dashboard.save_note(study(url, theirs.name), note)
    assert attrs(url) == attrs(url, "theirs")
    assert shown(url) == shown(url, "theirs") == NOTES[count - 1]


def test_it_is_read_by_the_dashboard_on_every_database(any_url):
    for note in (LONG, "short"):
        write_note(tables(any_url), note)
        assert shown(any_url) == note


def test_an_unchanged_note_is_not_written_again(url):
    for _ in range(2):
        write_note(tables(url), LONG)
    assert attrs(url)["dashboard:note_ver"] == 1


@pytest.mark.parametrize("theirs", [OTHER, LONG + "more", LONG[:-1], ""])
def test_what_a_user_made_of_it_is_kept(url, theirs):
    write_note(tables(url), LONG)
    dashboard.save_note(study(url), theirs)
    for note in (LONG, "the answer"):
        write_note(tables(url), note)
        assert shown(url) == theirs


@pytest.mark.parametrize("theirs", [OTHER, ""])
def test_what_a_user_wrote_first_is_kept(url, theirs):
    dashboard.save_note(study(url, tables(url).name), theirs)
    write_note(tables(url), "the answer")
    assert shown(url) == theirs


def test_a_user_who_takes_an_edit_back_gets_the_next_note(url):
    write_note(tables(url), "the question")
    for theirs in (OTHER, "the question"):
        dashboard.save_note(study(url), theirs)
    write_note(tables(url), "the answer")
    assert shown(url) == "the answer"


@pytest.mark.parametrize("before", ["", "the question"])
def test_what_a_user_writes_at_the_same_moment_is_kept(any_url, before):
    noted = tables(any_url)
    if before:
        write_note(noted, before)
    written: list[str] = []

    def strike(connection: object, cursor: object, statement: str, *others: object) -> None:
        if statement.strip().startswith(("DELETE", "INSERT")) and not written:
            written.append(statement)
            dashboard.save_note(study(any_url), OTHER)

    event.listen(Engine, "before_cursor_execute", strike)
    try:
        write_note(noted, "the answer")
    finally:
        event.remove(Engine, "before_cursor_execute", strike)
    assert written
    assert shown(any_url) == OTHER


KILLED = """
import os, signal, sys
from sqlalchemy import Engine, event
from normsweep.store.note import write_note
from normsweep.store.optuna_tables import StudyTables
from normsweep.store.storage import open_storage

added = []

@event.listens_for(Engine, "after_cursor_execute")
def strike(connection, cursor, statement, *others):
    if statement.startswith("INSERT INTO study_system"):
        added.append(statement)
        if len(added) == 4:
            os.kill(os.getpid(), signal.SIGKILL)

write_note(StudyTables(open_storage(sys.argv[1], create=False), "noted"), sys.argv[2])
"""


def test_a_process_killed_while_it_writes_leaves_the_note_before(any_url):
    write_note(tables(any_url), "the question")
    done = subprocess.run(
        [sys.executable, "-c", KILLED, any_url, LONG], capture_output=True, text=True
    )
    assert done.returncode == -9, done.stderr
    assert shown(any_url) == "the question"
    write_note(tables(any_url), LONG)
    assert shown(any_url) == LONG
