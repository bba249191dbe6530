"""What a command prints at its end: tables, verdict, trials left, the next commands."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from normsweep.analysis.evidence import Evidence, evidence
from normsweep.analysis.given import Judgement
from normsweep.analysis.verdicts import Verdict, primary_verdicts
from normsweep.console.display import standing_words
from normsweep.console.overview import described_arms, overview
from normsweep.console.screen import answer, print_table, say, table_text, warn
from normsweep.reporting.answer import repeats_sentence, study_answer
from normsweep.reporting.commands import Commands, model_uris
from normsweep.reporting.ending_words import stuck_warnings
from normsweep.reporting.judged import judged_answer, unknowns
from normsweep.reporting.mechanism import reasons
from normsweep.reporting.outcome_words import chosen_words, seeds_words, window_words
from normsweep.reporting.rows import ARMS, brief_rows
from normsweep.reporting.verdict_text import verdict_rows
from normsweep.reporting.words import margin_words, points, unit_of_gaps
from normsweep.search.outlook import Standing
from normsweep.sweep.schema import SEQUENTIAL
from normsweep.sweep.study_record import StudyRecord
from normsweep.sweep.trial import SEARCH

__all__ = [
    "judgement_lines",
    "print_next",
    "print_not_logged",
    "print_remaining",
    "print_repeats",
    "print_reuse",
    "print_study",
    "print_tables",
    "print_unconfirmed",
    "print_verdict",
    "study_facts",
]

BEST = ["arm", "val_{metric}", "optimizer", "learning_rate", "epochs", "seconds", "trial"]


def print_tables(record: StudyRecord) -> None:
    """Print each arm's best trial, and how the trials of each arm ended."""
    best = brief_rows(record, "best", BEST)
    print_table(best, f"{record.name}: best trial of each arm")
    print_table(brief_rows(record, "arms", ARMS), "all trials of each arm")


def study_facts(record: StudyRecord, process: str) -> dict[str, object]:
    """What `print_study` prints, for programs."""
    seen, sweep = overview(record, bool(process), time.time()), record.sweep
    found = evidence(record) if record.analyses else None
    return {
        **asdict(seen),
        "process": process,
        "question": sweep.question,
        "reference": sweep.label(str(sweep.reference)),
        "arms": [arm.label for arm in sweep.arms],
        "data": {
            "name": record.data.name,
            "source": record.data.source,
            "digest": record.data.digest,
        }
        if record.data
        else None,
        "model": sweep.model.name,
        "models": dict(model_uris(record)),
        "best": brief_rows(record, "best", ["arm", "trial", *BEST[1:-1]]).mappings,
        "arm_summaries": brief_rows(record, "arms", ARMS).mappings,
        "answer": study_answer(found) if found else "",
        "verdicts": verdict_rows(found.verdicts).mappings if found else [],
    }


def print_study(record: StudyRecord, process: str, commands: Commands) -> None:
    """Print a study's facts, tables and verdicts; `process`: the one that runs it, or empty."""
    seen, sweep = overview(record, bool(process), time.time()), record.sweep
    facts = {
        "question": sweep.question,
        "status": f"{seen.status} by {process}" if process else seen.status,
        "trials": seen.trials,
        "started": seen.started,
        "arms": described_arms(sweep),
        "data": f"{record.data.name} ({record.data.source})" if record.data else "",
        "model": sweep.model.name,
        "models": _models(record),
    }
    say(record.name)
    for name, value in facts.items():
        if value:
            say(f"  {name:10}{value}")
    if not record.begun:
        return
    best = brief_rows(record, "best", ["arm", "trial", *BEST[1:-1]])
    print_table(best, "best trial of each arm")
    print_table(brief_rows(record, "arms", ARMS), "all trials of each arm, of the search")
    if record.analyses:
        found = evidence(record)
        print_table(verdict_rows(found.verdicts), "verdicts")
        say(study_answer(found))
        if repeats := repeats_sentence(found.verdicts):
            say(repeats)
    for command in (commands.show(), commands.ui(), commands.delete()):
        say(f"  {command}")


def print_reuse(record: StudyRecord) -> None:
    """Print how many epochs were trained, if some were reused."""
    results = [r.result for r in record.trials if r.result is not None]
    total, reused = sum(len(r.curve) for r in results), sum(r.reused for r in results)
    if reused:
        say(
            f"trained {total - reused} of {total} epochs; {reused} were reused from trials with the "
            "same first epochs"
        )


def print_verdict(found: Evidence, left: int) -> None:
    """Print the answer in a sentence, and a verdict per question; `left`: trials left in the search."""
    for text in stuck_warnings(found.endings):
        say(f"warning: {text}")
    if not found.verdicts:
        if not left:
            say(
                "no verdict yet: the search is done, the confirmation is not; --phase confirm runs it"
            )
        return
    print_table(
        verdict_rows(found.verdicts),
        f"{found.record.name}: verdicts, compared with {found.reference} (* primary question; the others "
        "are secondary, each by itself)",
    )
    answer(study_answer(found))
    if repeats := repeats_sentence(found.verdicts):
        say(repeats)
    for line in _details(found):
        say(f"  {line}")
    for reason in reasons(found):
        say(f"  why, by experiment: {reason.text}")
    for warning in dict.fromkeys(text for verdict in found.primary for text in verdict.warnings):
        say(f"  warning: {warning}")


def _details(found: Evidence) -> Iterator[str]:
    """What the verdicts rest on; gaps by epoch and seeds are those of the primary question."""
    first, sample = found.verdicts[0], found.sample
    yield (
        f"gap: arm − {found.reference} in {unit_of_gaps(found.metric)}, with its interval for new "
        f"seeds and new {sample}s; {first.images} test {sample}s, margin "
        f"{margin_words(first.margin, first.share, found.metric)}, analysis {first.analysis}; {first.method}"
    )
    for verdict in primary_verdicts(found.verdicts):
        yield f"{verdict.arm}: {'; '.join(_of_verdict(verdict))}"


def _own_epoch(verdict: Verdict) -> Iterator[str]:
    """Of which epochs the gap is a mean, if of several."""
    if window := window_words(verdict):
        alone = points(verdict.last_epoch.value, by=verdict.metric)
        yield f"gap: {window}, {alone} at epoch {verdict.horizon} alone"


def _of_verdict(verdict: Verdict) -> Iterator[str]:
    yield from _own_epoch(verdict)
    yield seeds_words(verdict.trained[0])
    if chosen := chosen_words(verdict.chosen):
        yield f"tuned: chosen {chosen}"


def print_next(commands: Commands, page: str) -> None:
    """Print the study's models and the next commands; `page`: the study's page on MLflow's server."""
    if models := _models(commands.record):
        say(f"models, for mlflow.pyfunc.load_model: {models}")
    say("next:")
    for line in _next(commands, page):
        say(f"  {line}")


def _models(record: StudyRecord) -> str:
    """The URIs of the arms' models, with the labels of arms that they do not name."""
    uris, keys = model_uris(record), record.keys
    return ", ".join(f"{uri} ({arm})" if arm != keys[arm] else uri for arm, uri in uris.items())


def _next(commands: Commands, page: str) -> Iterator[str]:
    yield commands.export("best", "--format", "markdown")
    yield commands.export("epochs", "-o", "epochs.csv")
    if commands.record.analyses:
        yield commands.export("verdict", "--format", "latex")
    else:
        yield commands.confirm()
    if commands.record.sweep.rules < SEQUENTIAL:
        yield commands.renew()
    yield f"open {page}" if page else commands.ui()


def print_remaining(record: StudyRecord, left: int, searched: bool) -> None:
    """Print how many trials the search has `left`; `searched`: whether this command ran the search."""
    total, limit = record.planned[SEARCH], record.sweep.search.timeout
    if left and not searched:
        say(f"the search has {left} of {total} trials left")
    elif left and limit is not None:
        say(
            f"stopped at the time limit of {limit:g} s with {left} of {total} trials left; run the "
            "command again to resume"
        )
    if not left and not record.scored:
        warn("no trial has a score; for the reasons see the column error of `export trials`")


def print_unconfirmed(standings: Sequence[Standing], labels: Mapping[str, str]) -> None:
    """Print that the confirmation is not finished, and where each arm is; `labels` are by key."""
    told = "".join(f"; {standing_words(standing, labels[standing.arm])}" for standing in standings)
    say(f"the confirmation is not finished{told}; run the command again to resume")


def print_repeats(ended: int, planned: int) -> None:
    """Print that the whole tuning is not repeated as often as is declared."""
    say(f"the whole tuning was done {ended} of {planned} times; run the command again to resume")


def print_not_logged(missing: Sequence[str], commands: Commands) -> None:
    """Print what is not yet logged to MLflow, and the command that logs it."""
    warn(f"not yet logged to MLflow: {', '.join(missing)}; all trials are stored")
    warn("run the command again when MLflow is reachable, or log the trials alone:")
    say(f"  {commands.sync()}")


def judgement_lines(found: Judgement) -> Iterator[str]:
    """What `normsweep judge` prints: what the runs cannot say, how they were read, verdicts, the answer."""
    runs = found.runs
    yield f"{runs.name}: what these runs do not say"
    yield from (f"  {text}" for text in unknowns(found))
    yield ""
    yield from (f"read: {note}" for note in runs.notes)
    yield table_text(
        verdict_rows(found.verdicts), f"{runs.name}: compared with {found.reference}"
    ).rstrip()
    yield judged_answer(found)
    first = found.verdicts[0]
    yield (
        f"  gap: arm − {found.reference} in {unit_of_gaps(found.metric).removeprefix('of ')}, margin "
        f"{margin_words(first.margin, first.share, found.metric)}; {first.method}"
    )
    for verdict in found.verdicts:
        yield from (f"  {verdict.arm}: {text}" for text in _own_epoch(verdict))
    for text in dict.fromkeys(text for verdict in found.verdicts for text in verdict.warnings):
        yield f"  warning: {text}"
