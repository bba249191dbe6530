"""What a network is trained to give: scaled targets, losses, heads, the level of guessing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from normsweep.errors import DataError, SweepError
from normsweep.parts import losses, models
from normsweep.parts.dataset import Dataset
from normsweep.parts.losses import Head, head
from normsweep.parts.metrics import metric
from normsweep.sweep.parameters import CROSSENTROPY, TARGETS
from normsweep.sweep.trial import CONFIRM, DataKey, Result, Status, Trial
from normsweep.training.compiled_network import initial_weights
from normsweep.training.engine import Finished
from normsweep.training.keras_engine import KerasEngine
from normsweep.training.preflight import network_problem
from normsweep.training.preprocessing import split
from normsweep.training.snapshot import CheckpointPolicy
from normsweep.training.targets import fit_scaling, loss_options, targets_of

OUTPUTS = np.array([[-0.5, 0.25], [1.5, -2.0], [0.0, 3.0]], np.float32)


def numbers(rows: int = 260) -> Dataset:
    """A table with two targets of the sizes 1,000 and 0.1."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 4))
    y = np.c_[1000 * (3 + x[:, 0] + x[:, 1] ** 2), 0.1 * (x[:, 2] - x[:, 3]) + 1]
    return Dataset.of((x[:180], y[:180], x[180:], y[180:]))


def two_classes() -> Dataset:
    rng = np.random.default_rng(0)
    y = np.arange(180) % 2
    x = rng.normal(size=(180, 4)) + 2 * y[:, None]
    return Dataset.of((x[:120], y[:120], x[120:], y[120:]))


Made = Callable[..., tuple[KerasEngine, Trial]]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> KerasEngine:
    return KerasEngine(tmp_path_factory.mktemp("targets"))


@pytest.fixture
def of(engine: KerasEngine, trial: Callable[..., Trial]) -> Callable[..., Trial]:
    """Trials of a small network on a dataset."""

    def made(data: Dataset, **fields: object) -> Trial:
        key = DataKey("mine", data.save(engine.data_root), 0.2)
        return trial(
            model="mlp", model_options={"units": 16, "layers": 1}, data=key, batch_size=32,
            normalization="standardize", learning_rate=0.02, **fields,
        )  # fmt: skip

    return made


def run(engine: KerasEngine, trial: Trial) -> Finished:
    training = engine.train(trial, CheckpointPolicy.last())
    while True:
        try:
            next(training)
        except StopIteration as end:
            return end.value


@pytest.mark.parametrize("name", TARGETS)
def test_a_scaling_is_undone_as_numbers_and_as_layers(name: str, tmp_path: Path) -> None:
    own = numbers().y_train
    scaling = fit_scaling(name, own)
    assert scaling.undone(scaling.scaled(own)) == pytest.approx(own, rel=1e-5)
    raw = keras.Input((2,))
    keras.Model(raw, scaling.attach(raw)).save(tmp_path / "undone.keras")
    loaded = keras.models.load_model(tmp_path / "undone.keras")
    assert np.asarray(loaded(OUTPUTS)) == pytest.approx(scaling.undone(OUTPUTS), rel=1e-5)


def test_scalings_are_what_they_are_called() -> None:
    own = numbers().y_train
    standard, unit, logarithm = (
        fit_scaling(name, own).scaled(own) for name in ("standardize", "minmax", "log1p")
    )
    assert standard.mean(axis=0) == pytest.approx([0, 0], abs=1e-5)
    assert standard.std(axis=0) == pytest.approx([1, 1], abs=1e-5)
    assert (unit.min(axis=0).tolist(), unit.max(axis=0).tolist()) == ([0, 0], [1, 1])
    assert logarithm == pytest.approx(np.log1p(own), rel=1e-6)
    with pytest.raises(DataError, match="target: log1p needs targets above -1, got -3"):
        fit_scaling("log1p", own - own.min() - 3)


@pytest.mark.parametrize(
    ("loss", "classes", "outputs", "units", "activation"),
    [
        (CROSSENTROPY, 3, 0, 3, "softmax"),
        ("mse", 3, 0, 3, "softmax"),
        ("binary_crossentropy", 2, 0, 1, "sigmoid"),
        ("mse", 0, 2, 2, "linear"),
        ("poisson", 0, 1, 1, "softplus"),
        ("binary_crossentropy", 0, 4, 4, "sigmoid"),
    ],
)
def test_shipped_networks_have_the_head_of_task_and_loss(
    loss: str, classes: int, outputs: int, units: int, activation: str
) -> None:
    found = head(loss, classes, outputs)
    assert found == Head(units, activation)
    network = models.built(models.registry["mlp"].function, (4,), found, {"units": 4})
    assert network.layers[-1].get_config()["activation"] == activation
    assert network_problem(network, (4,), found) == ""


def test_a_softmax_is_no_head_of_a_regression() -> None:
    network = models.built(lambda shape, n: models.registry["mlp"].function(shape, n), (4,), Head(1, "linear"), {})  # fmt: skip
    wrong = network_problem(network, (4,), Head(1, "linear"))
    assert 'got a softmax; use activation="linear" in the last layer; the labels, which' in wrong
    assert wrong.endswith("make this a regression")


@models.register("test_frozen_regression")
def frozen(input_shape, outputs, activation):
    body = keras.layers.Dense(6, trainable=False, name="body")
    head = keras.layers.Dense(outputs, activation=activation, name="head")
    return keras.Sequential([keras.Input(input_shape), body, head])


@pytest.mark.parametrize("initial", ["frozen", "built"])
def test_a_regression_keeps_the_weights_that_its_network_is_built_with(initial, of, engine) -> None:
    given = {"model": "test_frozen_regression", "model_options": {}, "initial": initial}
    trial = replace(of(numbers(), loss="mse"), **given)
    body, _, head, _ = initial_weights(trial, engine.inputs_of(trial)).weights
    other = initial_weights(replace(trial, seed=9), engine.inputs_of(trial)).weights
    assert head.shape == (6, 2)
    assert np.array_equal(body, other[0])
    assert np.array_equal(head, other[2]) == (initial == "built")


def test_images_without_their_axis_of_channels_are_told_how_a_network_begins() -> None:
    network = models.registry["mlp"].function((8, 8), 3)
    wrong = network_problem(network, (8, 8, 1), Head(3, "softmax"))
    assert wrong.endswith(
        "begin the network with keras.Input((8, 8, 1)): images have an axis of channels"
    )


@pytest.mark.parametrize("name", [part.name for part in losses.registry])
def test_every_loss_is_least_for_perfect_outputs(
    name: str, of: Callable[..., Trial], engine: KerasEngine
) -> None:
    details = losses.loss(name)
    for task in details.tasks:
        data = numbers() if task == "regression" else two_classes()
        by = "rmse" if task == "regression" else "accuracy"
        options = {"label_smoothing": 0.1} if name == CROSSENTROPY else {}
        trial = of(data, loss=name, target="minmax", metric=by, loss_options=options)
        inputs = engine.inputs_of(trial)
        guessing = targets_of(trial, inputs).guessing(inputs, metric(by))
        assert guessing is not None
        assert guessing.least < guessing.loss < math.inf


def test_guessing_has_the_deviation_of_the_targets(
    of: Callable[..., Trial], engine: KerasEngine
) -> None:
    data = numbers()
    trial = of(data, loss="mse", target="standardize", metric="rmse")
    inputs = engine.inputs_of(trial)
    found = targets_of(trial, inputs).guessing(inputs, metric("rmse"), data.y_test)
    assert found is not None
    mean = inputs.split.y_train.mean(axis=0)
    assert found.loss == pytest.approx(1, rel=1e-4)
    assert found.score == pytest.approx(np.sqrt(np.mean((inputs.split.y_val - mean) ** 2)))
    assert found.test_score == pytest.approx(np.sqrt(np.mean((data.y_test - mean) ** 2)))
    assert found.scores_no_better(0.99 * found.score, sign=-1)
    assert not found.scores_no_better(0.5 * found.score, sign=-1)
    plain = of(two_classes())
    assert targets_of(plain, engine.inputs_of(plain)).guessing(engine.inputs_of(plain), metric("accuracy")) is None  # fmt: skip


def test_targets_that_a_loss_does_not_allow_are_refused(
    of: Callable[..., Trial], engine: KerasEngine
) -> None:
    trial = of(numbers(), loss="poisson", target="standardize", metric="mae")
    with pytest.raises(SweepError, match="loss: poisson needs targets from 0 to inf, got -"):
        targets_of(trial, engine.inputs_of(trial))


def test_a_regression_is_scored_in_the_unit_of_its_targets(
    of: Callable[..., Trial], engine: KerasEngine
) -> None:
    data = numbers()
    trial = of(
        data, loss="huber", loss_options={"huber_delta": 0.5}, target="standardize", metric="mae",
        epochs=8, phase=CONFIRM,
    )  # fmt: skip
    finished = run(engine, trial)
    result = finished.result
    assert (result.status, result.error) == (Status.COMPLETE, "")
    last = result.curve[-1]
    assert math.isnan(last.val_accuracy)
    assert last.tested is not None
    assert result.guessing
    assert last.value < 0.8 * result.guessing.score
    assert finished.state is not None
    model, _ = engine.deployable(trial, finished.state)
    parts = split(data, 0.2, trial.seed)
    for x, y, score in (
        (parts.x_val, parts.y_val, last.value),
        (data.x_test, data.y_test, last.tested.value),
    ):
        predicted = np.asarray(model(x), np.float64)
        assert metric("mae").of(y, predicted) == pytest.approx(score, rel=1e-4)
    read = Result.from_json(result.to_json())
    assert (read.guessing, read.curve[-1].value) == (result.as_read.guessing, result.as_read.curve[-1].value)  # fmt: skip


def test_two_classes_with_one_sigmoid_output_train_as_two_softmax_outputs(
    of: Callable[..., Trial], engine: KerasEngine
) -> None:
    data = two_classes()
    trial = of(data, loss="binary_crossentropy", epochs=4, phase=CONFIRM)
    finished = run(engine, trial)
    last = finished.result.curve[-1]
    assert last.val_accuracy > 0.9
    assert last.tested is not None
    assert last.tested.accuracy > 0.9
    by_loss = run(engine, replace(trial, metric="log_loss")).result.curve[-1]
    assert by_loss.value == pytest.approx(by_loss.val_loss, rel=1e-4)
    assert finished.state is not None
    model, _ = engine.deployable(trial, finished.state)
    assert model.output_shape == (None, 1)
    assert np.mean((np.asarray(model(data.x_test))[:, 0] > 0.5) == data.y_test) == last.tested.accuracy  # fmt: skip


def test_targets_that_are_all_equal_are_not_scaled():
    """The deviation of equal values that are no binary fractions is a rounding error."""
    targets = np.c_[np.full(37, 0.1), np.arange(37.0)]
    for name in ("standardize", "minmax"):
        assert fit_scaling(name, targets).scale[0] == 1
    assert metric("r2").of(targets, targets + np.array([0.01, 0])) == pytest.approx(0.5)


def test_an_option_of_a_loss_that_is_zero_counts_unless_that_is_its_default(trial) -> None:
    given = {"focal_gamma": 0.0, "label_smoothing": 0.0}
    focal = trial(loss="categorical_focal_crossentropy", loss_options=given)
    assert loss_options(focal) == (("focal_gamma", 0.0),)
