"""Training a trial again from its record alone, to see whether the same comes out."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from normsweep.errors import StoreError
from normsweep.executors.processes import Processes
from normsweep.executors.protocol import WorkerOptions
from normsweep.parts import datasets
from normsweep.parts.catalog import is_trained, pickled_components
from normsweep.runner.interrupts import Signals
from normsweep.sweep.study_record import StudyRecord, TrialRecord
from normsweep.sweep.trial import Epoch, Result, Status, Trial
from normsweep.training.engine import Finished
from normsweep.training.reproducibility import Device

__all__ = ["Rerun", "rerun"]

ENDED = (Status.COMPLETE, Status.DIVERGED, Status.PRUNED)
"""How trials end whose curves are whole."""


@dataclass(frozen=True)
class Rerun:
    """A trial as it is recorded, and as it came out now."""

    recorded: Result
    now: Result

    @property
    def differing(self) -> list[int]:
        """The epochs of the record that came out otherwise, bit for bit, or not at all."""
        was, now = _rows(self.recorded), _rows(self.now)
        return [epoch for epoch, row in was.items() if now.get(epoch) != row]

    @property
    def same(self) -> bool:
        """Whether the curve is the record's; of one that was broken off, as far as it goes."""
        whole = self.recorded.status in ENDED
        return not self.differing and (not whole or len(self.now.curve) == len(self.recorded.curve))

    @property
    def elsewhere(self) -> dict[str, tuple[str, str]]:
        """What of the machine is other than it was: device, threads, versions, the network itself."""
        was, now = self.recorded.machine, self.now.machine
        keys = sorted(was.keys() | now.keys()) if was and now else []
        return {k: (w, n) for k in keys if (w := was.get(k, "")) != (n := now.get(k, ""))}


def rerun(
    study: StudyRecord,
    record: TrialRecord,
    root: Path,
    data_dir: Path | None,
    device: Device | None,
    say: Callable[[Epoch], None],
) -> Rerun:
    """Train a trial once more; nothing is recorded.

    Args:
        study: the trial's own.
        record: the trial; it has ended.
        root: where the study keeps its data.
        data_dir: where the dataset is looked for, where it is not kept any more.
        device: None: as the trial had it.
        say: told each epoch.

    Raises:
        StoreError: the data is not the trial's.
        DataError: it cannot be had.
        Interrupted: SIGINT or SIGTERM.
    """
    assert record.result is not None
    trial, machine = record.trial, record.result.machine
    if record.result.status is Status.PRUNED:
        trial = replace(trial, epochs=max(len(record.result.curve), 1))
    for variable, key in (("KERAS_BACKEND", "backend"), ("TF_ENABLE_ONEDNN_OPTS", "onednn")):
        if machine.get(key, "none") not in ("none", "default"):
            os.environ.setdefault(variable, machine[key])
    threads = (
        int(machine["threads"]) if machine.get("threads", "").isdigit() else study.threads or 1
    )
    place = device or ("cpu" if machine.get("device", "").startswith("CPU") else "auto")
    with Signals() as signals, _data(study, trial, root, data_dir) as folder:
        trained, parts = is_trained(trial.model), pickled_components()
        executor = Processes(
            WorkerOptions(folder.absolute(), place, threads, trained=trained, parts=parts)
        )
        try:
            executor.submit(trial)
            return Rerun(record.result, _result(executor, signals, say))
        finally:
            executor.close()


def _result(executor: Processes, signals: Signals, say: Callable[[Epoch], None]) -> Result:
    while True:
        with signals.waiting():
            events = executor.poll(0.5)
        for event in events:
            if isinstance(event, Epoch):
                say(event)
            elif isinstance(event, Finished):
                return event.result


@contextmanager
def _data(study: StudyRecord, trial: Trial, root: Path, data_dir: Path | None) -> Iterator[Path]:
    """A folder with the trial's data: the study's own, or one that is made for this."""
    digest = trial.data.digest
    if (root / "data" / digest).is_dir():
        yield root / "data"
        return
    sweep = study.sweep
    names = sorted(sweep.data.candidates, key=lambda name: Path(name).stem != trial.data.name)
    dataset = datasets.load_first(names, data_dir)
    if sweep.data.train_size is not None:
        dataset = dataset.subset(sweep.data.train_size, sweep.seed)
    with tempfile.TemporaryDirectory() as work:
        found = dataset.save(Path(work))
        if found != digest:
            raise StoreError(
                f"trial {trial.number}: was trained on {trial.data.name} with digest {digest[:12]}, received "
                f"{dataset.name} ({dataset.source}, digest {found[:12]}); legal: the same data"
            )
        yield Path(work)


def _rows(result: Result) -> Mapping[int, str]:
    """By epoch all that is recorded of it but its seconds, as the record has it: nine digits."""
    kept = Result.from_json(result.to_json())
    return {e.epoch: repr(replace(e, trial=-1, seconds=0.0)) for e in kept.curve}
