"""`Engine`: trains one trial after another, each epoch by epoch, as `train` gives them."""

from __future__ import annotations

import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from normsweep.parts.dataset import Dataset
from normsweep.parts.metrics import metric
from normsweep.sweep.trial import DataKey, Epoch, Result, Status, Trial
from normsweep.text import masked
from normsweep.training.preflight import Findings, PreflightRequest
from normsweep.training.reproducibility import Device
from normsweep.training.snapshot import CheckpointPolicy, CheckpointSchedule, ModelState, Snapshot

__all__ = ["Engine", "Finished", "Run", "Training", "check_device", "identity", "preflight"]


@dataclass(frozen=True)
class Finished:
    """What a training gives back: the result, and the model's state where it was asked for."""

    result: Result
    state: ModelState | None = None


Training = Generator[Epoch | Snapshot, bool | None, Finished]
"""A training under way: gives epochs, takes whether to go on, returns what came of it."""


@dataclass(frozen=True)
class Run:
    """A trial that is ready to be trained."""

    epochs: Iterator[Epoch]
    """Each step of it trains an epoch; those that were trained before come first."""
    result: Result
    """As of a trial that was interrupted before its first epoch: what holds for the whole of it."""
    state: Callable[[], ModelState] | None = None
    """The model's state at the moment; None where there is no model."""


class Engine(ABC):
    """Trains trials one after another in one process."""

    def __init__(self, data_root: Path) -> None:
        """`data_root` holds the datasets by their digest, as `Dataset.save` writes them."""
        self.data_root = data_root

    @abstractmethod
    def start(self, trial: Trial, snapshot: Snapshot | None) -> Run:
        """Set up a trial, to go on from a snapshot of its lineage where that is good here."""

    @abstractmethod
    def identity(self, trial: Trial) -> dict[str, str]:
        """What a trial's bits depend on here, beside the trial: machine, versions, network."""

    @abstractmethod
    def check_device(self, device: Device) -> dict[str, str]:
        """Where trials are trained here: device, threads, versions.

        Raises:
            DeviceError: the device that was asked for is not there.
        """

    @abstractmethod
    def preflight(self, request: PreflightRequest) -> Findings:
        """Try everything that trials are made of once, so that no trial meets a mistake first.

        Raises:
            UserError: a device that is not there, a normalization that refuses the data, a network
                that cannot be built for it.
        """

    @abstractmethod
    def warm(self) -> None:
        """Do what takes seconds and needs no trial: import the backend."""

    def dataset(self, data: DataKey) -> Dataset:
        """A dataset of the folder, mapped into memory."""
        return Dataset.open(self.data_root, data.digest)

    def train(
        self, trial: Trial, policy: CheckpointPolicy | None = None, start: Snapshot | None = None
    ) -> Training:
        """Train a trial epoch by epoch; a failure is a status, not an exception.

        Args:
            trial: what to train.
            policy: which states to give back; None: none.
            start: a state of the same lineage to go on from. Where it was trained otherwise (another
                device, number of threads, version), the trial is trained from its first epoch.

        Yields:
            Each epoch as it ends, those of `start` first; send False to end the trial as pruned.
            Snapshots between them, as far as they were asked for.

        Returns:
            The result, with the state where it was asked for.
        """
        policy, by = policy or CheckpointPolicy(), metric(trial.metric)
        started, clock = time.time(), time.perf_counter()
        result, state = Result(trial.number, Status.INTERRUPTED), None
        curve: list[Epoch] = []
        try:
            run = self.start(trial, start)
            result, state = run.result, run.state
            status = yield from _epochs(trial, run, curve, CheckpointSchedule(policy, by))
            result = replace(result, status=status)
        except Exception as error:
            result = replace(result, status=Status.CRASHED, error=_explained(error))
        result = replace(
            result,
            curve=tuple(curve),
            reused=min(result.reused, len(curve)),  # pruned before the end of what it went on from
            started=started,
            seconds=time.perf_counter() - clock,
        )
        wanted = result.status is Status.COMPLETE and policy.wants(by.sign * result.score)
        return Finished(result, state() if wanted and state is not None else None)


def identity(engine: Engine, trial: Trial) -> Mapping[str, str]:
    """`Engine.identity`, to be called where trials run: by the engine that is there."""
    return engine.identity(trial)


def check_device(engine: Engine, device: Device) -> dict[str, str]:
    """`Engine.check_device`, to be called where trials run: by the engine that is there."""
    return engine.check_device(device)


def preflight(engine: Engine, request: PreflightRequest) -> Findings:
    """`Engine.preflight`, to be called where trials run: by the engine that is there."""
    return engine.preflight(request)


def _epochs(
    trial: Trial, run: Run, curve: list[Epoch], schedule: CheckpointSchedule
) -> Generator[Epoch | Snapshot, bool | None, Status]:
    """Give the epochs and the snapshots that are due, adding to the curve; how the trial ended."""
    for epoch in run.epochs:
        curve.append(epoch)
        go_on = yield epoch
        if not epoch.finite:
            return Status.DIVERGED
        if go_on is False and epoch.epoch < trial.epochs:
            return Status.PRUNED
        new = run.result.reused < epoch.epoch < trial.epochs
        if new and run.state is not None and schedule.due(epoch):
            yield Snapshot(replace(run.result, curve=tuple(curve)), run.state())
            schedule.taken()
    return Status.COMPLETE


def _explained(error: Exception) -> str:
    """The error, and where it was raised, on a few lines."""
    return masked("".join(traceback.format_exception(error)[-4:]))[-2000:]
