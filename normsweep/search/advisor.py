"""`Advisor`: chooses the parameters of an arm's trials; the declared baseline is the first of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from optuna.trial import TrialState

from normsweep.sweep.arms import Arm
from normsweep.sweep.schema import Sweep
from normsweep.sweep.space import Scalar
from normsweep.sweep.trial import Result, Trial

__all__ = ["Advisor", "BaselineFirst", "Params", "seed_of"]

Params = dict[str, Scalar]


class Advisor(Protocol):
    """Chooses parameters for the trials of one arm, and decides which ones are pruned."""

    def settle(self, taken: Mapping[int, Mapping[str, Scalar]]) -> None:
        """Set the parameters of the stored trials by slot; called first."""
        ...

    def planned(self, slot: int) -> Params | None:
        """The parameters of the arm's `slot`-th trial, if they are known from the start."""
        ...

    def choose(self, slot: int, fixed: Mapping[str, Scalar]) -> Params:
        """Choose the parameters of the arm's `slot`-th trial, except `fixed` ones: all, or `epochs`."""
        ...

    def report(self, slot: int, epoch: int, value: float) -> bool:
        """Report a value; returns whether the trial continues."""
        ...

    def tell(self, slot: int, value: float | None, state: TrialState) -> None:
        """Add the result of a trial from `choose`."""
        ...

    def learn(self, trial: Trial, result: Result) -> None:
        """Add a trial that ended before this process started."""
        ...


class BaselineFirst:
    """An advisor whose first trial is the declared baseline, which is never pruned.

    A baseline outside the space is trained and stored, but the other advisor does not learn of it.
    """

    def __init__(self, rest: Advisor, sweep: Sweep, arm: Arm) -> None:
        self._rest, self._arm = rest, arm
        self._params = sweep.baseline(arm, sweep.longest)
        self._inside = arm.space(sweep.search.space).contains(self._params)

    def settle(self, taken: Mapping[int, Mapping[str, Scalar]]) -> None:
        """Set the parameters of the stored trials by slot."""
        self._rest.settle(taken)

    def planned(self, slot: int) -> Params | None:
        """The baseline, or what the other advisor has planned."""
        return self._rest.planned(slot) if slot else dict(self._params)

    def choose(self, slot: int, fixed: Mapping[str, Scalar]) -> Params:
        """The baseline, or what the other advisor chooses."""
        if slot:
            return self._rest.choose(slot, fixed)
        chosen = {**self._params, **fixed}
        if self._inside:
            self._rest.choose(slot, self._arm.searched(chosen))
        return chosen

    def report(self, slot: int, epoch: int, value: float) -> bool:
        """Report a value; the baseline always continues."""
        known = bool(slot) or self._inside
        return (known and self._rest.report(slot, epoch, value)) or not slot

    def tell(self, slot: int, value: float | None, state: TrialState) -> None:
        """Add the result of a trial."""
        if slot or self._inside:
            self._rest.tell(slot, value, state)

    def learn(self, trial: Trial, result: Result) -> None:
        """Add a trial that ended before this process started."""
        if trial.slot or self._inside:
            self._rest.learn(trial, result)


def seed_of(seed: int, slot: int) -> int:
    """The seed of a sampler for a trial, the same for all arms: they begin at the same points."""
    return int(np.random.SeedSequence([seed, slot]).generate_state(1)[0])
