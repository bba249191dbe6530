"""What the network is given and how it begins: input, first loss, dead ReLUs, arm by arm."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from normsweep.analysis.evidence import Evidence
from normsweep.reporting.figures.canvas import beside, heading, new_figure, place
from normsweep.reporting.figures.measures import Measure, measures
from normsweep.reporting.figures.style import PAPER, Style, faint, house_style
from normsweep.reporting.figures.text import fitted, inches

__all__ = ["draw_inputs"]

LINE, TOP, TITLE = 0.36, 0.7, 0.5
"""Inches: an arm's row, above the first panel, between panels that stand below one another."""


@house_style
def draw_inputs(found: Evidence, style: Style) -> Figure | None:
    """Small panels side by side, an arm per row: filled at the start, hollow after an epoch.

    None where nothing was measured.
    """
    diagnoses = found.diagnoses
    classes = found.record.data.classes if found.record.data else 0
    shown = measures(diagnoses, classes) if diagnoses else []
    if not shown:
        return None
    arms = style.ordered(diagnoses)
    names = min(max(inches(arm, 8.8) for arm in arms), 1.3 if style.narrow else 1.6) + 0.3
    figure, places = _layout(style, len(arms), len(shown), names)
    for number, (measure, axes) in enumerate(zip(shown, places, strict=True)):
        _draw_measure(axes, measure, arms, style)
        heading(axes, measure.title, size=8.8)
        if style.narrow or not number:
            for y, arm in enumerate(arms):
                beside(axes, fitted(arm, names - 0.25, 8.8), 0, -0.16, y, ha="right")
    stages = dict.fromkeys(name for each in diagnoses.values() for name in each.stages)
    _stage_key(figure, list(stages), any(measure.guide for measure in shown))
    return figure


def _layout(style: Style, arms: int, count: int, left: float) -> tuple[Figure, list[Axes]]:
    columns = 1 if style.narrow else count
    height, gap = LINE * arms, 0.26
    figure = new_figure(style.width, TOP - 0.35 + (height + TITLE) * -(-count // columns))
    width = (style.width - left - 0.12 - gap * (columns - 1)) / columns
    places = []
    for i in range(count):
        down, across = divmod(i, columns)
        x, y = left + across * (width + gap), TOP + down * (height + TITLE)
        places.append(place(figure, x, y, width, height))
    return figure, places


def _draw_measure(axes: Axes, measure: Measure, arms: Sequence[str], style: Style) -> None:
    low, high = measure.reach
    rows = range(len(arms))
    axes.set(ylim=(len(arms) - 0.5, -0.5), xscale="log" if measure.log else "linear")
    axes.set(xlim=(low, high), yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.xaxis.set_major_locator(NullLocator())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.hlines(rows, low, high, color=faint(0.13), linewidth=0.8, label="_row")
    if measure.guide is not None:
        feet, heads = [y - 0.14 for y in rows], [y + 0.14 for y in rows]
        at = [measure.guide] * len(arms)
        axes.vlines(at, feet, heads, color=faint(0.8), linewidth=1.2, label="_guide")
    for y, arm in enumerate(arms):
        _draw_arm(axes, measure, arm, y, style)


def _draw_arm(axes: Axes, measure: Measure, arm: str, y: int, style: Style) -> None:
    look, found = style.look(arm), measure.of(arm)
    low, high = axes.get_xlim()
    for number, value in reversed(list(enumerate(found))):
        x = min(max(value, low), high) if math.isfinite(value) else high
        first = number == 0
        axes.plot(
            [x], [y], look.marker, markersize=6.5, clip_on=False, zorder=4 - number,
            markerfacecolor=look.colour if first else PAPER,
            markeredgecolor=PAPER if first else look.colour,
            markeredgewidth=0.6 if first else 1.4, label=arm if first else f"_later {arm}",
        )  # fmt: skip
    text = " → ".join(measure.written(value) for value in found)
    beside(axes, text, 1, 0.0, y, down=-0.12, ha="right", size=7.6, color=faint(0.85))


def _stage_key(figure: Figure, present: Sequence[str], guided: bool) -> None:
    marks = dict(zip(present, ("●", "○"), strict=False))
    parts = [
        f"{mark} {stage if stage.startswith('after') else f'at {stage}'}"
        for stage, mark in marks.items()
    ]
    parts += ["| guessing"] if guided else []
    width, height = (float(inch) for inch in figure.get_size_inches())
    figure.text(
        0.1 / width,
        1 - 0.17 / height,
        "\u2003".join(parts),
        size=8.2,
        color=faint(0.8),
        va="center",
    )
