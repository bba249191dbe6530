"""The verdicts in words, for a page and for documents."""

import math
from dataclasses import replace

import pytest

from normsweep.analysis.estimates import Estimate
from normsweep.analysis.outcomes import Outcome
from normsweep.analysis.parity import Parity
from normsweep.analysis.rules import Missing, Trained
from normsweep.analysis.verdicts import Verdict, further, without_repeats
from normsweep.reporting.formats import FORMATS, render
from normsweep.reporting.verdict_text import CELLS, verdict_cells, verdict_rows, verdict_tables
from normsweep.reporting.words import between

COMMAND = "python -m normsweep.study mnist --set confirm.seeds=99"


@pytest.fixture
def rows(found) -> list[Verdict]:
    """The verdicts on arms that, in turn, are level, clearly behind, behind, level where they train."""
    return list(found(("none", "raw", "zca", "learned", "unit")).verdicts)


def printed(row: Verdict):
    return verdict_tables([replace(row, question="both_tuned")], 4, command=COMMAND)[0].rows[0]


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
    assert len(verdict_cells(same)) == 4 * len({row.arm for row in rows})
    assert len(verdict_cells(rows)) == len(rows)


def test_what_a_verdict_says(rows):
    up, short, _, lost = (printed(row) for row in rows[:4])
    assert (up.kind, up.when) == ("yes", "from epoch 6 on (catches up); perhaps from epoch 5")
    assert (short.kind, short.when) == ("no", "does not catch up within 8 epochs")
    assert (short.gap, short.interval, short.these_images) == (
        "−0.62 percentage points",
        "−0.77 to −0.47",
        "−0.69 to −0.55",
    )
    assert lost.when == (
        "from epoch 6 on (catches up) where it trains (2 of 10 seeds diverged); perhaps from epoch 5"
    )
    assert up.evidence[2:] == (
        "mean of epochs 7 to 8; epoch 8 alone −0.06 percentage points",
        "5 of 5 seeds trained; up to 46 % of all seeds might not",
    )
    assert lost.evidence[-1] == "8 of 10 seeds trained; up to 51 % of all seeds might not"
    both = printed(replace(rows[3], trained=(Trained(8, 2), Trained(9, 0, 1))))
    assert both.evidence[-1] == "9 of 10 seeds of “unit” trained"
    assert [each.next_step for each in (up, short, lost)] == ["", "", ""]


@pytest.mark.parametrize(
    ("missing", "more", "reason", "step", "command"),
    [
        (Missing.MORE_SEEDS, "10", "about 10 more seeds would decide",
         "About 10 more seeds would decide: raise their number from 5 to 15.",
         COMMAND.replace("99", "15")),
        (Missing.MORE_SEEDS, "1", "about 1 more seed would decide",
         "About 1 more seed would decide: raise their number from 5 to 6.",
         COMMAND.replace("99", "6")),
        (Missing.MORE_IMAGES, "images", "more test data would decide, not more seeds",
         "More test data would decide, not more seeds", ""),
        (Missing.MORE_SEEDS, "more than 20", "more than 20 further seeds would be needed",
         "More than 20 further seeds would be needed", ""),
        (Missing.TOO_FEW_SEEDS, "", "at least 5 seeds are needed, 2 can be compared",
         "This is open because at least 5 seeds are needed, 2 can be compared.", COMMAND),
        (Missing.REFERENCE_AT_CHANCE, "", "unit is not clearly better than guessing",
         "More trials, or more epochs, come before a verdict.", ""),
    ],
)  # fmt: skip
def test_an_open_question_says_what_to_do(rows, missing, more, reason, step, command):
    told = printed(replace(rows[2], missing=missing, more_seeds=more, reason=reason))
    assert told.kind == "open"
    assert step in told.next_step
    assert told.command == command


def test_the_epoch_of_a_page_s_row_is_that_from_which_an_arm_is_level(rows):
    ahead, little = (
        printed(replace(rows[0], outcome=outcome, parity=Parity(1, 1)))
        for outcome in (Outcome.AHEAD, Outcome.A_LITTLE_BEHIND)
    )
    assert (ahead.word, ahead.when) == ("ahead", "level from the start")
    assert (little.word, little.when) == ("level, a little behind", "level from the start")


def test_one_more_seed_is_one(rows):
    one = replace(rows[2], more_seeds="1", reason=further("1").reason, most=20)
    assert verdict_rows([one])["answer"] == ["behind: 1 more seed"]
    assert printed(one).next_step == (
        "About 1 more seed would decide: the study adds it when it is run again."
    )


def test_a_warning_is_given_once_a_table(rows):
    warned = [replace(row, warnings=("few trials",)) for row in rows]
    assert [table.warnings for table in verdict_tables(warned, 2)] == [("few trials",)] * 2


UNKNOWN = Estimate(math.nan, math.nan, math.nan, 1)


def test_what_nobody_knows_is_said(rows):
    told = printed(replace(rows[0], gap=UNKNOWN, on_these_images=UNKNOWN))
    assert (told.gap, told.interval, told.these_images) == ("not known",) * 3


def test_a_row_a_question_and_arm_with_all_that_a_verdict_stands_on(rows):
    cells = verdict_cells(rows)
    assert list(cells) == CELLS
    assert len(cells) == 6 * 4
    assert cells.iloc[-3].tolist() == [
        "both tuned, 8 epochs *", "raw − unit", "clearly behind (does not catch up within 8 epochs)", "−0.62",
        "−0.77 to −0.47", "−0.69 to −0.55", "5", "10000", "0.2", "1",
    ]  # fmt: skip


def test_the_primary_question_and_no_other_has_a_star(rows):
    starred = verdict_cells(rows)["question"].str.endswith(" *").tolist()
    assert starred == [row.primary for row in rows]


def test_what_qualifies_a_verdict_stays_in_its_words(rows):
    said = verdict_cells(rows)["verdict"].tolist()
    assert said[3] == "level from epoch 6 on (catches up) where it trains (2 of 10 seeds diverged)"
    assert said[2] == (
        "behind; open whether by more than the margin: about 10 more seeds would decide"
    )


def test_what_nobody_knows_is_left_empty(rows):
    cells = verdict_cells([replace(row, gap=UNKNOWN, on_these_images=UNKNOWN) for row in rows])
    assert set(cells[["gap", "interval", "on_these_images"]].to_numpy().ravel()) == {""}


@pytest.mark.parametrize("kind", FORMATS)
def test_without_verdicts_the_columns_are_there(kind):
    cells = verdict_cells([])
    assert list(cells) == CELLS
    assert cells.empty
    assert render(cells, kind)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-0.0088, -0.002017, "−0.88 to −0.202"),
        (-0.002, 0.0021, "−0.20 to +0.21"),
        (-0.00003, 0.002001, "−0.003 to +0.2001"),
        (0.0, 0.01, "0.00 to +1.00"),
    ],
)
def test_a_bound_beside_the_margin_or_zero_is_not_rounded_onto_it(low, high, said):
    assert between(low, high, margin=0.002) == said


def test_an_interval_wider_than_the_metric_is_not_told(rows):
    two = replace(rows[1], gap=Estimate(-0.4, -14.7, 13.8, 2))
    assert printed(two).interval == "not known"
    assert verdict_cells([two])["interval"].tolist() == [""]


def test_seeds_are_added_to_those_of_the_question(rows):
    five = replace(
        rows[2],
        missing=Missing.MORE_SEEDS,
        more_seeds="5",
        trained=(Trained(5), Trained(8)),
        seeds=5,
    )
    said = printed(five)
    assert said.next_step == "About 5 more seeds would decide: raise their number from 5 to 10."
    assert said.command.endswith("confirm.seeds=10")
