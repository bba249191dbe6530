"""Parts that are defined here, and not in normsweep, where trials run: in processes and on Ray."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from normsweep.errors import SweepError
from normsweep.executors.processes import Processes
from normsweep.executors.protocol import Executor, WorkerOptions
from normsweep.executors.ray_connection import TrialResources
from normsweep.executors.ray_executor import Cluster
from normsweep.parts import models, normalizations, optimizers, plugins
from normsweep.parts.catalog import pickled_components
from normsweep.parts.metrics import Metric
from normsweep.parts.registry import Registry
from normsweep.sweep.trial import DataKey, Result, Status, Trial
from normsweep.training.engine import Finished

pytestmark = pytest.mark.system

UNITS = 3


def halved(train):
    import keras

    return [keras.layers.Rescaling(0.5)]


def narrow(input_shape, classes, *, units=UNITS):
    import keras

    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Flatten(),
            keras.layers.Dense(units),
            keras.layers.Dense(classes, activation="softmax"),
        ]
    )


def slow(learning_rate):
    import keras

    class Slow(keras.optimizers.SGD):
        """A class that only this test knows."""

    return Slow(learning_rate / 10)


@pytest.fixture
def lent():
    """The three, registered while they are packed; `content` is what travels."""
    with (
        normalizations.registry.temporarily("halved", halved),
        models.registry.temporarily("narrow", narrow),
        optimizers.registry.temporarily("slow", slow),
    ):
        yield pickled_components()


@pytest.fixture
def trial(digits_key: DataKey) -> Trial:
    return Trial(
        number=0, arm="halved", slot=0, seed=3, data=digits_key, model="narrow",
        model_options={"units": 5}, normalization="halved", optimizer="slow", optimizer_options={},
        learning_rate=0.001, batch_size=256, epochs=2,
    )  # fmt: skip


def result(executor: Executor) -> Result:
    deadline = time.monotonic() + 900
    while time.monotonic() < deadline:
        for event in executor.poll(1.0):
            if isinstance(event, Finished):
                return event.result
    raise AssertionError("no result")


def curve(found: Result) -> list[tuple[float, ...]]:
    assert found.status is Status.COMPLETE, found.error
    return [(e.train_loss, e.val_loss, e.val_accuracy) for e in found.curve]


def test_they_run_in_processes_and_on_a_cluster_and_in_a_worker_that_replaces_one(
    lent, trial, digits_root, two_nodes
):
    options = WorkerOptions(digits_root, "cpu", 1, parts=lent)
    there = Processes(options)
    try:
        there.submit(trial)
        first = result(there)
        (worker,) = there._workers
        assert worker is not None
        subprocess.run(["kill", f"-{signal.SIGKILL}", str(worker.pid)], check=True)
        worker._process.wait()
        there.submit(replace(trial, number=1))
        second = result(there)
    finally:
        there.close()
    cluster = Cluster(options, address=two_nodes.address, jobs=1, resources=TrialResources(1, None))
    try:
        cluster.provide(trial.data.digest)
        cluster.submit(replace(trial, number=2))
        third = result(cluster)
    finally:
        cluster.close()
    assert curve(first) == curve(second) == curve(third)


def test_what_is_not_installed_there_is_told_to_the_first_caller_and_the_trial(
    lent, trial, digits_root, tmp_path, monkeypatch
):
    """A part of a package that this process has, and that counts as installed, goes by its name."""
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "only_here.py").write_text("def part(train):\n    return []\n")
    monkeypatch.syspath_prepend(tmp_path / "site-packages")
    import only_here  # pyright: ignore[reportMissingImports]

    with normalizations.registry.temporarily("only_here", only_here.part):
        content = pickled_components()
    there = Processes(WorkerOptions(digits_root, "cpu", 1, parts=content, trained=False))
    try:
        with pytest.raises(
            SweepError, match='normalization "only_here": cannot be loaded in a worker'
        ):
            there.call(print)
        there.submit(trial)
        lost = result(there)
    finally:
        there.close()
    assert lost.status is Status.CRASHED
    assert "No module named 'only_here'" in lost.error


def test_what_a_metric_is_registered_with_travels_with_it():
    """A metric is more than its function: its direction, and what a guess reaches."""
    here, there = Registry("metric"), Registry("metric")
    level = 0.25
    mine = Metric("mine", lambda y, p: 1.0, "minimize", (0, 1), lambda counts: level)
    here.register("mine", mine)(mine.function)
    plugins.unpack(plugins.packed([here]), [there])
    arrived = there["mine"].details
    assert (arrived.direction, arrived.guessing([3, 4])) == ("minimize", 0.25)
    assert there["mine"].function(None, None) == 1.0


def test_without_parts_of_ones_own_nothing_travels():
    assert pickled_components() == b"", "tests see no parts of other tests"


def test_a_function_of_a_module_beside_the_script_travels_whole(tmp_path: Path):
    (tmp_path / "beside.py").write_text(
        "FACTOR = 3\ndef tripled(train):\n    return [FACTOR * train]\n"
    )
    (tmp_path / "script.py").write_text(
        "import sys\nimport beside\n"
        "from normsweep.parts import normalizations\nfrom normsweep.parts.catalog import pickled_components\n"
        "normalizations.register('tripled')(beside.tripled)\n"
        "@normalizations.register('of_the_script')\n"
        "def of_the_script(train):\n    return beside.tripled(train)\n"
        "sys.stdout.buffer.write(pickled_components())\n"
    )
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr
    reads = (
        "import sys; from normsweep.parts import normalizations; from normsweep.parts.catalog import register_components\n"
        "register_components(sys.stdin.buffer.read())\n"
        "print([normalizations.registry[n].function(2) for n in ('tripled', 'of_the_script')])"
    )
    there = subprocess.run([sys.executable, "-c", reads], cwd="/", input=done.stdout, capture_output=True)  # fmt: skip
    assert there.stdout == b"[[6], [6]]\n", there.stderr
