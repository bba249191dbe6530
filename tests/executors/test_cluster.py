"""What a cluster adds: nodes that die, data that travels, what is refused."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from normsweep.errors import ClusterError
from normsweep.executors.inline import Inline
from normsweep.executors.protocol import Executor, WorkerOptions
from normsweep.executors.ray_actor import Supervisor, SupervisorOptions
from normsweep.executors.ray_connection import TrialResources
from normsweep.executors.ray_executor import Cluster
from normsweep.parts.catalog import pickled_components
from normsweep.sweep.trial import DataKey, Epoch, Result, Status, Trial
from normsweep.training.engine import Engine, Finished
from tests.runner.survival import RETRIED, Survivor

pytestmark = pytest.mark.system


@pytest.fixture
def trial(digits_key: DataKey) -> Trial:
    return Trial(
        number=5, arm="unit", slot=0, seed=3, data=digits_key, model="synthetic", model_options={},
        normalization="unit", optimizer="adam", optimizer_options={}, learning_rate=0.001,
        batch_size=64, epochs=4,
    )  # fmt: skip


def results(executor: Executor, count: int, asked: bool = False) -> dict[int, Result]:
    """What `count` trials came to; those that ask are told to go on."""
    found: dict[int, Result] = {}
    deadline = time.monotonic() + 600
    while len(found) < count:
        assert time.monotonic() < deadline
        for event in executor.poll(1.0):
            if isinstance(event, Finished):
                found[event.result.trial] = event.result
            elif asked and isinstance(event, Epoch):
                executor.reply(event.trial, True)
    return found


def until_epoch(epoch: int, executor: Executor, count: int) -> None:
    """Until `count` trials that ask wait after this epoch for their answer."""
    there: set[int] = set()
    deadline = time.monotonic() + 600
    while len(there) < count:
        assert time.monotonic() < deadline
        for event in executor.poll(1.0):
            assert isinstance(event, Epoch)
            if event.epoch == epoch:
                there.add(event.trial)
            else:
                executor.reply(event.trial, True)


def numbers(result: Result) -> list[tuple[float, ...]]:
    return [(e.train_loss, e.train_accuracy, e.val_loss, e.val_accuracy) for e in result.curve]


def environment_of(engine: Engine) -> dict[str, str]:
    return dict(os.environ)


def folder_of(engine: Engine) -> str:
    return str(engine.data_root)


def test_a_node_that_can_start_no_worker_says_so(trial, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    options = WorkerOptions(tmp_path, "cpu", 1, trained=False, parts=pickled_components())
    supervisor = Supervisor(SupervisorOptions(options, {}, 0.0))
    try:
        supervisor._executor.close()  # as where its worker was killed
        monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
        supervisor.submit(trial, None, None)
        (event,) = supervisor.poll(0.0)
    finally:
        supervisor._executor.close()
    assert isinstance(event, Finished)
    assert (event.result.trial, event.result.status) == (5, Status.CRASHED)
    assert "the worker process could not be started" in event.result.error


def test_a_killed_node_costs_its_own_trial_which_gives_the_same_bits_when_tried_again(
    digits_root, trial, digits_key, make_cluster
):
    nodes = make_cluster(2)
    real = replace(trial, model="mlp", model_options={"units": 8, "layers": 1}, epochs=20)
    trials = [replace(real, number=n, learning_rate=0.01 / (n + 1)) for n in range(2)]
    place = {"address": nodes.address, "jobs": 2, "resources": TrialResources(1, None)}
    executor = Cluster(WorkerOptions(digits_root, "cpu", 1, awaits_reply=True), **place)
    try:
        executor.provide(digits_key.digest)
        for one in trials:
            executor.submit(one)
        until_epoch(3, executor, 2)
        nodes.remove_node(nodes.worker_nodes.copy().pop(), allow_graceful=False)
        (lost,) = results(executor, 1).values()  # neither is answered: only a loss ends one
        assert lost.status is Status.CRASHED
        assert "its node or its Ray worker was lost" in lost.error
        assert len(lost.curve) == 3
        other = 1 - lost.trial
        executor.reply(other, True)
        kept = results(executor, 1, asked=True)[other]
        executor.submit(trials[lost.trial])
        again = results(executor, 1, asked=True)[lost.trial]
    finally:
        executor.close()
    here = Inline(WorkerOptions(digits_root, "cpu", 1))
    for result in (again, kept):
        here.submit(trials[result.trial])
        again_here = results(here, 1)[result.trial]
        assert again_here.status is result.status is Status.COMPLETE
        assert numbers(again_here) == numbers(result)
    assert numbers(again)[:3] == numbers(lost)


@pytest.mark.slow
def test_a_study_whose_node_is_killed_ends_whole(tmp_path, make_cluster, faults):
    nodes = make_cluster(2)
    long = ("--set", "model.options.seconds=0.5", "search.space.epochs={ low = 4, high = 5 }")
    options = ("--executor", "ray", "--ray-address", nodes.address, *long)
    study = Survivor(tmp_path, options=options)
    process = study.start()
    study.wait_for_trials(3, process)
    study.wait_for(lambda: study.trials_at_work() == 2, process)
    nodes.remove_node(nodes.worker_nodes.copy().pop(), allow_graceful=False)
    study.wait_for_trials(12, process)
    nodes.add_node(num_cpus=1)
    assert process.wait(timeout=300) == 0, study.output()
    study.assert_whole()
    study.assert_stopped()
    lost = [
        r.result
        for r in study.records()
        if r.result and "its node or its Ray worker was lost" in r.result.error
    ]
    assert len(lost) == 1
    faults("node of a Ray cluster killed, another one joining later", 1, RETRIED)


def test_trials_wait_for_a_node_with_room_and_none_is_stuck(
    digits_root, trial, digits_key, two_nodes
):
    """Of five supervisors two have room: all trials run on those two."""
    executor = Cluster(
        WorkerOptions(digits_root, "cpu", 1, trained=False),
        address=two_nodes.address,
        jobs=5,
        resources=TrialResources(1, None),
    )
    try:
        executor.provide(digits_key.digest)
        for number in range(5):
            executor.submit(replace(trial, number=number))
        ended = results(executor, 5)
        assert {r.status for r in ended.values()} == {Status.COMPLETE}
    finally:
        executor.close()


def test_workers_have_the_data_and_no_secret(digits_root, digits_key, two_nodes, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    executor = Cluster(
        WorkerOptions(digits_root, "cpu", 1, trained=False),
        address=two_nodes.address,
        resources=TrialResources(1, None),
    )
    try:
        executor.provide(digits_key.digest)
        assert len(executor._supervisors) == 2
        seen = executor.call(environment_of)
        assert "hunter2" not in " ".join(seen.values())
        assert seen["TF_ENABLE_ONEDNN_OPTS"] == "0"
        assert seen["OMP_NUM_THREADS"] == "1"
        folder = Path(executor.call(folder_of))
        assert folder != digits_root
        assert (folder / digits_key.digest / "x_train.npy").is_file()
        assert folder.stat().st_mode & 0o077 == 0
    finally:
        executor.close()


def test_a_trial_that_no_node_can_hold_is_refused(digits_root, two_nodes):
    with pytest.raises(
        ClusterError, match=r"no node .* has the 8 CPUs .* its nodes have 1 CPUs and 0 GPUs"
    ):
        Cluster(
            WorkerOptions(digits_root, "cpu", 1),
            address=two_nodes.address,
            resources=TrialResources(8, None),
        )


def test_a_cluster_that_is_not_there_is_told(digits_root):
    with pytest.raises(ClusterError, match=r"--ray-address: cannot connect to 127\.0\.0\.1:9"):
        Cluster(WorkerOptions(digits_root, "cpu", 1), address="127.0.0.1:9")
