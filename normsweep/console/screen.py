"""All output goes through the logger `normsweep`, to the screen and to the log file.

Levels: DEBUG for each epoch, INFO for normal output, WARNING for what a quiet command prints, too,
ERROR for what is printed in red. A log record may have `view`, which a console shows instead of its
text, and `off_screen`, if the screen shows it in another way.
"""

from __future__ import annotations

import io
import logging
import re
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from normsweep.errors import StudyStopped, UserError
from normsweep.reporting.cells import is_numeric, printed
from normsweep.text import masked, printable

if TYPE_CHECKING:
    import pandas as pd

    from normsweep.reporting.rows import Rows

__all__ = [
    "LOG",
    "OFF_SCREEN",
    "WIDTH",
    "answer",
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
"""For `extra` of a log record that only goes to the log file."""


ANSWER = {"answer": True}
"""For `extra` of the log record that a quiet command prints on standard output."""


WIDTH = 120
"""Characters of a line if there is no terminal: 80 would cut the tables."""


NARROW = 80
"""Characters of a line on a terminal of unknown width."""


STAMP = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")
"""How each line of a log file begins."""


SENTENCE = 12
"""Characters from which a cell may be wrapped."""


def say(text: str) -> None:
    """Print a line."""
    LOG.info(text)


def answer(text: str) -> None:
    """Print the answer of a study, even if the command is quiet, on standard output."""
    LOG.info(text, extra=ANSWER)


def warn(text: str) -> None:
    """Print an error, even if the command is quiet."""
    LOG.error(text)


def print_table(table: Rows | pd.DataFrame, title: str) -> None:
    """Print a table with rounded numbers."""
    LOG.info(table_text(table, title), extra={"view": table_view(table, title)})


@contextmanager
def screen(
    console: Console | None = None,
    *,
    quiet: bool = False,
    verbose: bool = False,
    log_file: Path | None = None,
) -> Iterator[Console]:
    """A context in which output goes to a console and, with timestamps, to the log file if there is one.

    Args:
        console: standard output by default.
        quiet: print only the answer, and warnings and errors on standard error.
        verbose: print each epoch.
        log_file: gets everything that is printed without `quiet`.

    Raises:
        UserError: the log file cannot be written.
    """
    shown = console or make_console(quiet)
    handlers = [] if log_file is None else [_log_file(log_file)]
    handlers.append(_Screen(Console(stderr=True) if quiet else shown))
    handlers[-1].setLevel(logging.WARNING if quiet else logging.DEBUG)
    if quiet:
        handlers.append(_Screen(make_console()))
        handlers[-1].addFilter(lambda record: getattr(record, "answer", False))
    level = logging.DEBUG if verbose else logging.INFO
    _SCREENS.open(level)
    for handler in handlers:
        LOG.addHandler(handler)
    try:
        yield shown
    except BaseException as error:
        LOG.error(f"ended by {type(error).__name__}: {error}", extra=OFF_SCREEN)
        raise
    finally:
        for handler in handlers:
            LOG.removeHandler(handler)
            handler.close()
        _SCREENS.close(level)


class _Screens:
    """The logger's settings while there are screens: threads may open and close theirs in any order."""

    def __init__(self) -> None:
        self._lock, self._levels = threading.Lock(), list[int]()
        self._before = LOG.level, LOG.propagate

    def open(self, level: int) -> None:
        """Pass on messages from this level on, to the screens alone."""
        with self._lock:
            if not self._levels:
                self._before = LOG.level, LOG.propagate
            self._levels.append(level)
            LOG.setLevel(min(self._levels))
            LOG.propagate = False  # a program's own handlers would print everything twice

    def close(self, level: int) -> None:
        """Restore the logger after the last one."""
        with self._lock:
            self._levels.remove(level)
            LOG.setLevel(min(self._levels, default=self._before[0]))
            LOG.propagate = not self._levels and self._before[1]


_SCREENS = _Screens()


class _Screen(logging.Handler):
    """Prints on a console. rich's handler wraps long lines, which breaks commands to be copied."""

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
    """A log file; the command ends if it can no longer be written."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        error = sys.exception()
        why = error.strerror if isinstance(error, OSError) else error
        raise StudyStopped(
            f"--log-file: cannot write {self.baseFilename}: {why}; fix this and run the command again"
        ) from None

    def close(self) -> None:
        with suppress(OSError):  # what could not be written cannot be flushed either
            super().close()


class _Stamped(logging.Formatter):
    """Puts a timestamp before every line."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = self.formatTime(record, "%Y-%m-%d %H:%M:%S")
        return "\n".join(f"{stamp} {line}" for line in _text(record).splitlines())


def _text(record: logging.LogRecord) -> str:
    return printable(masked(record.getMessage()))


def _log_file(path: Path) -> logging.Handler:
    """A handler that appends to a log file of an earlier command, or to a new file.

    Raises:
        UserError: the file cannot be written, or is something else than a log.
    """
    try:
        if path.is_file() and path.stat().st_size and not _is_log(path):
            raise UserError(
                f"--log-file: must be a new file or an earlier log, got {path}, which is another file and is not changed"
            )
        handler = _File(path, encoding="utf-8")
    except OSError as error:
        raise UserError(f"--log-file: cannot write {path}: {error.strerror}") from None
    handler.setFormatter(_Stamped())
    return handler


def _is_log(path: Path) -> bool:
    with path.open("rb") as file:
        return STAMP.match(file.read(40)) is not None


def make_console(quiet: bool = False) -> Console:
    """Standard output, or no output if `quiet`; `WIDTH` columns if it is a file or a pipe."""
    notebook = in_notebook()  # its standard output claims to be a terminal
    console = Console(
        file=sys.stdout,
        width=None if sys.stdout and sys.stdout.isatty() and not notebook else WIDTH,
        quiet=quiet,
        force_jupyter=False,
        force_terminal=False if notebook else None,
    )
    if not console.width:  # COLUMNS=0, as some shells set it
        console.width = NARROW
    return console


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


def table_text(table: Rows | pd.DataFrame, title: str = "") -> str:
    """A table as `print_table` prints it if there is no terminal."""
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None, force_jupyter=False)
    with console.capture() as captured:
        console.print(table_view(table, title))
    return captured.get()


def table_view(table: Rows | pd.DataFrame, title: str = "") -> Table:
    """A data frame or rows as a table for a console, with rounded numbers."""
    shown = printed(table)
    view = Table(title=Text(printable(title), "bold") if title else None, title_justify="left")
    for name, cells in shown.items():
        justify = "right" if is_numeric(cells) else "left"
        view.add_column(
            name.replace("_", " "), justify=justify, min_width=min(_longest(cells), SENTENCE)
        )
    for row in zip(*shown.values(), strict=True):
        view.add_row(*map(Text, row))
    return view


def _longest(cells: Iterable[str]) -> int:
    return max((len(cell) for cell in cells), default=0)
