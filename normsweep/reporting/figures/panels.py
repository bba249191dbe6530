"""What the figures of the search share: scores that fit their axis, rates, times, panels in a grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from normsweep.parts.metrics import Metric
from normsweep.reporting.figures import vega
from normsweep.reporting.figures.axes import zoomed
from normsweep.reporting.figures.limits import accuracy_limits, near_the_best
from normsweep.reporting.figures.theme import HIDDEN, PAPER, Arms, Chart, Style, Table, linked

__all__ = [
    "DOT",
    "GAP",
    "LEFT",
    "Limits",
    "arm_legend",
    "grid",
    "log_channel",
    "panel_width",
    "pointed",
    "put_in_view",
    "thinned",
    "time_unit",
    "tooltips",
    "under",
]

Limits = tuple[float, float]
"""The values at the lower and at the upper edge of an axis; better values are above."""

UNIT = 0.002
"""Accuracy whose differences should still be seen."""
LEFT, GAP = 62.0, 22.0
"""Pixels left of the axes, and between neighbouring panels."""
MANY = 1000
"""Trials that a figure draws one by one."""
UNITS = (("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))
DOT: dict[str, Any] = {"filled": True, "opacity": 1, "stroke": PAPER, "strokeWidth": 0.7}
"""Keywords of an arm's marker."""
POWERS = (
    "datum.label == '' ? '' : datum.value >= 1e-4 && datum.value < 1e5 ? format(datum.value, '~f') : "
    "replace(format(datum.value, '~e'), '+', '')"
)
"""The label of a tick on a logarithmic axis; empty where Vega leaves it out."""


def panel_width(style: Style, columns: int, room: float = 0.0) -> float:
    """The width of each panel of a row, with `room` pixels right of the last one."""
    return (style.width - LEFT - room - GAP * (columns - 1)) / columns


def grid(panels: Sequence[Chart], columns: int, **more: Any) -> Chart:
    """The panels in rows of so many, as a whole figure; `more` are its properties."""
    more = {"params": [HIDDEN], **more}
    if columns == 1:
        return vega.vconcat(*panels, **more)
    rows = [panels[i : i + columns] for i in range(0, len(panels), columns)]
    if len(rows) == 1:
        return vega.hconcat(*panels, spacing=GAP, **more)
    return vega.vconcat(*(vega.hconcat(*row, spacing=GAP) for row in rows), **more)


def arm_legend(present: Sequence[str], style: Style) -> vega.Json:
    """The key of the arms, in as many rows as they need."""
    name = min(7.0 * max(map(len, present)), 230) + 32
    return {"values": list(present), "columns": max(1, int(style.width / name))}


def put_in_view(frame: Table, tops: Any, arms: Arms, by: Metric) -> tuple[Table, Limits]:
    """The table with two more columns, and the limits of the axis on which its scores are drawn.

    `drawn` is the score, or the lower edge where it is `below` that. The arms near the best one are
    seen with their `tops`, and half of the scores.
    """
    upward = by.sign * frame["score"]
    best = {str(arm): by.sign * top for arm, top in tops.dropna().items()}
    needed = [*near_the_best(best, arms.reference), upward.median()] if best else []
    low, high = accuracy_limits(upward, np.array(needed) - UNIT, UNIT, by)
    drawn = by.sign * upward.clip(lower=low)
    return frame.assign(below=upward < low, drawn=drawn), (by.sign * low, by.sign * high)


def log_channel(limits: Sequence[float], labels: bool = True) -> dict[str, Any]:
    """Keywords of a logarithmic channel."""
    scale = {"type": "log", "domain": list(limits), "nice": False}
    room: dict[str, Any] = {} if labels else {"minExtent": 0}
    return {"scale": scale, "axis": dict(labelExpr=POWERS, tickCount=4, labels=labels, **room)}


def under(base: Chart) -> Chart:
    """Triangles at the lower edge for what lies below it, so that nothing vanishes silently."""
    return base.filter("datum.below").mark(
        "point", shape="triangle-down", size=55, filled=True, opacity=1, yOffset=-4
    )


def pointed(rows: Chart, tips: list[vega.Json], style: Style, zoom: str = "") -> Chart:
    """What one points at, on top of all marks: what it says, and the way to its run; files are without it.

    `zoom` is a name for the axes that are zoomed there, where they are numbers.
    """
    points = rows.mark("point", size=110, opacity=0, filled=True).encode(tooltip=tips)
    made = linked(points, style)
    return zoomed(made, zoom, style) if zoom else made


def tooltips(by: Metric, **titles: str) -> list[vega.Json]:
    """What one reads when one points at a mark: fields with their names."""
    value = ".2%" if by.percent else ".4f"
    formats = {
        "score": value, "best": value, "low": value, "high": value, "learning_rate": ".3~g",
        "norm": ".3~g", "ended": ".3~g", "seconds": ",.3~r",
    }  # fmt: skip
    return [
        vega.channel(field, title=title, type="quantitative", format=formats[field])
        if field in formats
        else vega.channel(field, title=title, type="nominal")
        for field, title in titles.items()
    ]


def thinned(frame: Table, keep: Any) -> Table:
    """At most about a thousand rows: those to keep, and a random sample of the others, in their order."""
    others = np.flatnonzero(~keep)
    if len(frame) <= MANY or not len(others):
        return frame
    share = min(max(MANY - int(keep.sum()), 0), len(others))
    drawn = np.random.default_rng(0).choice(others, share, replace=False)
    return frame.iloc[np.sort(np.r_[np.flatnonzero(keep), drawn])]


def time_unit(seconds: float) -> tuple[str, float]:
    """The largest unit of which there are at least two, and its seconds."""
    return next((unit for unit in UNITS if seconds >= 2 * unit[1]), UNITS[-1])
