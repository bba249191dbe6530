"""The page of given runs: what they cannot say first, then the answer, figures and tables."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path

from normsweep.analysis.given import ArmRuns, Judgement
from normsweep.errors import UserError
from normsweep.reporting.judged import judged_answer, unknowns
from normsweep.reporting.judged_tables import judged_tables
from normsweep.reporting.page import page_template, write_tables
from normsweep.reporting.page_tables import PageTable
from normsweep.reporting.verdict_text import verdict_tables
from normsweep.reporting.words import percent
from normsweep.text import opening

__all__ = ["write_judged"]


def write_judged(found: Judgement, folder: Path) -> Path:
    """Write `index.html`, `figures/` (PNG, SVG and PDF) and `tables/` (CSV) into the folder; the page's path.

    Raises:
        UserError: the folder cannot be written.
    """
    from normsweep.reporting.figures.accuracy import accuracy
    from normsweep.reporting.figures.figure import Figure
    from normsweep.reporting.figures.forest import forest
    from normsweep.reporting.figures.gallery import draw_charts  # vl-convert, only if needed
    from normsweep.reporting.figures.scores import scores
    from normsweep.reporting.figures.theme import Style

    charts: Mapping[str, Callable[[Judgement, Style], Figure]] = {
        "forest": forest,
        "scores": scores,
    }
    if found.runs.epochs > 1:
        charts = {"accuracy": accuracy, **charts}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        pictures = draw_charts(charts, found, folder / "figures")
        tables = judged_tables(found)
        write_tables(tables, folder / "tables")
        page = folder / "index.html"
        made = page_template("judged.html").render(
            found=found,
            runs=found.runs,
            answer=judged_answer(found),
            unknowns=unknowns(found),
            views=verdict_tables(found.verdicts, 0),
            pictures=pictures,
            summary=_summary(found),
            tables=list(tables),
        )
        page.write_text(made, encoding="utf-8")
    except OSError as error:
        raise UserError(f"--output: cannot write {folder}: {error.strerror}") from None
    return page


def _summary(found: Judgement) -> PageTable:
    """Each arm's runs: mean and standard deviation, lowest and highest."""
    by = found.metric
    rows = tuple(
        (
            arm.arm,
            *(percent(value, by=by) for value in _spread(arm)),
            f"{len(arm.trained)} of {len(arm.scores)}",
        )
        for arm in found.runs.arms
    )
    heads = ("Arm", "Mean", "Standard deviation", "Lowest", "Highest", "Runs with a score")
    kinds = ("short", *("number",) * (len(heads) - 1))
    return PageTable(f"{opening(by.label)} of the runs", heads, rows, kinds, found.names)


def _spread(arm: ArmRuns) -> tuple[float, ...]:
    values = [value for value in arm.finals if math.isfinite(value)]
    if not values:
        return (math.nan,) * 4
    deviation = statistics.stdev(values) if len(values) > 1 else math.nan
    return statistics.fmean(values), deviation, min(values), max(values)
