"""`normsweep ui`: a study in a browser, in MLflow's pages or in Optuna's dashboard."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from normsweep.errors import Interrupted, SweepError
from normsweep.plain import printable
from normsweep.secrets import masked
from normsweep.shell import Storage, StudyName, TrackingUri
from normsweep.stores import STORAGE, TRACKING

__all__ = ["ui"]

LOCAL = "127.0.0.1"


@dataclass(frozen=True)
class _Site:
    """A server to start, and the page of it to open."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    health: str
    page: str


def ui(
    sweep: Annotated[
        str | None, Parameter(help="A sweep file, the name of a shipped one, or a study's name.")
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
            help="Where browsers open MLflow, if not at the tracking URI.",
        ),
    ] = None,
    optuna: Annotated[
        bool, Parameter(negative=(), help="Optuna's dashboard instead of MLflow.")
    ] = False,
    host: Annotated[
        str, Parameter(help="The address to listen at; 0.0.0.0 lets other machines in.")
    ] = LOCAL,
    port: Annotated[int | None, Parameter(help="The port; one that is free by default.")] = None,
    browser: Annotated[
        bool, Parameter(negative="--no-browser", help="Open the page, where there is a desktop.")
    ] = True,
) -> int:
    """Show a study in a browser: MLflow's pages, in the view that the study prepared.

    Where the tracking URI is a server's, its page is opened; else a server is started, for as long
    as this command runs. Ctrl-C ends it.
    """
    from normsweep.serving import free_port

    study = study_name if study_name is not None else _study_of(sweep)
    if not optuna and tracking_uri.startswith(("http://", "https://")):
        from normsweep.tracking import find_page

        page = find_page(tracking_uri, study)
        _show(f"{(mlflow_page or tracking_uri).rstrip('/')}/{page}", browser)
        return 0
    make = _dashboard if optuna else _mlflow
    site = make(storage if optuna else tracking_uri, study)
    return _serve(site, host, free_port(host, port), browser)


def _study_of(sweep: str | None) -> str | None:
    """The study of a sweep, or the one that is called so."""
    from normsweep.parts import read_sweep
    from normsweep.sweep.loading import find_sweep

    if sweep is None:
        return None
    try:
        path = find_sweep(sweep)
    except SweepError:
        return sweep
    return read_sweep(path).name


def _mlflow(uri: str, study: str | None) -> _Site:
    from normsweep.tracking import find_page

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
    from normsweep.search import check_installed, load_study, study_names, study_page

    check_installed()
    names = study_names(storage)
    chosen = load_study(storage, study) if study is not None or len(names) == 1 else None
    return _Site(
        "Optuna's dashboard",
        [sys.executable, "-m", "normsweep.search.dashboard", "{host}", "{port}"],
        {"OPTUNA_STORAGE": storage},
        "dashboard/",
        study_page(chosen),
    )


def _serve(site: _Site, host: str, port: int, browser: bool) -> int:
    """Serve until a signal comes; that is how it should end."""
    from normsweep.driver.signals import Signals
    from normsweep.serving import serving

    command = [word.format(host=host, port=port) for word in site.command]
    reached = LOCAL if host == "0.0.0.0" else host
    address = f"http://{f'[{reached}]' if ':' in reached else reached}:{port}"
    more = [signal.SIGHUP] if hasattr(signal, "SIGHUP") else []  # the terminal was closed
    try:
        with Signals(*more) as signals, serving(command, site.environment) as server:
            with signals.waiting():
                server.answer(f"{address}/{site.health}")
            _show(f"{address}/{site.page}", browser)
            print(f"{site.name} runs until Ctrl-C", file=sys.stderr, flush=True)
            with signals.waiting():
                server.wait()
    except Interrupted:
        return 0
    return 1


def _show(address: str, browser: bool) -> None:
    print(printable(masked(address)), flush=True)
    if browser and _desktop():
        import webbrowser

        webbrowser.open(address)


def _desktop() -> bool:
    """Whether there is one: elsewhere a browser of the terminal would take it over."""
    shown = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    return shown or not sys.platform.startswith("linux")
