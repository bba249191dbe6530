"""`python -m normsweep.export`: the tables of a study, in six formats."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from normsweep.errors import UserError
from normsweep.shell import Plugins, Storage, StudyName, command, finish
from normsweep.urls import STORAGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

__all__ = ["app", "export", "main"]

app = command(
    "python -m normsweep.export",
    "Write a table of a study: best, budgets, trials, epochs, arms or verdict.",
)


@app.default
def export(
    table: Literal["best", "budgets", "trials", "epochs", "arms", "verdict"],
    /,
    *,
    study_name: StudyName = None,
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
        Literal["csv", "json", "markdown", "latex", "parquet", "html"],
        Parameter(name=["--format", "-f"], help="Output format; markdown and latex round numbers."),
    ] = "csv",
    output: Annotated[
        Path | None,
        Parameter(name=["--output", "-o"], help="Output file; standard output by default."),
    ] = None,
) -> int:
    """Write a table of a study to standard output or a file.

    Parameters
    ----------
    table
        best: each arm's best trial; budgets: the same after each number of epochs; trials: all trials; epochs: their curves; arms: one row per
        arm; verdict: one row per question and arm.
    """
    if top is not None and table != "best":
        raise UserError(f"--top: only allowed with the table best, got {table}")
    if top is not None and top < 1:
        raise UserError(f"--top: must be at least 1, got {top}")
    if epochs is not None and table != "best":
        raise UserError(f"--epochs: only allowed with the table best, got {table}")
    if epochs is not None and epochs < 1:
        raise UserError(f"--epochs: must be at least 1, got {epochs}")
    from normsweep.reporting.formats import render

    content = render(_table(table, study_name, storage, plugins, top, epochs, format_), format_)
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


def _table(
    table: str,
    study_name: str | None,
    storage: str,
    plugins: Sequence[str],
    top: int | None,
    epochs: int | None,
    format_: str,
) -> pd.DataFrame:
    from normsweep.parts import metrics
    from normsweep.parts.catalog import load_plugins
    from normsweep.reporting.tables import confirmed_evidence, study_table
    from normsweep.reporting.verdict_text import verdict_cells
    from normsweep.store.storage import read_study

    record = read_study(storage, study_name).labelled()
    load_plugins(plugins, [(metrics.registry, record.sweep.metric)])
    if table == "verdict" and format_ in ("markdown", "latex"):
        return verdict_cells(confirmed_evidence(record, storage).verdicts)
    return study_table(record, table, top, storage, epochs)


def main() -> None:
    """The command's entry point."""
    finish(app)


if __name__ == "__main__":
    main()
