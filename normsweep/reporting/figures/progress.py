"""The search as it went: each arm's trials over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from normsweep.analysis.evidence import Evidence
from normsweep.analysis.trials import Progress, progress
from normsweep.reporting.figures.canvas import beside, new_figure, place
from normsweep.reporting.figures.limits import finite
from normsweep.reporting.figures.style import Style, crowded, faint, house_style
from normsweep.reporting.figures.text import fitted, inches
from normsweep.reporting.words import percent
from normsweep.text import counted

__all__ = ["draw_progress"]

UNITS = (("hours", 1), ("minutes", 60), ("seconds", 3600))
LINE, NOTE = 0.34, 1.75
"""Inches: an arm's row, and the note at its right."""


@house_style
def draw_progress(found: Evidence, style: Style) -> Figure | None:
    """A row per arm, a mark per trial when it ended; large where it was the arm's best so far.

    None where no trial has ended.
    """
    steps = progress(found.record.searched)
    if not steps:
        return None
    arms = style.ordered(step.arm for step in steps)
    left = min(max(inches(arm, 8.8) for arm in arms), 1.1 if style.narrow else 1.8) + 0.25
    axes = _layout(style, len(arms), left)
    last = max(*(step.hours for step in steps), 1e-6)
    axes.set(xlim=(-0.02 * last, 1.02 * last), ylim=(len(arms) - 0.5, -0.5), yticks=[])
    for y, arm in enumerate(arms):
        of_arm = [step for step in steps if step.arm == arm]
        _draw_arm(axes, of_arm, arm, y, style)
        beside(axes, fitted(arm, left - 0.2, 8.8), 0, -0.14, y, ha="right")
        _describe(axes, of_arm, y, style)
    unit = _time_ticks(axes, last)
    axes.set_xlabel(f"{unit} since the search began; large: best so far")
    return axes.figure.figure


def _layout(style: Style, count: int, left: float) -> Axes:
    line = LINE + 0.18 * style.narrow
    right = 0.2 if style.narrow else NOTE
    figure = new_figure(style.width, line * count + 0.65)
    axes = place(figure, left, 0.12, style.width - left - right, line * count)
    axes.grid(False)
    axes.spines["left"].set_visible(False)
    return axes


def _time_ticks(axes: Axes, last: float) -> str:
    """Ticks at round hours, minutes or seconds; the unit's name."""
    name, share = next(u for u in UNITS if last * u[1] >= 2 or u is UNITS[-1])
    marks = [mark for mark in MaxNLocator(7).tick_values(0, last * share) if mark <= last * share]
    axes.set_xticks([mark / share for mark in marks], [f"{mark:g}" for mark in marks])
    return name


def _draw_arm(axes: Axes, steps: Sequence[Progress], arm: str, y: int, style: Style) -> None:
    look, hours = style.look(arm), np.array([step.hours for step in steps])
    new = _records(style.metric.sign * np.array([step.score for step in steps], dtype=float))
    axes.axhline(y, color=faint(0.13), linewidth=0.8, label="_row", zorder=0.5)
    axes.plot(
        hours, np.full(len(hours), y), "|", color=look.colour, markersize=8, markeredgewidth=1.2,
        alpha=0.7, label=arm, rasterized=crowded(hours),
    )  # fmt: skip
    large: dict[str, Any] = look.dots | {"markersize": 7.5, "linestyle": "none"}
    axes.plot(hours[new], np.full(new.sum(), y), label=f"_best {arm}", **large)


def _records(scores: np.ndarray) -> np.ndarray:
    """Where a score is better than all before it."""
    known = np.where(np.isnan(scores), -np.inf, scores)
    before = np.r_[-np.inf, np.maximum.accumulate(known)[:-1]]
    return known > before


def _describe(axes: Axes, steps: Sequence[Progress], y: int, style: Style) -> None:
    by, best = style.metric, finite(step.best for step in steps)
    note = counted(steps[-1].done, "trial")
    if best.size:
        note += f", best {percent(by.sign * float((by.sign * best).max()), 1, by)}"
    if style.narrow:
        beside(axes, note, 1, 0.0, y, down=0.18, ha="right", size=8.2, color=faint(0.8))
    else:
        beside(axes, note, 1, 0.14, y, size=8.2, color=faint(0.8))
