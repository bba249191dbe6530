"""The note that MLflow shows above a study's runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from normsweep.analysis.evidence import Evidence
from normsweep.analysis.trials import arm_summaries
from normsweep.analysis.verdicts import Verdict
from normsweep.parts.metrics import metric
from normsweep.reporting.answer import answer_sentence, repeats_sentence
from normsweep.reporting.commands import Commands
from normsweep.reporting.formats import render
from normsweep.reporting.in_short import in_short
from normsweep.reporting.mechanism import reasons
from normsweep.reporting.tables import arms_table, best_table
from normsweep.reporting.verdict_text import verdict_cells
from normsweep.reporting.words import unit_of_gaps
from normsweep.sweep.study_record import StudyRecord
from normsweep.text import as_markdown, opening

__all__ = [
    "Pages",
    "experiment_note",
    "links",
    "note_figure",
    "opening_lines",
    "short_lines",
]

FIGURE, WIDTH = "figures/note.png", 760
"""Markdown shows a picture as large as it is: pixels that a note has beside MLflow's other panels."""


@dataclass(frozen=True)
class Pages:
    """Addresses that the note has links to, as a page of MLflow's takes them."""

    run: Callable[[str], str]
    """Of a run, by its id."""
    views: Mapping[str, str] = field(default_factory=dict)
    """Of the prepared views, by what they show."""
    models: Mapping[str, str] = field(default_factory=dict)
    """By arm, the URI of its best model in the registry."""
    report: str = ""
    """Of the report, where it is kept."""
    figure: str = ""
    """Of the figure that opens the report."""


def experiment_note(record: StudyRecord, pages: Pages, found: Evidence | None = None) -> str:
    """The answer, the question, in short, the verdicts, why, each arm's best trial with a link to its run. Markdown.

    The answer comes first: folded up, MLflow shows the first line alone.

    Args:
        record: of the study, with its trials.
        pages: what is linked to.
        found: what the confirmation found, if there is one yet.
    """
    verdicts, by = found.verdicts if found else (), metric(record.sweep.metric)
    parts = [
        *opening_lines(record, found),
        short_lines(found) if found else "",
        links({**pages.views, **({"the whole report": pages.report} if pages.report else {})}),
        f"![{opening(by.label)} after each epoch]({pages.figure})" if pages.figure else "",
        _verdicts(verdicts, unit_of_gaps(by)),
        _why(found) if found else "",
        _best(record, pages),
        _trials(record),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def opening_lines(record: StudyRecord, found: Evidence | None) -> tuple[str, str, str]:
    """The answer, what repeated tunings say of it (maybe empty), and the question, in Markdown."""
    verdicts, sweep = found.verdicts if found else (), record.sweep
    answer = answer_sentence(verdicts, sweep.compare, str(sweep.reference))
    repeats = as_markdown(repeats_sentence(verdicts))
    return f"**{as_markdown(answer)}**", repeats, as_markdown(sweep.question)


def short_lines(found: Evidence) -> str:
    """The four lines of *In short*, in Markdown."""
    lines = (f"- **{line.heading}** {as_markdown(line.text)}" for line in in_short(found))
    return "\n".join(lines)


def note_figure(report: Path) -> str:
    """Write the report's opening figure at the width of a note; its path within the report.

    Empty where the report has no such figure.
    """
    from PIL import Image

    figures = (report / "figures" / f"{name}.png" for name in ("accuracy", "learning_rate"))
    opening = next((path for path in figures if path.exists()), None)
    if opening is None:
        return ""
    with Image.open(opening) as image:
        size = WIDTH, round(WIDTH * image.height / image.width)
        image.resize(size, Image.Resampling.LANCZOS).save(report / FIGURE)
    return FIGURE


def links(places: Mapping[str, str]) -> str:
    """A line of links by their texts, in Markdown; empty if there are none."""
    linked = ", ".join(f"[{name}]({place})" for name, place in places.items())
    return f"Open: {linked}" if linked else ""


def _verdicts(verdicts: Sequence[Verdict], unit: str) -> str:
    if not verdicts:
        return ""
    cells = verdict_cells(verdicts).filter(["question", "arm", "verdict", "gap", "interval"])
    cells = render(cells, "markdown").decode().rstrip()
    return f"## Verdicts{f', gaps in {unit}' if unit else ''}\n\n{cells}"


def _why(found: Evidence) -> str:
    """Why, by experiment; empty without the arms that say it."""
    lines = [f"- {as_markdown(reason.text)}" for reason in reasons(found)]
    return "\n".join(["## Why, by experiment", "", *lines]) if lines else ""


def _best(record: StudyRecord, pages: Pages) -> str:
    best = best_table(record.searched, record.arms, same=record.same)
    by = metric(record.sweep.metric)
    columns = ["arm", f"val_{by.name}", "learning_rate", "optimizer", "epochs", "trial"]
    rows = zip(best["arm"], best["trial"], best["run_id"], strict=True)
    runs = [f"[{as_markdown(str(a))}, trial {n}]({pages.run(run)})" for a, n, run in rows if run]
    uris = [f"`{uri}` ({as_markdown(arm)})" for arm, uri in pages.models.items()]
    parts = [
        f"## Best trial of each arm, by validation {by.label} after the last epoch",
        render(best.filter(items=columns), "markdown").decode().rstrip(),
        f"Runs: {', '.join(runs)}" if runs else "",
        f"Models, for `mlflow.pyfunc.load_model`: {', '.join(uris)}" if uris else "",
        "The best score of several trials is optimistic: it selects a configuration, and is no estimate.",
    ]
    return "\n\n".join(part for part in parts if part)


def _trials(record: StudyRecord) -> str:
    counts = arms_table(arm_summaries(record.searched, record.arms))
    counts = counts.filter(["arm", "trials", "complete", "diverged", "failed"])
    data = record.data
    assert data is not None
    return f"""## Trials

{render(counts, "markdown").decode()}
Data: {as_markdown(f"{data.name} ({data.source})")}, {data.train_images} training {data.sample}s. Reference arm:
{as_markdown(str(record.sweep.reference))}. All tables: `{Commands(record).export("best")}`"""
