"""Predicted learning rates beside those that the search tried: numbers, and the figure of them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from normsweep.analysis.stable_rates import START, stable_rates
from normsweep.reporting.figures.stability import stability
from normsweep.reporting.figures.theme import Style
from normsweep.sweep.study_record import Diagnosis, Stage
from normsweep.sweep.trial import Status
from tests.reporting.figures.reading import panels, texts

STAGE = Stage(0.1, 0.3, 2.3, 0.1, (("dense_1", 1.0),), sharpness=4.0)
PLAIN = Diagnosis(STAGE, None, optimizer="sgd")


@pytest.fixture
def tried(nothing, trial_of_search):
    """A study whose arm `none` had these trials with sgd: rate, score, whether it diverged, its momentum."""

    def made(*rows, diagnosis=PLAIN):
        trials = [
            trial_of_search(
                number, "none", score, Status.DIVERGED if diverged else Status.COMPLETE,
                optimizer="sgd", optimizer_options=options, learning_rate=rate,
            )
            for number, (rate, score, diverged, options) in enumerate(rows)
        ]  # fmt: skip
        record = replace(nothing.record, trials=tuple(trials), diagnoses={"none": diagnosis})
        return replace(nothing, record=record)

    return made


def test_the_largest_rate_that_trained_is_compared_with_the_start(tried):
    rows = [
        (0.1, 0.9, False, {}),
        (16.0, 0.88, False, {}),
        (20.0, 0.3, False, {}),
        (90.0, 0.1, True, {}),
    ]
    (found,) = stable_rates(tried(*rows).record)
    assert found.predicted == {START: 0.5}
    assert [each.ended for each in found.tried] == ["trained", "trained", "behind", "diverged"]
    assert (found.largest, found.exceeded) == (16.0, 32.0)


def test_momentum_counts_as_the_rate_of_plain_gradient_descent(tried):
    rows = [
        (1.9, 0.9, False, {"momentum": 0.9}),
        (1.9, 0.9, False, {"momentum": 0.9, "nesterov": True}),
    ]
    (found,) = stable_rates(tried(*rows).record)
    assert [each.rate for each in found.tried] == pytest.approx([1.0, 2.8])


def test_an_adaptive_baseline_is_predicted_after_its_first_steps(tried):
    later = replace(STAGE, step=10, sharpness=math.nan, stable_rate=0.02)
    plain, adaptive = stable_rates(tried(diagnosis=Diagnosis(STAGE, None, (later,), "adam")).record)
    assert (plain.optimizer, plain.predicted) == ("sgd", {START: 0.5})
    assert (adaptive.optimizer, adaptive.predicted) == ("adam", {"after 10 steps": 0.02})
    assert math.isnan(adaptive.exceeded)


@pytest.mark.parametrize("sharpness", [math.nan, 0.0, -1.0, math.inf])
def test_what_was_not_measured_or_is_no_curvature_predicts_nothing(tried, sharpness):
    unknown = Diagnosis(replace(STAGE, sharpness=sharpness), None, optimizer="sgd")
    assert stable_rates(tried(diagnosis=unknown).record) == []


def test_the_figure_has_a_panel_an_optimizer_and_says_what_it_shows(tried):
    later = replace(STAGE, step=10, sharpness=math.nan, stable_rate=0.02)
    diagnosis = Diagnosis(STAGE, None, (later,), "adam")
    figure = stability(tried((16.0, 0.9, False, {}), diagnosis=diagnosis), Style())
    assert len(panels(figure)) == 2
    assert {"sgd", "adam", "none"} <= set(texts(figure))
    assert figure.description == (
        "none: initialization 0.5 with sgd, up to 16 trained with sgd, after 10 steps 0.02 with adam."
    )
