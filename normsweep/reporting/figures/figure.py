"""A figure: a chart with its numbers and its words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from normsweep.analysis.evidence import Evidence
from normsweep.reporting.figures.theme import CONFIG, Style
from normsweep.reporting.figures.vega import Json

__all__ = ["Drawer", "Figure"]


@dataclass(frozen=True)
class Figure:
    """A chart with its numbers and its words; chart and data are None where there is nothing to draw.

    A page sets these parameters of a chart, where it has them:
    `hidden`: the names of arms that are not drawn;
    `measure`: "score", or "error" where the metric is a share of which more is better;
    `along`: "epochs", "seconds" (of training) or "total" (the seconds of the arm's search as well);
    `margin`: the equivalence margin that is drawn;
    `outcomes`: in the forest, the outcome of each row with that margin, None for those of the study.
    """

    name: str
    title: str
    caption: str
    missing: str
    """What a page says where there is nothing to draw."""
    description: str = ""
    """What there is to see, from the figure's numbers, for those who cannot see it."""
    data: pd.DataFrame | None = None
    chart: Json | None = None
    """In Vega-Lite, without the data."""

    def spec(self) -> Json:
        """The chart as Vega-Lite, in the house style; its numbers are under `datasets`.

        Equal numbers have equal names there in all specs: those of Altair.
        """
        values = self._values()
        name = f"data-{hashlib.sha256(json.dumps(values['values']).encode()).hexdigest()[:32]}"
        return {
            **self._with({"name": name, "format": values["format"]}),
            "datasets": {name: values["values"]},
            "description": self.description,
            "config": CONFIG,
        }

    def bare(self) -> Json:
        """The chart as Vega-Lite with its numbers inside, without a style of its own."""
        return self._with(self._values())

    def _with(self, data: Json) -> Json:
        assert self.chart is not None
        return {"data": data, **self.chart}

    def _values(self) -> Json:
        """The numbers as CSV: a third of the size of JSON, and what a page hands out.

        What is missing or not finite is empty there, and null in the chart.
        """
        assert self.data is not None
        kinds = {str(name): _kind(column) for name, column in self.data.items()}
        truths = [name for name, kind in kinds.items() if kind == "boolean"]
        numbers = self.data.replace([float("inf"), float("-inf")], float("nan"))
        text = numbers.astype(dict.fromkeys(truths, int)).to_csv(
            index=False, float_format="%.7g", lineterminator="\n"
        )
        return {"values": text, "format": {"type": "csv", "parse": kinds}}


Drawer = Callable[[Evidence, Style], Figure]


def _kind(column: pd.Series) -> str:
    if pd.api.types.is_bool_dtype(column):
        return "boolean"
    return "number" if pd.api.types.is_numeric_dtype(column) else "string"
