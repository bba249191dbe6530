"""The key of a figure in which arms cannot be labelled where they are drawn."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from normsweep.reporting.figures.canvas import blank, place
from normsweep.reporting.figures.style import Style
from normsweep.reporting.figures.text import fitted, inches

__all__ = ["ROW", "arm_key", "key_rows"]

ROW = 0.22
"""Height of a row in inches."""
SIZE = 9.0
HANDLE, SPACE = 0.34, 0.24


def arm_key(
    figure: Figure, arms: Sequence[str], style: Style, left: float, top: float, line: bool = False
) -> None:
    """The arms' names beside their looks, in as many rows as they need."""
    width = style.width - left - 0.1
    rows = _rows(arms, width)
    axes = place(figure, left, top, width, ROW * len(rows))
    blank(axes)
    axes.set(xlim=(0, width), ylim=(len(rows), 0))
    for row, names in enumerate(rows):
        x = 0.0
        for arm, name in names:
            look = style.look(arm)
            drawn = look.line if line else {**look.dots, "linestyle": "none"}
            points = (x, x + HANDLE / 2, x + HANDLE) if line else (x + HANDLE / 2,)
            axes.plot(
                points, [row + 0.5] * len(points), **drawn, markevery=[len(points) // 2],
                label="_key", clip_on=False,
            )  # fmt: skip
            axes.text(x + HANDLE + 0.07, row + 0.5, name, size=SIZE, va="center_baseline")
            x += HANDLE + 0.07 + inches(name, SIZE) + SPACE


def key_rows(arms: Sequence[str], style: Style, left: float) -> int:
    """The rows that `arm_key` will take."""
    return len(_rows(arms, style.width - left - 0.1))


def _rows(arms: Sequence[str], width: float) -> list[list[tuple[str, str]]]:
    rows: list[list[tuple[str, str]]] = [[]]
    x = 0.0
    for arm in arms:
        name = fitted(arm, min(2.4, width - HANDLE - 0.1), SIZE)
        needed = HANDLE + 0.07 + inches(name, SIZE)
        if rows[-1] and x + needed > width:
            rows.append([])
            x = 0.0
        rows[-1].append((arm, name))
        x += needed + SPACE
    return rows
