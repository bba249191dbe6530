"""`python -m normsweep.export`: the tables of a study, in six formats, and its methods paragraph."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from normsweep.errors import UserError
from normsweep.shell import Plugins, Storage, StudyNames, command, finish
from normsweep.urls import STORAGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from normsweep.sweep.study_record import StudyRecord

__all__ = ["app", "export", "main"]

app = command(
    "python -m normsweep.export",
    "Write a table of a study, or its methods paragraph.",
)


@app.default
def export(
    table: Literal[
        "best",
        "budgets",
        "trials",
        "epochs",
        "arms",
        "endings",
        "verdict",
        "summary",
        "seeds",
        "exchange",
        "mechanism",
        "methods",
    ],
    /,
    *,
    study_name: StudyNames = (),
    storage: Storage = STORAGE,
    plugins: Plugins = (),
    top: Annotated[
        int | None, Parameter(help="With best: number of trials overall, instead of one per arm.")
    ] = None,
    epochs: Annotated[
        int | None,
        Parameter(
            help="With best: compare the trials after this epoch, instead of after their last one."
        ),
    ] = None,
    format_: Annotated[
        Literal["csv", "json", "markdown", "latex", "parquet", "html"] | None,
        Parameter(
            name=["--format", "-f"],
            help="Output format; markdown and latex round numbers. Default: csv, of methods markdown.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        Parameter(name=["--output", "-o"], help="Output file; standard output by default."),
    ] = None,
) -> int:
    """Write a table of a study, or its methods paragraph, to standard output or a file.

    Parameters
    ----------
    table
        best: each arm's best trial; budgets: the same after each number of epochs; trials: all trials; epochs: their curves; arms: one row per
        arm; endings: how many trials and seeds of each arm trained, were stuck or diverged; verdict: one row per question and arm; summary: test scores, mean and standard deviation over the seeds;
        seeds: the same of each seed; exchange: epochs of the reference in epochs of the other arms; mechanism:
        the gap of a raw input by what undoes it; methods: how the study was
        done, as a paragraph.
    """
    if top is not None and table != "best":
        raise UserError(f"--top: only allowed with the table best, got {table}")
    if top is not None and top < 1:
        raise UserError(f"--top: must be at least 1, got {top}")
    if epochs is not None and table != "best":
        raise UserError(f"--epochs: only allowed with the table best, got {table}")
    if epochs is not None and epochs < 1:
        raise UserError(f"--epochs: must be at least 1, got {epochs}")
    kind = format_ or ("markdown" if table == "methods" else "csv")
    content = _content(table, study_name, storage, plugins, top, epochs, kind)
    if output is None:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return 0
    try:
        output.write_bytes(content)
    except OSError as error:
        raise UserError(f"--output: cannot write {output}: {error.strerror}") from None
    print(f"wrote {output}", file=sys.stderr)
    return 0


def _content(
    table: str,
    study_name: Sequence[str],
    storage: str,
    plugins: Sequence[str],
    top: int | None,
    epochs: int | None,
    kind: Literal["csv", "json", "markdown", "latex", "parquet", "html"],
) -> bytes:
    from normsweep.analysis.evidence import evidence
    from normsweep.parts import metrics
    from normsweep.parts.catalog import load_plugins
    from normsweep.reporting.article_tables import article_table
    from normsweep.reporting.formats import render
    from normsweep.reporting.latex import escaped, latex_table
    from normsweep.reporting.methods import paragraph
    from normsweep.reporting.tables import confirmed_evidence, study_table
    from normsweep.reporting.verdict_text import verdict_cells
    from normsweep.store.storage import read_study
    from normsweep.text import as_markdown

    names = study_name or (None,)
    records = [read_study(storage, name).labelled() for name in dict.fromkeys(names)]
    load_plugins(plugins, [(metrics.registry, record.sweep.metric) for record in records])
    if len(records) > 1:
        return _of_several(table, records, storage, kind)
    record = records[0]
    if table == "methods" and kind in ("markdown", "latex"):
        escape = escaped if kind == "latex" else as_markdown
        return (escape(paragraph(evidence(record))) + "\n").encode()
    frame = study_table(record, table, top, storage, epochs)
    if kind == "latex":
        return latex_table(article_table(table, frame, record)).encode()
    if table == "verdict" and kind == "markdown":
        frame = verdict_cells(confirmed_evidence(record, storage).verdicts)
    return render(frame, kind)


def _of_several(
    table: str,
    records: Sequence[StudyRecord],
    storage: str,
    kind: Literal["csv", "json", "markdown", "latex", "parquet", "html"],
) -> bytes:
    """The verdicts of several studies, with the column `study`."""
    from normsweep.reporting.formats import render
    from normsweep.reporting.studies_page import studies_cells, studies_table
    from normsweep.reporting.tables import confirmed_evidence

    if table != "verdict":
        raise UserError(f"--study-name: several studies only have the table verdict, got {table}")
    if kind == "latex":
        raise UserError(
            "--format: must be csv, json, markdown, parquet or html for several studies, got latex"
        )
    studies = [confirmed_evidence(record, storage) for record in records]
    return render(studies_cells(studies) if kind == "markdown" else studies_table(studies), kind)


def main() -> None:
    """The command's entry point."""
    finish(app)


if __name__ == "__main__":
    main()
