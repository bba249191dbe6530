"""Testing on the test data after each epoch of a confirmation's trial, and of no other."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from normsweep.parts import models
from normsweep.parts.dataset import Dataset
from normsweep.sweep.trial import CONFIRM, SEARCH, DataKey, Epoch, Result, Status, Tested, Trial
from normsweep.training.engine import Engine, Finished
from normsweep.training.keras_engine import KerasEngine
from normsweep.training.snapshot import CheckpointPolicy
from normsweep.training.synthetic_engine import SyntheticEngine


@models.register("testing_dropout")
def dropout_network(input_shape: tuple[int, ...], classes: int) -> Any:
    """What a test on the way would disturb, if it drew from the Dropout's seed."""
    import keras

    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Flatten(),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(classes, activation="softmax"),
        ]
    )


def run(engine: Engine, trial: Trial) -> Finished:
    training = engine.train(trial, CheckpointPolicy.last())
    try:
        while True:
            next(training)
    except StopIteration as end:
        return end.value


def curve(result: Result) -> list[tuple[float, ...]]:
    return [(e.train_loss, e.train_accuracy, e.val_loss, e.val_accuracy) for e in result.curve]


def bits(epoch: Epoch) -> np.ndarray:
    assert epoch.tested is not None
    packed = np.frombuffer(epoch.tested.bits, np.uint8)
    return np.unpackbits(packed, count=epoch.tested.images).astype(bool)


@pytest.fixture(scope="module")
def engine(digits_root: Path) -> KerasEngine:
    return KerasEngine(digits_root)


@pytest.fixture(scope="module")
def searching(digits_root: Path) -> KerasEngine:
    """An engine that tests nothing."""
    return KerasEngine(digits_root)


@pytest.fixture(scope="module")
def data(digits_root: Path, digits_key: DataKey) -> Dataset:
    return Dataset.open(digits_root, digits_key.digest)


@pytest.fixture(scope="module")
def trial(digits_key: DataKey) -> Trial:
    return Trial(
        number=0, arm="unit", slot=0, seed=3, data=digits_key, model="mlp",
        model_options={"units": 16, "layers": 1}, normalization="unit", optimizer="adam",
        optimizer_options={}, learning_rate=0.05, batch_size=383, epochs=3, phase=CONFIRM,
    )  # fmt: skip


@pytest.mark.parametrize(
    "changed",
    [
        {"normalization": "standardize"},
        {"normalization": "batch_norm"},
        {"model": "testing_dropout", "model_options": {}},
    ],
    ids=["fixed", "learned", "dropout"],
)
def test_testing_leaves_the_training_as_it_is_to_the_last_bit(engine, searching, trial, changed):
    confirmed = run(engine, replace(trial, **changed))
    searched = run(searching, replace(trial, **changed, phase=SEARCH))
    assert confirmed.result.status is Status.COMPLETE, confirmed.result.error
    assert curve(confirmed.result) == curve(searched.result)
    for one, other in zip(confirmed.state.model, searched.state.model, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("normalization", ["standardize", "zca", "batch_norm"])
def test_the_bits_are_those_of_the_deployed_model_on_raw_images(engine, trial, normalization):
    trial = replace(trial, normalization=normalization)
    finished = run(engine, trial)
    model, data = engine.deployable(trial, finished.state)
    predicted = model.predict(np.asarray(data.x_test)[..., 0], verbose=0).argmax(axis=1)
    last = finished.result.curve[-1]
    np.testing.assert_array_equal(bits(last), predicted == data.y_test)
    assert last.tested.accuracy == pytest.approx(np.mean(predicted == data.y_test))
    assert last.tested.accuracy > 0.5


def test_the_bits_are_those_of_the_network_computed_by_hand(engine, trial, data):
    finished = run(engine, trial)
    first, first_bias, second, second_bias = finished.state.model[:4]
    images = np.asarray(data.x_test).reshape(len(data.y_test), -1) / 255
    hidden = np.maximum(images @ first + first_bias, 0)
    right = (hidden @ second + second_bias).argmax(axis=1) == data.y_test
    np.testing.assert_array_equal(bits(finished.result.curve[-1]), right)


def test_every_epoch_is_tested_on_all_test_images_and_they_are_named(engine, trial, data):
    result = run(engine, trial).result
    assert [e.tested.images for e in result.curve] == [len(data.y_test)] * 3
    assert len({e.tested.bits for e in result.curve}) == 3
    assert result.test_digest == data.test_digest


def test_the_test_digest_is_that_of_the_test_images_and_labels_alone(data):
    assert data.subset(500, seed=0).test_digest == data.test_digest
    assert data.subset(500, seed=0).digest != data.digest
    shifted = (np.asarray(data.y_test) + 1) % 10
    darker = np.asarray(data.x_test) // 2
    others = {replace(data, y_test=shifted).test_digest, replace(data, x_test=darker).test_digest}
    assert len({*others, data.test_digest}) == 3


@pytest.fixture
def without_test_images(digits_root, digits_key, tmp_path) -> Path:
    """The digits as workers find them, their test images gone."""
    folder = tmp_path / digits_key.digest
    shutil.copytree(digits_root / digits_key.digest, folder)
    for name in ("x_test", "y_test"):
        np.save(folder / f"{name}.npy", np.load(folder / f"{name}.npy")[:0])
    return tmp_path


def test_a_trial_of_the_search_never_touches_the_test_images(engine, trial, without_test_images):
    searched = replace(trial, phase=SEARCH)
    blind_engine = KerasEngine(without_test_images)
    blind = run(blind_engine, searched).result
    assert blind.status is Status.COMPLETE, blind.error
    assert curve(blind) == curve(run(engine, searched).result)
    assert {e.tested for e in blind.curve} == {None}
    assert blind.test_digest == ""
    assert run(blind_engine, trial).result.status is Status.CRASHED


def test_an_epoch_that_diverged_is_not_tested(engine, trial):
    bad = replace(trial, normalization="none", learning_rate=1e30)
    result = run(engine, bad).result
    assert result.status is Status.DIVERGED
    assert result.curve[-1].tested is None
    assert result.test_digest


def test_the_first_image_is_the_highest_bit_and_the_last_byte_is_filled_up():
    right = np.zeros(10, bool)
    right[[0, 9]] = True
    tested = Tested(10, np.packbits(right).tobytes())
    assert tested.bits == bytes([0b10000000, 0b01000000])
    assert tested.accuracy == 0.2


PLANTED = {"ceiling": {"unit": 0.9, "default": 0.6}, "speed": 3.0, "noise": 0.0}


def test_synthetic_bits_have_the_planted_accuracy_and_one_difficulty_of_images(digits_root, trial):
    planted = replace(trial, model="synthetic", model_options=PLANTED, learning_rate=1e-3, epochs=8)
    result = run(SyntheticEngine(digits_root), planted).result
    assert result.curve[-1].tested.accuracy == pytest.approx(0.9, abs=0.03)
    assert result.test_digest
    weaker = run(SyntheticEngine(digits_root), replace(planted, arm="none")).result
    strong, weak = (bits(r.curve[-1]) for r in (result, weaker))
    assert weak.mean() == pytest.approx(0.6, abs=0.05)
    assert np.all(strong >= weak)
    early = bits(result.curve[0])
    assert np.all(strong >= early)
    assert early.sum() < strong.sum()


def test_a_synthetic_trial_is_tested_in_the_confirmation_only_and_learns_the_same(
    digits_root, trial
):
    noisy = {**PLANTED, "noise": 0.01}
    confirmed = replace(trial, model="synthetic", model_options=noisy, learning_rate=1e-3)
    searched = run(SyntheticEngine(digits_root), replace(confirmed, phase=SEARCH)).result
    assert curve(searched) == curve(run(SyntheticEngine(digits_root), confirmed).result)
    assert {e.tested for e in searched.curve} == {None}
    assert searched.test_digest == ""
