"""One look for each arm, the same in every figure, and the style that all figures share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from normsweep.analysis.evidence import Findings
from normsweep.palette import COLOURS
from normsweep.reporting.figures.vega import Json, channel

__all__ = [
    "BAND",
    "CONFIG",
    "CROSS",
    "FAINT",
    "FONT",
    "INK",
    "NARROW",
    "PAPER",
    "WIDE",
    "Arms",
    "Style",
    "Table",
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
CROSS = "M-1,-1L1,1M-1,1L1,-1"
"""The shape of a trial that diverged."""
DASHES = ((1, 0), (7, 2.5), (2, 2))
THICK, THIN = 2.9, 2.1
"""Widths of the reference's line and of the others'."""
PLACES = {"color": 0, "fill": 0, "stroke": 0, "shape": 1, "strokeDash": 2, "strokeWidth": 3}
"""Channels of Vega-Lite, and where their looks are in those of an arm."""
FAINT: Json = {"color": INK, "fontSize": 11, "opacity": 0.8}
"""Keywords of a text beside the marks."""

CONFIG: Json = {
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
    "title": {"anchor": "start", "color": INK, "fontSize": 11.5, "fontWeight": "normal", "offset": 14},
    "header": {
        "labelAnchor": "start", "labelColor": INK, "labelFontSize": 12.5, "labelFontWeight": "bold",
        "title": None,
    },
    "text": {"color": INK, "fontSize": 12},
    "line": {"strokeCap": "round", "strokeJoin": "round"},
}  # fmt: skip
"""Vega-Lite's configuration of every figure."""


Table = Any
"""A data frame or a column of one; pandas has no types of its own that say what a column is."""


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
    def of(cls, found: Findings) -> Arms:
        """The arms of what was found, ones that only its numbers know last."""
        known = dict.fromkeys([*found.names, *(curve.arm for curve in found.curves)])
        return cls(tuple(known), found.reference)

    def ordered(self, present: Iterable[str]) -> list[str]:
        """The arms among `present`, in the study's order."""
        names = set(present)
        return [arm for arm in self.names if arm in names]

    def back_to_front(self, present: Iterable[str]) -> list[str]:
        """The arms among `present` in the order of drawing: the reference above all others."""
        return sorted(self.ordered(present), key=lambda arm: arm == self.reference)

    def look(self, arm: str) -> tuple[str, str, tuple[float, float], float]:
        """Colour, shape and dashes of an arm, and the width of its lines."""
        if arm == self.reference:
            return INK, "circle", DASHES[0], THICK
        place = [name for name in self.names if name != self.reference].index(arm)
        dashes = DASHES[place // len(COLOURS) % len(DASHES)]
        return COLOURS[place % len(COLOURS)], SHAPES[place % len(SHAPES)], dashes, THIN

    def looks(self, *channels: str, legend: Json | None = None) -> Json:
        """The arm as these channels."""
        names = list(self.names)
        made: Json = {}
        for each in channels:
            scale: Json = {
                "domain": names,
                "range": [self.look(arm)[PLACES[each]] for arm in names],
            }
            kind = {"type": "ordinal"} if each == "strokeWidth" else {}
            made[each] = channel("arm:N", sort=names, scale=scale | kind, legend=legend)
        return made
