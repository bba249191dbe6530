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
from pathlib import Path
from typing import Any

from normsweep.secrets import masked
from normsweep.sweep.trial import Epoch, Trial

__all__ = ["Inbox", "Job", "Worker"]

Inbox = queue.SimpleQueue[tuple["Worker", Any]]


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
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115 (as long as the worker lives)
        # A session of its own: Ctrl-C in the terminal is the driver's to handle.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "normsweep.execution.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._printed,
            env=env,
            start_new_session=True,
        )
        threading.Thread(target=self._read, args=(inbox,), daemon=True).start()

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def memory(self) -> int:
        """Bytes of memory that the process holds; 0 where the system does not say."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        except (OSError, IndexError, ValueError):
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")

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
        """End the process and whatever it started."""
        if not self.ended:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                self._process.kill()
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
