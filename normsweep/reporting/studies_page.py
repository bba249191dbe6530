"""Several studies on one page: the gaps of their primary questions, and what must not be pooled."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from normsweep.analysis.evidence import Evidence
from normsweep.analysis.several import StudyLines, by_metric, unlike
from normsweep.analysis.verdicts import Verdict
from normsweep.errors import UserError
from normsweep.reporting.answer import study_answer
from normsweep.reporting.commands import Commands
from normsweep.reporting.evidence_tables import verdict_table
from normsweep.reporting.outcome_words import outcome_text
from normsweep.reporting.page import page_template, write_tables
from normsweep.reporting.page_tables import PageTable
from normsweep.reporting.verdict_text import verdict_cells
from normsweep.reporting.words import gap_number, interval_words, margin_number, sample_words
from normsweep.urls import STORAGE

__all__ = ["studies_cells", "studies_table", "write_studies"]

LONGEST = 100
"""Characters of a folder's name."""


def studies_table(studies: Sequence[Evidence]) -> pd.DataFrame:
    """The table `verdict` of all studies, with the column `study`."""
    tables = [verdict_table(f.verdicts, f.metric).assign(study=f.record.name) for f in studies]
    table = pd.concat(tables, ignore_index=True)
    return table.reindex(columns=["study", *(name for name in table.columns if name != "study")])


def studies_cells(studies: Sequence[Evidence]) -> pd.DataFrame:
    """The verdicts of all studies for documents, all text."""
    tables = [verdict_cells(found.verdicts) for found in studies]
    named = [
        table.assign(study=found.record.name, metric=found.metric.label)
        for table, found in zip(tables, studies, strict=True)
    ]
    table = pd.concat(named, ignore_index=True)
    first = ["study", "metric"]
    return table.reindex(columns=[*first, *(name for name in table.columns if name not in first)])


def write_studies(
    studies: Sequence[Evidence],
    storage: str = STORAGE,
    folder: Path | None = None,
    width: float | None = None,
) -> Path:
    """Write `index.html`, `figures/` and `tables/` of several studies into a folder; the page's path.

    Args:
        studies: at least two.
        storage: address of Optuna's database, for the commands.
        folder: by default `mlruns/reports/` and the names, joined by +.
        width: of the files of figures in pixels.

    Raises:
        UserError: the folder cannot be written.
    """
    from normsweep.reporting.figures.figure import Figure
    from normsweep.reporting.figures.forest import forest_of_studies
    from normsweep.reporting.figures.gallery import draw_charts  # vl-convert, only if needed
    from normsweep.reporting.figures.theme import Style

    lines = by_metric(studies)
    names = [found.record.name for found in studies]
    folder = folder or Path("mlruns") / "reports" / "+".join(names)[:LONGEST]

    def drawn(of: StudyLines, found: object, style: Style) -> Figure:
        return forest_of_studies(of, style)

    charts: Mapping[str, Callable[[object, Style], Figure]] = {
        f"gaps_{of.metric.name}": functools.partial(drawn, of) for of in lines
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        pictures = draw_charts(charts, None, folder / "figures", width=width)
        tables = {"verdicts": studies_table(studies)}
        write_tables(tables, folder / "tables")
        page = folder / "index.html"
        made = page_template("studies.html").render(
            names=names,
            questions=list(
                dict.fromkeys(f.record.sweep.question for f in studies if f.record.sweep.question)
            ),
            answers={found.record.name: study_answer(found) for found in studies},
            unlike=unlike(studies),
            pictures=pictures,
            verdicts=_rows(lines),
            reports=[Commands(found.record, storage).report() for found in studies],
        )
        page.write_text(made, encoding="utf-8")
    except OSError as error:
        raise UserError(f"--output: cannot write {folder}: {error.strerror}") from None
    return page


def _rows(lines: Sequence[StudyLines]) -> PageTable:
    """Study, arm, outcome, gap and interval of every primary question."""
    heads = ("Study", "Arm", "Outcome", "Gap", "Interval", "Margin", "Rests on")
    every = [pair for of in lines for pair in zip(of.studies, of.verdicts, strict=True)]
    rows = tuple((study, *_cells(verdict)) for study, verdict in every)
    kinds = ("short", "short", "long", "number", "number", "short", "short")
    caption = "The primary question of each study; gaps in the unit of the margin"
    return PageTable(caption, heads, rows, kinds, tuple(v.arm for _, v in every))


def _cells(verdict: Verdict) -> tuple[str, ...]:
    by, gap = verdict.metric, verdict.gap
    return (
        f"{verdict.arm} − {verdict.reference}",
        outcome_text(verdict),
        gap_number(gap.value, by=by),
        interval_words(verdict) or "not known",
        by.measured(margin_number(verdict.margin, verdict.share, by)),
        sample_words(verdict),
    )
