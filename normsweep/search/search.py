"""`Search`: what is tried next, and the record of what came of it."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import ParamSpec, TypeVar

import optuna
from optuna.exceptions import OptunaError
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from normsweep.errors import StudyStopped, masked
from normsweep.parts import resolve_trial
from normsweep.search import record
from normsweep.search.advisor import Advisor, make_advisor, suggest
from normsweep.search.record import StudyInfo
from normsweep.spec import DataKey, Epoch, Record, Result, Scalar, Status, Sweep, Trial

__all__ = ["Search"]

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


def _on_record(method: Callable[P, R]) -> Callable[P, R]:
    """A method whose database errors mean that the study cannot go on."""

    @functools.wraps(method)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except (OptunaError, SQLAlchemyError) as error:
            reason = masked(" ".join(f"{type(error).__name__}: {error}".split()))[:400]
            raise StudyStopped(
                f"the record (--storage) cannot be written: {reason}; mend that, and run the same "
                "command again"
            ) from error

    return wrapped


class Search:
    """One study: its arms get the same number of trials, each tuned from its own trials.

    A trial's place is its arm and slot; a place whose trial was interrupted is filled again, with
    the same parameters, before any new one.
    """

    def __init__(self, study: optuna.Study, sweep: Sweep, data: DataKey) -> None:
        """`sweep` has the arms that are to run, `data` is what they are trained on."""
        self._study, self.sweep, self._data = study, sweep, data
        self.trials_per_arm = sweep.trials_per_arm
        self._running: dict[int, tuple[optuna.Trial, Trial]] = {}
        self._advisors: dict[str, Advisor] = {
            str(arm): make_advisor(sweep, arm, self.trials_per_arm) for arm in sweep.arms
        }
        self._open: dict[str, set[int]] = {
            str(arm): set(range(self.trials_per_arm)) for arm in sweep.arms
        }
        self._again: dict[tuple[str, int], Mapping[str, Scalar]] = {}
        self._repair()
        self._take_up()

    @property
    def info(self) -> StudyInfo:
        """The study as a whole."""
        return record.study_info(self._study)

    @property
    def total(self) -> int:
        """Trials planned, all arms together."""
        return self.trials_per_arm * len(self._open)

    @property
    def left(self) -> int:
        """Trials that are not recorded yet and do not run."""
        return sum(len(slots) for slots in self._open.values())

    @_on_record
    def records(self) -> list[Record]:
        """All trials so far."""
        return record.records(self._study)

    @_on_record
    def ask(self) -> Trial | None:
        """The next trial, recorded as running; None where the plan is done."""
        arm = max(self._open, key=lambda name: len(self._open[name]))
        if not self._open[arm]:
            return None
        slot = min(self._open[arm])
        self._open[arm].discard(slot)
        fixed = self._again.pop((arm, slot), None) or self._longest(slot)
        chosen = self._advisors[arm].choose(slot, self._without_arm(fixed))
        self._study.enqueue_trial(chosen, user_attrs={record.ARM: arm, record.SLOT: slot})
        asked = self._study.ask()
        for dimension in self.sweep.search.space.active(chosen):
            suggest(asked, dimension)
        trial = resolve_trial(self.sweep, self._data, chosen, asked.number, slot)
        asked.set_user_attr(record.TRIAL, trial.to_json())
        self._running[asked.number] = asked, trial
        return trial

    @_on_record
    def report(self, epoch: Epoch) -> bool:
        """Record an epoch's validation accuracy; whether the trial goes on."""
        asked, trial = self._running[epoch.trial]
        value = epoch.val_accuracy if math.isfinite(epoch.val_accuracy) else 0.0
        asked.report(value, epoch.epoch)
        if self.sweep.search.pruner == "none":
            return True
        return self._advisors[trial.arm].report(trial.slot, epoch.epoch, value)

    @_on_record
    def tell(self, result: Result) -> Record:
        """Record how a trial ended; an interrupted one is left to be run again."""
        asked, trial = self._running.pop(result.trial)
        asked.set_user_attr(record.RESULT, result.to_json())
        state = STATES[result.status]
        value = result.score if state == TrialState.COMPLETE else None
        self._study.tell(asked, value, state=state)
        self._advisors[trial.arm].tell(trial.slot, value, state)
        if result.status is Status.INTERRUPTED:
            self._open[trial.arm].add(trial.slot)
            self._again[trial.arm, trial.slot] = trial.params
        return Record(trial, result)

    @_on_record
    def mark(self, trial: int, run_id: str) -> None:
        """Note that an MLflow run holds all of a trial."""
        record.set_run(self._study, trial, run_id)

    @_on_record
    def mark_model(self, arm: str, trial: int, model_id: str) -> None:
        """Note which trial's model was logged for an arm."""
        record.set_model(self._study, arm, trial, model_id)

    def _longest(self, slot: int) -> Mapping[str, Scalar]:
        every = self.sweep.search.longest_every
        return {"epochs": self.sweep.longest} if every and slot % every == every - 1 else {}

    def _without_arm(self, params: Mapping[str, Scalar]) -> Mapping[str, Scalar]:
        return {name: value for name, value in params.items() if name != self.sweep.compare}

    def _repair(self) -> None:
        """Close what a killed driver left: trials that wait or run become interrupted ones.

        There is one driver a study, so whatever runs when it starts is nobody's.
        """
        for _ in self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self._study.tell(self._study.ask().number, state=TrialState.FAIL)
        for frozen in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            left = record.to_record(frozen)
            result = left.result if left else None
            state = STATES[result.status] if result else TrialState.FAIL
            value = result.score if result and state == TrialState.COMPLETE else None
            self._study.tell(frozen.number, value, state=state)

    def _take_up(self) -> None:
        """Fill the plan and the advisors with what is recorded."""
        for frozen in self._study.get_trials(deepcopy=False):
            arm = str(frozen.user_attrs.get(record.ARM, ""))
            taken = record.to_record(frozen)
            if arm not in self._advisors or taken is None or taken.result is None:
                continue
            if taken.result.status is Status.INTERRUPTED:
                self._again[arm, taken.trial.slot] = taken.trial.params
                continue
            self._open[arm].discard(taken.trial.slot)
            self._again.pop((arm, taken.trial.slot), None)
            self._advisors[arm].learn(frozen)
