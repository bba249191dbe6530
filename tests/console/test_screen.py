from __future__ import annotations

import io
import logging
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from normsweep.console.live_display import LiveDisplay, make_display
from normsweep.console.screen import LOG, answer, print_table, say, screen, warn
from normsweep.errors import UserError
from normsweep.search.outlook import Outlook


def terminal(**options) -> Console:
    return Console(file=io.StringIO(), width=120, force_terminal=True, color_system=None, **options)


def written(log: Path) -> list[str]:
    """The lines of a log file without their time."""
    return [line[20:] for line in log.read_text().splitlines()]


def test_a_log_file_beside_a_live_display_has_every_trial_and_note_once(record, tmp_path):
    console = terminal()
    with screen(console, log_file=tmp_path / "log"), make_display(console) as display:
        assert isinstance(display, LiveDisplay)
        display.begin([], Outlook(2), {"unit": "unit"})
        for number in range(2):
            told = record(number)
            display.started(told.trial)
            display.epoch(told.trial, told.result.curve[0])
            display.finished(told, Outlook(2))
        display.note("something else")
    lines = written(tmp_path / "log")
    assert [line.partition(":")[0] for line in lines[:-1]] == [
        f"{n + 1}/2 trial {n} unit adam lr 0.001 epochs 2" for n in range(2)
    ]
    assert lines[-1] == "something else"
    shown = console.file.getvalue()
    assert "2 of 2 trials" in shown
    assert "something else" in shown
    assert "trial 0 unit adam lr 0.001 epochs 2: " not in shown


def test_each_loudness_has_its_display(record):
    console = terminal()
    with screen(console):
        assert isinstance(make_display(console), LiveDisplay)
    with screen(terminal(quiet=True)) as console:
        assert not isinstance(make_display(console), LiveDisplay)
    console = terminal()
    with screen(console, verbose=True), make_display(console) as display:
        told = record(0, scores=(0.5, 0.6, 0.7))
        display.begin([], Outlook(1), {"unit": "unit"})
        display.started(told.trial)
        for epoch in told.result.curve:
            display.epoch(told.trial, epoch)
    assert console.file.getvalue().count("validation accuracy") == 3


def test_what_is_wrong_is_told_on_standard_error_where_all_else_is_not(capsys):
    console = terminal(quiet=True)
    with screen(console, quiet=True), make_display(console) as display:
        print_table(pd.DataFrame({"arm": ["unit"]}), "a table")
        say("a line")
        display.note("trial 3 could not be logged to MLflow")
        warn("not yet logged to MLflow: trial 3")
    assert console.file.getvalue() == ""
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "trial 3 could not be logged to MLflow\nnot yet logged to MLflow: trial 3\n"


def test_a_quiet_command_prints_its_answer_and_nothing_else_on_standard_output(capsys, tmp_path):
    path = tmp_path / "log"
    with screen(quiet=True, log_file=path):
        say("a line")
        answer("With both tuned, “none” is level with “unit”.")
        say("another")
    out, err = capsys.readouterr()
    assert (out, err) == ("With both tuned, “none” is level with “unit”.\n", "")
    assert [line[20:] for line in path.read_text().splitlines()][::2] == ["a line", "another"]
    console = terminal()
    with screen(console):
        answer("said once")
    assert console.file.getvalue() == "said once\n"


def test_how_a_command_ends_is_in_its_log_file_without_passwords(tmp_path, capsys):
    path = tmp_path / "log"
    path.write_text("before\n")

    def command() -> None:
        with screen(quiet=True, log_file=path):
            say("two\nlines")
            raise LookupError("http://me:hidden@host \x1b[2J")

    with pytest.raises(LookupError):
        command()
    first, *lines = path.read_text().splitlines()
    assert first == "before"
    assert [line[20:] for line in lines] == [
        "two", "lines", "ended by LookupError: http://me:***@host \\x1b[2J",
    ]  # fmt: skip
    assert capsys.readouterr().err == ""


def test_a_log_file_that_cannot_be_written_is_a_mistake(tmp_path):
    with (
        pytest.raises(UserError, match="--log-file: cannot write"),
        screen(log_file=tmp_path),
    ):
        pass


def test_a_table_is_in_the_log_file_as_it_is_without_a_terminal(tmp_path):
    with screen(terminal(), log_file=tmp_path / "log"):
        print_table(pd.DataFrame({"arm": ["unit"], "gap": [0.12345]}), "gaps")
    lines = [line.strip() for line in written(tmp_path / "log")]
    assert lines[0] == "gaps"
    assert "│ unit │ 0.123 │" in lines


def test_a_program_that_logs_by_itself_is_told_nothing_twice(caplog):
    before = LOG.level, LOG.propagate, LOG.handlers[:]
    console = terminal()
    with caplog.at_level(logging.DEBUG), screen(console):
        say("on the screen alone")
    assert (LOG.level, LOG.propagate, LOG.handlers) == before == (logging.NOTSET, True, [])
    assert console.file.getvalue() == "on the screen alone\n"
    assert caplog.messages == []
