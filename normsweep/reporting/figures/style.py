"""One look for each arm, the same in every figure, and the settings that all figures share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import matplotlib

from normsweep.palette import COLOURS
from normsweep.parts.metrics import ACCURACY, Metric

__all__ = [
    "BAND",
    "INK",
    "NARROW",
    "PAPER",
    "WIDE",
    "Look",
    "Style",
    "crowded",
    "faint",
    "house_style",
]

INK = "#1c2128"
"""Text and lines; follows the theme where a figure stands in a page."""
PAPER = "#ffffff"
"""Behind the ink: the edges of markers."""
BAND = "#f0c800"
"""What passes for equal, in every figure."""
WIDE, NARROW = 9.2, 4.0
"""Widths in inches, for a desk and for a phone."""

MARKERS = ("s", "^", "D", "v", "P", "X", "p")
DASHES: tuple[Any, ...] = ("solid", (0, (5, 1.6)), (0, (1.5, 1.5)))


SINGLY = 500
"""Markers of an arm that a drawing has one by one; more of them are an image within it."""


def crowded(marks: Sized) -> bool:
    """Whether markers are too many to be told apart."""
    return len(marks) > SINGLY


@dataclass(frozen=True)
class Look:
    """How an arm is drawn; widths and sizes in points."""

    colour: str
    marker: str
    dashes: Any
    width: float
    size: float

    @property
    def line(self) -> dict[str, Any]:
        """Keywords of a line with markers."""
        return {
            "color": self.colour,
            "linestyle": self.dashes,
            "linewidth": self.width,
            "solid_capstyle": "round",
            **self.dots,
        }

    @property
    def dots(self) -> dict[str, Any]:
        """Keywords of markers alone."""
        return {
            "marker": self.marker,
            "markersize": self.size,
            "markerfacecolor": self.colour,
            "markeredgecolor": PAPER,
            "markeredgewidth": 0.6,
        }


@dataclass(frozen=True)
class Style:
    """The arms of a study in their order, which one is the reference, and how wide to draw.

    The reference is drawn in ink, round and thick; the others in colours, each with a marker of its
    own, and with dashes once the colours are used up. Up is better in every figure: where lower values
    of the metric are, they are drawn as their negatives, and ticks and labels say what they are.
    """

    arms: tuple[str, ...]
    reference: str
    width: float = WIDE
    metric: Metric = ACCURACY

    @property
    def narrow(self) -> bool:
        """Whether panels stand below one another."""
        return self.width < 6

    def look(self, arm: str) -> Look:
        """How this arm is drawn."""
        if arm == self.reference:
            return Look(INK, "o", "solid", 2.2, 5.5)
        others = [name for name in self.arms if name != self.reference]
        place = others.index(arm) if arm in others else len(others)
        return Look(
            COLOURS[place % len(COLOURS)],
            MARKERS[place % len(MARKERS)],
            DASHES[place // len(COLOURS) % len(DASHES)],
            1.6,
            5.0,
        )

    def back_to_front(self, present: Iterable[object]) -> list[str]:
        """The arms among `present` in the order of drawing: the reference above all others."""
        return sorted(self.ordered(present), key=lambda arm: arm == self.reference)

    def ordered(self, present: Iterable[object]) -> list[str]:
        """The arms among `present`, in the study's order; unknown ones last."""
        names = list(dict.fromkeys(map(str, present)))
        known = [arm for arm in self.arms if arm in names]
        return known + [name for name in names if name not in self.arms]


def faint(opacity: float) -> str:
    """Ink with this opacity, 0 to 1."""
    return f"{INK}{round(255 * opacity):02x}"


SETTINGS: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelcolor": faint(0.75),
    "axes.labelsize": 8.5,
    "axes.edgecolor": faint(0.45),
    "axes.linewidth": 0.8,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": faint(0.13),
    "grid.linewidth": 0.8,
    "xtick.color": faint(0.45),
    "ytick.color": faint(0.45),
    "xtick.labelcolor": faint(0.8),
    "ytick.labelcolor": faint(0.8),
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "ytick.major.size": 0.0,
    "ytick.minor.size": 0.0,
    "xtick.major.size": 3.0,
    "svg.fonttype": "none",
    "svg.hashsalt": "normsweep",
    "path.simplify": True,
}

P = ParamSpec("P")
R = TypeVar("R")


def house_style(function: Callable[P, R]) -> Callable[P, R]:
    """The function under the settings above; those of the caller come back afterwards."""

    @wraps(function)
    def styled(*args: P.args, **kwargs: P.kwargs) -> R:
        with matplotlib.rc_context(SETTINGS):
            return function(*args, **kwargs)

    return styled
