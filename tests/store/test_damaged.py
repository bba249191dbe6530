"""A database that is damaged, of another version, or cannot be written: a line that names it and helps."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from normsweep import export
from normsweep.cli import main
from normsweep.errors import StoreError
from normsweep.shell import run
from normsweep.store.database_errors import described
from normsweep.store.storage import open_study
from normsweep.sweep.loading import load_sweep
from normsweep.tracking.client import make_tables, opened, ready_store

PAGE = 4096
READING = {
    "list": (main.app, ["list", "studies"]),
    "show": (main.app, ["show", "base"]),
    "export": (export.app, ["best"]),
    "delete": (main.app, ["delete", "base", "--yes"]),
}


@pytest.fixture
def database(tmp_path, monkeypatch, sweep_file, parts) -> Path:
    """Optuna's database with a study, at its default place."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPTUNA_STORAGE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    open_study("sqlite:///mlruns/optuna.db", "base", load_sweep(sweep_file, parts))
    return Path("mlruns/optuna.db")


def assert_a_line(said: str, file: str = "sqlite:///mlruns/optuna.db") -> None:
    (line,) = said.splitlines()
    assert file in line
    assert len(line) < 400
    for foreign in (
        "Traceback",
        "SELECT",
        "INSERT",
        "[SQL",
        "parameters",
        "sqlalche.me",
        "sqlite3.",
    ):
        assert foreign not in line


def test_whatever_page_is_damaged_a_command_ends_well_or_in_a_line(database, capsys):
    whole, damaged = database.read_bytes(), 0
    for start in range(0, len(whole), PAGE):
        database.write_bytes(whole[:start] + bytes([255]) * PAGE + whole[start + PAGE :])
        status = run(*READING["list"])
        said = capsys.readouterr()
        if status:
            damaged += 1
            assert_a_line(said.err)
            assert "restore a backup" in said.err or "tables" in said.err
    assert damaged > 5


CHANGES: dict[str, tuple[str, str]] = {
    "no-trials": ("DROP TABLE trials", "no such table: trials; it is damaged; restore a backup"),
    "no-attributes": ("DROP TABLE study_user_attributes", "it is damaged; restore a backup"),
    "no-json": ("UPDATE study_user_attributes SET value_json = '{'", "it is damaged; restore a"),
    "newer": (
        "UPDATE alembic_version SET version_num = 'v9.9.9.a'",
        "run: pip install --upgrade optuna",
    ),
}


@pytest.mark.parametrize("command", READING)
@pytest.mark.parametrize("change", CHANGES)
def test_tables_that_are_not_whole_are_a_line(database, capsys, command, change):
    statement, line = CHANGES[change]
    altered(database, statement)
    assert run(*READING[command]) in (1, 2)
    said = capsys.readouterr()
    assert_a_line(said.err)
    assert line in said.err


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[: PAGE * 9]), "it is damaged; restore"),
        (lambda file: file.write_text("a text" * PAGE), "it is damaged; restore a backup"),
        (lambda file: altered(file, "UPDATE alembic_version SET version_num = 'f9'"),
         "its tables are of a newer MLflow; run: pip install --upgrade mlflow"),
        (lambda file: altered(file, "UPDATE alembic_version SET version_num = '0584bdc529eb'"),
         "an older MLflow; run: mlflow db upgrade sqlite:///mlruns/mlflow.db"),
        (lambda file: file.write_bytes(Path("mlruns/optuna.db").read_bytes()), "it is not MLflow's"),
    ],
    ids=["half", "text", "newer", "older", "Optuna's"],
)  # fmt: skip
def test_a_store_of_mlflow_that_is_not_whole_is_a_line(
    database, damage: Callable[[Path], object], line: str
):
    make_tables("sqlite:///mlruns/mlflow.db")
    damage(Path("mlruns/mlflow.db"))
    for use in (ready_store, opened):
        with pytest.raises(StoreError) as error:
            use("sqlite:///mlruns/mlflow.db")
        (said,) = error.value.lines
        assert_a_line(said, "sqlite:///mlruns/mlflow.db")
        assert line in said


def altered(file: Path, statement: str) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ("database or disk is full", "free some space"),
        ("attempt to write a readonly database", "it must be a file that can be written"),
        ("unable to open database file", "it must be a file that can be written"),
        ("database is locked", "another program is writing to it"),
        ("something else", "fix this and run the command again"),
    ],
)
def test_what_a_database_says_comes_with_what_to_do(message, remedy):
    said = described(sqlite3.OperationalError(message), "sqlite:///a.db")
    assert said.startswith(f"{message}; {remedy}")
