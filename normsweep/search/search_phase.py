"""`Search`: what is tried next, from what came of the trials before."""

from __future__ import annotations

from collections.abc import Container, Mapping

from normsweep.parts.catalog import resolve_trial
from normsweep.parts.metrics import metric
from normsweep.search.phase import Phase
from normsweep.search.samplers import Advisor, make_advisor
from normsweep.store.encoding import outcome, value_of
from normsweep.store.study_store import StudyStore
from normsweep.sweep.schema import Sweep
from normsweep.sweep.space import Scalar
from normsweep.sweep.study_record import TrialRecord
from normsweep.sweep.trial import SEARCH, DataKey, Epoch, Result, Trial

__all__ = ["Search"]


class Search(Phase):
    """The search of a study: its arms get the same number of trials, each tuned from its own trials.

    A trial's place is its arm and slot; a place whose trial was interrupted is filled again, with
    the same parameters, before any new one.
    """

    phase = SEARCH

    def __init__(self, store: StudyStore, sweep: Sweep, data: DataKey) -> None:
        """`sweep` has the arms that are to run, `data` is what they are trained on."""
        super().__init__(store, sweep.execution.retries)
        self.sweep, self._data = sweep, data
        self.trials_per_arm = sweep.trials_per_arm
        self._advisors: dict[str, Advisor] = {
            str(arm): make_advisor(sweep, arm, self.trials_per_arm) for arm in sweep.arms
        }
        self._open: dict[str, set[int]] = {
            str(arm): set(range(self.trials_per_arm)) for arm in sweep.arms
        }
        self._again_with: dict[tuple[str, int], Mapping[str, Scalar]] = {}
        self.extendable = sweep.search.sampler == "grid"
        self.total = self.trials_per_arm * len(self._open)
        store.repair()
        self._take_up()

    @property
    def left(self) -> int:
        """Trials that are not recorded yet and do not run."""
        return sum(len(slots) for slots in self._open.values())

    def ask(self, held: Container[str] = ()) -> Trial | None:
        """The next trial, recorded as running; None where the plan has none."""
        found = self._next(held)
        if found is None:
            return None
        arm, slot = found
        self._open[arm].discard(slot)
        fixed = self._again_with.pop((arm, slot), None) or self._longest(slot)
        chosen = self._advisors[arm].choose(slot, self._without_arm(fixed))
        return self._begin(self._resolved(chosen, slot), self.sweep.search.space)

    def budgets(self, trial: Trial) -> frozenset[int]:
        """Of a grid, its numbers of epochs below the trial's."""
        if not self.extendable:
            return frozenset()
        points = self.sweep.search.space["epochs"].grid() or ()
        return frozenset(int(n) for n in points if int(n) < trial.epochs)

    def report(self, epoch: Epoch) -> bool:
        """Record an epoch's score; whether the trial goes on."""
        trial = self._running[epoch.trial]
        super().report(epoch)
        if self.sweep.search.pruner == "none":
            return True
        return self._advisors[trial.arm].report(
            trial.slot, epoch.epoch, value_of(epoch, metric(trial.metric))
        )

    def tell(self, result: Result) -> TrialRecord:
        """Record how a trial ended; one that was stopped, or may be retried, is planned again."""
        told = super().tell(result)
        self._advisors[told.trial.arm].tell(
            told.trial.slot, *outcome(result, metric(told.trial.metric))
        )
        return told

    def _next(self, held: Container[str]) -> tuple[str, int] | None:
        """The arm that lacks most, and its first slot that need not wait for one that runs."""
        for arm in sorted(self._open, key=lambda name: -len(self._open[name])):
            for slot in sorted(self._open[arm]):
                params = self._again_with.get((arm, slot)) or self._advisors[arm].planned(slot)
                if params is None or self._resolved(params, slot).lineage not in held:
                    return arm, slot
        return None

    def _resolved(self, params: Mapping[str, Scalar], slot: int) -> Trial:
        return resolve_trial(self.sweep, self._data, params, number=-1, slot=slot)

    def _reopen(self, trial: Trial) -> None:
        self._open[trial.arm].add(trial.slot)
        self._again_with[trial.arm, trial.slot] = trial.params

    def _longest(self, slot: int) -> Mapping[str, Scalar]:
        every = self.sweep.search.longest_every
        return {"epochs": self.sweep.longest} if every and slot % every == every - 1 else {}

    def _without_arm(self, params: Mapping[str, Scalar]) -> Mapping[str, Scalar]:
        return {name: value for name, value in params.items() if name != self.sweep.compare}

    def _take_up(self) -> None:
        """Fill the plan and the advisors with what is recorded."""
        ended = [r for r in self.records() if r.result and r.trial.arm in self._advisors]
        for arm, advisor in self._advisors.items():
            advisor.settle({r.trial.slot: r.trial.params for r in ended if r.trial.arm == arm})
        for taken in ended:
            arm = taken.trial.arm
            if self._again(taken):
                self._again_with[arm, taken.trial.slot] = taken.trial.params
                continue
            self._open[arm].discard(taken.trial.slot)
            self._again_with.pop((arm, taken.trial.slot), None)
            if taken.result is not None:
                self._advisors[arm].learn(taken.trial, taken.result)
