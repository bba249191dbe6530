"""The network at the start: measures of each arm, and gradients by layer."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from normsweep.reporting.figures.diagnosis import gradients, inputs
from normsweep.reporting.figures.theme import NARROW, Style
from tests.reporting.figures.reading import panels, parts, texts


def test_inputs_have_values_of_both_stages_beside_the_loss_of_guessing(found):
    figure = inputs(found(), Style())
    loss = figure.data[(figure.data["measure"] == "Loss") & (figure.data["arm"] == "none")]
    assert loss["stage"].tolist() == ["initialization", "after epoch 1"]
    assert loss["value"].tolist() == [2.5, 0.1]
    assert loss["guide"].tolist() == pytest.approx([math.log(10)] * 2)
    assert loss["written"].tolist() == ["2.5 → 0.1", ""]
    assert "2.5 → 0.1" in texts(figure)


def test_each_measure_is_a_panel_and_the_marks_are_explained(found):
    for style in (Style(), Style(NARROW)):
        figure = inputs(found(), style)
        assert len(panels(figure)) == 5
        said = texts(figure)
        assert {"Input: mean", "Input: spread", "Condition number", "Loss", "Dead ReLUs"} <= set(
            said
        )
        assert any("○ after epoch 1" in text and "| loss of guessing" in text for text in said)


def test_filled_is_the_start_and_hollow_the_end_of_the_epoch(found):
    loss = panels(inputs(found(), Style()))[3]
    points = [
        p
        for p in parts(loss)
        if dict(p.get("mark", {})).get("type") == "point" and p["mark"]["opacity"]
    ]
    hollow, filled = points
    assert hollow["mark"]["fill"] == "#ffffff"
    assert filled["mark"]["filled"]
    assert any(dict(p.get("mark", {})).get("type") == "tick" for p in parts(loss))


def test_what_is_not_finite_is_drawn_at_the_edge_and_written(found):
    made = found()
    bad = replace(made.diagnoses["none"], after_epoch_1=None)
    bad = replace(bad, initialization=replace(bad.initialization, loss=math.inf))
    figure = inputs(
        replace(
            made, record=replace(made.record, diagnoses={**made.record.diagnoses, "none": bad})
        ),
        Style(),
    )
    row = figure.data[(figure.data["measure"] == "Loss") & (figure.data["arm"] == "none")].iloc[0]
    assert math.isfinite(row["drawn"])
    assert "not finite" in texts(figure)


def test_gradients_have_the_norms_by_layer_and_stage(found):
    made = found()
    figure = gradients(made, Style())
    after = made.diagnoses["none"].after_epoch_1
    assert after is not None
    rows = figure.data[(figure.data["arm"] == "none") & (figure.data["stage"] == "after epoch 1")]
    assert list(zip(rows["layer"], rows["norm"], strict=True)) == list(after.gradients)
    assert {"Initialization", "After epoch 1", "conv2d", "dense", "dense_1"} <= set(texts(figure))
    assert "none: initialization 1 in conv2d to 0.01 in dense_1" in figure.description


def test_norms_that_cannot_be_drawn_are_left_out(found):
    made = found()
    norms = (("conv2d", 0.0), ("dense", math.inf), ("dense_1", 1.0))
    bad = replace(made.diagnoses["none"], after_epoch_1=None)
    bad = replace(bad, initialization=replace(bad.initialization, gradients=norms))
    record = replace(made.record, diagnoses={"none": bad})
    data = gradients(replace(made, record=record), Style()).data
    assert data["layer"].tolist() == ["dense_1"]
    assert data["position"].tolist() == [2]
