from __future__ import annotations

import pytest

from normsweep.analysis.evidence import evidence
from normsweep.reporting import dashboard_note
from normsweep.reporting.answer import answer_sentence
from normsweep.reporting.commands import Commands
from normsweep.reporting.dashboard_note import dashboard_notes
from normsweep.reporting.in_short import in_short
from normsweep.sweep.loading import load_sweep
from normsweep.sweep.study_record import DataFacts, StudyRecord
from normsweep.sweep.trial import CONFIRM, SEARCH, SELECT

EVIL = '<img src=x onerror="alert(1)"> [a](javascript:alert(1)) `x` **y** | z'
DATA = DataFacts(name="digits", source="", digest="d1", train_images=10, test_images=5, classes=10)
STORAGE = "sqlite:////tmp/o.db"
SEARCHED = {SEARCH: "/dashboard/studies/1"}
WHOLE = {**SEARCHED, SELECT: "/dashboard/studies/2", CONFIRM: "/dashboard/studies/3"}
VIEWS = {"every trial": "http://mlflow/#/view"}


@pytest.fixture
def searched(sweep_file, parts, record) -> StudyRecord:
    trials = (record(0, "none"), record(1, "unit"))
    sweep = load_sweep(sweep_file, parts).model_copy(update={"question": EVIL})
    return StudyRecord("base", "abc", sweep, DATA, trials=trials)


def test_a_search_has_its_question_links_and_commands(searched):
    notes = dashboard_notes(Commands(searched, STORAGE), SEARCHED, VIEWS, None)
    assert notes.keys() == {SEARCH}
    note = notes[SEARCH]
    assert note.startswith("**No answer yet: ")
    assert "<" not in note
    assert "\\[a\\](javascript:alert(1)) \\`x\\` \\*\\*y\\*\\* \\| z" in note
    assert note.count("](") == 2  # one of them escaped
    assert "Open: [every trial in MLflow](http://mlflow/#/view)\n" in note
    _, commands, end = note.split("```")
    assert end == "\n"
    assert [line.split()[2] for line in commands.splitlines()[1:]] == [
        "normsweep.study",
        "normsweep.report",
    ]
    assert commands.count(f"--storage {STORAGE}") == 2


def test_without_a_page_of_mlflow_there_is_the_command_that_opens_it(searched):
    note = dashboard_notes(Commands(searched, STORAGE), SEARCHED, {}, None)[SEARCH]
    assert "Open:" not in note
    assert "\nnormsweep ui --study-name base\n" in note


def test_a_phase_says_in_a_line_what_it_is_and_where_the_answer_is(searched):
    notes = dashboard_notes(Commands(searched, STORAGE), WHOLE, VIEWS, None)
    assert notes.keys() == WHOLE.keys()
    assert (
        "[the selection round](/dashboard/studies/2) and [the confirmation](/dashboard/studies/3) are"
        in notes[SEARCH]
    )
    for phase, words in {SELECT: "further seeds", CONFIRM: "fresh seeds"}.items():
        assert notes[phase].count("\n") == 1
        assert words in notes[phase]
        assert notes[phase].count("[base](/dashboard/studies/1)") == 2
    older = {SEARCH: WHOLE[SEARCH], CONFIRM: WHOLE[CONFIRM]}
    note = dashboard_notes(Commands(searched, STORAGE), older, VIEWS, None)[SEARCH]
    assert "[the confirmation](/dashboard/studies/3) is an Optuna study of its own." in note


def test_a_study_with_a_verdict_has_its_answer_and_in_short_if_that_is_short(
    confirmed_record, monkeypatch
):
    found = evidence(confirmed_record())
    commands = Commands(found.record, STORAGE)
    note = dashboard_notes(commands, WHOLE, VIEWS, found)[SEARCH]
    sweep = found.record.sweep
    answer = answer_sentence(found.verdicts, sweep.compare, str(sweep.reference))
    assert note.startswith(f"**{answer}**\n")
    headings = [f"- **{line.heading}**" for line in in_short(found)]
    assert len(headings) == 4
    assert all(heading in note for heading in headings)
    monkeypatch.setattr(dashboard_note, "SHORT", 100)
    note = dashboard_notes(commands, WHOLE, VIEWS, found)[SEARCH]
    assert not any(heading in note for heading in headings)
