"""How another metric than the accuracy is told and drawn: its unit, its direction, up is better."""

from collections.abc import Callable
from dataclasses import replace
from math import nan

import pytest

from normsweep.analysis.confirm_runs import Curve
from normsweep.analysis.estimates import Estimate
from normsweep.analysis.outcomes import Outcome
from normsweep.analysis.verdicts import Verdict
from normsweep.parts.metrics import metric
from normsweep.reporting.answer import answer_sentence
from normsweep.reporting.cells import printed
from normsweep.reporting.figures.accuracy import accuracy
from normsweep.reporting.figures.forest import forest
from normsweep.reporting.figures.limits import accuracy_limits
from normsweep.reporting.figures.search import learning_rate
from normsweep.reporting.figures.theme import Style
from normsweep.reporting.rows import best_rows, epoch_rows, trial_rows
from normsweep.reporting.verdict_text import verdict_cells, verdict_lines
from normsweep.reporting.words import (
    between,
    margin_number,
    margin_words,
    percent,
    points,
    unit_of_gaps,
)
from normsweep.sweep.study_record import TrialRecord
from tests.reporting.figures.reading import limits, panels, texts

LOSS, RMSE = metric("log_loss"), metric("rmse")
WORSE = {"none": 0.1, "unit": 0.0}
CURVES = tuple(
    Curve(
        arm,
        "baseline",
        tuple(Estimate(worse + 0.4 / e, worse + 0.35 / e, worse + 0.5 / e, 5) for e in range(1, 6)),
    )
    for arm, worse in WORSE.items()
)


@pytest.fixture
def one(verdict) -> Callable[..., list[Verdict]]:
    """A verdict on log losses."""
    like = {
        "question": "equal_epochs", "horizon": 5, "gap": Estimate(0.1, 0.08, 0.12, 5),
        "on_these_images": Estimate(0.1, 0.09, 0.11, 5), "value": 0.18, "reference_value": 0.08,
        "images": 360, "margin": 0.03, "primary": True, "metric": LOSS,
    }  # fmt: skip
    return lambda **changed: [replace(verdict(), **{**like, **changed})]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (points(0.01234, by=LOSS), "+0.0123 nats"),
        (points(-0.03, sign=False, by=LOSS), "0.03 nats"),
        (points(1.0, sign=False, by=LOSS), "1 nat"),
        (points(0.01, by=metric("f1_macro")), "+1.00 percentage points"),
        (between(-0.001, 0.002, LOSS), "−0.0010 to +0.0020"),
        (percent(0.04312, by=LOSS), "0.0431"),
        (percent(0.9, by=metric("roc_auc")), "90.00 %"),
        (points(0.012345, by=RMSE), "+0.0123 RMSE"),
        (points(-1234.5, sign=False, by=RMSE), "1,234 RMSE"),
        (between(-0.5, 12.0, RMSE), "−0.5 to +12"),
        (percent(52341.23, by=RMSE), "52,341"),
        (percent(0.0431234, by=metric("r2")), "0.04312"),
        (unit_of_gaps(RMSE), "RMSE (lower is better)"),
        (unit_of_gaps(metric("r2")), "R²"),
        (margin_words(0.05, 0.0, RMSE), "0.05 RMSE"),
        (margin_words(0.05, 0.025, RMSE), "2.5 % of the reference"),
        (margin_words(0.01, 0.0), "1 percentage point"),
        (margin_words(0.00125, 0.0), "0.125 percentage points"),
        (margin_words(0.00004, 0.0), "0.004 percentage points"),
        (margin_words(1234.5, 0.0, RMSE), "1,234.5 RMSE"),
        (margin_number(0.00125, 0.0), "0.125"),
        (margin_number(0.0060666, 0.02), "0.61"),
        (between(-0.49996, 0.2, RMSE, margin=0.5), "−0.49996 to +0.2"),
        (between(-0.5, 0.50049, RMSE, margin=0.5), "−0.5 to +0.5005"),
        (points(1.0, sign=False, by=replace(RMSE, name="huber_loss")), "1 huber loss"),
    ],
)
def test_values_and_differences_have_the_metrics_unit(written, expected):
    assert written == expected


def test_a_higher_loss_is_behind(one):
    sentence = answer_sentence(one(), "normalization", "unit")
    assert sentence == (
        "With the baseline settings and equal epochs, “none” is clearly behind “unit” by 0.08 to 0.12 nats "
        "after 5 epochs: it does not catch up (95 % interval, 5 seeds)."
    )
    open_ = one(outcome=Outcome.OPEN, reason="more", gap=Estimate(0.1, -0.02, 0.12, 5))
    undecided = answer_sentence(open_, "normalization", "unit")
    assert "is open: from 0.12 nats behind to 0.02 nats ahead of “unit”" in undecided
    behind = one(outcome=Outcome.BEHIND, gap=Estimate(0.03, 0.02, 0.04, 5))
    said = answer_sentence(behind, "normalization", "unit")
    assert (
        "is behind “unit” by 0.02 to 0.04 nats after 5 epochs; whether by more than 0.03 nats"
        in said
    )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "is clearly behind “unit” with 0.08 to 0.12 higher RMSE after 5 epochs"),
        (
            {"outcome": Outcome.AHEAD, "gap": Estimate(-0.1, -0.12, -0.08, 5)},
            "is ahead of “unit” with 0.08 to 0.12 lower RMSE",
        ),
        (
            {"metric": metric("r2"), "outcome": Outcome.AHEAD, "gap": Estimate(0.1, 0.05, 0.2, 5)},
            "is ahead of “unit” with 0.05 to 0.2 higher R²",
        ),
        (
            {"outcome": Outcome.LEVEL, "share": 0.02, "gap": Estimate(0.0, -0.01, 0.01, 5)},
            "at most 2 % of the reference behind after 5 epochs",
        ),
        (
            {"outcome": Outcome.BEHIND, "share": 0.02, "gap": Estimate(0.03, 0.02, 0.04, 5)},
            "is behind “unit” with 0.02 to 0.04 higher RMSE after 5 epochs; whether by more than 2 % of "
            "the reference is open",
        ),
        (
            {"outcome": Outcome.OPEN, "gap": Estimate(0.1, -0.02, 0.12, 5)},
            "is open: from 0.12 RMSE behind to 0.02 RMSE ahead of “unit” after 5 epochs",
        ),
    ],
)
def test_a_metric_without_a_unit_is_lower_or_higher(one, changed, said):
    sentence = answer_sentence(one(**{"metric": RMSE, **changed}), "normalization", "unit")
    assert said in sentence
    assert "percentage" not in sentence


def test_an_axis_of_errors_ends_at_zero():
    low, high = accuracy_limits([-3.0, 40.0, -1.0], [-3.0], 0.1, RMSE)
    assert low < -3 < -1 < high <= 0.1


def test_tables_of_a_regression_have_no_accuracy(record):
    made = record(0, "none", (0.5, 0.4), metric="rmse")
    curve = tuple(replace(e, score=1234.5, val_accuracy=nan) for e in made.result.curve)
    made = replace(made, result=replace(made.result, curve=curve))
    for table in (trial_rows([made]), epoch_rows([made]), best_rows([made], ["none"])):
        assert "val_rmse" in table.columns
        assert not [name for name in table.columns if "accuracy" in name]
    assert printed(best_rows([made], ["none"]))["val_rmse"] == ["1234.5"]


def test_tables_have_gaps_in_their_unit(one):
    (line,) = verdict_lines(one()).to_dict("records")
    assert line["gap in nats"] == "+0.1000 (+0.0800 to +0.1200)"
    (cells,) = verdict_cells(one()).to_dict("records")
    assert (cells["gap"], cells["margin"]) == ("+0.1000", "0.03")


def test_up_is_better_and_ticks_say_what_it_is(found, one):
    made = found(metric="log_loss")
    figure = accuracy(replace(made, curves=CURVES, verdicts=tuple(one())), Style())
    assert figure.data is not None
    (panel,) = panels(figure)
    foot, head = limits(panel)
    assert foot > 0.2 > 0.08 > head  # sixteen margins, from the best values down
    of_unit = figure.data[figure.data["arm"] == "unit"]
    assert of_unit["score"].tolist() == [e.value for e in CURVES[1].epochs]
    seen = texts(figure)
    assert "log loss on the test images" in seen
    assert {"0.1", "0.2"} <= set(seen)
    assert "band: unit at the same epoch ± 0.03 nats" in seen


def test_the_forest_has_what_is_better_to_the_right(found, one):
    figure = forest(replace(found(metric="log_loss"), verdicts=tuple(one())), Style())
    assert figure.data is not None
    assert figure.data["gap"].tolist() == [0.1]
    left, right = limits(figure.spec(), "x")
    assert left > 0.12 > 0 > right
    seen = texts(figure)
    assert "nats of log loss against the reference; better to the right" in seen
    assert "+0.1" in seen
    assert "+0.1000 (+0.0800 to +0.1200)" in seen


def test_trials_of_the_search_are_drawn_by_their_score(found, trial_of_search):
    def scored(number: int, score: float) -> TrialRecord:
        made = trial_of_search(number, "none", learning_rate=10.0**-number)
        curve = tuple(replace(epoch, score=score) for epoch in made.result.curve)
        return replace(made, result=replace(made.result, curve=curve))

    trials = tuple(scored(i, 0.1 * i) for i in range(1, 5))
    made = found(metric="log_loss")
    figure = learning_rate(replace(made, record=replace(made.record, trials=trials)), Style())
    assert figure.data.set_index("trial")["drawn"].tolist()[:2] == pytest.approx([0.1, 0.2])
    assert figure.data["below"].sum() == 2  # the worst two lie below the axis
    assert "validation log loss" in texts(figure)
