"""Ray itself: connecting to a cluster, and what its nodes have room for.

The only module that imports Ray, and only when a cluster is asked for.
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

__all__ = ["Share", "connected", "gpus_each", "reason", "room", "too_small"]

REACH = 10.0
"""Seconds that a connection to a cluster may take."""


UNSTARTED, ATTEMPTS, PAUSE = "Starting Ray client server failed", 3, 2.0
"""What a head says that could not start a process for us, how often to ask, seconds in between."""


@dataclass(frozen=True)
class Share:
    """Of a node, what each trial is given: as Ray counts it."""

    cpus: float
    gpus: float | None
    """None: one GPU where the cluster has any."""


def connected(address: str | None, cpus: int) -> Any:
    """Ray, connected; where no address is given to a cluster of this machine, with so many CPUs."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
        import ray.exceptions
    except ImportError:
        raise ClusterError(
            "--executor: received ray, which is not installed; legal: processes or inline, or ray "
            "after pip install normsweep[ray]"
        ) from None
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        cpus = max(cpus, os.cpu_count() or 1)
        options |= {"address": "local", "include_dashboard": False, "num_cpus": cpus}
    else:
        _reach(address)
        options |= {"address": address}
    try:
        with _our_signals(), _no_secrets():
            _init(ray, options)
    except Exception as error:
        raise _unreached(address, reason(error, most=600)) from None
    return ray


def _init(ray: Any, options: dict[str, Any]) -> None:
    """Connect; a head may fail to start its process for us now and then, and is asked again."""
    for left in reversed(range(ATTEMPTS)):
        try:
            ray.init(**options)
        except ConnectionAbortedError as error:
            if not left or UNSTARTED not in str(error):
                raise
            time.sleep(PAUSE)
        else:
            return


def _reach(address: str) -> None:
    """Raise where nothing listens at the address: Ray itself would try for many minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal():
        return  # auto, or whatever else Ray knows
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH).close()
    except (OSError, OverflowError) as error:
        raise _unreached(address, str(error)) from None


def _unreached(address: str | None, why: str) -> ClusterError:
    received = masked(address) if address else "none"
    return ClusterError(
        f"--ray-address: received {received}: {why}; legal: host:port or auto on a node of the cluster, "
        "ray://host:10001 from elsewhere, or none, which starts a cluster on this machine"
    )


@contextlib.contextmanager
def _our_signals() -> Iterator[None]:
    """Ray takes SIGTERM for itself when it connects: it stays the driver's."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _no_secrets() -> Iterator[None]:
    """A cluster that is started here inherits our environment: with its own token, no other one."""
    before = dict(os.environ)
    for name in before.keys() - without_secrets(before).keys():
        if not name.startswith("RAY_"):
            del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(before)


def gpus_each(ray: Any, device: Device, share: Share) -> float:
    if device == "cpu":
        return 0.0
    if share.gpus is not None:
        return share.gpus
    there = any(node["Resources"].get("GPU", 0) for node in ray.nodes() if node["Alive"])
    return 1.0 if there or device == "gpu" else 0.0


def room(ray: Any, share: Share) -> int:
    """How many trials the nodes that are there can run side by side."""
    asked = {"CPU": share.cpus, "GPU": share.gpus or 0.0}

    def on(resources: Mapping[str, float]) -> int:
        return min(int(resources.get(kind, 0) / n + 1e-9) for kind, n in asked.items() if n)

    return sum(on(node["Resources"]) for node in ray.nodes() if node["Alive"])


def too_small(ray: Any, share: Share) -> str:
    nodes = [
        f"{node['Resources'].get('CPU', 0):g} CPUs and {node['Resources'].get('GPU', 0):g} GPUs"
        for node in ray.nodes()
        if node["Alive"]
    ]
    return (
        f"execution.num_cpus, execution.num_gpus: each trial wants {share.cpus:g} CPUs and "
        f"{share.gpus or 0:g} GPUs, and no node of the cluster has them; its nodes have "
        f"{', '.join(nodes) or 'nothing'}; legal: as much as one of them has"
    )
