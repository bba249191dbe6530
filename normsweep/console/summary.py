"""What is said of a study at its end and later: tables, verdict, what is left, the next commands."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from normsweep.analysis.evidence import Evidence, evidence
from normsweep.console.overview import overview
from normsweep.console.screen import print_table, say, warn
from normsweep.reporting.answer import study_answer
from normsweep.reporting.commands import Commands, model_uris
from normsweep.reporting.tables import ARMS, brief_table
from normsweep.reporting.verdict_text import verdict_lines
from normsweep.reporting.words import points, unit_of_gaps
from normsweep.sweep.study_record import StudyRecord
from normsweep.sweep.trial import SEARCH

__all__ = [
    "print_lacking",
    "print_left",
    "print_next",
    "print_reuse",
    "print_study",
    "print_tables",
    "print_verdict",
]

BEST = ["arm", "val_{metric}", "optimizer", "learning_rate", "epochs", "seconds", "trial"]


def print_tables(record: StudyRecord) -> None:
    """Each arm's best trial, and how the arms' trials ended."""
    best = brief_table(record, "best", BEST)
    print_table(best, f"{record.name}: best trial of each arm")
    print_table(brief_table(record, "arms", ARMS), "all trials of each arm")


def print_study(record: StudyRecord, held: str, commands: Commands) -> None:
    """A study at a glance: facts, tables, verdicts; `held`: who drives it now, if anybody."""
    seen, sweep = overview(record, bool(held), time.time()), record.sweep
    facts = {
        "question": sweep.question,
        "status": f"{seen.status} by {held}" if held else seen.status,
        "trials": seen.trials,
        "begun": seen.begun,
        "arms": f"{', '.join(record.arms)} by {sweep.compare}; reference {sweep.reference}",
        "data": f"{record.data.name} ({record.data.source})" if record.data else "",
        "model": sweep.model.name,
        "models": ", ".join(model_uris(record).values()),
    }
    say(record.name)
    for name, value in facts.items():
        if value:
            say(f"  {name:10}{value}")
    if not record.begun:
        return
    best = brief_table(record, "best", ["arm", "trial", *BEST[1:-1]])
    print_table(best, "best trial of each arm")
    print_table(brief_table(record, "arms", ARMS), "all trials of each arm, of the search")
    if record.analyses:
        found = evidence(record)
        print_table(verdict_lines(found.verdicts), "verdicts")
        say(study_answer(found))
    for command in (commands.show(), commands.ui(), commands.delete()):
        say(f"  {command}")


def print_reuse(record: StudyRecord) -> None:
    """How many epochs were trained, where some did not have to be."""
    results = [r.result for r in record.trials if r.result is not None]
    total, reused = sum(len(r.curve) for r in results), sum(r.reused for r in results)
    if reused:
        say(
            f"of {total} epochs {total - reused} were trained: {reused} are taken over from "
            "trials that begin the same"
        )


def print_verdict(found: Evidence, left: int) -> None:
    """The answer in a sentence, and each question's verdict in a line; `left`: trials of the search."""
    if not found.verdicts:
        if not left:
            say("no verdict yet: --phase confirm, or the same command, gives one")
        return
    print_table(
        verdict_lines(found.verdicts),
        f"{found.record.name}: does it catch up with {found.reference}? (* the question asked)",
    )
    say(study_answer(found))
    first = found.verdicts[0]
    say(
        f"  gaps are arm − {found.reference} in {unit_of_gaps(found.metric)}, with the interval for "
        f"new seeds and new images; {first.images} test images, margin "
        f"{points(first.margin, sign=False, by=found.metric)}, look {first.analysis}; {first.method}"
    )
    for warning in dict.fromkeys(text for verdict in found.primary for text in verdict.warnings):
        say(f"  mind: {warning}")


def print_next(commands: Commands, page: str) -> None:
    """The study's models, and the commands to try; `page` is where MLflow's server shows the study."""
    if uris := model_uris(commands.record):
        say(f"models, for mlflow.pyfunc.load_model: {', '.join(uris.values())}")
    say("next:")
    for line in _next(commands, page):
        say(f"  {line}")


def _next(commands: Commands, page: str) -> Iterator[str]:
    yield commands.export("best", "--format", "markdown")
    yield commands.export("epochs", "-o", "epochs.csv")
    if commands.record.analyses:
        yield commands.export("verdict", "--format", "latex")
    yield f"open {page}" if page else commands.ui()


def print_left(record: StudyRecord, left: int, searched: bool) -> None:
    """What the search lacks; `left`: its trials that are not done, `searched`: in this command."""
    total, limit = record.planned[SEARCH], record.sweep.search.timeout
    if left and not searched:
        say(f"the search has {left} of {total} trials left")
    elif left and limit is not None:
        say(
            f"stopped at the time limit of {limit:g} s with {left} of {total} trials left: the same "
            "command goes on"
        )
    if not left and not record.scored:
        warn("no trial has a score: the column error of `export trials` says why")


def print_lacking(lacking: Sequence[str], commands: Commands) -> None:
    """What MLflow lacks, and the command that delivers it."""
    warn(f"MLflow lacks {', '.join(lacking)}; the record has all of it")
    warn("when MLflow can be reached, run the same command; for the trials alone:")
    say(f"  {commands.sync()}")
