"""What several figures share: panels in a grid, marks, what one points at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from normsweep.analysis.evidence import Evidence
from normsweep.parts.metrics import CLASSIFICATION, Metric
from normsweep.reporting.figures.theme import FAINT, PAPER, Arms, Style, Table
from normsweep.reporting.figures.vega import Chart, Json, channel

__all__ = [
    "DOT",
    "GAP",
    "HIDDEN",
    "LEFT",
    "MANY",
    "by_arm",
    "grid",
    "legend",
    "name_width",
    "panel",
    "panel_width",
    "pointed",
    "rows_of",
    "thinned",
    "tooltips",
    "under",
    "with_links",
    "with_score",
    "written",
]

LEFT, GAP = 62.0, 20.0
"""Pixels left of the axes, and between neighbouring panels."""
MANY = 1000
"""Trials that a figure draws one by one."""
DOT: Json = {"filled": True, "opacity": 1, "stroke": PAPER, "strokeWidth": 0.7}
"""Keywords of an arm's marker."""
TITLES = {
    "score": "validation {metric}", "best": "best so far", "done": "trials so far", "among": "best of",
    "reached_by": "reached by",
    "kind": "estimate", "text": "value", "guide": "guessing", "learning_rate": "learning rate",
}  # fmt: skip
FORMATS = {
    "learning_rate": ".3~g",
    "rate": ".3~g",
    "norm": ".3~g",
    "ended": ".3~g",
    "seconds": ",.3~r",
}
"""Of the fields in tooltips: titles other than the field's name, and formats of numbers."""
HIDDEN: Json = {"name": "hidden", "value": []}
"""Names of arms that are not drawn."""


def rows_of(*tests: str) -> Chart:
    """The rows of which the expressions are true, without the arms that a reader has hidden."""
    return Chart().filter("indexof(hidden, datum.arm) < 0", *tests)


def by_arm(data: Table, found: Evidence) -> list[tuple[str, Table]]:
    """Each arm with its rows, in the study's order."""
    return [(arm, data[data["arm"] == arm]) for arm in Arms.of(found).ordered(data["arm"])]


def panel_width(style: Style, columns: int, room: float = 0.0) -> float:
    """The width of each panel of a row, with so many pixels beside all of them."""
    return (style.width - LEFT - room - GAP * (columns - 1)) / columns


def panel(
    base: Json,
    marks: Sequence[Json],
    size: tuple[float, float | Json],
    title: str = "",
    note: str = "",
    beside: Sequence[Json] = (),
) -> Json:
    """Marks with what they share, a title, a smaller line under it, and what is drawn beside them."""
    words = [written(title, 0, -27 if note else -12, fontSize=13, fontWeight="bold", opacity=1)]
    words += [written(note, 0, -10)] if note else []
    layers = [{**base, "layer": marks}, *(words if title else []), *beside]
    return {"layer": layers, "width": size[0], "height": size[1]}


def written(text: str | Json, x: float, y: float, **looks: Any) -> Chart:
    """A text at this place, in pixels from the upper left corner of the axes."""
    mark = {**FAINT, "align": "left", "baseline": "middle", "clip": False, **looks}
    return Chart(data={"values": [{}]}).mark("text", text=text, x=x, y=y, **mark)


def name_width(names: Iterable[str], style: Style, most: int) -> int:
    """Pixels for the names of rows to the left of the axes, at most so many; fewer on a phone."""
    return min(14 + 7 * max(map(len, names)), 110 if style.narrow else most)


def grid(panels: Sequence[Json], columns: int, *params: Json, **more: Any) -> Json:
    """The panels in rows of so many, as a whole figure with parameters; `more` are its properties."""
    rows = [
        {"hconcat": panels[i : i + columns], "spacing": GAP} for i in range(0, len(panels), columns)
    ]
    below = {"vconcat": panels if columns == 1 else rows}
    return {
        **(rows[0] if len(panels) == columns > 1 else below),
        "params": [HIDDEN, *params],
        **more,
    }


def with_score(table: Table) -> Table:
    """A table of the search, with the column of its validation score as `score`."""
    return table.rename(columns=lambda name: "score" if name.startswith("val_") else name)


def legend(present: Sequence[str], style: Style) -> Json:
    """The key of the arms, in as many rows as they need."""
    name = min(7.0 * max(map(len, present)), 230) + 32
    return {"values": list(present), "columns": max(1, int(style.width / name))}


def under(rows: Chart) -> Chart:
    """Triangles at the lower edge for what lies below it, so that nothing vanishes silently."""
    looks: Json = {"size": 55, "filled": True, "opacity": 1, "yOffset": -4}
    return (
        rows.filter("datum.below").mark("point", shape="triangle-down", **looks).encode(y="drawn:Q")
    )


def pointed(
    rows: Chart, tips: list[Json], style: Style, zoom: str = "", along: Sequence[str] = ("x", "y")
) -> Chart:
    """What one points at, on top of all marks: what it says, and the way to its run; files are without it.

    `zoom` is a name for the axes that one drags there, and zooms by the wheel with the Control key; on a
    phone a finger scrolls the page. `along`: which axes are zoomed.
    """
    way: Json = {"href": "url:N"} if style.links else {}
    made = rows.mark("point", size=110, opacity=0, filled=True).encode(tooltip=tips, **way)
    if not zoom or style.narrow:
        return made
    select = {"type": "interval", "encodings": list(along), "zoom": "wheel![event.ctrlKey]"}
    drag = {"name": zoom, "select": select, "bind": "scales"}
    return Chart(made, name=f"view_{zoom}", params=[drag])


def tooltips(by: Metric, *fields: str, **titled: str) -> list[Json]:
    """What one reads when one points at a mark: the fields, and those with titles of their own."""
    value = ".2%" if by.percent else ".4f" if CLASSIFICATION in by.tasks else ",.4~r"
    formats = FORMATS | dict.fromkeys(("score", "best", "low", "high", "error"), value)
    titles = TITLES | titled
    return [
        channel(
            f"{field}:{'Q' if field in formats else 'N'}",
            title=titles.get(field, field).format(metric=by.label),
            **({"format": formats[field]} if field in formats else {}),
        )
        for field in (*fields, *titled)
    ]


def with_links(data: Table, style: Style) -> Table:
    """The table with the address of each trial's run as `url`, where any is known."""
    urls = [style.links.get(trial, "") for trial in data["trial"]] if style.links else []
    return data.assign(url=urls) if style.links else data


def thinned(frame: Table, keep: Table) -> Table:
    """At most about a thousand rows: those to keep, and a random sample of the others, in their order."""
    others = np.flatnonzero(~keep)
    if len(frame) <= MANY or not len(others):
        return frame
    share = min(max(MANY - int(keep.sum()), 0), len(others))
    drawn = np.random.default_rng(0).choice(others, share, replace=False)
    return frame.iloc[np.sort(np.r_[np.flatnonzero(keep), drawn])]
