"""`Phase`: what all phases share: which trial is next, and which one is retried."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Container, Sequence

from normsweep.search.outlook import Outlook
from normsweep.store.study_store import StudyStore
from normsweep.sweep.schema import Sweep
from normsweep.sweep.space import Space
from normsweep.sweep.study_record import TrialRecord
from normsweep.sweep.trial import Epoch, Result, Status, Trial

__all__ = ["Phase", "PlannedPhase", "ended", "shown_space"]


class Phase(ABC):
    """The trials of one phase of a study: it schedules them, and the store writes them."""

    phase: str
    total: int
    """Number of planned trials."""
    extendable: bool
    """Whether the same trial may be planned again with more epochs."""

    def __init__(self, store: StudyStore, retries: int) -> None:
        self.store = store
        self._retries = retries
        self._running: dict[int, Trial] = {}
        self._failures: Counter[tuple[str, str, int, str]] = Counter()

    @property
    @abstractmethod
    def left(self) -> int:
        """Number of planned trials that are neither stored nor running."""

    @abstractmethod
    def ask(self, running: Container[str] = ()) -> Trial | None:
        """The next trial, stored as running; None if there is none.

        `running`: lineages of running trials. Trials of the same lineage wait, because they can
        reuse their epochs.
        """

    @abstractmethod
    def budgets(self, trial: Trial) -> frozenset[int]:
        """Smaller numbers of epochs of planned trials of the same lineage."""

    def until(self, trial: Trial) -> int:
        """The epoch after which a running trial pauses or ends."""
        return trial.epochs

    @abstractmethod
    def _reopen(self, trial: Trial) -> None:
        """Plan the same trial again."""

    @property
    def outlook(self) -> Outlook:
        """What is still to be expected."""
        return Outlook(self.total)

    def records(self) -> list[TrialRecord]:
        """The trials of the phase so far."""
        return [r for r in self.store.trials() if r.trial.phase == self.phase]

    def report(self, epoch: Epoch) -> bool:
        """Store the score of an epoch; returns whether the trial continues."""
        self.store.report(self._running[epoch.trial], epoch)
        return True

    def tell(self, result: Result) -> TrialRecord:
        """Store the result of a trial; an interrupted one, or one with retries left, is planned again."""
        ended = self.store.tell(self._running.pop(result.trial), result)
        if self._to_retry(ended):
            self._reopen(ended.trial)
        return ended

    def note_plan(self) -> None:
        """Store the number of planned trials, for lists of studies."""
        self.store.note_plan(self.phase, self.total)

    def _begin(self, planned: Trial, space: Space | None = None) -> Trial:
        """Store a planned trial as running; returns it with its number."""
        trial = self.store.begin_trial(planned, space)
        self._running[trial.number] = trial
        return trial

    def _to_retry(self, ended: TrialRecord) -> bool:
        """Whether to run an ended trial again; counts the failures of the planned trial."""
        status = ended.result.status if ended.result else Status.INTERRUPTED
        self._failures[ended.planned] += status.failed
        retry = status.failed and self._failures[ended.planned] <= self._retries
        return retry or status is Status.INTERRUPTED


class PlannedPhase(Phase):
    """A phase whose trials are all known from the start, as are the selection round and the confirmation.

    A trial with no retries left is not run again by this command, but by the next one.
    """

    sweep: Sweep
    """With the arms to run."""

    def __init__(self, store: StudyStore, retries: int, plan: Sequence[Trial]) -> None:
        """`plan`: the trials, one per fingerprint, in the order in which they are run."""
        super().__init__(store, retries)
        store.repair()
        self.total, self._open = 0, list[Trial]()
        self._plan(plan)

    def _plan(self, trials: Sequence[Trial]) -> None:
        """Add trials to the plan, of which some may have ended."""
        done = {r.trial.fingerprint for r in self.records() if ended(r)}
        self.total += len(trials)
        self._open += [trial for trial in trials if trial.fingerprint not in done]

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
        space = shown_space(self.sweep, sampled=False).including(planned.params)
        return self._begin(planned, space)

    def budgets(self, trial: Trial) -> frozenset[int]:
        """Empty: all trials have the same number of epochs."""
        return frozenset()

    def _reopen(self, trial: Trial) -> None:
        self._open.insert(0, trial)


def ended(done: TrialRecord) -> bool:
    """Whether a trial ended with a result that counts: it was completed, or it diverged."""
    return done.result is not None and done.result.status.scored


def shown_space(sweep: Sweep, sampled: bool = True) -> Space:
    """The space with the baselines, for Optuna's tools: all trials of the search are in it.

    `sampled`: whether trials sample their epochs if the sweep says so; otherwise all train as long.
    """
    space = sweep.space
    if sweep.rules > 1:
        for arm in sweep.arms:
            space = space.including(sweep.baseline(arm, sweep.longest))
    return space.sampling("epochs", sampled and sweep.samples_epochs)
