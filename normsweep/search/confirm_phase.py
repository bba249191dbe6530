"""`Confirmation`: the configurations of all arms on fresh seeds, as many as the primary question needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import replace

from normsweep.analysis.confirm_runs import confirmed
from normsweep.analysis.parity import readings
from normsweep.analysis.questions import primary
from normsweep.analysis.rules import Missing, compared, of_reference
from normsweep.analysis.verdicts import Verdict
from normsweep.parts.catalog import resolve_trial
from normsweep.parts.metrics import REGRESSION, metric
from normsweep.search.outlook import Outlook, Standing
from normsweep.search.phase import PlannedPhase, ended
from normsweep.store.study_store import StudyStore
from normsweep.sweep.parameters import NO_CALLBACK
from normsweep.sweep.schema import SEQUENTIAL, Sweep
from normsweep.sweep.study_record import Analysis, Configuration, TrialRecord
from normsweep.sweep.trial import CONFIRM, DataKey, Result, Trial

__all__ = ["Confirmation", "planned"]

OPEN = (Missing.MORE_SEEDS, Missing.TOO_FEW_SEEDS)
"""What is missing for a verdict if further seeds may decide it."""


class Confirmation(PlannedPhase):
    """The confirmation of a study, seed by seed, so that finished trials are always paired.

    All configurations are trained on the first seeds; equal ones of an arm once. If more seeds are
    allowed, there is an analysis after each one, in the order of the seeds: beyond the first ones only
    the reference and the arms whose primary question is open get another seed, with the configurations
    that it compares. Idle workers begin the next seed before its analysis is due; a run that turns out
    not to be needed is in no analysis.

    A run that failed is tried again by the next command, unless there is an analysis without it.
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
        self.sweep, self._data = sweep, data
        self.configurations = tuple(configurations)
        self._most = sweep.confirm.seeds.most
        self._first = sweep.confirm.seeds.first if sweep.rules >= SEQUENTIAL else self._most
        self._arms = self._comparable()
        """The arms whose primary question is open."""
        self._stopped: dict[str, int] = {}
        """The seeds of the arms that need no more."""
        self._standings: dict[str, Standing] = {}
        self._seeds = self._analysed = 0
        """The seeds that are planned, and those of the latest analysis."""
        self._trials: dict[str, Trial] = {}
        """The plan by fingerprint."""
        head = store.record(trials=False)
        judged = (a.seeds for a in head.analyses if head.analysed and a.judged)
        self._closed = max(judged, default=0)
        """Seeds whose failed runs are not tried again."""
        super().__init__(store, sweep.execution.retries, [])
        self._add_seeds(self.configurations, self._first)
        self._advance()

    @property
    def over(self) -> bool:
        """Whether no further seed is needed."""
        return self._analysed > 0 and not self._arms

    @property
    def _due(self) -> int:
        """The seeds of the next analysis."""
        return max(self._analysed + 1, self._first)

    @property
    def outlook(self) -> Outlook:
        """The trials that are expected, if gaps and noise stay what they are."""
        ahead = self._seeds - self._analysed
        further = {arm: max(self._standings[arm].further - ahead, 0) for arm in self._standings}
        expected = Counter(trial.arm for trial in self._trials.values())
        expected.update(further)
        expected[str(self.sweep.reference)] += max(further.values(), default=0)
        return Outlook(expected.total(), expected, tuple(self._standings.values()))

    def ask(self, running: Container[str] = ()) -> Trial | None:
        """The next trial, stored as running; one of the next seed, while others run to the end."""
        if not self._open and not self.over:
            # Not more of them than workers are busy: a slow run must not let the others train in vain.
            ahead = sum(trial.slot >= self._due for trial in self._trials.values())
            if ahead < len(self._running):
                self._add_seed()
        return super().ask(running)

    def tell(self, result: Result) -> TrialRecord:
        """Store the result of a trial, and analyse the seeds that it completes."""
        record = super().tell(result)
        self._advance()
        self._drop_unneeded()
        return record

    def _comparable(self) -> list[str]:
        """The arms with a configuration for the primary question, if the reference has one."""
        of_arm, name = compared(self.sweep.confirm.primary)
        known = {(c.arm, c.name) for c in self.configurations}
        reference = str(self.sweep.reference)
        if (reference, name) not in known:
            return []
        arms = [arm.key for arm in self.sweep.arms]
        return [arm for arm in arms if arm != reference and (arm, of_arm) in known]

    def _add_seed(self) -> None:
        """Plan another seed for the primary question, if there may be one."""
        question, reference = self.sweep.confirm.primary, str(self.sweep.reference)
        wanted = {(arm, compared(question)[0]) for arm in self._arms}
        wanted |= {(reference, name) for name in of_reference(question)}
        if self._seeds < self._most:
            chosen = [c for c in self.configurations if (c.arm, c.name) in wanted]
            self._add_seeds(chosen, self._seeds + 1)

    def _add_seeds(self, configurations: Sequence[Configuration], until: int) -> None:
        trials = planned(self.sweep, self._data, configurations, range(self._seeds, until))
        self._trials |= {trial.fingerprint: trial for trial in trials}
        self._plan(trials)
        self._seeds = until
        self._drop([trial for trial in self._open if trial.slot < self._closed])

    def _drop(self, trials: Iterable[Trial]) -> None:
        """Remove trials from the plan."""
        for trial in trials:
            del self._trials[trial.fingerprint]
        self._open = [trial for trial in self._open if trial.fingerprint in self._trials]
        self.total = len(self._trials)

    def _drop_unneeded(self) -> None:
        """Remove the trials of seeds that are not needed any more."""
        needed = {*self._arms, str(self.sweep.reference)} if self._arms else set[str]()
        beyond = (trial for trial in self._open if trial.slot >= max(self._analysed, self._first))
        self._drop([trial for trial in beyond if trial.arm not in needed])

    def _advance(self) -> None:
        """Analyse the seeds that are complete, in their order, until none is open."""
        while not self.over:
            left = (*self._open, *self._running.values())
            if self._due > self._seeds or any(trial.slot < self._due for trial in left):
                return
            self._analyse(self._due)

    def _analyse(self, seeds: int) -> None:
        analysis = Analysis(seeds, tuple(self._with_runs(seeds)))
        if self._first < self._most:
            for verdict in self._judged(analysis):
                self._standings[verdict.arm] = self._standing(verdict, seeds)
        still = [arm for arm in self._arms if arm in self._standings and self._standings[arm].open]
        self._stopped |= {arm: seeds for arm in self._arms if arm not in still}
        self._arms, self._analysed = still, seeds
        if still and seeds == self._seeds:
            self._add_seed()
        self._drop_unneeded()
        if analysis.judged and self.sweep.rules >= SEQUENTIAL:
            self._close(seeds)
        if analysis.judged or not still:
            with self.store.together():
                self.note_plan()
                self.store.note_analysis(analysis)

    def _close(self, seeds: int) -> None:
        """Give up what failed in these seeds."""
        done = {r.trial.fingerprint for r in self.records() if ended(r)}
        trials = self._trials.values()
        self._drop([t for t in trials if t.slot < seeds and t.fingerprint not in done])

    def _judged(self, analysis: Analysis) -> list[Verdict]:
        """The verdicts on the primary question for the arms that are still open."""
        record = replace(self.store.record(), analyses=(analysis,))
        verdicts = primary(record, confirmed(analysis, record.trials, record.data))
        return [verdict for verdict in verdicts if verdict.arm in self._arms]

    def _standing(self, verdict: Verdict, seeds: int) -> Standing:
        _, reference = verdict.trained  # if none of its seeds trained, there is nothing to compare
        still = verdict.missing in OPEN and seeds < self._most and reference.trained > 0
        further = verdict.further_seeds or 1 if still else 0
        return Standing(
            verdict.arm,
            seeds,
            str(verdict.outcome),
            still,
            min(further, self._most - seeds),
            verdict.reason,
        )

    def _with_runs(self, seeds: int) -> Iterable[Configuration]:
        """The configurations with their trials: beyond the first seeds only as many as an arm needed."""
        numbers = {r.trial.fingerprint: r.trial.number for r in self.records() if ended(r)}
        for configuration in self.configurations:
            until = min(self._stopped.get(configuration.arm, seeds), seeds)
            trials = planned(self.sweep, self._data, [configuration], range(until))
            runs = [numbers.get(trial.fingerprint) for trial in trials]
            while len(runs) > self._first and runs[-1] is None:
                runs.pop()
            yield replace(configuration, runs=tuple(runs))


def _readings(sweep: Sweep, trial: Trial) -> tuple[int, ...]:
    """The epochs after which a confirmation keeps the losses of single rows; empty: all.

    Those of a regression are not compressible as the bits of a classification are. Of a training that may
    end early any epoch may be read.
    """
    by, epochs = metric(sweep.metric), trial.epochs
    if trial.patience is not None or trial.callback != NO_CALLBACK:
        return ()
    if by.influence is None or REGRESSION not in by.tasks:
        return ()
    return readings(epochs, min(sweep.baseline_epochs, epochs))


def planned(
    sweep: Sweep, data: DataKey, configurations: Sequence[Configuration], slots: range
) -> list[Trial]:
    """The trials of a confirmation, one per fingerprint, by seed and then in the order of the arms."""
    plan: dict[str, Trial] = {}
    seeds = sweep.confirm_seeds
    for slot in slots:
        for configuration in configurations:
            arm, params = configuration.arm, configuration.params
            trial = resolve_trial(sweep, data, arm, params, number=-1, slot=slot)
            trial = replace(
                trial,
                seed=seeds[slot],
                phase=CONFIRM,
                configuration=configuration.name,
                readings=_readings(sweep, trial),
            )
            before = plan.get(trial.fingerprint)
            names = (
                f"{before.configuration}, {trial.configuration}" if before else trial.configuration
            )
            plan[trial.fingerprint] = replace(before or trial, configuration=names)
    return list(plan.values())
