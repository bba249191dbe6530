"""All gaps: their intervals, their outcomes, in the order of the questions."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from normsweep.analysis.estimates import Estimate
from normsweep.analysis.evidence import evidence
from normsweep.analysis.outcomes import Outcome
from normsweep.reporting.figures.accuracy import accuracy
from normsweep.reporting.figures.forest import forest, reach
from normsweep.reporting.figures.theme import NARROW, Style
from tests.reporting.figures.reading import limits, texts

WIDTHS = pytest.mark.parametrize("style", [Style(), Style(NARROW)], ids=["wide", "narrow"])


def test_it_draws_gaps_and_both_intervals(found):
    made = found()
    figure = forest(made, Style())
    verdict = next(v for v in made.verdicts if v.question == "both_tuned")
    gap, seeds = verdict.gap, verdict.on_these_images
    (row,) = figure.data[figure.data["question"].str.startswith("Both tuned for 8")].to_dict(
        "records"
    )
    assert (row["gap"], row["low"], row["high"]) == (gap.value, gap.low, gap.high)
    assert (row["low_on_these_images"], row["high_on_these_images"]) == (seeds.low, seeds.high)
    assert row["margin"] == 0.002
    seen = texts(figure)
    assert "−0.05 (−0.20 to +0.10)" in seen
    assert "level from epoch 6" in seen
    assert "Both tuned for 8 epochs (primary question)" in seen
    assert "none −0.05 (−0.20 to +0.10), level from epoch 6" in figure.description


def test_a_gap_without_an_interval_has_no_brackets(found):
    made = found()
    unknown = Estimate(math.nan, math.nan, math.nan, 0)
    lost = tuple(replace(v, gap=unknown, outcome=Outcome.DOES_NOT_TRAIN) for v in made.verdicts)
    said = forest(replace(made, verdicts=lost), Style()).description
    assert "none unknown, does not train" in said


def test_the_caption_says_thin_only_where_images_are_known(found):
    made = found()
    assert "thin: on exactly this test data" in forest(made, Style()).caption
    of_runs = replace(made, verdicts=tuple(replace(v, images=0) for v in made.verdicts))
    assert "thin" not in forest(of_runs, Style()).caption


def test_it_keeps_the_order_of_the_questions_and_marks_the_main_one(found):
    assert list(dict.fromkeys(forest(found(), Style()).data["question"])) == [
        "Up to 8 epochs, against “unit” after 4 epochs",
        "Equal epochs, up to 8 epochs",
        "Tuned for 4 epochs, against untuned “unit”",
        "Tuned for 8 epochs, against untuned “unit”",
        "Both tuned for 4 epochs",
        "Both tuned for 8 epochs (primary question)",
    ]


@WIDTHS
def test_a_catching_up_with_divergences_is_never_unqualified(found, style):
    seen = texts(forest(found(("a", "b", "c", "learned", "unit")), style))
    assert any("level where it trains" in text for text in seen)


@WIDTHS
def test_a_gap_beyond_the_axis_is_an_arrow_at_its_edge_and_its_number_is_printed(found, style):
    made, far = found(), Estimate(-0.876, -0.88, -0.87, 5)
    beyond = tuple(replace(v, gap=far, on_these_images=far) for v in made.verdicts)
    figure = forest(replace(made, verdicts=beyond), style)
    spec = figure.spec()["spec"]
    left, right = limits(spec, "x")
    assert (left, right) == reach(beyond)
    assert left > -0.876
    made = {t["as"]: t["calculate"] for t in spec["transform"] if "as" in t}
    assert made["at"] == f"isValid(datum.gap) ? clamp(datum.gap, {left}, {right}) : null"
    assert made["shape"].startswith(f"1 * datum.gap < {left} ? 'worse'")
    assert any(text.startswith("−87.60") for text in texts(figure))


def test_a_page_may_read_the_outcomes_with_another_margin(found):
    spec = forest(found(), Style()).spec()
    assert {"name": "margin", "value": 0.002} in spec["params"]
    assert {"name": "outcomes", "value": None} in spec["params"]
    count = len(forest(found(), Style()).data)
    read = [{"name": "outcomes", "value": ["open"] * count}]
    others = [each for each in spec["params"] if each["name"] != "outcomes"]
    seen = texts({**spec, "params": others + read})
    assert seen.count("open*") == count
    assert "* read afterwards" in seen
    assert "* read afterwards" not in texts(spec)


def test_gaps_that_are_not_known_leave_no_mark_and_no_error(found):
    made, nan = found(), math.nan
    unknown = Estimate(nan, nan, nan, 0)
    verdicts = tuple(replace(v, gap=unknown, on_these_images=unknown) for v in made.verdicts)
    figure = forest(replace(made, verdicts=verdicts), Style())
    assert figure.data["gap"].isna().all()
    assert "none" in texts(figure)


def test_where_there_is_no_verdict_there_is_no_chart(nothing):
    figure = forest(nothing, Style())
    assert figure.chart is None
    assert figure.missing == "There are no verdicts yet."


@pytest.mark.parametrize(
    ("lost", "margin"),
    [(["none"], 0.05 * 0.93), (["unit"], math.nan), (["none", "unit"], math.nan)],
)
def test_a_share_is_that_of_a_reference_that_trained(confirmed_record, lost, margin):
    """What is drawn has no NaN, which is no JSON, and which a chart takes for a signal's name."""
    found = evidence(confirmed_record(diverged=lost, confirm__margin="5 %"))
    assert found.margin == pytest.approx(margin, abs=0.001, nan_ok=True)
    for figure in (forest(found, Style()), accuracy(found, Style())):
        assert json.dumps(figure.chart, allow_nan=False)
