"""What the network is given and how it begins: the inputs, the first loss, the gradients, arm by arm."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd

from normsweep.analysis.evidence import Evidence
from normsweep.reporting.diagnosis_tables import gradients_table, inputs_table
from normsweep.reporting.figures.axes import log_axis
from normsweep.reporting.figures.figure import Figure
from normsweep.reporting.figures.panels import (
    DOT,
    GAP,
    by_arm,
    grid,
    legend,
    name_width,
    panel,
    panel_width,
    pointed,
    rows_of,
    tooltips,
)
from normsweep.reporting.figures.theme import FAINT, INK, PAPER, Arms, Style, Table
from normsweep.reporting.figures.vega import Chart, Json, channel, equal

__all__ = ["gradients", "inputs"]

ROW = 36
"""Height of an arm's row in pixels."""
START = "initialization"
STAGES = (START, "after epoch 1")
MEASURES = {
    "input_mean": ("Input: mean", "linear"),
    "input_std": ("Input: spread", "log"),
    "condition": ("Condition number", "log"),
    "loss": ("Loss", "log"),
    "dead_relus": ("Dead ReLUs", "linear"),
}
"""Columns of `inputs_table`, with titles and types of their axes."""
OF_INPUT = ("input_mean", "input_std", "condition")
"""Those that training does not change are taken at the first stage."""


def inputs(found: Evidence, style: Style) -> Figure:
    """A panel for each measure, a row for each arm: filled at the start, hollow after an epoch."""
    figure = Figure(
        name="inputs",
        title="The inputs, and the network at the start",
        caption="Mean and spread of the input after normalization; how unevenly the directions of what the first "
        "layer sees are stretched (condition number of its second moment; 1 is even); the loss, beside that of "
        "guessing; the share of ReLU units that never fire.",
        missing="The inputs were not diagnosed.",
    )
    data = _measured(found)
    if data.empty:
        return figure
    said = data[data["written"] != ""]
    words = said["measure"].str.replace(":", "") + " " + said["written"]
    parts = [f"{arm}: {', '.join(words[rows.index])}." for arm, rows in by_arm(said, found)]
    chart = _by_measure(data, found, style)
    return replace(figure, description=" ".join(parts), data=data, chart=chart)


def _measured(found: Evidence) -> Table:
    """One row an arm, measure and stage; `drawn` is the value, or the nearest one that can be drawn.

    `guide` is a value to compare with; `written` are the values of all stages in the row of the first.
    """
    facts = found.record.data
    table: Table = inputs_table(found.diagnoses, found.record.arms, facts.classes if facts else 1)
    place = ["arm", "stage", "ln_classes"]
    table = table[table["stage"].isin(STAGES)]
    rows = table.melt(place, list(MEASURES), "column", "value").dropna(subset="value")
    again = rows.groupby(["column", "arm"]).cumcount() > 0
    rows = rows[~(again & rows["column"].isin(OF_INPUT))]
    text = pd.Series(map(_written, rows["column"], rows["value"]), rows.index, str)
    all_of_them = text.groupby([rows["column"], rows["arm"]]).transform(" → ".join)
    return rows.assign(
        measure=rows["column"].map(lambda column: MEASURES[column][0]),
        drawn=rows.groupby("column", sort=False, group_keys=False)["value"].apply(_drawn),
        guide=rows["ln_classes"].where(rows["column"] == "loss"),
        text=text,
        written=all_of_them.mask(again, ""),
    ).drop(columns="ln_classes")


def _written(column: str, value: float) -> str:
    """A value as it is printed."""
    if not math.isfinite(value):
        return "not finite"
    if column == "dead_relus":
        return f"{100 * value:.0f} %"
    if column == "input_mean" and abs(value) < 5e-4:
        return "0"
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return text.replace("-", "−")


def _drawn(values: Table) -> Table:
    """The values of a measure within what its axis shows."""
    log = MEASURES[str(values.name)][1] == "log"
    shown = values[np.isfinite(values) & ((values > 0) | (not log))]
    return values.clip(shown.min(), shown.max()) if len(shown) else values.where(False, 1.0)


def _scale(column: str, rows: Table) -> Json:
    """An axis that has room beside all values; differences of a hundredth stay small on it."""
    kind, shown = MEASURES[column][1], pd.concat([rows["drawn"], rows["guide"]])
    low, high = shown.min(), shown.max()
    if kind == "log":
        room = max((high / low) ** 0.08, 1.3)
        low, high = low / room, high * room
    elif column == "dead_relus":
        low, high = -0.03, 1.03
    else:
        low, high = min(low, 0.0), max(high, 0.0)
        room = 0.08 * (high - low) or 1.0
        low, high = low - room, high + room
    return {"type": kind, "domain": [low, high], "nice": False}


def _by_measure(data: Table, found: Evidence, style: Style) -> Json:
    arms = Arms.of(found).ordered(data["arm"])
    columns = 1 if style.narrow else data["measure"].nunique()
    names = name_width(arms, style, 160)
    width = (style.width - names - 8 - GAP * (columns - 1)) / columns
    panels = []
    for i, (column, rows) in enumerate(data.groupby("column", sort=False)):
        y = channel("arm:N", sort=arms, title=None, axis=_names(names if i % columns == 0 else 0))
        x = channel("drawn:Q", scale=_scale(str(column), rows), axis=None)
        base = rows_of(equal("column", str(column))).encode(x=x, y=y)
        marks = _marks(found, style, width, guide=rows["guide"].notna().any())
        panels.append(panel(base, marks, (width, {"step": ROW}), MEASURES[str(column)][0]))
    return grid(panels, columns, title=_key(data))


def _names(room: float) -> Json:
    """The arms' names at their rows, where there is room for them."""
    words = {"labelFontSize": 12, "labelPadding": 10, "labelLimit": room - 10}
    return {"domain": False, **(words if room else {"labels": False, "minExtent": 0})}


def _marks(found: Evidence, style: Style, width: float, guide: bool) -> list[Chart]:
    looks, rows = Arms.of(found).looks, Chart()
    first, later = rows.filter(equal("stage", START)), rows.filter(f"!({equal('stage', START)})")
    bar = rows.mark("tick", color=INK, opacity=0.8, thickness=1.4, height=12).encode(x="guide:Q")
    text = rows.filter("datum.written").mark(
        "text", **{**FAINT, "fontSize": 10, "align": "right", "dy": -11}
    )
    tips = tooltips(found.metric, "arm", "measure", "text", "stage", *(["guide"] if guide else []))
    return [
        *([bar] if guide else []),
        later.mark("point", size=75, strokeWidth=1.8, opacity=1, fill=PAPER)
        .encode(**looks("stroke", "shape")),
        first.mark("point", **DOT, size=75).encode(**looks("color", "shape")),
        text.encode(x=width, text="written:N"),
        pointed(rows, tips, style),
    ]  # fmt: skip


def _key(data: Table) -> str:
    """What the marks are."""
    marks = {STAGES[0]: f"● at {STAGES[0]}", STAGES[1]: f"○ {STAGES[1]}"}
    words = [mark for stage, mark in marks.items() if stage in set(data["stage"])]
    guessing = ["| loss of guessing"] if data["guide"].notna().any() else []
    return "\u00a0\u00a0\u00a0".join(words + guessing)


def gradients(found: Evidence, style: Style) -> Figure:
    """The norm of the gradient by layer, a line for each arm, a panel for each stage."""
    figure = Figure(
        name="gradients",
        title="The gradient in each layer",
        caption="The norm of the gradient in each layer, which determines the first steps. Each step "
        "of the axis is a factor of ten.",
        missing="No gradients were measured.",
    )
    table = gradients_table(found.diagnoses, Arms.of(found).back_to_front(found.diagnoses))
    drawn = table["stage"].isin(STAGES) & (table["norm"] > 0)
    data = table[drawn & np.isfinite(table["norm"].astype(float))]
    if data.empty:
        return figure
    parts = []
    for arm, rows in by_arm(data, found):
        words = [
            f"{stage} {of['norm'].iloc[0]:.3g} in {of['layer'].iloc[0]} to {of['norm'].iloc[-1]:.3g} in "
            f"{of['layer'].iloc[-1]}"
            for stage, of in rows.groupby("stage", sort=False)
        ]
        parts.append(f"{arm}: {', '.join(words)}.")
    chart = _by_layer(data, found, style)
    return replace(figure, description=" ".join(parts), data=data, chart=chart)


def _by_layer(data: Table, found: Evidence, style: Style) -> Json:
    stages = [stage for stage in STAGES if stage in set(data["stage"])]
    columns = 1 if style.narrow else len(stages)
    size = panel_width(style, columns), 190.0 if style.narrow else 250.0
    limits = float(data["norm"].min()) / 1.6, float(data["norm"].max()) * 1.6
    layers = data.sort_values("position")["layer"].drop_duplicates().tolist()
    x = channel(
        "layer:N",
        sort=layers,
        title="layer, from input to output",
        scale={"padding": 0.3},
        axis={"labelAngle": 0, "labelOverlap": "greedy", "labelLimit": 90},
    )
    key, looks, panels = (
        legend(Arms.of(found).ordered(data["arm"]), style),
        Arms.of(found).looks,
        [],
    )
    marks = [
        Chart().mark("line").encode(**looks("strokeWidth", "strokeDash", legend=key)),
        Chart().mark("point", **DOT, size=60).encode(**looks("shape", legend=key)),
        pointed(Chart(), tooltips(found.metric, "arm", "stage", "layer", "norm"), style),
    ]
    for i, stage in enumerate(stages):
        y = log_axis("norm", limits, "norm of the gradient", labels=i % columns == 0)
        base = rows_of(equal("stage", stage)).encode(x=x, y=y, **looks("color", legend=key))
        panels.append(panel(base, marks, size, stage.capitalize()))
    return grid(panels, columns)
