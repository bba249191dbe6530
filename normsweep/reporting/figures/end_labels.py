"""Names at the ends of curves, pushed apart where they would cover one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from normsweep.reporting.figures.canvas import height_of, width_of
from normsweep.reporting.figures.style import Style, faint
from normsweep.reporting.figures.text import fitted, inches, spread

__all__ = ["EndLabel", "label_ends", "room_for"]

NAME, NOTE = 9.0, 7.6
LEAD, GAP, EDGE = 0.2, 0.07, 0.08
"""Inches that the leader takes, between it and the text, and to the right of the text."""


@dataclass(frozen=True)
class EndLabel:
    """An arm's name at the height where its curve ends, with a smaller line under it."""

    arm: str
    y: float
    note: str = ""


def room_for(labels: Sequence[EndLabel], style: Style) -> float:
    """Inches to the right of the axes that the labels take, at most two fifths of the figure."""
    widths = [max(inches(label.arm, NAME, bold=True), inches(label.note, NOTE)) for label in labels]
    most = 1.85 if style.narrow else 1.9
    return min(max(widths, default=0.0) + LEAD + GAP, most) + EDGE


def label_ends(axes: Axes, labels: Sequence[EndLabel], style: Style, room: float) -> None:
    """Write the labels to the right of the axes, whose limits have to be set already."""
    height = height_of(axes)
    low, high = axes.get_ylim()
    wanted = [float(np.clip((label.y - low) / (high - low), 0.0, 1.0)) for label in labels]
    noted = any(label.note for label in labels)
    gap = (0.31 if noted else 0.19) / height
    places = spread(wanted, gap, 0.06 / height, 1 - 0.08 / height)
    for label, start, at in zip(labels, wanted, places, strict=True):
        _label(axes, label, style, start, at, room - LEAD - GAP - EDGE)


def _label(
    axes: Axes, label: EndLabel, style: Style, start: float, at: float, space: float
) -> None:
    look = style.look(label.arm)
    inch = 1 / width_of(axes)
    axes.plot(
        (1 + 0.02 * inch, 1 + 0.09 * inch, 1 + LEAD * inch), (start, at, at),
        transform=axes.transAxes, clip_on=False, color=look.colour, linewidth=1.1,
        linestyle=look.dashes, label="_leader",
    )  # fmt: skip
    x = 1 + (LEAD + GAP) * inch
    up = 0.064 / height_of(axes) if label.note else 0.0
    write = {"transform": axes.transAxes, "va": "center_baseline"}
    name = fitted(label.arm, space, NAME, bold=True)
    axes.text(x, at + up, name, weight="bold", size=NAME, **write)
    if label.note:
        note, below = fitted(label.note, space, NOTE), 0.089 / height_of(axes)
        axes.text(x, at - below, note, size=NOTE, color=faint(0.75), **write)
