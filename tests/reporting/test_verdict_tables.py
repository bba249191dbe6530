import math
from dataclasses import replace

import pandas as pd
import pytest

from normsweep.reporting.verdict_rows import VerdictRow, read_verdicts, without_repeats
from normsweep.reporting.verdict_tables import verdict_tables

COMMAND = "python -m normsweep.study mnist --set confirm.seeds=99"


@pytest.fixture
def rows(frames) -> list[VerdictRow]:
    """The verdicts on arms that, in turn, catch up, do not, are open, catch up where they train."""
    return read_verdicts(frames(("none", "raw", "zca", "learned", "unit")).verdicts)


def printed(row: VerdictRow):
    return verdict_tables([replace(row, question="both_tuned")], 4, COMMAND)[0].rows[0]


def test_questions_come_in_their_part_and_order(rows):
    keys = [[table.key for table in verdict_tables(rows, part)] for part in (1, 2, 3, 4)]
    assert keys == [
        [],
        ["more_epochs", "equal_epochs"],
        ["tuned_rate", "tuned_rate_longest"],
        ["both_tuned_short", "both_tuned"],
    ]
    assert [table.primary for table in verdict_tables(rows, 4)] == [False, True]


def test_a_question_that_repeats_another_is_told_once(rows):
    same = [replace(row, horizon=8) for row in rows]
    kept = {row.question for row in without_repeats(same)}
    assert kept == {"more_epochs", "equal_epochs", "tuned_rate_longest", "both_tuned"}
    first = [replace(row, primary=row.question == "both_tuned_short") for row in same]
    assert "both_tuned_short" in {row.question for row in without_repeats(first)}
    assert without_repeats(rows) == rows


def test_what_a_verdict_says(rows):
    up, short, _, lost = (printed(row) for row in rows[:4])
    assert (up.kind, up.when) == ("yes", "at epoch 6; perhaps from epoch 5")
    assert (short.kind, short.when) == ("no", "not within 8 epochs")
    assert (short.gap, short.interval, short.these_images) == (
        "−0.62 points",
        "−0.77 to −0.47",
        "−0.69 to −0.55",
    )
    assert lost.when == (
        "at epoch 6 where it trains (2 of 10 seeds diverged); perhaps from epoch 5"
    )
    assert lost.evidence[-1] == "2 diverged with “learned”"
    assert [each.next_step for each in (up, short, lost)] == ["", "", ""]


@pytest.mark.parametrize(
    ("more", "text", "step", "command"),
    [
        ("10", "not enough evidence: about 10 more seeds would decide",
         "About 10 more seeds would decide: raise their number from 5 to 15.",
         COMMAND.replace("99", "15")),
        ("images", "not enough evidence: more test images would decide, not more seeds",
         "More test images would decide, not more seeds", ""),
        ("more than 20", "not enough evidence: more than 20 further seeds would be needed",
         "More than 20 further seeds would be needed", ""),
        ("", "not enough evidence: at least 5 seeds are needed, 2 can be compared",
         "This is open because at least 5 seeds are needed, 2 can be compared.", COMMAND),
        ("", "not enough evidence: unit is not clearly better than guessing",
         "More trials, or more epochs, come before a verdict.", ""),
    ],
)  # fmt: skip
def test_an_open_question_says_what_to_do(rows, more, text, step, command):
    told = printed(replace(rows[2], more_seeds=more, verdict=text))
    assert told.kind == "open"
    assert step in told.next_step
    assert told.command == command


def test_a_warning_is_given_once_a_table(rows):
    warned = [replace(row, warnings=("few trials",)) for row in rows]
    assert [table.warnings for table in verdict_tables(warned, 2)] == [("few trials",)] * 2


def test_missing_cells_are_read_as_missing(frames):
    table = frames().verdicts.assign(epoch=pd.NA, gap=math.nan, low=math.nan, warnings=None)
    row = read_verdicts(table)[0]
    assert row.epoch is None
    assert math.isnan(row.gap)
    assert row.warnings == ()
    assert printed(row).gap == "not known"
    assert read_verdicts(None) == read_verdicts(pd.DataFrame()) == []
