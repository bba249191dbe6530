from __future__ import annotations

import io

import pytest
from rich.console import Console

from normsweep.console.display import PlainDisplay
from normsweep.console.live_display import LiveDisplay, make_display
from normsweep.console.screen import Screen, screen
from normsweep.errors import UserError


def terminal(**options) -> Screen:
    """A screen on a terminal, as far as rich can tell."""
    made = Screen(**options)
    made.file, made._force_terminal = io.StringIO(), True
    return made


def test_a_log_file_beside_a_live_display_has_every_trial_and_note_once(record):
    written = io.StringIO()
    shown = terminal(log=Console(file=written, width=120, color_system=None))
    with make_display(shown) as display:
        assert not isinstance(display, LiveDisplay | PlainDisplay)
        display.begin([], 2, ["unit"])
        for number in range(2):
            told = record(number)
            display.started(told.trial)
            display.epoch(told.trial, told.result.curve[0])
            display.finished(told)
        display.note("something else")
    lines = [line for line in written.getvalue().splitlines() if line.strip()]
    assert [line.partition(":")[0] for line in lines[:-1]] == [
        f"{n + 1}/2 trial {n} unit adam lr 0.001 epochs 2" for n in range(2)
    ]
    assert lines[-1] == "something else"
    assert "2 of 2 trials" in shown.file.getvalue()


def test_each_loudness_has_its_display(record):
    assert isinstance(make_display(terminal()), LiveDisplay)
    assert isinstance(make_display(terminal(quiet=True)), PlainDisplay)
    verbose = terminal(verbose=True)
    with make_display(verbose) as display:
        told = record(0, scores=(0.5, 0.6, 0.7))
        display.begin([], 1, ["unit"])
        display.started(told.trial)
        for epoch in told.result.curve:
            display.epoch(told.trial, epoch)
    assert verbose.file.getvalue().count("validation accuracy") == 3


def test_what_is_wrong_is_told_on_standard_error_where_all_else_is_not(capsys):
    quiet = terminal(quiet=True)
    quiet.print("a table")
    with make_display(quiet) as display:
        display.note("MLflow did not take trial 3")
    assert quiet.file.getvalue() == ""
    assert capsys.readouterr().err == "MLflow did not take trial 3\n"


def test_how_a_command_ends_is_in_its_log_file_without_passwords(tmp_path):
    path = tmp_path / "log"
    path.write_text("before\n")

    def command() -> None:
        with screen(True, False, path) as shown:
            shown.print("two\nlines")
            raise LookupError("http://me:hidden@host \x1b[2J")

    with pytest.raises(LookupError):
        command()
    first, *lines = path.read_text().splitlines()
    assert first == "before"
    assert [line[20:] for line in lines] == [
        "two", "lines", "ended by LookupError: http://me:***@host \\x1b[2J",
    ]  # fmt: skip


def test_a_log_file_that_cannot_be_written_is_a_mistake(tmp_path):
    with pytest.raises(UserError, match="--log-file: cannot write"), screen(False, False, tmp_path):
        pass
