"""What is stored: the attributes of Optuna's studies and trials, and how they are read back."""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState

from normsweep.errors import StoreError
from normsweep.parts.metrics import Metric
from normsweep.store.optuna_tables import Row, Study
from normsweep.sweep.problems import illegal_values
from normsweep.sweep.recorded import from_plain
from normsweep.sweep.space import Choice, Dimension, Range
from normsweep.sweep.study_record import (
    Analysis,
    DataFacts,
    Diagnosis,
    LoggedModel,
    StudyRecord,
    TrialRecord,
)
from normsweep.sweep.trial import Epoch, Result, Status, Trial
from normsweep.text import reason

__all__ = [
    "ARM",
    "RESULT",
    "SLOT",
    "TRIAL",
    "distribution",
    "readable",
    "recorded",
    "study_head",
    "sweep_keys",
]

UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, zlib.error)


STATES = {
    Status.COMPLETE: TrialState.COMPLETE,
    Status.DIVERGED: TrialState.COMPLETE,
    Status.PRUNED: TrialState.PRUNED,
    Status.CRASHED: TrialState.FAIL,
    Status.TIMED_OUT: TrialState.FAIL,
    Status.INTERRUPTED: TrialState.FAIL,
}


ID = "normsweep:id"


ARM, SLOT, TRIAL = "normsweep:arm", "normsweep:slot", "normsweep:trial"


RESULT = "normsweep:result"


READ = (TRIAL, RESULT)
"""Attributes of a trial of which its `TrialRecord` is made."""


RUN = "normsweep:run:"
"""Before a trial's number, among the study's attributes: a finished trial's cannot be written."""


SWEEP, DATA, SAME, MODELS = (
    "normsweep:sweep",
    "normsweep:data",
    "normsweep:same",
    "normsweep:models",
)


LOOKS, DIAGNOSES = "normsweep:looks", "normsweep:diagnoses"


THREADS = "normsweep:threads"


PLAN = "normsweep:plan"


HEAD = (ID, SWEEP, DATA, SAME, MODELS, LOOKS, DIAGNOSES, THREADS, PLAN)
"""Attributes of a study of which its `StudyRecord` is made, but for the trials."""


@contextmanager
def readable(study: str) -> Iterator[None]:
    """Within, what cannot be read of a study's record is a mistake that is told.

    Raises:
        StoreError: it cannot be read.
    """
    try:
        yield
    except UNREADABLE as error:
        why = reason(error, kind=True, most=100)
        raise StoreError(
            f"study {study}: its record cannot be read ({why}); legal: a study that normsweep "
            "made, in the version that made it"
        ) from None


def recorded(dimension: Dimension) -> Dimension:
    """A parameter as the record has it: Optuna lets no list grow, as the list of epochs may."""
    if dimension.name != "epochs" or not isinstance(dimension, Choice):
        return dimension
    low, high = (int(end) for end in (min(dimension.values), max(dimension.values)))  # type: ignore[type-var]
    return Range(dimension.name, low, high, integer=True, when=dimension.when)


def distribution(dimension: Dimension) -> BaseDistribution:
    """The distribution that Optuna records for a parameter."""
    if isinstance(dimension, Choice):
        return CategoricalDistribution(dimension.values)
    if dimension.integer:
        step = int(dimension.step or 1)
        return IntDistribution(int(dimension.low), int(dimension.high), dimension.log, step)
    high = dimension.high
    if dimension.step is not None:  # Optuna cuts a range to whole steps, and warns
        steps = math.floor((dimension.high - dimension.low) / dimension.step + 1e-9)
        high = dimension.low + steps * dimension.step
    return FloatDistribution(dimension.low, high, dimension.log, dimension.step)


def value_of(epoch: Epoch, by: Metric) -> float:
    """An epoch's score as Optuna takes it, which refuses NaN."""
    return epoch.value if math.isfinite(epoch.value) else by.worst


def outcome(result: Result, by: Metric) -> tuple[float | None, TrialState]:
    """A result as Optuna knows outcomes: value and state."""
    state = STATES[result.status]
    if state == TrialState.PRUNED and result.curve:  # as Optuna has it
        return value_of(result.curve[-1], by), state
    return (result.score if state == TrialState.COMPLETE else None), state


def study_head(study: Study) -> StudyRecord:
    """What is recorded of the study as a whole; its trials are not read.

    Raises:
        StoreError: normsweep did not write it.
    """
    with readable(study.study_name):
        attrs = study.attrs(HEAD)
        identity, keys = attrs.get(ID, ""), dict(_json(attrs, SWEEP))
        if not re.fullmatch("[0-9a-f]*", identity):  # MLflow is asked with it
            raise ValueError("no id")
        if any(illegal_values(keys)):  # they drive terminals
            raise ValueError("control characters")
        return StudyRecord(
            name=study.study_name,
            id=identity,
            sweep=from_plain(keys),
            data=DataFacts.from_plain(_json(attrs, DATA)) if DATA in attrs else None,
            same=dict(_json(attrs, SAME)),
            threads=attrs.get(THREADS),
            planned=attrs.get(PLAN, {}),
            analyses=tuple(map(Analysis.from_plain, _json(attrs, LOOKS, "[]"))),
            diagnoses={a: Diagnosis.from_plain(d) for a, d in _json(attrs, DIAGNOSES).items()},
            models={a: LoggedModel.from_plain(m) for a, m in _json(attrs, MODELS).items()},
        )


def sweep_keys(study: Study) -> dict[str, Any]:
    """The sweep's keys as they are stored: one of another version may have others than ours."""
    return dict(_json(study.attrs([SWEEP]), SWEEP))


def _json(attrs: Mapping[str, Any], key: str, empty: str = "{}") -> Any:
    return json.loads(attrs.get(key, empty))


def to_record(row: Row) -> TrialRecord | None:
    """One trial of the database as a record, or None where it never came to a `Trial`."""
    attrs = row.attrs
    if TRIAL not in attrs:
        return None
    trial = Trial.from_json(json.loads(attrs[TRIAL]))
    if RESULT in attrs:
        return TrialRecord(trial, Result.from_json(json.loads(attrs[RESULT])))
    if row.state.is_finished():
        killed = Result(trial.number, Status.INTERRUPTED, error="the driver was killed")
        return TrialRecord(trial, killed)
    return TrialRecord(trial, None)
