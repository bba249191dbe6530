"""What a person sees while a study runs: a live display, or plain lines where there is none."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Sequence
from typing import Protocol, Self

from rich.console import Console

from normsweep.analysis.trials import best_of_arms, settled
from normsweep.console.screen import Screen
from normsweep.parts.metrics import metric
from normsweep.sweep.study_record import TrialRecord
from normsweep.sweep.trial import Epoch, Result, Status, Trial
from normsweep.text import duration, printable

__all__ = ["Display", "PlainDisplay"]

QUIET = 10.0
"""Seconds between lines about the epochs of one trial, where the output is no terminal."""


class Display(Protocol):
    """Told what happens."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *exception: object) -> None: ...
    def begin(self, records: Sequence[TrialRecord], total: int, arms: Sequence[str]) -> None:
        """The study as it stands, the number of trials planned, the arms that share them."""
        ...

    def started(self, trial: Trial) -> None:
        """A trial starts."""
        ...

    def epoch(self, trial: Trial, epoch: Epoch) -> None:
        """A trial has ended an epoch."""
        ...

    def finished(self, record: TrialRecord) -> None:
        """A trial has ended."""
        ...

    def note(self, text: str) -> None:
        """Something that a person should know."""
        ...


class _Board:
    """What has happened so far, and what is left, as both displays tell it."""

    def __init__(self) -> None:
        self.total = self.done = 0
        self.of_arm: Counter[str] = Counter()
        """Places of the plan that are filled, as `settled` counts them."""
        self.best: dict[str, TrialRecord] = {}
        self._places: set[tuple[str, str, int, str]] = set()
        self.ends: deque[float] = deque(maxlen=50)
        """When this session began, and its latest trials ended: monotonic seconds."""

    @property
    def time_left(self) -> float | None:
        if len(self.ends) < 2:
            return None
        pace = (self.ends[-1] - self.ends[0]) / (len(self.ends) - 1)
        return (self.total - self.done) * pace

    def begin(self, records: Sequence[TrialRecord], total: int) -> None:
        self.total = total
        for record in records:
            self._count(record)
        self.ends.append(time.monotonic())

    def add(self, record: TrialRecord) -> None:
        self._count(record)
        self.ends.append(time.monotonic())

    def _count(self, record: TrialRecord) -> None:
        self.best = best_of_arms([*self.best.values(), record])
        for counted in settled([record]):
            if counted.place not in self._places:
                self._places.add(counted.place)
                self.of_arm[counted.trial.arm] += 1
                self.done += 1


class PlainDisplay:
    """A line for each trial, and now and then one for an epoch of a long trial."""

    def __init__(self, console: Console, pause: float = QUIET) -> None:
        """`pause`: seconds between lines about epochs."""
        self._console, self._board, self._last = console, _Board(), 0.0
        self._pause = pause

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        return None

    def begin(self, records: Sequence[TrialRecord], total: int, arms: Sequence[str]) -> None:
        self._board.begin(records, total)

    def started(self, trial: Trial) -> None:
        self._last = time.monotonic()

    def epoch(self, trial: Trial, epoch: Epoch) -> None:
        if time.monotonic() - self._last < self._pause:
            return
        self._last = time.monotonic()
        self._print(
            f"  trial {trial.number} {trial.arm}: epoch {epoch.epoch}/{trial.epochs} "
            f"loss {epoch.train_loss:.4f} validation {metric(trial.metric).label} {epoch.value:.4f}"
        )

    def finished(self, record: TrialRecord) -> None:
        board = self._board
        board.add(record)
        left = board.time_left
        rest = f", about {duration(left)} left" if left and board.done < board.total else ""
        self._print(f"{board.done}/{board.total} {described(record)}{rest}")

    def note(self, text: str) -> None:
        if isinstance(self._console, Screen) and self._console.quiet:
            self._console.warn(text)
        else:
            self._print(text)

    def _print(self, text: str) -> None:
        self._console.print(printable(text), markup=False, highlight=False, soft_wrap=True)


def described_now(trial: Trial, epoch: Epoch | None) -> str:
    """A trial that runs, on a line: number, arm, settings, how far it is."""
    arm = printable(trial.arm)
    head = f"trial {trial.number} {arm} {trial.optimizer} {trial.learning_rate:.2g}: "
    if epoch is None:
        return f"{head}epoch 1/{trial.epochs}"
    return (
        f"{head}epoch {epoch.epoch}/{trial.epochs} loss {epoch.train_loss:.4f} "
        f"validation {metric(trial.metric).label} {epoch.value:.4f}"
    )


def described(record: TrialRecord) -> str:
    """A trial on a line: number, arm, settings, how it ended."""
    trial, result = record.trial, record.result
    assert result is not None
    head = (
        f"trial {trial.number} {trial.arm} {trial.optimizer} "
        f"lr {trial.learning_rate:.2g} epochs {trial.epochs}"
    )
    if result.status is Status.COMPLETE:
        return f"{head}: {result.score:.4f} {_cost(result)}"
    why = " ".join(result.error.split())
    return f"{head}: {result.status.value}" + (f": {why[:300]}" if why else "")


def _cost(result: Result) -> str:
    """How long it took, or which trial had it already."""
    if not result.reused:
        return f"in {duration(result.seconds)}"
    if result.reused == len(result.curve):
        return f"from the record of trial {result.origin}"
    head = f"epochs 1 to {result.reused}" if result.reused > 1 else "epoch 1"
    return f"in {duration(result.seconds)}, {head} from trial {result.origin}"
