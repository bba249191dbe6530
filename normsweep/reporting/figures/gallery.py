"""The figures of a report, written as files and handed over for the page."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from altair.utils.schemapi import debug_mode

from normsweep.analysis.evidence import Evidence
from normsweep.reporting.figures import files
from normsweep.reporting.figures.accuracy import accuracy
from normsweep.reporting.figures.diagnosis import gradients, inputs
from normsweep.reporting.figures.figure import Drawer, Figure
from normsweep.reporting.figures.forest import forest
from normsweep.reporting.figures.search import learning_rate, progress
from normsweep.reporting.figures.theme import NARROW, Style
from normsweep.reporting.figures.tuning import budget, tunability

__all__ = ["CHARTS", "Picture", "draw_figures", "draw_pictures"]


@dataclass(frozen=True)
class Picture:
    """A figure for a page: as inline SVG for a desk and for a phone, and as a chart to be explored.

    All is empty where there was nothing to draw; `missing` then says so.
    """

    name: str
    title: str
    caption: str
    missing: str
    wide: str = ""
    narrow: str = ""
    description: str = ""
    """What there is to see, for those who cannot see it."""
    specs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """In Vega-Lite without their data, by "wide" and "narrow"; where learning rates are drawn, also by
    "wide-linear" and "narrow-linear". For Vega's SVG renderer: they have the page's ink and font."""
    datasets: Mapping[str, Any] = field(default_factory=dict)
    """What belongs under `datasets` of all `specs`."""


CHARTS: dict[str, Drawer] = {
    "accuracy": accuracy,
    "inputs": inputs,
    "gradients": gradients,
    "learning_rate": learning_rate,
    "tunability": tunability,
    "budget": budget,
    "forest": forest,
    "progress": progress,
}
"""The figures by name."""
RATES = ("learning_rate",)
"""Those with an axis of learning rates, which may be linear."""


def draw_figures(found: Evidence, style: Style | None = None) -> dict[str, Figure]:
    """All figures by name, as charts."""
    with debug_mode(False):
        return {name: draw(found, style or Style()) for name, draw in CHARTS.items()}


def draw_pictures(
    found: Evidence, folder: Path, links: Mapping[int, str] | None = None
) -> dict[str, Picture]:
    """Draw all figures, write them into the folder as PNG and SVG, and return them by name.

    `links` has the addresses of the runs' pages in MLflow, by the trial's number.
    """
    with _uncollected(), debug_mode(False):  # each part on its own would be validated
        return _pictures(found, folder, links or {})


def _pictures(found: Evidence, folder: Path, links: Mapping[int, str]) -> dict[str, Picture]:
    styles = {"wide": Style(links=links), "narrow": Style(NARROW, links=links)}
    drawn = {key: draw_figures(found, style) for key, style in styles.items()}
    linear = {f"{key}-linear": replace(style, linear=True) for key, style in styles.items()}
    return {
        name: _picture(
            {key: figures[name] for key, figures in drawn.items()}
            | {key: CHARTS[name](found, style) for key, style in linear.items() if name in RATES},
            folder,
        )
        for name in CHARTS
    }


def _picture(figures: Mapping[str, Figure], folder: Path) -> Picture:
    """A figure's picture from its charts by width."""
    one = figures["wide"]
    picture = Picture(one.name, one.title, one.caption, one.missing)
    if one.chart is None:
        return picture
    specs = {key: figure.spec() for key, figure in figures.items()}
    label = f"{one.title}. {one.description}"
    return replace(
        picture,
        wide=files.inline(files.save(specs["wide"], folder, one.name), one.name, label),
        narrow=files.inline(files.svg_text(specs["narrow"]), f"{one.name}-slim", label),
        description=one.description,
        datasets={name: rows for spec in specs.values() for name, rows in spec["datasets"].items()},
        specs={
            key: files.on_page({part: spec[part] for part in spec if part != "datasets"})
            for key, spec in specs.items()
        },
    )


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without garbage collection, which takes a quarter of the time of drawing."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
