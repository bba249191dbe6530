"""Axes that several figures have: a metric's values, epochs or time; and how one zooms into them."""

from __future__ import annotations

import json
from typing import Any

from normsweep.parts.metrics import Metric
from normsweep.reporting.figures import vega
from normsweep.reporting.figures.theme import INK, Chart, Style

__all__ = [
    "MEASURE",
    "counts",
    "heading",
    "quoted",
    "side_title",
    "value_axis",
    "written",
    "zoomed",
]

MEASURE = vega.param("measure", "score")
"""Whether a score such as the accuracy is shown, or the error (1 minus the score)."""
LACK = "toNumber(replace(datum.label, '%', ''))"


def value_axis(
    field: str, limits: tuple[float, float], by: Metric, error: bool = False, labels: bool = True
) -> Chart:
    """Values of a metric from the lower edge to the upper one, better values above.

    With `error` the parameter `measure` is obeyed. The title is for `side_title`.
    """
    words = "replace(datum.label, '%', ' %')"
    if error:
        lack = f"round(1e4 * (100 - {LACK})) / 1e4 + ' %'"
        words = f"measure == 'error' ? {lack} : {words}"
    percent: dict[str, Any] = {"format": "%", "labelExpr": words} if by.percent else {}
    low, high = min(limits), max(limits)
    return vega.channel(
        f"{field}:Q",
        scale={"domain": [low, high], "reverse": limits[0] > limits[1], "nice": False, "zero": False},
        axis=dict(
            title=None, tickCount=7, labels=labels, minExtent=44 if labels else 0,
            **percent,
        ),
    )  # fmt: skip


def side_title(text: str, height: float, error: str = "") -> Chart:
    """A title left of the axes; `error` is what it says where the measure is the error."""
    words = f"measure == 'error' ? {quoted(error)} : {quoted(text)}" if error else quoted(text)
    return written(vega.expr(words), -54, height / 2, size=11.5, opacity=0.75, angle=270)


def heading(title: str, note: str = "", width: float = 0.0) -> list[Chart]:
    """A title above axes, and a smaller line under it, on `width` pixels at most."""
    limit = {"limit": width} if width else {}
    bold = {"fontWeight": "bold", "align": "left", **limit}
    made = [written(title, 0, -27 if note else -12, size=13, **bold)]
    return made + (
        [written(note, 0, -10, size=11, opacity=0.75, align="left", **limit)] if note else []
    )


def written(text: Any, x: float, y: float, size: float, **more: Any) -> Chart:
    """A text at this place, in pixels from the upper left corner of the axes."""
    return vega.Chart({"values": [{}]}).mark(
        "text", text=text, x=x, y=y, fontSize=size, color=INK, baseline="middle", clip=False, **more
    )


def quoted(text: str) -> str:
    """A text within an expression of Vega's."""
    return json.dumps(text)


def counts(last: int) -> list[int]:
    """Round whole numbers, 1 and `last` among them."""
    step = next((s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500) if last / s <= 8), last)
    ticks = {1, last, *(tick for tick in range(step, last, step) if last - tick >= 0.6 * step)}
    return sorted(ticks)


def zoomed(chart: Chart, name: str, style: Style) -> Chart:
    """The chart with axes that are dragged, and zoomed by the wheel with the Control key.

    On a phone a finger scrolls the page.
    """
    if style.narrow:
        return chart
    return chart.zoomed(name, "wheel![event.ctrlKey]")
