"""The metric on the test images against epochs, with the epoch from which an arm keeps up with the reference."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import pandas as pd

from normsweep.analysis.evidence import Evidence
from normsweep.reporting.figures import vega
from normsweep.reporting.figures.accuracy_data import (
    AccuracyPanel,
    accuracy_data,
    accuracy_panels,
    panel_limits,
)
from normsweep.reporting.figures.axes import (
    MEASURE,
    counts,
    heading,
    quoted,
    side_title,
    value_axis,
    written,
    zoomed,
)
from normsweep.reporting.figures.figure import Figure, values_of
from normsweep.reporting.figures.labels import EndLabel, end_labels, room_for
from normsweep.reporting.figures.theme import (
    BAND,
    HIDDEN,
    INK,
    PAPER,
    Arms,
    Chart,
    Style,
    interval_words,
    linked,
    shown,
    value_words,
    with_links,
)
from normsweep.reporting.words import epoch_words, percent
from normsweep.text import counted, opening

__all__ = ["accuracy"]

LEFT, GAP = 62.0, 18.0
"""Pixels left of the axes, and between neighbouring panels."""
MANY = 4000
"""Rows of which each can be pointed at; where there are more, only the means."""
ALONG = vega.param("along", "epochs")
ALONG_WORDS = (
    "{epochs: 'epochs trained', seconds: 'seconds of training',"
    " total: 'seconds of tuning and training'}[along]"
)
"""The title of the horizontal axis, which obeys the parameter."""


def accuracy(found: Evidence, style: Style) -> Figure:
    """The metric against epochs, a panel for the baseline settings and one for the tuned ones."""
    measured, by = found.metric.label, found.metric
    turned = "" if by.sign > 0 else " Lower is better, and drawn higher up."
    figure = Figure(
        name="accuracy",
        title=f"{opening(measured)} after each epoch",
        caption=f"Mean {measured} on the test images after single epochs, each with its own interval. The "
        f"yellow band is the equivalence margin around {found.reference}; a ring marks the epoch from "
        "which an arm stays in it or above, in means of three epochs. "
        f"Triangles at the lower edge are values below the axis.{turned}",
        missing="There are no curves on test images yet.",
    )
    panels = accuracy_panels(found)
    if not panels:
        return figure
    arms = Arms.of(found)
    data = with_links(accuracy_data(panels, found, arms), style)
    drawing = _Drawing(found, style, arms, panels, data)
    words = " ".join(_described(panel, found) for panel in panels)
    return replace(figure, data=data, chart=drawing.chart(), description=words)


def _described(panel: AccuracyPanel, found: Evidence) -> str:
    """Where each curve ends."""
    ends = "; ".join(
        f"{arm} {percent(curve.epochs[-1].value, by=found.metric)}"
        + (f", {epoch_words(panel.answers[arm])}" if arm in panel.answers else "")
        for arm, curve in panel.curves.items()
    )
    return f"{panel.title}, after {counted(panel.last, 'epoch')}: {ends}."


@dataclass(frozen=True)
class _Drawing:
    """The chart's parts; all panels share axes of values, and the room for labels."""

    found: Evidence
    style: Style
    arms: Arms
    panels: list[AccuracyPanel]
    data: pd.DataFrame

    @cached_property
    def limits(self) -> tuple[float, float]:
        return panel_limits(self.panels, self.found)

    @cached_property
    def room(self) -> float:
        labels = [label for panel in self.panels for label in self.ends(panel)]
        return room_for(labels, self.style.width)

    @cached_property
    def size(self) -> tuple[float, float]:
        """Of a panel."""
        count = 1 if self.style.narrow else len(self.panels)
        space = self.style.width - LEFT - (count - 1) * GAP
        return space / count - self.room, 235.0 if self.style.narrow else 315.0

    @cached_property
    def values(self) -> vega.Json:
        return values_of(self.data)

    @cached_property
    def error(self) -> bool:
        """Whether the metric has an error: 1 minus its value."""
        return self.found.metric.percent and self.found.metric.sign > 0

    def chart(self) -> vega.Json:
        margin = vega.param("margin", max(panel.margin for panel in self.panels))
        concat = vega.vconcat if self.style.narrow else vega.hconcat
        return concat(
            *(self.panel(panel, bool(i)) for i, panel in enumerate(self.panels)),
            spacing=GAP,
            params=[HIDDEN, MEASURE, ALONG, margin],
        )

    def panel(self, panel: AccuracyPanel, later: bool) -> Chart:
        width, height = self.size
        second = later and not self.style.narrow
        marks = vega.layer(
            *self.band(panel),
            *self.curves(panel),
            data=self.values,
            transform=self.rows(panel),
            encoding={
                "x": self.along(panel),
                "y": value_axis("score", self.limits, self.found.metric, self.error, not second),
            },
        )
        layers = [
            marks,
            *end_labels(self.ends(panel), self.arms, self.limits, self.size, self.room),
            *heading(panel.title, panel.note, width + self.room),
            written(vega.expr(ALONG_WORDS), width / 2, height + 34, size=11.5, opacity=0.75),
        ]
        if not second:
            label, error = self.found.metric.label, "error on the test images" * self.error
            layers.append(side_title(f"{label} on the test images", height, error))
        return vega.layer(*layers, width=width, height=height)

    def rows(self, panel: AccuracyPanel) -> list[vega.Json]:
        """The panel's rows, with what the horizontal axis shows as `x`."""
        x = "along == 'epochs' ? datum.epoch : along == 'seconds' ? datum.seconds : datum.total"
        rows = vega.Chart().filter(vega.equal("configuration", panel.configuration))
        return rows.calculate(x=x)["transform"]

    def along(self, panel: AccuracyPanel) -> Chart:
        """Epochs or time."""
        ticks = f"along == 'epochs' ? {counts(panel.last)} : null"
        return vega.channel(
            "x:Q",
            scale={"zero": False, "nice": False, "padding": 14},
            axis={"title": None, "values": vega.expr(ticks), "labelOverlap": True},
        )

    def band(self, panel: AccuracyPanel) -> list[Chart]:
        """What passes for equal, with a dashed line at its lower edge."""
        if not panel.answers or self.found.reference not in panel.curves:
            return []
        level, sign = panel.level, self.found.metric.sign
        reference = f"datum.arm == {quoted(self.found.reference)} && datum.seed == null"
        middle = "datum.score" if level is None else str(level)
        rows = vega.Chart().filter(reference)
        band = rows.calculate(
            worse=f"{middle} - {sign} * margin", better=f"{middle} + {sign} * margin"
        )
        fill = {"color": BAND, "opacity": 0.3, "clip": True}
        edge = {"color": INK, "opacity": 0.6, "strokeWidth": 1, "strokeDash": [3, 3], "clip": True}
        if level is None:
            return [
                band.mark("area", **fill).encode(y="worse:Q", y2="better:Q"),
                band.mark("line", **edge).encode(y="worse:Q"),
            ]
        one, all_along = band.filter("datum.epoch == 1"), vega.value(0)
        return [
            one.mark("rect", **fill).encode(
                y="worse:Q", y2="better:Q", x=all_along, x2=vega.value("width")
            ),
            one.mark("rule", **edge).encode(y="worse:Q", x=all_along, x2=vega.value("width")),
            rows.filter(f"datum.epoch == {panel.stop}").mark(
                "point", size=160, stroke=INK, strokeWidth=1, fill=PAPER, opacity=1, clip=True
            ),
        ]

    def curves(self, panel: AccuracyPanel) -> list[Chart]:
        """Single seeds, intervals, means, markers; a ring where an arm begins to keep up."""
        rows, colour, shape = shown(vega.Chart()), self.arms.colour(), self.arms.shape()
        means, seeds = (
            rows.filter("datum.seed == null"),
            rows.filter("datum.seed != null"),
        )
        many = len(panel.curves) > 4
        dots = {"filled": True, "opacity": 1, "clip": True}
        sign, bottom = self.found.metric.sign, self.limits[0]
        below = f"{sign} * datum.score < {sign * bottom}"
        every = max(1, panel.last // 10)
        return [
            seeds.mark("line", strokeWidth=0.8, opacity=0.25, clip=True)
            .encode(color=colour, detail="seed:N"),
            means.mark("area", opacity=0.09 if many else 0.16, clip=True)
            .encode(y="low:Q", y2="high:Q", color=colour),
            means.mark("line", clip=True)
            .encode(color=colour, strokeDash=self.arms.dash(), strokeWidth=self.arms.width()),
            means.filter(f"(datum.epoch - 1) % {every} == 0")
            .mark("point", size=42, stroke=PAPER, strokeWidth=0.8, **dots)
            .encode(color=colour, shape=shape),
            means.filter("datum.parity")
            .mark("point", size=190, shape="circle", strokeWidth=2, opacity=1, clip=True)
            .encode(color=colour),
            means.filter(below)
            .mark("point", size=40, shape="triangle-down", filled=True, opacity=1)
            .encode(y=vega.datum(bottom), color=colour),
            self.hover(rows if len(self.data) < MANY else means, panel),
        ]  # fmt: skip

    def hover(self, rows: Chart, panel: AccuracyPanel) -> Chart:
        """What one points at: a tooltip for each value, and the way to its run."""
        by = self.found.metric
        tips = {
            "arm": "arm:N", "settings": "settings:N", "seed": "whose:N", "epoch": "epoch:Q",
            by.label: "value:N", "interval": "interval:N", "trial": "run:N",
        }  # fmt: skip
        names = {**tips, "error": "lack:N"} if self.error else tips
        made = (
            rows.calculate(
                settings=quoted(panel.title),
                whose="datum.seed == null ? 'mean of all' : datum.seed",
                run="datum.trial == null ? '—' : datum.trial",
                value=value_words("datum.score", by),
                interval=interval_words("datum.low", "datum.high", by),
                lack=value_words("1 - datum.score", by),
            )
            .mark("point", size=90, opacity=0, clip=True)
            .encode(tooltip=[vega.channel(of, title=name) for name, of in names.items()])
        )
        return zoomed(linked(made, self.style), f"zoom_{panel.configuration}", self.style)

    def ends(self, panel: AccuracyPanel) -> list[EndLabel]:
        """The curves' names, in the order of the arms."""
        return [
            EndLabel(arm, panel.curves[arm].epochs[-1].value, self.note(panel, arm))
            for arm in self.arms.ordered(panel.curves)
        ]

    def note(self, panel: AccuracyPanel, arm: str) -> str:
        by, end = self.found.metric, panel.curves[arm].epochs[-1].value
        if by.sign * end < by.sign * self.limits[0]:
            return f"▼ ends at {percent(end, 1, by)}"
        if arm == self.found.reference:
            return "the reference"
        answer = panel.answers.get(arm)
        return epoch_words(answer) if answer else ""
