"""From the record of a study to what its report says."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from normsweep.analysis.evidence import Evidence, evidence
from normsweep.analysis.tables import arms_table, best_table, trials_table
from normsweep.errors import StoreError, UserError
from normsweep.reporting.answer import study_answer
from normsweep.reporting.commands import Commands
from normsweep.reporting.content import ReportContent, ReportData, ReportFrames
from normsweep.reporting.explanations import explanations
from normsweep.reporting.page import write_report
from normsweep.sweep.schema import Sweep
from normsweep.sweep.study_record import DataFacts, StudyRecord, TrialRecord
from normsweep.urls import STORAGE

__all__ = ["report_content", "write_study_report"]


def write_study_report(
    record: StudyRecord, storage: str = STORAGE, folder: Path | None = None
) -> Path:
    """Write the report of a study; the page's path.

    Args:
        record: the study's.
        storage: address of Optuna's database, for the commands.
        folder: `mlruns/reports/STUDY` where it is not given.

    Raises:
        StoreError: the study has no trial yet.
        UserError: the folder cannot be written.
    """
    if not record.begun:
        raise StoreError(
            f"study {record.name}: has no trial yet; legal: a study that was run "
            f"({Commands(record, storage).study()})"
        )
    folder = folder or Path("mlruns") / "reports" / record.name
    try:
        return write_report(report_content(record, storage), folder)
    except OSError as error:
        raise UserError(f"--output: cannot write {folder}: {error.strerror}") from None


def report_content(
    record: StudyRecord, storage: str = STORAGE, found: Evidence | None = None
) -> ReportContent:
    """What the report of a study says.

    Args:
        record: the study's.
        storage: address of Optuna's database, for the commands.
        found: what `evidence` gives, where it was computed before.
    """
    found = found or evidence(record)
    sweep, trials, declared = record.sweep, record.trials, found.declared
    commands = Commands(record, storage)
    machine = _machine(trials)
    return ReportContent(
        study=record.name,
        question=sweep.question or f"Does every {declared.compare} do as well as the reference?",
        compare=declared.compare,
        reference=declared.reference,
        arms=found.arms,
        answer=study_answer(found),
        data=_data(sweep, record.data),
        model=sweep.model.name,
        margin=declared.margin,
        metric=declared.metric,
        confidence=declared.confidence,
        primary=declared.primary,
        look=len(record.analyses),
        seeds_done=found.seeds,
        seeds_planned=sweep.confirm.seeds,
        baseline_epochs=declared.baseline_epochs,
        longest_epochs=_longest(record),
        machine=machine.get("device", ""),
        backend=_backend(machine),
        precision=trials[0].trial.precision if trials else "",
        hours=sum(r.result.seconds for r in trials if r.result is not None) / 3600,
        frames=_frames(found, record),
        warnings=[*found.warnings, *_unfinished(record)],
        explanations=explanations(found),
        confirm_command=_confirm_command(found, commands),
        commands=commands.reproduce(),
        versions={k: v for k, v in machine.items() if k.endswith("_version")},
    )


def _data(sweep: Sweep, data: DataFacts | None) -> ReportData:
    assert data is not None
    # As scikit-learn does.
    held_out = math.ceil(data.train_images * sweep.data.validation_split - 1e-9)
    return ReportData(data.name, data.train_images - held_out, held_out, data.test_images)


def _frames(found: Evidence, record: StudyRecord) -> ReportFrames:
    searched = record.searched
    return ReportFrames(
        curves=found.curves,
        verdicts=found.verdicts,
        learning_rates=found.learning_rates,
        tunability=found.tunability,
        inputs=found.inputs,
        gradients=found.gradients,
        progress=found.progress,
        configurations=found.configurations,
        speed=found.speed,
        best=best_table(searched, found.arms, same=record.same),
        arms=arms_table(searched, found.arms, record.same),
        trials=trials_table(record.trials, record.same),
    )


def _longest(record: StudyRecord) -> int | None:
    """The epochs of a run of the confirmation, as the latest analysis had them."""
    epochs = [int(c.params["epochs"]) for last in record.analyses[-1:] for c in last.configurations]
    return max(epochs, default=None)


def _machine(records: Iterable[TrialRecord]) -> Mapping[str, str]:
    """Where the latest trial ran."""
    known = [r.result.machine for r in records if r.result is not None and r.result.machine]
    return known[-1] if known else {}


def _backend(machine: Mapping[str, str]) -> str:
    name = machine.get("backend", "")
    return f"{name} {machine.get(f'{name}_version', '')}".strip()


def _unfinished(record: StudyRecord) -> list[str]:
    """What of the confirmation is not looked at yet."""
    looked = {n for last in record.analyses[-1:] for c in last.configurations for n in c.runs}
    ended = [r for r in record.confirmed if r.result is not None and r.result.status.scored]
    new = [r for r in ended if r.trial.number not in looked]
    if not new:
        return []
    return [
        f"the confirmation goes on: {len(new)} of its runs are not in this verdict, which comes "
        "with the last of them"
    ]


def _confirm_command(found: Evidence, commands: Commands) -> str:
    """The command that gives a verdict, or a more certain one."""
    if not found.record.analyses:
        return commands.confirm()
    return commands.confirm(found.seeds + _more(found.verdicts))


def _more(verdicts: pd.DataFrame) -> int:
    """Seeds that the primary question still needs; as many as a table of steps has at the least."""
    wanted = verdicts.loc[verdicts["primary"], "more_seeds"]
    return max((int(text) for text in wanted if text.isdigit()), default=10)
