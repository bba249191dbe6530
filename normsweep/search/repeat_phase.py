"""`RepeatConfirmation`: what a repeat of the whole tuning found, on the first seeds of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from normsweep.analysis.rules import compared, of_reference
from normsweep.search.confirm_phase import planned
from normsweep.search.phase import PlannedPhase
from normsweep.search.selection import chosen_configurations
from normsweep.store.study_store import StudyStore
from normsweep.sweep.schema import Sweep
from normsweep.sweep.study_record import Configuration, TrialRecord
from normsweep.sweep.trial import CONFIRM, DataKey, phase_of

__all__ = ["RepeatConfirmation"]


class RepeatConfirmation(PlannedPhase):
    """The configurations that the primary question compares, as a repeat of search and selection chose them."""

    extendable = True

    def __init__(
        self,
        store: StudyStore,
        sweep: Sweep,
        data: DataKey,
        repeat: int,
        searched: Sequence[TrialRecord],
        again: Sequence[TrialRecord],
    ) -> None:
        """`sweep` is that of the repeat, `searched` and `again` are the trials of its search and selection."""
        self.sweep, self.phase = sweep, phase_of(CONFIRM, repeat)
        chosen = _compared(sweep, chosen_configurations(sweep, searched, again))
        trials = planned(sweep, data, chosen, range(sweep.confirm.seeds.first))
        plan = [replace(trial, phase=self.phase) for trial in trials]
        super().__init__(store, sweep.execution.retries, plan)


def _compared(sweep: Sweep, configurations: Sequence[Configuration]) -> list[Configuration]:
    question, reference = sweep.confirm.primary, str(sweep.reference)
    of_arm, needed = compared(question)[:1], of_reference(question)
    return [c for c in configurations if c.name in (needed if c.arm == reference else of_arm)]
