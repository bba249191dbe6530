"""The metric against epochs: means and seeds, the band, parity, what lies below the axis."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from normsweep.analysis.estimates import Estimate
from normsweep.reporting.figures.accuracy import accuracy
from normsweep.reporting.figures.theme import NARROW, Style
from tests.reporting.figures.reading import limits, panels, parts, tables, texts

WIDTHS = pytest.mark.parametrize("style", [Style(), Style(NARROW)], ids=["wide", "narrow"])


def means(figure, arm, configuration):
    """The rows of a curve."""
    data = figure.data
    of_curve = (data["arm"] == arm) & (data["configuration"] == configuration)
    return data[of_curve & data["seed"].isna()]


def values(made, arm: str, configuration: str) -> list[float]:
    """The means of a curve."""
    curve = next(c for c in made.curves if (c.arm, c.configuration) == (arm, configuration))
    return [e.value for e in curve.epochs]


@pytest.mark.parametrize("configuration", ["baseline", "tuned_long"])
def test_it_draws_the_curves_with_their_intervals(found, configuration):
    made = found()
    rows = means(accuracy(made, Style()), "none", configuration)
    assert rows["epoch"].tolist() == list(range(1, 9))
    assert rows["score"].tolist() == values(made, "none", configuration)
    assert (rows["score"] - rows["low"]).tolist() == pytest.approx([0.001] * 8)
    assert (rows["high"] - rows["score"]).tolist() == pytest.approx([0.001] * 8)


def test_a_ring_marks_the_epoch_of_parity_and_the_label_says_it(found):
    made = found()
    figure = accuracy(made, Style())
    rows = means(figure, "none", "baseline")
    assert rows.loc[rows["parity"], "epoch"].tolist() == [6]
    assert not means(figure, "unit", "baseline")["parity"].any()
    assert "level from epoch 6" in texts(figure)
    assert "none 98.88 %, level from epoch 6" in figure.description


@WIDTHS
def test_a_catching_up_with_divergences_is_never_unqualified(found, style):
    figure = accuracy(found(("a", "b", "c", "learned", "unit")), style)
    assert "level where it trains" in texts(figure)


@WIDTHS
def test_a_bad_arm_does_not_flatten_the_others_and_is_marked_where_it_is_cut_off(found, style):
    made = found()
    low = tuple(Estimate(0.1135, 0.11, 0.12, 5) for _ in range(8))
    bad = [replace(c, arm="bad", epochs=low) for c in made.curves if c.arm == "none"]
    figure = accuracy(replace(made, curves=(*made.curves, *bad)), style)
    panel = panels(figure)[0]
    foot = limits(panel)[0]
    assert 0.9 < foot < 0.979
    (cut,) = [p for p in parts(panel) if dict(p.get("mark", {})).get("shape") == "triangle-down"]
    assert cut["encoding"]["y"]["field"] == "drawn"
    assert {"filter": "datum.below"} in cut["transform"]
    rows = means(figure, "bad", "baseline")
    assert (rows["score"] < foot).all()
    assert rows["below"].all()
    assert set(rows["drawn"]) == {foot}
    assert (figure.data["below"] == (figure.data["score"] < foot)).all()
    assert "▼ ends at 11.3 %" in texts(figure)


def test_the_band_is_the_margin_around_the_reference_and_follows_the_parameter(found):
    figure = accuracy(found(), Style())
    spec = figure.spec()
    assert {"name": "margin", "value": 0.002} in spec["params"]
    first, second = panels(figure)
    middles = []
    for panel in (first, second):
        bands = [p for p in parts(panel) if dict(p.get("mark", {})).get("color") == "#f0c800"]
        middles += [t["calculate"] for t in bands[0]["transform"] if t.get("as") == "worse"]
    made = found()
    stop = made.record.sweep.confirm.baseline.epochs
    (level,) = (
        c.epochs[stop - 1].value
        for c in made.curves
        if (c.arm, c.configuration) == ("unit", "baseline")
    )
    assert middles == [f"{level} - 1 * margin", "datum.score - 1 * margin"]


def test_where_the_references_value_is_not_known_there_is_no_band(found):
    made = found()
    key = "unit", "baseline"
    unknown = tuple(c for c in made.curves if (c.arm, c.configuration) != key)
    first, second = panels(accuracy(replace(made, curves=unknown), Style()))
    bands = [
        [p for p in parts(panel) if dict(p.get("mark", {})).get("color") == "#f0c800"]
        for panel in (first, second)
    ]
    assert [len(each) for each in bands] == [0, 1]
    said = texts(accuracy(replace(made, curves=unknown), Style()))
    assert not any(text.startswith("band: unit after") for text in said)


def test_arms_can_be_hidden_but_the_band_stays(found):
    (first, _) = panels(accuracy(found(), Style()))
    filters = {
        str(part["mark"]["type"]): "indexof(hidden" in str(part.get("transform"))
        for part in parts(first)
        if "mark" in part and part["mark"].get("color") != "#1c2128"
    }
    assert filters["line"]
    assert filters["area"]
    assert not filters["rect"]


def test_points_lead_to_their_runs_where_there_are_links(found):
    made = found()
    assert "href" not in str(accuracy(made, Style()).spec())
    linked = accuracy(made, Style(links={3: "http://localhost/#/runs/abc"}))
    assert any("href" in part.get("encoding", {}) for part in parts(linked.spec()))
    assert "url" in linked.data


def test_a_configuration_that_was_not_run_leaves_its_panel_out(found):
    made = found()
    curves = tuple(c for c in made.curves if c.configuration == "baseline")
    figure = accuracy(replace(made, curves=curves, verdicts=()), Style())
    assert len(panels(figure)) == 1


def test_missing_intervals_leave_gaps_and_no_error(found):
    made, nan = found(), math.nan
    curves = tuple(
        replace(c, epochs=tuple(replace(e, low=nan, high=nan) for e in c.epochs))
        for c in made.curves
    )
    figure = accuracy(replace(made, curves=curves), Style())
    assert figure.data["low"].isna().all()
    assert "none" in texts(figure)


def test_where_nothing_was_found_there_is_no_chart(nothing):
    figure = accuracy(nothing, Style())
    assert figure.chart is None
    assert figure.missing == "There are no curves on the test images yet."


def test_numbers_are_in_a_spec_once(found):
    figure = accuracy(found(), Style())
    assert sum("score" in table for table in tables(figure)) == 1


def test_the_axis_says_how_many_steps_an_epoch_has(found):
    made = found()
    sweep = made.record.sweep
    model = sweep.model.model_copy(update={"steps_per_epoch": 50})
    record = replace(made.record, sweep=sweep.model_copy(update={"model": model}))
    for steps, unit in ((made, "epochs"), (replace(made, record=record), "epochs of 50 steps")):
        assert f"'{unit} trained'" in json.dumps(accuracy(steps, Style()).chart)
