"""Learning rates that the curvature predicts to be stable, beside those that the search tried."""

from __future__ import annotations

from dataclasses import replace

from normsweep.analysis.evidence import Evidence
from normsweep.analysis.stable_rates import BEHIND, DIVERGED, START, TRAINED, stable_rates
from normsweep.reporting.diagnosis_tables import stable_rates_table
from normsweep.reporting.figures.axes import log_axis
from normsweep.reporting.figures.figure import Figure
from normsweep.reporting.figures.panels import (
    DOT,
    GAP,
    by_arm,
    grid,
    name_width,
    panel,
    pointed,
    rows_of,
    tooltips,
)
from normsweep.reporting.figures.theme import CROSS, INK, PAPER, Arms, Style, Table
from normsweep.reporting.figures.vega import Chart, Json, channel, equal

__all__ = ["stability"]

ROW = 36
"""Height of an arm's row in pixels."""
PREDICTED = "predicted"
TRIED = (
    " Marks are trials of the search: filled if they came within a tenth of their arm’s best, hollow if not, a cross "
    "if they diverged. Of sgd with momentum the rate that plain gradient descent would have to have is drawn."
)


def stability(found: Evidence, style: Style) -> Figure:
    """A panel for each optimizer, a row for each arm: ticks are predictions, marks are trials."""
    data = stable_rates_table(stable_rates(found.record))
    tried = bool((data["kind"] != PREDICTED).any())
    figure = Figure(
        name="stable_rates",
        title=f"Learning rates: predicted to be stable{', and tried' if tried else ''}",
        caption="A bar is the largest learning rate that is stable by the curvature of the loss: black at the "
        f"start, grey later in the training.{TRIED if tried else ''}",
        missing="The curvature of the loss was not measured.",
    )
    if data.empty:
        return figure
    return replace(
        figure,
        description=" ".join(_words(arm, rows) for arm, rows in by_arm(data, found)),
        data=data,
        chart=_by_optimizer(data, found, style),
    )


def _words(arm: str, rows: Table) -> str:
    """The predictions for an arm and the largest rates that trained."""
    parts = []
    for optimizer, of in rows.groupby("optimizer", sort=False):
        predicted, trained = of[of["kind"] == PREDICTED], of[of["kind"] == TRAINED]
        parts += [f"{row.stage} {row.rate:.2g} with {optimizer}" for row in predicted.itertuples()]
        if len(trained):
            parts.append(f"up to {trained['rate'].max():.2g} trained with {optimizer}")
    return f"{arm}: {', '.join(parts)}."


def _by_optimizer(data: Table, found: Evidence, style: Style) -> Json:
    arms = Arms.of(found).ordered(data["arm"])
    optimizers = data["optimizer"].unique().tolist()
    columns = 1 if style.narrow else min(len(optimizers), 2)
    names = name_width(arms, style, 160)
    width = (style.width - names - 8 - GAP * (columns - 1)) / columns
    low, high = data["rate"].min(), data["rate"].max()
    room = max((high / low) ** 0.05, 1.3)
    panels = []
    for i, optimizer in enumerate(optimizers):
        axis = {"domain": False, "labelFontSize": 12, "labelPadding": 10, "labelLimit": names - 10}
        hidden = {"domain": False, "labels": False, "minExtent": 0}
        y = channel("arm:N", sort=arms, title=None, axis=hidden if i % columns else axis)
        x = log_axis("rate", (low / room, high * room), "learning rate")
        base = rows_of(equal("optimizer", optimizer)).encode(x=x, y=y)
        panels.append(panel(base, _marks(found, style), (width, {"step": ROW}), optimizer))
    return grid(panels, columns)


def _marks(found: Evidence, style: Style) -> list[Chart]:
    looks, rows = Arms.of(found).looks, Chart()

    def of(kind: str) -> Chart:
        return rows.filter(equal("kind", kind))

    bars = {"thickness": 2, "height": 22, "color": INK}
    start = equal("stage", START)
    return [
        of(PREDICTED).filter(f"!({start})").mark("tick", opacity=0.3, **bars),
        of(PREDICTED).filter(start).mark("tick", opacity=0.9, **bars),
        of(BEHIND).mark("point", size=50, strokeWidth=1.5, opacity=1, fill=PAPER)
        .encode(**looks("stroke", "shape")),
        of(DIVERGED).mark("point", shape=CROSS, size=45, strokeWidth=1.5, opacity=1)
        .encode(**looks("stroke")),
        of(TRAINED).mark("point", **DOT, size=60).encode(**looks("color", "shape")),
        pointed(rows, tooltips(found.metric, "arm", "optimizer", "kind", "stage", "rate"), style),
    ]  # fmt: skip
