"""Charts in Vega-Lite as plain dictionaries, under the names of Altair, which users get them in.

Altair copies a chart with all its parts at each step, and a figure has some forty of them: with it a
report takes 4.3 s of processor time in place of 2.7.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

__all__ = ["VERSION", "Chart", "Json", "channel", "equal", "expr"]

Json = dict[str, Any]
VERSION = "6.4"
"""Of Vega-Lite."""
KINDS = {"Q": "quantitative", "N": "nominal"}


class Chart(Json):
    """One mark, or what several have in common; each method returns it with more."""

    def filter(self, *tests: str) -> Chart:
        """Only the rows of which all these expressions are true."""
        return self._transformed({"filter": test} for test in tests)

    def calculate(self, **made: str) -> Chart:
        """More fields, each an expression."""
        return self._transformed({"calculate": of, "as": name} for name, of in made.items())

    def _transformed(self, steps: Iterable[Json]) -> Chart:
        return Chart(self | {"transform": [*self.get("transform", []), *steps]})

    def encode(self, **channels: str | float | Json | list[Json]) -> Chart:
        """Fields as places and looks: channels, lists of them, shorthands such as `arm:N`, or pixels."""
        made = {name: _channel(of) for name, of in channels.items()}
        for second in made.keys() & {"x2", "y2"}:  # of the type of the first
            made[second].pop("type", None)
        return Chart(self | {"encoding": self.get("encoding", {}) | made})

    def mark(self, kind: str, **looks: Any) -> Chart:
        """How a row is drawn."""
        return Chart(self | {"mark": {"type": kind, **looks}})


def channel(shorthand: str, **more: Any) -> Json:
    """A field, with its type if `:Q` or `:N` follows it, as a place or a look."""
    name, _, kind = shorthand.partition(":")
    return {"field": name, **({"type": KINDS[kind]} if kind else {}), **more}


def _channel(of: str | float | Json | list[Json]) -> Any:
    if isinstance(of, str):
        return channel(of)
    return {"value": of} if isinstance(of, int | float) else of


def expr(text: str) -> Json:
    """What an expression gives, where a property may obey parameters."""
    return {"expr": text}


def equal(field: str, to: str) -> str:
    """An expression: the rows whose field is this text."""
    return f"datum.{field} == {json.dumps(to)}"
