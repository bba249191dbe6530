"""Training a stored trial again, to check that it is reproducible."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from normsweep.console.screen import warn
from normsweep.errors import StoreError
from normsweep.executors.processes import Processes
from normsweep.executors.protocol import WorkerOptions
from normsweep.parts.catalog import is_trained, pickled_components
from normsweep.runner.interrupts import Signals
from normsweep.runner.prepare import loaded, precision_warning
from normsweep.sweep.study_record import StudyRecord, TrialRecord
from normsweep.sweep.trial import Epoch, Result, Status, Trial
from normsweep.training.engine import Finished
from normsweep.training.reproducibility import Device

__all__ = ["Rerun", "rerun"]

ENDED = (Status.COMPLETE, Status.DIVERGED, Status.PRUNED)
"""Statuses of trials with complete curves."""


@dataclass(frozen=True)
class Rerun:
    """The stored result of a trial, and the one of training it again."""

    recorded: Result
    now: Result

    @property
    def differing(self) -> list[int]:
        """The stored epochs that differ, bit by bit, or are missing now."""
        was, now = _rows(self.recorded), _rows(self.now)
        return [epoch for epoch, row in was.items() if now.get(epoch) != row]

    @property
    def same(self) -> bool:
        """Whether the curves are equal; of an interrupted trial, as far as its stored curve goes."""
        complete = self.recorded.status in ENDED
        return not self.differing and (
            not complete or len(self.now.curve) == len(self.recorded.curve)
        )

    @property
    def machine_changes(self) -> dict[str, tuple[str, str]]:
        """Stored and current value of what differs: device, threads, versions, digests of the network."""
        was, now = self.recorded.machine, self.now.machine
        keys = sorted(was.keys() | now.keys()) if was and now else []
        return {k: (w, n) for k in keys if (w := was.get(k, "")) != (n := now.get(k, ""))}


def rerun(
    study: StudyRecord,
    record: TrialRecord,
    root: Path,
    data_dir: Path | None,
    device: Device | None,
    on_epoch: Callable[[Epoch], None],
) -> Rerun:
    """Train a trial again; nothing is stored.

    Args:
        study: the study of the trial.
        record: the trial; it has ended.
        root: the folder with the study's data.
        data_dir: the folder with the dataset, if the study's copy has been deleted.
        device: None: the device of the stored trial.
        on_epoch: called with each epoch.

    Raises:
        StoreError: the dataset is not the one that the trial was trained on.
        DataError: the dataset cannot be loaded.
        Interrupted: SIGINT or SIGTERM.
    """
    assert record.result is not None
    trial, machine = record.trial, record.result.machine
    epochs = len(record.result.curve) if record.result.status is Status.PRUNED else trial.epochs
    if not trial.of_length:
        trial = replace(trial, epochs=max(epochs, 1))
    with (
        _backend_variables(machine),
        Signals() as signals,
        _data(study, trial, root, data_dir) as folder,
        closing(Processes(_options(study, trial, folder, device, machine))) as executor,
    ):
        if warning := precision_warning(trial, executor, signals):
            warn(warning)
        executor.submit(trial)
        now = _result(executor, signals, on_epoch)
        return Rerun(record.result, replace(now, curve=now.curve[:epochs]))


@contextmanager
def _backend_variables(machine: Mapping[str, str]) -> Iterator[None]:
    """Set the environment variables of the trial's backend, unless they are set, and remove them after."""
    variables = {"KERAS_BACKEND": "backend", "TF_ENABLE_ONEDNN_OPTS": "onednn"}
    missing = {
        variable: machine[key]
        for variable, key in variables.items()
        if variable not in os.environ and machine.get(key, "none") not in ("none", "default")
    }
    os.environ.update(missing)
    try:
        yield
    finally:
        for variable in missing:
            os.environ.pop(variable, None)


def _options(
    study: StudyRecord, trial: Trial, data: Path, device: Device | None, machine: Mapping[str, str]
) -> WorkerOptions:
    """Settings of a worker like that of the stored trial."""
    threads = machine.get("threads", "")
    return WorkerOptions(
        data.absolute(),
        device or ("cpu" if machine.get("device", "").startswith("CPU") else "auto"),
        int(threads) if threads.isdigit() else study.threads or 1,
        trained=is_trained(trial.model),
        stack=int(machine.get("stack", "1")),
        parts=pickled_components(),
    )


def _result(executor: Processes, signals: Signals, on_epoch: Callable[[Epoch], None]) -> Result:
    while True:
        with signals.waiting():
            events = executor.poll(0.5)
        for event in events:
            if isinstance(event, Epoch):
                on_epoch(event)
            elif isinstance(event, Finished):
                return event.result


@contextmanager
def _data(study: StudyRecord, trial: Trial, root: Path, data_dir: Path | None) -> Iterator[Path]:
    """A folder with the trial's dataset: the study's own, or a temporary one."""
    digest = trial.data.digest
    if (root / "data" / digest).is_dir():
        yield root / "data"
        return
    sweep = study.sweep
    names = sorted(sweep.data.candidates, key=lambda name: Path(name).stem != trial.data.name)
    dataset = loaded(sweep, names, data_dir)
    with tempfile.TemporaryDirectory() as work:
        found = dataset.save(Path(work))
        if found != digest:
            raise StoreError(
                f"trial {trial.number}: expected the dataset {trial.data.name} with digest "
                f"{digest[:12]}, got {dataset.name} with digest {found[:12]} ({dataset.source}); pass "
                "--data-dir with the data that the trial was trained on"
            )
        yield Path(work)


def _rows(result: Result) -> Mapping[int, str]:
    """By epoch its stored values without seconds, rounded to nine digits as in the storage."""
    stored = Result.from_json(result.to_json())
    return {e.epoch: repr(replace(e, trial=-1, seconds=0.0)) for e in stored.curve}
