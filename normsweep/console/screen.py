"""How much a person is told, and where else it is written: `--quiet`, `--verbose`, `--log-file`."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import pandas as pd
from rich.console import Console
from rich.control import Control
from rich.table import Table
from rich.text import Text

from normsweep.errors import UserError
from normsweep.reporting.formats import for_people, is_numeric
from normsweep.text import masked, printable

__all__ = ["WIDTH", "Screen", "make_console", "print_table", "screen", "table_text"]

WIDTH = 120
"""Characters of a line where there is no terminal: 80 would cut the tables."""


SENTENCE = 12
"""Characters from which a cell may be broken into lines."""


class Screen(Console):
    """A console whose every word is in a log file too, if there is one, however quiet it is itself."""

    def __init__(self, quiet: bool = False, verbose: bool = False, log: Console | None = None):
        super().__init__(width=None if sys.stdout.isatty() else WIDTH, quiet=quiet)
        self.verbose, self.log_console = verbose, log

    def print(self, *objects: Any, **style: Any) -> None:
        """As a console's."""
        super().print(*objects, **style)
        if self.log_console is not None and not all(isinstance(o, Control) for o in objects):
            self.log_console.print(*objects, **style)

    def warn(self, text: str) -> None:
        """Say what is wrong: on standard error where this is quiet."""
        shown: dict[str, Any] = {"markup": False, "highlight": False, "style": "bold red"}
        self.print(printable(text), **shown)
        if self.quiet:
            Console(stderr=True, soft_wrap=True).print(printable(text), **shown)


@contextmanager
def screen(quiet: bool, verbose: bool, log_file: Path | None) -> Iterator[Screen]:
    """What a command tells a person; how it ends is in the log file too.

    Raises:
        UserError: the log file cannot be written.
    """
    if log_file is None:
        yield Screen(quiet, verbose)
        return
    try:
        opened = log_file.open("a", encoding="utf-8")
    except OSError as error:
        raise UserError(f"--log-file: cannot write {log_file}: {error.strerror}") from None
    with opened as file:
        stamped = cast("IO[str]", _Stamped(file))
        log = Console(file=stamped, width=WIDTH, color_system=None, force_terminal=False)
        try:
            yield Screen(quiet, verbose, log)
        except BaseException as error:
            kind = type(error).__name__
            log.print(printable(masked(f"ended by {kind}: {error}")), markup=False, soft_wrap=True)
            raise


class _Stamped(io.TextIOBase):
    """A file whose every line begins with the time, and is there at once."""

    def __init__(self, file: IO[str]) -> None:
        self._file, self._begun = file, False

    def write(self, text: str) -> int:
        for line in text.splitlines(keepends=True):
            stamp = "" if self._begun else time.strftime("%Y-%m-%d %H:%M:%S ")
            self._file.write(stamp + line)
            self._begun = not line.endswith("\n")
        self._file.flush()
        return len(text)


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
