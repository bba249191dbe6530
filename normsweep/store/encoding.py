"""What is stored: the attributes of Optuna's studies and trials, and how they are read back."""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
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
from normsweep.sweep.space import Choice, Dimension, Range
from normsweep.sweep.study_record import Analysis, TrialRecord
from normsweep.sweep.trial import Epoch, Result, Status, Trial
from normsweep.text import reason

__all__ = [
    "ARM",
    "RESULT",
    "SLOT",
    "TRIAL",
    "StudyInfo",
    "check_study",
    "distribution",
    "readable",
    "recorded",
]

UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, zlib.error)


SWEEP_KEYS = (
    "name", "question", "compare", "reference", "seed", "model.name", "data.validation_split",
    "search.trials", "search.sampler", "confirm.seeds", "confirm.margin", "confirm.confidence",
    "confirm.baseline.epochs",
)  # fmt: skip


DATA_KEYS = ("name", "source", "digest", "train_images", "test_images", "classes")


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


ABOUT = (ID, SWEEP, DATA, SAME, MODELS, LOOKS, DIAGNOSES, THREADS, PLAN)
"""Attributes of a study of which its `StudyInfo` is made."""


ADDED = {
    "plugins": [],
    "metric": "accuracy",
    "model.precision": "float32",
    "confirm.primary": "both_tuned",
    "confirm.baseline.normalization": None,
    "execution.threads": None,
    "execution.trial_memory": None,
    "execution.num_cpus": None,
    "execution.num_gpus": None,
    "execution.checkpoints": 2.0,
    "execution.checkpoint_every": 30.0,
    "execution.retries": 1,
}
"""Keys that sweeps had not from the beginning, and what a record without them means."""


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


def check_study(
    identity: str, sweep: Mapping[str, Any] | None, data: Mapping[str, Any] | None
) -> None:
    """Look at what every study's record has; sweep and data as far as they are there yet.

    Raises:
        ValueError: its own id is none, with which MLflow is asked; a text drives terminals.
        KeyError, TypeError: something is not there, or is no table.
    """
    if not re.fullmatch("[0-9a-f]*", identity):
        raise ValueError("no id")
    if any(illegal_values(sweep)):
        raise ValueError("control characters")
    if sweep is not None:
        for key in (*SWEEP_KEYS, f"search.space.{sweep['compare']}"):
            sweep[key]
    if data is not None:
        for key in DATA_KEYS:
            data[key]


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


@dataclass(frozen=True)
class StudyInfo:
    """What the record says of a study as a whole."""

    name: str
    id: str
    """Its own for ever: a study that is deleted and made again under its name has another."""
    sweep: Mapping[str, Any]
    """The sweep by dotted key (`Sweep.plain`)."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Dataset: name, source, digest, numbers of images and classes."""
    same: Mapping[str, str] = field(default_factory=dict)
    """Normalizations not run because another does the same on this data: the other one's name."""
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By arm, the trial whose model was logged to MLflow, and the model's number there."""

    looks: tuple[Analysis, ...] = ()
    """The verdicts that were given, oldest first."""
    diagnoses: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By arm, what its network looks like at initialization and after an epoch."""

    threads: int | None = None
    """Threads of a worker, on which the bits of every trial depend; None in older records."""

    plan: Mapping[str, int] = field(default_factory=dict)
    """By phase, how many trials it has; as far as a command has come to it."""

    @property
    def arms(self) -> list[str]:
        """The arms that run, in the sweep's order."""
        values = self.sweep[f"search.space.{self.sweep['compare']}"]
        return [str(value) for value in values if value not in self.same]

    @property
    def begun(self) -> bool:
        """Whether data and arms are settled."""
        return bool(self.data)


def study_info(study: Study) -> StudyInfo:
    """What the record says of the study as a whole.

    Raises:
        StoreError: normsweep did not write it.
    """
    name = study.study_name
    with readable(name):
        attrs = study.attrs(ABOUT)
        sweep, data, same, models, diagnoses = (
            dict(json.loads(attrs.get(key, "{}"))) for key in (SWEEP, DATA, SAME, MODELS, DIAGNOSES)
        )
        looks = tuple(Analysis.from_plain(look) for look in json.loads(attrs.get(LOOKS, "[]")))
        check_study(
            attrs.get(ID, ""), sweep if SWEEP in attrs else None, data if DATA in attrs else None
        )
    if sweep:
        sweep = {**ADDED, **sweep}
    threads, plan = attrs.get(THREADS), attrs.get(PLAN, {})
    return StudyInfo(
        name, attrs.get(ID, ""), sweep, data, same, models, looks, diagnoses, threads, plan
    )


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
