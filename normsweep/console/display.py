"""What is printed while a study runs: a line for each trial."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Self

from normsweep.analysis.trials import best_of_arms, place, settled
from normsweep.console.screen import LOG, OFF_SCREEN
from normsweep.parts.metrics import metric
from normsweep.search.outlook import Outlook, Standing
from normsweep.sweep.study_record import TrialRecord
from normsweep.sweep.trial import Epoch, Result, Status, Trial
from normsweep.text import counted, duration, printable

__all__ = ["Display"]

PAUSE = 10.0
"""Seconds between lines about the epochs of one trial, unless the output is verbose."""


class _Board:
    """Progress of a phase: trials done and left, best trials, time left."""

    def __init__(self) -> None:
        self.done = 0
        self.outlook = Outlook(0)
        self.of_arm: Counter[str] = Counter()
        """Places of the plan that are filled."""
        self.best: dict[str, TrialRecord] = {}
        self._places: set[tuple[str, str, int, str, int]] = set()
        self.ends: deque[float] = deque(maxlen=50)
        """When this session began, and its latest trials ended: monotonic seconds."""

    @property
    def time_left(self) -> float | None:
        if len(self.ends) < 2:
            return None
        pace = (self.ends[-1] - self.ends[0]) / (len(self.ends) - 1)
        return (self.total - self.done) * pace

    @property
    def total(self) -> int:
        """Expected number of trials; not less than are done, of which an analysis may not need some."""
        return max(self.outlook.total, self.done)

    def share(self, arm: str, arms: int) -> int:
        """Expected number of trials of an arm; not less than are done, as in `total`."""
        expected = self.outlook.of_arm.get(arm, self.outlook.total // max(arms, 1))
        return max(expected, self.of_arm[arm])

    def state(self, arm: str) -> str:
        """Where an arm is in a few words: in its confirmation, or its best score."""
        for standing in self.outlook.standings:
            if standing.arm == arm:
                return standing_words(standing)
        record = self.best.get(arm)
        if record is None or record.result is None:
            return ""
        return f"best {metric(record.trial.metric).shown(record.result.score)}"

    def begin(self, records: Sequence[TrialRecord], outlook: Outlook) -> None:
        self.outlook = outlook
        for record in records:
            self._count(record)
        self.ends.append(time.monotonic())

    def add(self, record: TrialRecord) -> None:
        self._count(record)
        self.ends.append(time.monotonic())

    def _count(self, record: TrialRecord) -> None:
        self.best = best_of_arms([*self.best.values(), record])
        for each in settled([record]):
            if place(each) not in self._places:
                self._places.add(place(each))
                self.of_arm[each.trial.arm] += 1
                self.done += 1


class Display:
    """Prints a line for each trial, and from time to time one for an epoch of a long trial."""

    drawn = False
    """Whether the screen shows trials in another way: then their lines go only to the log file."""

    def __init__(self) -> None:
        self._board, self._last = _Board(), 0.0
        self._arms: Mapping[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        return None

    def begin(
        self, records: Sequence[TrialRecord], outlook: Outlook, arms: Mapping[str, str]
    ) -> None:
        """Start with the trials so far, those that are expected, and the arms' labels by key."""
        self._board.begin(records, outlook)
        self._arms = arms
        self._tell(outlook.standings)

    def label(self, trial: Trial) -> str:
        """The label of a trial's arm."""
        return self._arms.get(trial.arm, trial.arm)

    def started(self, trial: Trial) -> None:
        """Called when a trial has started."""
        self._last = time.monotonic()

    def epoch(self, trial: Trial, epoch: Epoch) -> None:
        """Called after each epoch of a trial."""
        due = time.monotonic() - self._last >= PAUSE
        if due:
            self._last = time.monotonic()
        self._line(
            f"  trial {trial.number} {self.label(trial)}: epoch {epoch.epoch}/{trial.epochs} "
            f"loss {epoch.train_loss:.4f} {_validated(trial, epoch)}",
            logging.INFO if due else logging.DEBUG,
            off_screen=self.drawn,
        )

    def finished(self, record: TrialRecord, outlook: Outlook) -> None:
        """Called when a trial has ended, with those that are expected from then on.

        A trial without a score is printed on every screen.
        """
        assert record.result is not None
        board = self._board
        before, board.outlook = board.outlook.standings, outlook
        board.add(record)
        left = board.time_left
        rest = f", about {duration(left)} left" if left and board.done < board.total else ""
        self._line(
            f"{board.done}/{board.total} {described(record, self.label(record.trial))}{rest}",
            logging.INFO,
            off_screen=self.drawn and record.result.status is Status.COMPLETE,
        )
        self._tell([standing for standing in outlook.standings if standing not in before])

    def _tell(self, standings: Sequence[Standing]) -> None:
        """Print what the latest analysis says about arms."""
        for standing in standings:
            label = self._arms.get(standing.arm, standing.arm)
            self._line(standing_words(standing, label), logging.INFO, off_screen=self.drawn)

    def note(self, text: str) -> None:
        """Print a warning, even if the command is quiet."""
        LOG.warning(text)

    def _line(self, text: str, level: int, *, off_screen: bool) -> None:
        LOG.log(level, text, extra=OFF_SCREEN if off_screen else None)


def standing_words(standing: Standing, arm: str = "") -> str:
    """Where an arm is in its confirmation, and what it still needs; `arm`: its label, to begin with."""
    named = f"{printable(arm)}: " if arm else ""
    said = f"{named}{standing.outcome} after {counted(standing.seeds, 'seed')}"
    if standing.open:
        return f"{said}, about {standing.further} more"
    return f"{said}: {standing.reason}" if standing.reason else said


def described_now(trial: Trial, epoch: Epoch | None, arm: str) -> str:
    """A running trial in a line: number, label of its arm, settings, progress."""
    head = f"trial {trial.number} {printable(arm)} {trial.optimizer} {trial.learning_rate:.2g}: "
    if epoch is None:
        return f"{head}epoch 1/{trial.epochs}"
    return (
        f"{head}epoch {epoch.epoch}/{trial.epochs} loss {epoch.train_loss:.4f} "
        f"{_validated(trial, epoch)}"
    )


def _validated(trial: Trial, epoch: Epoch) -> str:
    by = metric(trial.metric)
    return f"validation {by.label} {by.shown(epoch.value)}"


def described(record: TrialRecord, arm: str) -> str:
    """A trial in a line: number, label of its arm, settings, how it ended."""
    trial, result = record.trial, record.result
    assert result is not None
    head = (
        f"trial {trial.number} {arm} {trial.optimizer} "
        f"lr {trial.learning_rate:.2g} epochs {trial.epochs}"
    )
    if result.status is Status.COMPLETE:
        return f"{head}: {metric(trial.metric).shown(result.score)} {_cost(result)}"
    why = " ".join(result.error.split())
    return f"{head}: {result.status.value}" + (f": {why[:300]}" if why else "")


def _cost(result: Result) -> str:
    """Its duration, or the trial from which it was reused."""
    if not result.reused:
        return f"in {duration(result.seconds)}"
    if result.reused == len(result.curve):
        return f"reused from {_origin(result)}"
    head = f"epochs 1 to {result.reused}" if result.reused > 1 else "epoch 1"
    return f"in {duration(result.seconds)}, {head} reused from {_origin(result)}"


def _origin(result: Result) -> str:
    of = f" of study {printable(result.origin_study)}" if result.origin_study else ""
    return f"trial {result.origin}{of}"
