"""Running complete commands, normsweep's and the opponent's, in a separate folder."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from normsweep.errors import StudyStopped

__all__ = ["Mark", "environment", "followed", "seconds", "started"]


@dataclass(frozen=True)
class Mark:
    """Measurements of a study's driver after a trial."""

    trials: int
    seconds: float
    """Seconds since the start of the command."""
    processor: float
    """CPU time of the driver in seconds, over all threads."""
    driver: int
    worker: int
    """Memory of the driver and of its worker in bytes."""


def environment(tree: Path | None = None) -> dict[str, str]:
    """The environment of a command that runs in another folder but imports a working tree, by default this."""
    tree = (tree or Path.cwd()).absolute()
    paths = os.pathsep.join([str(tree), *filter(None, [os.environ.get("PYTHONPATH")])])
    left = ("OPTUNA_STORAGE", "MLFLOW_TRACKING_URI", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if name not in left}
    return {**kept, "PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "3"}


def started(
    folder: Path,
    arguments: Sequence[str],
    stdout: int = subprocess.DEVNULL,
    tree: Path | None = None,
) -> subprocess.Popen[str]:
    """Start `python ARGUMENTS` in a folder; standard error is saved for error messages.

    `tree`: the working tree that it imports, by default this one.
    """
    with (folder / "errors.txt").open("w") as errors:
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            stdout=stdout,
            stderr=errors,
            text=True,
            env=environment(tree),
        )


def seconds(folder: Path, arguments: Sequence[str], tree: Path | None = None) -> float:
    """Wall time of a command in seconds.

    Raises:
        StudyStopped: the command failed.
    """
    began = time.monotonic()
    if started(folder, arguments, tree=tree).wait():
        raise StudyStopped(f"{arguments}: {(folder / 'errors.txt').read_text()[-2000:]}")
    return time.monotonic() - began


def followed(
    folder: Path, arguments: Sequence[str], total: int, tree: Path | None = None
) -> Iterator[Mark]:
    """Run a study; yields a mark at each trial of the phase with at least `total` trials.

    Raises:
        StudyStopped: the command failed.
    """
    began = time.monotonic()
    process = started(folder, arguments, subprocess.PIPE, tree)
    assert process.stdout is not None
    for line in process.stdout:
        done, _, planned = line.split(" ", 1)[0].partition("/")
        if done.isdigit() and planned.isdigit() and int(planned) >= total:
            memory = _memory(process.pid), max(map(_memory, _children(process.pid)), default=0)
            clocks = time.monotonic() - began, _processor(process.pid)
            yield Mark(int(done), *clocks, *memory)
    if process.wait():
        raise StudyStopped(f"{arguments}: {(folder / 'errors.txt').read_text()[-2000:]}")


def _children(pid: int) -> list[int]:
    """The child processes; the worker is the largest."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


def _processor(pid: int) -> float:
    path = Path(f"/proc/{pid}/stat")
    if not path.exists():
        return 0.0
    user, system = path.read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
