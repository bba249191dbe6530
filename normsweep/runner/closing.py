"""How a study ends: tables, verdict, report, what is missing, the next commands."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from normsweep.analysis.evidence import Evidence, evidence
from normsweep.console.screen import Screen, print_table
from normsweep.errors import StudyStopped, TrackingFailed
from normsweep.parts import models
from normsweep.parts.metrics import metric
from normsweep.reporting.answer import study_answer, verdict_lines
from normsweep.reporting.note import Pages, experiment_note, note_figure
from normsweep.reporting.page import write_report
from normsweep.reporting.study_report import report_content
from normsweep.reporting.study_tables import ARMS, brief_table
from normsweep.reporting.words import points, unit_of_gaps
from normsweep.runner.interrupts import Background
from normsweep.runner.publishing import model_uris
from normsweep.search.search_phase import Search
from normsweep.sweep.study_record import StudyRecord, TrialRecord
from normsweep.text import masked, printable
from normsweep.tracking.tracker import Tracker
from normsweep.tracking.views import ARMS_VIEW, CONFIRM_VIEW, TRIALS_VIEW
from normsweep.urls import tracking_option

__all__ = [
    "Ending",
    "deliver_ending",
    "prepare_pages",
    "print_lacking",
    "print_missing",
    "print_next",
    "print_reuse",
    "print_tables",
    "write_ending",
    "write_note",
]

BEST = ["arm", "val_{metric}", "optimizer", "learning_rate", "epochs", "seconds", "trial"]


@dataclass(frozen=True)
class Ending:
    """What a study found, its report written."""

    record: StudyRecord
    found: Evidence
    page: Path


def prepare_pages(search: Search, tracker: Tracker) -> Callable[[], None]:
    """What writes the study's views and its description to MLflow, before there is a verdict."""
    record, searched = search.store.record(), _searched(search)
    maximize = metric(search.sweep.metric).sign > 0
    note = experiment_note(record, _pages(record, tracker))

    def write() -> None:
        tracker.prepare_views(searched, maximize)
        if not record.analyses:  # the description that has a verdict is kept
            tracker.note(note)

    return write


def write_note(search: Search, tracker: Tracker, background: Background, console: Console) -> None:
    """The same where the study was interrupted; told where MLflow has not got it."""
    try:
        background.call(prepare_pages(search, tracker))
    except TrackingFailed as error:
        _say(console, f"the experiment's note was not written: {error}")


def _searched(search: Search) -> list[str]:
    """The parameters that the search varies, as MLflow's runs have them."""
    options = models.registry[search.sweep.model.name].options  # `own@…` is known as `own`
    names = [d.name for d in search.sweep.search.space if d.count != 1]
    return [f"model.{name}" if name in options else name for name in names]


def _pages(study: StudyRecord, tracker: Tracker) -> Pages:
    """Where MLflow shows what the note speaks of."""
    views = {
        "every trial": tracker.view_page(TRIALS_VIEW),
        "the mean of each arm": tracker.view_page(ARMS_VIEW),
    }
    if study.analyses:
        views["the confirmation"] = tracker.view_page(CONFIRM_VIEW)
    return Pages(run=tracker.run_page, views=views, models=model_uris(study))


def write_ending(search: Search, root: Path, storage: str, console: Console) -> Ending:
    """The verdict on the console, the report in a folder.

    Raises:
        StudyStopped: the report cannot be written.
    """
    record = search.store.record()
    found = evidence(record)
    print_verdict(found, search, console)
    folder = root / "reports" / record.name
    try:
        page = write_report(report_content(record, storage, found), folder)
    except OSError as error:
        raise StudyStopped(
            f"{folder}: the report cannot be written: {error.strerror or error}; mend that, and run "
            "the same command again: every trial is recorded"
        ) from None
    _say(console, f"report: {page}")
    return Ending(record, found, page)


def deliver_ending(ending: Ending, search: Search, tracker: Tracker) -> None:
    """The report in MLflow, and the experiment's note with the verdict.

    Raises:
        TrackingFailed: MLflow has not got them.
    """
    tracker.prepare_views(_searched(search), metric(search.sweep.metric).sign > 0)
    figure = note_figure(ending.page.parent)
    run = tracker.report(ending.page.parent, _gaps(ending.found))
    pages = replace(
        _pages(ending.record, tracker),
        report=tracker.artifact_page(run, ending.page.name),
        figure=figure and tracker.artifact_file(run, figure),
    )
    tracker.note(experiment_note(ending.record, pages, ending.found.verdicts))


def print_verdict(found: Evidence, search: Search, console: Console) -> None:
    """The answer in a sentence, and each question's verdict in a line."""
    declared = found.declared
    if not len(found.verdicts):
        if not search.left:
            _say(console, "no verdict yet: --phase confirm, or the same command, gives one")
        return
    print_table(
        console,
        verdict_lines(found.verdicts),
        f"{search.sweep.name}: does it catch up with {declared.reference}? (* the question asked)",
    )
    _say(console, study_answer(found))
    first = found.verdicts.iloc[0]
    _say(
        console,
        f"  gaps are arm − {declared.reference} in {unit_of_gaps(declared.metric)}, with the interval for new seeds and "
        f"new images; {first['images']} test images, margin "
        f"{points(declared.margin, sign=False, by=declared.metric)}, "
        f"look {first['look']}; {first['method']}",
    )
    for warning in dict.fromkeys(_warnings(found)):
        _say(console, f"  mind: {warning}")


def _warnings(found: Evidence) -> list[str]:
    """What changes how the primary verdicts are read."""
    primary = found.verdicts[found.verdicts["primary"]]
    return [text for cell in primary["warnings"] for text in str(cell).split("; ") if text]


def _gaps(found: Evidence) -> dict[str, float]:
    """The primary question's gaps, by arm, under names that MLflow takes."""
    primary = found.verdicts[found.verdicts["primary"]]
    return {
        f"gap/{re.sub(r'[^A-Za-z0-9_. -]', '_', arm)}": gap
        for arm, gap in zip(primary["arm"], primary["gap"], strict=True)
    }


def print_tables(search: Search, console: Console) -> None:
    """Each arm's best trial, and how the arms' trials ended."""
    record = search.store.record()
    best = brief_table(record, "best", BEST)
    print_table(console, best, f"{search.sweep.name}: best trial of each arm")
    arms = brief_table(record, "arms", ARMS)
    print_table(console, arms, "all trials of each arm")


def print_reuse(records: Sequence[TrialRecord], console: Console) -> None:
    """How many epochs were trained, where some did not have to be."""
    results = [r.result for r in records if r.result is not None]
    total, reused = sum(len(r.curve) for r in results), sum(r.reused for r in results)
    if reused:
        _say(
            console,
            f"of {total} epochs {total - reused} were trained: {reused} are taken over from "
            "trials that begin the same",
        )


def print_missing(search: Search, searched: bool, console: Console) -> bool:
    """Say what the search lacks; whether it brought a score. `searched`: in this command."""
    if search.left and not searched:
        _say(console, f"the search has {search.left} of {search.total} trials left")
    elif search.left and search.sweep.search.timeout is not None:
        _say(
            console,
            f"stopped at the time limit of {search.sweep.search.timeout:g} s with {search.left} of "
            f"{search.total} trials left: the same command goes on",
        )
    scored = any(r.result is not None and r.result.status.scored for r in search.records())
    if not scored and not search.left:
        _warn(console, "no trial has a score: the column error of `export trials` says why")
    return scored or bool(search.left)


def print_lacking(study: str, lacking: Sequence[str], options: str, console: Console) -> None:
    """Say what MLflow lacks, and the command that delivers it; `options` names the stores."""
    _warn(console, f"MLflow lacks {', '.join(lacking)}; the record has all of it")
    _warn(console, "when MLflow can be reached, run the same command; for the trials alone:")
    _say(console, f"  normsweep sync --study-name {study}{options}")


def print_next(search: Search, storage: str, tracker: Tracker, console: Console) -> None:
    """The next commands to try; `storage` is the option that they need, or empty."""
    name, given = search.sweep.name, storage
    lines = [
        "next:",
        f"  python -m normsweep.export best --study-name {name}{given} --format markdown",
        f"  python -m normsweep.export epochs --study-name {name}{given} -o epochs.csv",
        f"  python -m normsweep.export verdict --study-name {name}{given} --format latex",
    ]
    if uris := model_uris(search.store.record(trials=False)):
        _say(console, f"models, for mlflow.pyfunc.load_model: {', '.join(uris.values())}")
    if not tracker.address:
        lines.append(f"  normsweep ui --study-name {name}{tracking_option(tracker.uri)}")
    else:
        lines.append(f"  open {masked(tracker.address)}/{tracker.page}")
    for line in lines:
        _say(console, line)


def _say(console: Console, line: str) -> None:
    console.print(printable(line), markup=False, highlight=False, soft_wrap=True)


def _warn(console: Console, line: str) -> None:
    if isinstance(console, Screen):
        console.warn(line)
        return
    console.print(printable(line), markup=False, highlight=False, style="bold red")
