"""`Phase`: what search and confirmation have in common: which trials are next, and which again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Container

from normsweep.store.study_store import StudyStore
from normsweep.sweep.space import Space
from normsweep.sweep.study_record import TrialRecord
from normsweep.sweep.trial import Epoch, Result, Status, Trial

__all__ = ["Phase"]


class Phase(ABC):
    """The trials of one phase of a study: it decides, and its store writes."""

    phase: str
    total: int
    """Trials planned."""
    extendable: bool
    """Whether a trial may be followed by one that is the same for more epochs."""

    def __init__(self, store: StudyStore, retries: int) -> None:
        self.store = store
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
        return [r for r in self.store.trials() if r.trial.phase == self.phase]

    def report(self, epoch: Epoch) -> bool:
        """Record an epoch's score; whether the trial goes on."""
        self.store.report(self._running[epoch.trial], epoch)
        return True

    def tell(self, result: Result) -> TrialRecord:
        """Record how a trial ended; one that was stopped, or may be retried, is planned again."""
        told = self.store.tell(self._running.pop(result.trial), result)
        if self._again(told):
            self._reopen(told.trial)
        return told

    def note_plan(self) -> None:
        """Note how many trials are planned, for whoever looks at the study."""
        self.store.note_plan(self.phase, self.total)

    def _begin(self, planned: Trial, space: Space | None = None) -> Trial:
        """The trial with the number under which it is recorded as running."""
        trial = self.store.begin_trial(planned, space)
        self._running[trial.number] = trial
        return trial

    def _again(self, ended: TrialRecord) -> bool:
        """Whether a trial that ended is to be run again; counts the failures of its place."""
        status = ended.result.status if ended.result else Status.INTERRUPTED
        self._failures[ended.planned] += status.failed
        retry = status.failed and self._failures[ended.planned] <= self._retries
        return retry or status is Status.INTERRUPTED
