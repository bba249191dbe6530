from __future__ import annotations

from collections.abc import Callable

import pytest

from normsweep.executors.worker_handle import visible_gpus, worker_environments

TABLE = """0, GPU-aaaa, 24000
1, GPU-bbbb, 48000
"""


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, [("0", 24000), ("1", 48000)]),
        ("1", [("1", 48000)]),
        ("1,0", [("1", 48000), ("0", 24000)]),
        ("GPU-bbbb", [("GPU-bbbb", 48000)]),
        ("", []),
        ("-1", []),
    ],
)
def test_the_gpus_are_those_that_are_visible(visible, expected):
    assert visible_gpus(TABLE, visible) == expected


@pytest.fixture
def smi(monkeypatch, tmp_path) -> Callable[[str], None]:
    """Has nvidia-smi print a table."""

    def prints(table: str) -> None:
        tool = tmp_path / "nvidia-smi"
        tool.write_text(f"#!/bin/sh\ncat <<END\n{table}END\n")
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    return prints


def test_a_gpu_that_tells_no_memory_is_shared_without_a_limit(smi):
    smi("0, GPU-aaaa, [N/A]\nUnable to determine the device handle\n")
    only = {"CUDA_VISIBLE_DEVICES": "0", "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.450"}
    assert worker_environments("auto", 2) == [only, only]


def test_workers_without_a_gpu_have_nothing_to_share():
    assert worker_environments("cpu", 3) == [{}, {}, {}]


def test_workers_take_the_gpus_in_turn_and_share_their_memory(smi):
    smi(TABLE)
    four = worker_environments("auto", 4)
    assert [seat["CUDA_VISIBLE_DEVICES"] for seat in four] == ["0", "1", "0", "1"]
    assert [int(seat["NORMSWEEP_GPU_MEMORY_MIB"]) for seat in four] == [10800, 21600, 10800, 21600]
    assert all(seat["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.450" for seat in four)
    assert worker_environments("auto", 2) == [
        {"CUDA_VISIBLE_DEVICES": "0"},
        {"CUDA_VISIBLE_DEVICES": "1"},
    ]
    assert worker_environments("auto", 1) == [{}]
