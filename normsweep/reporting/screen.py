"""How much a person is told, and where else it is written: `--quiet`, `--verbose`, `--log-file`."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from rich.console import Console
from rich.control import Control

from normsweep.errors import UserError
from normsweep.plain import printable
from normsweep.secrets import masked

__all__ = ["WIDTH", "Screen", "screen"]

WIDTH = 120
"""Characters of a line where there is no terminal: 80 would cut the tables."""


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
