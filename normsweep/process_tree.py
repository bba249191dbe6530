"""Process trees: whatever a process started is known by a mark in its environment, and ends with it.

A tree's processes are found although the one that started them has ended, on every system alike.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress

import psutil

__all__ = ["end_trees", "marked"]

MARK = "NORMSWEEP_TREE"
"""Environment variable that holds a tree's mark; children inherit it."""


ROUNDS = 5
"""How often a tree is looked through: a process may start another while it is ended."""


def marked() -> dict[str, str]:
    """Environment of the first process of a new tree: its mark is the one value."""
    return {MARK: uuid.uuid4().hex}


def end_trees(environments: Iterable[dict[str, str]], grace: float = 0.0) -> None:
    """Kill all processes of trees.

    Args:
        environments: as `marked` made them, of the trees.
        grace: seconds that they have to end by themselves, after they were asked to.
    """
    marks = {environment[MARK] for environment in environments}
    if grace:
        psutil.wait_procs(_each(marks, psutil.Process.terminate), grace)
    for _ in range(ROUNDS):
        left = _each(marks, psutil.Process.kill)
        if not left:
            return
        psutil.wait_procs(left, timeout=0.5)


def _each(marks: set[str], end: Callable[[psutil.Process], None]) -> list[psutil.Process]:
    """The processes of trees that still run, each told to end."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # gone, or somebody else's
            if process.environ().get(MARK) in marks and process.status() != psutil.STATUS_ZOMBIE:
                end(process)
                found.append(process)
    return found
