"""Looking into the arms' networks: inputs, loss, gradients, dead units; and leaving no trace."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from normsweep.parts import models
from normsweep.sweep.study_record import Diagnosis
from normsweep.sweep.trial import DataKey, Result, Trial
from normsweep.training.diagnosis import diagnose
from normsweep.training.engine import Finished
from normsweep.training.keras_engine import KerasEngine
from normsweep.training.snapshot import CheckpointPolicy

ARMS = ("none", "unit", "standardize", "zca", "batch_norm")
PLAIN: dict[str, Any] = {"optimizer": "sgd", "learning_rate": 0.01}
"""The optimizer of the probe: its compiled network is the one that trains."""


@models.register("diagnosis_half_dead")
def half_dead(input_shape: tuple[int, ...], classes: int) -> Any:
    """3 channels of a convolution that are dead by their bias, 5 units that are never."""
    import keras

    def bias(value: float) -> Any:
        return keras.initializers.Constant(value)

    images = keras.Input(input_shape)
    dead = keras.layers.Conv2D(3, 3, activation="relu", bias_initializer=bias(-1e9))(images)
    linear = keras.layers.Dense(5, bias_initializer=bias(1e6))(keras.layers.Flatten()(images))
    both = [keras.layers.Flatten()(dead), keras.layers.ReLU()(linear)]
    outputs = keras.layers.Dense(classes, activation="softmax")(keras.layers.Concatenate()(both))
    return keras.Model(images, outputs)


@models.register("diagnosis_small")
def small(input_shape: tuple[int, ...], classes: int) -> Any:
    """LeNet's kinds of layers, fewer of them."""
    import keras

    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Conv2D(20, 5, activation="relu", padding="same"),
            keras.layers.Flatten(),
            keras.layers.Dense(100, activation="relu"),
            keras.layers.Dense(classes, activation="softmax"),
        ]
    )


@models.register("diagnosis_linear")
def linear(input_shape: tuple[int, ...], classes: int) -> Any:
    import keras

    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Flatten(),
            keras.layers.Dense(classes, activation="softmax"),
        ]
    )


@pytest.fixture(scope="module")
def engine(digits_root: Path) -> KerasEngine:
    return KerasEngine(digits_root)


@pytest.fixture(scope="module")
def never_looked(digits_root: Path) -> KerasEngine:
    """An engine that trains and diagnoses nothing."""
    return KerasEngine(digits_root)


@pytest.fixture(scope="module")
def trial(digits_key: DataKey) -> Trial:
    return Trial(
        number=0, arm="unit", slot=0, seed=3, data=digits_key, model="diagnosis_small",
        model_options={}, normalization="unit", optimizer="adam", optimizer_options={}, learning_rate=0.001,
        batch_size=383, epochs=3,
    )  # fmt: skip


@pytest.fixture(scope="module")
def found(engine: KerasEngine, trial: Trial) -> dict[str, Diagnosis]:
    """The diagnosis of each arm."""
    made = {arm: diagnose(engine, replace(trial, normalization=arm)) for arm in ARMS}
    assert None not in made.values()
    return made  # type: ignore[return-value]


def run(engine: KerasEngine, trial: Trial, policy: CheckpointPolicy | None = None) -> Finished:
    training = engine.train(trial, policy)
    try:
        while True:
            next(training)
    except StopIteration as end:
        return end.value


def curve(result: Result) -> list[tuple[float, ...]]:
    return [(e.train_loss, e.train_accuracy, e.val_loss, e.val_accuracy) for e in result.curve]


def test_raw_pixels_start_far_above_the_loss_of_a_guess_and_scaled_ones_near_it(found):
    guess = math.log(10)
    assert found["none"].initialization.loss > 3 * guess
    for arm in ("unit", "standardize", "batch_norm"):
        assert found[arm].initialization.loss == pytest.approx(guess, rel=0.15)


@pytest.mark.parametrize("arm", ["none", "zca"])
def test_the_second_stage_is_that_of_the_network_after_one_epoch(engine, trial, found, arm):
    trial = replace(trial, normalization=arm, epochs=1)
    finished = run(engine, trial, CheckpointPolicy.last())
    inputs = engine.inputs(trial.data, trial.seed, arm)
    model = engine.compiled(trial, inputs).model
    finished.state.restore(model)
    logs = model.test_on_batch(inputs.split.x_train, inputs.split.y_train, return_dict=True)
    assert found[arm].after_epoch_1.loss == pytest.approx(float(logs["loss"]), rel=1e-4)
    assert found[arm].after_epoch_1.loss != pytest.approx(found[arm].initialization.loss, rel=0.02)


def test_what_the_first_layer_is_fed_is_that_of_the_training_split(engine, trial, found):
    raw = np.asarray(engine.inputs(trial.data, trial.seed, "none").split.x_train, np.float64)
    for arm, scale, offset in (("none", 1, 0), ("unit", 255, 0), ("standardize", raw.std(), raw.mean())):  # fmt: skip
        stage = found[arm].initialization
        assert stage.input_mean == pytest.approx((raw.mean() - offset) / scale, abs=1e-4)
        assert stage.input_std == pytest.approx(raw.std() / scale, rel=1e-5)
    learned = found["batch_norm"].initialization
    assert learned.input_mean == pytest.approx(0, abs=1e-4)
    assert learned.input_std == pytest.approx(1, rel=1e-3)


def test_affine_schemes_leave_the_condition_number_and_whitening_lowers_it(found):
    numbers = {arm: found[arm].initialization.condition_number for arm in ARMS}
    assert numbers["none"] > 1000
    assert numbers["unit"] == pytest.approx(numbers["none"], rel=1e-3)
    assert numbers["standardize"] == pytest.approx(numbers["none"], rel=1e-3)
    assert numbers["batch_norm"] == pytest.approx(numbers["none"], rel=1e-3)
    assert numbers["zca"] < numbers["none"] / 10


def test_the_condition_number_is_that_of_the_covariance(engine, trial, found):
    images = engine.inputs(trial.data, trial.seed, "none").split.x_train
    varying = images.reshape(len(images), -1)
    varying = varying[:, varying.std(axis=0) > 0].astype(np.float64)
    expected = np.linalg.cond(np.cov(varying.T))
    assert found["none"].initialization.condition_number == pytest.approx(expected, rel=1e-3)


def by_tape(engine: KerasEngine, trial: Trial) -> tuple[float, list[float]]:
    """Loss and gradient norms of the layers with weights, by automatic differentiation."""
    import keras
    import tensorflow as tf

    inputs = engine.inputs(trial.data, trial.seed, trial.normalization)
    model = engine.compiled(trial, inputs).model

    def layers(network: Any) -> list[Any]:
        nested = (
            [layer] if not hasattr(layer, "layers") else layers(layer) for layer in network.layers
        )
        return [layer for part in nested for layer in part if layer.trainable_variables]  # fmt: skip

    with tf.GradientTape() as tape:
        guesses = model(inputs.split.x_train, training=True)
        losses = keras.losses.sparse_categorical_crossentropy(inputs.split.y_train, guesses)
        loss = tf.reduce_mean(losses)
    weights = [[v.value for v in layer.trainable_variables] for layer in layers(model)]
    gradients = tape.gradient(loss, weights)
    norms = [math.sqrt(sum(float(tf.reduce_sum(g**2)) for g in layer)) for layer in gradients]
    return float(loss), norms


@pytest.mark.parametrize("arm", ["none", "unit", "batch_norm"])
def test_loss_and_gradients_are_those_of_automatic_differentiation(engine, trial, found, arm):
    loss, norms = by_tape(engine, replace(trial, normalization=arm))
    stage = found[arm].initialization
    assert stage.loss == pytest.approx(loss, rel=1e-4)
    assert [norm for _, norm in stage.gradients] == pytest.approx(norms, rel=1e-3)


def test_layers_are_named_from_the_first_to_the_last(found):
    names = ["conv2d_1", "dense_1", "dense_2"]
    for arm in ("none", "unit", "standardize", "zca"):
        assert [name for name, _ in found[arm].initialization.gradients] == names
        assert [name for name, _ in found[arm].after_epoch_1.gradients] == names
    learned = [name for name, _ in found["batch_norm"].initialization.gradients]
    assert learned == ["batch_normalization_1", *names]


def test_the_first_layers_gradient_grows_with_the_scale_of_the_inputs(found):
    first = {arm: found[arm].initialization.gradients[0][1] for arm in ("none", "unit")}
    assert first["none"] > 30 * first["unit"]


@pytest.mark.parametrize("normalization", ["unit", "batch_norm"])
def test_dead_units_are_channels_and_units_that_are_zero_throughout(engine, trial, normalization):
    built = replace(trial, model="diagnosis_half_dead", normalization=normalization, **PLAIN)
    assert diagnose(engine, built).initialization.dead_relus == pytest.approx(3 / 8)


def test_a_network_without_relus_has_no_share_of_dead_ones(engine, trial):
    diagnosis = diagnose(engine, replace(trial, model="diagnosis_linear", **PLAIN))
    stage = diagnosis.initialization
    assert math.isnan(stage.dead_relus)
    assert len(stage.gradients) == 1
    assert diagnosis.to_plain()["initialization"]["dead_relus"] == "nan"


def test_a_first_epoch_that_diverges_leaves_nothing_after_it(engine, trial):
    bad = replace(trial, normalization="none", optimizer="sgd", learning_rate=1e30)
    diagnosis = diagnose(engine, bad)
    assert diagnosis.after_epoch_1 is None
    assert diagnosis.initialization.loss > 3 * math.log(10)
    assert json.loads(json.dumps(diagnosis.to_plain(), allow_nan=False))["after_epoch_1"] is None


@pytest.mark.parametrize(
    "changed",
    [PLAIN, {"normalization": "batch_norm"}],
    ids=["the-probes-own-optimizer", "learned-preprocessing"],
)
def test_the_next_training_is_bit_identical(engine, never_looked, trial, changed):
    trial = replace(trial, **changed, epochs=2)
    before = diagnose(engine, trial)
    assert curve(run(engine, trial).result) == curve(run(never_looked, trial).result)
    assert diagnose(engine, trial) == before


def test_a_diagnosis_depends_on_no_number_of_epochs(engine, trial, found):
    assert diagnose(engine, replace(trial, epochs=99)) == found["unit"]


def test_a_diagnosis_can_be_written_as_json(found):
    plain = json.loads(json.dumps(found["none"].to_plain(), allow_nan=False))
    stage = found["none"].after_epoch_1
    assert plain["after_epoch_1"]["loss"] == stage.loss
    assert [tuple(pair) for pair in plain["after_epoch_1"]["gradients"]] == list(stage.gradients)
