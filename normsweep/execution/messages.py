"""What the driver and a worker process say to one another: pickles over the worker's pipes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from normsweep.sweep.trial import Trial
from normsweep.training import Keep, Snapshot

__all__ = ["Begun", "Call", "Raised", "Reply", "Returned", "Setup", "Train"]


@dataclass(frozen=True)
class Setup:
    """The first message to a worker."""

    data_root: Path
    warm: bool
    """Whether to import the backend at once, without waiting for work."""
    asks: bool
    """Whether to wait for a reply after each epoch."""
    parts: bytes = b""
    """Of parts that are not normsweep's own, as `carried_parts` packs them."""


@dataclass(frozen=True)
class Train:
    """Train a trial."""

    trial: Trial
    keep: Keep | None = None
    """Which states to give back."""
    start: Snapshot | None = None
    """Where to go on from."""


@dataclass(frozen=True)
class Reply:
    """Whether the trial that has reported an epoch goes on."""

    go_on: bool


@dataclass(frozen=True)
class Call:
    """Run `function(engine, *args, **kwargs)`."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(frozen=True)
class Begun:
    """The worker has taken up a trial: its clock starts here."""

    trial: int


@dataclass(frozen=True)
class Returned:
    """What a call returned."""

    value: Any


@dataclass(frozen=True)
class Raised:
    """What a call raised."""

    error: Exception
