"""How good an arm is after so many trials of its search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from normsweep.analysis.evidence import Evidence
from normsweep.analysis.trials import TuningCurve
from normsweep.reporting.figures.canvas import epoch_ticks, heading, new_figure, place, value_ticks
from normsweep.reporting.figures.cut import mark_cut
from normsweep.reporting.figures.end_labels import EndLabel, label_ends, room_for
from normsweep.reporting.figures.limits import accuracy_limits, finite, near_the_best
from normsweep.reporting.figures.style import Style, house_style
from normsweep.reporting.words import percent

__all__ = ["draw_tunability"]

TITLES = {
    "expected best": "Best of so many random trials, on average",
    "best so far": "Best so far, as the search went",
}
LEFT, UNIT = 0.78, 0.002


@house_style
def draw_tunability(found: Evidence, style: Style) -> Figure | None:
    """The expected best score on validation after k trials, a panel per kind of estimate.

    Returns None without curves. Bands are drawn for the curves that have them.
    """
    panels = {
        kind: {curve.arm: curve for curve in found.tuning if curve.kind == kind} for kind in TITLES
    }
    panels = {kind: curves for kind, curves in panels.items() if curves}
    if not panels:
        return None
    ends = {kind: _ends(curves, style) for kind, curves in panels.items()}
    room = max(room_for(labels, style) for labels in ends.values())
    figure, places = _layout(len(panels), style, room)
    for (kind, curves), axes in zip(panels.items(), places, strict=True):
        axes.set_ylim(*_limits(curves, ends[kind], style))
        _draw_panel(axes, curves, style, "steps-post" if kind == "best so far" else "default")
        label_ends(axes, ends[kind], style, room)
        heading(axes, TITLES[kind], room=room - 0.1)
    return figure


def _layout(count: int, style: Style, room: float) -> tuple[Figure, list[Axes]]:
    if style.narrow:
        figure = new_figure(style.width, 3.05 * count)
        width = style.width - LEFT - room
        return figure, [place(figure, LEFT, 0.35 + 3.05 * i, width, 2.15) for i in range(count)]
    figure = new_figure(style.width, 3.55)
    width = style.width / count - LEFT - room
    lefts = [LEFT + i * style.width / count for i in range(count)]
    return figure, [place(figure, left, 0.35, width, 2.7) for left in lefts]


def _ends(curves: Mapping[str, TuningCurve], style: Style) -> list[EndLabel]:
    labels = []
    for arm in style.ordered(curves):
        known = finite(curves[arm].scores)
        if known.size:
            end, by = float(known[-1]), style.metric
            labels.append(EndLabel(arm, by.sign * end, percent(end, by=by)))
    return labels


def _limits(
    curves: Mapping[str, TuningCurve], ends: Sequence[EndLabel], style: Style
) -> tuple[float, float]:
    """What the arms reach is seen, and half of the way there."""
    every = [score for curve in curves.values() for score in curve.scores]
    scores = style.metric.sign * np.array(every, dtype=float)
    if not ends:
        return accuracy_limits(scores, (), UNIT, style.metric)
    needed = near_the_best({end.arm: end.y for end in ends}, style.reference)
    half = float(np.median(finite(scores)))
    return accuracy_limits(scores, [*needed, half], UNIT, style.metric)


def _draw_panel(axes: Axes, curves: Mapping[str, TuningCurve], style: Style, steps: str) -> None:
    last = max(len(curve.scores) for curve in curves.values())
    for arm in style.back_to_front(curves):
        curve, look = curves[arm], style.look(arm)
        bounds = np.array([curve.scores, curve.low, curve.high], dtype=float)
        scores, low, high = style.metric.sign * bounds
        k = np.arange(1, len(scores) + 1)
        axes.fill_between(
            k, low, high, color=look.colour, alpha=0.13, linewidth=0, label=f"_band {arm}"
        )
        every = max(1, len(k) // 8)
        axes.plot(k, scores, **look.line, markevery=every, drawstyle=steps, label=arm)
        mark_cut(axes, k, scores, look.colour, arm)
    axes.set(xlim=(1 - 0.03 * last, 1.03 * last), xlabel="trials of the arm")
    axes.set_ylabel(f"validation {style.metric.label}")
    epoch_ticks(axes, last)
    value_ticks(axes, style.metric)
