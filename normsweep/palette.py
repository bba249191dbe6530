"""The colours of arms, the same in figures, reports and MLflow."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["COLOURS", "REFERENCE", "arm_colours"]

COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe & Ito (2008), Color Universal Design, without yellow and black."""
REFERENCE = "#6e7781"
"""Colour of the reference on pages, on light and dark backgrounds; figures use their text colour."""


def arm_colours(arms: Sequence[str], reference: str) -> dict[str, str]:
    """The colour of each arm, for pages."""
    others = [arm for arm in arms if arm != reference]
    colours = {arm: COLOURS[i % len(COLOURS)] for i, arm in enumerate(others)}
    return {reference: REFERENCE, **colours}
