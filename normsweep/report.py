"""`python -m normsweep.report`: a study's report, one page with its figures and tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from normsweep.errors import StoreError, UserError
from normsweep.shell import Storage, StudyName, command, finish
from normsweep.stores import STORAGE, storage_option

__all__ = ["app", "main", "report"]

app = command(
    "python -m normsweep.report",
    "Write the report of a study: one self-contained page, its figures and tables.",
)


@app.default
def report(
    *,
    study_name: StudyName = None,
    storage: Storage = STORAGE,
    output: Annotated[
        Path | None,
        Parameter(name=["--output", "-o"], help="A folder; mlruns/reports/STUDY by default."),
    ] = None,
) -> int:
    """Write the report of a study to a folder.

    The verdict is that of the study's latest look at its confirmation: to read it again is no
    further look.
    """
    from normsweep.reporting.page import write_report
    from normsweep.reporting.study_report import report_content
    from normsweep.search import read_study

    info, records = read_study(storage, study_name)
    if not info.begun:
        raise StoreError(
            f"study {info.name}: has no trial yet; legal: a study that was run "
            f"(python -m normsweep.study SWEEP --study-name {info.name}{storage_option(storage)})"
        )
    folder = output or Path("mlruns") / "reports" / info.name
    try:
        page = write_report(report_content(info, records, storage_option(storage)), folder)
    except OSError as error:
        raise UserError(f"--output: cannot write {folder}: {error.strerror}") from None
    print(page)
    return 0


def main() -> None:
    """The command's entry point."""
    finish(app)


if __name__ == "__main__":
    main()
