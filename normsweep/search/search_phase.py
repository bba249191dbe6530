"""`Search`: the trials of the search, chosen by a sampler within each arm."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import replace

from normsweep.analysis.trials import settled
from normsweep.parts.catalog import resolve_trial
from normsweep.parts.metrics import metric
from normsweep.search.advisor import Advisor
from normsweep.search.halving import Halving
from normsweep.search.outlook import Outlook
from normsweep.search.phase import Phase, shown_space
from normsweep.search.samplers import make_advisor
from normsweep.store.encoding import outcome, value_of
from normsweep.store.study_store import StudyStore
from normsweep.sweep.schema import Sweep
from normsweep.sweep.space import Scalar
from normsweep.sweep.study_record import BASELINE, TrialRecord
from normsweep.sweep.trial import SEARCH, DataKey, Epoch, Result, Status, Trial, phase_of

__all__ = ["Search"]


class Search(Phase):
    """The search of a study: all arms get the same number of trials, and each is tuned separately.

    A planned trial is a slot of an arm. The slot of an interrupted trial is used again, with the
    same parameters, before any new one. With halving so is the slot of a trial that goes on.
    """

    def __init__(self, store: StudyStore, sweep: Sweep, data: DataKey, repeat: int = 1) -> None:
        """`sweep` has the arms to run and is that of the `repeat`, `data` identifies the data to train them on."""
        self.phase = phase_of(SEARCH, repeat)
        super().__init__(store, sweep.execution.retries)
        self.sweep, self._data = sweep, data
        store.repair()
        self.trials_per_arm = sweep.points_per_arm + self._to_extend()
        self._advisors: dict[str, Advisor] = {
            arm.key: make_advisor(sweep, arm, self.trials_per_arm) for arm in sweep.arms
        }
        self._open: dict[str, set[int]] = {
            arm.key: set(range(self.trials_per_arm)) for arm in sweep.arms
        }
        self._halvings = {arm.key: Halving(sweep) for arm in sweep.arms if sweep.rungs}
        self._until: dict[int, int] = {}
        """The epochs at which running trials pause or end, by number, with halving."""
        self._retries_with: dict[tuple[str, int], Mapping[str, Scalar]] = {}
        self.extendable = sweep.search.sampler == "grid" or bool(sweep.rungs)
        self.total = self.trials_per_arm * len(self._open)
        self._shown = shown_space(sweep)
        self._resume()

    @property
    def left(self) -> int:
        """Number of planned trials that are neither stored nor running."""
        if self._halvings:
            return sum(halving.left for halving in self._halvings.values()) - len(self._running)
        return sum(len(slots) for slots in self._open.values())

    @property
    def outlook(self) -> Outlook:
        """What is still to be expected."""
        of_arm = {arm: halving.ended + halving.left for arm, halving in self._halvings.items()}
        return Outlook(self.total, of_arm)

    def ask(self, running: Container[str] = ()) -> Trial | None:
        """The next trial, stored as running; None if there is none."""
        found = self._next(running)
        if found is None:
            return None
        arm, slot = found
        self._open[arm].discard(slot)
        fixed = self._retries_with.pop((arm, slot), None) or self._longest(slot)
        chosen = self._advisors[arm].choose(slot, self.sweep.arm(arm).searched(fixed))
        trial = self._begin(self._resolved(arm, chosen, slot), self._shown)
        if self._halvings:
            self._until[trial.number] = self._halvings[arm].due()[slot]
        return trial

    def budgets(self, trial: Trial) -> frozenset[int]:
        """Smaller numbers of epochs: those in a grid, or the one at which the trial pauses."""
        if self._halvings:
            until = self.until(trial)
            return frozenset({until} if until < trial.epochs else ())
        if not self.extendable or not self.sweep.samples_epochs or trial.of_length:
            return frozenset()
        points = self.sweep.search.space["epochs"].grid() or ()
        return frozenset(int(n) for n in points if int(n) < trial.epochs)

    def until(self, trial: Trial) -> int:
        """The epoch after which a running trial pauses or ends."""
        return self._until.get(trial.number, trial.epochs)

    def report(self, epoch: Epoch) -> bool:
        """Store the score of an epoch; returns whether the trial continues, or pauses or is pruned."""
        trial = self._running[epoch.trial]
        super().report(epoch)
        if self._halvings:
            return not self.budgets(trial) or epoch.epoch < self._until[epoch.trial]
        if self.sweep.search.pruner == "none":
            return True
        return self._advisors[trial.arm].report(
            trial.slot, epoch.epoch, value_of(epoch, metric(trial.metric))
        )

    def tell(self, result: Result) -> TrialRecord:
        """Store the result of a trial; an interrupted one, or one with retries left, is planned again."""
        ended = super().tell(result)
        if self._halvings:  # a resumed study ranks the same trials alike
            result = result.as_read
        arm, slot = ended.trial.arm, ended.trial.slot
        self._advisors[arm].tell(slot, *outcome(self._seen(result), metric(ended.trial.metric)))
        if self._halvings:
            del self._until[result.trial]
            if slot not in self._open[arm]:  # it is not tried again
                self._halvings[arm].add(replace(ended, result=result))
                self._go_on(arm)
        return ended

    def note_plan(self) -> None:
        """Store the number of planned trials, for lists of studies."""
        if self._halvings:
            self.total = sum(self.outlook.of_arm.values())
        super().note_plan()

    def _next(self, running: Container[str]) -> tuple[str, int] | None:
        """The arm with most trials left, and its first slot that does not wait for a running trial."""
        for arm in sorted(self._open, key=lambda name: -len(self._open[name])):
            for slot in sorted(self._open[arm]):
                params = self._retries_with.get((arm, slot)) or self._advisors[arm].planned(slot)
                if params is None or self._resolved(arm, params, slot).lineage not in running:
                    return arm, slot
        return None

    def _resolved(self, arm: str, params: Mapping[str, Scalar], slot: int) -> Trial:
        trial = resolve_trial(self.sweep, self._data, arm, params, number=-1, slot=slot)
        first = slot == 0 and self.sweep.rules > 1
        return replace(trial, phase=self.phase, configuration=BASELINE if first else "")

    def _reopen(self, trial: Trial) -> None:
        self._open[trial.arm].add(trial.slot)
        self._retries_with[trial.arm, trial.slot] = trial.params

    def _go_on(self, arm: str) -> None:
        """Plan the trials of an arm that halving lets go on, and count what is planned."""
        halving = self._halvings[arm]
        running = {trial.slot for trial in self._running.values() if trial.arm == arm}
        for slot in halving.due().keys() - running - self._open[arm]:
            if (record := halving.known(slot)) is not None:
                self._reopen(record.trial)
        if (
            sum(self.outlook.of_arm.values()) != self.total
        ):  # fewer go on, as some diverged or failed
            self.note_plan()

    def _seen(self, result: Result) -> Result:
        """What the sampler sees of a result: with halving, all trials after the same epoch."""
        if not self.sweep.rungs or result.status not in (Status.COMPLETE, Status.PRUNED):
            return result
        curve = result.curve[: self.sweep.rungs[0].epoch]
        return replace(result, status=Status.COMPLETE, curve=curve)

    def _longest(self, slot: int) -> Mapping[str, Scalar]:
        every = self.sweep.search.longest_every if self.sweep.samples_epochs else None
        return {"epochs": self.sweep.longest} if every and slot % every == every - 1 else {}

    def _to_extend(self) -> int:
        """Stored trials of each arm in a grid whose epochs are now fewer than the largest number."""
        sweep, longest = self.sweep, self.sweep.longest
        if sweep.search.sampler != "grid" or sweep.samples_epochs:
            return 0
        done = Counter(r.trial.arm for r in settled(self.records()) if r.trial.epochs < longest)
        room = math.ceil(sweep.search.trials / len(sweep.arms)) - sweep.trials_per_arm
        return min(room, *(done[arm.key] for arm in sweep.arms))

    def _resume(self) -> None:
        """Update slots and advisors from the stored trials."""
        ended = [r for r in self.records() if r.result and r.trial.arm in self._advisors]
        for arm, advisor in self._advisors.items():
            advisor.settle({r.trial.slot: r.trial.params for r in ended if r.trial.arm == arm})
        for record in ended:
            arm = record.trial.arm
            if self._to_retry(record):
                self._retries_with[arm, record.trial.slot] = record.trial.params
                continue
            self._open[arm].discard(record.trial.slot)
            self._retries_with.pop((arm, record.trial.slot), None)
            if record.result is not None:
                self._advisors[arm].learn(record.trial, self._seen(record.result))
            if self._halvings:
                self._halvings[arm].add(record)
        for arm in self._halvings:
            self._go_on(arm)
