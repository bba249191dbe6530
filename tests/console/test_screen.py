from __future__ import annotations

import io
import logging
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from normsweep.console.live_display import LiveDisplay, make_display
from normsweep.console.screen import (
    LOG,
    answer,
    make_console,
    print_table,
    say,
    screen,
    table_view,
    warn,
)
from normsweep.errors import StudyStopped, UserError
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
    path.write_text("2026-01-01 00:00:00 before\n")

    def command() -> None:
        with screen(quiet=True, log_file=path):
            say("two\nlines")
            raise LookupError("http://me:hidden@host \x1b[2J")

    with pytest.raises(LookupError):
        command()
    first, *lines = path.read_text().splitlines()
    assert first == "2026-01-01 00:00:00 before"
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


def test_screens_may_be_closed_in_any_order():
    before = LOG.level, LOG.propagate
    first, second = screen(terminal()), screen(terminal(), verbose=True)
    first.__enter__()
    second.__enter__()
    assert LOG.level == logging.DEBUG
    first.__exit__(None, None, None)
    assert (LOG.level, LOG.propagate) == (logging.DEBUG, False)
    second.__exit__(None, None, None)
    assert (LOG.level, LOG.propagate) == before


def test_a_log_file_is_a_new_file_or_an_earlier_log_and_nothing_else(tmp_path):
    (tmp_path / "s.toml").write_text("name = 1\n")
    with (
        pytest.raises(UserError, match=r"^--log-file: must be a new file or an earlier log"),
        screen(log_file=tmp_path / "s.toml"),
    ):
        pass
    assert (tmp_path / "s.toml").read_text() == "name = 1\n"
    for _ in range(2):
        with screen(terminal(), log_file=tmp_path / "log"):
            say("a line")
    assert written(tmp_path / "log") == ["a line"] * 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_log_file_on_a_full_disk_is_named():
    with (
        pytest.raises(StudyStopped, match=r"^--log-file: cannot write /dev/full: No space left"),
        screen(terminal(), log_file=Path("/dev/full")),
    ):
        say("a line")


@pytest.mark.parametrize("columns", ["0", "20", "80"])
def test_a_table_keeps_within_a_terminal_of_any_width(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr("sys.stdout", Tty())
    console = make_console()
    names = [f"a long column {number}" for number in range(7)]
    console.print(table_view(pd.DataFrame({name: ["some words", "more"] for name in names})))
    lines = re.sub("\x1b\\[[0-9;]*m", "", console.file.getvalue()).splitlines()
    assert len(lines) > 4
    assert {len(line) for line in lines} <= set(range((int(columns) or 80) + 1))


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("redirection", "encoding"),
    [("> out", "cp1252"), ("> out", "ascii"), (">&- 2>&-", "utf-8"), ("> out <&-", "utf-8")],
)
def test_no_stream_and_no_encoding_ends_a_command(tmp_path, redirection, encoding):
    code = (
        "from normsweep.shell import command, finish\n"
        "from normsweep.console.screen import print_table, say, screen\n"
        "from normsweep.reporting.rows import Rows\n"
        "app = command('odd', '')\n"
        "@app.default\n"
        "def run() -> int:\n"
        "    with screen():\n"
        "        say('3 × 4 − 1 … ≥ 2')\n"
        "        print_table(Rows.of(['a'], [['÷255']]), 'title')\n"
        "    with open('made', 'w') as file:\n"
        "        file.write(str(file.fileno()))\n"
        "    return 0\n"
        "finish(app)\n"
    )
    (tmp_path / "odd.py").write_text(code)
    ended = subprocess.run(
        f"exec {shlex.quote(sys.executable)} odd.py {redirection}",
        shell=True,
        cwd=tmp_path,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )
    assert ended.returncode == 0, ended.stderr
    assert int((tmp_path / "made").read_text()) > 2
    if ">&-" not in redirection:
        said = (tmp_path / "out").read_bytes().decode(encoding)
        assert "255" in said
        if encoding == "ascii":
            assert "3 x 4 - 1 ... >= 2" in said
