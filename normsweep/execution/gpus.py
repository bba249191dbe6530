"""Which GPU a worker gets, and how much of it, where there are any."""

from __future__ import annotations

import os
import subprocess

from normsweep.training import Device

__all__ = ["seats", "share"]

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
    own = [{"CUDA_VISIBLE_DEVICES": gpu} | _part(memory, 1 / sharing) for gpu, memory in visible]
    return [own[job % len(visible)] for job in range(jobs)]


def share(gpus: float) -> dict[str, str]:
    """Environment variables of a worker that was given a part of the first GPU that is visible."""
    visible = _gpus() if gpus else []
    return _part(visible[0][1], gpus) if visible else {}


def _part(memory: int, part: float) -> dict[str, str]:
    """Keeping to a part of a GPU's memory, in MiB."""
    if part >= 1:
        return {}
    limits = {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{SHARE * part:.3f}"}
    if memory:
        limits["NORMSWEEP_GPU_MEMORY_MIB"] = str(int(memory * SHARE * part))
    return limits


def _gpus() -> list[tuple[str, int]]:
    """The NVIDIA GPUs that CUDA_VISIBLE_DEVICES leaves, each with its memory in MiB, 0 where none is told.

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
    lines = [[cell.strip() for cell in line.split(",")] for line in table.splitlines()]
    rows = [line for line in lines if len(line) == 3]  # the others are complaints
    # One whose memory is the machine's has none of its own to tell.
    memory = {name: int(row[2]) if row[2].isdecimal() else 0 for row in rows for name in row[:2]}
    names = [row[0] for row in rows] if visible is None else visible.split(",")
    return [(name.strip(), memory[name.strip()]) for name in names if name.strip() in memory]
