"""A web server in a process of its own, which ends with us."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO

from normsweep.errors import StudyStopped, UserError

__all__ = ["Server", "free_port", "serving"]

STARTING = 120.0
"""Seconds that a server has until it answers."""
ENDING = 5.0
"""Seconds that it has to end by itself."""


def free_port(host: str, wanted: int | None) -> int:
    """The port that is wanted, or any that is free.

    Raises:
        UserError: it is taken, or the host is none of this machine's.
    """
    try:
        with socket.create_server((host, wanted or 0)) as probe:
            return int(probe.getsockname()[1])
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"--host, --port: received {host} and {wanted or 'any'}: {reason}; legal: an address of this "
            "machine, and a port from 1 to 65535 that is free, or none"
        ) from None


@contextmanager
def serving(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[Server]:
    """A server that has been started; it and all its processes end on leaving."""
    with tempfile.TemporaryFile() as log:
        # A session of its own: Ctrl-C is for us, and its whole family can be ended at once.
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield Server(process, log)
        finally:
            _end(process)


@dataclass(frozen=True)
class Server:
    """A server's process, and what it says."""

    process: subprocess.Popen[bytes]
    log: IO[bytes]

    def answer(self, health: str) -> None:
        """Wait until it answers at an address.

        Raises:
            StudyStopped: it ended, or did not in time; with its last words.
        """
        # No proxy stands between us and this machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        deadline = time.monotonic() + STARTING
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                opener.open(health, timeout=2).close()
                return
            except OSError:
                time.sleep(0.1)
        raise StudyStopped(f"the server did not start: {self._last_words()}")

    def wait(self) -> None:
        """Wait until it ends, which it should not by itself.

        Raises:
            StudyStopped: it did.
        """
        status = self.process.wait()
        raise StudyStopped(f"the server ended with status {status}: {self._last_words()}")

    def _last_words(self) -> str:
        self.log.seek(0)
        return self.log.read()[-1500:].decode(errors="replace").strip() or "it said nothing"


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(ENDING)
