"""`Executor`: what runs trials, and the messages between it and its workers."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from normsweep.errors import StudyStopped, UserError
from normsweep.sweep.trial import Epoch, Trial
from normsweep.training.engine import Engine, Finished
from normsweep.training.keras_engine import KerasEngine
from normsweep.training.reproducibility import Device
from normsweep.training.snapshot import CheckpointPolicy, Snapshot
from normsweep.training.synthetic_engine import SyntheticEngine

__all__ = [
    "Begun",
    "Call",
    "Event",
    "Executor",
    "Raised",
    "Reply",
    "Returned",
    "Train",
    "WorkerOptions",
    "answer",
    "make_engine",
]

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

    def submit(
        self, trial: Trial, policy: CheckpointPolicy | None = None, start: Snapshot | None = None
    ) -> None:
        """Start a trial, where a slot is free.

        Args:
            trial: what to train.
            policy: which of the model's states are given back; None: none.
            start: a state to go on from, where it is good on the machine that the trial comes to.
        """
        ...

    def poll(self, timeout: float) -> list[Event]:
        """What happened, waiting up to `timeout` seconds for the first; in order within a trial.

        Every submitted trial ends in exactly one `Finished`, whatever becomes of its process.
        """
        ...

    def reply(self, trial: int, go_on: bool) -> None:
        """Whether a trial that has reported an epoch goes on; does nothing where no trial asks."""
        ...

    def cancel(self, trial: int) -> None:
        """Stop a trial; its `Finished`, as interrupted, comes with the next poll."""
        ...

    def call(
        self, function: Callable[Concatenate[Any, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Run `function(engine, …)` where trials run, and wait for what it returns.

        The engine is the one that trains the study's trials. An interrupt ends the wait, and the
        process that was at it.

        Raises:
            UserError: as the function raised it.
            StudyStopped: the function failed otherwise, its process died, or it took too long.
        """
        ...

    def close(self) -> None:
        """End everything that still runs, and free what was held."""
        ...


def make_engine(data_root: Path, trained: bool) -> Engine:
    """The engine of a study: Keras's where its model is trained, else that of the formula.

    Args:
        data_root: folder of the datasets, by digest.
        trained: as `parts.catalog.is_trained` says of the study's model.
    """
    return KerasEngine(data_root) if trained else SyntheticEngine(data_root)


def answer(engine: Engine, call: Call) -> Returned | Raised:
    """What the called function returned, or raised: a mistake of the user's, or an accident."""
    try:
        return Returned(call.function(engine, *call.args, **call.kwargs))
    except UserError as error:
        return Raised(error)
    except Exception as error:
        return Raised(StudyStopped("".join(traceback.format_exception(error)[-4:])))


@dataclass(frozen=True)
class WorkerOptions:
    """What trains trials, and within which limits; a worker process is sent it first."""

    data_root: Path
    """Folder of the datasets, by digest."""
    device: Device
    threads: int
    """Of the backend within one operation, in each worker."""
    trial_timeout: float | None = None
    """Seconds after which a trial is stopped."""
    trial_memory: float | None = None
    """GiB of memory beyond which a worker is killed with its trial."""
    trained: bool = True
    """Whether the study's model is trained; if not, no backend is imported."""
    asks: bool = False
    """Whether a trial waits for `reply` after each epoch."""
    parts: bytes = b""
    """Of parts that are not normsweep's own, as `pickled_components` packs them."""


@dataclass(frozen=True)
class Train:
    """Train a trial."""

    trial: Trial
    policy: CheckpointPolicy | None = None
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
