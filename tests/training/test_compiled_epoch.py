"""Epochs as programs: bit for bit what a plain loop of `train_on_batch` gives."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from normsweep.parts import models, optimizers
from normsweep.sweep.trial import DataKey, Epoch, Result, Trial
from normsweep.training import compiled_epoch
from normsweep.training.compiled_epoch import Batches, OneByOne
from normsweep.training.compiled_network import CompiledModel
from normsweep.training.engine import Finished
from normsweep.training.epochs import Alone, train_epochs
from normsweep.training.keras_engine import KerasEngine
from normsweep.training.preprocessing import Inputs, batch_order
from normsweep.training.snapshot import CheckpointPolicy, ModelState, Snapshot
from normsweep.training.targets import targets_of

EPOCHS = 2


def layers_with_state(input_shape: Any, classes: int) -> list[Any]:
    import keras

    return [
        keras.Input(input_shape),
        keras.layers.Conv2D(4, 3, activation="relu", kernel_regularizer="l2"),
        keras.layers.BatchNormalization(),
        keras.layers.Flatten(),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(classes, activation="softmax", dtype="float32"),
    ]


@models.register("epoch_stateful")
def stateful(input_shape, classes):
    import keras

    return keras.Sequential(layers_with_state(input_shape, classes))


@models.register("epoch_own_step")
def own_step(input_shape, classes):
    """A network whose training step adds noise to its images and clips its gradients."""
    import keras
    import tensorflow as tf

    class OwnStep(keras.Sequential):
        def train_step(self, data):
            x, y, _ = data
            x = x + keras.random.normal(tf.shape(x), seed=self.noise, dtype=x.dtype)
            with tf.GradientTape() as tape:
                outputs = self(x, training=True)
                loss = self.compute_loss(x, y, outputs)
            gradients = tape.gradient(loss, self.trainable_variables)
            gradients, _ = tf.clip_by_global_norm(gradients, 1.0)
            self.optimizer.apply(gradients, self.trainable_variables)
            for metric in self.metrics:
                if metric.name == "loss":
                    metric.update_state(loss)
                else:
                    metric.update_state(y, outputs)
            return {metric.name: metric.result() for metric in self.metrics} | {
                "accuracy": self.compute_metrics(x, y, outputs)["accuracy"]
            }

    made = OwnStep(layers_with_state(input_shape, classes))
    made.noise = keras.random.SeedGenerator(7)
    return made


@models.register("epoch_eager")
def eager(input_shape, classes):
    """A network that is compiled to run eagerly, and whose training step has an effect in Python."""
    import keras

    class Eager(keras.Sequential):
        def compile(self, *args, **options):
            super().compile(*args, **{**options, "run_eagerly": True})

        def train_step(self, data):
            logs = super().train_step(data)
            LOSSES.append(float(logs["loss"]))
            return logs

    return Eager(layers_with_state(input_shape, classes))


LOSSES: list[float] = []


@models.register("epoch_failing")
def failing(input_shape, classes):
    import keras

    class Failing(keras.Sequential):
        def train_step(self, data):
            raise ValueError("this step cannot be traced")

    return Failing(layers_with_state(input_shape, classes))


def plainly(compiled: CompiledModel, inputs: Inputs, trial: Trial) -> list[tuple[float, ...]]:
    """Training and validation losses and accuracies by Keras's methods for single batches."""
    model, data, found = compiled.model, inputs.split, []
    for epoch in range(1, EPOCHS + 1):
        order = batch_order(len(data.y_train), trial.seed, epoch)
        batches = [order[i : i + trial.batch_size] for i in range(0, len(order), trial.batch_size)]
        sums = np.zeros(2)
        for batch in batches:
            model.reset_metrics()
            logs = model.train_on_batch(data.x_train[batch], data.y_train[batch], return_dict=True)
            sums += len(batch) * np.array([logs["loss"], logs["accuracy"]], np.float64)
        tests = np.zeros(2)
        for start in range(0, len(data.y_val), 512):
            part = slice(start, start + 512)
            model.reset_metrics()
            logs = model.test_on_batch(data.x_val[part], data.y_val[part], return_dict=True)
            tests += len(data.y_val[part]) * np.array([logs["loss"], logs["accuracy"]], np.float64)
        found.append((*(sums / len(order)), *(tests / len(data.y_val))))
    return found


@pytest.fixture(scope="module")
def engine(digits_root: Path) -> KerasEngine:
    return KerasEngine(digits_root)


@pytest.fixture
def make(trial: Callable[..., Trial], digits_key: DataKey) -> Callable[..., Trial]:
    def made(**changes: Any) -> Trial:
        usual = {
            "data": digits_key,
            "model": "epoch_stateful",
            "model_options": {},
            "normalization": "unit",
        }
        return trial(
            **{"epochs": EPOCHS, "batch_size": 100, "learning_rate": 0.01, **usual, **changes}
        )

    return made


def finished(
    engine: KerasEngine,
    trial: Trial,
    policy: CheckpointPolicy | None = None,
    start: Snapshot | None = None,
) -> Finished:
    training = engine.train(trial, policy, start)
    while True:
        try:
            next(training)
        except StopIteration as end:
            return end.value


def figures(epochs: Iterable[Epoch]) -> list[tuple[float, ...]]:
    return [(e.train_loss, e.train_accuracy, e.val_loss, e.val_accuracy) for e in epochs]


def assert_same_state(one: ModelState, other: ModelState) -> None:
    for a, b in zip((*one.model, *one.optimizer), (*other.model, *other.optimizer), strict=True):
        np.testing.assert_array_equal(a, b)


def assert_equal_bits(engine: KerasEngine, trial: Trial, kind: str = "epoch") -> None:
    inputs = engine.inputs(trial.data, trial.seed, trial.normalization)
    compiled = engine.compiled(trial, inputs)
    loop = compiled.loop(trial.batch_size)
    assert loop.name == kind
    before = ModelState.of(compiled.model)
    data, targets = inputs.split, targets_of(trial, inputs)
    passes = Alone(loop, trial, data, targets)
    curve = figures(train_epochs(passes, trial, targets, data.y_val))
    ours = ModelState.of(compiled.model)
    before.restore(compiled.model)
    assert curve == plainly(compiled, inputs, trial)
    assert_same_state(ours, ModelState.of(compiled.model))


IN_SHORT = ("adam", "rmsprop")
"""The rest take part in `make soak`; SGD and AdamW are among the settings below, too."""


@pytest.mark.parametrize(
    "optimizer",
    [
        pytest.param(part.name, marks=() if part.name in IN_SHORT else pytest.mark.slow)
        for part in optimizers.registry
    ],
)
def test_every_optimizer(engine, make, optimizer):
    assert_equal_bits(engine, make(optimizer=optimizer))


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "lenet"},
        {"model": "epoch_own_step"},
        {"normalization": "batch_norm"},
        {"optimizer": "sgd", "optimizer_options": {"momentum": 0.9, "nesterov": True}},
        {"optimizer": "adamw", "optimizer_options": {"weight_decay": 0.1}},
        {"precision": "mixed_bfloat16"},
        pytest.param({"precision": "mixed_float16", "learning_rate": 0.05}, marks=pytest.mark.slow),
        {"precision": "mixed_float16", "normalization": "batch_norm"},
    ],
    ids=str,
)
def test_networks_precisions_and_inputs(engine, make, changes):
    assert_equal_bits(engine, make(**changes))


@pytest.mark.parametrize(
    ("limit", "value"), [("PART_BYTES", 1), ("PART_BYTES", 100_000), ("PART_SECONDS", 0.0)]
)
def test_an_epoch_in_parts(engine, make, monkeypatch, limit, value):
    monkeypatch.setattr(compiled_epoch, limit, value)
    assert_equal_bits(engine, make())


@pytest.mark.parametrize("size", [7, 128, 5000])
def test_other_batches_in_the_same_compiled_model(engine, make, size):
    assert_equal_bits(engine, make(batch_size=size, model="lenet"))


def test_a_network_that_runs_eagerly_is_trained_batch_by_batch(engine, make):
    LOSSES.clear()
    trial = make(model="epoch_eager", epochs=1, batch_size=300)
    result = finished(engine, trial).result
    assert (result.status, result.loop) == ("complete", "batch")
    assert len(LOSSES) == 4
    assert np.isfinite(LOSSES).all()


def test_a_network_that_cannot_be_trained_says_why(engine, make):
    result = finished(engine, make(model="epoch_failing")).result
    assert (result.status, result.loop) == ("crashed", "batch")
    assert "this step cannot be traced" in result.error


def test_a_trial_goes_on_from_a_state_that_another_loop_trained(engine, make):
    whole = finished(engine, make(epochs=3))
    short = finished(engine, make(epochs=1), CheckpointPolicy.last())
    assert (short.result.loop, whole.result.loop) == ("epoch", "epoch")
    assert short.state is not None
    content = json.loads(short.result.to_json())
    del content["loop"]  # as in earlier versions
    before = Result.from_json(json.dumps(content))
    again = finished(engine, make(epochs=3), None, Snapshot(before, short.state)).result
    assert (again.reused, again.loop) == (1, "epoch")
    assert figures(again.curve)[1:] == figures(whole.result.curve)[1:]


@pytest.mark.parametrize("changes", [{}, {"batch_size": 100}])
def test_an_epoch_ends_at_the_first_loss_that_is_not_finite(engine, make, changes):
    trial = make(normalization="none", optimizer="sgd", learning_rate=1e30, **changes)
    inputs = engine.inputs(trial.data, trial.seed, trial.normalization)
    compiled = engine.compiled(trial, inputs)
    before = ModelState.of(compiled.model)
    found = []
    for loop in (compiled.loop(trial.batch_size), OneByOne(compiled.model)):
        before.restore(compiled.model)
        images = loop.images(inputs.split.x_train, inputs.split.y_train)
        order = batch_order(len(images.y), 0, 1)
        values = loop.train(Batches(images, order, trial.batch_size))
        assert len(values) < len(order) // trial.batch_size
        assert not np.isfinite(values[-1, 0])
        assert np.isfinite(values[:-1]).all()
        found.append((values, ModelState.of(compiled.model)))
    (values, state), (expected, plain) = found
    np.testing.assert_array_equal(values, expected)
    assert_same_state(state, plain)
