"""`Engine`: trains one trial after another, epoch by epoch."""

from __future__ import annotations

import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from normsweep.parts.dataset import Dataset
from normsweep.parts.metrics import metric
from normsweep.sweep.inspection import Inspection
from normsweep.sweep.trial import DataKey, Epoch, Result, Status, Trial, stops
from normsweep.text import masked
from normsweep.training.precision import BFLOAT16, FLOAT32
from normsweep.training.preflight import Findings, PreflightRequest
from normsweep.training.reproducibility import Device
from normsweep.training.snapshot import CheckpointPolicy, CheckpointSchedule, ModelState, Snapshot
from normsweep.training.usage import Meter

__all__ = [
    "Engine",
    "Finished",
    "NoRoom",
    "Run",
    "Training",
    "automatic_precision",
    "check_device",
    "identity",
    "preflight",
    "slow_precision",
]


@dataclass(frozen=True)
class Finished:
    """The end of a training: its result, and the model's state if it was requested."""

    result: Result
    state: ModelState | None = None


Training = Generator[Epoch | Snapshot | None, bool | None, Finished]
"""A running training: yields epochs and snapshots, is sent whether to continue, returns the result.

It yields None where it waits for `Engine.advance`.
"""


@dataclass(frozen=True)
class Run:
    """A trial that is set up for training."""

    epochs: Iterator[Epoch | None]
    """Trains an epoch per step; epochs of the snapshot it resumes from come first. None: it waits."""
    result: Result
    """The result before the first epoch: chance level, machine and digests, with status interrupted."""
    state: Callable[[], ModelState] | None = None
    """Returns the model's current state; None if there is no model."""
    inspect: Callable[[Epoch], Inspection | None] = lambda last: None
    """Looks into the model after its last epoch, if that is no better than guessing; changes the model."""
    release: Callable[[], None] = lambda: None
    """Called at its end, also if the training is closed before that."""
    stack: int = 1
    """How many are trained together: all wait while its state is read, and the engine does not measure its epochs."""


class OutOfTime(Exception):
    """A trial has taken longer than it may."""


class NoRoom(Exception):
    """The device has not enough memory for so many networks at once."""


class Engine(ABC):
    """Trains trials one after another in one process."""

    trial_timeout: float | None = None
    """Seconds that a trial may take, checked between the parts of its epochs; None: no limit."""
    meter: Meter | None = None
    """Measures what the process uses in each epoch; None: it is not measured."""
    stack: int = 1
    """Trials that are trained together as one program; 1: each by itself."""
    _began = 0.0

    def __init__(self, data_root: Path) -> None:
        """`data_root` is the folder of datasets by digest, as written by `Dataset.save`."""
        self.data_root = data_root

    @abstractmethod
    def start(self, trial: Trial, snapshot: Snapshot | None) -> Run:
        """Set up a trial; resume from a snapshot of its lineage if that is valid on this machine."""

    @abstractmethod
    def identity(self, trial: Trial) -> dict[str, str]:
        """What determines the results besides the trial itself: machine, versions, network."""

    @abstractmethod
    def check_device(self, device: Device) -> dict[str, str]:
        """Check that the device is available; returns device, threads and versions.

        Raises:
            DeviceError: the device is not available.
        """

    @abstractmethod
    def preflight(self, request: PreflightRequest) -> Findings:
        """Try every component of the trials once, to report errors before the first trial.

        Raises:
            UserError: the device is missing, a normalization does not accept the data, or a
                network cannot be built for it.
        """

    @abstractmethod
    def automatic_precision(self) -> str:
        """The precision that `auto` means on this machine."""

    @abstractmethod
    def step_seconds(self, trial: Trial, precisions: Iterable[str]) -> dict[str, float]:
        """Wall time in seconds of a training step in each precision; empty if no model is trained."""

    def advance(self) -> None:
        """Train an epoch of the trials that wait for one another."""
        return

    @abstractmethod
    def warm(self) -> None:
        """Import the backend, which takes seconds, before the first trial."""

    def check_time(self) -> None:
        """End the running trial if it has taken too long.

        Raises:
            OutOfTime: it has.
        """
        if self.trial_timeout is None:
            return
        if time.perf_counter() - self._began > self.trial_timeout:
            raise OutOfTime(f"exceeded {self.trial_timeout:g} s")

    def dataset(self, data: DataKey) -> Dataset:
        """A dataset from the folder, memory-mapped."""
        return Dataset.open(self.data_root, data.digest)

    def train(
        self, trial: Trial, policy: CheckpointPolicy | None = None, start: Snapshot | None = None
    ) -> Training:
        """Train a trial epoch by epoch; a failure sets the status and raises no exception.

        Args:
            trial: what to train.
            policy: which states to return; None: none.
            start: a snapshot of the same lineage to resume from. If it was trained differently
                (device, threads, versions), the trial is trained from its first epoch.

        Yields:
            Each epoch as it ends, those of `start` first; send False to end the trial as pruned.
            Also the snapshots that the policy requests, and None where it waits for `advance`.

        Returns:
            The result, with the final state if the policy requests it.
        """
        policy, by = policy or CheckpointPolicy(), metric(trial.metric)
        started, began = time.time(), time.perf_counter()
        self._began = began
        result, run = Result(trial.number, Status.INTERRUPTED), None
        curve: list[Epoch] = []
        with ExitStack() as at_end:
            try:
                run = self.start(trial, start)
                at_end.callback(run.release)
                run = replace(run, result=replace(run.result, restores=trial.patience is not None))
                result = run.result
                schedule = CheckpointSchedule(policy, by, run.stack)
                if self.meter is not None and run.stack == 1:
                    run = replace(run, epochs=_measured(run, self.meter))
                status = yield from _epochs(trial, run, curve, schedule, self.check_time)
                result = replace(result, status=status)
            except OutOfTime as error:
                result = replace(result, status=Status.TIMED_OUT, error=str(error))
            except NoRoom as error:  # it is trained again, with fewer others
                result = replace(result, error=str(error))
            except Exception as error:
                result = replace(result, status=Status.CRASHED, error=_traceback(error))
            result = replace(
                result,
                curve=tuple(curve),
                reused=min(result.reused, len(curve)),  # may be pruned within the resumed epochs
                started=started,
                seconds=time.perf_counter() - began,
            )
            if run is None:
                return Finished(result)
            return _ended(run, result, policy.keeps(by.sign * result.score))


def _ended(run: Run, result: Result, keep: bool) -> Finished:
    """A result with the state, if that is to be kept, and what the network looks like."""
    if result.status is not Status.COMPLETE:
        return Finished(result)
    state = run.state() if keep and run.state is not None else None
    return Finished(replace(result, inspection=run.inspect(result.last)), state)


def identity(engine: Engine, trial: Trial) -> Mapping[str, str]:
    """`Engine.identity` as a function, for `Executor.call`."""
    return engine.identity(trial)


def check_device(engine: Engine, device: Device) -> dict[str, str]:
    """`Engine.check_device` as a function, for `Executor.call`."""
    return engine.check_device(device)


def automatic_precision(engine: Engine) -> str:
    """`Engine.automatic_precision` as a function, for `Executor.call`."""
    return engine.automatic_precision()


def slow_precision(engine: Engine, trial: Trial) -> Mapping[str, float]:
    """If a trial trains in bfloat16 and this machine does not compute in it: what a step takes.

    Returns:
        Wall time in seconds of a training step in the trial's precision and in float32, otherwise empty.
    """
    if trial.precision != BFLOAT16 or engine.automatic_precision() == BFLOAT16:
        return {}
    return engine.step_seconds(trial, (BFLOAT16, FLOAT32))


def preflight(engine: Engine, request: PreflightRequest) -> Findings:
    """`Engine.preflight` as a function, for `Executor.call`."""
    return engine.preflight(request)


def _epochs(
    trial: Trial,
    run: Run,
    curve: list[Epoch],
    schedule: CheckpointSchedule,
    check: Callable[[], None],
) -> Generator[Epoch | Snapshot | None, bool | None, Status]:
    """Yield epochs and due snapshots, extending the curve; returns the trial's status."""
    for epoch in run.epochs:
        if epoch is None:
            yield None
            continue
        curve.append(epoch)
        go_on = yield epoch
        if not epoch.finite:
            return Status.DIVERGED
        new = run.result.reused < epoch.epoch < trial.epochs
        stopped = go_on is False and epoch.epoch < trial.epochs
        if new and run.state is not None and schedule.due(epoch, stopped):
            yield Snapshot(replace(run.result, curve=tuple(curve)), run.state())
            schedule.taken()
        if stopped:
            return Status.PRUNED
        if stops(curve, trial.patience):  # also within the epochs that it resumed from
            return Status.COMPLETE
        if epoch.epoch < trial.epochs:
            check()
    return Status.COMPLETE


def _measured(run: Run, meter: Meter) -> Iterator[Epoch | None]:
    """The epochs with what the process used in each; those that it resumed from keep theirs."""
    meter.take()
    for epoch in run.epochs:
        if epoch and epoch.epoch > run.result.reused:
            epoch = replace(epoch, usage=meter.take())
        yield epoch


def _traceback(error: Exception) -> str:
    """The head of the traceback, its last two frames and the exception."""
    head, *frames = traceback.format_exception(error)
    return masked("".join([head, *frames[-3:]]))[-2000:]
