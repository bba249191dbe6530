"""What the network is given and how it begins: the inputs, the first loss, the gradients, arm by arm."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pandas as pd

from normsweep.analysis.evidence import Evidence
from normsweep.reporting.figures import vega
from normsweep.reporting.figures.axes import heading, side_title
from normsweep.reporting.figures.figure import Figure, values_of
from normsweep.reporting.figures.measures import Measure, measures
from normsweep.reporting.figures.panels import (
    DOT,
    GAP,
    arm_legend,
    grid,
    log_channel,
    panel_width,
    pointed,
    tooltips,
)
from normsweep.reporting.figures.theme import INK, PAPER, Arms, Chart, Style, Table, shown

__all__ = ["gradients", "inputs"]

ROW = 36
"""Height of an arm's row in pixels."""
STAGES = ("initialization", "after epoch 1")


def inputs(found: Evidence, style: Style) -> Figure:
    """A panel for each measure, a row for each arm: filled at the start, hollow after an epoch."""
    figure = Figure(
        name="inputs",
        title="The inputs, and the network at the start",
        caption="Mean and spread of the input after normalization; how unevenly its directions are "
        "stretched (condition number; 1 is even); the loss, beside that of guessing; the share of ReLU "
        "units that never fire.",
        missing="The inputs were not diagnosed.",
    )
    classes = found.record.data.classes if found.record.data else 0
    known = measures(found.diagnoses, classes) if found.diagnoses else []
    if not known:
        return figure
    data, arms = _measured(known, found), Arms.of(found).ordered(found.diagnoses)
    names = min(14 + 7 * max(map(len, arms)), 110 if style.narrow else 160)
    columns = 1 if style.narrow else len(known)
    width = (style.width - names - 8 - GAP * (columns - 1)) / columns
    values = values_of(data)
    panels = [
        _measure(values, measure, found, style, names if style.narrow or not i else 0, width)
        for i, measure in enumerate(known)
    ]
    key = {
        "text": "\u00a0\u00a0\u00a0".join(_key(data)),
        "anchor": "start",
        "offset": 14,
        "color": INK,
        "fontSize": 11.5,
        "fontWeight": "normal",
    }
    return replace(
        figure,
        description=_measured_words(known, arms),
        data=data,
        chart=grid(panels, columns, title=key),
    )


def _key(data: Table) -> list[str]:
    """What the marks are."""
    marks = {STAGES[0]: f"● at {STAGES[0]}", STAGES[1]: f"○ {STAGES[1]}"}
    guessing = ["| loss of guessing"] if data["guide"].notna().any() else []
    return [mark for stage, mark in marks.items() if stage in set(data["stage"])] + guessing


def _measured(known: list[Measure], found: Evidence) -> Table:
    """One row an arm, measure and stage; `drawn` is the value, or the edge of the axis beyond it.

    `guide` is a value to compare with; `written` are the values of all stages in the row of the first.
    """
    rows = []
    for measure in known:
        low, high = measure.reach
        for arm in Arms.of(found).ordered(found.diagnoses):
            all_of_them = " → ".join(map(measure.written, measure.of(arm)))
            for i, value in enumerate(measure.of(arm)):
                drawn = min(max(value, low), high) if math.isfinite(value) else high
                text = measure.written(value)
                rows.append(
                    (
                        measure.title,
                        arm,
                        STAGES[i],
                        value,
                        drawn,
                        measure.guide,
                        text,
                        "" if i else all_of_them,
                    )
                )
    columns = ["measure", "arm", "stage", "value", "drawn", "guide", "text", "written"]
    frame: Table = pd.DataFrame(rows, columns=columns)
    return frame


def _measured_words(known: list[Measure], arms: list[str]) -> str:
    parts = []
    for arm in arms:
        words = [
            f"{measure.title.replace(':', '')} {' → '.join(map(measure.written, measure.of(arm)))}"
            for measure in known
            if measure.of(arm)
        ]
        parts.append(f"{arm}: {', '.join(words)}.")
    return " ".join(parts)


def _measure(
    values: vega.Json,
    measure: Measure,
    found: Evidence,
    style: Style,
    names: float,
    width: float,
) -> Chart:
    arms = Arms.of(found)
    x = vega.channel("drawn:Q", title=None, **_reach(measure))
    y = vega.channel("arm:N", sort=arms.ordered(found.diagnoses), title=None, axis=_names(names))
    names_of = {"arm": "arm", "measure": "measure", "text": "value", "stage": "stage"}
    guessing = {"guide": "guessing"} if measure.guide else {}
    base = shown(vega.Chart(values)).filter(vega.equal("measure", measure.title)).encode(y=y)
    points = base.encode(x=x, shape=arms.shape())
    later = points.filter(vega.unequal("stage", STAGES[0]))
    first = points.filter(vega.equal("stage", STAGES[0]))
    texts = base.filter("datum.written").mark(
        "text", align="right", dy=-11, fontSize=10, color=INK, opacity=0.85
    )
    layers = [
        later.mark("point", size=75, strokeWidth=1.8, opacity=1, fill=PAPER).encode(
            stroke=arms.colour()
        ),
        first.mark("point", **DOT, size=75).encode(color=arms.colour()),
        texts.encode(x=vega.value(width), text=vega.channel("written:N")),
    ]
    tips = tooltips(found.metric, **names_of, **guessing)
    layers.append(pointed(base.encode(x=x), tips, style))
    if measure.guide is not None:
        bar = base.mark("tick", color=INK, opacity=0.8, thickness=1.4, height=12)
        layers.insert(0, bar.encode(x=vega.channel("guide:Q", title=None, **_reach(measure))))
    return vega.layer(
        *layers, *heading(measure.title, width=width), width=width, height=vega.step(ROW)
    )


def _reach(measure: Measure) -> dict[str, Any]:
    kind: dict[str, Any] = {"type": "log"} if measure.log else {"type": "linear", "zero": False}
    return {"scale": dict(domain=list(measure.reach), nice=False, **kind), "axis": None}


def _names(room: float) -> vega.Json:
    """The arms' names at their rows, where there is room for them."""
    words: dict[str, Any] = {"labelFontSize": 12, "labelPadding": 10, "labelLimit": room - 10}
    return (
        dict(domain=False, **words) if room else {"domain": False, "labels": False, "minExtent": 0}
    )


def gradients(found: Evidence, style: Style) -> Figure:
    """The norm of the gradient by layer, a line for each arm, a panel for each stage."""
    figure = Figure(
        name="gradients",
        title="The gradient in each layer",
        caption="The norm of the gradient in each layer, which determines the first steps. Each step "
        "of the axis is a factor of ten.",
        missing="No gradients were measured.",
    )
    data = _norms(found)
    if data.empty:
        return figure
    arms, stages = Arms.of(found), [stage for stage in STAGES if stage in set(data["stage"])]
    columns = 1 if style.narrow else len(stages)
    panels = [
        _norms_by_layer(data, stage, found, style, labels=i % columns == 0)
        for i, stage in enumerate(stages)
    ]
    return replace(
        figure,
        description=_norm_words(data, arms),
        data=data,
        chart=grid(panels, columns),
    )


def _norms(found: Evidence) -> Table:
    """One row an arm, stage and layer; norms that are zero or not finite are left out."""
    rows = [
        (stage, arm, layer, position, norm)
        for arm in Arms.of(found).back_to_front(found.diagnoses)
        for stage, measured in found.diagnoses[arm].stages.items()
        for position, (layer, norm) in enumerate(measured.gradients)
        if norm > 0 and math.isfinite(norm)
    ]
    frame: Table = pd.DataFrame(rows, columns=["stage", "arm", "layer", "position", "norm"])
    return frame


def _norm_words(data: Table, arms: Arms) -> str:
    parts = []
    for arm in arms.ordered(set(data["arm"])):
        words = [
            f"{stage} {of['norm'].iloc[0]:.3g} in {of['layer'].iloc[0]} to {of['norm'].iloc[-1]:.3g} in "
            f"{of['layer'].iloc[-1]}"
            for stage, of in data[data["arm"] == arm].groupby("stage", sort=False)
        ]
        parts.append(f"{arm}: {', '.join(words)}.")
    return " ".join(parts)


def _norms_by_layer(data: Table, stage: str, found: Evidence, style: Style, labels: bool) -> Chart:
    arms, width = Arms.of(found), panel_width(style, 1 if style.narrow else data["stage"].nunique())
    height = 190 if style.narrow else 250
    legend = arm_legend(arms.ordered(set(data["arm"])), style)
    limits = float(data["norm"].min()) / 1.6, float(data["norm"].max()) * 1.6
    rows = (
        shown(vega.Chart(values_of(data)))
        .filter(vega.equal("stage", stage))
        .encode(
            x=_layers(data),
            y=vega.channel("norm:Q", title=None, **log_channel(limits, labels)),
            color=arms.colour(legend=legend),
        )
    )
    line = rows.mark("line").encode(
        strokeWidth=arms.width(legend=legend), strokeDash=arms.dash(legend=legend)
    )
    points = rows.mark("point", **DOT, size=60).encode(shape=arms.shape(legend=legend))
    tips = tooltips(found.metric, arm="arm", stage="stage", layer="layer", norm="norm")
    side = [side_title("norm of the gradient", height)] if labels else []
    return vega.layer(
        line,
        points,
        pointed(rows, tips, style),
        *heading(stage.capitalize(), width=width),
        *side,
        width=width,
        height=height,
    )


def _layers(data: Table) -> vega.Json:
    """The layers in their order, named where there is room."""
    order = data.sort_values("position")["layer"].drop_duplicates().tolist()
    axis = {"labelAngle": 0, "labelOverlap": "greedy", "labelLimit": 90}
    title = "layer, from input to output"
    return vega.channel("layer:N", sort=order, title=title, scale={"padding": 0.3}, axis=axis)
