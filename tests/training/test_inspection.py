"""Networks that end no better than guessing, each for its own reason: what is measured, and what it is called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from normsweep.analysis.stuck import Kind, Level, kind
from normsweep.parts import models, normalizations
from normsweep.parts.dataset import Dataset
from normsweep.sweep.study_record import DataFacts
from normsweep.sweep.trial import DataKey, Result, Status
from normsweep.training.engine import Finished
from normsweep.training.keras_engine import KerasEngine
from normsweep.training.snapshot import CheckpointPolicy
from tests.conftest import make_trial

SPLIT = 0.2


@models.register("inspected_batch_norm")
def with_batch_norm(input_shape: tuple[int, ...], classes: int, *, momentum: float = 0.99) -> Any:
    import keras

    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Dense(32),
            keras.layers.BatchNormalization(momentum=momentum),
            keras.layers.ReLU(),
            keras.layers.Dense(classes, activation="softmax", dtype="float32"),
        ]
    )


@models.register("inspected_refusing")
def refusing(input_shape: tuple[int, ...], classes: int) -> Any:
    """An MLP that can be trained and evaluated, and predicts nothing."""
    import keras

    class Refusing(keras.Sequential):
        def predict_on_batch(self, x: Any) -> Any:
            raise NotImplementedError

    return Refusing([keras.Input(input_shape), *models.mlp(input_shape, classes).layers])


@normalizations.register("inspected_divided_as_integers")
def divided_as_integers(train: Any) -> list[Any]:
    """What integers divided by a larger one are: zeros."""
    import keras

    return [keras.layers.Rescaling(0.0)]


@pytest.fixture(scope="module")
def tumours(digits_root: Path) -> DataKey:
    """30 columns of very different scales, two classes."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split

    x, y = load_breast_cancer(return_X_y=True)
    train, test, labels, of_test = train_test_split(x, y, test_size=0.3, stratify=y, random_state=0)
    arrays = {"x_train": train, "y_train": labels, "x_test": test, "y_test": of_test}
    return DataKey("tumours", Dataset.checked("tumours", "test", arrays).save(digits_root), SPLIT)


@pytest.fixture(scope="module")
def engine(digits_root: Path) -> KerasEngine:
    return KerasEngine(digits_root)


@pytest.fixture(scope="module")
def run(engine: KerasEngine, digits_key: DataKey) -> Callable[..., Finished]:
    """`run(policy, **fields)`: train an MLP on the digits, with plain SGD at 0.1 unless said otherwise."""

    def made(policy: CheckpointPolicy | None = None, **fields: Any) -> Finished:
        content = {
            "data": digits_key, "model": "mlp", "optimizer": "sgd", "learning_rate": 0.1, "batch_size": 32,
            "epochs": 3, "normalization": "unit", "model_options": {},
        }  # fmt: skip
        training = engine.train(make_trial(**{**content, **fields}), policy)
        try:
            while True:
                next(training)
        except StopIteration as end:
            return end.value

    return made


def named(engine: KerasEngine, key: DataKey, result: Result) -> Kind | None:
    """The kind, if the training is no better than guessing."""
    data = engine.dataset(key)
    sizes = len(data.y_train), len(data.y_test), data.classes, ()
    facts = DataFacts(key.name, "", key.digest, *sizes, tuple(data.counts.tolist()))
    level = Level.of(facts, SPLIT)
    assert result.status is Status.COMPLETE
    return kind(result, level) if level.scores_no_better(result.curve[-1]) else None


def test_a_healthy_training_is_not_looked_into(engine, run, digits_key, tumours):
    batch_norm = {"data": tumours, "model": "inspected_batch_norm", "normalization": "standardize"}
    for fields in ({}, {"normalization": "none", "learning_rate": 0.001}, batch_norm):
        result = run(**fields).result
        assert result.inspection is None
        assert named(engine, fields.get("data", digits_key), result) is None


def test_units_that_a_large_step_has_killed(engine, run, digits_key):
    result = run(normalization="none").result
    seen = result.inspection
    assert named(engine, digits_key, result) is Kind.DEAD
    assert seen.same_output > 0.95
    assert seen.gradient == 0
    assert seen.input_range == 255
    assert seen.steps == 3 * 36
    early = run(normalization="none", epochs=9, patience=1).result
    assert early.last.epoch < 9
    assert early.inspection.steps == early.last.epoch * 36


def test_inputs_that_are_all_the_same(engine, run, digits_key):
    result = run(normalization="inspected_divided_as_integers").result
    assert named(engine, digits_key, result) is Kind.NO_INFORMATION
    assert (result.inspection.input_range, result.inspection.same_output) == (0, 1)


@pytest.mark.parametrize("rate", [1e-6, 1e-4])
def test_steps_that_are_too_small(engine, run, digits_key, rate):
    result = run(learning_rate=rate).result
    assert named(engine, digits_key, result) is Kind.TOO_SLOW
    assert result.inspection.same_output < 0.5
    losses = [epoch.train_loss for epoch in result.curve]
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize("place", ["after a layer", "before the network"])
def test_running_averages_that_are_not_there_yet(engine, run, tumours, place):
    own, arm = ("inspected_batch_norm", "none") if place == "after a layer" else ("mlp", "batch_norm")  # fmt: skip
    few = {
        "model": own,
        "normalization": arm,
        "optimizer": "adam",
        "learning_rate": 0.01,
        "epochs": 1,
    }
    result = run(data=tumours, **few).result
    seen = result.inspection
    assert named(engine, tumours, result) is Kind.RUNNING_STATISTICS
    assert seen.batch_accuracy > 0.75
    assert seen.momentum == 0.99
    assert seen.steps == 10
    many = run(data=tumours, **{**few, "epochs": 60, "learning_rate": 0.001}).result
    assert named(engine, tumours, many) is None


def test_a_short_memory_has_its_averages_at_once(engine, run, tumours):
    quick = {
        "model": "inspected_batch_norm",
        "normalization": "none",
        "model_options": {"momentum": 0.5},
    }
    result = run(data=tumours, optimizer="adam", learning_rate=0.01, epochs=1, **quick).result
    assert named(engine, tumours, result) is None


def test_the_look_changes_no_result_and_no_state(run):
    """The state is that of the last step, and the next training begins as if there had been none."""
    before = run().result
    stuck = run(CheckpointPolicy.last(), normalization="none")
    again, after = run(CheckpointPolicy.last(), normalization="none"), run().result
    bits = [[array.tobytes() for array in end.state.model] for end in (stuck, again)]
    assert bits[0] == bits[1]
    assert [e.train_loss for e in before.curve] == [e.train_loss for e in after.curve]
    assert stuck.result.inspection.to_plain() == again.result.inspection.to_plain()


def test_a_result_is_stored_with_what_was_seen(run):
    result = run(normalization="none").result
    stored = Result.from_json(result.to_json())
    assert stored.inspection.to_plain() == result.inspection.to_plain()
    healthy = run(epochs=1).result
    assert "inspection" not in healthy.to_json()


def test_a_network_that_cannot_be_looked_into_is_complete(run):
    result = run(normalization="none", model="inspected_refusing").result
    assert result.status is Status.COMPLETE
    assert result.inspection is None
