"""How strong the gradient is in each layer, before training and after an epoch."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from normsweep.reporting.figures.canvas import heading, log_ticks, new_figure, place, width_of
from normsweep.reporting.figures.key import ROW, arm_key, key_rows
from normsweep.reporting.figures.rows import Rows
from normsweep.reporting.figures.stages import stages
from normsweep.reporting.figures.style import Style, house_style
from normsweep.reporting.figures.text import fitted

__all__ = ["draw_gradients"]

LEFT, GAP, BELOW = 0.72, 0.25, 0.8


@house_style
def draw_gradients(gradients: pd.DataFrame, style: Style) -> Figure | None:
    """Gradient norm (log) by layer, a line per arm, a panel per stage.

    Columns as in the frame `gradients`. None where no norm is positive and finite.
    """
    rows = Rows.of(gradients)
    if len(rows):
        norms = rows.numbers("norm")
        rows = rows.only((norms > 0) & np.isfinite(norms))
    if not len(rows):
        return None
    present, norms = stages(rows), rows.numbers("norm")
    figure, places = _layout(style, style.ordered(rows.each("arm")), len(present))
    for stage, axes in zip(present, places, strict=True):
        axes.set(yscale="log", ylim=(norms.min() / 1.6, norms.max() * 1.6))
        _draw_panel(axes, rows.where("stage", stage), style)
        heading(axes, stage[:1].upper() + stage[1:])
    return figure


def _layout(style: Style, arms: list[str], count: int) -> tuple[Figure, list[Axes]]:
    top = 0.45 + ROW * key_rows(arms, style, LEFT)
    columns = 1 if style.narrow else count
    height = 1.9 if style.narrow else 2.5
    step = height + BELOW
    figure = new_figure(style.width, top - 0.2 + step * -(-count // columns))
    arm_key(figure, arms, style, LEFT, 0.05, line=True)
    width = (style.width - LEFT - 0.1 - GAP * (columns - 1)) / columns
    places = []
    for i in range(count):
        down, across = divmod(i, columns)
        axes = place(figure, LEFT + across * (width + GAP), top + down * step, width, height)
        if across:
            axes.tick_params(labelleft=False)
        else:
            axes.set_ylabel("norm of the gradient")
        places.append(axes)
    return figure, places


def _draw_panel(axes: Axes, rows: Rows, style: Style) -> None:
    for arm in style.back_to_front(rows.each("arm")):
        of_arm = rows.where("arm", arm).by("position")
        axes.plot(
            of_arm.numbers("position"), of_arm.numbers("norm"), **style.look(arm).line, label=arm
        )
    _name_layers(axes, rows)
    axes.set_xlabel("layer, from input to output")
    log_ticks(axes)


def _name_layers(axes: Axes, rows: Rows) -> None:
    layers = dict(zip(rows.numbers("position"), rows.texts("layer"), strict=True))
    positions = sorted(layers)
    space = width_of(axes) / (len(positions) + 0.2) - 0.06
    every = max(1, round(0.3 / max(space, 0.05)))
    shown = positions[::every]
    names = [fitted(layers[position], max(space * every, 0.3), 8) for position in shown]
    axes.set_xlim(positions[0] - 0.3, positions[-1] + 0.3)
    axes.set_xticks(shown, names, fontsize=8)
