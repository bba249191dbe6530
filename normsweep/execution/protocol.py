"""`Executor`: what the driver knows of the place where trials run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from normsweep.sweep.trial import Epoch, Trial
from normsweep.training import Engine, Finished, Keep, Snapshot

__all__ = ["Event", "Executor"]

P = ParamSpec("P")
R = TypeVar("R")

Event = Epoch | Snapshot | Finished


class Executor(Protocol):
    """Runs trials somewhere, at most `slots` at a time, and gives back what they report."""

    slots: int
    blocks: bool
    """Whether `poll` itself trains, and so may outlast its timeout."""

    def provide(self, digest: str) -> None:
        """Bring a dataset of the driver's data folder to where trials run."""
        ...

    def submit(self, trial: Trial, keep: Keep | None = None, start: Snapshot | None = None) -> None:
        """Start a trial, where a slot is free.

        Args:
            trial: what to train.
            keep: which of the model's states are given back; None: none.
            start: a state to go on from, where it is good on the machine that the trial comes to.
        """
        ...

    def poll(self, timeout: float) -> list[Event]:
        """What happened, waiting up to `timeout` seconds for the first; in order within a trial.

        Every submitted trial ends in exactly one `Finished`, whatever becomes of its process.
        """
        ...

    def reply(self, trial: int, go_on: bool) -> None:
        """Whether a trial that has reported an epoch goes on; only where pruning is on."""
        ...

    def cancel(self, trial: int) -> None:
        """Stop a trial; its `Finished`, as interrupted, comes with the next poll."""
        ...

    def call(
        self, function: Callable[Concatenate[Engine, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Run `function(engine, …)` where trials run, and wait for what it returns.

        Raises:
            UserError: as the function raised it.
            StudyStopped: the function failed otherwise, or its process died.
        """
        ...

    def close(self) -> None:
        """End everything that still runs, and free what was held."""
        ...
