"""Figures laid out in inches from the top left, so that nothing has to be measured twice."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from normsweep.parts.metrics import Metric
from normsweep.reporting.figures.style import Style, faint
from normsweep.reporting.figures.text import fitted

__all__ = [
    "beside",
    "blank",
    "columns_of",
    "epoch_ticks",
    "heading",
    "height_of",
    "log_ticks",
    "new_figure",
    "place",
    "value_ticks",
    "width_of",
]

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches, without a background."""
    return Figure(figsize=(width, height), facecolor="none")


def place(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at this place, in inches from the figure's top left corner."""
    across, down = (float(inches) for inches in figure.get_size_inches())
    return figure.add_axes(
        (left / across, 1 - (top + height) / down, width / across, height / down)
    )


def height_of(axes: Axes) -> float:
    """The height of the axes in inches."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    return float(axes.get_position().height * figure.get_size_inches()[1])


def width_of(axes: Axes) -> float:
    """The width of the axes in inches."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    return float(axes.get_position().width * figure.get_size_inches()[0])


def heading(axes: Axes, title: str, below: str = "", room: float = 0.0, size: float = 9.5) -> None:
    """A title above the axes, and a smaller line under it.

    `room` are inches to the right of the axes that may be used too.
    """
    space, inch = width_of(axes) + room, 1 / height_of(axes)
    text = fitted(title, space, size, bold=True)
    lift = 0.265 if below else 0.1
    axes.text(0, 1 + lift * inch, text, weight="bold", size=size, transform=axes.transAxes)
    if below:
        text = fitted(below, space, 8)
        axes.text(0, 1 + 0.1 * inch, text, size=8, color=faint(0.75), transform=axes.transAxes)


def beside(
    axes: Axes, text: str, edge: int, across: float, y: float, down: float = 0.0, size: float = 8.8,
    **kwargs: Any,
) -> None:  # fmt: skip
    """A text on the row `y` of the axes, inches away from their left (0) or right (1) edge.

    The axes have their limits already.
    """
    bottom, top = axes.get_ylim()
    axes.text(
        edge + across / width_of(axes), y + down * (bottom - top) / height_of(axes), text,
        size=size, va="center_baseline", transform=axes.get_yaxis_transform(), **kwargs,
    )  # fmt: skip


def columns_of(style: Style, count: int) -> int:
    """How many of so many panels stand side by side."""
    return 1 if style.narrow else min(count, 3)


def blank(axes: Axes) -> None:
    """Axes as a mere place for text: no ticks, no grid, no spines; 0 to 1 both ways."""
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.axis("off")


def value_ticks(axes: Axes, by: Metric) -> None:
    """Values of a metric, upwards better, with the decimals that their range needs."""
    low, high = axes.get_ylim()
    span = by.scale * abs(high - low)
    decimals = 0 if span > 8 else 1 if span > 0.8 else 2 if span > 0.08 or by.percent else 3
    unit, scale = " %" if by.percent else "", by.sign * by.scale
    axes.yaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{scale * value + 0.0:.{decimals}f}{unit}")
    )


def epoch_ticks(axes: Axes, last: int) -> None:
    """Whole epochs, 1 and `last` among them."""
    step = next((s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500) if last / s <= 8), last)
    ticks = {1, last, *(tick for tick in range(step, last, step) if last - tick >= 0.6 * step)}
    axes.set_xticks(sorted(ticks), [str(tick) for tick in sorted(ticks)])


def log_ticks(axes: Axes, vertical: bool = True) -> None:
    """Powers of ten as 10⁻³, without minor ticks; at least two of them are shown."""
    axis = axes.yaxis if vertical else axes.xaxis
    low, high = sorted(axes.get_ylim() if vertical else axes.get_xlim())
    ticks = _decades(low, high)
    axis.set_major_locator(NullLocator())
    axis.set_minor_locator(NullLocator())
    axis.set_ticks(ticks, labels=[_power(tick) for tick in ticks])


def _decades(low: float, high: float) -> list[float]:
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    step = max(1, math.ceil((last - first) / 6))
    if last - first >= 1:
        return [10.0**power for power in range(first, last + 1, step)]
    return [float(f"{low:.1g}"), float(f"{high:.1g}")]


def _power(value: float) -> str:
    power = round(math.log10(value))
    if not math.isclose(value, 10.0**power):
        return f"{value:g}"
    return f"{value:g}" if -2 <= power <= 3 else f"10{str(power).translate(SUPERSCRIPTS)}"
