"""The figures of a report: each drawn from data frames alone, with one style for all.

A function returns None where its frames have nothing to draw.
"""

from normsweep.reporting.figures.accuracy import draw_accuracy
from normsweep.reporting.figures.diagnostics import draw_inputs
from normsweep.reporting.figures.forest import draw_forest
from normsweep.reporting.figures.gradients import draw_gradients
from normsweep.reporting.figures.learning_rate import draw_learning_rate
from normsweep.reporting.figures.progress import draw_progress
from normsweep.reporting.figures.saving import inline, save, svg_text
from normsweep.reporting.figures.style import NARROW, WIDE, Style
from normsweep.reporting.figures.tunability import draw_tunability

__all__ = [
    "NARROW",
    "WIDE",
    "Style",
    "draw_accuracy",
    "draw_forest",
    "draw_gradients",
    "draw_inputs",
    "draw_learning_rate",
    "draw_progress",
    "draw_tunability",
    "inline",
    "save",
    "svg_text",
]
