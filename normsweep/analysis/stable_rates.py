"""Learning rates at which an arm is predicted to be stable, beside those that the search tried."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from normsweep.analysis.trials import scored
from normsweep.parts.metrics import metric
from normsweep.sweep.study_record import Diagnosis, StudyRecord
from normsweep.sweep.trial import Result, Status, Trial

__all__ = ["BEHIND", "DIVERGED", "START", "TRAINED", "StableRates", "Tried", "stable_rates"]

START = "initialization"
"""The name of the first stage of a diagnosis."""
TRAINED, BEHIND, DIVERGED = "trained", "behind", "diverged"
"""How a trial ended: within a tenth of its arm's best score, further away, with a loss that is not finite."""
SGD = "sgd"


@dataclass(frozen=True)
class Tried:
    """A trial of the search."""

    trial: int
    rate: float
    """Its learning rate; of `sgd` divided by what its momentum allows, as that of plain gradient descent."""
    ended: str


@dataclass(frozen=True)
class StableRates:
    """An arm with one optimizer."""

    arm: str
    optimizer: str
    predicted: Mapping[str, float]
    """By stage, the largest learning rate that is stable by the curvature there."""
    tried: tuple[Tried, ...] = ()

    @property
    def largest(self) -> float:
        """The largest learning rate that trained; NaN if none did."""
        return max((t.rate for t in self.tried if t.ended == TRAINED), default=math.nan)

    @property
    def bounded(self) -> bool:
        """Whether a higher rate was tried, and did not train."""
        return any(t.rate > self.largest for t in self.tried)

    @property
    def exceeded(self) -> float:
        """The largest rate that trained, divided by the prediction at the start; NaN where one is missing."""
        return self.largest / self.predicted.get(START, math.nan)


def stable_rates(record: StudyRecord) -> list[StableRates]:
    """By arm, for plain gradient descent, and for the optimizer of the baseline if that is another one."""
    trials = scored(record.searched)
    found = []
    for arm in record.arms:
        if arm in record.diagnoses:
            own = [pair for pair in trials if pair[0].arm == arm]
            diagnosis = record.diagnoses[arm]
            found += [
                StableRates(arm, optimizer, predicted, _tried(own, optimizer))
                for optimizer, predicted in _predicted(diagnosis).items()
                if predicted
            ]
    return found


def _predicted(diagnosis: Diagnosis) -> dict[str, dict[str, float]]:
    """By optimizer and stage; what is not known is left out."""

    def known(rate: dict[str, float]) -> dict[str, float]:
        return {name: value for name, value in rate.items() if 0 < value < math.inf}

    stages = diagnosis.stages
    plain = {SGD: known({name: stage.plain_rate for name, stage in stages.items()})}
    if diagnosis.optimizer in ("", SGD):
        return plain
    return plain | {
        diagnosis.optimizer: known({name: stage.stable_rate for name, stage in stages.items()})
    }


def _tried(trials: Sequence[tuple[Trial, Result]], optimizer: str) -> tuple[Tried, ...]:
    """The trials of an arm with one optimizer; what counts as trained depends on all of the arm's."""
    upward = {
        trial.number: metric(trial.metric).sign * result.score
        for trial, result in trials
        if result.status is not Status.DIVERGED
    }
    best = max(upward.values(), default=math.nan)

    def ended(trial: Trial) -> str:
        if trial.number not in upward:
            return DIVERGED
        return TRAINED if upward[trial.number] >= best - 0.1 * abs(best) else BEHIND

    return tuple(
        Tried(trial.number, trial.learning_rate / _allowed(trial), ended(trial))
        for trial, _ in trials
        if trial.optimizer == optimizer
    )


def _allowed(trial: Trial) -> float:
    """How many times the rate of plain gradient descent is stable with a trial's momentum."""
    options = trial.optimizer_options
    momentum = float(options.get("momentum", 0.0)) if trial.optimizer == SGD else 0.0
    ahead = 1 + 2 * momentum if options.get("nesterov") else 1.0
    return (1 + momentum) / ahead
