"""`python -m normsweep.report`: a study's report, one page with its figures and tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from normsweep.shell import Plugins, Storage, StudyName, command, finish
from normsweep.urls import STORAGE

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
    plugins: Plugins = (),
    output: Annotated[
        Path | None,
        Parameter(name=["--output", "-o"], help="Output folder; mlruns/reports/STUDY by default."),
    ] = None,
) -> int:
    """Write the report of a study to a folder.

    The verdict is that of the latest interim analysis; writing the report is not another analysis.
    """
    from normsweep.parts import metrics
    from normsweep.parts.catalog import load_plugins
    from normsweep.reporting.page import write_study_report
    from normsweep.store.storage import read_study

    record = read_study(storage, study_name)
    load_plugins(plugins, [(metrics.registry, record.sweep.metric)])
    print(write_study_report(record, storage, output))
    return 0


def main() -> None:
    """The command's entry point."""
    finish(app)


if __name__ == "__main__":
    main()
