"""The score on validation of the search's trials against their learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from normsweep.analysis.evidence import Evidence
from normsweep.analysis.trials import scored
from normsweep.parts.metrics import Metric
from normsweep.reporting.figures.canvas import (
    columns_of,
    heading,
    height_of,
    log_ticks,
    new_figure,
    place,
    value_ticks,
)
from normsweep.reporting.figures.key import ROW, arm_key, key_rows
from normsweep.reporting.figures.limits import accuracy_limits, finite, near_the_best
from normsweep.reporting.figures.style import Style, crowded, faint, house_style
from normsweep.sweep.trial import Result, Status, Trial

__all__ = ["draw_learning_rate"]

LEFT, GAP, BELOW = 0.78, 0.2, 0.72
"""Inches: left of the panels, between them, and from a panel's foot to the next one's top."""
UNIT = 0.002
"""Accuracy whose differences should still be seen."""


Pairs = Sequence[tuple[Trial, Result]]


@house_style
def draw_learning_rate(found: Evidence, style: Style) -> Figure | None:
    """A panel per optimizer, a mark per trial; diverged trials are crosses at the bottom.

    None where there is no trial.
    """
    trials = [pair for pair in scored(found.record.searched) if pair[0].learning_rate > 0]
    if not trials:
        return None
    optimizers = list(dict.fromkeys(trial.optimizer for trial, _ in trials))
    arms = style.ordered(trial.arm for trial, _ in trials)
    limits, across = _limits(trials, arms, style), _rates(trials)
    figure, places = _layout(style, arms, len(optimizers))
    for optimizer, axes in zip(optimizers, places, strict=True):
        axes.set(xlim=across, ylim=limits, xscale="log", xlabel="learning rate")
        _draw_panel(axes, [pair for pair in trials if pair[0].optimizer == optimizer], style)
        heading(axes, optimizer)
    return figure


def _layout(style: Style, arms: list[str], count: int) -> tuple[Figure, list[Axes]]:
    top = 0.45 + ROW * key_rows(arms, style, LEFT)
    columns = columns_of(style, count)
    height = 2.0 if style.narrow else 2.7
    step = height + BELOW
    figure = new_figure(style.width, top - 0.15 + step * -(-count // columns))
    width = (style.width - LEFT - 0.08 - GAP * (columns - 1)) / columns
    arm_key(figure, arms, style, LEFT, 0.05)
    places = []
    for i in range(count):
        down, across = divmod(i, columns)
        axes = place(figure, LEFT + across * (width + GAP), top + down * step, width, height)
        if across:
            axes.tick_params(labelleft=False)
        else:
            axes.set_ylabel(f"validation {style.metric.label}")
        places.append(axes)
    return figure, places


def _draw_panel(axes: Axes, trials: Pairs, style: Style) -> None:
    under = diverged = 0
    bottom, top = axes.get_ylim()
    for arm in style.ordered(trial.arm for trial, _ in trials):
        of_arm, look = [pair for pair in trials if pair[0].arm == arm], style.look(arm)
        rate, score = _learning_rates(of_arm), _scores(of_arm, style.metric)
        lost = _diverged(of_arm) | np.isnan(score)
        cut = ~lost & (score < bottom)
        shown = ~lost & ~cut
        dots = {"linestyle": "none", **look.dots, "rasterized": crowded(rate)}
        axes.plot(rate[shown], score[shown], label=arm, **dots)
        _at_foot(axes, rate[cut], bottom, f"_cut {arm}", "v", color=look.colour)
        foot = bottom + 0.05 * (top - bottom)
        _at_foot(axes, rate[lost], foot, f"_diverged {arm}", "x", color=look.colour)
        under, diverged = under + int(cut.sum()), diverged + int(lost.sum())
    _note(axes, under, diverged)
    log_ticks(axes, vertical=False)
    value_ticks(axes, style.metric)


def _at_foot(axes: Axes, x: np.ndarray, y: float, label: str, marker: str, color: str) -> None:
    if not len(x):
        return
    size: dict[str, Any] = {
        "v": {"markersize": 4.5},
        "x": {"markersize": 6, "markeredgewidth": 1.6},
    }[marker]
    size["rasterized"] = crowded(x)
    options = {"clip_on": False, "color": color, "label": label, **size}
    axes.plot(x, np.full(len(x), y), marker, **options)


def _note(axes: Axes, under: int, diverged: int) -> None:
    """How many trials are drawn at the lower edge, and why."""
    parts = [f"▾ {under} below"] if under else []
    parts += [f"× {diverged} diverged"] if diverged else []
    axes.text(
        1, 1 + 0.1 / height_of(axes), "\u2003".join(parts), transform=axes.transAxes, ha="right",
        size=8, color=faint(0.75),
    )  # fmt: skip


def _learning_rates(trials: Pairs) -> NDArray[np.float64]:
    return np.array([trial.learning_rate for trial, _ in trials], dtype=float)


def _diverged(trials: Pairs) -> NDArray[np.bool_]:
    return np.array([result.status is Status.DIVERGED for _, result in trials], dtype=bool)


def _scores(trials: Pairs, by: Metric) -> NDArray[np.float64]:
    return by.sign * np.array([result.score for _, result in trials], dtype=float)


def _limits(trials: Pairs, arms: list[str], style: Style) -> tuple[float, float]:
    """Half of the trials are seen, and the best one of each arm that is near the best of all."""
    trained = [pair for pair in trials if pair[1].status is not Status.DIVERGED]
    scores = {
        arm: finite(_scores([pair for pair in trained if pair[0].arm == arm], style.metric))
        for arm in arms
    }
    tops = {arm: float(values.max()) for arm, values in scores.items() if values.size}
    if not tops:
        return 0.0, 1.0
    every = np.concatenate(list(scores.values()))
    needed = [*near_the_best(tops, style.reference), float(np.median(every))]
    return accuracy_limits(every, np.array(needed) - UNIT, UNIT, style.metric)


def _rates(trials: Pairs) -> tuple[float, float]:
    rates = _learning_rates(trials)
    room = max((rates.max() / rates.min()) ** 0.04, 1.25)
    return float(rates.min() / room), float(rates.max() * room)
