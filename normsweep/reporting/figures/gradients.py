"""How strong the gradient is in each layer, before training and after an epoch."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from normsweep.analysis.evidence import Evidence
from normsweep.reporting.figures.canvas import heading, log_ticks, new_figure, place, width_of
from normsweep.reporting.figures.key import ROW, arm_key, key_rows
from normsweep.reporting.figures.style import Style, house_style
from normsweep.reporting.figures.text import fitted

__all__ = ["draw_gradients"]

LEFT, GAP, BELOW = 0.72, 0.25, 0.8
FIRST = "initialization"


Norms = dict[str, list[tuple[int, str, float]]]
"""By arm, the position and name of each layer and the norm of its gradient."""


@house_style
def draw_gradients(found: Evidence, style: Style) -> Figure | None:
    """Gradient norm (log) by layer, a line per arm, a panel per stage.

    None where no norm is positive and finite.
    """
    stages = _stages(found)
    if not stages:
        return None
    every = [norm for of in stages.values() for layers in of.values() for _, _, norm in layers]
    arms = style.ordered(arm for of in stages.values() for arm in of)
    figure, places = _layout(style, arms, len(stages))
    for (stage, norms), axes in zip(stages.items(), places, strict=True):
        axes.set(yscale="log", ylim=(min(every) / 1.6, max(every) * 1.6))
        _draw_panel(axes, norms, style)
        heading(axes, stage[:1].upper() + stage[1:])
    return figure


def _stages(found: Evidence) -> dict[str, Norms]:
    """By stage, the norms that can be drawn."""
    stages: dict[str, Norms] = {}
    for arm, diagnosis in found.diagnoses.items():
        for name, stage in diagnosis.stages.items():
            layers = [(i, layer, norm) for i, (layer, norm) in enumerate(stage.gradients)]
            shown = [each for each in layers if each[2] > 0 and math.isfinite(each[2])]
            if shown:
                stages.setdefault(name, {})[arm] = shown
    return dict(sorted(stages.items(), key=lambda item: item[0] != FIRST))


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


def _draw_panel(axes: Axes, norms: Norms, style: Style) -> None:
    for arm in style.back_to_front(norms):
        positions, _, values = zip(*norms[arm], strict=True)
        axes.plot(positions, values, **style.look(arm).line, label=arm)
    _name_layers(axes, norms)
    axes.set_xlabel("layer, from input to output")
    log_ticks(axes)


def _name_layers(axes: Axes, norms: Norms) -> None:
    layers = {place: layer for of in norms.values() for place, layer, _ in of}
    positions = sorted(layers)
    space = width_of(axes) / (len(positions) + 0.2) - 0.06
    every = max(1, round(0.3 / max(space, 0.05)))
    shown = positions[::every]
    names = [fitted(layers[position], max(space * every, 0.3), 8) for position in shown]
    axes.set_xlim(positions[0] - 0.3, positions[-1] + 0.3)
    axes.set_xticks(shown, names, fontsize=8)
