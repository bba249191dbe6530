"""Charts as plain Vega-Lite, which Altair takes and draws in the same way."""

from __future__ import annotations

import subprocess
import sys

import altair as alt
import pytest

from normsweep.reporting.figures import vega
from normsweep.reporting.figures.charts import as_altair
from normsweep.reporting.figures.files import svg_text
from normsweep.reporting.figures.gallery import CHARTS
from normsweep.reporting.figures.theme import NARROW, WIDE, Style


def test_the_version_is_that_of_altair():
    assert alt.SCHEMA_VERSION.startswith(f"v{vega.VERSION}.")


@pytest.mark.parametrize("name", CHARTS)
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_altair_finds_a_figure_valid_and_says_the_same_of_it(found, name, size):
    figure = CHARTS[name](found(("none", "unit", "standardize")), Style(size))
    ours = figure.bare()
    with alt.theme.enable("none"):
        theirs = as_altair(ours).to_dict()
    assert theirs["datasets"].items() >= figure.spec()["datasets"].items()
    assert {each["name"] for each in theirs["params"]} >= {each["name"] for each in ours["params"]}
    assert svg_text(theirs) == svg_text(ours)


def test_altair_is_imported_for_those_only_who_want_its_charts():
    code = "import sys, normsweep.reporting.figures.gallery; print('altair' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def test_a_second_bound_has_the_type_of_the_first():
    rows = vega.Chart().mark("area").encode(y="low:Q", y2="high:Q")
    assert rows["encoding"]["y2"] == {"field": "high"}


def test_a_text_in_an_expression_is_quoted():
    assert vega.equal("arm", 'a "b"') == 'datum.arm == "a \\"b\\""'
