"""Every figure survives what a study can hold, and all of them show an arm in the same way."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

from normsweep.analysis.estimates import Estimate
from normsweep.reporting.figures.files import svg_text
from normsweep.reporting.figures.gallery import CHARTS
from normsweep.reporting.figures.theme import NARROW, WIDE, Arms, Style
from tests.reporting.figures.reading import parts, texts, width

every_figure = pytest.mark.parametrize("name", CHARTS)
widths = pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])


@every_figure
@widths
def test_it_is_drawn_for_many_arms_and_is_as_wide_as_it_should_be(found, name, size):
    arms = (*(f"arm {i}" for i in range(8)), "unit")
    figure = CHARTS[name](found(arms), Style(size))
    assert 0.85 * size < width(figure) < 1.06 * size
    assert figure.description
    assert figure.caption


@every_figure
@widths
def test_names_are_never_taken_for_markup_and_never_leave_the_figure(found, awkward, name, size):
    figure = CHARTS[name](found(("none", "unit", awkward), epochs=1), Style(size))
    assert width(figure) < 1.06 * size
    assert any(text.startswith("$x^2$_<b>&") for text in texts(figure))
    assert awkward in figure.description


@every_figure
def test_where_nothing_was_found_there_is_no_chart_and_a_sentence(nothing, name):
    figure = CHARTS[name](nothing, Style())
    assert figure.chart is None
    assert figure.missing.endswith(".")


@every_figure
def test_missing_numbers_leave_gaps_and_no_error(found, name):
    made, nan = found(), math.nan

    def blurred(estimate: Estimate) -> Estimate:
        return replace(estimate, low=nan, high=nan)

    trials = [
        replace(r, result=replace(r.result, curve=tuple(replace(e, val_accuracy=nan) for e in r.result.curve)))
        for r in made.record.trials
    ]  # fmt: skip
    losses = {
        arm: replace(d, initialization=replace(d.initialization, loss=nan), after_epoch_1=None)
        for arm, d in made.diagnoses.items()
    }
    missing = replace(
        made,
        record=replace(made.record, trials=tuple(trials), diagnoses=losses),
        verdicts=tuple(
            replace(v, gap=blurred(v.gap), on_these_images=blurred(v.on_these_images))
            for v in made.verdicts
        ),
        curves=tuple(replace(c, epochs=tuple(map(blurred, c.epochs))) for c in made.curves),
        tuning=tuple(replace(t, low=(nan,) * 10, high=(nan,) * 10) for t in made.tuning),
    )
    figure = CHARTS[name](missing, Style())
    if figure.chart is not None:
        assert "NaN" not in svg_text(figure.spec())


@every_figure
def test_an_arm_has_one_look_in_all_figures(found, name):
    made = found(("none", "unit", "standardize"))
    arms, figure = Arms.of(made), CHARTS[name](made, Style())
    scales = {
        channel: {
            tuple(part["encoding"][channel]["scale"]["range"])
            for part in parts(figure.spec())
            if part.get("encoding", {}).get(channel, {}).get("field") == "arm"
        }
        for channel in ("color", "shape")
    }
    looks = [arms.look(arm) for arm in arms.names]
    assert scales["color"] == {tuple(look[0] for look in looks)}
    assert scales["shape"] <= {tuple(look[1] for look in looks)}
    assert all(part["encoding"]["color"]["scale"]["domain"] == list(arms.names)
               for part in parts(figure.spec())
               if part.get("encoding", {}).get("color", {}).get("field") == "arm")  # fmt: skip


@every_figure
def test_arms_can_be_hidden(found, name):
    figure = CHARTS[name](found(("none", "unit", "standardize")), Style())
    spec = figure.spec()
    assert {"name": "hidden", "value": []} in spec["params"]
    others = [each for each in spec["params"] if each["name"] != "hidden"]
    hidden = {**spec, "params": [*others, {"name": "hidden", "value": ["none"]}]}
    colour = Arms.of(found(("none", "unit", "standardize"))).look("none")[0]
    assert len(re.findall(colour, svg_text(hidden))) < len(re.findall(colour, svg_text(spec)))


def test_numbers_are_the_same_in_all_widths(found):
    made = found()
    for draw in CHARTS.values():
        wide, narrow = (set(draw(made, Style(size)).spec()["datasets"]) for size in (WIDE, NARROW))
        assert len(wide & narrow) >= 1
