"""The table of verdicts for documents."""

import math

import pytest

from normsweep.reporting.formats import FORMATS, render
from normsweep.reporting.verdict_cells import COLUMNS, verdict_cells


@pytest.fixture
def verdicts(frames):
    """Of arms that catch up, do not, are open, and catch up where they train."""
    return frames(("none", "raw", "zca", "learned", "unit")).verdicts


def test_a_row_a_question_and_arm_with_all_that_a_verdict_stands_on(verdicts):
    cells = verdict_cells(verdicts)
    assert list(cells) == COLUMNS
    assert len(cells) == 6 * 4
    assert cells.iloc[-3].tolist() == [
        "both tuned, 8 epochs *", "raw − unit", "does not catch up within 8 epochs", "−0.62",
        "−0.77 to −0.47", "−0.69 to −0.55", "5", "10000", "0.2", "1",
    ]  # fmt: skip


def test_the_primary_question_and_no_other_has_a_star(verdicts):
    starred = verdict_cells(verdicts)["question"].str.endswith(" *").tolist()
    assert starred == verdicts["primary"].tolist()


def test_what_qualifies_a_verdict_stays_in_its_words(verdicts):
    said = verdict_cells(verdicts)["verdict"].tolist()
    assert said[3] == "catches up at epoch 6 where it trains (2 of 10 seeds diverged)"
    assert said[2] == "not enough evidence: about 10 more seeds would decide"


def test_what_nobody_knows_is_left_empty(verdicts):
    bounds = ["gap", "low", "high", "seeds_low", "seeds_high"]
    cells = verdict_cells(verdicts.assign(**dict.fromkeys(bounds, math.nan)))
    assert set(cells[["gap", "interval", "on_these_images"]].to_numpy().ravel()) == {""}


@pytest.mark.parametrize("kind", FORMATS)
def test_without_verdicts_the_columns_are_there(verdicts, kind):
    cells = verdict_cells(verdicts[:0])
    assert list(cells) == COLUMNS
    assert cells.empty
    assert render(cells, kind)
