from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from normsweep.errors import DataError, DeviceError, SweepError
from normsweep.parts import normalizations
from normsweep.parts.dataset import Dataset
from normsweep.sweep.trial import DataKey, Trial
from normsweep.training.keras_engine import KerasEngine
from normsweep.training.preflight import PreflightRequest, equivalents, without_information
from normsweep.training.preprocessing import batch_order, fit_preprocessing, split
from normsweep.training.synthetic_engine import SyntheticEngine


@normalizations.register("preflight_zeros")
def zeros(train):
    """Integers divided by a larger one."""
    import keras

    return [keras.layers.Rescaling(0.0)]


def trial(key: DataKey, **fields) -> Trial:
    content = {
        "number": -1, "arm": "unit", "slot": -1, "seed": 0, "data": key, "model": "mlp",
        "model_options": {}, "normalization": "unit", "optimizer": "adam",
        "optimizer_options": {}, "learning_rate": 0.001, "batch_size": 32, "epochs": 1,
    }  # fmt: skip
    return Trial(**{**content, **fields})


def test_normalizations_that_do_the_same_on_this_data_are_found(digits_root, digits_key):
    question = PreflightRequest(
        (trial(digits_key),), ("unit", "none", "minmax", "center", "batch_norm"), "auto"
    )
    findings = KerasEngine(digits_root).preflight(question)
    assert findings.same == {"minmax": "unit"}
    assert (findings.train_images, findings.val_images) == (1149, 288)
    assert findings.parameters == 64 * 128 + 128 + 128 * 128 + 128 + 128 * 10 + 10
    assert findings.seconds_per_step == 0
    assert not findings.seconds


def test_normalizations_after_which_all_images_are_the_same_are_found(digits_root, digits_key):
    question = PreflightRequest((trial(digits_key),), ("unit", "preflight_zeros", "none"), "auto")
    assert KerasEngine(digits_root).preflight(question).empty == ("preflight_zeros",)


def test_one_image_that_differs_is_information(digits_root, digits_key):
    images = np.zeros((5000, 4, 4), np.uint8)
    fitted = {"none": fit_preprocessing("none", images)}
    assert without_information(fitted, images) == ("none",)
    images[4321, 2, 2] = 1
    assert without_information(fitted, images) == ()


def test_columns_are_compared_by_their_own_size():
    """Beside a column of millions, what happens to the others is no rounding."""
    rng = np.random.default_rng(0)
    table = np.c_[rng.normal(1e6, 1e5, 500), rng.normal(size=(500, 2))].astype(np.float32)
    asinh = '{"1": "asinh", "default": "none"}'
    fitted = {name: fit_preprocessing(name, table) for name in ("none", asinh, "divide(1)")}
    assert equivalents(fitted, table) == {"divide(1)": "none"}
    shifted = table.copy()
    shifted[:, 0] = 1e7
    assert without_information({"none": fit_preprocessing("none", shifted)}, shifted) == ()
    assert without_information({"none": fitted["none"]}, np.ones_like(table)) == ("none",)


def test_a_step_is_measured_where_asked(digits_root, digits_key):
    question = PreflightRequest((trial(digits_key),), ("unit",), "auto", measure=True)
    findings = KerasEngine(digits_root).preflight(question)
    assert list(findings.seconds) == list(dict.fromkeys(["float32", findings.automatic]))
    assert findings.seconds_per_step == findings.seconds["float32"] > 0


def large(root: Path) -> DataKey:
    images = np.random.default_rng(0).integers(0, 256, (20, 70, 70), dtype=np.uint8)
    labels = np.arange(20) % 2
    arrays = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
    return DataKey("large", Dataset.checked("large", "test", arrays).save(root), 0.2)


def test_whitening_of_large_images_is_refused_before_any_trial(tmp_path):
    key = large(tmp_path)
    with pytest.raises(DataError, match="at most 4,096 features, got images of 4,900"):
        KerasEngine(tmp_path).preflight(PreflightRequest((trial(key),), ("unit", "zca"), "auto"))


def test_a_network_that_cannot_be_built_is_refused_before_any_trial(digits_root, digits_key):
    bad = trial(digits_key, model_options={"units": "many"})
    with pytest.raises(SweepError, match="model mlp: cannot be built .* units = many"):
        KerasEngine(digits_root).preflight(PreflightRequest((bad,), ("unit",), "auto"))


def test_a_gpu_that_is_not_there_is_refused(digits_root, digits_key):
    import keras

    if keras.distribution.list_devices("gpu"):
        pytest.skip("this machine has a GPU")
    with pytest.raises(DeviceError, match="no GPU is visible to .*; use --device cpu"):
        KerasEngine(digits_root).preflight(PreflightRequest((trial(digits_key),), ("unit",), "gpu"))


def test_a_split_keeps_each_classs_share_and_loses_nothing(digits_root, digits_key):
    data = Dataset.open(digits_root, digits_key.digest)
    parts = split(data, 0.2, seed=5)
    shares = np.bincount(parts.y_val) / np.bincount(data.y_train)
    assert np.all(np.abs(shares - 0.2) < 0.01)
    rejoined = np.sort(np.concatenate([parts.x_train, parts.x_val]).reshape(-1, 64), axis=0)
    np.testing.assert_array_equal(rejoined, np.sort(data.x_train.reshape(-1, 64), axis=0))
    assert not np.array_equal(parts.y_val, split(data, 0.2, seed=6).y_val)


def test_a_share_too_small_for_every_class_is_refused(digits_root, digits_key):
    data = Dataset.open(digits_root, digits_key.digest)
    with pytest.raises(
        DataError, match=r"validation_split: must leave an image of each class .* got 0.001"
    ):
        split(data, 0.001, seed=0)


def test_every_epoch_has_an_order_of_its_own():
    first, second = batch_order(100, 7, 1), batch_order(100, 7, 2)
    assert sorted(first) == sorted(second) == list(range(100))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, batch_order(100, 7, 1))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"optimizer": "sgd", "optimizer_options": {"momentum": 5.0}}, "optimizer sgd: .* momentum = 5.0"),
        ({"model_options": {"units": 0}}, "model mlp: .* units = 0"),
    ],
)  # fmt: skip
def test_an_option_that_is_refused_is_told_before_any_trial(
    digits_root, digits_key, fields, message
):
    bad = (trial(digits_key), trial(digits_key, **fields))
    with pytest.raises(SweepError, match=message):
        KerasEngine(digits_root).preflight(PreflightRequest(bad, ("unit",), "auto"))


def test_an_option_of_the_formula_is_tried_too(digits_root, digits_key):
    good = trial(digits_key, model="synthetic")
    bad = replace(good, model_options={"seconds": "abc"})
    engine = SyntheticEngine(digits_root)
    findings = engine.preflight(PreflightRequest((good,), ("unit", "minmax"), "auto"))
    assert (findings.same, findings.machine["backend"]) == ({}, "none")
    assert (findings.train_images, findings.val_images) == (1149, 288)
    with pytest.raises(SweepError, match="model synthetic: .* seconds = abc"):
        engine.preflight(PreflightRequest((good, bad), ("unit",), "auto"))


def test_learned_preprocessing_starts_untouched(digits_root, digits_key):
    images = np.asarray(Dataset.open(digits_root, digits_key.digest).x_train)
    preprocessing = fit_preprocessing("batch_norm", images)
    assert not preprocessing.fixed
    layer = preprocessing.layers[-1]
    np.testing.assert_array_equal(np.array(layer.moving_mean), 0)
    np.testing.assert_array_equal(np.array(layer.moving_variance), 1)
