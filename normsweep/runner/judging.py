"""Judge runs that were made elsewhere: in a file, a data frame, an MLflow experiment or an Optuna study."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import Any

from normsweep.analysis.given import Judgement, judged
from normsweep.errors import DataError
from normsweep.runner.given_runs import Asked, Table, given_runs, read_table, table_of
from normsweep.sweep.problems import expected, must_be, one_of

__all__ = ["judge_experiment", "judge_table", "judge_trials"]


def judge_table(
    source: Any,
    asked: Asked,
    reference: str,
    margin: float,
    confidence: float = 0.95,
    chance: float | None = None,
    examples: Any = None,
    name: str | None = None,
) -> Judgement:
    """Judge the runs in a file or a data frame.

    Args:
        source: a path, or whatever `table_of` takes.
        asked: its columns.
        reference: the arm that the others are compared with.
        margin: equivalence margin, in the unit of the scores.
        confidence: confidence level.
        chance: score of guessing, if it is known.
        examples: a path or a table with one row a run and example.
        name: what the runs are called.

    Raises:
        DataError: runs cannot be read, or an argument is not legal.
    """
    table, notes = _table(source, "RUNS")
    of_examples, more = _table(examples, "--examples") if examples is not None else (None, ())
    called = name or (Path(source).stem if isinstance(source, str | Path) else "runs")
    return _judge(
        table, called, asked, reference, margin, confidence, chance, of_examples, [*notes, *more]
    )


def judge_experiment(
    uri: str,
    experiment: str,
    asked: Asked,
    reference: str,
    margin: float,
    confidence: float = 0.95,
    chance: float | None = None,
) -> Judgement:
    """Judge the runs of an MLflow experiment; with `asked.epoch`, by the history of the metric `asked.score`."""
    from normsweep.tracking.given_runs import experiment_rows

    if asked.epoch and not asked.score:
        raise DataError("--score: required with --epoch, the metric whose history is read")
    rows = experiment_rows(uri, experiment, asked.score if asked.epoch else None)
    table = table_of(rows)
    asked = _in_columns(asked, table, ("params.", "tags.", "metrics."))
    asked = replace(asked, epoch="epoch" if asked.epoch else None)
    return _judge(table, experiment, asked, reference, margin, confidence, chance)


def judge_trials(
    storage: str,
    study: str | None,
    asked: Asked,
    reference: str,
    margin: float,
    confidence: float = 0.95,
    chance: float | None = None,
) -> Judgement:
    """Judge the trials of an Optuna study; with `asked.epoch`, by their intermediate values."""
    from normsweep.store.given_trials import trial_rows

    rows, lower = trial_rows(storage, study, steps=asked.epoch is not None)
    score, epoch = asked.score or "value", "epoch" if asked.epoch else None
    better = lower if asked.lower is None else asked.lower
    asked = replace(asked, score=score, epoch=epoch, lower=better)
    said = f"{'lower' if better else 'higher'} is better (by the direction of the study)"
    return _judge(
        table_of(rows),
        study or "trials",
        asked,
        reference,
        margin,
        confidence,
        chance,
        notes=[said],
    )


def _table(source: Any, option: str) -> tuple[Table, tuple[str, ...]]:
    return (
        read_table(Path(source), option)
        if isinstance(source, str | Path)
        else (table_of(source, option), ())
    )


def _in_columns(asked: Asked, table: Table, prefixes: Sequence[str]) -> Asked:
    """The columns by their full names, where they are given without the prefix."""

    def full(name: str | None) -> str | None:
        found = [f"{prefix}{name}" for prefix in prefixes if f"{prefix}{name}" in table]
        return found[0] if found and name not in table else name

    return replace(asked, arm=full(asked.arm), seed=full(asked.seed), score=full(asked.score))


def _judge(
    table: Table,
    name: str,
    asked: Asked,
    reference: str,
    margin: float,
    confidence: float,
    chance: float | None,
    examples: Table | None = None,
    notes: Sequence[str] = (),
) -> Judgement:
    if not any(map(len, table.values())):
        raise DataError(f"RUNS: {name} has no runs")
    for option, number in (("margin", margin), ("confidence", confidence), ("chance", chance)):
        known = isinstance(number, Real) and math.isfinite(number)
        if not known and (option != "chance" or number is not None):
            raise DataError(f"--{option}: {expected('a finite number', number)}")
    if not 0.5 < confidence < 1:
        raise DataError(f"--confidence: {must_be('above 0.5 and below 1', confidence)}")
    if not margin > 0:
        raise DataError(f"--margin: {must_be('above 0', margin)}")
    runs = given_runs(table, name, asked, examples, notes)
    arms = [arm.arm for arm in runs.arms]
    if reference not in arms:
        raise DataError(f"--reference: {one_of(reference, arms)}")
    if len(arms) < 2:
        raise DataError(f"RUNS: there must be at least two arms, got only {arms[0]}")
    return judged(runs, reference, margin, confidence, chance)
