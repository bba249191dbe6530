"""An epoch that takes long is stopped between two parts of it, without waiting for its end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from normsweep.errors import Interrupted
from normsweep.executors.inline import Inline
from normsweep.executors.protocol import WorkerOptions
from normsweep.runner.interrupts import Signals
from normsweep.sweep.trial import DataKey, Epoch, Status, Trial
from normsweep.training import compiled_epoch
from normsweep.training.engine import Finished

PART = 3
"""The part of an epoch in which it is stopped."""


@pytest.fixture
def trial(digits_key: DataKey) -> Trial:
    return Trial(
        number=0, arm="unit", slot=0, seed=0, data=digits_key, model="mlp", model_options={"units": 8},
        normalization="unit", optimizer="sgd", optimizer_options={}, learning_rate=0.01,
        batch_size=32, epochs=2,
    )  # fmt: skip


@pytest.fixture
def executor(digits_root: Path) -> Iterator[Inline]:
    executor = Inline(WorkerOptions(digits_root, "cpu", 2, awaits_reply=True))
    yield executor
    executor.close()


class Parts:
    """Counts the parts that are run, one batch each; after that many something happens."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, self.events = 0, dict[int, Callable[[], None]]()
        monkeypatch.setattr(compiled_epoch, "FIRST_BATCHES", 1)
        monkeypatch.setattr(compiled_epoch, "PART_SECONDS", 0.0)
        run = compiled_epoch._Program.__call__

        def counted(program, *arguments):
            values = run(program, *arguments)
            self.count += 1
            self.events.pop(self.count, lambda: None)()
            return values

        monkeypatch.setattr(compiled_epoch._Program, "__call__", counted)


@pytest.fixture
def parts(monkeypatch) -> Parts:
    return Parts(monkeypatch)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_an_epoch_between_its_parts(executor, trial, parts, number):
    parts.events[PART] = lambda: os.kill(os.getpid(), number)
    executor.submit(trial)
    with Signals() as signals, pytest.raises(Interrupted), signals.waiting():
        executor.poll(1.0)
    assert parts.count == PART
    executor.submit(trial)
    assert isinstance(executor.poll(1.0)[0], Epoch)


def test_the_time_limit_stops_an_epoch_between_its_parts(executor, trial, parts):
    def expires() -> None:
        executor._engine.trial_timeout = 0.0

    parts.events[PART] = expires
    executor.submit(trial)
    [ended] = executor.poll(1.0)
    assert parts.count == PART
    assert isinstance(ended, Finished)
    assert (ended.result.status, ended.result.curve) == (Status.TIMED_OUT, ())
    assert (ended.result.error, ended.result.loop) == ("exceeded 0 s", "epoch")


def test_a_pruned_trial_runs_no_part_of_another_epoch(executor, trial, parts):
    executor.submit(trial)
    assert isinstance(executor.poll(1.0)[0], Epoch)
    before = parts.count
    assert before > 30  # one batch each
    executor.reply(trial.number, False)
    [ended] = executor.poll(1.0)
    assert parts.count == before
    assert isinstance(ended, Finished)
    assert (ended.result.status, len(ended.result.curve)) == (Status.PRUNED, 1)
