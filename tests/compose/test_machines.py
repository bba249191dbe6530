"""docker-compose.machines.yml: what differs where there are several machines."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
MACHINES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.machines.yml").read_text())


MACHINES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.machines.yml").read_text())


def test_several_machines_differ_in_rays_network_alone() -> None:
    assert set(MACHINES["services"]) == {"ray-head", "worker", "gpu-worker", "study"}
    for name in ("ray-head", "worker", "gpu-worker"):
        there, here = MACHINES["services"][name], SERVICES[name]
        assert there["network_mode"] == "host"
        own = {
            "--min-worker-port",
            "--max-worker-port",
            "--node-ip-address",
            "--object-manager-port",
        }
        words = [
            word.replace("${HEAD_IP:?set it in .env}:", "ray-head:") for word in there["command"]
        ]
        ours = [word for word in words if word.partition("=")[0] not in own]
        counted = ("--num-cpus=${", "--num-gpus", "--node-manager-port")
        assert [w for w in ours if not w.startswith(counted)] == [
            w for w in here["command"] if not w.startswith(counted)
        ]
        # The host's network has no ports to bind, and no names of Compose's.
        assert "ports" not in here
        assert "ray-head" not in str(there)


def test_the_head_and_a_worker_of_one_machine_listen_on_ports_of_their_own() -> None:
    def ports(name: str) -> set[int]:
        words = dict(w.split("=", 1) for w in MACHINES["services"][name]["command"] if "=" in w)
        single = {int(v) for k, v in words.items() if k.endswith("port") and "worker" not in k}
        return single | set(
            range(int(words["--min-worker-port"]), int(words["--max-worker-port"]) + 1)
        )

    assert not ports("ray-head") & ports("worker")
    assert 6380 in ports("worker")  # where the health check looks


def test_the_documented_ports_are_those_that_ray_is_given() -> None:
    docs = (ROOT / "docs" / "server.md").read_text()
    table = docs.partition("| port | on | for whom |")[2].partition("\n\n")[0]
    documented = set(re.findall(r"\d{4,5}", table))
    text = (ROOT / "docker-compose.machines.yml").read_text()
    assert documented == set(re.findall(r"port=(\d+)", text))
