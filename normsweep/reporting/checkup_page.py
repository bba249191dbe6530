"""The page of a diagnosis without a study: what was found, and how training begins with each scheme."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from normsweep.analysis.evidence import Evidence, evidence
from normsweep.errors import UserError
from normsweep.reporting.explanations import explanations
from normsweep.reporting.page import page_template, report_tables, write_tables

if TYPE_CHECKING:
    from normsweep.reporting.checkup import Checkup
    from normsweep.reporting.figures.figure import Figure
    from normsweep.reporting.figures.gallery import Picture
    from normsweep.reporting.figures.theme import Style

__all__ = ["write_checkup"]

TABLES = ("inputs", "gradients", "stable_rates")


def write_checkup(found: Checkup, folder: Path) -> Path:
    """Write `index.html`, `figures/` (PNG, SVG and PDF) and `tables/` (CSV) into the folder; the page's path.

    Raises:
        UserError: the folder cannot be written.
    """
    study = evidence(found.record) if found.record else None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        pictures = _pictures(study, folder / "figures") if study else {}
        known = report_tables(study) if study else {}
        tables = {name: known[name] for name in TABLES if name in known}
        write_tables(tables, folder / "tables")
        page = folder / "index.html"
        made = page_template("checkup.html").render(
            found=found,
            name=found.record.name if found.record else "diagnosis",
            explanations=explanations(study) if study else {},
            pictures=pictures,
            tables=list(tables),
        )
        page.write_text(made, encoding="utf-8")
    except OSError as error:
        raise UserError(f"--output: cannot write {folder}: {error.strerror}") from None
    return page


def _pictures(study: Evidence, folder: Path) -> dict[str, Picture]:
    """The figures of the report's first part that need no trial."""
    from normsweep.reporting.figures.diagnosis import gradients, inputs
    from normsweep.reporting.figures.gallery import draw_charts  # vl-convert, only if needed
    from normsweep.reporting.figures.stability import stability

    charts: Mapping[str, Callable[[Evidence, Style], Figure]] = {
        "inputs": inputs,
        "gradients": gradients,
        "stable_rates": stability,
    }
    return draw_charts(charts, study, folder)
