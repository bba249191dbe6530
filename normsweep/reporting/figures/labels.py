"""Names at the ends of curves, pushed apart where they would cover one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from normsweep.reporting.figures import vega
from normsweep.reporting.figures.figure import values_of
from normsweep.reporting.figures.theme import INK, Arms, Chart, shown

__all__ = ["EndLabel", "end_labels", "room_for", "spread"]

NAME, NOTE = 12.0, 10.5
"""Sizes of the text in pixels."""
LEAD = 26.0
"""Pixels from the axes to the text."""
WIDEST = 0.62
"""An average letter in bold, as a part of the size of the text."""


@dataclass(frozen=True)
class EndLabel:
    """An arm's name at the height where its curve ends, with a smaller line under it."""

    arm: str
    y: float
    note: str = ""


def room_for(labels: Sequence[EndLabel], width: float) -> float:
    """Pixels to the right of the axes that the labels take, at most two fifths of the figure's width."""
    widths = [
        max(len(label.arm) * NAME * WIDEST, len(label.note) * NOTE * WIDEST) for label in labels
    ]
    return LEAD + min(max(widths, default=0.0), max(0.22 * width, 110.0)) + 4


def end_labels(
    labels: Sequence[EndLabel],
    arms: Arms,
    limits: tuple[float, float],
    size: tuple[float, float],
    room: float,
) -> list[Chart]:
    """The labels to the right of axes.

    Args:
        labels: one an arm.
        arms: their looks.
        limits: the values at the lower and at the upper edge of the axes.
        size: width and height of the axes in pixels.
        room: what `room_for` says.
    """
    base = shown(vega.Chart(values_of(_placed(labels, limits, size[1]))))
    y, width = vega.channel("at:Q", title=None), size[0]
    line = base.encode(color=arms.colour(), strokeDash=arms.dash()).mark(
        "rule", strokeWidth=1.4, clip=False
    )
    text = {"align": "left", "baseline": "middle", "limit": room - LEAD - 2, "clip": False}
    x = vega.value(width + LEAD)
    return [
        line.encode(y=vega.channel("y:Q"), y2="at", x=vega.value(width + 3), x2=vega.value(width + 12)),
        line.encode(y=y, x=vega.value(width + 12), x2=vega.value(width + LEAD - 5)),
        base.filter("!datum.note").mark("text", fontWeight="bold", fontSize=NAME, **text)
        .encode(x=x, y=y, text="arm:N"),
        base.filter("datum.note").mark("text", fontWeight="bold", fontSize=NAME, dy=-6, **text)
        .encode(x=x, y=y, text="arm:N"),
        base.filter("datum.note")
        .mark("text", fontSize=NOTE, dy=7, color=INK, opacity=0.75, **text)
        .encode(x=x, y=y, text="note:N"),
    ]  # fmt: skip


def _placed(labels: Sequence[EndLabel], limits: tuple[float, float], height: float) -> pd.DataFrame:
    """The labels with the values at which they begin and stand."""
    low, high = limits
    per_pixel = (high - low) / height
    bottom, top = min(low, high), max(low, high)
    ends = [min(max(label.y, bottom), top) for label in labels]
    gap = 29.0 if any(label.note for label in labels) else 17.0
    wanted = [(end - low) / per_pixel for end in ends]
    places = [low + at * per_pixel for at in spread(wanted, gap, 8.0, height - 12.0)]
    return pd.DataFrame(
        {
            "arm": [label.arm for label in labels],
            "y": ends,
            "at": places,
            "note": [label.note for label in labels],
        }
    )


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places near the wanted ones, in the same order, at least `gap` apart and within the limits.

    Least squares; where there is not room for all, the gap is what room there is.
    """
    count = len(wanted)
    if count == 0:
        return []
    gap = min(gap, (high - low) / (count - 1)) if count > 1 else gap
    order = sorted(range(count), key=lambda i: wanted[i])
    level = _rising([wanted[i] - rank * gap for rank, i in enumerate(order)])
    top = high - (count - 1) * gap
    placed = [0.0] * count
    for rank, i in enumerate(order):
        placed[i] = min(max(level[rank], low), top) + rank * gap
    return placed


def _rising(values: Sequence[float]) -> list[float]:
    """The nearest non-decreasing values: those that fall are pooled to their mean."""
    pools: list[tuple[float, int]] = []
    for value in values:
        total, count = value, 1
        while pools and pools[-1][0] / pools[-1][1] > total / count:
            before, members = pools.pop()
            total, count = total + before, count + members
        pools.append((total, count))
    return [total / count for total, count in pools for _ in range(count)]
