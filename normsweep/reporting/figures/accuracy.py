"""The metric on the test images against epochs, with the epoch from which an arm keeps up with the reference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from normsweep.analysis.evidence import Evidence
from normsweep.analysis.verdicts import Verdict
from normsweep.reporting.figures.accuracy_panels import AccuracyPanel, Line, accuracy_panels
from normsweep.reporting.figures.canvas import epoch_ticks, heading, new_figure, place, value_ticks
from normsweep.reporting.figures.cut import mark_cut
from normsweep.reporting.figures.end_labels import EndLabel, label_ends, room_for
from normsweep.reporting.figures.limits import accuracy_limits
from normsweep.reporting.figures.style import BAND, INK, PAPER, Style, faint, house_style
from normsweep.reporting.words import epoch_words, percent

__all__ = ["draw_accuracy"]


@house_style
def draw_accuracy(found: Evidence, style: Style) -> Figure | None:
    """The metric against epochs, a panel for the baseline settings and one for the tuned ones.

    None where there is no curve.
    """
    panels = accuracy_panels(found, style)
    if not panels:
        return None
    limits = _limits(panels, style)
    labels = [_end_labels(panel, limits[0], style) for panel in panels]
    room = max(room_for(each, style) for each in labels)
    figure, places = _layout(panels, style, room)
    for number, (panel, axes, ends) in enumerate(zip(panels, places, labels, strict=True)):
        axes.set_ylim(*limits)
        _draw_panel(axes, panel, style)
        label_ends(axes, ends, style, room)
        heading(axes, panel.title, panel.note, room - 0.1)
        if number and not style.narrow:
            axes.tick_params(labelleft=False)
        else:
            axes.set_ylabel(f"{style.metric.label} on the test images")
    return figure


def _layout(
    panels: Sequence[AccuracyPanel], style: Style, room: float
) -> tuple[Figure, list[Axes]]:
    left, count = 0.78, len(panels)
    if style.narrow:
        height, step = 2.55, 3.45
        figure = new_figure(style.width, step * count)
        width = style.width - left - room
        return figure, [place(figure, left, 0.5 + i * step, width, height) for i in range(count)]
    figure = new_figure(style.width, 4.3)
    gap = 0.22
    width = (style.width - left - (count - 1) * gap) / count - room
    steps = [left + i * (width + room + gap) for i in range(count)]
    return figure, [place(figure, step, 0.5, width, 3.28) for step in steps]


def _limits(panels: Sequence[AccuracyPanel], style: Style) -> tuple[float, float]:
    """The same for all panels: the reference from its second epoch on is seen, its band too."""
    every = [
        values for panel in panels for c in panel.curves for values in (c.level, c.low, c.high)
    ]
    needed = [c.level[1:] for c in (panel.reference(style) for panel in panels) if c]
    margin = max(panel.margin for panel in panels)
    must = np.concatenate(needed) - margin if needed else np.array([])
    return accuracy_limits(np.concatenate(every), must, margin, style.metric)


def _draw_panel(axes: Axes, panel: AccuracyPanel, style: Style) -> None:
    last = max(int(curve.epoch.max()) for curve in panel.curves)
    _draw_margin(axes, panel, style, last)
    opacity = 0.16 if len(panel.curves) <= 4 else 0.09
    for curve in sorted(panel.curves, key=lambda c: c.arm == style.reference):
        look = style.look(curve.arm)
        _draw_interval(axes, curve, look.colour, opacity)
        every = max(1, len(curve.epoch) // 10)
        axes.plot(curve.epoch, curve.level, **look.line, markevery=every, label=curve.arm)
        _mark_parity(axes, curve, panel.answers.get(curve.arm), look.colour)
        mark_cut(axes, curve.epoch, curve.level, look.colour, curve.arm)
    axes.set_xlim(1 - 0.04 * last, last + 0.04 * max(last - 1, 1))
    axes.set_xlabel("epochs trained")
    epoch_ticks(axes, last)
    value_ticks(axes, style.metric)


def _draw_margin(axes: Axes, panel: AccuracyPanel, style: Style, last: int) -> None:
    reference = panel.reference(style)
    if not panel.answers or reference is None:
        return
    if panel.level is None:
        x, middle = reference.epoch, reference.level
    else:
        x, middle = np.array([1 - last, 2 * last]), np.full(2, panel.level)
    axes.fill_between(
        x, middle - panel.margin, middle + panel.margin, color=BAND, alpha=0.3, linewidth=0,
        label="_margin", zorder=0.6,
    )  # fmt: skip
    axes.plot(x, middle - panel.margin, color=faint(0.6), linewidth=0.8, linestyle=(0, (2, 2)),
              label="_margin", zorder=0.7)  # fmt: skip
    if panel.level is not None and panel.stop is not None:
        axes.plot([panel.stop], [panel.level], "o", markersize=11, markerfacecolor=PAPER,
                  markeredgecolor=INK, label="_stop", zorder=1.9)  # fmt: skip


def _draw_interval(axes: Axes, curve: Line, colour: str, opacity: float) -> None:
    if len(curve.epoch) == 1:
        axes.vlines(curve.epoch, curve.low, curve.high, color=colour, linewidth=1.2, alpha=0.6)
    else:
        axes.fill_between(
            curve.epoch, curve.low, curve.high, color=colour, alpha=opacity, linewidth=0,
            label=f"_interval {curve.arm}",
        )  # fmt: skip


def _mark_parity(axes: Axes, curve: Line, answer: Verdict | None, colour: str) -> None:
    """A ring where the arm begins to keep up."""
    if answer is None or answer.epoch is None or not answer.catches_up:
        return
    height = curve.level[curve.epoch == answer.epoch]
    if height.size:
        axes.plot(
            [answer.epoch], height[:1], "o", markersize=12, markerfacecolor="none",
            markeredgecolor=colour, markeredgewidth=1.6, label=f"_parity {curve.arm}", zorder=4,
        )  # fmt: skip


def _end_labels(panel: AccuracyPanel, bottom: float, style: Style) -> list[EndLabel]:
    return [
        EndLabel(curve.arm, float(curve.level[-1]), _note(panel, curve, bottom, style))
        for curve in panel.curves
        if np.isfinite(curve.level[-1])
    ]


def _note(panel: AccuracyPanel, curve: Line, bottom: float, style: Style) -> str:
    if curve.level[-1] < bottom:
        by = style.metric
        return f"▾ ends at {percent(by.sign * float(curve.level[-1]), 1, by)}"
    if curve.arm == style.reference:
        return "the reference"
    answer = panel.answers.get(curve.arm)
    return epoch_words(answer) if answer else ""
