"""Names at the ends of curves, pushed apart where they would cover one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike

from normsweep.reporting.figures.limits import Limits
from normsweep.reporting.figures.panels import rows_of
from normsweep.reporting.figures.theme import FAINT, Arms
from normsweep.reporting.figures.vega import Chart

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
    widths = [WIDEST * max(len(label.arm) * NAME, len(label.note) * NOTE) for label in labels]
    return LEAD + min(max(widths, default=0.0), max(0.22 * width, 110.0)) + 4


def end_labels(
    labels: Sequence[EndLabel], arms: Arms, limits: Limits, size: tuple[float, float], room: float
) -> list[Chart]:
    """The labels to the right of axes.

    Args:
        labels: one an arm.
        arms: their looks.
        limits: the values at the lower and at the upper edge of the axes.
        size: width and height of the axes in pixels.
        room: what `room_for` says.
    """
    (low, high), (width, height) = limits, size
    ends = np.array([label.y for label in labels]).clip(min(limits), max(limits))
    gap = 29.0 if any(label.note for label in labels) else 17.0
    wanted = (ends - low) / (high - low) * height
    places = low + (high - low) / height * np.array(spread(wanted, gap, 8.0, height - 12.0))
    rows = [
        {**asdict(label), "y": float(end), "at": float(at), "dy": -6 * bool(label.note)}
        for label, end, at in zip(labels, ends, places, strict=True)
    ]
    base = Chart(data={"values": rows}, **rows_of()).encode(y="at:Q")
    line = base.mark("rule", strokeWidth=1.4, clip=False).encode(
        **arms.looks("color", "strokeDash")
    )
    limit = {"align": "left", "baseline": "middle", "limit": room - LEAD - 2, "clip": False}
    name, note = (base.encode(x=width + LEAD, text=of) for of in ("arm:N", "note:N"))
    return [
        line.encode(y="y:Q", y2="at", x=width + 3, x2=width + 12),
        line.encode(x=width + 12, x2=width + LEAD - 5),
        name.mark("text", dy={"expr": "datum.dy"}, fontWeight="bold", fontSize=NAME, **limit),
        note.mark("text", dy=7, **FAINT | limit),
    ]


def spread(wanted: ArrayLike, gap: float, low: float, high: float) -> list[float]:
    """Places near the wanted ones, in the same order, at least `gap` apart and within the limits.

    Least squares; where there is not room for all, the gap is what room there is.
    """
    places = np.asarray(wanted, dtype=float)
    ranks, count = np.argsort(places, kind="stable"), len(places)
    steps = np.arange(count) * min(gap, (high - low) / max(count - 1, 1))
    level = _rising((places[ranks] - steps).tolist())
    placed = np.clip(level, low, high - steps[-1:]) + steps
    return placed[np.argsort(ranks)].tolist()


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
