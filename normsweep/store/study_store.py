"""The study's record in Optuna's database: what is written, under which names, and read back."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import ParamSpec, TypeVar

from optuna.exceptions import OptunaError
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from normsweep.errors import StudyStopped, SweepError
from normsweep.parts.metrics import metric
from normsweep.store import encoding, storage
from normsweep.store.encoding import (
    DATA,
    DIAGNOSES,
    LOOKS,
    MODELS,
    PLAN,
    RUN,
    SAME,
    THREADS,
    outcome,
    study_head,
)
from normsweep.store.optuna_tables import Study
from normsweep.sweep.study_record import (
    Analysis,
    DataFacts,
    Diagnosis,
    LoggedModel,
    StudyRecord,
    TrialRecord,
)
from normsweep.text import reason

__all__ = ["Archive", "on_record", "repair"]

P = ParamSpec("P")


R = TypeVar("R")


def check_data(study: Study, data: DataFacts) -> None:
    """Make sure that a study that was begun goes on with the data that it was begun on.

    Raises:
        SweepError: the data is another.
    """
    before = study_head(study).data
    if before is not None and before.digest != data.digest:
        raise SweepError(
            f"study {study.study_name}: was begun on {before.name} ({before.source}, digest "
            f"{before.digest[:12]}), received {data.name} ({data.source}, digest "
            f"{data.digest[:12]}); legal: the same data, or another --study-name"
        )


def begin(
    study: Study,
    data: DataFacts,
    same: Mapping[str, str],
    threads: int | None = None,
) -> None:
    """Record the data, the normalizations that are alike on it and the threads, before any trial."""
    if not study_head(study).begun:
        study.set_user_attr(THREADS, threads)
        study.set_user_attr(SAME, json.dumps(dict(same)))
        study.set_user_attr(DATA, json.dumps(data.to_plain()))


def set_plan(study: Study, phase: str, trials: int) -> None:
    """Record how many trials a phase has."""
    before = study_head(study).planned
    if before.get(phase) != trials:
        study.set_user_attr(PLAN, {**before, phase: trials})


def set_model(study: Study, arm: str, trial: int, model_id: str) -> None:
    """Record which trial's model was logged for an arm."""
    models = {**study_head(study).models, arm: LoggedModel(trial, model_id)}
    plain = {name: model.to_plain() for name, model in models.items()}
    study.set_user_attr(MODELS, json.dumps(plain))


def set_analyses(study: Study, analyses: Sequence[Analysis]) -> None:
    """Record the verdicts that were given."""
    study.set_user_attr(LOOKS, json.dumps([analysis.to_plain() for analysis in analyses]))


def set_diagnosis(study: Study, arm: str, diagnosis: Diagnosis) -> None:
    """Record what an arm's network looks like at initialization and after an epoch."""
    diagnoses = {**study_head(study).diagnoses, arm: diagnosis}
    plain = {name: found.to_plain() for name, found in diagnoses.items()}
    study.set_user_attr(DIAGNOSES, json.dumps(plain))


def set_run(study: Study, trial: int, run_id: str) -> None:
    """Record the MLflow run that holds all of a trial."""
    study.set_user_attr(f"{RUN}{trial}", run_id)


def on_record(method: Callable[P, R]) -> Callable[P, R]:
    """A method whose database errors mean that the study cannot go on."""

    @functools.wraps(method)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except (OptunaError, SQLAlchemyError) as error:
            cause = error.__cause__ or error  # Optuna's own message says nothing of it
            why = reason(cause, kind=True)
            raise StudyStopped(
                f"the record (--storage) cannot be written: {why}; mend that, and run the same "
                "command again"
            ) from error

    return wrapped


class Archive:
    """A study's trials of both phases as they are recorded, with nothing planned."""

    def __init__(self, study: Study) -> None:
        self._study = study

    @property
    @on_record
    def head(self) -> StudyRecord:
        """The study as a whole, without its trials."""
        return encoding.study_head(self._study)

    @on_record
    def record(self) -> StudyRecord:
        """All that is recorded of the study."""
        return storage.read_record(self._study)

    @on_record
    def records(self) -> list[TrialRecord]:
        """All trials so far."""
        return storage.records(self._study)

    @on_record
    def mark(self, trial: int, run_id: str) -> None:
        """Note that an MLflow run holds all of a trial."""
        set_run(self._study, trial, run_id)


def repair(study: Study) -> None:
    """Close what a killed driver left: trials that wait or run become interrupted ones.

    There is one driver a study, so whatever runs when it starts is nobody's.
    """
    for row in study.unfinished(encoding.READ):
        left = encoding.to_record(row)
        ended = (None, TrialState.FAIL)
        if left is not None and left.result is not None:
            ended = outcome(left.result, metric(left.trial.metric))
        study.tell(row.number, *ended)
