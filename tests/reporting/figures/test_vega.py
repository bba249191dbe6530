"""Charts as plain Vega-Lite, which Altair takes and draws in the same way."""

from __future__ import annotations

import subprocess
import sys

import altair as alt
import pytest

from normsweep.reporting.figures import vega
from normsweep.reporting.figures.files import svg_text
from normsweep.reporting.figures.gallery import CHARTS
from normsweep.reporting.figures.theme import NARROW, WIDE, Style


def test_the_version_is_that_of_altair():
    assert alt.SCHEMA_VERSION.startswith(f"v{vega.VERSION}.")


@pytest.mark.parametrize("name", CHARTS)
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_altair_finds_a_figure_valid_and_says_the_same_of_it(found, name, size):
    chart = CHARTS[name](found(("none", "unit", "standardize")), Style(size)).chart
    assert chart is not None
    with alt.theme.enable("none"):
        theirs = vega.as_altair(chart).to_dict()
    ours = vega.spec(chart)
    assert theirs["datasets"] == ours["datasets"]
    assert {each["name"] for each in theirs["params"]} == {each["name"] for each in ours["params"]}
    assert svg_text(theirs) == svg_text(ours)


def test_altair_is_imported_for_those_only_who_want_its_charts():
    code = "import sys, normsweep.reporting.figures.gallery; print('altair' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def test_data_of_all_layers_stand_above_them_once():
    data = {"values": [{"a": 1}]}
    rows = vega.Chart(data).encode(x="a:Q")
    both = vega.layer(rows.mark("point"), rows.mark("line"))
    assert both["data"] is data
    assert not any("data" in each for each in both["layer"])
    assert "data" in rows
    apart = vega.layer(rows.mark("point"), vega.Chart().mark("rule"))
    assert "data" not in apart


def test_a_second_bound_has_the_type_of_the_first():
    rows = vega.Chart().mark("area").encode(y="low:Q", y2="high:Q")
    assert rows["encoding"]["y2"] == {"field": "high"}


def test_a_text_in_an_expression_is_quoted():
    assert vega.equal("arm", 'a "b"') == 'datum.arm == "a \\"b\\""'
