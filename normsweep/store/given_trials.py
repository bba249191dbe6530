"""The trials of any Optuna study as a table: parameters, user attributes, value, intermediate values."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.study import StudyDirection

from normsweep.errors import StoreError
from normsweep.store.storage import open_storage
from normsweep.sweep.problems import unknown
from normsweep.text import masked

__all__ = ["trial_rows"]


def trial_rows(
    url: str, name: str | None, steps: bool = False
) -> tuple[list[dict[str, Any]], bool]:
    """One row a trial, or with `steps` one for each intermediate value; and whether lower is better.

    Columns: `number`, `state`, `value`, with steps `epoch`; parameters and user attributes under their own
    names, with the prefix `params.` or `user_attrs.` where a name is there twice.

    Raises:
        StoreError: the storage cannot be opened, or the study is not there or has several objectives.
    """
    storage = open_storage(url, create=False)
    names = optuna.get_all_study_names(storage)
    chosen = name if name is not None or len(names) != 1 else names[0]
    if chosen not in names:
        what = (
            unknown("study", chosen, names) if chosen else f"required, there are {', '.join(names)}"
        )
        raise StoreError(f"--study-name: {what} in {masked(url)}")
    study = optuna.load_study(study_name=chosen, storage=storage)
    if len(study.directions) > 1:
        raise StoreError(
            f"--study-name: {chosen} has {len(study.directions)} objectives, expected one"
        )
    rows = [row for trial in study.trials for row in _rows(trial, steps)]
    return rows, study.direction is StudyDirection.MINIMIZE


def _rows(trial: optuna.trial.FrozenTrial, steps: bool) -> list[dict[str, Any]]:
    simple = {k: v for k, v in trial.user_attrs.items() if isinstance(v, str | int | float | bool)}
    row: dict[str, Any] = {"number": trial.number, "state": trial.state.name}
    for prefix, given in (("params", trial.params), ("user_attrs", simple)):
        row |= {key if key not in row else f"{prefix}.{key}": value for key, value in given.items()}
    if not steps:
        return [row | {"value": trial.value}]
    return [
        row | {"epoch": step, "value": value} for step, value in trial.intermediate_values.items()
    ]
