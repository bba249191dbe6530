"""`normsweep ui`: a study in a browser, in MLflow or in Optuna's dashboard."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Annotated

from cyclopts import Parameter

from normsweep.errors import Interrupted, StudyStopped, SweepError, UserError
from normsweep.process_tree import kill_trees, new_tree
from normsweep.shell import Storage, StudyName, TrackingUri
from normsweep.text import masked, printable
from normsweep.urls import STORAGE, TRACKING

__all__ = ["Server", "free_port", "serving", "ui"]

LOCAL = "127.0.0.1"


START_TIMEOUT = 120.0
"""Seconds that a server may take to start."""


STOP_TIMEOUT = 5.0
"""Seconds that it may take to stop before it is killed."""


@dataclass(frozen=True)
class _Site:
    """A server to start, and the page to open."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    health: str
    page: str


def ui(
    sweep: Annotated[
        str | None,
        Parameter(help="Sweep file, name of an included sweep, or name of a study."),
    ] = None,
    /,
    *,
    study_name: StudyName = None,
    storage: Storage = STORAGE,
    tracking_uri: TrackingUri = TRACKING,
    mlflow_page: Annotated[
        str | None,
        Parameter(
            env_var="NORMSWEEP_MLFLOW_PAGE",
            help="Address of MLflow in a browser, if not the tracking URI.",
        ),
    ] = None,
    optuna: Annotated[
        bool, Parameter(negative=(), help="Open Optuna's dashboard instead of MLflow.")
    ] = False,
    host: Annotated[
        str, Parameter(help="Address to listen on; 0.0.0.0 accepts other machines.")
    ] = LOCAL,
    port: Annotated[int | None, Parameter(help="Port to listen on; a free one by default.")] = None,
    browser: Annotated[
        bool, Parameter(negative="--no-browser", help="Open the page if there is a desktop.")
    ] = True,
) -> int:
    """Open a study in a browser, in MLflow or in Optuna's dashboard.

    If the tracking URI is a server, its page is opened; otherwise a server is started, which runs until Ctrl-C.
    """

    study = study_name if study_name is not None else _study_of(sweep)
    if not optuna and tracking_uri.startswith(("http://", "https://")):
        from normsweep.tracking.views import find_page

        page = find_page(tracking_uri, study)
        _open_page(f"{(mlflow_page or tracking_uri).rstrip('/')}/{page}", browser)
        return 0
    make = _dashboard if optuna else _mlflow
    site = make(storage if optuna else tracking_uri, study)
    return _serve(site, host, free_port(host, port), browser)


def _study_of(sweep: str | None) -> str | None:
    """The name of a sweep's study, or the name itself if there is no such sweep."""
    from normsweep.parts.catalog import read_sweep
    from normsweep.sweep.loading import find_sweep

    if sweep is None:
        return None
    try:
        path = find_sweep(sweep)
    except SweepError:
        return sweep
    return read_sweep(path).name


def _mlflow(uri: str, study: str | None) -> _Site:
    from normsweep.tracking.views import find_page

    return _Site(
        "MLflow",
        [
            sys.executable,
            "-m",
            "mlflow",
            "server",
            "--workers",
            "1",
            "--host={host}",
            "--port={port}",
        ],
        {
            "MLFLOW_BACKEND_STORE_URI": uri,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        },
        "health",
        find_page(uri, study),
    )


def _dashboard(storage: str, study: str | None) -> _Site:
    from normsweep.store.dashboard import check_installed, study_page
    from normsweep.store.storage import load_study, study_names

    check_installed()
    names = study_names(storage)
    chosen = load_study(storage, study) if study is not None or len(names) == 1 else None
    return _Site(
        "Optuna's dashboard",
        [sys.executable, "-m", "normsweep.store.dashboard", "{host}", "{port}"],
        {"OPTUNA_STORAGE": storage},
        "dashboard/",
        study_page(chosen),
    )


def _serve(site: _Site, host: str, port: int, browser: bool) -> int:
    """Serve until a signal, which is the normal end (exit status 0)."""
    from normsweep.runner.interrupts import Signals

    command = [word.format(host=host, port=port) for word in site.command]
    reached = LOCAL if host == "0.0.0.0" else host
    address = f"http://{f'[{reached}]' if ':' in reached else reached}:{port}"
    more = [signal.SIGHUP] if hasattr(signal, "SIGHUP") else []  # the terminal was closed
    try:
        with Signals(*more) as signals, serving(command, site.environment) as server:
            with signals.waiting():
                server.answer(f"{address}/{site.health}")
            _open_page(f"{address}/{site.page}", browser)
            print(f"{site.name} is running; stop it with Ctrl-C", file=sys.stderr, flush=True)
            with signals.waiting():
                server.wait()
    except Interrupted:
        return 0
    return 1


def _open_page(address: str, browser: bool) -> None:
    print(printable(masked(address)), flush=True)
    if browser and _desktop():
        import webbrowser

        webbrowser.open(address)


def _desktop() -> bool:
    """Whether there is a desktop: otherwise a text browser would open in the terminal."""
    shown = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    return shown or not sys.platform.startswith("linux")


def free_port(host: str, wanted: int | None) -> int:
    """The port `wanted`, or a free one if it is None.

    Raises:
        UserError: the port is in use, or the host is not an address of this machine.
    """
    try:
        with socket.create_server((host, wanted or 0)) as probe:
            return int(probe.getsockname()[1])
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"--host, --port: must be an address of this machine and a free port from 1 to 65535, or no "
            f"port, got {host} and {wanted or 'no port'}: {reason}"
        ) from None


@contextmanager
def serving(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[Server]:
    """A context with a running server; on exit, the server and all of its processes are stopped."""
    tree = new_tree()
    with tempfile.TemporaryFile() as log:
        # In its own session, so that Ctrl-C reaches only this process.
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment, **tree},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield Server(process, log)
        finally:
            kill_trees([tree], STOP_TIMEOUT)
            process.wait()


@dataclass(frozen=True)
class Server:
    """A server's process and its output."""

    process: subprocess.Popen[bytes]
    log: IO[bytes]

    def answer(self, health: str) -> None:
        """Wait until the server answers at the address `health`.

        Raises:
            StudyStopped: it ended, or did not answer in time; with the end of its output.
        """
        # Requests to this machine must not use a proxy.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                opener.open(health, timeout=2).close()
                return
            except OSError:
                time.sleep(0.1)
        raise StudyStopped(f"the server did not start: {self._last_output()}")

    def wait(self) -> None:
        """Wait until a signal interrupts the wait.

        Raises:
            StudyStopped: the server ended.
        """
        status = self.process.wait()
        raise StudyStopped(f"the server ended with status {status}: {self._last_output()}")

    def _last_output(self) -> str:
        self.log.seek(0)
        return self.log.read()[-1500:].decode(errors="replace").strip() or "no output"
