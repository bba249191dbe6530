"""The metric on the test images against epochs, with the epoch from which an arm keeps up with the reference."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from normsweep.analysis.evidence import Findings
from normsweep.reporting.figures.accuracy_data import (
    AccuracyPanel,
    accuracy_data,
    accuracy_panels,
    panel_limits,
)
from normsweep.reporting.figures.axes import counts, value_axis
from normsweep.reporting.figures.figure import Figure
from normsweep.reporting.figures.labels import EndLabel, end_labels, room_for
from normsweep.reporting.figures.limits import Limits
from normsweep.reporting.figures.panels import (
    DOT,
    grid,
    panel,
    panel_width,
    pointed,
    rows_of,
    tooltips,
    under,
    with_links,
    written,
)
from normsweep.reporting.figures.theme import BAND, INK, PAPER, Arms, Style, Table
from normsweep.reporting.figures.vega import Chart, Json, channel, equal, expr
from normsweep.reporting.words import budget_unit, epoch_words, percent
from normsweep.text import counted, opening

__all__ = ["accuracy"]

MANY = 4000
"""Rows of which each can be pointed at; where there are more, only the means."""
MEANS, SEEDS = "datum.seed == null", "datum.seed != null"
X = "along == 'epochs' ? datum.epoch : along == 'seconds' ? datum.seconds : datum.total"


def accuracy(found: Findings, style: Style) -> Figure:
    """The metric against epochs, a panel for the baseline settings and one for the tuned ones."""
    measured = found.metric.label
    turned = "" if found.metric.sign > 0 else " Lower is better, and drawn higher up."
    panels = accuracy_panels(found)
    figure = Figure(
        name="accuracy",
        title=f"{opening(measured)} after each epoch",
        caption=f"Mean {measured}{found.data_words} after single epochs over the seeds that trained (if none did, "
        "over all), each with its own interval. The "
        f"yellow band is the equivalence margin around {found.reference}; a ring marks the epoch from "
        f"which an arm stays in it or above{_means_of(panels)}. "
        f"Triangles at the lower edge are values below the axis.{turned}",
        missing=f"There are no curves{found.data_words} yet.",
    )
    if not panels:
        return figure
    data = with_links(accuracy_data(panels, found), style)
    words = " ".join(_described(panel, found) for panel in panels)
    chart = _Drawing(found, style, panels, data).chart()
    return replace(figure, data=data, chart=chart, description=words)


def _means_of(panels: Sequence[AccuracyPanel]) -> str:
    """Over how many epochs the mean is that decides; empty for single ones."""
    window = max((v.window for panel in panels for v in panel.answers.values()), default=1)
    return f", in means of {window} epochs" if window > 1 else ""


def _described(panel: AccuracyPanel, found: Findings) -> str:
    """Where each curve ends."""
    ends = "; ".join(
        f"{arm} {percent(curve.epochs[-1].value, by=found.metric)}"
        + (f", {epoch_words(panel.answers[arm])}" if arm in panel.answers else "")
        for arm, curve in panel.curves.items()
    )
    return f"{panel.title}, after {counted(panel.last, 'epoch')}: {ends}."


@dataclass(frozen=True)
class _Drawing:
    """The chart's parts; all panels share the axis of values, and the room for labels."""

    found: Findings
    style: Style
    panels: list[AccuracyPanel]
    data: Table

    @cached_property
    def arms(self) -> Arms:
        return Arms.of(self.found)

    @cached_property
    def limits(self) -> Limits:
        return panel_limits(self.panels, self.found)

    @cached_property
    def columns(self) -> int:
        return 1 if self.style.narrow else len(self.panels)

    @cached_property
    def error(self) -> bool:
        """Whether the metric has an error: 1 minus its value."""
        return self.found.metric.percent and self.found.metric.sign > 0

    def chart(self) -> Json:
        margin = max(panel.margin for panel in self.panels)
        params = {"measure": "score", "along": "epochs", "margin": margin}
        drawn = [self.panel(panel, i % self.columns == 0) for i, panel in enumerate(self.panels)]
        return grid(drawn, self.columns, *({"name": k, "value": v} for k, v in params.items()))

    def panel(self, of: AccuracyPanel, first: bool) -> Json:
        room = room_for([end for each in self.panels for end in self.ends(each)], self.style.width)
        width = panel_width(self.style, self.columns, self.columns * room)
        height = 235.0 if self.style.narrow else 315.0
        base = Chart().filter(equal("configuration", of.configuration)).calculate(x=X)
        y = value_axis("score", self.limits, self.found.metric, "", first, self.error)
        marks = [*self.band(of), *self.curves(of), *self.hover(of)]
        ends = end_labels(self.ends(of), self.arms, self.limits, (width, height), room)
        centred = {"fontSize": 11.5, "align": "center"}
        titles = [written(expr(self.along_words()), width / 2, height + 34, **centred)]
        if first:
            measured = json.dumps(f"{self.found.metric.label}{self.found.data_words}")
            words = f"measure == 'error' ? 'error{self.found.data_words}' : {measured}"
            titles.append(written(expr(words), -54, height / 2, angle=270, **centred))
        x = self.along(of)
        return panel(
            base.encode(x=x, y=y), marks, (width, height), of.title, of.note, [*ends, *titles]
        )

    def along_words(self) -> str:
        """An expression for what the axis shows."""
        epochs = budget_unit(self.found.steps_per_epoch)
        return (
            f"{{epochs: '{epochs} trained', seconds: 'seconds of training',"
            " total: 'seconds of tuning and training'}[along]"
        )

    def along(self, of: AccuracyPanel) -> Json:
        """Epochs or time."""
        ticks = f"along == 'epochs' ? {counts(of.last)} : null"
        axis = {"title": None, "values": expr(ticks), "labelOverlap": True}
        return channel("x:Q", scale={"zero": False, "nice": False, "padding": 14}, axis=axis)

    def band(self, of: AccuracyPanel) -> list[Chart]:
        """What passes for equal, with a dashed line at its lower edge; a circle where the reference stops."""
        if not of.note or self.found.reference not in of.curves:
            return []
        sign, middle = self.found.metric.sign, "datum.score" if of.level is None else of.level
        rows = Chart().filter(f"{equal('arm', self.found.reference)} && {MEANS}")
        band = rows.calculate(
            worse=f"{middle} - {sign} * margin", better=f"{middle} + {sign} * margin"
        )
        fill = {"color": BAND, "opacity": 0.3, "clip": True}
        edge = {"color": INK, "opacity": 0.6, "strokeWidth": 1, "strokeDash": [3, 3], "clip": True}
        if of.level is None:
            area = band.mark("area", **fill).encode(y="worse:Q", y2="better:Q")
            return [area, band.mark("line", **edge).encode(y="worse:Q")]
        one = band.filter("datum.epoch == 1").encode(y="worse:Q", x=0, x2={"value": "width"})
        stop = rows.filter(f"datum.epoch == {of.stop}")
        circle = {"size": 160, "stroke": INK, "strokeWidth": 1, "fill": PAPER, "opacity": 1}
        return [
            one.mark("rect", **fill).encode(y2="better:Q"),
            one.mark("rule", **edge),
            stop.mark("point", clip=True, **circle),
        ]

    def curves(self, of: AccuracyPanel) -> list[Chart]:
        """Single seeds, intervals, means, markers; a ring where an arm begins to keep up."""
        looks, colour = self.arms.looks, self.arms.looks("color")
        means, seeds = rows_of(MEANS).encode(**colour), rows_of(SEEDS).encode(**colour)
        some = means.filter(f"(datum.epoch - 1) % {max(1, of.last // 10)} == 0 && !datum.below")
        area = {"opacity": 0.09 if len(of.curves) > 4 else 0.16, "clip": True}
        ring = {"size": 190, "shape": "circle", "strokeWidth": 2, "opacity": 1}
        return [
            seeds.mark("line", strokeWidth=0.8, opacity=0.25, clip=True).encode(detail="seed:N"),
            means.mark("area", **area).encode(y="low:Q", y2="high:Q"),
            means.mark("line", clip=True).encode(**looks("strokeDash", "strokeWidth")),
            some.mark("point", size=42, clip=True, **DOT).encode(**looks("shape")),
            means.filter("datum.parity").mark("point", clip=True, **ring),
            under(means),
        ]

    def hover(self, of: AccuracyPanel) -> list[Chart]:
        """What one points at: the means, and single seeds where they are not too many."""
        by, error = self.found.metric, ["error"] if self.error else []
        tips = {"score": by.label, "low": "interval from", "high": "to"}
        means = tooltips(by, "arm", "settings", "epoch", *error, **tips)
        seeds = tooltips(by, "arm", "settings", "seed", "trial", "epoch", *error, score=by.label)
        words = {"settings": json.dumps(of.title), "error": "1 - datum.score"}
        one, all_of_them = rows_of(SEEDS).calculate(**words), rows_of(MEANS).calculate(**words)
        made = [pointed(all_of_them, means, self.style, f"zoom_{of.configuration}")]
        return made if len(self.data) >= MANY else [pointed(one, seeds, self.style), *made]

    def ends(self, of: AccuracyPanel) -> list[EndLabel]:
        """The curves' names, in the order of the arms."""
        return [
            EndLabel(arm, of.curves[arm].epochs[-1].value, self.note(of, arm))
            for arm in self.arms.ordered(of.curves)
        ]

    def note(self, of: AccuracyPanel, arm: str) -> str:
        by, end = self.found.metric, of.curves[arm].epochs[-1].value
        if by.sign * end < by.sign * self.limits[0]:
            return f"▼ ends at {percent(end, 1, by)}"
        if arm == self.found.reference:
            return "the reference"
        return epoch_words(of.answers[arm]) if arm in of.answers else ""
