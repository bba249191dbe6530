"""`Phase`: what search and confirmation have in common: trials that are asked, recorded, told."""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Container
from typing import ParamSpec, TypeVar

from optuna.exceptions import OptunaError
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from normsweep.errors import StudyStopped
from normsweep.parts import Metric, metric
from normsweep.search import record
from normsweep.search.record import StudyInfo
from normsweep.search.studies import Study
from normsweep.secrets import masked
from normsweep.sweep.study_record import TrialRecord
from normsweep.sweep.trial import Epoch, Result, Status, Trial

__all__ = ["Archive", "Phase", "on_record", "repair"]

P = ParamSpec("P")
R = TypeVar("R")

STATES = {
    Status.COMPLETE: TrialState.COMPLETE,
    Status.DIVERGED: TrialState.COMPLETE,
    Status.PRUNED: TrialState.PRUNED,
    Status.CRASHED: TrialState.FAIL,
    Status.TIMED_OUT: TrialState.FAIL,
    Status.INTERRUPTED: TrialState.FAIL,
}


def on_record(method: Callable[P, R]) -> Callable[P, R]:
    """A method whose database errors mean that the study cannot go on."""

    @functools.wraps(method)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except (OptunaError, SQLAlchemyError) as error:
            cause = error.__cause__ or error  # Optuna's own message says nothing of it
            reason = masked(" ".join(f"{type(cause).__name__}: {cause}".split()))[:400]
            raise StudyStopped(
                f"the record (--storage) cannot be written: {reason}; mend that, and run the same "
                "command again"
            ) from error

    return wrapped


class Archive:
    """A study's trials of both phases as they are recorded, with nothing planned."""

    def __init__(self, study: Study) -> None:
        self._study = study

    @property
    @on_record
    def info(self) -> StudyInfo:
        """The study as a whole."""
        return record.study_info(self._study)

    @on_record
    def records(self) -> list[TrialRecord]:
        """All trials so far."""
        return record.records(self._study)

    @on_record
    def mark(self, trial: int, run_id: str) -> None:
        """Note that an MLflow run holds all of a trial."""
        record.set_run(self._study, trial, run_id)


class Phase(Archive, ABC):
    """The trials of one phase of a study, in its record."""

    phase: str
    total: int
    """Trials planned."""
    extendable: bool
    """Whether a trial may be followed by one that is the same for more epochs."""

    def __init__(self, study: Study, retries: int) -> None:
        super().__init__(study)
        self._retries = retries
        self._running: dict[int, Trial] = {}
        self._failures: Counter[tuple[str, str, int, str]] = Counter()

    @property
    @abstractmethod
    def left(self) -> int:
        """Trials that are not recorded yet and do not run."""

    @abstractmethod
    def ask(self, held: Container[str] = ()) -> Trial | None:
        """The next trial, recorded as running; None where the plan has none.

        `held`: lineages that run; what would train the same epochs beside them is not given yet.
        """

    @abstractmethod
    def budgets(self, trial: Trial) -> frozenset[int]:
        """Shorter numbers of epochs at which the plan has trials of the same lineage."""

    @abstractmethod
    def _reopen(self, trial: Trial) -> None:
        """Plan a trial again, as it was."""

    def records(self) -> list[TrialRecord]:
        """The phase's trials so far."""
        return [r for r in super().records() if r.trial.phase == self.phase]

    @on_record
    def report(self, epoch: Epoch) -> bool:
        """Record an epoch's score; whether the trial goes on."""
        by = metric(self._running[epoch.trial].metric)
        self._study.report(epoch.trial, epoch.epoch, value_of(epoch, by))
        return True

    @on_record
    def tell(self, result: Result) -> TrialRecord:
        """Record how a trial ended; one that was stopped, or may be retried, is planned again."""
        trial = self._running.pop(result.trial)
        self._study.set_attr(trial.number, record.RESULT, result.to_json())
        self._study.tell(trial.number, *outcome(result, metric(trial.metric)))
        told = TrialRecord(trial, result)
        if self._again(told):
            self._reopen(trial)
        return told

    @on_record
    def note_plan(self) -> None:
        """Record how many trials are planned, for whoever looks at the study."""
        record.set_plan(self._study, self.phase, self.total)

    @on_record
    def settle(self) -> None:
        """Close what an interruption broke off between two writes."""
        repair(self._study)

    def _again(self, ended: TrialRecord) -> bool:
        """Whether a trial that ended is to be run again; counts the failures of its place."""
        status = ended.result.status if ended.result else Status.INTERRUPTED
        self._failures[ended.place] += status.failed
        retry = status.failed and self._failures[ended.place] <= self._retries
        return retry or status is Status.INTERRUPTED


def value_of(epoch: Epoch, by: Metric) -> float:
    """An epoch's score as Optuna takes it, which refuses NaN."""
    return epoch.value if math.isfinite(epoch.value) else by.worst


def outcome(result: Result, by: Metric) -> tuple[float | None, TrialState]:
    """A result as Optuna knows outcomes: value and state."""
    state = STATES[result.status]
    if state == TrialState.PRUNED and result.curve:  # as Optuna has it
        return value_of(result.curve[-1], by), state
    return (result.score if state == TrialState.COMPLETE else None), state


def repair(study: Study) -> None:
    """Close what a killed driver left: trials that wait or run become interrupted ones.

    There is one driver a study, so whatever runs when it starts is nobody's.
    """
    for row in study.unfinished(record.READ):
        left = record.to_record(row)
        ended = (None, TrialState.FAIL)
        if left is not None and left.result is not None:
            ended = outcome(left.result, metric(left.trial.metric))
        study.tell(row.number, *ended)
