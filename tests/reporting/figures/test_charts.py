"""The figures for Python: charts without a style of their own, which can be combined and restyled."""

from __future__ import annotations

import altair as alt
import pytest

from normsweep.errors import StoreError
from normsweep.reporting.figures.charts import Figures, main_figure
from normsweep.reporting.figures.gallery import CHARTS
from normsweep.reporting.figures.theme import NARROW


@pytest.mark.parametrize("name", CHARTS)
def test_each_figure_is_a_chart_without_a_style(found, name):
    chart = getattr(Figures(found()), name)()
    with alt.theme.enable("none"):
        spec = chart.to_dict()
    assert "config" not in spec
    assert spec["datasets"]


def test_charts_are_combined_and_restyled(found):
    figures = Figures(found())
    both = (figures.accuracy() | figures.forest()).configure_axis(labelFontSize=14)
    assert len(both.to_dict()["hconcat"]) == 3
    assert both.to_dict()["config"]["axis"]["labelFontSize"] == 14
    all_of_them = alt.vconcat(*(getattr(figures, name)() for name in CHARTS)).to_dict()
    names = [param["name"] for param in all_of_them["params"]]
    assert len(names) == len(set(names))


def test_the_style_of_the_report_is_a_theme(found):
    with alt.theme.enable("normsweep"):
        assert Figures(found()).budget().to_dict()["config"]["axis"]["gridOpacity"] == 0.13


def test_a_narrow_figure_has_its_panels_below_one_another(found):
    assert "vconcat" in Figures(found(), NARROW).learning_rate().to_dict()
    assert "hconcat" in Figures(found()).learning_rate().to_dict()


def test_what_cannot_be_drawn_yet_is_an_error_that_says_so(nothing):
    with pytest.raises(StoreError, match="study mnist: There are no verdicts yet"):
        Figures(nothing).forest()
    assert main_figure(nothing) == ""


def test_the_main_figure_is_an_svg_for_a_page(found):
    text = main_figure(found())
    assert text.startswith("<svg")
    assert "currentColor" in text
