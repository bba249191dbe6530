"""One look for each arm, the same in every figure, and the style that all figures share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import altair as alt
import pandas as pd

from normsweep.analysis.evidence import Evidence
from normsweep.palette import COLOURS
from normsweep.parts.metrics import Metric

__all__ = [
    "BAND",
    "CONFIG",
    "FONT",
    "HIDDEN",
    "INK",
    "NARROW",
    "PAPER",
    "WIDE",
    "Arms",
    "Chart",
    "Style",
    "Table",
    "interval_words",
    "linked",
    "shown",
    "value_words",
    "with_links",
]

INK = "#1c2128"
"""Text and lines; the page's text colour where a figure stands in a page. Fainter ink is a matter of
opacity, never another colour."""
PAPER = "#ffffff"
"""Behind the ink: the edges of markers."""
BAND = "#f0c800"
"""What passes for equal, in every figure."""
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
"""The first one comes with vl-convert, so that files are the same on every machine."""
WIDE, NARROW = 880.0, 340.0
"""Widths in pixels, for a desk and for a phone."""

SHAPES = (
    "square",
    "triangle-up",
    "diamond",
    "triangle-down",
    "M-.35,-1h.7v.65h.65v.7h-.65v.65h-.7v-.65h-.65v-.7h.65z",
    "M-1,-.55L-.55,-1L0,-.45L.55,-1L1,-.55L.45,0L1,.55L.55,1L0,.45L-.55,1L-1,.55L-.45,0Z",
    "M0,-1L.95,-.31L.59,.81L-.59,.81L-.95,-.31Z",
)
"""Vega's names, then a plus, a cross and a pentagon as paths."""
DASHES = ((1, 0), (7, 2.5), (2, 2))

CONFIG: dict[str, Any] = {
    "background": None,
    "font": FONT,
    "padding": 4,
    "view": {"stroke": None},
    "concat": {"spacing": 18},
    "axis": {
        "domainColor": INK, "domainOpacity": 0.45, "tickColor": INK, "tickOpacity": 0.45,
        "tickSize": 4, "gridColor": INK, "gridOpacity": 0.13, "labelColor": INK, "labelOpacity": 0.8,
        "labelFontSize": 11.5, "titleColor": INK, "titleOpacity": 0.75, "titleFontSize": 11.5,
        "titleFontWeight": "normal", "titlePadding": 8, "labelPadding": 4,
    },
    "axisX": {"grid": False},
    "axisY": {"ticks": False, "grid": True, "labelPadding": 6},
    "legend": {
        "labelColor": INK, "labelFontSize": 12, "labelLimit": 230, "titleColor": INK, "orient": "top",
        "title": None, "symbolSize": 60,
    },
    "text": {"color": INK, "fontSize": 12},
    "line": {"strokeCap": "round", "strokeJoin": "round"},
}  # fmt: skip
"""Vega-Lite's configuration of every figure."""


@dataclass(frozen=True)
class Style:
    """How wide a figure is in pixels, and what else the same numbers may be drawn with."""

    width: float = WIDE
    linear: bool = False
    """Learning rates on a linear axis in place of a logarithmic one."""
    links: Mapping[int, str] = field(default_factory=dict)
    """By the trial's number, the address of its run in MLflow, where it is known."""

    @property
    def narrow(self) -> bool:
        """Whether panels stand below one another."""
        return self.width < 560


@dataclass(frozen=True)
class Arms:
    """The arms of a study in their order, and the look of each.

    The reference is drawn in ink, round and thick; the others in colours, each with a shape of its
    own, and with dashes once the colours are used up.
    """

    names: tuple[str, ...]
    reference: str

    @classmethod
    def of(cls, found: Evidence) -> Arms:
        """The arms of what was found, ones that only its numbers know last."""
        known = dict.fromkeys([*found.record.arms, *(curve.arm for curve in found.curves)])
        return cls(tuple(known), found.reference)

    def ordered(self, present: Iterable[str]) -> list[str]:
        """The arms among `present`, in the study's order."""
        names = set(present)
        return [arm for arm in self.names if arm in names]

    def back_to_front(self, present: Iterable[str]) -> list[str]:
        """The arms among `present` in the order of drawing: the reference above all others."""
        return sorted(self.ordered(present), key=lambda arm: arm == self.reference)

    def look(self, arm: str) -> tuple[str, str, tuple[float, float]]:
        """Colour, shape and dashes of an arm."""
        if arm == self.reference:
            return INK, "circle", DASHES[0]
        place = [name for name in self.names if name != self.reference].index(arm)
        dashes = DASHES[place // len(COLOURS) % len(DASHES)]
        return COLOURS[place % len(COLOURS)], SHAPES[place % len(SHAPES)], dashes

    def colour(self, **more: Any) -> alt.Color:
        """The arm as a colour."""
        return alt.Color("arm:N", scale=self._scale(0), **{"legend": None, **more})

    def shape(self, **more: Any) -> alt.Shape:
        """The arm as a marker's shape."""
        return alt.Shape("arm:N", scale=self._scale(1), **{"legend": None, **more})

    def dash(self, **more: Any) -> alt.StrokeDash:
        """The arm as dashes of a line."""
        return alt.StrokeDash("arm:N", scale=self._scale(2), **{"legend": None, **more})

    def width(self, thick: float = 2.9, thin: float = 2.1, **more: Any) -> alt.StrokeWidth:
        """A line's width: the reference's is thick."""
        widths = [thick if arm == self.reference else thin for arm in self.names]
        scale = alt.Scale(type="ordinal", domain=list(self.names), range=widths)
        order = list(self.names)  # Vega-Lite warns of widths without one
        return alt.StrokeWidth("arm:N", sort=order, scale=scale, **{"legend": None, **more})

    def _scale(self, part: int) -> alt.Scale:
        looks = [self.look(arm)[part] for arm in self.names]
        return alt.Scale(domain=list(self.names), range=looks)


Table = Any
"""A data frame; pandas has no types of its own that say what a column is."""

Chart = Any
"""A part of a chart: altair gives each kind of part a type of its own, and what becomes of it a union."""

HIDDEN = alt.param(name="hidden", value=[])
"""Names of arms that are not drawn."""


def shown(chart: Chart) -> Chart:
    """The chart without the arms that the reader of a page has hidden."""
    return chart.transform_filter("indexof(hidden, datum.arm) < 0")


def with_links(data: pd.DataFrame, style: Style) -> pd.DataFrame:
    """The table with the address of each trial's run as `url`, where any is known."""
    if not style.links:
        return data
    return data.assign(url=[style.links.get(trial, "") for trial in data["trial"]])


def linked(chart: Chart, style: Style) -> Chart:
    """The chart whose marks lead to their runs, where the table has addresses."""
    if not style.links:
        return chart
    return chart.encode(href="url:N")


def value_words(field: str, by: Metric, decimals: int = 2) -> str:
    """A value of a metric as it is written, as an expression of Vega's: `98.62 %` or `0.0431`."""
    if by.percent:
        return f"format(100 * ({field}), '.{decimals}f') + ' %'"
    return f"format({field}, '.{decimals + 2}f')"


def interval_words(low: str, high: str, by: Metric) -> str:
    """An interval of a metric's values as it is written, as an expression of Vega's."""
    words = f"{value_words(low, by)} + ' to ' + {value_words(high, by)}"
    return f"isValid({low}) ? {words} : '—'"
