import itertools
import math

import pytest

from normsweep.analysis.outcomes import (
    EARLIER,
    OUTCOMES,
    Outcome,
    Side,
    as_data,
    earlier_word,
    outcome,
    side,
)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.1, 5.0, Outcome.AHEAD),
        (0.0, 5.0, Outcome.LEVEL),  # a bound at zero decides nothing
        (-1.9, 5.0, Outcome.LEVEL),
        (-1.9, 0.0, Outcome.LEVEL),
        (-1.9, -0.1, Outcome.A_LITTLE_BEHIND),
        (-2.0, -0.1, Outcome.BEHIND),  # a bound at the margin, as little
        (-2.0, -2.0, Outcome.BEHIND),
        (-5.0, -2.0, Outcome.BEHIND),
        (-5.0, -2.1, Outcome.CLEARLY_BEHIND),
        (-2.0, 0.0, Outcome.OPEN),
        (-5.0, 5.0, Outcome.OPEN),
        (0.3, 0.2, Outcome.CONTRADICTORY),
        (-2.2, -2.3, Outcome.CONTRADICTORY),
        (math.nan, math.nan, Outcome.OPEN),
    ],
)
def test_the_outcome_is_read_off_the_interval_and_the_margin(low, high, expected):
    assert outcome(low, high, 2.0) is expected


def test_the_table_is_that_of_the_rule_word_by_word():
    """All places of two bounds relative to −m and 0, at and beside each."""
    margin, steps = 2.0, (-3.0, -2.5, -2.0, -1.5, -0.5, 0.0, 0.5, 1.0)
    for low, high in itertools.combinations_with_replacement(steps, 2):
        if low > 0:
            expected = Outcome.AHEAD
        elif low > -margin:
            expected = Outcome.LEVEL if high >= 0 else Outcome.A_LITTLE_BEHIND
        elif high < -margin:
            expected = Outcome.CLEARLY_BEHIND
        else:
            expected = Outcome.BEHIND if high < 0 else Outcome.OPEN
        assert outcome(low, high, margin) is expected, (low, high)


def test_a_narrower_interval_only_sharpens():
    """No outcome becomes one that it excludes, however the interval shrinks."""
    may_become = {
        Outcome.OPEN: set(Outcome),
        Outcome.BEHIND: {Outcome.BEHIND, Outcome.A_LITTLE_BEHIND, Outcome.CLEARLY_BEHIND},
        Outcome.LEVEL: {Outcome.LEVEL, Outcome.AHEAD, Outcome.A_LITTLE_BEHIND},
        Outcome.A_LITTLE_BEHIND: {Outcome.A_LITTLE_BEHIND},
        Outcome.AHEAD: {Outcome.AHEAD},
        Outcome.CLEARLY_BEHIND: {Outcome.CLEARLY_BEHIND},
    }
    steps = [step / 2 for step in range(-8, 5)]
    for a, b, c, d in itertools.combinations_with_replacement(steps, 4):
        assert outcome(b, c, 2.0) in may_become[outcome(a, d, 2.0)]


def test_a_margin_of_zero_asks_for_the_sign():
    assert outcome(0.1, 0.2, 0.0) is Outcome.AHEAD
    assert outcome(-0.2, -0.1, 0.0) is Outcome.CLEARLY_BEHIND
    assert outcome(-0.1, 0.1, 0.0) is Outcome.OPEN


def test_every_outcome_has_a_side_and_the_last_row_of_a_table_takes_the_rest():
    for rows in (OUTCOMES, EARLIER):
        assert [bool(row.conditions) for row in rows] == [True] * (len(rows) - 1) + [False]
    read = {row.outcome for row in (*OUTCOMES, *EARLIER)}
    assert set(Outcome) - read == {Outcome.DOES_NOT_TRAIN}
    assert [side(each) for each in Outcome] == [
        Side.YES, Side.YES, Side.YES, Side.OPEN, Side.NO, Side.OPEN, Side.NO, Side.OPEN,
        Side.YES, Side.NO, Side.OPEN,
    ]  # fmt: skip


def test_earlier_rules_have_their_own_table_and_words():
    for low, high, word in [
        (-1.9, 5.0, Outcome.CATCHES_UP),
        (-1.9, -0.5, Outcome.CATCHES_UP),
        (-5.0, -2.1, Outcome.DOES_NOT),
        (-5.0, -2.0, Outcome.NOT_ENOUGH),
        (math.nan, math.nan, Outcome.NOT_ENOUGH),
    ]:
        assert outcome(low, high, 2.0, EARLIER) is word
        assert earlier_word(word) is word
        assert earlier_word(outcome(low, high, 2.0)) is word
    assert earlier_word(Outcome.DOES_NOT_TRAIN) is Outcome.NOT_ENOUGH


def test_the_data_of_the_page_are_the_rows():
    assert as_data()[2] == {
        "outcome": "level",
        "side": "yes",
        "conditions": [["low", ">", -1], ["high", ">=", 0]],
    }
    assert as_data()[0]["conditions"] == [["low", ">", "high"]]
    assert as_data()[-1]["conditions"] == []
    assert [row["outcome"] for row in as_data(EARLIER)] == [
        "catches up", "does not catch up", "not enough evidence",
    ]  # fmt: skip
