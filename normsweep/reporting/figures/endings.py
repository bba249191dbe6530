"""How the trials of the search ended: a map of learning rate and arm."""

from __future__ import annotations

from dataclasses import replace

from normsweep.analysis.endings import Ended
from normsweep.analysis.evidence import Evidence
from normsweep.reporting.ending_tables import trial_endings_table
from normsweep.reporting.figures.axes import rate_axis
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
    thinned,
    tooltips,
    with_links,
    with_score,
)
from normsweep.reporting.figures.theme import CROSS, Arms, Style, Table
from normsweep.reporting.figures.vega import Chart, Json, channel, equal
from normsweep.text import counted

__all__ = ["endings"]

SHAPES = {Ended.TRAINED: "circle", Ended.STUCK: "square", Ended.DIVERGED: CROSS}
PLACES = {Ended.TRAINED: -9, Ended.STUCK: 0, Ended.DIVERGED: 9}
"""Pixels from the middle of an arm's row: a height for each, so that no mark hides another kind of mark."""
GLYPHS = {Ended.STUCK: "□", Ended.DIVERGED: "×"}
STEP = 46
"""Pixels from row to row."""


def endings(found: Evidence, style: Style) -> Figure:
    """A panel for each optimizer, a row for each arm, a mark for each trial: trained, stuck or diverged."""
    figure = Figure(
        name="endings",
        title="How trials ended, by learning rate",
        caption="Each mark is a trial of the search at its learning rate. A dot trained; a square is stuck, no better "
        "than guessing; a cross diverged. Trials that crashed or timed out are left out.",
        missing="No trial of the search has ended yet.",
    )
    every = with_score(trial_endings_table(found.endings.searched, found.metric))
    every = every.query("learning_rate > 0")
    if every.empty:
        return figure
    data = with_links(thinned(every, every["ended"] != Ended.TRAINED), style)
    return replace(
        figure,
        description=" ".join(_arm_words(arm, rows) for arm, rows in by_arm(every, found)),
        data=data,
        chart=_map(every, found, style),
    )


def _arm_words(arm: str, rows: Table) -> str:
    """How many trials of an arm ended in each way, and at which rates."""
    groups = [(ended, rows[rows["ended"] == ended]["learning_rate"]) for ended in SHAPES]
    said = [f"{len(rates)} {ended}, {_span(rates)}" for ended, rates in groups if len(rates)]
    return f"{arm}: {counted(len(rows), 'trial')}; {'; '.join(said)}."


def _span(rates: Table) -> str:
    low, high = rates.min(), rates.max()
    return f"at {low:.2g}" if low == high else f"from {low:.2g} to {high:.2g}"


def _map(every: Table, found: Evidence, style: Style) -> Json:
    optimizers = every.sort_values("trial")["optimizer"].unique().tolist()
    arms = Arms.of(found).ordered(every["arm"])
    columns = 1 if style.narrow else min(len(optimizers), 3)
    left = name_width(arms, style, 190)
    width = (style.width - left - GAP * (columns - 1) - 14) / columns
    panels = []
    for i, optimizer in enumerate(optimizers):
        rows = rows_of(equal("optimizer", optimizer))
        y = _rows(arms, left if i % columns == 0 else 0)
        base = rows.encode(x=rate_axis(every["learning_rate"], style), y=y)
        note = _note(every[every["optimizer"] == optimizer])
        marks = _marks(found, style, f"zoom_endings_{i}")
        panels.append(panel(base, marks, (width, {"step": STEP}), optimizer, note))
    return grid(panels, columns)


def _rows(arms: list[str], left: float) -> Json:
    """A row for each arm, named in the first column of panels."""
    names: Json = {"labels": bool(left), "labelFontSize": 12, "labelPadding": 8, "labelLimit": left}
    scale = {"domain": arms}
    return channel("arm:N", sort=arms, title=None, axis={"domain": False, **names}, scale=scale)


def _marks(found: Evidence, style: Style, zoom: str) -> list[Json]:
    colour = Arms.of(found).looks("color")
    marks = []
    for ended, shape in SHAPES.items():
        hollow = {"filled": False, "opacity": 1, "strokeWidth": 1.8, "size": 60}
        looks = {**DOT, "size": 60} if ended is Ended.TRAINED else hollow
        rows = Chart().filter(equal("ended", ended))
        marks.append(
            rows.mark("point", shape=shape, yOffset=PLACES[ended], **looks).encode(**colour)
        )
    fields = ("arm", "optimizer", "learning_rate", "epochs", "score", "trial", "ended", "kind")
    tips = tooltips(found.metric, *fields)
    for ended, place in PLACES.items():
        rows, own = Chart().filter(equal("ended", ended)), zoom if not place else ""
        over = pointed(rows, tips, style, own, along=("x",))
        marks.append(Chart({**over, "mark": {**over["mark"], "yOffset": place}}))
    return marks


def _note(rows: Table) -> str:
    """How many are stuck and diverged, with their marks."""
    counts = (
        (glyph, int((rows["ended"] == ended).sum()), ended) for ended, glyph in GLYPHS.items()
    )
    said = [f"{glyph} {count} {ended}" for glyph, count, ended in counts if count]
    return "\u00a0\u00a0\u00a0".join(said)
