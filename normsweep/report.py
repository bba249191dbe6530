"""`python -m normsweep.report`: a study's report, one page with its figures and tables."""

from __future__ import annotations

import gc
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from normsweep.errors import StoreError, UserError
from normsweep.shell import Plugins, Storage, StudyNames, TrackingUri, command, finish
from normsweep.text import printable, quoted
from normsweep.urls import STORAGE, TRACKING

if TYPE_CHECKING:
    from normsweep.reporting.page import RunAddress

__all__ = ["app", "main", "report"]

UNITS = {"mm": 1 / 25.4, "cm": 1 / 2.54, "in": 1.0}
"""Inches."""

app = command(
    "python -m normsweep.report",
    "Write the report of a study: one self-contained page, its figures and tables.",
)


@app.default
def report(
    *,
    study_name: StudyNames = (),
    storage: Storage = STORAGE,
    plugins: Plugins = (),
    tracking_uri: TrackingUri = TRACKING,
    mlflow_page: Annotated[
        str | None,
        Parameter(
            env_var="NORMSWEEP_MLFLOW_PAGE",
            help="Address of MLflow in a browser, if not the tracking URI; trials are linked to it.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        Parameter(name=["--output", "-o"], help="Output folder; mlruns/reports/STUDY by default."),
    ] = None,
    width: Annotated[
        str | None,
        Parameter(help="Width of the files in figures/, such as 89mm or 3.5in; 9.2in by default."),
    ] = None,
) -> int:
    """Write the report of a study to a folder, or a page of the primary questions of several studies.

    The verdict is that of the latest interim analysis; writing the report is not another analysis.
    """
    from normsweep.parts import metrics
    from normsweep.parts.catalog import load_plugins
    from normsweep.reporting.in_short import in_short
    from normsweep.reporting.page import study_evidence, write_study_report
    from normsweep.store.storage import read_study

    across = None if width is None else _pixels(width)
    names = study_name or (None,)
    records = [read_study(storage, name).labelled() for name in dict.fromkeys(names)]
    load_plugins(plugins, [(metrics.registry, record.sweep.metric) for record in records])
    if len(records) > 1:
        from normsweep.reporting.studies_page import write_studies

        print(
            write_studies(
                [study_evidence(each, storage) for each in records], storage, output, across
            )
        )
        return 0
    record = records[0]
    address = _run_address(record.name, tracking_uri, mlflow_page)
    found = study_evidence(record, storage)
    page = write_study_report(found, storage, output, address, across)
    for line in in_short(found):
        print(printable(f"{line.heading} {line.text}"), file=sys.stderr)
    print(page)
    return 0


def _pixels(width: str) -> float:
    """A width for paper in pixels, 96 to an inch.

    Raises:
        UserError: it is not a length in mm, cm or in, or not one between 50 mm and 500 mm.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(mm|cm|in)", width.strip())
    inches = float(found[1]) * UNITS[found[2]] if found else 0.0
    if not 50 * UNITS["mm"] <= inches <= 500 * UNITS["mm"]:
        raise UserError(
            f"--width: must be a length from 50mm to 500mm in mm, cm or in, such as 89mm; got {quoted(width)}"
        )
    return 96 * inches


def _run_address(study: str, uri: str, page: str | None) -> RunAddress | None:
    """The address of a run's page; None, with a warning, if MLflow cannot be reached."""
    if page is None and not uri.startswith(("http://", "https://")):
        return None  # a database has no page, and importing MLflow takes a second
    from normsweep.tracking.views import find_runs

    try:
        return find_runs(uri, study, page)
    except StoreError as error:
        print(printable(f"warning: the page has no links to MLflow: {error}"), file=sys.stderr)
        return None


def main() -> None:
    """The command's entry point."""
    gc.disable()  # in so short a process collecting takes time and gives none
    finish(app)


if __name__ == "__main__":
    main()
