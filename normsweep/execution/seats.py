"""Which GPU a worker gets, and how much of it, where there are any."""

from __future__ import annotations

import os
import subprocess

from normsweep.training import Device

__all__ = ["seats"]

SHARE = 0.9
"""Of a GPU's memory for all workers on it together; the rest is the driver library's own."""


def seats(device: Device, jobs: int) -> list[dict[str, str]]:
    """Environment variables of each of `jobs` workers: GPUs in turn, memory in equal parts.

    Empty where no GPU is seen or wanted. Without a limit the first worker on a GPU could take all
    of its memory.
    """
    visible = [] if device == "cpu" else _gpus()
    if not visible or jobs == 1:
        return [{} for _ in range(jobs)]
    sharing = -(-jobs // len(visible))
    return [_seat(*visible[job % len(visible)], sharing) for job in range(jobs)]


def _seat(gpu: str, memory: int, sharing: int) -> dict[str, str]:
    own = {"CUDA_VISIBLE_DEVICES": gpu}
    if sharing > 1:
        own["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{SHARE / sharing:.3f}"
        own["NORMSWEEP_GPU_MEMORY_MIB"] = str(int(memory * SHARE / sharing))
    return own


def _gpus() -> list[tuple[str, int]]:
    """The NVIDIA GPUs that CUDA_VISIBLE_DEVICES leaves, each with its memory in MiB.

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
    rows = [[cell.strip() for cell in line.split(",")] for line in table.splitlines() if line]
    memory = {name: int(row[2]) for row in rows for name in row[:2]}
    names = [row[0] for row in rows] if visible is None else visible.split(",")
    return [(name.strip(), memory[name.strip()]) for name in names if name.strip() in memory]
