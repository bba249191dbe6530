import math

import pytest

from normsweep.analysis.outcomes import OUTCOMES, Outcome, Side, as_data, outcome, side


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-1.9, 5.0, Outcome.CATCHES_UP),
        (0.1, 0.2, Outcome.CATCHES_UP),
        (-1.5, -0.5, Outcome.CATCHES_UP),
        (-2.0, 5.0, Outcome.NOT_ENOUGH),  # a bound at the margin decides nothing
        (-5.0, -2.0, Outcome.NOT_ENOUGH),
        (-5.0, -2.1, Outcome.DOES_NOT),
        (math.nan, math.nan, Outcome.NOT_ENOUGH),
    ],
)
def test_the_outcome_is_read_off_the_interval_and_the_margin(low, high, expected):
    assert outcome(low, high, 2.0) is expected


def test_a_margin_of_zero_asks_for_the_sign():
    assert outcome(0.1, 0.2, 0.0) is Outcome.CATCHES_UP
    assert outcome(-0.2, -0.1, 0.0) is Outcome.DOES_NOT
    assert outcome(-0.1, 0.1, 0.0) is Outcome.NOT_ENOUGH


def test_every_outcome_has_its_row_and_the_last_row_takes_the_rest():
    assert [row.outcome for row in OUTCOMES] == list(Outcome)
    assert [bool(row.conditions) for row in OUTCOMES] == [True] * (len(OUTCOMES) - 1) + [False]
    assert [side(each) for each in Outcome] == [Side.YES, Side.NO, Side.OPEN]


def test_the_data_of_the_page_are_the_rows():
    assert as_data()[0] == {
        "outcome": "catches up",
        "side": "yes",
        "conditions": [["low", ">", -1]],
    }
    assert as_data()[-1]["conditions"] == []
