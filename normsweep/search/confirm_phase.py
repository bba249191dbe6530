"""`Confirmation`: the configurations of all arms on the same fresh seeds, and the analysis."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import replace

from normsweep.parts.catalog import resolve_trial
from normsweep.search.phase import Phase
from normsweep.store.study_store import StudyStore
from normsweep.sweep.schema import Sweep
from normsweep.sweep.study_record import Analysis, Configuration, TrialRecord
from normsweep.sweep.trial import CONFIRM, DataKey, Trial

__all__ = ["Confirmation"]


class Confirmation(Phase):
    """The confirmation of a study, seed by seed, so that finished trials are always paired.

    Equal configurations of an arm are trained once. A trial with no retries left is not run again
    by this command, but by the next one.
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
        super().__init__(store, sweep.execution.retries)
        self.sweep, self._data = sweep, data
        self.configurations = tuple(configurations)
        store.repair()
        plan = planned(sweep, data, configurations)
        done = {r.trial.fingerprint for r in self.records() if ended(r)}
        self.total = len(plan)
        self._open = [trial for trial in plan if trial.fingerprint not in done]

    @property
    def left(self) -> int:
        """Number of planned trials that are neither stored nor running."""
        return len(self._open)

    def ask(self, running: Container[str] = ()) -> Trial | None:
        """The next trial, stored as running; None if there is none."""
        planned = next((trial for trial in self._open if trial.lineage not in running), None)
        if planned is None:
            return None
        self._open.remove(planned)
        return self._begin(planned)

    def budgets(self, trial: Trial) -> frozenset[int]:
        """Empty: all trials have the same number of epochs."""
        return frozenset()

    def _reopen(self, trial: Trial) -> None:
        self._open.insert(0, trial)

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
            trial = resolve_trial(sweep, data, configuration.params, number=-1, slot=slot)
            trial = replace(trial, seed=seed, phase=CONFIRM, configuration=configuration.name)
            before = plan.get(trial.fingerprint)
            names = (
                f"{before.configuration}, {trial.configuration}" if before else trial.configuration
            )
            plan[trial.fingerprint] = replace(before or trial, configuration=names)
    return list(plan.values())


def ended(done: TrialRecord) -> bool:
    """Whether a trial ended with a result that counts: it was completed, or it diverged."""
    return done.result is not None and done.result.status.scored
