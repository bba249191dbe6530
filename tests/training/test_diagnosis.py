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
from normsweep.training.diagnosis import CURVED, IMAGES, diagnose, diagnose_start
from normsweep.training.engine import Finished
from normsweep.training.keras_engine import KerasEngine
from normsweep.training.preprocessing import Inputs, affine_of, batch_order
from normsweep.training.second_moment import (
    Spectrum,
    Window,
    first_layer,
    moments,
    spectrum,
)
from normsweep.training.snapshot import CheckpointPolicy
from normsweep.training.stability import denominators, rate_factor

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
            keras.layers.Conv2D(8, 5, activation="relu", padding="same"),
            keras.layers.Flatten(),
            keras.layers.Dense(40, activation="relu"),
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


def sample(inputs: Inputs) -> tuple[Any, Any]:
    """The images that are looked at, and their labels."""
    chosen = np.unique(np.linspace(0, len(inputs.split.y_train) - 1, IMAGES).astype(int))
    return inputs.split.x_train[chosen], inputs.split.y_train[chosen]


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
    logs = model.test_on_batch(*sample(inputs), return_dict=True)
    assert found[arm].after_epoch_1.loss == pytest.approx(float(logs["loss"]), rel=1e-4)
    assert found[arm].after_epoch_1.loss != pytest.approx(found[arm].initialization.loss, rel=0.02)


def test_what_the_first_layer_is_fed_is_that_of_the_training_split(engine, trial, found):
    inputs = engine.inputs(trial.data, trial.seed, "none")
    whole = np.asarray(inputs.split.x_train, np.float64)
    raw = np.asarray(sample(inputs)[0], np.float64)
    for arm, scale, offset in (("none", 1, 0), ("unit", 255, 0), ("standardize", whole.std(), whole.mean())):  # fmt: skip
        stage = found[arm].initialization
        assert stage.input_mean == pytest.approx((raw.mean() - offset) / scale, abs=1e-4)
        assert stage.input_std == pytest.approx(raw.std() / scale, rel=1e-5)
    learned = found["batch_norm"].initialization
    assert learned.input_mean == pytest.approx(0, abs=1e-4)
    assert learned.input_std == pytest.approx(1, rel=1e-3)


def test_the_second_moment_is_that_of_patches_with_zeros_beside_them_and_a_one(
    engine, trial, found
):
    images = sample(engine.inputs(trial.data, trial.seed, "none"))[0][..., 0].astype(np.float64)
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    places = [(row, column) for row in range(5) for column in range(5)]
    columns = [padded[:, row : row + 8, column : column + 8].ravel() for row, column in places]
    rows = np.stack([*columns, np.ones(images.size)])
    values = np.linalg.eigvalsh(rows @ rows.T / images.size)
    stage = found["none"].initialization
    assert stage.moment == pytest.approx(values[-1])
    assert stage.condition == pytest.approx(values[-1] / values[0], rel=1e-6)
    assert found["none"].after_epoch_1.moment == stage.moment
    assert found["zca"].initialization.condition < stage.condition / 10


@pytest.mark.parametrize("layer", ["diagnosis_small", "diagnosis_linear"])
@pytest.mark.parametrize("arm", ["unit", "symmetric", "center", "standardize"])
def test_moments_of_affine_schemes_follow_from_those_of_raw_images(engine, trial, arm, layer):
    built = replace(trial, model=layer, normalization=arm)
    inputs = engine.inputs(trial.data, trial.seed, arm)
    raw = engine.inputs(trial.data, trial.seed, "none").split.x_train[:IMAGES]
    window = Window.of(first_layer(engine.compiled(built, inputs).model))
    assert window is not None
    shaped = (lambda x: x) if window.size else (lambda x: x.reshape(len(x), -1))
    change = affine_of(inputs.preprocessing.layers)
    assert change is not None
    closed = Spectrum.of(moments(shaped(raw), window).affine(*change))
    measured = spectrum(shaped(inputs.split.x_train[:IMAGES]), window)
    assert measured.largest == pytest.approx(closed.largest, rel=1e-5)
    assert measured.condition == pytest.approx(closed.condition, rel=1e-3)


def test_of_more_features_than_rows_the_eigenvalues_are_those_between_rows():
    inputs = np.random.default_rng(0).normal(size=(30, 1100)) + 1
    rows = np.c_[inputs, np.ones(30)]
    expected = np.linalg.eigvalsh(rows @ rows.T / 30)
    found = spectrum(inputs, Window())
    assert found.largest == pytest.approx(expected[-1])
    assert found.condition == pytest.approx(expected[-1] / expected[0])


def exact_hessian(model: Any, images: Any) -> Any:
    """The Hessian of a softmax regression, weights class by class."""
    shares = np.asarray(model.predict_on_batch(images), np.float64)
    rows = np.c_[images.reshape(len(images), -1), np.ones(len(images))].astype(np.float64)
    spread = shares[:, :, None] * (np.eye(shares.shape[1]) - shares[:, None, :])
    size = rows.shape[1] * shares.shape[1]
    return np.einsum("nkl,ni,nj->kilj", spread, rows, rows, optimize=True).reshape(
        size, size
    ) / len(rows)


@pytest.mark.parametrize("arm", ["none", "unit"])
def test_the_curvature_is_the_hessians_largest_eigenvalue(engine, trial, arm):
    built = replace(trial, model="diagnosis_linear", normalization=arm, **PLAIN)
    inputs = engine.inputs(trial.data, trial.seed, arm)
    compiled = engine.compiled(built, inputs)
    first = batch_order(len(inputs.split.y_train), trial.seed, 1)[:CURVED]
    images, labels = inputs.split.x_train[first], inputs.split.y_train[first]
    hessian = exact_hessian(compiled.model, images)
    expected = np.linalg.eigvalsh(hessian)[-1]
    assert compiled.curvature.sharpness(images, labels) == pytest.approx(expected, rel=0.03)
    ones = [np.full(v.shape, 4.0) for v in compiled.model.trainable_variables]
    assert compiled.curvature.sharpness(images, labels, ones) == pytest.approx(
        expected / 4, rel=0.03
    )
    stage = diagnose_start(engine, built).initialization
    assert stage.sharpness == pytest.approx(expected, rel=0.03)
    assert stage.stable_rate == 2 / stage.sharpness


def test_an_adaptive_optimizer_has_a_stable_rate_once_it_has_taken_steps(found):
    diagnosis = found["unit"]
    assert list(diagnosis.stages) == [
        "initialization",
        "after epoch 1",  # of three steps
        "after 10 steps",
        "after 100 steps",
    ]
    assert [stage.step for stage in diagnosis.stages.values()] == [0, 3, 10, 100]
    assert math.isnan(diagnosis.initialization.stable_rate)
    assert diagnosis.initialization.sharpness > 0
    for stage in diagnosis.after_steps:
        assert 1e-5 < stage.stable_rate < 1
        assert math.isnan(stage.sharpness)


@pytest.mark.parametrize(
    "options", [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}], ids=str
)
def test_on_a_quadratic_an_optimizer_is_stable_up_to_its_factor(options):
    import keras

    for share, stable in ((0.97, True), (1.03, False)):
        weight, optimizer = keras.Variable(1.0), keras.optimizers.SGD(1.0, **options)
        optimizer.learning_rate = share * rate_factor(optimizer) / 5.0
        for _ in range(150):
            optimizer.apply([5.0 * weight], [weight])
        assert (abs(float(weight)) < 1) == stable


def test_adams_denominator_is_the_size_of_a_gradient_that_is_always_the_same():
    import keras

    weight, optimizer = keras.Variable([1.0, 1.0]), keras.optimizers.Adam(1e-9)
    for _ in range(10):
        optimizer.apply([keras.ops.array([3.0, 0.5])], [weight])
    (found,) = denominators(optimizer)
    assert found == pytest.approx((1 - 0.9**10) * np.array([3.0, 0.5]), rel=1e-4)
    assert rate_factor(optimizer) == pytest.approx(38)


def test_the_first_step_of_adam_moves_each_weight_by_the_learning_rate(engine, trial, found):
    inputs = engine.inputs(trial.data, trial.seed, "unit")
    kernel = np.asarray(first_layer(engine.compiled(trial, inputs).model).kernel)
    expected = trial.learning_rate * math.sqrt(kernel.size) / np.linalg.norm(kernel)
    assert found["unit"].initialization.update == pytest.approx(expected, rel=0.05)


def test_outputs_that_are_sure_are_counted(found):
    assert found["none"].initialization.saturated > 0.5
    assert found["unit"].initialization.saturated == 0


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

    images, labels = sample(inputs)
    with tf.GradientTape() as tape:
        guesses = model(images, training=True)
        losses = keras.losses.sparse_categorical_crossentropy(labels, guesses)
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
