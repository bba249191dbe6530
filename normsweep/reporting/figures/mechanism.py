"""Why, by experiment: the gap of a raw input and what of it goes with each half."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pandas as pd

from normsweep.analysis.estimates import Estimate
from normsweep.analysis.evidence import Evidence
from normsweep.analysis.factorial import Factorial
from normsweep.reporting.figures.figure import Figure
from normsweep.reporting.figures.panels import HIDDEN, rows_of, tooltips
from normsweep.reporting.figures.theme import BAND, INK, PAPER, Arms, Style, Table
from normsweep.reporting.figures.vega import Chart, Json, channel
from normsweep.reporting.mechanism import conditions
from normsweep.reporting.words import between, gap_number
from normsweep.text import opening

__all__ = ["mechanism"]

ROW = 27
"""Height of a row in pixels; on a phone it takes three lines."""
LEFT = 106.0
"""Pixels to the left of the axes for what a row is."""
NUMBERS = 165.0
"""Pixels to the right of the axes for a value with its interval."""
NAMES = {
    "gap": "the gap",
    "start": "start alone",
    "step": "steps alone",
    "joint": "only both",
}


def mechanism(found: Evidence, style: Style) -> Figure:
    """A row for the gap, each of its parts and each control, with its interval; a panel for each factorial."""
    figure = Figure(
        name="mechanism",
        title="Why, by experiment",
        caption=f"The gap to {found.reference} and what of it goes with the first layer’s start alone, with its steps alone, and "
        "only with both together; the parts add up to the gap. A control compares two arms that train alike. Lines: intervals; "
        "yellow: the equivalence margin.",
        missing="No arms undo one half of the input’s scale at a time.",
    )
    if not found.factorials:
        return figure
    data = _data(found)
    parts = []
    for title, of in data.groupby("title", sort=False):
        intervals = of["interval"].map(lambda text: f" ({text})" if text else "")
        words = of["what"] + " (" + of["compared"] + ") " + of["number"] + intervals
        parts.append(f"{title}: {'; '.join(words)}.")
    return replace(figure, data=data, chart=_chart(found, style, data), description=" ".join(parts))


def _data(found: Evidence) -> Table:
    """A row per effect; values are arm − other, in the unit of the metric."""
    margin, by = found.margin, found.metric
    return pd.DataFrame([
        {
            "title": opening(conditions(factorial)), "what": what, "arm": arm, "compared": compared,
            "value": estimate.value, "low": estimate.low, "high": estimate.high, "margin": margin,
            "number": gap_number(estimate.value, by=by),
            "interval": between(estimate.low, estimate.high, by) if math.isfinite(estimate.low) else "",
        }
        for factorial in found.factorials
        for what, arm, compared, estimate in _effects(factorial)
    ])  # fmt: skip


def _effects(factorial: Factorial) -> Iterator[tuple[str, str, str, Estimate]]:
    """Each effect: its name, the arm whose look it has, what was compared, the estimate."""
    cells, controls = factorial.cells, 0
    looks = {"start": cells.start, "step": cells.step, "joint": cells.both or cells.reference}
    for each in factorial.compared:
        name = NAMES.get(each.effect, each.effect)
        if each.effect == "control" and len(factorial.controls) > 1:
            controls += 1
            name = f"{name} {controls}"
        words = f"{each.arm} − {each.other}" if each.other else "the rest of the gap"
        yield name, looks.get(each.effect, each.arm), words, each.estimate


def _chart(found: Evidence, style: Style, data: Table) -> Json:
    room = min(7.0 * max(map(len, data["compared"])), 0.3 * style.width)
    # A share of a reference that did not train is not known, and not drawn.
    margin = found.margin if math.isfinite(found.margin) else 0.0
    axis = style.width - (28 if style.narrow else LEFT + NUMBERS + room)
    marks = [*_band(), *_effect_marks(found), *_words(style, axis, room), _hover(found, axis)]
    rows = rows_of().calculate(
        down="-margin",
        up="margin",
        none="0",
        numbers="datum.number + (datum.interval ? ' (' + datum.interval + ')' : '')",
    )
    spec = {
        **rows.encode(x=_across(found), y=_down(data, style)),
        "layer": marks,
        "width": axis,
        "height": {"step": 2 * ROW + 4 if style.narrow else ROW},
    }
    return {
        "facet": channel("title:N", sort=data["title"].unique().tolist()),
        "columns": 1,
        "spacing": 12,
        "spec": spec,
        # With a baseline that hardly trains, its effects are many times those of tuned arms.
        "resolve": {"scale": {"x": "independent"}},
        "params": [HIDDEN, {"name": "margin", "value": margin}],
    }


def _across(found: Evidence) -> Json:
    by = found.metric
    measured = f"{by.unit} of {by.label}" if by.unit else by.label
    axis = {
        "title": f"{measured}, arm − other{'' if by.sign > 0 else '; lower is better'}", "tickCount": 8,
        "labelExpr": f"datum.value == 0 ? '0' : format({by.scale} * datum.value, '+~g')",
    }  # fmt: skip
    return channel("value:Q", scale={"nice": False, "zero": False, "padding": 14}, axis=axis)


def _down(data: Table, style: Style) -> Json:
    names = {"title": None, "grid": False, "domain": False, "labelFontSize": 12, "minExtent": 84}
    order = data["what"].unique().tolist()
    return channel("what:N", sort=order, axis=None if style.narrow else names)


def _band() -> list[Chart]:
    rows = Chart().encode(y=channel("what:N", bandPosition=0), y2=channel("what", bandPosition=1))
    return [
        rows.mark("rect", color=BAND, opacity=0.3, clip=True).encode(x="down:Q", x2="up:Q"),
        rows.mark("rule", color=INK, opacity=0.6, strokeWidth=1, clip=True).encode(x="none:Q"),
    ]


def _effect_marks(found: Evidence) -> list[Chart]:
    looks = Arms.of(found).looks
    line = Chart().encode(**looks("color")).mark("rule", strokeWidth=2.6, clip=True)
    dot = Chart().encode(**looks("color", "shape"))
    return [
        line.encode(x="low:Q", x2="high:Q"),
        dot.mark("point", size=75, filled=True, opacity=1, stroke=PAPER, strokeWidth=0.8),
    ]


def _words(style: Style, axis: float, room: float) -> list[Chart]:
    """The value with its interval, and what was compared."""
    if style.narrow:
        up = -ROW / 2 - 1
        return [
            _text("what", 0, 0.3 * axis, dy=up),
            _text("numbers", axis, 0.68 * axis, dy=up, align="right"),
            _text("compared", 0, axis, dy=-up, fontSize=11, opacity=0.8),
        ]
    return [
        _text("numbers", axis + 12, NUMBERS - 16, fontSize=11),
        _text("compared", axis + NUMBERS, room - 4, fontSize=11, opacity=0.8),
    ]


def _text(field: str, x: float, limit: float, **more: Any) -> Chart:
    mark = {"align": "left", "baseline": "middle", "limit": limit, "clip": False, **more}
    return Chart().mark("text", **mark).encode(x=x, text=f"{field}:N")


def _hover(found: Evidence, axis: float) -> Chart:
    """What one points at."""
    tips = tooltips(found.metric, "compared", "number", "interval", what="effect")
    return Chart().mark("rect", opacity=0).encode(x=0, x2=axis, tooltip=tips)
