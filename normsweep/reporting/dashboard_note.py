"""The notes of a study in Optuna's dashboard, which shows each of its phases as a study of Optuna."""

from __future__ import annotations

from collections.abc import Mapping

from normsweep.analysis.evidence import Evidence
from normsweep.reporting.commands import Commands
from normsweep.reporting.note import links, opening_lines, short_lines
from normsweep.sweep.study_record import StudyRecord
from normsweep.sweep.trial import CONFIRM, SEARCH, SELECT, kind_of, repeat_of
from normsweep.text import as_markdown, listed

__all__ = ["dashboard_notes"]

SHORT = 2000
"""Characters up to which *In short* is in the note."""
NAMES = {
    SEARCH: "the search",
    SELECT: "the selection round",
    CONFIRM: "the confirmation",
}
LATER = {
    SELECT: "The best trials of {search} on further seeds, from which each arm's configurations are chosen.",
    CONFIRM: "The configurations that {search} found, and the baselines, on fresh seeds. The answer is read "
    "off all of these trials together; the best one of them is a lucky seed.",
}
"""What the trials of a phase are."""
REPEATED = (
    "Repeat {repeat} of the whole tuning, on seeds of its own: {name}. The repeats say how much the gap depends on the "
    "tuning; the answer is that of {search}."
)
"""What the trials of a phase of a repeat are."""


def dashboard_notes(
    commands: Commands,
    pages: Mapping[str, str],
    views: Mapping[str, str],
    found: Evidence | None,
) -> dict[str, str]:
    """The notes by phase, in Markdown: the whole one on the search, a line on the later phases.

    Args:
        commands: about the study.
        pages: the dashboard's page of each phase that has begun.
        views: addresses of prepared views in MLflow, by what they show.
        found: what the confirmation found, if there is one yet.
    """
    search = f"[{as_markdown(commands.record.name)}]({pages[SEARCH]})"
    ends = f" Question and answer are in the note of {search}.\n"
    later = {phase: _later(phase, search) + ends for phase in pages if phase != SEARCH}
    return {SEARCH: _whole(commands, pages, views, found), **later}


def _later(phase: str, search: str) -> str:
    """What the trials of a later phase are."""
    kind, repeat = kind_of(phase), repeat_of(phase)
    if repeat > 1:
        return REPEATED.format(repeat=repeat, name=NAMES[kind], search=search)
    return LATER[kind].format(search=search)


def _name(phase: str) -> str:
    repeat = repeat_of(phase)
    return NAMES[kind_of(phase)] + (f" of repeat {repeat}" if repeat > 1 else "")


def _whole(
    commands: Commands,
    pages: Mapping[str, str],
    views: Mapping[str, str],
    found: Evidence | None,
) -> str:
    record, short = commands.record, short_lines(found) if found else ""
    lines = "\n".join(_commands(commands, bool(views)))
    parts = [
        *opening_lines(record, found),
        short if len(short) <= SHORT else "",
        _trials(record, pages),
        links({f"{name} in MLflow": page for name, page in views.items()}),
        f"```sh\n{lines}\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _trials(record: StudyRecord, pages: Mapping[str, str]) -> str:
    """What the trials of this Optuna study are, and where the others are."""
    later = [f"[{_name(phase)}]({page})" for phase, page in pages.items() if phase != SEARCH]
    if not later:
        return ""
    plural = (
        "is an Optuna study of its own" if len(later) == 1 else "are Optuna studies of their own"
    )
    return f"The trials here are those of the search; {listed(later)} {plural}."


def _commands(commands: Commands, in_mlflow: bool) -> list[str]:
    """The commands that show more; MLflow's, if it has no address to link to."""
    return [*commands.reproduce(), *([] if in_mlflow else [commands.ui()])]
