"""The `Executor` protocol, and the messages between an executor and its workers."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from normsweep.errors import StudyStopped, UserError
from normsweep.sweep.trial import SEARCH, Epoch, Trial, kind_of
from normsweep.training.engine import Engine, Finished
from normsweep.training.keras_engine import KerasEngine
from normsweep.training.reproducibility import Device
from normsweep.training.snapshot import CheckpointPolicy, Snapshot
from normsweep.training.synthetic_engine import SyntheticEngine
from normsweep.training.usage import Meter

__all__ = [
    "Begun",
    "ByItself",
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
    "stack_kind",
]

P = ParamSpec("P")
R = TypeVar("R")


Event = Epoch | Snapshot | Finished


class Executor(Protocol):
    """Runs trials and returns what they report."""

    blocks: bool
    """Whether `poll` itself trains and may therefore exceed its timeout."""

    @property
    def free(self) -> bool:
        """Whether another trial can be started."""
        ...

    def provide(self, digest: str) -> None:
        """Make a dataset of the driver's data folder available to the workers."""
        ...

    def submit(
        self, trial: Trial, policy: CheckpointPolicy | None = None, start: Snapshot | None = None
    ) -> None:
        """Start a trial; the executor must be `free`.

        Args:
            trial: what to train.
            policy: which model states are returned; None: none.
            start: a snapshot to resume from; ignored if it is not valid on the worker's machine.
        """
        ...

    def poll(self, timeout: float) -> list[Event]:
        """New events, waiting up to `timeout` seconds for the first; in order within a trial.

        Every submitted trial yields exactly one `Finished`, even if its process is lost.
        """
        ...

    def reply(self, trial: int, go_on: bool) -> None:
        """Tell a trial that reported an epoch whether to continue; no-op unless trials wait for replies."""
        ...

    def cancel(self, trial: int) -> None:
        """Stop a trial, and those trained together with it: the next poll returns their `Finished`, interrupted."""
        ...

    def call(
        self, function: Callable[Concatenate[Any, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Run `function(engine, …)` in a worker and return its result.

        The engine is the one that trains the study's trials. An interrupt ends the wait and kills
        the worker process.

        Raises:
            UserError: raised by the function.
            StudyStopped: the function raised another exception, its process died, or it timed out.
        """
        ...

    def close(self) -> None:
        """Stop all trials and release all resources."""
        ...


def make_engine(options: WorkerOptions) -> Engine:
    """The engine of a worker: `KerasEngine` if the study's model is trained, `SyntheticEngine` otherwise."""
    kind = KerasEngine if options.trained else SyntheticEngine
    engine = kind(options.data_root)
    engine.meter = Meter() if options.system_metrics else None
    engine.stack = options.stack
    return engine


def answer(engine: Engine, call: Call) -> Returned | Raised:
    """Run a call; any exception that is not a `UserError` becomes a `StudyStopped`."""
    try:
        return Returned(call.function(engine, *call.args, **call.kwargs))
    except UserError as error:
        return Raised(error)
    except Exception as error:
        return Raised(StudyStopped("".join(traceback.format_exception(error)[-4:])))


@dataclass(frozen=True)
class WorkerOptions:
    """Settings of a worker: the first message that it receives."""

    data_root: Path
    """Folder of the datasets, by digest."""
    device: Device
    threads: int
    """Threads of the backend within one operation, in each worker."""
    trial_timeout: float | None = None
    """Seconds after which a trial is stopped; None: no limit."""
    trial_memory: float | None = None
    """GiB of memory above which a worker and its trial are killed; None: no limit."""
    trained: bool = True
    """Whether the study's model is trained; if not, no backend is imported."""
    awaits_reply: bool = False
    """Whether a trial waits for `reply` after each epoch."""
    system_metrics: bool = False
    """Whether epochs say what the worker used."""
    stack: int = 1
    """Trials that are trained together as one program."""
    parts: bytes = b""
    """Custom components, as packed by `pickled_components`."""


@dataclass(frozen=True)
class Train:
    """Train a trial."""

    trial: Trial
    policy: CheckpointPolicy | None = None
    """Which model states to return; None: none."""
    start: Snapshot | None = None
    """The snapshot to resume from; None: train from the first epoch."""


@dataclass(frozen=True)
class Reply:
    """Whether the trial that reported an epoch continues."""

    trial: int
    go_on: bool


@dataclass(frozen=True)
class Call:
    """Run `function(engine, *args, **kwargs)`."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(frozen=True)
class Begun:
    """The worker has started a trial: its time limit begins now."""

    trial: int


@dataclass(frozen=True)
class ByItself:
    """A trial is not trained in a stack, and so is none of its kind."""

    trial: int
    back: tuple[int, ...]
    """Those of its kind that the worker has not begun: others may train them."""


def stack_kind(trial: Trial) -> tuple[object, ...]:
    """What trials have in common of which all, or none, can be trained in stacks."""
    return trial.structure, trial.normalization, kind_of(trial.phase) == SEARCH


@dataclass(frozen=True)
class Returned:
    """The return value of a call."""

    value: Any


@dataclass(frozen=True)
class Raised:
    """The exception that a call raised."""

    error: Exception
