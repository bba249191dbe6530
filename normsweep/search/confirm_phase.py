"""`Confirmation`: every arm's configurations on the same fresh seeds, and the analysis of the result."""

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
    """The confirmation of a study: seed by seed, so that what is done is always paired.

    Configurations of an arm that are the same are trained once. What failed more often than it may
    be retried is not tried again while this lives, but by the next.
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
        """`sweep` has the arms that are to run, `configurations` what each is trained with."""
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
        """Trials that are not recorded yet and do not run."""
        return len(self._open)

    def ask(self, held: Container[str] = ()) -> Trial | None:
        """The next trial, recorded as running; None where the plan has none."""
        planned = next((trial for trial in self._open if trial.lineage not in held), None)
        if planned is None:
            return None
        self._open.remove(planned)
        return self._begin(planned)

    def budgets(self, trial: Trial) -> frozenset[int]:
        """None: all are trained for the same number of epochs."""
        return frozenset()

    def _reopen(self, trial: Trial) -> None:
        self._open.insert(0, trial)

    def analysis(self) -> Analysis:
        """What an analysis of the confirmation is made of now."""
        return Analysis(self.sweep.confirm.seeds, self._with_runs())

    def _with_runs(self) -> tuple[Configuration, ...]:
        numbers = {r.trial.fingerprint: r.trial.number for r in self.records() if ended(r)}

        def of(configuration: Configuration) -> tuple[int | None, ...]:
            trials = planned(self.sweep, self._data, [configuration])
            return tuple(numbers.get(trial.fingerprint) for trial in trials)

        return tuple(replace(c, runs=of(c)) for c in self.configurations)


def planned(sweep: Sweep, data: DataKey, configurations: Sequence[Configuration]) -> list[Trial]:
    """The trials of a confirmation, one a fingerprint, by seed and then in the arms' order."""
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
    """Whether a trial came to an end that is a finding: it trained, or it diverged."""
    return done.result is not None and done.result.status.scored
