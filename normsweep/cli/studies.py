"""`normsweep show`, `rerun`, `delete` and `gc`: show, rerun and clean up stored studies."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from normsweep.errors import StoreError, UserError
from normsweep.shell import OutputFormat, Plugins, Storage, TrackingUri, print_json
from normsweep.text import printable
from normsweep.urls import STORAGE, TRACKING

if TYPE_CHECKING:
    from normsweep.parts.registry import Registry
    from normsweep.runner.removal import Deletion
    from normsweep.runner.rerun import Rerun
    from normsweep.sweep.study_record import StudyRecord, TrialRecord
    from normsweep.sweep.trial import Epoch, Trial

__all__ = ["delete", "gc", "list_studies", "rerun", "show"]

ROOT = Path("mlruns")
"""Folder of checkpoints, data and reports."""


Name = Annotated[str, Parameter(help="Name of the study.")]


Number = Annotated[int, Parameter(help="Number of the trial.")]


Yes = Annotated[
    bool, Parameter(name=["--yes", "-y"], negative=(), help="Do not ask for confirmation.")
]


def list_studies(storage: str, format: Literal["text", "json"] = "text") -> None:
    """Print the studies in a database: status, trials, best score, age."""
    from normsweep.console.overview import overview, studies_table
    from normsweep.console.screen import print_table, screen
    from normsweep.store.locks import locked_by
    from normsweep.store.storage import read_studies

    now = time.time()
    rows = [
        overview(record.labelled(), bool(locked_by(storage, record.name)), now)
        for record in read_studies(storage)
    ]
    if format == "json":
        print_json([asdict(row) for row in rows])
    elif rows:
        with screen():
            print_table(studies_table(rows), "")


def show(
    study: Name,
    trial: Annotated[int | None, Parameter(help="Number of a trial of the study.")] = None,
    /,
    *,
    storage: Storage = STORAGE,
    plugins: Plugins = (),
    tracking_uri: TrackingUri = TRACKING,
    format: OutputFormat = "text",
) -> int:
    """Show a study, or everything stored about one of its trials."""
    from normsweep.console.overview import print_trial, trial_facts
    from normsweep.console.screen import screen
    from normsweep.console.summary import print_study, study_facts
    from normsweep.parts import metrics
    from normsweep.parts.catalog import load_plugins
    from normsweep.reporting.commands import Commands
    from normsweep.store.locks import locked_by
    from normsweep.store.storage import read_study

    record = read_study(storage, study).labelled()
    load_plugins(plugins, [(metrics.registry, record.sweep.metric)])
    if format == "json":
        running = locked_by(storage, study)
        print_json(
            study_facts(record, running) if trial is None else trial_facts(_trial(record, trial))
        )
        return 0
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
        Parameter(env_var="NORMSWEEP_DATA", help="Folder of the dataset, if it is not in mlruns."),
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "gpu"] | None,
        Parameter(help="Device to train on; that of the trial by default."),
    ] = None,
) -> int:
    """Train a stored trial again, and compare its curve with the stored one.

    Nothing is stored. Exit status: 0 if both are identical bit for bit; otherwise 1, and the differences are printed.
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
        raise StoreError(f"TRIAL: must have ended, but trial {trial} of study {study} is running")
    known = {epoch.epoch: epoch.value for epoch in record.result.curve}
    by = metric(record.trial.metric).label

    def print_epoch(epoch: Epoch) -> None:
        was = known.get(epoch.epoch, float("nan"))
        say(f"epoch {epoch.epoch}: validation {by} {epoch.value:.6f}, stored {was:.6f}")

    with screen():
        outcome = train_again(recorded, record, ROOT, data_dir, device, print_epoch)
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
    """Delete a study with its trials, runs and models in MLflow, checkpoints, report and artifacts."""
    from normsweep.runner.removal import study_deletion
    from normsweep.store.locks import lock_study
    from normsweep.store.storage import load_study

    load_study(storage, study)
    with lock_study(storage, study):
        return _remove(study_deletion(study, storage, tracking_uri, ROOT), yes)


def gc(
    *,
    storage: Storage = STORAGE,
    tracking_uri: TrackingUri = TRACKING,
    dry_run: Annotated[
        bool, Parameter(negative=(), help="List what would be deleted, and exit.")
    ] = False,
    yes: Yes = False,
) -> int:
    """Clean up what belongs to no study of the storage: runs, models, checkpoints, data, partial files.

    Files younger than an hour are kept.
    """
    from normsweep.runner.removal import orphans

    found = orphans(storage, tracking_uri, ROOT, _note)
    if not found:
        print("nothing to clean up")
        return 0
    if dry_run:
        _list(found, "would be deleted:")
        return 0
    return _remove(found, yes)


def _remove(deletion: Deletion, yes: bool) -> int:
    _list(deletion, "to be deleted:")
    if not yes and not _confirmed():
        print("nothing was deleted")
        return 1
    deletion.remove(print)
    print("deleted")
    return 0


def _note(line: str) -> None:
    print(printable(line))


def _list(deletion: Deletion, head: str) -> None:
    print(head)
    for line in deletion.lines():
        print(f"  {printable(line)}")


def _confirmed() -> bool:
    if not sys.stdin.isatty():
        raise UserError("--yes: required if standard input is not a terminal")
    try:
        return input("delete all of this? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _trial(study: StudyRecord, number: int) -> TrialRecord:
    found = next((record for record in study.trials if record.trial.number == number), None)
    if found is None:
        last = max((record.trial.number for record in study.trials), default=None)
        known = "it has no trials yet" if last is None else f"available: 0 to {last}"
        raise StoreError(f"TRIAL: no trial {number} in study {study.name}; {known}")
    return found


def _needed(trial: Trial) -> list[tuple[Registry, str]]:
    """The components that a trial needs, as registry and name."""
    from normsweep.parts import metrics, models, normalizations, optimizers
    from normsweep.sweep.schemes import all_in

    return [
        (models.registry, trial.model),
        *((normalizations.registry, each.name) for each in all_in(trial.normalization)),
        (optimizers.registry, trial.optimizer),
        (metrics.registry, trial.metric),
    ]


def _outcome_lines(outcome: Rerun) -> list[str]:
    was, now = outcome.recorded, outcome.now
    lines = [
        f"{key}: {old or '(none)'} -> {new or '(none)'}"
        for key, (old, new) in outcome.machine_changes.items()
    ]
    if now.status != was.status:
        lines.append(f"status: {was.status.value} -> {now.status.value}")
    if now.error:
        lines.append(now.error.strip())
    if outcome.same:
        return [*lines, f"the same curve, bit for bit: {len(was.curve)} epochs"]
    numbers = ", ".join(map(str, outcome.differing[:10]))
    what = f"epoch {numbers}" if numbers else "number of epochs"
    why = (
        ""
        if outcome.machine_changes or not now.machine
        else ", although device, threads and versions are the same"
    )
    return [*lines, f"a different curve: {what} differs{why}"]
