"""The figures of a report, written as files and handed over for the page."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from matplotlib.figure import Figure

from normsweep.analysis.evidence import Evidence
from normsweep.reporting.figures.accuracy import draw_accuracy
from normsweep.reporting.figures.diagnostics import draw_inputs
from normsweep.reporting.figures.forest import draw_forest
from normsweep.reporting.figures.gradients import draw_gradients
from normsweep.reporting.figures.learning_rate import draw_learning_rate
from normsweep.reporting.figures.progress import draw_progress
from normsweep.reporting.figures.saving import inline, save, svg_text
from normsweep.reporting.figures.style import NARROW, Style
from normsweep.reporting.figures.tunability import draw_tunability
from normsweep.text import opening

__all__ = ["Picture", "draw_pictures"]


@dataclass(frozen=True)
class Picture:
    """A figure as inline SVG for a desk and for a phone, with its caption.

    Both are empty where there was nothing to draw; `missing` then says so.
    """

    name: str
    title: str
    caption: str
    missing: str
    wide: str = ""
    narrow: str = ""


def draw_pictures(found: Evidence, folder: Path) -> dict[str, Picture]:
    """Draw all figures, write them into the folder as PNG and SVG, and return them by name."""
    style = Style(found.record.arms, found.reference, metric=found.metric)
    with _uncollected():
        return {
            picture.name: _drawn(picture, draw, found, style, folder)
            for picture, draw in zip(_pictures(found), DRAWERS, strict=True)
        }


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


def _drawn(picture: Picture, draw: Drawer, found: Evidence, style: Style, folder: Path) -> Picture:
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


Drawer = Callable[[Evidence, Style], Figure | None]
DRAWERS: tuple[Drawer, ...] = (
    draw_accuracy,
    draw_inputs,
    draw_gradients,
    draw_learning_rate,
    draw_tunability,
    draw_forest,
    draw_progress,
)


def _pictures(found: Evidence) -> list[Picture]:
    """Names, titles and captions, in the order of `DRAWERS`."""
    reference, measured = found.reference, found.metric.label
    turned = "" if found.metric.sign > 0 else " Lower is better, and drawn higher up."
    return [
        Picture(
            "accuracy",
            f"{opening(measured)} after each epoch",
            f"Mean {measured} on the test images after single epochs, each with its own interval. The "
            f"yellow band is the equivalence margin around {reference}; a ring marks the epoch from which "
            "an arm stays in it or above, in means of three epochs. "
            f"Triangles at the lower edge are values below the axis.{turned}",
            "There are no curves on test images yet.",
        ),
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
        Picture(
            "forest",
            "All gaps together",
            f"{opening(measured)} minus that of {reference}. Thick: the interval that decides; thin: on exactly "
            "these test images. Yellow: the equivalence margin. Circle: catches up; square: does not; "
            "hollow: not enough evidence; an arrow points at a gap beyond the axis.",
            "There are no verdicts yet.",
        ),
        Picture(
            "progress",
            "The search over time",
            "A mark for each trial when it ended. Every arm gets the same number of trials.",
            "No trial has ended yet.",
        ),
    ]
