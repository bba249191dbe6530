"""Displays that are refreshed in place: bars on a terminal, a table in a notebook."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from normsweep.console.display import Display, described_now
from normsweep.console.screen import LOG, in_notebook
from normsweep.search.outlook import Outlook
from normsweep.sweep.study_record import TrialRecord
from normsweep.sweep.trial import Epoch, Trial
from normsweep.text import duration, printable

__all__ = ["LiveDisplay", "NotebookDisplay", "make_display"]

REFRESH = 0.25
"""Seconds between two updates of a notebook's table."""


def make_display(console: Console) -> Display:
    """A live display on a terminal and in a notebook; lines elsewhere, and for verbose output."""
    if not console.quiet and not LOG.isEnabledFor(logging.DEBUG):
        if console.is_terminal:
            return LiveDisplay(console)
        if in_notebook():
            return NotebookDisplay()
    return Display()


class LiveDisplay(Display):
    """Bars per arm, the running trial, the best so far, the time left; refreshed in place."""

    drawn = True

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[best]}"),
            console=console,
        )
        self._clock = Progress(
            TextColumn("{task.description}"), TimeElapsedColumn(), console=console
        )
        self._elapsed = self._clock.add_task("elapsed")
        self._tasks: dict[str, TaskID] = {}
        self._running: dict[int, tuple[Trial, Epoch | None]] = {}
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._running.clear()
        self._live.stop()

    def begin(
        self, records: Sequence[TrialRecord], outlook: Outlook, arms: Mapping[str, str]
    ) -> None:
        super().begin(records, outlook, arms)
        self._tasks = {
            arm: self._bars.add_task(printable(label), total=None, best="")
            for arm, label in arms.items()
        }
        self._refresh()

    def started(self, trial: Trial) -> None:
        super().started(trial)
        self._running[trial.number] = trial, None

    def epoch(self, trial: Trial, epoch: Epoch) -> None:
        super().epoch(trial, epoch)
        self._running[trial.number] = trial, epoch

    def finished(self, record: TrialRecord, outlook: Outlook) -> None:
        self._running.pop(record.trial.number, None)
        super().finished(record, outlook)
        self._refresh()

    def _refresh(self) -> None:
        for arm, bar in self._tasks.items():
            board = self._board
            share, state = board.share(arm, len(self._tasks)), board.state(arm)
            self._bars.update(bar, completed=board.of_arm[arm], total=share, best=state)

    def _render(self) -> Group:
        board = self._board
        running = list(self._running.values())
        lines = [Text(described_now(trial, epoch, self.label(trial))) for trial, epoch in running]
        left = board.time_left
        tail = f", about {duration(left)} left" if left is not None else ""
        head = Text(f"{board.done} of {board.total} trials{tail}", style="bold")
        return Group(head, self._bars, *lines, self._clock)


class NotebookDisplay(Display):
    """A small table in the cell's output, updated in place; warnings and errors are lines below it."""

    drawn = True

    def __init__(self) -> None:
        super().__init__()
        self._now, self._refreshed = "", 0.0
        self._handle: Any = None

    def __enter__(self) -> Self:
        from IPython.display import HTML, display

        self._handle = display(HTML(""), display_id=True)
        return self

    def __exit__(self, *exception: object) -> None:
        self._now = ""
        self._refresh()

    def begin(
        self, records: Sequence[TrialRecord], outlook: Outlook, arms: Mapping[str, str]
    ) -> None:
        super().begin(records, outlook, arms)
        self._refresh()

    def started(self, trial: Trial) -> None:
        super().started(trial)
        self._now, self._refreshed = (
            described_now(trial, None, self.label(trial)),
            0.0,
        )  # the first epoch at once

    def epoch(self, trial: Trial, epoch: Epoch) -> None:
        super().epoch(trial, epoch)
        self._now = described_now(trial, epoch, self.label(trial))
        if time.monotonic() - self._refreshed >= REFRESH:
            self._refresh()

    def finished(self, record: TrialRecord, outlook: Outlook) -> None:
        super().finished(record, outlook)
        self._refresh()

    def _refresh(self) -> None:
        from IPython.display import HTML

        self._refreshed = time.monotonic()
        if self._handle is not None:
            self._handle.update(HTML(self._html()))

    def _html(self) -> str:
        board = self._board
        left = board.time_left
        tail = f", about {duration(left)} left" if left and board.done < board.total else ""
        rows = "".join(map(self._row, self._arms))
        return (
            f"<b>{board.done} of {board.total} trials{tail}</b><table>{rows}</table>"
            f"{escape(printable(self._now))}"
        )

    def _row(self, arm: str) -> str:
        board, done = self._board, self._board.of_arm[arm]
        share, state = board.share(arm, len(self._arms)), escape(board.state(arm))
        return (
            f"<tr><td>{escape(printable(self._arms[arm]))}</td><td><progress value='{done}' max='{share}'>"
            f"</progress></td><td>{done}/{share}</td><td>{state}</td></tr>"
        )
