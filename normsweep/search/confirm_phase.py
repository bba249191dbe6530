"""`Confirmation`: the configurations of all arms on the same fresh seeds, and the analysis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from normsweep.parts.catalog import resolve_trial
from normsweep.search.phase import PlannedPhase, ended
from normsweep.store.study_store import StudyStore
from normsweep.sweep.schema import Sweep
from normsweep.sweep.study_record import Analysis, Configuration
from normsweep.sweep.trial import CONFIRM, DataKey, Trial

__all__ = ["Confirmation"]


class Confirmation(PlannedPhase):
    """The confirmation of a study, seed by seed, so that finished trials are always paired.

    Equal configurations of an arm are trained once.
    """

    phase = CONFIRM
    extendable = True

    def __init__(
        self,
        store: StudyStore,
        sweep: Sweep,
        data: DataKey,
        configurations: Sequence[Configuration],
    ) -> None:
        """`sweep` has the arms to run, `configurations` are those of all arms."""
        super().__init__(store, sweep.execution.retries, planned(sweep, data, configurations))
        self.sweep, self._data = sweep, data
        self.configurations = tuple(configurations)

    def analysis(self) -> Analysis:
        """The analysis of the trials that have ended so far."""
        return Analysis(self.sweep.confirm.seeds, self._with_runs())

    def _with_runs(self) -> tuple[Configuration, ...]:
        numbers = {r.trial.fingerprint: r.trial.number for r in self.records() if ended(r)}

        def of(configuration: Configuration) -> tuple[int | None, ...]:
            trials = planned(self.sweep, self._data, [configuration])
            return tuple(numbers.get(trial.fingerprint) for trial in trials)

        return tuple(replace(c, runs=of(c)) for c in self.configurations)


def planned(sweep: Sweep, data: DataKey, configurations: Sequence[Configuration]) -> list[Trial]:
    """The trials of a confirmation, one per fingerprint, by seed and then in the order of the arms."""
    plan: dict[str, Trial] = {}
    for slot, seed in enumerate(sweep.confirm_seeds):
        for configuration in configurations:
            arm, params = configuration.arm, configuration.params
            trial = resolve_trial(sweep, data, arm, params, number=-1, slot=slot)
            trial = replace(trial, seed=seed, phase=CONFIRM, configuration=configuration.name)
            before = plan.get(trial.fingerprint)
            names = (
                f"{before.configuration}, {trial.configuration}" if before else trial.configuration
            )
            plan[trial.fingerprint] = replace(before or trial, configuration=names)
    return list(plan.values())
