"""How trainings ended: trained, stuck at the level of guessing, diverged; by trial and by arm."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from normsweep.analysis.confirm_runs import Confirmed, Guess
from normsweep.analysis.rules import Trained
from normsweep.analysis.stuck import Kind, Level, kind
from normsweep.analysis.trials import settled
from normsweep.sweep.study_record import BASELINE, StudyRecord, TrialRecord
from normsweep.sweep.trial import CONFIRM, SEARCH, Result, Status

__all__ = ["ArmEndings", "Ended", "Ending", "Endings", "endings"]


class Ended(StrEnum):
    """How a training ended."""

    TRAINED = "trained"
    STUCK = "stuck"
    DIVERGED = "diverged"
    FAILED = "failed"


@dataclass(frozen=True)
class Ending:
    """How a trial ended."""

    record: TrialRecord
    ended: Ended
    kind: Kind | None = None
    """Of a stuck one."""


@dataclass(frozen=True)
class ArmEndings:
    """How the trials of an arm ended in the search, or the seeds of one of its configurations."""

    arm: str
    phase: str
    configuration: str
    """Empty in the search."""
    endings: tuple[Ending, ...]
    """Without those that failed."""
    failed: int
    independent: bool
    """Whether these are independent draws: seeds, or the trials of random search but for the baseline."""

    @property
    def counts(self) -> Trained:
        """How many trained, diverged and were stuck."""
        return _counts(self.endings)

    @property
    def kinds(self) -> Mapping[Kind, int]:
        """How many are stuck by kind, the commonest first."""
        return dict(Counter(e.kind for e in self.endings if e.kind is not None).most_common())

    @property
    def lost_at_most(self) -> float:
        """The 95 % upper bound of the share of all such trainings that do not train.

        NaN if those that were seen are no independent draws.
        """
        if not self.independent:
            return math.nan
        return _counts(filter(_is_drawn, self.endings)).lost_at_most


@dataclass(frozen=True)
class Endings:
    """How the trainings of a study ended."""

    searched: tuple[Ending, ...] = ()
    """The trials of the search that did not fail, in the order of their numbers."""
    arms: tuple[ArmEndings, ...] = ()
    """By arm: the search first, then the configurations of the latest analysis."""


def endings(record: StudyRecord, found: Confirmed) -> Endings:
    """How the trials of the search and the seeds of the latest analysis ended; `found` are its runs.

    A trial is judged by its validation images, a seed by the test images, as in a verdict. In addition,
    a network is stuck that is no better than guessing with the running averages of BatchNormalization
    alone. Such a seed stays in the pairs of a verdict: it has learned something.
    """
    if record.data is None:
        return Endings()
    level = Level.of(record.data, record.sweep.data.validation_split)
    searched = [_of_trial(r, level) for r in settled(record.searched)]
    groups = [
        *(_searched(arm, searched, record.sweep.search.sampler == "random") for arm in record.arms),
        *_confirmed(record, found, level),
    ]
    known = [group for group in groups if group.endings or group.failed]
    return Endings(
        tuple(e for e in searched if e.ended is not Ended.FAILED),
        tuple(sorted(known, key=lambda group: record.arms.index(group.arm))),
    )


def _searched(arm: str, ended: Sequence[Ending], independent: bool) -> ArmEndings:
    of_arm = [e for e in ended if e.record.trial.arm == arm]
    kept = tuple(e for e in of_arm if e.ended is not Ended.FAILED)
    return ArmEndings(arm, SEARCH, "", kept, len(of_arm) - len(kept), independent)


def _confirmed(record: StudyRecord, found: Confirmed, level: Level) -> Iterator[ArmEndings]:
    """The seeds of each configuration."""
    guess = Guess.of(record.data, found.metric)
    records = {r.trial.number: r for r in record.confirmed}
    for runs in found.runs.values():
        ran = [records[result.trial] for result in runs.results if result is not None]
        ended = tuple(_of_seed(each, guess, level) for each in ran)
        of = runs.configuration
        yield ArmEndings(of.arm, CONFIRM, of.name, ended, runs.failed, True)


def _of_trial(record: TrialRecord, level: Level) -> Ending:
    """How a trial of the search ended, by its validation images; of one that was pruned, so far."""
    result = record.result
    if result is None or result.status.failed or not result.curve:
        return Ending(record, Ended.FAILED)
    if result.status is Status.DIVERGED:
        return Ending(record, Ended.DIVERGED)
    return _ended(record, result, level, level.scores_no_better(result.last))


def _of_seed(record: TrialRecord, guess: Guess, level: Level) -> Ending:
    """How a seed of the confirmation ended, by the test images."""
    result = record.result
    if result is None or result.status is Status.DIVERGED:
        return Ending(record, Ended.DIVERGED)
    return _ended(record, result, level, guess.scores_no_better(result.last))


def _ended(record: TrialRecord, result: Result, level: Level, no_better: bool) -> Ending:
    """A training with a score that is or is not better than guessing: the latter is stuck, or a poor score."""
    if not no_better:
        return Ending(record, Ended.TRAINED)
    why = kind(result, level)
    stuck = level.guess.learned_nothing(result.last) or why is Kind.RUNNING_STATISTICS
    return Ending(record, Ended.STUCK, why) if stuck else Ending(record, Ended.TRAINED)


def _is_drawn(ending: Ending) -> bool:
    trial = ending.record.trial
    return trial.phase != SEARCH or trial.configuration != BASELINE


def _counts(endings: Iterable[Ending]) -> Trained:
    of = Counter(ending.ended for ending in endings)
    return Trained(of[Ended.TRAINED], of[Ended.DIVERGED], of[Ended.STUCK])
