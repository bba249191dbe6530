"""`Phase`: what search and confirmation have in common: trials that are asked, recorded, told."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Container

from normsweep.parts.metrics import metric
from normsweep.store import encoding, study_store
from normsweep.store.encoding import outcome, value_of
from normsweep.store.optuna_tables import Study
from normsweep.store.study_store import Archive, on_record, repair
from normsweep.sweep.study_record import TrialRecord
from normsweep.sweep.trial import Epoch, Result, Status, Trial

__all__ = ["Phase"]


class Phase(Archive, ABC):
    """The trials of one phase of a study, in its record."""

    phase: str
    total: int
    """Trials planned."""
    extendable: bool
    """Whether a trial may be followed by one that is the same for more epochs."""

    def __init__(self, study: Study, retries: int) -> None:
        super().__init__(study)
        self._retries = retries
        self._running: dict[int, Trial] = {}
        self._failures: Counter[tuple[str, str, int, str]] = Counter()

    @property
    @abstractmethod
    def left(self) -> int:
        """Trials that are not recorded yet and do not run."""

    @abstractmethod
    def ask(self, held: Container[str] = ()) -> Trial | None:
        """The next trial, recorded as running; None where the plan has none.

        `held`: lineages that run; what would train the same epochs beside them is not given yet.
        """

    @abstractmethod
    def budgets(self, trial: Trial) -> frozenset[int]:
        """Shorter numbers of epochs at which the plan has trials of the same lineage."""

    @abstractmethod
    def _reopen(self, trial: Trial) -> None:
        """Plan a trial again, as it was."""

    def records(self) -> list[TrialRecord]:
        """The phase's trials so far."""
        return [r for r in super().records() if r.trial.phase == self.phase]

    @on_record
    def report(self, epoch: Epoch) -> bool:
        """Record an epoch's score; whether the trial goes on."""
        by = metric(self._running[epoch.trial].metric)
        self._study.report(epoch.trial, epoch.epoch, value_of(epoch, by))
        return True

    @on_record
    def tell(self, result: Result) -> TrialRecord:
        """Record how a trial ended; one that was stopped, or may be retried, is planned again."""
        trial = self._running.pop(result.trial)
        self._study.set_attr(trial.number, encoding.RESULT, result.to_json())
        self._study.tell(trial.number, *outcome(result, metric(trial.metric)))
        told = TrialRecord(trial, result)
        if self._again(told):
            self._reopen(trial)
        return told

    @on_record
    def note_plan(self) -> None:
        """Record how many trials are planned, for whoever looks at the study."""
        study_store.set_plan(self._study, self.phase, self.total)

    @on_record
    def settle(self) -> None:
        """Close what an interruption broke off between two writes."""
        repair(self._study)

    def _again(self, ended: TrialRecord) -> bool:
        """Whether a trial that ended is to be run again; counts the failures of its place."""
        status = ended.result.status if ended.result else Status.INTERRUPTED
        self._failures[ended.planned] += status.failed
        retry = status.failed and self._failures[ended.planned] <= self._retries
        return retry or status is Status.INTERRUPTED
