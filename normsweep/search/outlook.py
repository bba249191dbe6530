"""`Outlook`: the trials that a phase still needs, and where each arm is in a confirmation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Outlook", "Standing"]


@dataclass(frozen=True)
class Standing:
    """Where an arm is in a confirmation that adds seeds by itself."""

    arm: str
    seeds: int
    """Seeds of its latest analysis."""
    outcome: str
    open: bool
    """Whether it gets further seeds."""
    further: int = 0
    """How many of them it is expected to need."""
    reason: str = ""
    """Why it is not decided; empty if it is."""


@dataclass(frozen=True)
class Outlook:
    """The trials that a phase is expected to have at its end."""

    total: int
    of_arm: Mapping[str, int] = field(default_factory=dict)
    """By arm; empty if all arms have the same number."""
    standings: tuple[Standing, ...] = ()
