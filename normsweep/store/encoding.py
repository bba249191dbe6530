"""The stored format: attributes of Optuna's studies and trials, encoded and decoded.

All names of attributes, their JSON, and Optuna's distributions, states and values are defined here.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar, get_args

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState

from normsweep.errors import StoreError
from normsweep.parts.metrics import Metric
from normsweep.store.optuna_tables import Row
from normsweep.sweep.problems import illegal_values, shown
from normsweep.sweep.recorded import from_plain
from normsweep.sweep.schema import Precision
from normsweep.sweep.space import Choice, Dimension, Range, Space
from normsweep.sweep.study_record import (
    Analysis,
    DataFacts,
    Diagnosis,
    LoggedModel,
    Publication,
    StudyRecord,
    TrialRecord,
)
from normsweep.sweep.trial import SEARCH, Epoch, Result, Status, Trial, kind_of
from normsweep.text import reason

__all__ = [
    "ANALYSES",
    "APART",
    "DATA",
    "DIAGNOSES",
    "DRIVER",
    "HEAD",
    "ID",
    "MODELS",
    "PHASE",
    "PLANNED",
    "PRECISION",
    "PUBLISHED",
    "QUESTION",
    "READ",
    "RUN",
    "SAME",
    "SWEEP",
    "THREADS",
    "Attribute",
    "distribution",
    "distributions",
    "outcome",
    "readable",
    "result_attributes",
    "run_mark",
    "run_of",
    "study_head",
    "trial_attributes",
    "trial_record",
    "value_of",
]

T = TypeVar("T")
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, zlib.error)


@contextmanager
def readable(study: str) -> Iterator[None]:
    """A context in which errors of decoding a study are raised as `StoreError`.

    Raises:
        StoreError: the study cannot be read.
    """
    try:
        yield
    except UNREADABLE as error:
        why = reason(error, kind=True, most=100)
        raise StoreError(
            f"study {shown(study)} cannot be read ({why}); it must have been created by normsweep, in this "
            "or an earlier version"
        ) from None


@dataclass(frozen=True)
class Attribute(Generic[T]):
    """An attribute of a study: its key, and how its value is encoded."""

    key: str
    missing: T
    """The value if the study has no such attribute."""
    load: Callable[[Any], T]
    dump: Callable[[T], Any]

    def of(self, attrs: Mapping[str, Any]) -> T:
        """The decoded value in a study with these attributes."""
        return self.load(attrs[self.key]) if self.key in attrs else self.missing


class _Plain(Protocol):
    def to_plain(self) -> dict[str, Any]: ...
    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> Self: ...


P = TypeVar("P", bound=_Plain)


def _raw(key: str, missing: T) -> Attribute[T]:
    return Attribute(key, missing, lambda value: value, lambda value: value)


def _table(key: str) -> Attribute[Mapping[str, Any]]:
    return Attribute(key, {}, lambda text: dict(json.loads(text)), lambda v: json.dumps(dict(v)))


def _by_arm(key: str, kind: type[P]) -> Attribute[Mapping[str, P]]:
    return Attribute(
        key,
        {},
        lambda text: {arm: kind.from_plain(each) for arm, each in json.loads(text).items()},
        lambda values: json.dumps({arm: each.to_plain() for arm, each in values.items()}),
    )


ID = _raw("normsweep:id", "")
APART = _raw("normsweep:apart", False)
"""Whether each phase has an Optuna study of its own."""
PHASE = "normsweep:phase:"
"""Prefix of the attribute of a later phase's Optuna study, before the id of the study; its value is the phase."""
QUESTION = _raw("question", "")
"""For users who open the study with Optuna's tools."""
SWEEP = _table("normsweep:sweep")
"""By dotted key; other versions may have other keys."""
DATA: Attribute[DataFacts | None] = Attribute(
    "normsweep:data",
    None,
    lambda text: DataFacts.from_plain(json.loads(text)),
    lambda data: json.dumps(data and data.to_plain()),
)
SAME = _table("normsweep:same")
THREADS: Attribute[int | None] = _raw("normsweep:threads", None)
PRECISION = _raw("normsweep:precision", "")
DRIVER = _raw("normsweep:driver", "")
"""What the process that runs the study, or ran it last, calls itself, if its lock may be lost."""
PLANNED: Attribute[Mapping[str, int]] = _raw("normsweep:plan", {})
ANALYSES: Attribute[tuple[Analysis, ...]] = Attribute(
    "normsweep:looks",
    (),
    lambda text: tuple(map(Analysis.from_plain, json.loads(text))),
    lambda analyses: json.dumps([analysis.to_plain() for analysis in analyses]),
)
DIAGNOSES = _by_arm("normsweep:diagnoses", Diagnosis)
MODELS = _by_arm("normsweep:models", LoggedModel)
PUBLISHED: Attribute[Publication | None] = Attribute(
    "normsweep:published",
    None,
    lambda text: Publication.from_plain(json.loads(text)),
    lambda published: json.dumps(published and published.to_plain()),
)

HEAD = tuple(
    attribute.key
    for attribute in (
        ID,
        SWEEP,
        DATA,
        SAME,
        THREADS,
        PRECISION,
        PLANNED,
        ANALYSES,
        DIAGNOSES,
        MODELS,
    )
)
"""Attributes of a study that make up its `StudyRecord`, without the trials."""
RUN = "normsweep:run:"
"""Prefix of study attributes, before a trial's number: attributes of finished trials are read-only."""

ARM, SLOT, TRIAL, RESULT = "normsweep:arm", "normsweep:slot", "normsweep:trial", "normsweep:result"
NUMBER, CONFIGURATION, SEED = (
    "normsweep:number",
    "normsweep:configuration",
    "normsweep:seed",
)
READ = (TRIAL, RESULT)
"""Attributes of a trial of which its `TrialRecord` is made."""

STATES = {
    Status.COMPLETE: TrialState.COMPLETE,
    Status.DIVERGED: TrialState.COMPLETE,
    Status.PRUNED: TrialState.PRUNED,
    Status.CRASHED: TrialState.FAIL,
    Status.TIMED_OUT: TrialState.FAIL,
    Status.INTERRUPTED: TrialState.FAIL,
}


def study_head(name: str, attrs: Mapping[str, Any]) -> StudyRecord:
    """Decode a study from its attributes, without its trials.

    Raises:
        ValueError, KeyError, TypeError: the attributes were not written by normsweep.
    """
    identity, keys = ID.of(attrs), SWEEP.of(attrs)
    if not re.fullmatch("[0-9a-f]*", identity):  # it is part of queries to MLflow
        raise ValueError("no id")
    if any(illegal_values(keys)):  # control characters can manipulate a terminal
        raise ValueError("control characters")
    if (precision := PRECISION.of(attrs)) not in ("", *get_args(Precision)):
        raise ValueError("no precision")
    return StudyRecord(
        name=name,
        id=identity,
        sweep=from_plain(keys),
        data=DATA.of(attrs),
        same=SAME.of(attrs),
        threads=THREADS.of(attrs),
        precision=precision,
        planned=PLANNED.of(attrs),
        analyses=ANALYSES.of(attrs),
        diagnoses=DIAGNOSES.of(attrs),
        models=MODELS.of(attrs),
    )


def run_mark(run_id: str, store: str) -> dict[str, str]:
    """The value of the attribute that marks a trial as completely logged to an MLflow store."""
    return {"run": run_id, "store": store}


def run_of(mark: Any) -> tuple[str, str]:
    """Run and store of a mark; older ones are the id of the run alone, and name no store."""
    if isinstance(mark, str):
        return mark, ""
    return str(mark["run"]), str(mark["store"])


def trial_attributes(trial: Trial, for_tools: bool) -> dict[str, Any]:
    """Attributes of a new trial; `for_tools`: also those that are only shown by Optuna's tools."""
    shown: dict[str, Any] = {}
    if for_tools:
        shown = {ARM: trial.arm, SLOT: trial.slot, NUMBER: trial.number}
    if for_tools and kind_of(trial.phase) != SEARCH:
        shown |= {CONFIGURATION: trial.configuration, SEED: trial.seed}
    return {**shown, TRIAL: trial.to_json()}


def result_attributes(result: Result) -> dict[str, Any]:
    """Attributes of a trial that has ended."""
    return {RESULT: result.to_json()}


def trial_record(row: Row) -> TrialRecord | None:
    """Decode a trial; None if the process was killed before it stored the `Trial`."""
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


def distributions(
    trial: Trial, space: Space, epochs_listed: bool = False
) -> dict[str, BaseDistribution]:
    """The distribution of each parameter of a trial, as Optuna stores it.

    `epochs_listed`: whether the study stores the numbers of epochs as a list.
    """
    return {
        each.name: distribution(each if epochs_listed else _shown(each, trial))
        for each in space.active(trial.params)
        if each.name in trial.params
    }


def _shown(dimension: Dimension, trial: Trial) -> Dimension:
    """The epochs as a range: one may grow, which Optuna does not allow for a list.

    That of epochs that are not sampled has one value: of any other range, of which all trials have the
    same value, Optuna's importances would be meaningless.
    """
    if dimension.name != "epochs":
        return dimension
    if not dimension.sample:
        return Range(dimension.name, trial.epochs, trial.epochs, integer=True, when=dimension.when)
    if isinstance(dimension, Range):
        return dimension
    low, high = (int(end) for end in (min(dimension.values), max(dimension.values)))  # type: ignore[type-var]
    return Range(dimension.name, low, high, integer=True, when=dimension.when)


def distribution(dimension: Dimension) -> BaseDistribution:
    """The distribution of a parameter."""
    if isinstance(dimension, Choice):
        return CategoricalDistribution(dimension.values)
    if dimension.integer:
        step = int(dimension.step or 1)
        return IntDistribution(int(dimension.low), int(dimension.high), dimension.log, step)
    high = dimension.high
    if dimension.step is not None:  # otherwise Optuna cuts the range to whole steps, with a warning
        steps = math.floor((dimension.high - dimension.low) / dimension.step + 1e-9)
        high = dimension.low + steps * dimension.step
    return FloatDistribution(dimension.low, high, dimension.log, dimension.step)


def value_of(epoch: Epoch, by: Metric) -> float:
    """An epoch's score for Optuna, which rejects NaN."""
    return epoch.value if math.isfinite(epoch.value) else by.worst


def outcome(result: Result, by: Metric) -> tuple[float | None, TrialState]:
    """A result as Optuna's value and state."""
    state = STATES[result.status]
    if state == TrialState.PRUNED and result.curve:  # Optuna's convention for pruned trials
        return value_of(result.last, by), state
    return (result.score if state == TrialState.COMPLETE else None), state
