"""`SelectionRound`: the best trials of each arm and its baseline on further seeds, before the confirmation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from normsweep.search.phase import PlannedPhase
from normsweep.search.selection import budgets, candidates, of_arm
from normsweep.store.study_store import StudyStore
from normsweep.sweep.schema import Sweep
from normsweep.sweep.study_record import TrialRecord
from normsweep.sweep.trial import SELECT, Trial, phase_of

__all__ = ["SelectionRound", "reselection"]


class SelectionRound(PlannedPhase):
    """The trials of the selection round, seed by seed, so that finished trials are comparable."""

    extendable = True

    def __init__(
        self, store: StudyStore, sweep: Sweep, searched: Sequence[TrialRecord], repeat: int = 1
    ) -> None:
        """`sweep` is that of the `repeat`, `searched` are the trials of its search."""
        self.sweep, self.phase = sweep, phase_of(SELECT, repeat)
        plan = [replace(trial, phase=self.phase) for trial in reselection(sweep, searched)]
        super().__init__(store, sweep.execution.retries, plan)


def reselection(sweep: Sweep, searched: Sequence[TrialRecord]) -> list[Trial]:
    """The trials of a selection round, one per fingerprint, by seed and then in the order of the arms.

    Each trains for the largest number of epochs at which a configuration is selected.
    """
    plan: dict[str, Trial] = {}
    for slot, seed in enumerate(sweep.selection_seeds):
        for arm in sweep.arms:
            own = of_arm(searched, arm)
            reads = [budget.read_at(own) for budget in budgets(sweep)]
            found = {r.trial.number: r for at in reads for r in candidates(sweep, own, at)}
            for number, record in sorted(found.items()):
                name = f"trial_{number}"
                trial = replace(
                    again(record, seed, max(reads)), slot=slot, phase=SELECT, configuration=name
                )
                plan.setdefault(trial.fingerprint, trial)
    return list(plan.values())


def again(record: TrialRecord, seed: int, epochs: int) -> Trial:
    """A trial of the search on another seed, and up to so many epochs unless its steps depend on them."""
    epochs = record.trial.epochs if record.trial.of_length else epochs
    params = {**record.trial.params, "epochs": epochs}
    return replace(record.trial, number=-1, seed=seed, epochs=epochs, params=params)
