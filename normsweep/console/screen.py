"""What a command says goes through the logger `normsweep`, to the screen and to its log file.

Levels: DEBUG each epoch, INFO what a person is told, WARNING what a quiet command says too, ERROR
what is in red. A record may have `view`, what a console shows in place of its text, and
`off_screen`: the screen shows it in another way.
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from normsweep.errors import UserError
from normsweep.text import masked, printable

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "LOG",
    "OFF_SCREEN",
    "WIDTH",
    "make_console",
    "print_table",
    "say",
    "screen",
    "table_text",
    "table_view",
    "warn",
]

LOG = logging.getLogger("normsweep")


OFF_SCREEN = {"off_screen": True}
"""For `extra` of a record that only a log file takes."""


WIDTH = 120
"""Characters of a line where there is no terminal: 80 would cut the tables."""


SENTENCE = 12
"""Characters from which a cell may be broken into lines."""


def say(text: str) -> None:
    """Tell a person something."""
    LOG.info(text)


def warn(text: str) -> None:
    """Say what is wrong."""
    LOG.error(text)


def print_table(table: pd.DataFrame, title: str) -> None:
    """Show a data frame, numbers rounded."""
    LOG.info(table_text(table, title), extra={"view": table_view(table, title)})


@contextmanager
def screen(
    console: Console | None = None,
    *,
    quiet: bool = False,
    verbose: bool = False,
    log_file: Path | None = None,
) -> Iterator[Console]:
    """Within, what is said is on a console, and with the time in the log file, if there is one.

    Args:
        console: standard output by default.
        quiet: only what is wrong is said, and that on standard error.
        verbose: each epoch is said.
        log_file: has all that would be said if the command were not quiet.

    Raises:
        UserError: the log file cannot be written.
    """
    shown = console or make_console(quiet)
    handlers = [] if log_file is None else [_log_file(log_file)]
    handlers.append(_Screen(Console(stderr=True) if quiet else shown))
    handlers[-1].setLevel(logging.WARNING if quiet else logging.DEBUG)
    before = LOG.level, LOG.propagate
    LOG.setLevel(logging.DEBUG if verbose else logging.INFO)
    LOG.propagate = False  # a program's own handlers would say everything twice
    for handler in handlers:
        LOG.addHandler(handler)
    try:
        yield shown
    except BaseException as error:
        LOG.error(f"ended by {type(error).__name__}: {error}", extra=OFF_SCREEN)
        raise
    finally:
        LOG.setLevel(before[0])
        LOG.propagate = before[1]
        for handler in handlers:
            LOG.removeHandler(handler)
            handler.close()


class _Screen(logging.Handler):
    """Prints on a console. rich's own handler breaks long lines, as commands to be copied are."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "off_screen", False):
            return
        if view := getattr(record, "view", None):
            self._console.print(view)
            return
        style = "bold red" if record.levelno >= logging.ERROR else None
        self._console.print(
            _text(record), markup=False, highlight=False, soft_wrap=True, style=style
        )


class _File(logging.FileHandler):
    """A log file; one that cannot be written any more ends the command."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        raise


class _Stamped(logging.Formatter):
    """The time before every line."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = self.formatTime(record, "%Y-%m-%d %H:%M:%S")
        return "\n".join(f"{stamp} {line}" for line in _text(record).splitlines())


def _text(record: logging.LogRecord) -> str:
    return printable(masked(record.getMessage()))


def _log_file(path: Path) -> logging.Handler:
    try:
        handler = _File(path, encoding="utf-8")
    except OSError as error:
        raise UserError(f"--log-file: cannot write {path}: {error.strerror}") from None
    handler.setFormatter(_Stamped())
    return handler


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


def in_notebook() -> bool:
    """Whether a notebook's kernel runs this process."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


def table_text(table: pd.DataFrame, title: str = "") -> str:
    """A data frame as `print_table` shows it where there is no terminal."""
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None, force_jupyter=False)
    with console.capture() as captured:
        console.print(table_view(table, title))
    return captured.get()


def table_view(table: pd.DataFrame, title: str = "") -> Table:
    """A data frame for a console, numbers rounded."""
    from normsweep.reporting.formats import for_people, is_numeric  # pandas, only if needed

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
    return view


def _longest(cells: Iterable[str]) -> int:
    return max((len(cell) for cell in cells), default=0)
