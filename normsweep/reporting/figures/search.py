"""The trials of the search: their scores by learning rate and optimizer, and when they ended."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pandas as pd

from normsweep.analysis import trials
from normsweep.analysis.evidence import Evidence
from normsweep.reporting.figures import vega
from normsweep.reporting.figures.axes import heading, side_title, value_axis
from normsweep.reporting.figures.figure import Figure, values_of
from normsweep.reporting.figures.panels import (
    DOT,
    Limits,
    arm_legend,
    grid,
    log_channel,
    panel_width,
    pointed,
    put_in_view,
    thinned,
    time_unit,
    tooltips,
    under,
)
from normsweep.reporting.figures.theme import (
    HIDDEN,
    INK,
    Arms,
    Chart,
    Style,
    Table,
    shown,
    with_links,
)
from normsweep.reporting.words import percent
from normsweep.sweep.trial import Status
from normsweep.text import counted, opening

__all__ = ["learning_rate", "progress"]

CROSS = "M-1,-1L1,1M-1,1L1,-1"
SMALLEST, LARGEST = 28, 120
"""Areas of the marks of trials with the fewest and with the most epochs, in square pixels."""


def learning_rate(found: Evidence, style: Style) -> Figure:
    """A panel for each optimizer, a mark for each trial, the larger the more epochs it had."""
    measured, by = found.metric.label, found.metric
    turned = "" if by.sign > 0 else " Lower is better, and drawn higher up."
    figure = Figure(
        name="learning_rate",
        title=f"{opening(measured)} against learning rate",
        caption=f"Each mark is a trial of the search: its learning rate and its {measured} on validation "
        "images after its last epoch. Larger marks had more epochs. A cross is a trial whose loss was "
        f"no longer a number; a triangle is below the axis.{turned}",
        missing="The search has no trials yet.",
    )
    rates = _rates(found)
    if rates.empty:
        return figure
    every, limits = _in_view(rates, found)
    data = with_links(thinned(every, every["best"]), style)
    return replace(
        figure,
        caption=figure.caption + _left_out(len(data), len(every), "the best of each arm"),
        description=_described(every, found),
        data=data,
        chart=_Rates(found, style, every, data, limits).chart(),
    )


def _rates(found: Evidence) -> Table:
    """One row a trial with a score; the reference's come first, so that others are seen on them."""
    columns = ["trial", "arm", "optimizer", "learning_rate", "epochs", "score", "diverged"]
    rows = [
        (
            t.number,
            t.arm,
            t.optimizer,
            t.learning_rate,
            t.epochs,
            r.score,
            r.status is Status.DIVERGED,
        )
        for t, r in trials.scored(found.record.searched)
        if t.learning_rate > 0
    ]
    frame: Table = pd.DataFrame(rows, columns=columns)
    order = Arms.of(found).back_to_front(set(frame["arm"]))[::-1]
    return frame.sort_values("arm", key=lambda arm: arm.map(order.index), kind="stable")


def _in_view(rates: Table, found: Evidence) -> tuple[Table, Limits]:
    """Whether a trial is `lost`, for it diverged or has no score, or its arm's `best`, and where it is drawn.

    Lost ones are drawn a little above the lower edge.
    """
    by = found.metric
    lost: Any = rates["diverged"] | rates["score"].isna()
    trained = rates.assign(score=rates["score"].where(~lost))
    upward = by.sign * trained["score"]
    tops = upward.groupby(trained["arm"]).max()
    seen, (low, high) = put_in_view(trained, by.sign * tops, Arms.of(found), by)
    drawn = seen["drawn"].where(~lost, low + 0.05 * (high - low))
    best = upward == rates["arm"].map(tops)
    return rates.assign(lost=lost, best=best, below=seen["below"], drawn=drawn), (low, high)


def _left_out(drawn: int, count: int, kept: str) -> str:
    if drawn == count:
        return ""
    return f" Of {count:,} trials {drawn:,} are drawn: {kept} and a random sample."


def _described(data: Table, found: Evidence) -> str:
    """The best trial of each arm, and how many diverged."""
    return " ".join(
        _arm_words(arm, data[data["arm"] == arm], found)
        for arm in Arms.of(found).ordered(set(data["arm"]))
    )


def _arm_words(arm: str, data: Table, found: Evidence) -> str:
    words, diverged = f"{arm}: {counted(len(data), 'trial')}", int(data["lost"].sum())
    for row in data[data["best"]].head(1).itertuples():
        words += (
            f", the best {percent(row.score, by=found.metric)} with {row.optimizer} at a learning rate "
            f"of {row.learning_rate:.3g} after {counted(row.epochs, 'epoch')}"
        )
    return words + (f"; {diverged} diverged." if diverged else ".")


@dataclass(frozen=True)
class _Rates:
    """The chart's parts; all panels have the same axes."""

    found: Evidence
    style: Style
    every: Table
    """All trials."""
    data: Table
    """Those that are drawn."""
    limits: Limits

    @cached_property
    def optimizers(self) -> list[str]:
        return list(dict.fromkeys(self.every.sort_values("trial")["optimizer"]))

    @cached_property
    def legend(self) -> vega.Json:
        return arm_legend(Arms.of(self.found).ordered(set(self.data["arm"])), self.style)

    @cached_property
    def values(self) -> vega.Json:
        return values_of(self.data)

    def chart(self) -> Chart:
        columns = 1 if self.style.narrow else min(len(self.optimizers), 3)
        panels = [self.panel(i, columns) for i in range(len(self.optimizers))]
        return grid(panels, columns)

    def panel(self, number: int, columns: int) -> Chart:
        optimizer, first = self.optimizers[number], number % columns == 0
        width, height = panel_width(self.style, columns), 200 if self.style.narrow else 260
        base = (
            shown(vega.Chart(self.values))
            .filter(vega.equal("optimizer", optimizer))
            .encode(
                x=self.rate(),
                y=value_axis("drawn", self.limits, self.found.metric, labels=first),
                color=Arms.of(self.found).colour(legend=self.legend),
            )
        )
        layers = [
            *self.marks(base),
            pointed(base, self.tips(), self.style, f"zoom_rates_{number}"),
            *heading(optimizer, self.note(optimizer), width),
        ]
        if first:
            layers.append(side_title(f"validation {self.found.metric.label}", height))
        return vega.layer(*layers, width=width, height=height)

    def rate(self) -> vega.Json:
        low, high = (
            float(self.every["learning_rate"].min()),
            float(self.every["learning_rate"].max()),
        )
        if self.style.linear:
            scale = {"domain": [-0.02 * high, 1.04 * high], "nice": False}
            channel: dict[str, Any] = {"scale": scale, "axis": {"tickCount": 4, "format": "~f"}}
        else:
            room = max((high / low) ** 0.04, 1.25)
            channel = log_channel((low / room, high * room))
        return vega.channel("learning_rate:Q", title="learning rate", **channel)

    def tips(self) -> list[vega.Json]:
        return tooltips(
            self.found.metric,
            arm="arm",
            optimizer="optimizer",
            learning_rate="learning rate",
            epochs="epochs",
            score=f"validation {self.found.metric.label}",
            trial="trial",
        )

    def marks(self, base: Chart) -> list[Chart]:
        trained = base.filter("!datum.lost && !datum.below").mark("point", **DOT)
        trained = trained.encode(
            shape=Arms.of(self.found).shape(legend=self.legend), size=self.size()
        )
        lost = base.filter("datum.lost")
        cross = lost.mark("point", shape=CROSS, size=40, strokeWidth=1.8, opacity=1)
        return [trained, under(base), cross]

    def size(self) -> vega.Json:
        """The number of epochs as the size of a mark."""
        fewest, most = int(self.data["epochs"].min()), int(self.data["epochs"].max())
        scale = {"domain": [min(fewest, most - 1), most], "range": [SMALLEST, LARGEST]}
        legend = {
            "title": "epochs:",
            "titleOrient": "left",
            "format": "d",
            "orient": "bottom" if self.style.narrow else "top",
            "values": sorted({fewest, (fewest + most) // 2, most}),
            "symbolFillColor": INK,
            "symbolStrokeWidth": 0,
        }
        return vega.channel("epochs:Q", scale=scale, legend=legend)

    def note(self, optimizer: str) -> str:
        """How many trials are drawn at the lower edge, and why."""
        of = self.every[self.every["optimizer"] == optimizer]
        below, lost = int(of["below"].sum()), int(of["lost"].sum())
        parts = [f"▼ {below} below"] if below else []
        parts += [f"× {lost} diverged"] if lost else []
        return "\u00a0\u00a0\u00a0".join(parts)


def progress(found: Evidence, style: Style) -> Figure:
    """A row for each arm, a mark for each trial when it ended; large where it was the arm's best so far."""
    figure = Figure(
        name="progress",
        title="The search over time",
        caption="A mark for each trial when it ended. Every arm gets the same number of trials.",
        missing="No trial has ended yet.",
    )
    every, unit = _ended(found)
    if every.empty:
        return figure
    data, notes = with_links(thinned(every, every["new"]), style), _totals(every, found)
    return replace(
        figure,
        caption=figure.caption + _left_out(len(data), len(every), "the best ones so far"),
        description=" ".join(f"{arm}: {note}." for arm, note in notes.items()),
        data=data,
        chart=_rows(data, notes, unit, found, style),
    )


def _ended(found: Evidence) -> tuple[Table, str]:
    """One row a trial, in the order in which they ended, and the unit of the column `ended`.

    `new` is a trial that was its arm's best so far.
    """
    steps, sign = trials.progress(found.record.searched), found.metric.sign
    frame: Table = pd.DataFrame(steps, columns=["arm", "trial", "hours", "done", "score", "best"])
    unit, seconds = time_unit(3600 * frame["hours"].max() if len(frame) else 0.0)
    upward = sign * frame["score"]
    before = upward.groupby(frame["arm"]).transform(lambda of: of.cummax().ffill().shift())
    new = upward.notna() & ~(upward <= before)
    return frame.assign(new=new, ended=3600 * frame["hours"] / seconds), unit


def _totals(data: Table, found: Evidence) -> dict[str, str]:
    """By arm, how many trials ended and what the best one reached."""
    notes = {}
    for arm in Arms.of(found).ordered(set(data["arm"])):
        of_arm = data[data["arm"] == arm]
        best = of_arm["best"].dropna()
        reached = f", best {percent(best.iloc[-1], 1, found.metric)}" if len(best) else ""
        notes[arm] = counted(len(of_arm), "trial") + reached
    return notes


def _rows(data: Table, notes: dict[str, str], unit: str, found: Evidence, style: Style) -> Chart:
    last, arms = float(data["ended"].max()) or 1.0, list(notes)
    left = min(14 + 7 * max(map(len, arms)), 110 if style.narrow else 190)
    width = style.width - left - (16 if style.narrow else 170)
    names = {"domain": False, "labelFontSize": 12, "labelPadding": 12, "labelLimit": left - 12}
    y = vega.channel("arm:N", sort=arms, title=None, axis=names)
    since = "the start" if style.narrow else "the search began"
    x = vega.channel(
        "ended:Q",
        title=f"{unit} since {since}; large: best so far",
        scale={"domain": [-0.02 * last, 1.02 * last], "nice": False},
        axis={"tickCount": 7},
    )
    rows = shown(vega.Chart(values_of(data))).encode(x=x, y=y)
    base = rows.encode(color=Arms.of(found).colour())
    ticks = base.filter("!datum.new").mark("tick", thickness=1.5, height=13, opacity=0.75)
    best = base.filter("datum.new").mark("point", **DOT, size=85)
    words = values_of(pd.DataFrame({"arm": arms, "note": list(notes.values())}))
    place: dict[str, Any] = (
        {"align": "right", "dy": 14} if style.narrow else {"align": "left", "dx": 14}
    )
    texts = shown(vega.Chart(words)).mark("text", fontSize=11, color=INK, opacity=0.8, **place)
    texts = texts.encode(y=y, x=vega.value(width), text=vega.channel("note:N"))
    tips, height = _progress_tips(found, unit), vega.step(52 if style.narrow else 36)
    layers = [ticks, best.encode(shape=Arms.of(found).shape()), texts, pointed(rows, tips, style)]
    return vega.layer(*layers, width=width, height=height, params=[HIDDEN])


def _progress_tips(found: Evidence, unit: str) -> list[vega.Json]:
    score = f"validation {found.metric.label}"
    return tooltips(
        found.metric,
        arm="arm",
        score=score,
        best="best so far",
        trial="trial",
        done="trials so far",
        ended=unit,
    )
