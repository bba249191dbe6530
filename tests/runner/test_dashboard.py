"""The note in Optuna's dashboard, over the commands of a study."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import optuna
import optuna_dashboard
import pytest

import normsweep
from tests.runner.test_report_upload import SWEEP
from tests.shared import place_stores

STORAGE = "sqlite:///mlruns/optuna.db"


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    place_stores(tmp_path / "mlruns")
    return tmp_path


def opened(phase: str = "") -> optuna.Study:
    return optuna.load_study(storage=STORAGE, study_name=f"drawn{phase}")


def note(phase: str = "") -> str:
    return optuna_dashboard.get_note(opened(phase))


def execute(statement: str) -> None:
    with sqlite3.connect("mlruns/optuna.db") as connection:
        connection.execute(statement)


def test_it_has_the_question_from_the_start_and_the_answer_once_there_is_one(place, capsys):
    normsweep.run(SWEEP, executor="inline", phase="search")
    assert note().startswith("**No answer yet: ")
    study = normsweep.run(SWEEP, executor="inline")
    assert study.answer is not None
    assert note().startswith(f"**{study.answer.sentence}**\n")
    assert "\nnormsweep ui --study-name drawn\n" in note()
    confirm = opened("/confirm")
    assert f"[the confirmation](/dashboard/studies/{confirm._study_id})" in note()
    assert f"[drawn](/dashboard/studies/{opened()._study_id})" in note("/confirm")
    assert "was not written" not in "".join(capsys.readouterr())


def test_a_failure_is_said_once_and_costs_nothing_and_a_users_own_note_is_kept(place, capsys):
    execute(
        "CREATE TRIGGER refused BEFORE INSERT ON study_system_attributes "
        "WHEN NEW.key LIKE 'dashboard:%' BEGIN SELECT json(NEW.key); END"
    )
    study = normsweep.run(SWEEP, executor="inline")
    said = "".join(capsys.readouterr())
    assert study.answer is not None
    assert said.count("the note in Optuna's dashboard was not written: ") == 1
    assert "malformed JSON" in said
    assert note() == ""
    execute("DROP TRIGGER refused")
    optuna_dashboard.save_note(opened(), "Look at trial 3!")
    more = {**SWEEP, "search": {**SWEEP["search"], "trials": 6}}
    normsweep.run(more, executor="inline")
    assert note() == "Look at trial 3!"
    assert note("/confirm").startswith("The configurations that [drawn](")
