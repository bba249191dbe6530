"""One colour for each arm, the same in every figure and in MLflow's pages."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["COLOURS", "REFERENCE", "of_arms"]

COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe & Ito (2008), Color Universal Design, without yellow and black."""
REFERENCE = "#6e7781"
"""Of the reference where a page may be light or dark; figures draw it in their ink."""


def of_arms(arms: Sequence[str], reference: str) -> dict[str, str]:
    """Each arm's colour, for pages."""
    others = [arm for arm in arms if arm != reference]
    colours = {arm: COLOURS[place % len(COLOURS)] for place, arm in enumerate(others)}
    return {reference: REFERENCE, **colours}
