"""The gaps of all verdicts below one another, with the margin that was declared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from normsweep.analysis.evidence import Evidence
from normsweep.analysis.outcomes import Outcome
from normsweep.analysis.verdicts import Verdict
from normsweep.parts.metrics import Metric
from normsweep.reporting.figures.canvas import beside, new_figure, place
from normsweep.reporting.figures.forest_rows import ROW, ForestGroup, forest_groups, reach
from normsweep.reporting.figures.style import BAND, PAPER, Style, faint, house_style
from normsweep.reporting.figures.text import fitted, inches
from normsweep.reporting.words import between, epoch_words, points

__all__ = ["draw_forest"]

GLYPHS = {Outcome.CATCHES_UP: "✓", Outcome.DOES_NOT: "✕", Outcome.NOT_ENOUGH: "?"}
SHAPES = {Outcome.CATCHES_UP: "o", Outcome.DOES_NOT: "s", Outcome.NOT_ENOUGH: "D"}
DASHES: Any = [(0, (2, 2)), "solid"]
"""Of the margin, and of no gap."""
NUMBERS, LONGER, WORDS = 1.75, 0.45, 1.85
"""Inches at the right for gap and interval, more where they have four decimals, and for the verdict."""


@house_style
def draw_forest(found: Evidence, style: Style) -> Figure | None:
    """A row per verdict: gap, interval (thick), the interval for these images alone (thin), word.

    None where there is no verdict.
    """
    groups = forest_groups(found.verdicts, style.narrow)
    if not groups:
        return None
    rows = [row for group in groups for row in group.rows]
    height = groups[-1].lines[-1] + ROW / 2 + 0.1
    left, right = (0.2, 0.2) if style.narrow else (_names(rows), _numbers(rows[0].metric) + WORDS)
    figure = new_figure(style.width, height + 0.55)
    axes = place(figure, left, 0.0, style.width - left - right, height)
    axes.set(ylim=(height, 0), xlim=reach(rows))
    _draw_axis(axes, rows[0].metric)
    for group in groups:
        title = fitted(group.title, style.width - 0.1, 9, bold=True)
        beside(axes, title, 0, -left, group.y, size=9, weight="bold")
        _draw_margin(axes, group, style)
        _draw_intervals(axes, group, style)
        for row, y in zip(group.rows, group.lines, strict=True):
            _draw_gap(axes, row, y, style.look(row.arm).colour)
            _describe(axes, row, y, style, left, right)
    return figure


def _names(rows: Sequence[Verdict]) -> float:
    return min(max(inches(row.arm, 8.8) for row in rows), 1.7) + 0.3


def _numbers(by: Metric) -> float:
    return NUMBERS if by.percent else NUMBERS + LONGER


def _draw_axis(axes: Axes, by: Metric) -> None:
    axes.spines["left"].set_visible(False)
    axes.set_yticks([])
    axes.grid(False)
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value, by)))
    measured = f"{by.unit} of {by.label}" if by.unit else by.label
    turned = "" if by.sign > 0 else "; better to the right"
    axes.set_xlabel(f"{measured} against the reference{turned}")


def _tick(value: float, by: Metric) -> str:
    shown = by.sign * by.scale * value
    return f"{shown:+g}".replace("-", "−") if round(shown, 6) else "0"


def _draw_margin(axes: Axes, group: ForestGroup, style: Style) -> None:
    """What passes for equal, behind a group's rows; behind each for itself where text is between."""
    half = 0.3 * ROW if style.narrow else 0.5 * ROW
    spans = [(y - half, y + half) for y in group.lines]
    if not style.narrow:
        spans = [(spans[0][0], spans[-1][1])]
    margin = group.rows[0].margin
    for foot, head in spans:
        axes.fill_betweenx(
            (foot, head), -margin, margin, color=BAND, alpha=0.3, linewidth=0, label="_margin",
            zorder=0.5,
        )  # fmt: skip
        axes.vlines(
            (-margin, 0), foot, head, color=faint(0.6), linewidth=0.8, label="_margin", zorder=0.6,
            linestyles=DASHES,
        )  # fmt: skip


def _draw_intervals(axes: Axes, group: ForestGroup, style: Style) -> None:
    """Thick the intervals that decide, thin those for these images alone."""
    rows = group.rows
    for kind, width, opacity, bounds in (
        ("interval", 4.5, 0.45, [row.gap for row in rows]),
        ("seeds", 1.4, 1.0, [row.on_these_images for row in rows]),
    ):
        upward = rows[0].metric.sign * np.array([(e.low, e.high) for e in bounds], dtype=float)
        ends = np.clip(upward, *axes.get_xlim())
        axes.hlines(
            group.lines, ends[:, 0], ends[:, 1], colors=[style.look(row.arm).colour for row in rows],
            linewidth=width, alpha=opacity, label=f"_{kind} {rows[0].question}",
        )  # fmt: skip


def _draw_gap(axes: Axes, row: Verdict, y: float, colour: str) -> None:
    """The gap itself; its shape tells the verdict, an arrow that it lies beyond the axis."""
    if not math.isfinite(row.gap.value):
        return
    low, high = axes.get_xlim()
    gap = row.metric.sign * row.gap.value
    beyond = "<" if gap < low else ">" if gap > high else ""
    hollow = row.undecided and not beyond
    axes.plot(
        [min(max(gap, low), high)], [y], beyond or SHAPES[row.outcome], markersize=6.5,
        markerfacecolor=PAPER if hollow else colour, markeredgewidth=1.5 if hollow else 0.8,
        markeredgecolor=colour if hollow else PAPER, clip_on=False, zorder=4,
        label=f"{row.question} {row.arm}",
    )  # fmt: skip


def _describe(axes: Axes, row: Verdict, y: float, style: Style, left: float, right: float) -> None:
    answer = f"{GLYPHS[row.outcome]} {epoch_words(row)}"
    gap = points(row.gap.value, by=row.metric).partition(" ")[0]
    if style.narrow:
        up = y - ROW + 0.06
        beside(axes, fitted(row.arm, 1.25, 8.8), 0, 0.1 - left, up)
        beside(axes, fitted(f"{gap} · {answer}", 2.5, 8.5), 1, 0.15, up, ha="right", size=8.5)
        return
    interval = (
        f" ({between(row.gap.low, row.gap.high, row.metric)})" if math.isfinite(row.gap.low) else ""
    )
    beside(axes, fitted(row.arm, left - 0.2, 8.8), 0, 0.12 - left, y)
    room = _numbers(row.metric)
    beside(axes, fitted(f"{gap}{interval}", room - 0.15, 8), 1, 0.12, y, size=8)
    beside(axes, fitted(answer, WORDS - 0.05, 8.2), 1, room, y, size=8.2)
