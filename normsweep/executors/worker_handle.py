"""`Worker`: a worker process as the driver sees it, and the GPUs of each worker."""

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
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import IO, Any

import psutil

from normsweep.process_tree import kill_trees, new_tree
from normsweep.sweep.trial import Epoch, Trial
from normsweep.text import masked
from normsweep.training.reproducibility import Device

__all__ = [
    "Inbox",
    "Job",
    "Jobs",
    "Worker",
    "gpu_share",
    "has_gpus",
    "is_free",
    "kill_workers",
    "visible_gpus",
    "worker_environments",
]

Inbox = queue.SimpleQueue[tuple["Worker", Any]]


USABLE = 0.9
"""Fraction of a GPU's memory for all of its workers; the driver library needs the rest."""


ENDING = 10.0
"""Seconds that a process whose messages have ended may take to end itself."""


class Job:
    """A trial that a worker trains."""

    def __init__(self, trial: Trial, message: Any = None) -> None:
        """`message`: what was sent to the worker, if it may hand that back."""
        self.trial, self.message = trial, message
        self.curve: list[Epoch] = []
        self.started = time.time()
        self.began: float | None = None
        """Monotonic time at which the worker began it; None: it has not yet."""


class Jobs:
    """The trials of a worker: one, or those that it trains together."""

    def __init__(self, stack: int) -> None:
        """`stack`: how many trials of one structure it may train together."""
        self._stack, self._jobs = stack, dict[int, Job]()
        self.alone = False
        """Whether its trial is to have no others beside it."""

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        return iter(list(self._jobs.values()))

    def __contains__(self, trial: int) -> bool:
        return trial in self._jobs

    def __getitem__(self, trial: int) -> Job:
        return self._jobs[trial]

    def get(self, trial: int) -> Job | None:
        """The job of a trial, if it is here."""
        return self._jobs.get(trial)

    def add(self, job: Job, alone: bool = False) -> None:
        """Take a job in."""
        self._jobs[job.trial.number], self.alone = job, alone

    def remove(self, trial: int) -> None:
        """Forget a job."""
        self._jobs.pop(trial, None)
        self.alone = self.alone and bool(self._jobs)

    def clear(self) -> None:
        """Forget all."""
        self._jobs.clear()
        self.alone = False

    def alike(self, trial: Trial) -> int:
        """How many of them may share a program with a trial."""
        return sum(job.trial.structure == trial.structure for job in self)

    def room(self, trial: Trial, alone: bool = False) -> bool:
        """Whether there is room for a trial."""
        if not self._jobs:
            return True
        alone = alone or self.alone or any(t.by_itself for t in (trial, *(j.trial for j in self)))
        return not alone and self._stack > 1 and self.alike(trial) < self._stack


def is_free(trials: Iterable[Trial], workers: int, stack: int) -> bool:
    """Whether workers with these trials, waiting ones among them, can have another one.

    In stacks there may be twice as many as workers have slots: trials of two structures fill them both. A
    trial that is trained by itself takes a whole worker.
    """
    trials = list(trials)
    if stack == 1:
        return len(trials) < workers
    alike = Counter[str]()
    for trial in trials:
        alike[trial.structure] += stack if trial.by_itself else 1
    slots = stack * workers
    return max(alike.values(), default=0) < slots and alike.total() < 2 * slots


class Worker:
    """A process, the thread that reads its messages, and the file with its printed output."""

    def __init__(self, env: dict[str, str], inbox: Inbox, stack: int = 1) -> None:
        self.jobs = Jobs(stack)
        self.responded = False
        """Whether it has sent a message yet: its imports take a while."""
        self.due = 0.0
        """Monotonic time at which it should have begun one of its trials, at the latest."""
        self.tree = new_tree()
        self._printed: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (as long as the worker lives)
        # Its own session, so that Ctrl-C in the terminal only reaches the driver.
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
        """The process ID."""
        return self._process.pid

    @property
    def memory(self) -> int:
        """Resident memory of the process in bytes; 0 if it has ended."""
        try:
            return psutil.Process(self.pid).memory_info().rss
        except psutil.Error:
            return 0

    @property
    def clocks(self) -> dict[Job, float]:
        """Monotonic time at which the time limit of a trial began: when it did, or the first one should have."""
        begun = {job: job.began for job in self.jobs if job.began is not None}
        return begun or dict.fromkeys(self.jobs, self.due)

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def send(self, message: Any) -> None:
        """Send a message; ignored if the process has ended, which the inbox reports as None."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ValueError):
            pickle.dump(message, self._process.stdin)
            self._process.stdin.flush()

    def kill(self) -> None:
        """Kill the process and all processes it started, even if it has already ended."""
        kill_workers([self])

    def kill_process(self) -> None:
        """Kill the process, but not its children."""
        self._process.kill()  # no-op if it has ended
        self._process.wait()
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def exit_report(self) -> str:
        """How the process ended, and the last lines of its output."""
        try:
            code = self._process.wait(timeout=ENDING)
        except subprocess.TimeoutExpired:  # alive, but its messages cannot be read
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
                except Exception:  # the stream has ended, possibly within a message
                    inbox.put((self, None))
                    return


def kill_workers(workers: Iterable[Worker]) -> None:
    """Kill worker processes and all processes they started, even if they have already ended."""
    workers = list(workers)
    for worker in workers:
        worker.kill_process()
    if workers:
        kill_trees(worker.tree for worker in workers)


def worker_environments(device: Device, jobs: int) -> list[dict[str, str]]:
    """Environment variables of each of `jobs` workers: GPUs in turn, their memory in equal parts.

    Empty if there is no GPU or none is used. Without a limit the first worker on a GPU could take
    all of its memory.
    """
    visible = [] if device == "cpu" else _gpus()
    if not visible or jobs == 1:
        return [{} for _ in range(jobs)]
    sharing = -(-jobs // len(visible))
    own = [
        {"CUDA_VISIBLE_DEVICES": gpu} | _memory_limit(memory, 1 / sharing)
        for gpu, memory in visible
    ]
    return [own[job % len(visible)] for job in range(jobs)]


def gpu_share(gpus: float) -> dict[str, str]:
    """Environment variables of a worker that has a fraction of the first visible GPU."""
    visible = _gpus() if gpus else []
    return _memory_limit(visible[0][1], gpus) if visible else {}


def _memory_limit(memory: int, fraction: float) -> dict[str, str]:
    """Environment variables that limit a worker to a fraction of a GPU's memory, in MiB."""
    if fraction >= 1:
        return {}
    limits = {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{USABLE * fraction:.3f}"}
    if memory:
        limits["NORMSWEEP_GPU_MEMORY_MIB"] = str(int(memory * USABLE * fraction))
    return limits


def has_gpus() -> bool:
    """Whether this machine has a GPU that workers may use."""
    return bool(_gpus())


def _gpus() -> list[tuple[str, int]]:
    """The NVIDIA GPUs in CUDA_VISIBLE_DEVICES, each with its memory in MiB, 0 if unknown.

    From nvidia-smi, as the driver process imports no backend.
    """
    query = ["nvidia-smi", "--query-gpu=index,uuid,memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return visible_gpus(done.stdout, os.environ.get("CUDA_VISIBLE_DEVICES"))


def visible_gpus(table: str, visible: str | None) -> list[tuple[str, int]]:
    """The visible GPUs of nvidia-smi's table, in the order of CUDA_VISIBLE_DEVICES."""
    lines = [[cell.strip() for cell in line.split(",")] for line in table.splitlines()]
    rows = [line for line in lines if len(line) == 3]  # other lines are warnings
    # A GPU that shares the machine's memory reports none.
    memory = {name: int(row[2]) if row[2].isdecimal() else 0 for row in rows for name in row[:2]}
    names = [row[0] for row in rows] if visible is None else visible.split(",")
    return [(name.strip(), memory[name.strip()]) for name in names if name.strip() in memory]
