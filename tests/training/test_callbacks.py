"""Callbacks of a user's own: which hooks are called, and what the record says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from normsweep.errors import SweepError
from normsweep.parts import callbacks
from normsweep.sweep.trial import Status, Trial
from normsweep.training.keras_engine import KerasEngine
from normsweep.training.preflight import PreflightRequest
from normsweep.training.snapshot import CheckpointPolicy, Snapshot
from tests.training.test_own_steps import own_trial, run_to_end, scores

CALLED: list[str] = []


class Epochs(keras.callbacks.Callback):
    def __init__(self, last: int) -> None:
        super().__init__()
        self.last = last

    def on_train_begin(self, logs=None):
        CALLED.append("train")

    def on_epoch_end(self, epoch, logs=None):
        CALLED.append(f"epoch {epoch} {sorted(logs)}")
        self.model.stop_training = epoch == self.last

    def on_train_end(self, logs=None):
        CALLED.append("end")


class Counts(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        CALLED.append(f"batch {batch}")


class EvaluateHooks(keras.callbacks.Callback):
    def on_test_end(self, logs=None):
        raise AssertionError("not called")


@callbacks.register("test_epochs")
def epochs(*, last=9):
    return Epochs(last)


callbacks.register("test_counts")(Counts)
callbacks.register("test_tests")(EvaluateHooks)
callbacks.register("test_halves")(lambda: keras.callbacks.LearningRateScheduler(lambda e, r: r / 2))
callbacks.register("test_text")(lambda: "text")


@pytest.fixture(scope="module")
def engine(digits_root: Path) -> KerasEngine:
    return KerasEngine(digits_root)


@pytest.fixture
def trial(digits_key) -> Trial:
    CALLED.clear()
    return own_trial(digits_key, model="test_dense", epochs=2, normalization="unit")


def test_hooks_for_epochs_are_called_and_may_end_the_training(engine, trial):
    plain = run_to_end(engine.train(trial)).result
    own = replace(trial, epochs=5, callback="test_epochs", callback_options={"last": 1})
    found: list = []
    result = run_to_end(engine.train(own, CheckpointPolicy(every=0.0)), found).result
    logs = "['accuracy', 'loss', 'val_accuracy', 'val_loss']"
    assert ["train", f"epoch 0 {logs}", f"epoch 1 {logs}", "end"] == CALLED
    assert (result.status, result.loop) == (Status.COMPLETE, plain.loop)
    assert scores(result.curve) == scores(plain.curve), "the training is the same up to there"
    snapshot = next(each for each in found if isinstance(each, Snapshot))
    again = run_to_end(engine.train(own, None, snapshot)).result
    assert (again.reused, scores(again.curve)) == (0, scores(plain.curve))


def test_one_with_hooks_for_batches_runs_batch_by_batch(engine, trial):
    plain = run_to_end(engine.train(trial)).result
    own = replace(trial, callback="test_counts")
    result = run_to_end(engine.train(own)).result
    assert (plain.loop, result.loop) == ("epoch", "batch")
    assert scores(result.curve) == scores(plain.curve)
    assert [f"batch {i}" for i in range(36)] * 2 == CALLED
    assert own.lineage != trial.lineage


def test_it_may_change_the_learning_rate(engine, trial):
    one = replace(trial, optimizer="sgd", callback="test_halves")
    other = replace(one, callback="none", schedule="step", schedule_options={"decay_rate": 0.5})
    slow = replace(other, learning_rate=other.learning_rate / 2)
    curves = [run_to_end(engine.train(each)).result.curve for each in (one, slow)]
    np.testing.assert_allclose(*map(scores, curves), rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "said"),
    [("test_tests", "its on_test_end would not be called"), ("test_text", "expected a keras.callbacks.Callback, got str")],
)  # fmt: skip
def test_what_cannot_be_called_is_refused(engine, trial, name, said):
    with pytest.raises(SweepError) as caught:
        engine.preflight(PreflightRequest((replace(trial, callback=name),), ("unit",), "cpu"))
    assert caught.value.lines[0].startswith(f"callback {name}: cannot be built with no options: ")
    assert said in caught.value.lines[0]
