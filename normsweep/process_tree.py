"""Process trees: all processes that descend from one, found by an environment variable.

Unlike parent process IDs, the variable is inherited and so still identifies a process after its
parent has ended, on every platform.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress

import psutil

__all__ = ["kill_trees", "new_tree"]

VARIABLE = "NORMSWEEP_TREE"
"""Environment variable with the ID of a process tree; child processes inherit it."""


ROUNDS = 5
"""Repetitions, as a process may start another one before it is killed."""


def new_tree() -> dict[str, str]:
    """Environment variable of the first process of a new tree, with a new ID."""
    return {VARIABLE: uuid.uuid4().hex}


def kill_trees(environments: Iterable[dict[str, str]], grace: float = 0.0) -> None:
    """Kill all processes of the given trees.

    Args:
        environments: return values of `new_tree`.
        grace: seconds between SIGTERM and SIGKILL; 0: no SIGTERM.
    """
    trees = {environment[VARIABLE] for environment in environments}
    if grace:
        psutil.wait_procs(_signal(trees, psutil.Process.terminate), grace)
    for _ in range(ROUNDS):
        remaining = _signal(trees, psutil.Process.kill)
        if not remaining:
            return
        psutil.wait_procs(remaining, timeout=0.5)


def _signal(trees: set[str], send: Callable[[psutil.Process], None]) -> list[psutil.Process]:
    """Send a signal to all running processes of the trees; those that received it."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # ended, or owned by another user
            if (
                process.environ().get(VARIABLE) in trees
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                send(process)
                found.append(process)
    return found
