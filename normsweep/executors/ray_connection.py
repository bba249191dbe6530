"""Connecting to a Ray cluster, and the capacity of its nodes.

The only module that imports Ray, and only if the executor is `ray`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from normsweep.errors import ClusterError
from normsweep.text import masked, reason, without_secrets
from normsweep.training.reproducibility import Device

__all__ = ["TrialResources", "capacity", "connect", "gpus_per_trial", "shortage"]

CONNECT_TIMEOUT = 10.0
"""Seconds that a connection to a cluster may take."""

START_FAILED, ATTEMPTS, PAUSE = "Starting Ray client server failed", 3, 2.0
"""The head's error if it could not start a process for us, attempts, seconds between them."""


@dataclass(frozen=True)
class TrialResources:
    """Resources of each trial, in Ray's units."""

    cpus: float
    gpus: float | None
    """None: one GPU if the cluster has any."""


def connect(address: str | None, cpus: int) -> Any:
    """Connect to a cluster and return Ray; without an address, start one here with so many CPUs."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
        import ray.exceptions
    except ImportError:
        raise ClusterError(
            "--executor: ray is not installed; run pip install 'normsweep[ray]', or use --executor "
            "processes or inline"
        ) from None
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        cpus = max(cpus, os.cpu_count() or 1)
        options |= {"address": "local", "include_dashboard": False, "num_cpus": cpus}
    else:
        _check_reachable(address)
        options |= {"address": address}
    try:
        with _keep_signal_handlers(), _hide_secrets():
            _init(ray, options)
    except Exception as error:
        raise _connection_error(address, reason(error, most=600)) from None
    return ray


def _init(ray: Any, options: dict[str, Any]) -> None:
    """Connect; retried, as a head occasionally fails to start its process for a client."""
    for left in reversed(range(ATTEMPTS)):
        try:
            ray.init(**options)
        except ConnectionAbortedError as error:
            if not left or START_FAILED not in str(error):
                raise
            time.sleep(PAUSE)
        else:
            return


def _check_reachable(address: str) -> None:
    """Raise an error if nothing listens at the address: Ray itself would retry for many minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal():
        return  # "auto" and other forms that Ray accepts
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT).close()
    except (OSError, OverflowError) as error:
        raise _connection_error(address, str(error)) from None


def _connection_error(address: str | None, why: str) -> ClusterError:
    cluster = masked(address) if address else "a new cluster on this machine"
    return ClusterError(
        f"--ray-address: cannot connect to {cluster}: {why}; use host:port or auto on a node of the "
        "cluster, ray://host:10001 from another machine, or no address to start a cluster here"
    )


@contextlib.contextmanager
def _keep_signal_handlers() -> Iterator[None]:
    """Restore the driver's signal handlers: Ray installs its own for SIGTERM when it connects."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _hide_secrets() -> Iterator[None]:
    """Remove secrets but Ray's own from the environment, which a cluster started here inherits."""
    before = dict(os.environ)
    for name in before.keys() - without_secrets(before).keys():
        if not name.startswith("RAY_"):
            del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(before)


def gpus_per_trial(ray: Any, device: Device, resources: TrialResources) -> float:
    """GPUs of each trial: as configured, otherwise one if the cluster has any."""
    if device == "cpu":
        return 0.0
    if resources.gpus is not None:
        return resources.gpus
    found = any(node["Resources"].get("GPU", 0) for node in ray.nodes() if node["Alive"])
    return 1.0 if found or device == "gpu" else 0.0


def capacity(ray: Any, each: TrialResources) -> int:
    """How many trials the live nodes can run in parallel."""
    needed = {"CPU": each.cpus, "GPU": each.gpus or 0.0}

    def on(resources: Mapping[str, float]) -> int:
        return min(int(resources.get(kind, 0) / n + 1e-9) for kind, n in needed.items() if n)

    return sum(on(node["Resources"]) for node in ray.nodes() if node["Alive"])


def shortage(ray: Any, each: TrialResources) -> str:
    """The error message if no node has the resources of a trial."""
    nodes = [
        f"{node['Resources'].get('CPU', 0):g} CPUs and {node['Resources'].get('GPU', 0):g} GPUs"
        for node in ray.nodes()
        if node["Alive"]
    ]
    return (
        f"execution.num_cpus, execution.num_gpus: no node of the cluster has the {each.cpus:g} CPUs "
        f"and {each.gpus or 0:g} GPUs of a trial; its nodes have {', '.join(nodes) or 'none'}; "
        "reduce them to what one node has"
    )
