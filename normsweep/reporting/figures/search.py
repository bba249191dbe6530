"""The trials of the search: their scores by learning rate and optimizer, and when they ended."""

from __future__ import annotations

from dataclasses import replace

from normsweep.analysis.evidence import Evidence
from normsweep.reporting.evidence_tables import learning_rates_table, progress_table
from normsweep.reporting.figures.axes import rate_axis, time_unit, value_axis
from normsweep.reporting.figures.figure import Figure
from normsweep.reporting.figures.limits import Limits, in_view
from normsweep.reporting.figures.panels import (
    DOT,
    by_arm,
    grid,
    legend,
    name_width,
    panel,
    panel_width,
    pointed,
    rows_of,
    thinned,
    tooltips,
    under,
    with_links,
    with_score,
)
from normsweep.reporting.figures.theme import CROSS, FAINT, INK, Arms, Style, Table
from normsweep.reporting.figures.vega import Chart, Json, channel, equal
from normsweep.reporting.words import percent
from normsweep.text import counted, opening

__all__ = ["learning_rate", "progress"]

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
        "data after its last epoch. Larger marks had more epochs. A cross is a trial whose loss was "
        f"no longer a number; a triangle is below the axis.{turned}",
        missing="The search has no trials yet.",
    )
    every = _rates(found)
    if every.empty:
        return figure
    every, limits = _in_view(every, found)
    data = with_links(thinned(every, every["best"]), style)
    return replace(
        figure,
        caption=figure.caption + _left_out(len(data), len(every), "the best of each arm"),
        description=" ".join(_arm_words(arm, rows, found) for arm, rows in by_arm(every, found)),
        data=data,
        chart=_by_rate(every, limits, found, style),
    )


def _rates(found: Evidence) -> Table:
    """One row a trial with a score; the reference's come first, so that others are seen on them."""
    rates = with_score(learning_rates_table(found.record.searched)).query("learning_rate > 0")
    order = Arms.of(found).back_to_front(rates["arm"])[::-1]
    return rates.sort_values("arm", key=lambda arm: arm.map(order.index), kind="stable")


def _in_view(rates: Table, found: Evidence) -> tuple[Table, Limits]:
    """Whether a trial is `lost`, for it diverged or has no score, or its arm's `best`, and where it is drawn.

    Lost ones are drawn a little above the lower edge.
    """
    lost = rates["diverged"] | rates["score"].isna()
    trained = rates.assign(score=rates["score"].mask(lost))
    upward = found.metric.sign * trained["score"]
    tops = upward.groupby(trained["arm"]).max()
    seen, (low, high) = in_view(trained, found.metric.sign * tops, found)
    drawn = seen["drawn"].mask(lost, low + 0.05 * (high - low))
    best = upward == rates["arm"].map(tops)
    return rates.assign(lost=lost, best=best, below=seen["below"], drawn=drawn), (low, high)


def _left_out(drawn: int, count: int, kept: str) -> str:
    if drawn == count:
        return ""
    return f" Of {count:,} trials {drawn:,} are drawn: {kept} and a random sample."


def _arm_words(arm: str, rows: Table, found: Evidence) -> str:
    """The best trial of an arm, and how many diverged."""
    words, diverged = f"{arm}: {counted(len(rows), 'trial')}", int(rows["lost"].sum())
    for row in rows[rows["best"]].head(1).itertuples():
        words += (
            f", the best {percent(row.score, by=found.metric)} with {row.optimizer} at a learning rate "
            f"of {row.learning_rate:.3g} after {counted(row.epochs, 'epoch')}"
        )
    return words + (f"; {diverged} diverged." if diverged else ".")


def _by_rate(every: Table, limits: Limits, found: Evidence, style: Style) -> Json:
    """All panels have the same axes."""
    optimizers = every.sort_values("trial")["optimizer"].unique().tolist()
    columns = 1 if style.narrow else min(len(optimizers), 3)
    size = panel_width(style, columns), 200.0 if style.narrow else 260.0
    score, key = (
        f"validation {found.metric.label}",
        legend(Arms.of(found).ordered(every["arm"]), style),
    )
    fields = ("arm", "optimizer", "learning_rate", "epochs", "score", "trial")
    looks, tips, panels = Arms.of(found).looks, tooltips(found.metric, *fields), []
    for i, optimizer in enumerate(optimizers):
        y = value_axis("drawn", limits, found.metric, score, labels=i % columns == 0)
        rows = rows_of(equal("optimizer", optimizer)).encode(
            x=rate_axis(every["learning_rate"], style), y=y
        )
        dots = Chart().filter("!datum.lost && !datum.below").mark("point", **DOT)
        cross = {"shape": CROSS, "size": 40, "strokeWidth": 1.8, "opacity": 1}
        marks = [
            dots.encode(**looks("shape", legend=key), size=_size(every, style)),
            under(Chart()),
            Chart().filter("datum.lost").mark("point", **cross),
            pointed(Chart(), tips, style, f"zoom_rates_{i}"),
        ]
        note = _note(every[every["optimizer"] == optimizer])
        base = rows.encode(**looks("color", legend=key))
        panels.append(panel(base, marks, size, optimizer, note))
    return grid(panels, columns)


def _size(every: Table, style: Style) -> Json:
    """The number of epochs as the size of a mark."""
    fewest, most = int(every["epochs"].min()), int(every["epochs"].max())
    scale = {"domain": [min(fewest, most - 1), most], "range": [SMALLEST, LARGEST]}
    key = {
        "title": "epochs:", "titleOrient": "left", "format": "d", "symbolFillColor": INK,
        "symbolStrokeWidth": 0, "orient": "bottom" if style.narrow else "top",
        "values": sorted({fewest, (fewest + most) // 2, most}),
    }  # fmt: skip
    return channel("epochs:Q", scale=scale, legend=key)


def _note(rows: Table) -> str:
    """How many trials are drawn at the lower edge, and why."""
    below, lost = int(rows["below"].sum()), int(rows["lost"].sum())
    parts = [f"▼ {below} below"] if below else []
    return "\u00a0\u00a0\u00a0".join(parts + ([f"× {lost} diverged"] if lost else []))


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
    data = with_links(thinned(every, every["new"]), style)
    notes = {arm: _total(rows, found) for arm, rows in by_arm(every, found)}
    return replace(
        figure,
        caption=figure.caption + _left_out(len(data), len(every), "the best ones so far"),
        description=" ".join(f"{arm}: {note}." for arm, note in notes.items()),
        data=data,
        chart=_over_time(float(every["ended"].max()), notes, unit, found, style),
    )


def _ended(found: Evidence) -> tuple[Table, str]:
    """One row a trial, in the order in which they ended, and the unit of the column `ended`.

    `new` is a trial that was its arm's best so far.
    """
    frame = with_score(progress_table(found.record.searched))
    unit, seconds = time_unit(3600 * frame["hours"].max() if len(frame) else 0.0)
    upward = found.metric.sign * frame["score"]
    before = upward.groupby(frame["arm"]).transform(lambda of: of.cummax().ffill().shift())
    new = upward.notna() & ~(upward <= before)
    return frame.assign(new=new, ended=3600 * frame["hours"] / seconds), unit


def _total(rows: Table, found: Evidence) -> str:
    """How many trials of an arm ended and what the best one reached."""
    best = rows["best"].dropna().tail(1)
    reached = [f", best {percent(each, 1, found.metric)}" for each in best]
    return counted(len(rows), "trial") + "".join(reached)


def _over_time(
    last: float, notes: dict[str, str], unit: str, found: Evidence, style: Style
) -> Json:
    looks, last = Arms.of(found).looks, last or 1.0
    left = name_width(notes, style, 190)
    width = style.width - left - (16 if style.narrow else 170)
    names = {"domain": False, "labelFontSize": 12, "labelPadding": 12, "labelLimit": left - 12}
    x = channel(
        "ended:Q",
        title=f"{unit} since {'the start' if style.narrow else 'the search began'}; large: best so far",
        scale={"domain": [-0.02 * last, 1.02 * last], "nice": False},
        axis={"tickCount": 7},
    )
    y, colour = channel("arm:N", sort=list(notes), title=None, axis=names), looks("color")
    ticks = Chart().filter("!datum.new").mark("tick", thickness=1.5, height=13, opacity=0.75)
    best = Chart().filter("datum.new").mark("point", **DOT, size=85)
    fields = ("arm", "score", "best", "trial", "done")
    marks = [
        ticks.encode(**colour),
        best.encode(**colour, **looks("shape")),
        pointed(Chart(), tooltips(found.metric, *fields, ended=unit), style),
    ]
    place = {"align": "right", "dy": 14} if style.narrow else {"align": "left", "dx": 14}
    values = [{"arm": arm, "note": note} for arm, note in notes.items()]
    words = Chart(data={"values": values}, **rows_of()).mark("text", **FAINT, **place)
    beside = words.encode(y=y, x=width, text="note:N")
    step = {"step": 52 if style.narrow else 36}
    base = rows_of().encode(x=x, y=y)
    return grid([panel(base, marks, (width, step), beside=[beside])], 1)
