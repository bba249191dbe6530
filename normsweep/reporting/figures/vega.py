"""Charts in Vega-Lite as plain dictionaries, under the names of Altair, which users get them in.

Altair copies a chart with all its parts at each step, and a figure has some forty of them: with it a
report takes 4.3 s of processor time in place of 2.7.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import altair

__all__ = [
    "VERSION",
    "Chart",
    "Json",
    "as_altair",
    "channel",
    "datum",
    "equal",
    "expr",
    "hconcat",
    "layer",
    "param",
    "spec",
    "step",
    "unequal",
    "value",
    "vconcat",
]

Json = dict[str, Any]
VERSION = "6.4"
"""Of Vega-Lite."""
KINDS = {"Q": "quantitative", "N": "nominal"}
PARTS = ("layer", "hconcat", "vconcat")


class Chart(dict[str, Any]):
    """One mark, or what marks have in common: its methods return it with more."""

    def __init__(self, data: Json | None = None, **more: Any) -> None:
        super().__init__({"data": data, **more} if data else more)

    def _with(self, **more: Any) -> Chart:
        return Chart(**{**self, **more})

    def filter(self, test: str) -> Chart:
        """Only the rows of which the expression is true."""
        return self._with(transform=[*self.get("transform", []), {"filter": test}])

    def calculate(self, **made: str) -> Chart:
        """More fields, each an expression."""
        more = [{"calculate": of, "as": name} for name, of in made.items()]
        return self._with(transform=[*self.get("transform", []), *more])

    def encode(self, **channels: Any) -> Chart:
        """Fields as places and looks: channels, lists of them, or shorthands such as `arm:N`."""
        made = {name: channel(of) if isinstance(of, str) else of for name, of in channels.items()}
        for second in made.keys() & {"x2", "y2"}:  # of the type of the first
            made[second].pop("type", None)
        return self._with(encoding={**self.get("encoding", {}), **made})

    def mark(self, kind: str, **looks: Any) -> Chart:
        """How a row is drawn."""
        return self._with(mark={"type": kind, **looks})

    def zoomed(self, name: str, wheel: str) -> Chart:
        """With axes that are dragged, and zoomed by this event; `name` is unique in a figure."""
        by: Json = {"type": "interval", "zoom": wheel}
        return self._with(params=[{"name": name, "select": by, "bind": "scales"}])


def channel(shorthand: str, **more: Any) -> Json:
    """A field, with its type if `:Q` or `:N` follows it, as a place or a look."""
    name, _, kind = shorthand.partition(":")
    return {"field": name, **({"type": KINDS[kind]} if kind else {}), **more}


def value(of: Any) -> Json:
    """The same for all rows: pixels, or a look."""
    return {"value": of}


def datum(of: float) -> Json:
    """The same for all rows: a value on an axis."""
    return {"datum": of}


def expr(text: str) -> Json:
    """What an expression gives, where a property may obey parameters."""
    return {"expr": text}


def param(name: str, value: Any) -> Json:
    """What a page may set, as it is at first."""
    return {"name": name, "value": value}


def step(pixels: float) -> Json:
    """A height by rows: pixels of each."""
    return {"step": pixels}


def equal(field: str, to: str) -> str:
    """An expression: the rows whose field is this text."""
    return f"datum.{field} == {json.dumps(to)}"


def unequal(field: str, to: str) -> str:
    """An expression: the rows whose field is another text."""
    return f"datum.{field} != {json.dumps(to)}"


def layer(*charts: Json, **more: Any) -> Json:
    """Charts above one another; data that all of them have stand there once."""
    data = charts[0].get("data")
    if data is None or any(chart.get("data") is not data for chart in charts):
        return {"layer": charts, **more}
    bare = [{key: part for key, part in chart.items() if key != "data"} for chart in charts]
    return {"data": data, "layer": bare, **more}


def hconcat(*charts: Json, **more: Any) -> Json:
    """Charts in a row."""
    return {"hconcat": charts, **more}


def vconcat(*charts: Json, **more: Any) -> Json:
    """Charts below one another."""
    return {"vconcat": charts, **more}


def spec(chart: Json) -> Json:
    """The chart with its data under `datasets`, each once, by a name that equal data have in all charts.

    What zooms stands at the top as well, with the name of the view in which it does.
    """
    datasets: Json = {}
    zooms: list[Json] = []
    made = _named(chart, datasets, zooms)
    return {**made, "params": [*made.get("params", []), *zooms], "datasets": datasets}


def _named(part: Json, datasets: Json, zooms: list[Json]) -> Json:
    made = dict(part)
    if "data" in part:
        values = part["data"]["values"]
        digest = hashlib.sha256(json.dumps(values).encode()).hexdigest()[:32]
        name = "empty" if values == [{}] else f"data-{digest}"
        made["data"] = {key: of for key, of in part["data"].items() if key != "values"} | {
            "name": name
        }
        datasets[name] = values
    if "mark" in part and "params" in part:
        made["name"] = "_".join(["view", *(param["name"] for param in part["params"])])
        zooms += [{**param, "views": [made["name"]]} for param in made.pop("params")]
    for kind in PARTS:
        if kind in part:
            made[kind] = [_named(each, datasets, zooms) for each in part[kind]]
    return made


def as_altair(part: Json) -> altair.TopLevelMixin:
    """The chart as one of Altair's."""
    import altair as alt

    made: Json = {key: of for key, of in part.items() if key not in ("data", "params", *PARTS)}
    if "data" in part:
        made["data"] = alt.InlineData(**part["data"])
    if "params" in part:
        made["params"] = [
            alt.SelectionParameter(**param) if "select" in param else alt.VariableParameter(**param)
            for param in part["params"]
        ]
    kinds = {"layer": alt.LayerChart, "hconcat": alt.HConcatChart, "vconcat": alt.VConcatChart}
    kind = next((kind for kind in PARTS if kind in part), None)
    if "encoding" in part:
        encoding = alt.SharedEncoding if kind else alt.FacetedEncoding
        made["encoding"] = encoding(**part["encoding"])
    if kind is None:
        return alt.Chart(**made)
    return kinds[kind](**{kind: [as_altair(each) for each in part[kind]]}, **made)
