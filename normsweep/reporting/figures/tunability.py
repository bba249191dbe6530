"""How good an arm is after so many trials of its search."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from normsweep.reporting.figures.canvas import epoch_ticks, heading, new_figure, place, value_ticks
from normsweep.reporting.figures.cut import mark_cut
from normsweep.reporting.figures.end_labels import EndLabel, label_ends, room_for
from normsweep.reporting.figures.limits import accuracy_limits, finite, near_the_best
from normsweep.reporting.figures.rows import Rows
from normsweep.reporting.figures.style import Style, house_style
from normsweep.reporting.words import percent

__all__ = ["draw_tunability"]

TITLES = {
    "expected best": "Best of so many random trials, on average",
    "best so far": "Best so far, as the search went",
}
LEFT, UNIT = 0.78, 0.002


@house_style
def draw_tunability(tunability: pd.DataFrame, style: Style) -> Figure | None:
    """The expected best score on validation after k trials, a panel per kind of estimate.

    Columns as in the frame `tunability`; a band is drawn where there is one. None without rows.
    """
    rows = Rows.of(tunability)
    kinds = [kind for kind in TITLES if len(rows) and kind in rows.each("kind")]
    if not kinds:
        return None
    panels = {kind: rows.where("kind", kind) for kind in kinds}
    ends = {kind: _ends(panel, style) for kind, panel in panels.items()}
    room = max(room_for(labels, style) for labels in ends.values())
    figure, places = _layout(len(kinds), style, room)
    for (kind, panel), axes in zip(panels.items(), places, strict=True):
        axes.set_ylim(*_limits(panel, ends[kind], style))
        _draw_panel(axes, panel, style, "steps-post" if kind == "best so far" else "default")
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


def _ends(panel: Rows, style: Style) -> list[EndLabel]:
    labels = []
    for arm in style.ordered(panel.each("arm")):
        known = finite(panel.where("arm", arm).by("trials").numbers("expected"))
        if known.size:
            end, by = float(known[-1]), style.metric
            labels.append(EndLabel(arm, by.sign * end, percent(end, by=by)))
    return labels


def _limits(panel: Rows, ends: Sequence[EndLabel], style: Style) -> tuple[float, float]:
    """What the arms reach is seen, and half of the way there."""
    expected = style.metric.sign * panel.numbers("expected")
    if not ends:
        return accuracy_limits(expected, (), UNIT, style.metric)
    needed = near_the_best({end.arm: end.y for end in ends}, style.reference)
    half = float(np.median(finite(expected)))
    return accuracy_limits(expected, [*needed, half], UNIT, style.metric)


def _draw_panel(axes: Axes, panel: Rows, style: Style, steps: str) -> None:
    sign = style.metric.sign
    last = int(panel.numbers("trials").max())
    for arm in style.back_to_front(panel.each("arm")):
        rows, look = panel.where("arm", arm).by("trials"), style.look(arm)
        k, expected = rows.numbers("trials"), sign * rows.numbers("expected")
        axes.fill_between(
            k, sign * rows.numbers("low"), sign * rows.numbers("high"), color=look.colour, alpha=0.13,
            linewidth=0, label=f"_band {arm}",
        )  # fmt: skip
        every = max(1, len(k) // 8)
        axes.plot(k, expected, **look.line, markevery=every, drawstyle=steps, label=arm)
        mark_cut(axes, k, expected, look.colour, arm)
    axes.set(xlim=(1 - 0.03 * last, 1.03 * last), xlabel="trials of the arm")
    axes.set_ylabel(f"validation {style.metric.label}")
    epoch_ticks(axes, last)
    value_ticks(axes, style.metric)
