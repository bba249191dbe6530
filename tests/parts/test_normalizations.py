"""What holds of every registered normalization, and what each one does."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from normsweep.errors import DataError
from normsweep.parts import normalizations
from normsweep.parts.dataset import Dataset
from normsweep.training.preprocessing import Preprocessing, fit_preprocessing, prepare, split

NAMES = [part.name for part in normalizations.registry]
KINDS = ["uint8", "float32"]


def images(kind: str, seed: int = 0, n: int = 48) -> np.ndarray:
    """(n, 5, 6, 1) with two constant pixels, a constant image and one of zeros."""
    rng = np.random.default_rng(seed)
    made = rng.integers(0, 256, (n, 5, 6, 1)) if kind == "uint8" else rng.normal(5, 2, (n, 5, 6, 1))
    made[:, 0, 0], made[:, 0, 1] = 7, 0
    made[0], made[1] = 3, 0
    return made.astype(kind)


def outputs(preprocessing: Preprocessing, raw: np.ndarray) -> np.ndarray:
    import keras

    return keras.ops.convert_to_numpy(preprocessing.attach(raw))


@pytest.fixture(scope="module")
def preprocessings() -> dict[tuple[str, str], Preprocessing]:
    return {(name, kind): fit_preprocessing(name, images(kind)) for name in NAMES for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_finite_float32_images_of_a_sane_size(preprocessings, name, kind):
    raw = images(kind, seed=1)
    raw[2:, 0, :2] = raw[2:, 1, :2]  # what was constant in training need not stay so
    normalized = outputs(preprocessings[name, kind], raw)
    assert normalized.shape == raw.shape
    assert normalized.dtype == np.float32
    assert np.isfinite(normalized).all()
    assert np.abs(normalized).max() <= 4 * np.abs(raw.astype(float)).max()


@pytest.mark.parametrize(
    "value", [np.uint8(0), np.uint8(7), np.float32(0.1), np.float64(0.1)], ids=repr
)
@pytest.mark.parametrize("name", NAMES)
def test_where_all_images_are_one_constant_a_zero_scale_counts_as_one(name, value):
    preprocessing = fit_preprocessing(name, np.full((8, 4, 4, 1), value))
    other = np.full((2, 4, 4, 1), value + value.dtype.type(1))
    normalized = outputs(preprocessing, other)
    assert np.isfinite(normalized).all()
    assert np.abs(normalized).max() <= 25


@pytest.mark.parametrize("name", NAMES)
def test_statistics_are_those_of_the_training_split_alone(name):
    labels = np.arange(48) % 2
    raw = {
        "x_train": images("uint8"),
        "y_train": labels,
        "x_test": images("uint8", 2),
        "y_test": labels,
    }
    held_out = split(Dataset.checked("own", "here", raw), 0.25, seed=3).x_val
    changed = raw["x_train"].copy()
    for i, image in enumerate(raw["x_train"]):
        if (held_out == image).all(axis=(1, 2, 3)).any():
            changed[i] = 255 - image // 2
    other = raw | {"x_train": changed, "x_test": 255 - raw["x_test"]}
    before, after = (
        prepare(Dataset.checked("own", "here", arrays), 0.25, 3, name) for arrays in (raw, other)
    )
    assert np.array_equal(before.split.x_train, after.split.x_train)
    assert not np.array_equal(before.split.x_val, after.split.x_val)
    assert np.array_equal(
        outputs(before.preprocessing, raw["x_test"]), outputs(after.preprocessing, raw["x_test"])
    )


LOADER = """
import sys
sys.modules["normsweep"] = None  # importing it would fail
from pathlib import Path
import keras
import numpy as np
folder = Path(sys.argv[1])
raw = dict(np.load(folder / "raw.npz"))
done = {p.stem: keras.models.load_model(p).predict(raw[p.stem.split("-")[1]], verbose=0)
        for p in folder.glob("*.keras")}
np.savez(folder / "outputs.npz", **done)
"""


@pytest.fixture(scope="module")
def reloaded(preprocessings, tmp_path_factory) -> dict[str, np.ndarray]:
    """By `name-kind`, the outputs of every preprocessing, loaded where there is no normsweep."""
    import keras

    folder: Path = tmp_path_factory.mktemp("saved")
    np.savez(folder / "raw.npz", **{kind: images(kind, seed=1) for kind in KINDS})
    for (name, kind), preprocessing in preprocessings.items():
        inputs = keras.Input(images(kind).shape[1:], dtype=kind)
        keras.Model(inputs, preprocessing.attach(inputs)).save(folder / f"{name}-{kind}.keras")
    command = [sys.executable, "-I", "-c", LOADER, str(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(np.load(folder / "outputs.npz"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_saved_preprocessing_does_the_same_on_raw_images_without_normsweep(
    preprocessings, reloaded, name, kind
):
    expected = outputs(preprocessings[name, kind], images(kind, seed=1))
    np.testing.assert_allclose(reloaded[f"{name}-{kind}"], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_every_preprocessing_is_fixed_but_the_learned_one(preprocessings, name):
    assert preprocessings[name, "uint8"].fixed is (name != "batch_norm")


def test_preprocessing_is_float32_whatever_the_networks_precision():
    import keras

    keras.config.set_dtype_policy("mixed_float16")
    try:
        preprocessing = fit_preprocessing("l2", images("uint8"))
        assert keras.config.dtype_policy().name == "mixed_float16"
        assert outputs(preprocessing, images("uint8")).dtype == np.float32
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_preprocessing_is_applied_with_the_bits_of_a_keras_model(preprocessings, name, kind):
    import keras

    raw, preprocessing = images(kind), preprocessings[name, kind]
    if kind == "float32":
        raw[0] = -0.0
    inputs = keras.Input(raw.shape[1:], dtype=kind)
    model = keras.Model(inputs, preprocessing.attach(inputs))
    assert preprocessing.apply(raw).tobytes() == model.predict_on_batch(raw).tobytes()


def test_preprocessing_is_applied_in_parts_with_the_same_outcome(preprocessings):
    raw = images("uint8", n=5000)
    np.testing.assert_allclose(
        preprocessings["standardize", "uint8"].apply(raw),
        outputs(preprocessings["standardize", "uint8"], raw),
        atol=1e-5,
    )


# What each one does, on the images that it was fitted to.


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    return request.param


@pytest.fixture
def fitted(preprocessings, kind):
    """The raw images as float64, and what a normalization makes of them."""
    raw = images(kind)
    return lambda name: (raw.astype(float), outputs(preprocessings[name, kind], raw).astype(float))


def test_none_leaves_the_pixels_alone(fitted):
    raw, normalized = fitted("none")
    assert np.array_equal(raw, normalized)


@pytest.mark.parametrize(
    ("dtype", "largest"), [("uint8", 255), ("uint16", 65535), ("int16", 32768), ("float32", 4.0)]
)
def test_unit_divides_by_the_largest_value_of_the_type_or_of_the_images(dtype, largest):
    low = -largest if np.dtype(dtype).kind in "if" else 0
    raw = np.linspace(low, largest - 1, 32).reshape(2, 4, 4, 1).astype(dtype)
    np.testing.assert_allclose(
        outputs(fit_preprocessing("unit", raw), raw), raw / largest, rtol=1e-6
    )


def test_symmetric_maps_eight_bits_to_minus_one_to_one():
    raw = np.arange(256, dtype=np.uint8).reshape(16, 4, 4, 1)
    normalized = outputs(fit_preprocessing("symmetric", raw), raw)
    np.testing.assert_allclose(normalized, raw / 127.5 - 1, atol=1e-6)


def test_symmetric_keeps_zero_where_pixels_are_negative():
    raw = np.linspace(-4, 4, 32, dtype=np.float32).reshape(2, 4, 4, 1)
    np.testing.assert_allclose(
        outputs(fit_preprocessing("symmetric", raw), raw), raw / 4, rtol=1e-6
    )


def test_center_takes_the_mean_away_and_leaves_the_scale(fitted):
    raw, normalized = fitted("center")
    np.testing.assert_allclose(normalized, raw - raw.mean(), atol=1e-4)


def test_standardize_gives_mean_zero_and_deviation_one(fitted):
    _, normalized = fitted("standardize")
    assert (normalized.mean(), normalized.std()) == pytest.approx((0, 1), abs=1e-5)


def test_pixel_standardize_does_so_for_each_pixel_that_varies(fitted):
    _, normalized = fitted("pixel_standardize")
    np.testing.assert_allclose(normalized[:, 1:].mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(normalized[:, 1:].std(axis=0), 1, atol=1e-4)


def test_a_pixel_that_is_always_the_same_becomes_zero():
    raw = images("uint8")
    raw[:, 0, 0] = 7
    normalized = outputs(fit_preprocessing("pixel_standardize", raw), raw)
    assert not normalized[:, 0, 0].any()


def test_sample_standardize_does_so_within_each_image(fitted):
    _, normalized = fitted("sample_standardize")
    np.testing.assert_allclose(normalized.mean(axis=(1, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(normalized[2:].std(axis=(1, 2, 3)), 1, atol=1e-4)
    np.testing.assert_allclose(normalized[:2], 0, atol=1e-4)


def test_minmax_maps_the_smallest_and_largest_value_to_zero_and_one(fitted):
    raw, normalized = fitted("minmax")
    expected = (raw - raw.min()) / (raw.max() - raw.min())
    np.testing.assert_allclose(normalized, expected, atol=1e-6)


def test_robust_takes_its_quartiles_from_the_pixels_that_are_not_zero():
    rng = np.random.default_rng(0)
    raw = np.where(rng.random((50, 6, 6, 1)) < 0.8, 0, rng.integers(1, 256, (50, 6, 6, 1)))
    normalized = outputs(fit_preprocessing("robust", raw.astype(np.uint8)), raw.astype(np.uint8))
    low, median, high = np.percentile(normalized[raw != 0], [25, 50, 75])
    assert (median, high - low) == pytest.approx((0, 1), abs=1e-5)


def test_l2_gives_each_image_the_norm_one_but_for_that_of_zeros(fitted):
    _, normalized = fitted("l2")
    norms = np.linalg.norm(normalized.reshape(len(normalized), -1), axis=1)
    np.testing.assert_allclose(np.delete(norms, 1), 1, atol=1e-5)
    assert norms[1] == 0


def test_zca_makes_the_covariance_nearly_the_identity():
    rng = np.random.default_rng(0)
    mixing = np.linalg.qr(rng.normal(size=(16, 16)))[0] * np.linspace(1, 3, 16)
    raw = (rng.normal(size=(4000, 16)) @ mixing.T * 20 + 100).reshape(-1, 4, 4, 1).astype("float32")
    normalized = outputs(fit_preprocessing("zca", raw), raw).reshape(-1, 16)
    assert np.linalg.cond(np.cov(raw.reshape(-1, 16).T)) > 5
    whitened = np.cov(normalized.T)
    assert np.linalg.cond(whitened) < 1.5
    assert np.diag(whitened) == pytest.approx(0.9, abs=0.15)
    np.testing.assert_allclose(normalized.mean(axis=0), 0, atol=1e-3)


def test_zca_refuses_images_of_more_than_4096_features():
    with pytest.raises(DataError) as caught:
        fit_preprocessing("zca", np.zeros((2, 65, 64, 1), np.uint8))
    assert caught.value.lines == (
        "normalization zca: must have at most 4,096 features, got images of 4,160; remove zca from "
        "search.space.normalization",
    )


TABLES = [name for name in NAMES if name not in normalizations.IMAGES_ONLY]


def features(kind: str = "float64", seed: int = 0) -> np.ndarray:
    """(60, 5): features of far different sizes, one far from zero, one constant."""
    made = np.random.default_rng(seed).normal(size=(60, 5)) * [1e-9, 1, 1e4, 3, 0]
    return (made + np.array([0, -2, 0, 1e4, 7])).astype(kind)


@pytest.mark.parametrize(
    ("name", "scaler"),
    [
        ("standardize", "StandardScaler"),
        ("minmax", "MinMaxScaler"),
        ("unit", "MaxAbsScaler"),
        ("robust", "RobustScaler"),
    ],
)
def test_a_table_is_scaled_feature_by_feature_as_scikit_learn_does(name, scaler):
    from sklearn import preprocessing

    train, other = features(), features(seed=1)
    fitted = getattr(preprocessing, scaler)().fit(train)
    preprocessing = fit_preprocessing(name, train)
    assert preprocessing.fixed
    np.testing.assert_allclose(
        preprocessing.apply(other), fitted.transform(other), rtol=1e-4, atol=1e-3
    )


@pytest.mark.parametrize("kind", ["float32", "float64", "int32", "uint8"])
@pytest.mark.parametrize("name", TABLES)
def test_a_preprocessing_for_a_table_is_finite_and_saved_with_the_model(tmp_path, name, kind):
    import keras

    scale = {"uint8": 20, "int32": 20}.get(kind, 1)
    train = np.abs(scale * np.random.default_rng(0).normal(size=(60, 5))).astype(kind)
    train[:, 4] = 7
    preprocessing = fit_preprocessing(name, train)
    inputs = keras.Input((5,), dtype=kind)
    keras.Model(inputs, preprocessing.attach(inputs)).save(tmp_path / "preprocessing.keras")
    again = keras.models.load_model(tmp_path / "preprocessing.keras").predict(train, verbose=0)
    assert again.shape == train.shape
    assert np.isfinite(again).all()
    np.testing.assert_allclose(again, outputs(preprocessing, train), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", normalizations.IMAGES_ONLY)
def test_what_makes_no_sense_for_a_table_says_what_does(name):
    with pytest.raises(DataError) as caught:
        fit_preprocessing(name, features())
    (line,) = caught.value.lines
    assert line.startswith(f"normalization {name}: expected images, got a table of 5 features")
    tables = [n for n in normalizations.registry.options() if n not in normalizations.IMAGES_ONLY]
    assert set(TABLES) <= set(tables)
    assert line.endswith(f"available for tables: {', '.join(tables)}")


@pytest.mark.parametrize(("kind", "largest"), [("uint8", 255), ("uint16", 65535), ("float32", 6.5)])
def test_unit_divides_by_the_range_of_the_type_and_of_real_numbers_by_the_largest(kind, largest):
    train = np.full((4, 2, 2, 1), 6.5, kind)
    assert fit_preprocessing("unit", train).apply(train).max() == pytest.approx(
        train.max() / largest
    )
