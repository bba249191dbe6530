from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def two_nodes() -> Iterator[Any]:
    """A Ray cluster of two nodes on this machine, a CPU each, that tests connect to."""
    cluster = started_cluster(2)
    yield cluster
    cluster.shutdown()


@pytest.fixture
def make_cluster() -> Iterator[Callable[[int], Any]]:
    """Makes clusters of a test's own, whose nodes it may kill."""
    made: list[Any] = []

    def make(nodes: int) -> Any:
        made.append(started_cluster(nodes))
        return made[-1]

    yield make
    for cluster in made:
        cluster.shutdown()


def started_cluster(nodes: int) -> Any:
    """A Ray cluster on loopback; the first node is its head."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    for _ in range(nodes - 1):
        cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    return cluster
