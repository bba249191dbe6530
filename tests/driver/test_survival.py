"""What a study survives: the driver killed at random moments, workers lost in every way."""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest

_spec = importlib.util.spec_from_file_location("survival", Path(__file__).parent / "survival.py")
assert _spec is not None
assert _spec.loader is not None
survival = importlib.util.module_from_spec(_spec)
import sys  # noqa: E402

sys.modules["survival"] = survival
_spec.loader.exec_module(survival)
Survivor = survival.Survivor


def workers() -> list[int]:
    """The worker processes of this machine."""
    found = subprocess.run(
        ["pgrep", "-f", "normsweep.execution.worker"], capture_output=True, text=True, check=False
    )
    return [int(pid) for pid in found.stdout.split()]


def children(pid: int) -> list[int]:
    found = subprocess.run(
        ["pgrep", "-P", str(pid), "-f", "normsweep.execution.worker"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return [int(child) for child in found.stdout.split()]


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_driver_killed_now_and_then_loses_nothing(tmp_path, jobs):
    study = Survivor(tmp_path, options=("--n-jobs", str(jobs)))
    study.kill_at_random(3, np.random.default_rng(jobs))
    assert study.kills >= 2
    study.finish()
    study.assert_whole()


@pytest.mark.slow
@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_a_driver_killed_at_fifty_moments_loses_nothing(tmp_path, store, request):
    rng = np.random.default_rng(7)
    kills = 0
    for round_ in range(50):
        if kills >= 50:
            break
        folder = tmp_path / f"round_{round_}"
        folder.mkdir()
        storage = "" if store == "sqlite" else request.getfixturevalue("postgresql_url")
        study = Survivor(folder, storage=storage, options=("--n-jobs", str(1 + round_ % 3)))
        study.kill_at_random(10, rng)
        kills += study.kills
        study.finish()
        study.assert_whole()
        if store == "postgresql":
            import optuna

            optuna.delete_study(study_name="survivor", storage=storage)
    assert kills >= 50


def test_workers_killed_now_and_then_cost_their_own_trials_only(tmp_path):
    study = Survivor(tmp_path, options=("--n-jobs", "3", "--set", "execution.retries=20"))
    process = study.start()
    stop = threading.Event()
    killed: list[int] = []

    def strike() -> None:
        dice = random.Random(1)
        while not stop.wait(dice.uniform(0.3, 0.9)) and len(killed) < 6:
            victims = children(process.pid) if study.trials() else []
            if victims:
                killed.append(dice.choice(victims))
                os.kill(killed[-1], dice.choice([signal.SIGKILL, signal.SIGSEGV]))

    thread = threading.Thread(target=strike)
    thread.start()
    try:
        assert process.wait(timeout=300) == 0, study.output()
    finally:
        stop.set()
        thread.join()
    assert len(killed) >= 3
    study.assert_whole()


def test_no_worker_is_left_when_the_driver_is_killed(tmp_path):
    study = Survivor(tmp_path, options=("--n-jobs", "2"))
    process = study.start()
    deadline = time.monotonic() + 60
    while study.trials() < 1:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    mine = children(process.pid)
    assert len(mine) == 2
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 10
    while set(mine) & set(workers()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
