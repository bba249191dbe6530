"""How wide a text is, how it is shortened, and where labels stand so that none covers another."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import matplotlib
from matplotlib.ft2font import FT2Font

__all__ = ["fitted", "inches", "spread"]


PROBE = 100.0
"""Points at which characters are measured."""


@cache
def _font(bold: bool) -> FT2Font:
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    font = FT2Font(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name))
    font.set_size(PROBE, 72)
    return font


@cache
def inches(text: str, size: float, bold: bool = False) -> float:
    """The width of a line of text of this size in points."""
    return sum(_em(character, bold) for character in text) * size / 72


@cache
def _em(character: str, bold: bool) -> float:
    """The width of a character in ems; one that the font lacks is taken for a full one."""
    font = _font(bold)
    glyph = font.get_char_index(ord(character))
    if not glyph:
        return 1.0
    return font.load_glyph(glyph).linearHoriAdvance / 65536 / PROBE


ROUNDING = 1e-6
"""Inches: a space that was measured for the very text is not too narrow for it."""


def fitted(text: str, space: float, size: float, bold: bool = False) -> str:
    """The text on one line, with … in its middle where it is wider than `space` inches."""
    space += ROUNDING
    text = " ".join(text.split())
    if inches(text, size, bold) <= space:
        return text
    for kept in range(len(text) - 1, 1, -1):
        short = f"{text[: kept - kept // 3]}…{text[len(text) - kept // 3 :]}"
        if inches(short, size, bold) <= space:
            return short
    return text[:1] + "…"


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places near the wanted ones, in the same order, at least `gap` apart and within the limits.

    Least squares; where there is not room for all, the gap is what room there is.
    """
    count = len(wanted)
    if count == 0:
        return []
    gap = min(gap, (high - low) / (count - 1)) if count > 1 else gap
    order = sorted(range(count), key=lambda i: wanted[i])
    level = _rising([wanted[i] - rank * gap for rank, i in enumerate(order)])
    top = high - (count - 1) * gap
    placed = [0.0] * count
    for rank, i in enumerate(order):
        placed[i] = min(max(level[rank], low), top) + rank * gap
    return placed


def _rising(values: Sequence[float]) -> list[float]:
    """The nearest non-decreasing values: those that fall are pooled to their mean."""
    pools: list[tuple[float, int]] = []
    for value in values:
        total, count = value, 1
        while pools and pools[-1][0] / pools[-1][1] > total / count:
            before, members = pools.pop()
            total, count = total + before, count + members
        pools.append((total, count))
    return [total / count for total, count in pools for _ in range(count)]
