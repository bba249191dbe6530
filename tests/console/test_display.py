import io

import pandas as pd
import pytest
from rich.console import Console

from normsweep.console.live_display import LiveDisplay, make_display
from normsweep.console.screen import print_table, screen
from normsweep.search.outlook import Outlook, Standing
from normsweep.sweep.trial import Status


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200, color_system=None)


def told(console: Console) -> list[str]:
    return console.file.getvalue().splitlines()  # type: ignore[union-attr]


def test_where_there_is_no_terminal_each_trial_is_a_line(console, record):
    first = record(0, "none", (0.5, 0.6))
    with screen(console), make_display(console) as display:
        assert not isinstance(display, LiveDisplay)
        display.begin([first], Outlook(4), arms={"none": "none", "unit": "unit"})
        for made in (
            record(1, "unit", (0.5, 0.9)),
            record(2, "none", (), Status.CRASHED, error="killed\nby [signal] 9"),
            record(3, "unit", (0.5, 0.7)),
        ):
            display.started(made.trial)
            display.finished(made, Outlook(4))
    assert told(console) == [
        "2/4 trial 1 unit adam lr 0.001 epochs 2: 0.9000 in 2 s, about 0 s left",
        "3/4 trial 2 none adam lr 0.001 epochs 0: crashed: killed by [signal] 9, about 0 s left",
        "4/4 trial 3 unit adam lr 0.001 epochs 2: 0.7000 in 2 s",
    ]


def test_an_interrupted_trial_is_not_counted_as_done(console, record):
    with screen(console), make_display(console) as display:
        display.begin([], Outlook(2), arms={"none": "none", "unit": "unit"})
        display.finished(record(0, "unit", (0.5,), Status.INTERRUPTED), Outlook(2))
    assert told(console)[0].startswith("0/2 trial 0 unit")


def test_a_terminal_has_bars_with_the_best_of_each_arm(record):
    console = Console(file=io.StringIO(), width=120, force_terminal=True, color_system=None)
    with screen(console), make_display(console) as display:
        assert isinstance(display, LiveDisplay)
        display.begin(
            [record(0, "none", (0.5, 0.6))], Outlook(4), arms={"none": "none", "unit": "unit"}
        )
        for made in (
            record(1, "unit", (0.5, 0.9)),
            record(2, "none", (), Status.CRASHED, error="[red]killed"),
        ):
            display.started(made.trial)
            display.finished(made, Outlook(4))
    text = "\n".join(told(console))
    assert "3 of 4 trials" in text
    assert "best 0.6000" in text
    assert "best 0.9000" in text
    assert "trial 2 none adam lr 0.001 epochs 0: crashed: [red]killed" in text


def test_a_table_on_the_console_is_rounded_and_its_text_taken_as_it_is(console):
    table = pd.DataFrame(
        {"arm": ["[bold]x"], "val_accuracy": [2 / 3], "best_learning_rate": [1 / 3e5]}
    )
    with screen(console):
        print_table(table, "the title")
    text = "\n".join(told(console))
    assert "the title" in text
    assert "[bold]x" in text
    assert "0.6667" in text
    assert "3.33e-06" in text
    assert "best learning rate" in text


EVIL = "[/x]\x1b]0;title\x07\x1b[2J\x9b31m\u202e"


@pytest.mark.parametrize("terminal", [False, True])
def test_no_name_and_no_error_drives_the_terminal(record, terminal):
    console = Console(file=io.StringIO(), width=300, force_terminal=terminal, color_system=None)
    with screen(console), make_display(console) as display:
        display.begin([], Outlook(2), arms={EVIL: EVIL, "unit": "unit"})
        made = record(0, EVIL, (), Status.CRASHED, error=EVIL)
        display.started(made.trial)
        if isinstance(display, LiveDisplay):
            display._live.refresh()
        display.finished(made, Outlook(4))
        display.note(EVIL)
    with screen(console):
        print_table(pd.DataFrame({"arm": [EVIL]}), EVIL)
    said = console.file.getvalue()  # type: ignore[union-attr]
    assert said.count("[/x]\\x1b]0;title\\x07\\x1b[2J\\x9b31m\\u202e") >= 4
    assert not set(said) & set("\x07\x9b\u202e")
    assert "\x1b]" not in said
    assert terminal or "\x1b" not in said


OPEN = Standing("none", 7, "open", open=True, further=5, reason="about 5 more seeds would decide")
SETTLED = Standing("zca", 5, "level", open=False)
FUTILE = Standing("minmax", 6, "open", open=False, reason="not decidable within 20 seeds")


def test_a_confirmation_says_what_is_open_once_an_analysis_says_something_new(console, record):
    with screen(console), make_display(console) as display:
        display.begin([], Outlook(40, standings=(SETTLED,)), {"zca": "whitened"})
        for number, outlook in enumerate(
            (Outlook(46, standings=(OPEN, SETTLED)), Outlook(46, standings=(OPEN, SETTLED, FUTILE)))
        ):
            display.finished(record(number, "none", (0.5,)), outlook)
    lines = told(console)
    assert lines[0] == "whitened: level after 5 seeds"
    assert lines[1].startswith("1/46 trial 0 none")
    assert lines[2] == "none: open after 7 seeds, about 5 more"
    assert lines[3].startswith("2/46 trial 1 none")
    assert lines[4:] == ["minmax: open after 6 seeds: not decidable within 20 seeds"]


def test_the_bars_of_a_confirmation_show_what_each_arm_still_needs(record):
    console = Console(file=io.StringIO(), width=120, force_terminal=True, color_system=None)
    outlook = Outlook(24, {"unit": 12, "none": 12}, (OPEN,))
    with screen(console), make_display(console) as display:
        display.begin([record(0, "none", (0.5, 0.6))], outlook, {"none": "none", "unit": "unit"})
    text = "\n".join(told(console))
    assert "1/12 open after 7 seeds, about 5 more" in text
    assert "0/12" in text
