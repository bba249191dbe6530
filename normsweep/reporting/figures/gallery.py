"""The figures of a report, written as files and handed over for the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from normsweep.analysis.evidence import Evidence
from normsweep.reporting.figures import files
from normsweep.reporting.figures.accuracy import accuracy
from normsweep.reporting.figures.diagnosis import gradients, inputs
from normsweep.reporting.figures.endings import endings
from normsweep.reporting.figures.figure import Drawer, Figure
from normsweep.reporting.figures.forest import forest
from normsweep.reporting.figures.mechanism import mechanism
from normsweep.reporting.figures.search import learning_rate, progress
from normsweep.reporting.figures.stability import stability
from normsweep.reporting.figures.theme import NARROW, WIDE, Style
from normsweep.reporting.figures.tuning import budget, tunability

__all__ = ["CHARTS", "Picture", "draw_charts", "draw_pictures"]

Found = TypeVar("Found")


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
    "mechanism": mechanism,
    "inputs": inputs,
    "gradients": gradients,
    "endings": endings,
    "stable_rates": stability,
    "learning_rate": learning_rate,
    "tunability": tunability,
    "budget": budget,
    "forest": forest,
    "progress": progress,
}
"""The figures by name."""
RATES = ("learning_rate", "endings")
"""Those with an axis of learning rates, which may be linear."""


def draw_pictures(
    found: Evidence,
    folder: Path,
    links: Mapping[int, str] | None = None,
    width: float | None = None,
    written: Callable[[Path], None] = lambda path: None,
) -> dict[str, Picture]:
    """Draw all figures, write them into the folder as PNG, SVG and PDF, and return them by name.

    Args:
        found: what is drawn.
        folder: for the files.
        links: addresses of the runs' pages in MLflow, by the trial's number.
        width: of the files in pixels, 96 to an inch; by default as on a wide page.
        written: called with each file once it is written.
    """
    return draw_charts(CHARTS, found, folder, links, width, written)


def draw_charts(
    charts: Mapping[str, Callable[[Found, Style], Figure]],
    found: Found,
    folder: Path,
    links: Mapping[int, str] | None = None,
    width: float | None = None,
    written: Callable[[Path], None] = lambda path: None,
) -> dict[str, Picture]:
    """The same with other charts, each a function of what was found and of a style."""
    styles, pictures = (Style(links=links or {}), Style(NARROW, links=links or {})), {}
    for name, draw in charts.items():
        pictures[name] = _picture(name, draw, found, styles, folder, width)
        for path in sorted(folder.glob(f"{name}.*")) if pictures[name].wide else ():
            written(path)
    return pictures


def _picture(
    name: str,
    draw: Callable[[Found, Style], Figure],
    found: Found,
    styles: tuple[Style, Style],
    folder: Path,
    width: float | None,
) -> Picture:
    desk, phone = styles
    one = draw(found, desk)
    picture = Picture(one.name, one.title, one.caption, one.missing)
    if one.chart is None:
        return picture
    wide, narrow = one.spec(), draw(found, phone).spec()
    specs = {"wide": wide, "narrow": narrow}
    if name in RATES:
        specs |= {
            "wide-linear": draw(found, replace(desk, linear=True)).spec(),
            "narrow-linear": draw(found, replace(phone, linear=True)).spec(),
        }
    text = files.svg_text(wide)
    of_width = text if width in (None, WIDE) else files.svg_text(draw(found, Style(width)).spec())
    files.save(of_width, folder, name)
    label = f"{one.title}. {one.description}"
    return replace(
        picture,
        wide=files.inline(text, name, label),
        narrow=files.inline(files.svg_text(narrow), f"{name}-slim", label),
        description=one.description,
        datasets={key: rows for spec in specs.values() for key, rows in spec["datasets"].items()},
        specs={
            key: files.on_page({part: spec[part] for part in spec if part != "datasets"})
            for key, spec in specs.items()
        },
    )
