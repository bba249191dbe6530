"""The report: one page that stands for itself, its figures and its tables as files beside it."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from normsweep.reporting.content import ReportContent, ReportData, ReportFrames
from normsweep.reporting.formats import render
from normsweep.reporting.page_tables import arms_of, configurations_of, speed_of, trials_of
from normsweep.reporting.verdict_rows import read_verdicts
from normsweep.reporting.verdict_tables import verdict_tables
from normsweep.reporting.words import PARTS, points
from normsweep.text import counted, duration, opening, quoted

if TYPE_CHECKING:
    from normsweep.reporting.pictures import Picture

__all__ = ["ReportContent", "ReportData", "ReportFrames", "write_report"]

TEMPLATES = Path(__file__).parent / "templates"


def write_report(content: ReportContent, folder: Path) -> Path:
    """Write `index.html`, `figures/` (PNG and SVG) and `tables/` (CSV) into the folder.

    Returns the page's path. Frames that are empty are left out, and the page says so.
    """
    from normsweep.reporting.pictures import draw_pictures  # matplotlib, only where it is needed

    folder.mkdir(parents=True, exist_ok=True)
    pictures = draw_pictures(content, folder / "figures")
    tables = _write_tables(content.frames, folder / "tables")
    page = folder / "index.html"
    page.write_text(_html(content, pictures, tables), encoding="utf-8")
    return page


def _write_tables(frames: ReportFrames, folder: Path) -> list[str]:
    """The names of the tables that were written: those with rows."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in (field.name for field in fields(frames)):
        frame = getattr(frames, name)
        if not frame.empty:
            (folder / f"{name}.csv").write_bytes(render(frame, "csv"))
            written.append(name)
    return written


def _html(content: ReportContent, pictures: dict[str, Picture], tables: list[str]) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(counted=counted, points=points, quoted=quoted, duration=duration)
    environment.filters["breakable"] = _breakable
    environment.filters["opening"] = opening
    rows = read_verdicts(content.frames.verdicts)
    parts = {
        part: verdict_tables(rows, part, content.confirm_command, content.seeds_done)
        for part in PARTS
    }
    return environment.get_template("report.html").render(
        content=content,
        headings=PARTS,
        rows=rows,
        verdicts=parts,
        pictures=pictures,
        hero=_hero(pictures),
        configurations=configurations_of(content),
        speed=speed_of(content),
        arms=arms_of(content),
        trials=trials_of(content),
        tables=tables,
    )


def _breakable(name: str) -> str:
    """A name that may be broken after its underscores, as markup."""
    from markupsafe import Markup, escape

    return escape(name).replace("_", Markup("_<wbr>"))


def _hero(pictures: dict[str, Picture]) -> str:
    """The name of the picture that opens the page."""
    return "accuracy" if pictures["accuracy"].wide else "learning_rate"
