"""The figures of a report, written as files and handed over for the page."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from altair.utils.schemapi import debug_mode
from matplotlib.figure import Figure as Drawn

from normsweep.analysis.evidence import Evidence
from normsweep.reporting.figures import files
from normsweep.reporting.figures.accuracy import accuracy
from normsweep.reporting.figures.diagnostics import draw_inputs
from normsweep.reporting.figures.figure import Drawer, Figure
from normsweep.reporting.figures.forest import forest
from normsweep.reporting.figures.gradients import draw_gradients
from normsweep.reporting.figures.learning_rate import draw_learning_rate
from normsweep.reporting.figures.progress import draw_progress
from normsweep.reporting.figures.saving import inline, save, svg_text
from normsweep.reporting.figures.style import NARROW
from normsweep.reporting.figures.style import Style as InkStyle
from normsweep.reporting.figures.theme import NARROW as SLIM
from normsweep.reporting.figures.theme import Style
from normsweep.reporting.figures.tunability import draw_tunability
from normsweep.text import opening

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


CHARTS: dict[str, Drawer] = {"accuracy": accuracy, "forest": forest}
"""The figures by name."""
RATES = ("learning_rate",)
"""Those with an axis of learning rates, which may be linear."""


def draw_figures(found: Evidence, style: Style | None = None) -> dict[str, Figure]:
    """All figures by name, as charts."""
    with debug_mode(False):  # each part on its own would be validated
        return {name: draw(found, style or Style()) for name, draw in CHARTS.items()}


def draw_pictures(
    found: Evidence, folder: Path, links: Mapping[int, str] | None = None
) -> dict[str, Picture]:
    """Draw all figures, write them into the folder as PNG and SVG, and return them by name.

    `links` has the addresses of the runs' pages in MLflow, by the trial's number.
    """
    style = InkStyle(found.record.arms, found.reference, metric=found.metric)
    with _uncollected():
        charts = _charts(found, folder, links or {})
        return {
            picture.name: charts.get(picture.name) or _drawn(picture, draw, found, style, folder)
            for picture, draw in zip(_pictures(found), DRAWERS, strict=True)
        }


def _charts(found: Evidence, folder: Path, links: Mapping[int, str]) -> dict[str, Picture]:
    styles = {"wide": Style(links=links), "narrow": Style(SLIM, links=links)}
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


def _drawn(
    picture: Picture, draw: InkDrawer, found: Evidence, style: InkStyle, folder: Path
) -> Picture:
    figure = draw(found, style)
    slim = draw(found, replace(style, width=NARROW))
    if figure is None or slim is None:
        return picture
    label = f"{picture.title}. {picture.caption}"
    return replace(
        picture,
        wide=inline(save(figure, folder, picture.name), picture.name, label),
        narrow=inline(svg_text(slim), f"{picture.name}-slim", label),
    )


InkDrawer = Callable[[Evidence, InkStyle], Drawn | None]
DRAWERS: tuple[InkDrawer, ...] = (
    lambda found, style: None,
    draw_inputs,
    draw_gradients,
    draw_learning_rate,
    draw_tunability,
    lambda found, style: None,
    draw_progress,
)


def _pictures(found: Evidence) -> list[Picture]:
    """Names, titles and captions, in the order of `DRAWERS`."""
    measured = found.metric.label
    turned = "" if found.metric.sign > 0 else " Lower is better, and drawn higher up."
    return [
        Picture("accuracy", "", "", ""),
        Picture(
            "inputs",
            "The inputs, and the network at the start",
            "Mean and spread of the input after normalization; how unevenly its directions are "
            "stretched (condition number; 1 is even); the loss, beside that of guessing; the share "
            "of ReLU units that never fire.",
            "The inputs were not diagnosed.",
        ),
        Picture(
            "gradients",
            "The gradient in each layer",
            "The norm of the gradient in each layer, which determines the first steps. Each step "
            "of the axis is a factor of ten.",
            "No gradients were measured.",
        ),
        Picture(
            "learning_rate",
            f"{opening(measured)} against learning rate",
            f"Each mark is a trial of the search: its learning rate and its {measured} on validation "
            "images after its last epoch. Trials had different numbers of epochs. A cross is a trial "
            f"whose loss was no longer a number; a triangle is below the axis.{turned}",
            "The search has no trials yet.",
        ),
        Picture(
            "tunability",
            "How much tuning it takes",
            "How good the best of so many trials of an arm is. These are validation scores of "
            "selected trials: good for comparing the effort, too "
            + ("high as an accuracy." if measured == "accuracy" else "good as an estimate."),
            "There are too few trials for a curve of tuning effort.",
        ),
        Picture("forest", "", "", ""),
        Picture(
            "progress",
            "The search over time",
            "A mark for each trial when it ended. Every arm gets the same number of trials.",
            "No trial has ended yet.",
        ),
    ]
