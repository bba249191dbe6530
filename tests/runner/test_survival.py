"""What a study survives: the driver killed at random moments, workers lost in every way."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter

import numpy as np
import pytest

from normsweep.sweep.trial import CONFIRM, SEARCH, SELECT, Status
from tests.reliability import KILL
from tests.runner.survival import EXECUTORS, PHASE_WORDS, PHASES, RETRIED, Survivor

KILLS = 50
RAY_AGENTS = 180
"""Seconds for the agents of a Ray cluster whose driver was killed: they wait a minute for its GCS to come back."""
ENDS = {
    "kill": "worker killed by a signal",
    "segfault": "worker ending by a segmentation fault",
    "exit": "worker that exits",
    "hang": "worker that hangs beyond the trial's time limit",
    "grow": "worker beyond the memory limit",
}


def test_a_driver_killed_now_and_then_loses_nothing(tmp_path):
    study = Survivor(tmp_path, options=("--n-jobs", "3"))
    study.kill_at_random(3, np.random.default_rng(3))
    assert study.kills >= 2
    study.finish()
    study.assert_whole()


@pytest.mark.slow
@pytest.mark.parametrize("store", ["SQLite", "PostgreSQL"])
def test_a_driver_killed_at_fifty_moments_loses_nothing(tmp_path, store, request, faults):
    """From the first import on: set-up, survey, ask, train, record, tell, look, report."""
    rng = np.random.default_rng(7)
    killed, studies = Counter[str](), 0
    while killed.total() < KILLS:
        folder = tmp_path / f"study_{studies}"
        folder.mkdir()
        storage = "" if store == "SQLite" else request.getfixturevalue("new_database")()
        study = Survivor(folder, storage=storage, cold=True, options=("--n-jobs", str(1 + studies % 3)))  # fmt: skip
        study.kill_at_random(min(KILLS - killed.total(), 10), rng)
        killed, studies = killed + study.killed, studies + 1
        study.finish()
        study.assert_whole()
    for moment, kills in killed.items():
        faults(KILL, kills, moment=moment, store=store)


@pytest.mark.slow
@pytest.mark.parametrize("store", ["SQLite", "PostgreSQL", "Ray"])
def test_a_driver_killed_in_each_phase_loses_nothing(tmp_path, store, request, faults):
    """`Ray`: its workers are on a cluster that it starts, with SQLite."""
    phases = (SEARCH, SELECT, CONFIRM)
    study = Survivor(
        tmp_path, sweep=PHASES, phases=phases, trials_per_arm=9,
        storage=request.getfixturevalue("postgresql_url") if store == "PostgreSQL" else "",
        options=EXECUTORS["ray" if store == "Ray" else "three processes"],
    )  # fmt: skip
    times = 3
    for phase in phases:
        for _ in range(times):
            before, process = study.completed(phase), study.start()
            study.wait_for(lambda p=phase, n=before: study.completed(p) > n, process)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
    study.finish()
    study.assert_whole()
    if store == "Ray":
        study.wait_for_end(RAY_AGENTS)
    study.assert_stopped()
    for phase in phases:
        faults(KILL, times, moment=PHASE_WORDS[phase], store=store)


@pytest.mark.slow
def test_workers_killed_now_and_then_cost_their_own_trials_only(tmp_path, faults):
    study = Survivor(tmp_path, options=("--n-jobs", "3", "--set", "execution.retries=20"))
    process = study.start()
    stop = threading.Event()
    killed: list[int] = []

    def strike() -> None:
        dice = random.Random(1)
        while not stop.wait(dice.uniform(0.3, 0.9)) and len(killed) < 6:
            victims = study.workers() if study.trials() else []
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
    faults("worker killed by a signal", len(killed), RETRIED)


@pytest.mark.slow
@pytest.mark.parametrize("job", [signal.SIGSTOP, signal.SIGTSTP], ids=lambda number: number.name)
def test_a_worker_that_is_stopped_and_continued_goes_on_with_its_trial(tmp_path, faults, job):
    options = ("--n-jobs", "2", "--set", "model.options.seconds=0.3", "execution.retries=0")
    study = Survivor(tmp_path, options=options)
    process = study.start()
    for stopped in range(1, 6):
        study.wait_for_trials(2 * stopped, process)
        worker = study.workers()[0]
        os.kill(worker, job)
        time.sleep(1.5)
        os.kill(worker, signal.SIGCONT)
    assert process.wait(timeout=300) == 0, study.output()
    study.assert_whole()
    study.assert_stopped()
    faults("worker stopped and continued", stopped)


MISBEHAVING = """
import os, random, signal, sys, threading, time

def misbehave():
    while "normsweep.training.engine" not in sys.modules or not os.path.exists({go!r}):
        time.sleep(0.1)
    dice = random.Random(os.urandom(8))
    time.sleep(0.5 + dice.expovariate(1 / {mean}))
    how = dice.choice(["kill", "segfault", "exit", "hang", "grow"])
    with open({log!r}, "a") as log:
        log.write(how + "\\n")
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "segfault":
        import ctypes
        ctypes.string_at(0)
    elif how == "exit":
        os._exit(3)
    elif how == "hang":
        os.kill(os.getpid(), signal.SIGSTOP)
    held = []
    while True:
        held.append(bytearray(os.urandom(1024)) * (1 << 16))
        time.sleep(0.02)

if "normsweep.executors.worker" in sys.orig_argv:
    threading.Thread(target=misbehave, daemon=True).start()
"""
"""A worker's own module of site customizations: sooner or later it does itself in."""


@pytest.mark.slow
def test_workers_that_end_in_every_way_cost_their_own_trials_only(tmp_path, faults):
    hooks, log, go = tmp_path / "hooks", tmp_path / "misdeeds.txt", tmp_path / "go"
    hooks.mkdir()
    log.touch()
    (hooks / "sitecustomize.py").write_text(MISBEHAVING.format(mean=2.5, log=str(log), go=str(go)))
    path = os.pathsep.join([str(hooks), os.environ.get("PYTHONPATH", "")])
    for round_ in range(3):
        folder = tmp_path / f"study_{round_}"
        folder.mkdir()
        options = (
            "--n-jobs", "4", "--set", "execution.retries=50", "execution.trial_timeout=4",
            "execution.trial_memory=1.0", "model.options.seconds=0.1",
        )  # fmt: skip
        study = Survivor(folder, options=options, environment={"PYTHONPATH": path})
        process = study.start()
        study.wait_for_trials(1, process)
        go.touch()
        assert process.wait(timeout=600) == 0, study.output()
        go.unlink()
        study.assert_whole()
        study.assert_stopped()
        lost = Counter(r.result.status for r in study.records() if r.result)
        assert lost[Status.TIMED_OUT] + lost[Status.CRASHED]
    misdeeds = Counter(log.read_text().split())
    assert set(misdeeds) == {"kill", "segfault", "exit", "hang", "grow"}
    for how, times in misdeeds.items():
        faults(ENDS[how], times, RETRIED)


@pytest.mark.parametrize("how", ["three processes", pytest.param("ray", marks=pytest.mark.slow)])
def test_no_process_is_left_when_the_driver_is_killed(tmp_path, how, record_property, faults):
    study = Survivor(tmp_path, options=EXECUTORS[how])
    process = study.start()
    study.wait_for_trials(1, process)
    assert len(study.workers()) >= 2
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    began = time.monotonic()
    while left := study.processes():
        assert time.monotonic() < began + 180, left
        time.sleep(0.1)
    record_property("seconds", round(time.monotonic() - began, 1))
