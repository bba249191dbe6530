"""The final scores of given runs, arm by arm."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd

from normsweep.analysis.given import ArmRuns, Judgement
from normsweep.reporting.figures.figure import Figure
from normsweep.reporting.figures.forest import ROW
from normsweep.reporting.figures.panels import HIDDEN, LEFT, name_width, rows_of, tooltips
from normsweep.reporting.figures.theme import BAND, INK, Arms, Style, Table
from normsweep.reporting.figures.vega import Chart, Json, channel
from normsweep.reporting.words import percent
from normsweep.text import counted, opening

__all__ = ["scores"]

NUMBERS = 150.0
"""Pixels to the right of the axes for means."""


def scores(found: Judgement, style: Style) -> Figure:
    """A row per arm: the score of each run, their mean and its interval."""
    by, ended = found.metric, "after the last epoch" if found.runs.epochs else "as given"
    figure = Figure(
        name="scores",
        title="The runs",
        caption=f"{opening(by.label)} of each run, {ended}; the line is the mean with its own interval. Yellow: the "
        f"equivalence margin around the mean of {found.reference}. Arms may overlap and still differ where runs are paired.",
        missing="No run has a finite score.",
    )
    data = _data(found)
    if data.empty:
        return figure
    words = [
        f"{arm.arm}: mean {percent(_mean(arm), by=by)} of {counted(len(arm.trained), 'run')}"
        for arm in found.runs.arms
        if arm.trained
    ]
    chart = _chart(found, style, data)
    return replace(figure, data=data, chart=chart, description="; ".join(words) + ".")


def _mean(arm: ArmRuns) -> float:
    finite = [value for value in arm.finals if math.isfinite(value)]
    return sum(finite) / len(finite)


def _data(found: Judgement) -> Table:
    """A row per run, and one per arm, without a seed, for the mean with its interval."""
    means = {curve.arm: curve.epochs[-1] for curve in found.curves}
    columns = ["arm", "kind", "seed", "score", "low", "high", "words"]
    rows = [
        (arm.arm, "run", arm.seeds[place] if arm.seeds else "", arm.finals[place], None, None, "")
        for arm in found.runs.arms
        for place in arm.trained
    ]
    rows += [
        (arm, "mean", "", e.value, e.low, e.high, percent(e.value, by=found.metric))
        for arm, e in means.items()
    ]
    level = means[found.reference].value if found.reference in means else math.nan
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(down=level - found.margin, up=level + found.margin)


def _chart(found: Judgement, style: Style, data: Table) -> Json:
    arms = Arms.of(found)
    left = 14.0 if style.narrow else max(LEFT, name_width(data["arm"], style, 165))
    width = style.width - left - (28 if style.narrow else NUMBERS)
    names = {
        "title": None, "grid": False, "domain": False, "labelFontSize": 12, "labelLimit": left - 18, "minExtent": left,
    }  # fmt: skip
    y = channel("arm:N", sort=arms.ordered(data["arm"]), axis=None if style.narrow else names)
    shown = [
        *data["score"],
        *data["low"].dropna(),
        *data["high"].dropna(),
        *data["down"],
        *data["up"],
    ]
    low, high = (bound([v for v in shown if math.isfinite(v)]) for bound in (min, max))
    room = 0.05 * (high - low)
    scale = {"domain": [low - room, high + room], "nice": False, "zero": False}
    form = (
        "format(100 * datum.value, '~g') + ' %'"
        if found.metric.percent
        else "format(datum.value, '~g')"
    )
    axis = {"title": found.metric.label, "tickCount": 6, "labelExpr": form}
    place = 0.72 if style.narrow else 0.5
    across = channel("score:Q", scale=scale, axis=axis)
    rows = rows_of().encode(x=across, y={**y, "bandPosition": place})
    tips = tooltips(found.metric, "arm", "seed", score=found.metric.label)
    return {
        **rows,
        "layer": _marks(found, style, arms, tips, place),
        "width": width,
        "height": {"step": (1.7 if style.narrow else 1.25) * ROW},
        "params": [HIDDEN],
    }


def _marks(
    found: Judgement, style: Style, arms: Arms, tips: list[Json], place: float
) -> list[Chart]:
    run, mean = Chart().filter("datum.kind == 'run'"), Chart().filter("datum.kind == 'mean'")
    full = {"y": channel("arm:N", bandPosition=0), "y2": channel("arm", bandPosition=1)}
    band = mean.mark("rect", color=BAND, opacity=0.3, clip=True).encode(
        x="down:Q", x2="up:Q", **full
    )
    dots = run.mark("point", size=48, opacity=0.55, strokeWidth=1.3, filled=False).encode(
        **arms.looks("color", "shape")
    )
    line = mean.mark("rule", strokeWidth=6, opacity=0.4).encode(
        x="low:Q", x2="high:Q", **arms.looks("color")
    )
    tick = mean.mark("tick", thickness=2.4, size=20, color=INK)
    hover = run.mark("point", size=110, opacity=0, filled=True).encode(tooltip=tips)
    if style.narrow:
        words = mean.calculate(both="datum.arm + ' · ' + datum.words")
        text = words.mark("text", align="left", baseline="middle", dy=-20).encode(
            x=0, text="both:N"
        )
    else:
        text = mean.mark("text", align="left", baseline="middle", fontSize=11).encode(
            x={"value": "width"}, text="words:N"
        )
        text = Chart(text, mark={**text["mark"], "dx": 12})
    return [band, line, dots, tick, text, hover]
