"""What lies under an axis is marked at its foot, so that nothing vanishes silently."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

__all__ = ["mark_cut"]


def mark_cut(axes: Axes, x: NDArray[Any], y: NDArray[Any], colour: str, arm: str) -> None:
    """Triangles at the lower edge of the axes for the points of a curve that lie under it."""
    bottom = axes.get_ylim()[0]
    under = x[y < bottom]
    if len(under):
        axes.plot(
            under, np.full(len(under), bottom), "v", markersize=5, color=colour, clip_on=False,
            label=f"_cut {arm}", zorder=4,
        )  # fmt: skip
