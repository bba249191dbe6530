"""What holds of every registered normalization, and what each one does."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from normsweep.errors import DataError
from normsweep.parts import normalizations
from normsweep.parts.dataset import Dataset, InputFacts
from normsweep.sweep.schemes import as_text
from normsweep.training.preprocessing import (
    Preprocessing,
    affine_of,
    fit_preprocessing,
    prepare,
    split,
)

COLORS = ("caffe", "torch")
NAMES = [part.name for part in normalizations.registry]
KINDS = ["uint8", "float32"]
REAL = ("divide", "maxabs", "log1p", "asinh", "sqrt", "quantile", "caffe", "tf", "torch")
"""Normalizations that do the same to all types: they are tried with one."""
PAIRS = [(name, kind) for name in NAMES for kind in KINDS if kind == "float32" or name not in REAL]


def images(kind: str, seed: int = 0, n: int = 48, channels: int = 1) -> np.ndarray:
    """(n, 5, 6, channels) with two constant pixels, a constant image and one of zeros."""
    rng, shape = np.random.default_rng(seed), (n, 5, 6, channels)
    made = rng.integers(0, 256, shape) if kind == "uint8" else rng.normal(5, 2, shape)
    made[:, 0, 0], made[:, 0, 1] = 7, 0
    made[0], made[1] = 3, 0
    return made.astype(kind)


def raw_of(name: str, kind: str, seed: int = 0) -> np.ndarray:
    return images(kind, seed, channels=3 if name in COLORS else 1)


def outputs(preprocessing: Preprocessing, raw: np.ndarray) -> np.ndarray:
    import keras

    return keras.ops.convert_to_numpy(preprocessing.attach(raw))


@pytest.fixture(scope="module")
def preprocessings() -> dict[tuple[str, str], Preprocessing]:
    return {(name, kind): fit_preprocessing(name, raw_of(name, kind)) for name, kind in PAIRS}


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_outputs_are_finite_float32_images_of_a_sane_size(preprocessings, name, kind):
    raw = raw_of(name, kind, seed=1)
    raw[2:, 0, :2] = raw[2:, 1, :2]  # what was constant in training need not stay so
    normalized = outputs(preprocessings[name, kind], raw)
    assert normalized.shape == raw.shape
    assert normalized.dtype == np.float32
    assert np.isfinite(normalized).all()
    assert np.abs(normalized).max() <= 4 * max(np.abs(raw.astype(float)).max(), 33)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (name, value)
        for name in NAMES
        for value in (np.uint8(0), np.uint8(7), np.float32(0.1), np.float64(0.1))
        if value.dtype == np.float32 or name not in REAL
    ],
)
def test_where_all_images_are_one_constant_a_zero_scale_counts_as_one(name, value):
    shape = (4, 4, 3 if name in COLORS else 1)
    preprocessing = fit_preprocessing(name, np.full((8, *shape), value))
    other = np.full((2, *shape), value + value.dtype.type(1))
    normalized = outputs(preprocessing, other)
    assert np.isfinite(normalized).all()
    assert np.abs(normalized).max() <= (124 if name == "caffe" else 25)


@pytest.mark.parametrize("name", NAMES)
def test_statistics_are_those_of_the_training_split_alone(name):
    labels = np.arange(48) % 2
    raw = {
        "x_train": raw_of(name, "uint8"),
        "y_train": labels,
        "x_test": raw_of(name, "uint8", 2),
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


def skewed(n: int = 400, seed: int = 0) -> np.ndarray:
    """(n, 4): two columns over many decades, one of them of both signs, one with ties, one constant."""
    rng = np.random.default_rng(seed)
    sizes = np.exp(rng.normal(size=(n, 2)) * [1, 3])
    signs = rng.choice([-1, 1], n)
    return np.c_[sizes[:, 0], signs * sizes[:, 1], rng.integers(0, 4, n), np.full(n, 7)]


SEQUENCES = np.random.default_rng(0).normal(size=(30, 12, 3)) * [1, 1e3, 1e-3] + [0, 5e3, 1]
OTHERS = {
    "mixed": ('{"0": "quantile(normal)", "1": "asinh", "default": "standardize"}', skewed()),
    "affine": ('{"0": "unit", "default": "standardize"}', skewed()),
    "steps": ("log1p then standardize", skewed()),
    "sequences": ("sample_standardize", SEQUENCES),
}
"""Further preprocessings to save: the normalization, and inputs to fit it to."""

LOADER = """
import sys
sys.modules["normsweep"] = None  # importing it would fail
from pathlib import Path
import keras
import numpy as np
folder = Path(sys.argv[1])
raw = dict(np.load(folder / "raw.npz"))
done = {p.stem: keras.models.load_model(p).predict_on_batch(raw[p.stem])
        for p in folder.glob("*.keras")}
np.savez(folder / "outputs.npz", **done)
"""


@pytest.fixture(scope="module")
def reloaded(preprocessings, tmp_path_factory) -> dict[str, np.ndarray]:
    """By `name-kind`, the outputs of every preprocessing, loaded where there is no normsweep."""
    import keras

    folder: Path = tmp_path_factory.mktemp("saved")
    saved = {
        f"{name}-{kind}": (preprocessing, raw_of(name, kind, seed=1))
        for (name, kind), preprocessing in preprocessings.items()
    }
    saved |= {name: (fit_preprocessing(text, raw), raw) for name, (text, raw) in OTHERS.items()}
    np.savez(folder / "raw.npz", **{name: raw for name, (_, raw) in saved.items()})
    for name, (preprocessing, raw) in saved.items():
        inputs = keras.Input(raw.shape[1:], dtype=raw.dtype.name)
        keras.Model(inputs, preprocessing.attach(inputs)).save(folder / f"{name}.keras")
    command = [sys.executable, "-I", "-c", LOADER, str(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(np.load(folder / "outputs.npz"))


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_saved_preprocessing_does_the_same_on_raw_images_without_normsweep(
    preprocessings, reloaded, name, kind
):
    expected = outputs(preprocessings[name, kind], raw_of(name, kind, seed=1))
    np.testing.assert_allclose(reloaded[f"{name}-{kind}"], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", OTHERS)
def test_so_does_one_by_column_one_of_steps_and_one_of_sequences(reloaded, name):
    text, raw = OTHERS[name]
    expected = fit_preprocessing(text, raw).apply(raw)
    np.testing.assert_allclose(reloaded[name], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_every_preprocessing_is_fixed_but_the_learned_one(preprocessings, name):
    assert preprocessings[name, "float32"].fixed is (name != "batch_norm")


def test_preprocessing_is_float32_whatever_the_networks_precision():
    import keras

    keras.config.set_dtype_policy("mixed_float16")
    try:
        preprocessing = fit_preprocessing("l2", images("uint8"))
        assert keras.config.dtype_policy().name == "mixed_float16"
        assert outputs(preprocessing, images("uint8")).dtype == np.float32
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_preprocessing_is_applied_with_the_bits_of_a_keras_model(preprocessings, name, kind):
    import keras

    raw, preprocessing = raw_of(name, kind), preprocessings[name, kind]
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


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (name, kind)
        for name in TABLES
        for kind in ("float32", "float64", "int32", "uint8")
        if kind == "float32" or name not in REAL
    ],
)
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


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("log1p", lambda x: np.sign(x) * np.log1p(np.abs(x))),
        ("asinh", np.arcsinh),
        ("sqrt", lambda x: np.sign(x) * np.sqrt(np.abs(x))),
        ("divide(2.5)", lambda x: x / 2.5),
        ("maxabs", lambda x: x / np.abs(skewed()).max(axis=0)),
        ("unit(4095)", lambda x: x / 4095),
    ],
)
def test_what_a_scheme_computes_is_what_numpy_does(name, expected):
    other = skewed(seed=1)
    made = outputs(fit_preprocessing(name, skewed()), other)
    np.testing.assert_allclose(made, expected(other), rtol=2e-6, atol=1e-7)


def test_a_division_by_a_power_of_two_changes_no_digit():
    raw = images("uint8")
    assert np.array_equal(outputs(fit_preprocessing("divide(256)", raw), raw) * 256, raw)


@pytest.mark.parametrize("output", ["uniform", "normal"])
def test_quantiles_are_interpolated_as_numpy_does_and_ties_get_their_mean(output):
    from scipy.stats import norm

    train, other = skewed().astype("float32"), skewed(seed=1).astype("float32")
    made = outputs(fit_preprocessing(f"quantile({output})", train), other)
    if output == "uniform":
        levels = to = np.linspace(0, 1, 65)
    else:
        to = np.linspace(norm.ppf(0.5 / 400), norm.ppf(1 - 0.5 / 400), 65)
        levels = norm.cdf(to)
        levels[[0, -1]] = 0, 1
    for column in range(4):
        knots = np.quantile(train[:, column].astype(float), levels).astype("float32")
        kept = np.unique(knots)
        means = [to[knots == knot].mean() for knot in kept]
        expected = np.interp(other[:, column], kept, means)
        np.testing.assert_allclose(made[:, column], expected, atol=2e-5)


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
def test_the_modes_of_keras_are_those_of_its_preprocess_input(mode):
    from keras.applications.imagenet_utils import preprocess_input

    raw = images("uint8", channels=3)
    expected = preprocess_input(raw.astype("float32"), mode=mode)
    np.testing.assert_allclose(outputs(fit_preprocessing(mode, raw), raw), expected, atol=1e-4)


def test_a_mode_with_imagenets_colors_refuses_gray_images():
    with pytest.raises(DataError, match=r"normalization caffe: expected images of 3 channels"):
        fit_preprocessing("caffe", images("uint8"))


def test_a_step_is_fitted_to_what_the_one_before_makes():
    raw = np.log1p(np.abs(skewed()))
    made = outputs(fit_preprocessing("log1p then standardize", np.abs(skewed())), np.abs(skewed()))
    expected = (raw - raw.mean(axis=0)) / (raw.std(axis=0) + (raw.std(axis=0) < 1e-9))
    np.testing.assert_allclose(made, expected, atol=1e-4)


NAMED = InputFacts(("income", "age", "kind", "constant"), full_scale=10.0)


@pytest.mark.parametrize("income", ["unit", "log1p then standardize"])
def test_each_column_has_its_own_scheme(income):
    text = as_text({"income": income, "kind": "unit", "default": "standardize"})
    train, other = skewed(), skewed(seed=1)
    preprocessing = fit_preprocessing(text, train, facts=NAMED)
    made = preprocessing.apply(other)
    for place, name in enumerate([income, "standardize", "unit", "standardize"]):
        alone = slice(place, place + 1)
        single = fit_preprocessing(name, train[:, alone], facts=InputFacts(full_scale=10.0))
        assert np.array_equal(made[:, alone], single.apply(other[:, alone]))
    closed = affine_of(preprocessing.layers)
    assert (closed is not None) is (income == "unit")
    if closed is not None:
        np.testing.assert_allclose(other * closed[0] + closed[1], made, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"incom": "unit", "default": "none"}, 'unknown column "incom" (did you mean "income"?)'),
        ({"income": "unit"}, 'age has no scheme; add one, or default = "none"'),
    ],
)
def test_schemes_by_column_name_columns_of_the_data(columns, message):
    with pytest.raises(DataError) as caught:
        fit_preprocessing(as_text(columns), skewed(), facts=NAMED)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("standardize", lambda x: (x - x.mean((0, 1))) / x.std((0, 1))),
        ("minmax", lambda x: (x - x.min((0, 1))) / np.ptp(x, axis=(0, 1))),
        ("unit", lambda x: x / np.abs(x).max((0, 1))),
        ("sample_standardize", lambda x: (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)),
    ],
)
def test_sequences_are_scaled_by_feature_over_time_or_within_each(name, expected):
    made = fit_preprocessing(name, SEQUENCES).apply(SEQUENCES)
    np.testing.assert_allclose(made, expected(SEQUENCES), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("name", "expected"), [("unit", 0.5), ("symmetric", 0.0)])
def test_a_stated_full_scale_replaces_that_of_the_type(name, expected):
    raw = np.full((4, 2, 2, 1), 2047.5).astype("float32")
    facts = InputFacts(full_scale=4095.0)
    made = fit_preprocessing(name, raw, facts=facts).apply(raw)
    np.testing.assert_allclose(made, expected, atol=1e-6)


def test_tokens_are_not_scaled():
    tokens, facts = np.arange(12).reshape(3, 4), InputFacts(tokens=True)
    assert np.array_equal(fit_preprocessing("none", tokens, facts=facts).apply(tokens), tokens)
    with pytest.raises(DataError, match='normalization unit: must be "none"'):
        fit_preprocessing("unit", tokens, facts=facts)


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
