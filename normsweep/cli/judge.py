"""`normsweep judge`: a verdict for runs that were made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from normsweep.errors import UserError
from normsweep.shell import Storage, TrackingUri
from normsweep.urls import STORAGE, TRACKING

__all__ = ["judge"]


def judge(
    runs: Annotated[
        Path | None, Parameter(help="Table with one row a run: CSV, parquet or JSON lines.")
    ] = None,
    /,
    *,
    reference: Annotated[str, Parameter(help="Arm that the others are compared with.")],
    margin: Annotated[
        float, Parameter(help="Equivalence margin: the largest difference that does not matter.")
    ],
    arm: Annotated[str | None, Parameter(help="Column of the arm; found by usual names.")] = None,
    seed: Annotated[
        str | None,
        Parameter(help="Column of the seed, or several, joined by commas; found by usual names."),
    ] = None,
    score: Annotated[
        str | None, Parameter(help="Column of the score; found by usual names.")
    ] = None,
    epoch: Annotated[
        str | None,
        Parameter(help="Column of the epoch, if there is a row for each; of MLflow: any word."),
    ] = None,
    where: Annotated[
        tuple[str, ...],
        Parameter(negative=(), consume_multiple=True, help="COLUMN=VALUE: only these rows."),
    ] = (),
    lower: Annotated[
        bool | None,
        Parameter(negative="--higher", help="Whether lower scores are better; by default by name."),
    ] = None,
    examples: Annotated[
        Path | None, Parameter(help="Table with one row a run and test example.")
    ] = None,
    confidence: Annotated[float, Parameter(help="Confidence level.")] = 0.95,
    chance: Annotated[float | None, Parameter(help="Score of guessing, if it is known.")] = None,
    experiment: Annotated[
        str | None, Parameter(help="MLflow experiment whose runs are judged, instead of a table.")
    ] = None,
    tracking_uri: TrackingUri = TRACKING,
    study_name: Annotated[
        str | None, Parameter(help="Optuna study whose trials are judged, instead of a table.")
    ] = None,
    storage: Storage = STORAGE,
    output: Annotated[
        Path | None,
        Parameter(name=["--output", "-o"], help="Folder for a page with figures and tables."),
    ] = None,
) -> int:
    """Judge runs that were made elsewhere, by the rules of a study; says first what they cannot tell."""
    from normsweep.runner.given_runs import Asked
    from normsweep.runner.judging import judge_experiment, judge_table, judge_trials

    sources = {"RUNS": runs, "--experiment": experiment, "--study-name": study_name}
    given = [name for name, value in sources.items() if value is not None]
    if len(given) != 1:
        raise UserError(
            f"RUNS: must be one table, --experiment or --study-name; got {', '.join(given) or 'none'}"
        )
    if examples is not None and runs is None:
        raise UserError("--examples: only allowed with a table of runs")
    asked = Asked(arm, seed, score, epoch, where, lower)
    rest = (asked, reference, margin, confidence, chance)
    if experiment is not None:
        found = judge_experiment(tracking_uri, experiment, *rest)
    elif study_name is not None:
        found = judge_trials(storage, study_name, *rest)
    else:
        found = judge_table(runs, *rest, examples)
    from normsweep.console.summary import judgement_lines
    from normsweep.text import printable

    print(printable("\n".join(judgement_lines(found))))
    if output is not None:
        from normsweep.reporting.judged_page import write_judged

        print(write_judged(found, output))
    return 0
