"""What a person sees while a study runs: a live display, or plain lines where there is none."""

from __future__ import annotations

import io
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, Protocol, Self

import pandas as pd
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
from rich.table import Table
from rich.text import Text

from normsweep.analysis import best_of_arms, settled
from normsweep.parts import metric
from normsweep.plain import printable
from normsweep.reporting.formats import for_people, is_numeric
from normsweep.reporting.plan import duration
from normsweep.reporting.screen import WIDTH, Screen
from normsweep.sweep.study_record import TrialRecord
from normsweep.sweep.trial import Epoch, Result, Status, Trial

__all__ = [
    "Display",
    "LiveDisplay",
    "NotebookDisplay",
    "PlainDisplay",
    "make_console",
    "make_display",
    "print_table",
    "table_text",
]

RENEWED = 0.25
"""Seconds between two looks of a notebook's table."""
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


def make_console(quiet: bool = False) -> Console:
    """Standard output, or nothing; a file or a pipe has no width, and 80 columns would cut the tables."""
    notebook = in_notebook()  # whose standard output says that it is a terminal
    return Console(
        file=sys.stdout,
        width=None if sys.stdout.isatty() and not notebook else WIDTH,
        quiet=quiet,
        force_jupyter=False,
        force_terminal=False if notebook else None,
    )


def make_display(console: Console) -> Display:
    """A live display on a terminal and in a notebook, plain lines elsewhere; as much as a `Screen` is to tell."""
    if not isinstance(console, Screen):
        if console.is_terminal and not console.quiet:
            return LiveDisplay(console)
        if in_notebook() and not console.quiet:
            return NotebookDisplay(console)
        return PlainDisplay(console)
    pause = 0.0 if console.verbose else QUIET
    if not console.is_terminal or console.verbose or console.quiet:
        return PlainDisplay(console, pause)
    live = LiveDisplay(console)
    if console.log_console is None:
        return live
    return _Both(live, PlainDisplay(console.log_console, pause))


def in_notebook() -> bool:
    """Whether a notebook's kernel runs this process."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


class _Both:
    """A live display, and lines in a log file; what is noted on the screen is in the file already."""

    def __init__(self, live: LiveDisplay, log: PlainDisplay) -> None:
        self._live, self._log = live, log

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.__exit__(*exception)

    def begin(self, records: Sequence[TrialRecord], total: int, arms: Sequence[str]) -> None:
        self._live.begin(records, total, arms)
        self._log.begin(records, total, arms)

    def started(self, trial: Trial) -> None:
        self._live.started(trial)
        self._log.started(trial)

    def epoch(self, trial: Trial, epoch: Epoch) -> None:
        self._live.epoch(trial, epoch)
        self._log.epoch(trial, epoch)

    def finished(self, record: TrialRecord) -> None:
        self._live.finished(record)
        self._log.finished(record)

    def note(self, text: str) -> None:
        self._live.note(text)


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


class LiveDisplay:
    """Bars per arm, the running trial, the best so far, the time left; refreshed in place."""

    def __init__(self, console: Console) -> None:
        self._console, self._board = console, _Board()
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
        self._arms: dict[str, TaskID] = {}
        self._running: dict[int, tuple[Trial, Epoch | None]] = {}
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._running.clear()
        self._live.stop()

    def begin(self, records: Sequence[TrialRecord], total: int, arms: Sequence[str]) -> None:
        self._board.begin(records, total)
        self._arms = {arm: self._bars.add_task(printable(arm), total=None, best="") for arm in arms}
        self._refresh()

    def started(self, trial: Trial) -> None:
        self._running[trial.number] = trial, None

    def epoch(self, trial: Trial, epoch: Epoch) -> None:
        self._running[trial.number] = trial, epoch

    def finished(self, record: TrialRecord) -> None:
        assert record.result is not None
        self._running.pop(record.trial.number, None)
        self._board.add(record)
        if record.result.status is not Status.COMPLETE:
            self.note(described(record))
        self._refresh()

    def note(self, text: str) -> None:
        self._live.console.print(printable(text), markup=False, highlight=False, soft_wrap=True)

    def _refresh(self) -> None:
        for arm, bar in self._arms.items():
            record = self._board.best.get(arm)
            text = f"best {record.result.score:.4f}" if record and record.result else ""
            share = self._board.total // max(len(self._arms), 1)
            self._bars.update(bar, completed=self._board.of_arm[arm], total=share, best=text)

    def _render(self) -> Group:
        board = self._board
        lines = [Text(described_now(trial, epoch)) for trial, epoch in list(self._running.values())]
        left = board.time_left
        tail = f", about {duration(left)} left" if left is not None else ""
        head = Text(f"{board.done} of {board.total} trials{tail}", style="bold")
        return Group(head, self._bars, *lines, self._clock)


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


class NotebookDisplay(PlainDisplay):
    """A small table in the cell's output, renewed in place; what went wrong is a line below it."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._arms: Sequence[str] = ()
        self._now = ""
        self._handle: Any = None

    def __enter__(self) -> Self:
        from IPython.display import HTML, display

        self._handle = display(HTML(""), display_id=True)
        return self

    def __exit__(self, *exception: object) -> None:
        self._now = ""
        self._renew()

    def begin(self, records: Sequence[TrialRecord], total: int, arms: Sequence[str]) -> None:
        super().begin(records, total, arms)
        self._arms = arms
        self._renew()

    def started(self, trial: Trial) -> None:
        self._last = 0.0  # the first epoch is shown at once
        self._now = described_now(trial, None)

    def epoch(self, trial: Trial, epoch: Epoch) -> None:
        self._now = described_now(trial, epoch)
        if time.monotonic() - self._last >= RENEWED:
            self._last = time.monotonic()
            self._renew()

    def finished(self, record: TrialRecord) -> None:
        self._board.add(record)
        if record.result is not None and record.result.status is not Status.COMPLETE:
            self.note(described(record))
        self._renew()

    def _renew(self) -> None:
        from IPython.display import HTML

        if self._handle is not None:
            self._handle.update(HTML(self._html()))

    def _html(self) -> str:
        board, share = self._board, self._board.total // max(len(self._arms), 1)
        left = board.time_left
        tail = f", about {duration(left)} left" if left and board.done < board.total else ""
        rows = "".join(self._row(arm, share) for arm in self._arms)
        return (
            f"<b>{board.done} of {board.total} trials{tail}</b><table>{rows}</table>"
            f"{escape(printable(self._now))}"
        )

    def _row(self, arm: str, share: int) -> str:
        record, done = self._board.best.get(arm), self._board.of_arm[arm]
        best = f"best {record.result.score:.4f}" if record and record.result else ""
        return (
            f"<tr><td>{escape(printable(arm))}</td><td><progress value='{done}' max='{share}'>"
            f"</progress></td><td>{done}/{share}</td><td>{best}</td></tr>"
        )


SENTENCE = 12
"""Characters from which a cell may be broken into lines."""


def _longest(cells: Iterable[str]) -> int:
    return max((len(cell) for cell in cells), default=0)


def table_text(table: pd.DataFrame) -> str:
    """A data frame as `print_table` prints it."""
    console = Console(file=io.StringIO(), width=120, force_jupyter=False)
    with console.capture() as captured:
        print_table(console, table, "")
    return captured.get()


def print_table(console: Console, table: pd.DataFrame, title: str) -> None:
    """A data frame as a console table, numbers rounded."""
    shown = for_people(table)
    view = Table(title=Text(printable(title), "bold") if title else None, title_justify="left")
    for name in shown.columns:
        cells = list(shown[name])
        justify = "right" if is_numeric(cells) else "left"
        view.add_column(
            name.replace("_", " "), justify=justify, min_width=min(_longest(cells), SENTENCE)
        )
    for row in shown.itertuples(index=False):
        view.add_row(*(Text(cell) for cell in row))
    console.print(view)
