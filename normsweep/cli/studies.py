"""`normsweep show`, `rerun`, `delete` and `gc`: studies that are there, looked at and cleared away."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from normsweep.errors import StoreError, UserError
from normsweep.shell import Plugins, Storage, TrackingUri
from normsweep.text import printable
from normsweep.urls import STORAGE, TRACKING

if TYPE_CHECKING:
    from normsweep.parts.registry import Registry
    from normsweep.runner.removal import Doomed
    from normsweep.runner.rerun import Rerun
    from normsweep.sweep.study_record import StudyRecord, TrialRecord
    from normsweep.sweep.trial import Epoch, Trial

__all__ = ["delete", "gc", "list_studies", "rerun", "show"]

ROOT = Path("mlruns")
"""Where studies keep checkpoints, data and reports."""


Name = Annotated[str, Parameter(help="The study's name.")]


Number = Annotated[int, Parameter(help="The trial's number.")]


Yes = Annotated[bool, Parameter(name=["--yes", "-y"], negative=(), help="Do not ask.")]


def list_studies(storage: str) -> None:
    """Print the studies of a database: status, trials, best, age."""
    from normsweep.console.overview import overview, studies_table
    from normsweep.console.screen import print_table, screen
    from normsweep.store.locks import locked_by
    from normsweep.store.storage import read_studies

    now = time.time()
    rows = [
        overview(record, bool(locked_by(storage, record.name)), now)
        for record in read_studies(storage)
    ]
    if rows:
        with screen():
            print_table(studies_table(rows), "")


def show(
    study: Name,
    trial: Annotated[int | None, Parameter(help="One of its trials, by number.")] = None,
    /,
    *,
    storage: Storage = STORAGE,
    plugins: Plugins = (),
    tracking_uri: TrackingUri = TRACKING,
) -> int:
    """Show a study, or all that is recorded of one of its trials."""
    from normsweep.console.overview import print_trial
    from normsweep.console.screen import screen
    from normsweep.console.summary import print_study
    from normsweep.parts import metrics
    from normsweep.parts.catalog import load_plugins
    from normsweep.reporting.commands import Commands
    from normsweep.store.locks import locked_by
    from normsweep.store.storage import read_study

    record = read_study(storage, study)
    load_plugins(plugins, [(metrics.registry, record.sweep.metric)])
    commands = Commands(record, storage, tracking_uri)
    with screen():
        if trial is None:
            print_study(record, locked_by(storage, study), commands)
        else:
            print_trial(_trial(record, trial), commands)
    return 0


def rerun(
    study: Name,
    trial: Number,
    /,
    *,
    storage: Storage = STORAGE,
    plugins: Plugins = (),
    data_dir: Annotated[
        Path | None,
        Parameter(env_var="NORMSWEEP_DATA", help="Folder of the dataset, if the study keeps none."),
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "gpu"] | None, Parameter(help="As the trial had it by default.")
    ] = None,
) -> int:
    """Train a trial again from its record alone, and say whether the same curve comes out.

    Nothing is recorded. Exit status 0: bit for bit the same; 1: it is not, and what differs is said.
    """
    from normsweep.console.screen import say, screen
    from normsweep.parts.catalog import load_plugins
    from normsweep.parts.metrics import metric
    from normsweep.runner.rerun import rerun as train_again
    from normsweep.store.storage import read_study

    recorded = read_study(storage, study)
    record = _trial(recorded, trial)
    load_plugins(plugins, _needed(record.trial))
    if record.result is None:
        raise StoreError(f"trial {trial} of {study}: still runs; legal: one that has ended")
    known = {epoch.epoch: epoch.value for epoch in record.result.curve}
    by = metric(record.trial.metric).label

    def told(epoch: Epoch) -> None:
        was = known.get(epoch.epoch, float("nan"))
        say(f"epoch {epoch.epoch}: validation {by} {epoch.value:.6f}, recorded {was:.6f}")

    with screen():
        outcome = train_again(recorded, record, ROOT, data_dir, device, told)
        for line in _outcome_lines(outcome):
            say(line)
    return 0 if outcome.same else 1


def delete(
    study: Name,
    /,
    *,
    storage: Storage = STORAGE,
    tracking_uri: TrackingUri = TRACKING,
    yes: Yes = False,
) -> int:
    """Delete a study: its record, its runs and models in MLflow, checkpoints, report, artifacts."""
    from normsweep.runner.removal import doomed_study
    from normsweep.store.locks import lock_study
    from normsweep.store.storage import load_study

    load_study(storage, study)
    with lock_study(storage, study):
        return _remove(doomed_study(study, storage, tracking_uri, ROOT), yes)


def gc(
    *,
    storage: Storage = STORAGE,
    tracking_uri: TrackingUri = TRACKING,
    dry_run: Annotated[bool, Parameter(negative=(), help="Say what would go, and stop.")] = False,
    yes: Yes = False,
) -> int:
    """Clear away what no study of the storage has: runs, models, checkpoints, data, half-written files.

    Files younger than an hour are left alone.
    """
    from normsweep.runner.removal import orphans

    found = orphans(storage, tracking_uri, ROOT, _note)
    if not found:
        print("nothing is left over")
        return 0
    if dry_run:
        _list(found, "would be deleted:")
        return 0
    return _remove(found, yes)


def _remove(doomed: Doomed, yes: bool) -> int:
    _list(doomed, "to be deleted:")
    if not yes and not _agreed():
        print("nothing was deleted")
        return 1
    doomed.remove(print)
    print("deleted")
    return 0


def _note(line: str) -> None:
    print(printable(line))


def _list(doomed: Doomed, head: str) -> None:
    print(head)
    for line in doomed.lines():
        print(f"  {printable(line)}")


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise UserError("--yes: missing, and nobody is there to be asked; legal: --yes")
    try:
        return input("delete all of this? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _trial(study: StudyRecord, number: int) -> TrialRecord:
    found = next((record for record in study.trials if record.trial.number == number), None)
    if found is None:
        last = max((record.trial.number for record in study.trials), default=None)
        legal = "none, it has no trial yet" if last is None else f"0 to {last}"
        raise StoreError(f"TRIAL: received {number}; legal for study {study.name}: {legal}")
    return found


def _needed(trial: Trial) -> list[tuple[Registry, str]]:
    """The parts without which a trial cannot be trained, by registry and name."""
    from normsweep.parts import metrics, models, normalizations, optimizers

    return [
        (models.registry, trial.model),
        (normalizations.registry, trial.normalization),
        (optimizers.registry, trial.optimizer),
        (metrics.registry, trial.metric),
    ]


def _outcome_lines(outcome: Rerun) -> list[str]:
    was, now = outcome.recorded, outcome.now
    lines = [
        f"{key}: was {old or 'none'}, is {new or 'none'}"
        for key, (old, new) in outcome.machine_changes.items()
    ]
    if now.status != was.status:
        lines.append(f"status: was {was.status.value}, is {now.status.value}")
    if now.error:
        lines.append(now.error.strip())
    if outcome.same:
        return [*lines, f"the same curve, bit for bit: {len(was.curve)} epochs"]
    epochs = ", ".join(map(str, outcome.differing[:10])) or "its length"
    why = (
        ""
        if outcome.machine_changes or not now.machine
        else ", though device, threads and versions are the same"
    )
    return [*lines, f"not the same curve: what differs is epoch {epochs}{why}"]
