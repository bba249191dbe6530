"""`python -m normsweep.export`: the tables of a study, in six formats."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from normsweep import version
from normsweep.errors import UserError
from normsweep.shell import run

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["app", "export", "main"]

app = App(
    name="python -m normsweep.export",
    help="Write a table of a study: best, trials, epochs or arms.",
    version=version,
    help_format="plaintext",
    help_formatter="plain",
    suppress_keyboard_interrupt=False,
    result_action="return_value",
)


@app.default
def export(
    table: Literal["best", "trials", "epochs", "arms"],
    /,
    *,
    study_name: Annotated[
        str | None, Parameter(help="Name of the study; not needed where there is one only.")
    ] = None,
    storage: Annotated[
        str, Parameter(env_var="OPTUNA_STORAGE", help="Optuna's database: the record.")
    ] = "sqlite:///mlruns/optuna.db",
    top: Annotated[
        int | None, Parameter(help="With best: so many trials overall, not one an arm.")
    ] = None,
    format_: Annotated[
        Literal["csv", "json", "markdown", "latex", "parquet", "html"],
        Parameter(name=["--format", "-f"], help="markdown and latex round numbers for people."),
    ] = "csv",
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="A file; standard output by default.")
    ] = None,
) -> int:
    """Write a table of a study to standard output or a file.

    Parameters
    ----------
    table
        best: each arm's best trial; trials: all of them; epochs: their curves; arms: one row an arm.
    """
    if top is not None and (table != "best" or top < 1):
        raise UserError(f"--top: received {top} with {table}; legal: a number from 1 up, with best")
    from normsweep.reporting.formats import render

    content = render(_table(table, study_name, storage, top), format_)
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


def _table(table: str, study_name: str | None, storage: str, top: int | None) -> pd.DataFrame:
    from normsweep.analysis import arms_table, best_table, epochs_table, trials_table
    from normsweep.search import read_study

    info, records = read_study(storage, study_name)
    match table:
        case "best":
            return best_table(records, info.arms, top, info.same)
        case "trials":
            return trials_table(records, info.same)
        case "epochs":
            return epochs_table(records)
        case _:
            return arms_table(records, info.arms, info.same)


def main() -> None:
    """The command's entry point."""
    sys.exit(run(app))


if __name__ == "__main__":
    main()
