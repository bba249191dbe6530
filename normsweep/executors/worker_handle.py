"""A worker process as the driver sees it: its pipes, its job, how it ended."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from typing import IO, Any

import psutil

from normsweep.process_tree import end_trees, marked
from normsweep.sweep.trial import Epoch, Trial
from normsweep.text import masked
from normsweep.training.reproducibility import Device

__all__ = ["Inbox", "Job", "Worker", "kill", "seats", "share"]

Inbox = queue.SimpleQueue[tuple["Worker", Any]]


SHARE = 0.9
"""Of a GPU's memory for all workers on it together; the rest is the driver library's own."""


class Job:
    """The trial that a worker is at."""

    def __init__(self, trial: Trial, clock: float) -> None:
        self.trial = trial
        self.curve: list[Epoch] = []
        self.started = time.time()
        self.clock = clock
        """Monotonic time from which it counts: when the worker has, or should have, taken it up."""


class Worker:
    """A process, the thread that reads from it, and the file that takes what it prints."""

    def __init__(self, env: dict[str, str], inbox: Inbox) -> None:
        self.job: Job | None = None
        self.spoke = False
        """Whether it has said anything yet: its imports take a while."""
        self.tree = marked()
        self._printed: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (as long as the worker lives)
        # A session of its own: Ctrl-C in the terminal is the driver's to handle.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "normsweep.executors.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._printed,
            env={**env, **self.tree},
            start_new_session=True,
        )
        threading.Thread(target=self._read, args=(inbox,), daemon=True).start()

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def memory(self) -> int:
        """Bytes of memory that the process holds; 0 where it is gone."""
        try:
            return psutil.Process(self.pid).memory_info().rss
        except psutil.Error:
            return 0

    @property
    def ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def send(self, message: Any) -> None:
        """Write a message; that the process is gone is told by its last message, None."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ValueError):
            pickle.dump(message, self._process.stdin)
            self._process.stdin.flush()

    def kill(self) -> None:
        """End the process and whatever it started, also where it has ended itself."""
        kill([self])

    def end(self) -> None:
        """End the process alone."""
        self._process.kill()  # does nothing where it has ended
        self._process.wait()
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def last_words(self) -> str:
        """How the process ended, and the end of what it printed."""
        try:
            code = self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:  # alive, but what it says cannot be read
            self.kill()
            code = self._process.wait()
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        self._printed.seek(0)
        printed = masked(self._printed.read().decode(errors="replace")).strip()
        return f"{how}\n{printed[-1500:]}".strip()

    def _read(self, inbox: Inbox) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            while True:
                try:
                    inbox.put((self, pickle.load(stream)))
                except Exception:  # the end of the stream, in the middle of a message or not
                    inbox.put((self, None))
                    return


def kill(workers: Iterable[Worker]) -> None:
    """End worker processes and whatever they started, also of those that have ended themselves."""
    workers = list(workers)
    for worker in workers:
        worker.end()
    if workers:
        end_trees(worker.tree for worker in workers)


def seats(device: Device, jobs: int) -> list[dict[str, str]]:
    """Environment variables of each of `jobs` workers: GPUs in turn, memory in equal parts.

    Empty where no GPU is seen or wanted. Without a limit the first worker on a GPU could take all
    of its memory.
    """
    visible = [] if device == "cpu" else _gpus()
    if not visible or jobs == 1:
        return [{} for _ in range(jobs)]
    sharing = -(-jobs // len(visible))
    own = [{"CUDA_VISIBLE_DEVICES": gpu} | _part(memory, 1 / sharing) for gpu, memory in visible]
    return [own[job % len(visible)] for job in range(jobs)]


def share(gpus: float) -> dict[str, str]:
    """Environment variables of a worker that was given a part of the first GPU that is visible."""
    visible = _gpus() if gpus else []
    return _part(visible[0][1], gpus) if visible else {}


def _part(memory: int, part: float) -> dict[str, str]:
    """Keeping to a part of a GPU's memory, in MiB."""
    if part >= 1:
        return {}
    limits = {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{SHARE * part:.3f}"}
    if memory:
        limits["NORMSWEEP_GPU_MEMORY_MIB"] = str(int(memory * SHARE * part))
    return limits


def _gpus() -> list[tuple[str, int]]:
    """The NVIDIA GPUs that CUDA_VISIBLE_DEVICES leaves, each with its memory in MiB, 0 where none is told.

    Asked of the driver's own tool: the driver process imports no backend.
    """
    query = ["nvidia-smi", "--query-gpu=index,uuid,memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return listed(done.stdout, os.environ.get("CUDA_VISIBLE_DEVICES"))


def listed(table: str, visible: str | None) -> list[tuple[str, int]]:
    """The GPUs of nvidia-smi's table that are visible, in the order of CUDA_VISIBLE_DEVICES."""
    lines = [[cell.strip() for cell in line.split(",")] for line in table.splitlines()]
    rows = [line for line in lines if len(line) == 3]  # the others are complaints
    # One whose memory is the machine's has none of its own to tell.
    memory = {name: int(row[2]) if row[2].isdecimal() else 0 for row in rows for name in row[:2]}
    names = [row[0] for row in rows] if visible is None else visible.split(",")
    return [(name.strip(), memory[name.strip()]) for name in names if name.strip() in memory]
