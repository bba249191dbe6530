"""Data and networks diagnosed without a study: faults that people meet are found, healthy set-ups are let be."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import normsweep
from normsweep.cli import main
from normsweep.errors import SweepError
from normsweep.executors.inline import Inline
from normsweep.executors.protocol import WorkerOptions
from normsweep.parts import datasets, models
from normsweep.parts.arrays import ARRAYS
from normsweep.parts.catalog import read_sweep
from normsweep.parts.dataset import Dataset
from normsweep.parts.input_checks import input_findings
from normsweep.reporting.checkup import Checkup, network_findings
from normsweep.runner.checkup import check_arrays, checked, read_arrays, sweep_of
from normsweep.runner.interrupts import Signals
from normsweep.runner.prepare import load_data
from normsweep.shell import run

Arrays = dict[str, Any]
Look = Callable[..., Checkup]


@models.register("checkup_conv")
def conv(input_shape: tuple[int, ...], classes: int) -> Any:
    import keras

    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(classes, activation="softmax"),
        ]
    )


@models.register("checkup_dead")
def dead(input_shape: tuple[int, ...], classes: int) -> Any:
    """The first layer's units are zero for all inputs."""
    import keras

    never = keras.initializers.Constant(-1e6)
    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Flatten(),
            keras.layers.Dense(8, activation="relu", bias_initializer=never),
            keras.layers.Dense(classes, activation="softmax"),
        ]
    )


@models.register("checkup_zeros")
def zeros(input_shape: tuple[int, ...], classes: int) -> Any:
    """All weights begin as zero."""
    import keras

    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Flatten(),
            keras.layers.Dense(8, activation="tanh", kernel_initializer="zeros"),
            keras.layers.Dense(classes, activation="softmax", kernel_initializer="zeros"),
        ]
    )


def digits() -> Arrays:
    """The digits at 8 bits, 600 + 200 of them."""
    found = read_arrays(datasets.load("digits"))
    return {key: array[:600] if "train" in key else array[:200] for key, array in found.items()}


def table(which: str) -> Arrays:
    """One of scikit-learn's tables, every third row for testing."""
    import sklearn.datasets

    x, y = getattr(sklearn.datasets, f"load_{which}")(return_X_y=True)
    test = np.arange(len(y)) % 3 == 0
    return dict(zip(ARRAYS, (x[~test], y[~test], x[test], y[test]), strict=True))


def changed(
    images: Callable[[Any], Any] = lambda x: x,
    test: Callable[[Any], Any] | None = None,
    labels: Callable[[Any], Any] = lambda y: y,
) -> Callable[[], Arrays]:
    """The digits with changed images and labels; `test` changes the test images, otherwise `images` does."""
    of = {"x_train": images, "x_test": test or images, "y_train": labels, "y_test": labels}
    return lambda: {key: of[key](array) for key, array in digits().items()}


def with_some(value: float, dtype: str = "float32") -> Callable[[], Arrays]:
    """The digits with one value in ten rows replaced."""

    def images(x: Any) -> Any:
        x = x.astype(dtype)
        x[:10, 3, 3] = value
        return x

    return changed(images)


def wine(column: Callable[[Arrays, str], Any]) -> Callable[[], Arrays]:
    """The wines with another column of this."""

    def made() -> Arrays:
        arrays = table("wine")
        return arrays | {
            f"x_{part}": np.c_[arrays[f"x_{part}"], column(arrays, part)]
            for part in ("train", "test")
        }

    return made


def numbered(arrays: Arrays, part: str) -> Any:
    """The numbers that the rows had before a random split."""
    train, test = (len(arrays[f"x_{each}"]) for each in ("train", "test"))
    order = np.random.default_rng(0).permutation(train + test)
    return order[:train] if part == "train" else order[train:]


def leaking() -> Arrays:
    arrays = digits()
    return arrays | {"x_test": arrays["x_train"][:200], "y_test": arrays["y_train"][:200]}


def short() -> Arrays:
    arrays = digits()
    return arrays | {"y_train": arrays["y_train"][:-1]}


SMALL = {"model": "mlp", "schemes": ("unit", "none")}
FAULTS: dict[str, tuple[str, Callable[[], Arrays], dict[str, Any]]] = {
    "divided as integers": ("integer-division", changed(lambda x: x // 255), {}),
    "divided as integers, nothing left": ("integer-division", changed(lambda x: x.astype("i4") // 300), {}),
    "12 bits in 16": ("narrow-range", changed(lambda x: x.astype("u2") * 16), {}),
    "labels from 1": ("labels-from-1", changed(labels=lambda y: y + 1), {}),
    "one class": ("one-class", changed(labels=lambda y: 0 * y), {}),
    "float labels": ("float-labels", changed(labels=lambda y: y / 1.0), {}),
    "two columns": ("columns", changed(labels=lambda y: np.c_[y, y]), {}),
    "one class is nearly all": ("rare-classes", changed(labels=lambda y: (np.arange(len(y)) % 40 == 0) * 1), {}),
    "NaN": ("not-finite", with_some(np.nan), {}),
    "fill values": ("fill-values", with_some(3e37), {}),
    "missing as -999": ("fill-values", with_some(-999.0), {}),
    "a constant column": ("constant-column", wine(lambda a, part: np.ones(len(a[f"x_{part}"]))), {}),
    "the label as a column": ("label-column", wine(lambda a, part: a[f"y_{part}"]), {}),
    "rows counted in a column": ("row-number", wine(lambda a, part: np.arange(len(a[f"x_{part}"]))), {}),
    "rows counted before the split": ("row-number", wine(numbered), {}),
    "seconds since 1970": ("too-coarse", wine(lambda a, part: 1.7e9 + np.arange(len(a[f"x_{part}"])) % 60), {}),
    "all images equal": ("all-equal", changed(lambda x: 0 * x + 7), {}),
    "test rows in training": ("test-in-train", leaking, {}),
    "only training scaled": ("scales-differ", changed(lambda x: (x / 255).astype("f4"), lambda x: x.astype("f4")), {}),
    "channels first": ("channels-first", changed(lambda x: np.stack([x[..., 0]] * 3, axis=1)), {}),
    "divided twice": ("divided-twice", changed(lambda x: (x / 255 / 255).astype("f4")), {}),
    "wrapped to int8": ("wrapped", changed(lambda x: x.astype("i1")), {}),
    "a label missing": ("lengths", short, {}),
    "saturated start": ("saturated-start", digits, {"schemes": ("none", "unit"), "model": "mlp"}),
    "dead first layer": ("no-gradient", digits, {"model": "checkup_dead"}),
    "weights all zero": ("no-gradient", digits, {"model": "checkup_zeros"}),
    "rate above 2/λ": ("rate-too-high", digits, {**SMALL, "optimizer": "sgd", "learning_rate": 300.0}),
    "rate far too low": ("rate-too-low", digits, {**SMALL, "optimizer": "sgd", "learning_rate": 1e-9}),
}  # fmt: skip
"""By name: the finding, the arrays, the settings."""


@pytest.fixture(scope="module")
def look(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Look]:
    """`look(arrays, model, schemes, ...)`: the diagnosis, all in one process and with one cache of models."""
    root = tmp_path_factory.mktemp("checkup")
    executor = Inline(
        WorkerOptions(root, "cpu", 2, None, None, trained=True, awaits_reply=False, parts=b"")
    )

    def made(
        arrays: Arrays,
        model: str = "checkup_conv",
        schemes: tuple[str, ...] = ("unit", "standardize"),
        optimizer: str = "adam",
        learning_rate: float = 1e-3,
    ) -> Checkup:
        if (refused := check_arrays(arrays)) is not None:
            return refused
        data = Dataset.of(arrays)
        with datasets.registry.temporarily(models.OWN, lambda folder: data), Signals() as signals:
            sweep = read_sweep(sweep_of(models.OWN, model, schemes, optimizer, learning_rate, 32))
            sweep, facts = load_data(sweep, [models.OWN], None, root)
            return checked(sweep, facts, arrays, executor, signals)

    yield made
    executor.close()


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(look, name):
    finding, arrays, settings = FAULTS[name]
    found = look(arrays(), **settings)
    assert finding in {each.name for each in found.problems}, str(found)
    assert "Nothing alarming" not in str(found)


@pytest.mark.parametrize("regression", [False, True])
def test_the_label_is_found_as_a_column_of_more_rows_than_are_looked_at(regression):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(25_001, 3))
    y = x[:, 1] if regression else rng.integers(0, 3, len(x))
    x[:, 1] = y
    arrays = dict(zip(ARRAYS, (x, y, rng.normal(size=(9, 3)), y[:9]), strict=True))
    assert "label-column" in {each.name for each in input_findings(arrays)}


def test_what_unit_does_to_flattened_pixels_is_said_unless_the_full_scale_is():
    arrays = changed(lambda x: x.reshape(len(x), -1))()
    (said,) = [each for each in input_findings(arrays) if each.name == "flattened"]
    assert not said.alarming
    assert said.text.endswith("to divide pixels by 255, set data.full_scale = 255")
    for other, scale in ((arrays, 255.0), (table("wine"), None), (digits(), None)):
        found = input_findings(other, full_scale=scale)
        assert "flattened" not in {each.name for each in found}


IMAGES: dict[str, Callable[[], Arrays]] = {
    "8 bits": digits,
    "16 bits": changed(lambda x: x.astype("u2") * 257),
    "floats to 16": changed(lambda x: (x / 255 * 16).astype("f4")),
    "white paper": changed(lambda x: 255 - x),
}
HEALTHY = [
    *itertools.product(IMAGES, ("checkup_conv", "mlp"), [("unit", "standardize")]),
    *itertools.product(("wine", "breast_cancer"), ("mlp",), [("standardize", "minmax")]),
]
"""Data, network and two schemes each: 20 set-ups."""


@pytest.mark.parametrize(("data", "model", "schemes"), HEALTHY)
def test_a_healthy_set_up_alarms_nobody(look, data, model, schemes):
    found = look(IMAGES[data]() if data in IMAGES else table(data), model, schemes)
    assert not found.problems, str(found)
    assert [start.label for start in found.schemes] == list(schemes)
    for start in found.schemes:
        assert not list(network_findings(start, found.classes)), str(found)
        assert start.begun.plain_rate > 0
        assert start.stable_rate > 0
    assert found.advice.startswith("Try “")
    assert "Nothing alarming was found." in str(found)


def test_from_python_it_takes_data_and_a_network_of_ones_own(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    arrays = digits()
    found = normsweep.diagnose(arrays, conv, executor="inline", learning_rate=0.01)
    assert found.described.startswith("600 training and 200 test rows, images of 8×8×1, uint8")
    assert [s.label for s in found.schemes][:2] == ["none", "unit"]
    assert "saturated-start" in {each.name for each in found.problems}
    assert found.advice.startswith("Once that is fixed, try “") or found.advice.startswith("Try “")
    assert not list(tmp_path.iterdir()), "nothing is stored"

    def logits(input_shape, classes):
        import keras

        return keras.Sequential(
            [keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dense(classes)]
        )

    wrong = normsweep.diagnose(arrays, logits, executor="inline")
    assert [each.name for each in wrong.problems] == ["network"]
    assert "softmax" in str(wrong)
    assert normsweep.diagnose(short(), executor="inline").problems[0].name == "lengths"
    with pytest.raises(SweepError) as error:
        normsweep.diagnose(arrays, executor="ray", device="cuda")  # pyright: ignore[reportArgumentType]
    assert [line.partition(":")[0] for line in error.value.lines] == ["executor", "device"]


def test_the_command_diagnoses_the_arms_of_a_sweep(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    small = ("data.train_size=200", "model={ name = 'mlp', options = { units = 8 } }")
    assert run(main.app, ["diagnose", "quickstart", "--set", *small]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("Inputs: 200 training and 360 test rows, images of 8×8×1, uint8;")
    assert [line.partition(":")[0] for line in said[2:-1]] == ["unit", "none", "standardize"]
    assert said[-1].startswith("Try “")
    assert not list(tmp_path.iterdir()), "nothing is stored"


def test_targets_that_the_sweep_scales_are_not_to_be_scaled(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rooms = rng.normal(size=60)
    prices = 1e5 * rooms + rng.normal(size=60)
    pd.DataFrame({"rooms": rooms, "price": prices}).to_csv("houses.csv", index=False)
    new = ["new", "houses", "--data", "houses.csv", "--target", "price", "--task", "regression"]
    assert run(main.app, new) == 0
    capsys.readouterr()
    assert run(main.app, ["diagnose", "houses.toml"]) == 0
    assert "try target" not in capsys.readouterr().out


def test_the_command_writes_a_page_of_what_it_found(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    small = ("data.train_size=200", "model={ name = 'mlp', options = { units = 8 } }")
    assert run(main.app, ["diagnose", "quickstart", "-o", "out", "--set", *small]) == 0
    *said, page = capsys.readouterr().out.splitlines()
    assert page == str(Path("out") / "index.html")
    text = unescape(Path(page).read_text(encoding="utf-8"))
    assert said[0] in text
    assert said[-1] in text
    assert all(line in text for line in said[2:-1])
    assert "By the curvature of the loss at the start" in text
    inputs = pd.read_csv("out/tables/inputs.csv")
    assert set(inputs["arm"]) == {"none", "unit", "standardize"}
    pictures = {path.name for path in Path("out/figures").glob("*.png")}
    assert pictures == {"inputs.png", "gradients.png", "stable_rates.png"}


def test_a_page_of_what_cannot_be_trained_on_has_the_findings(tmp_path):
    page = check_arrays(short()).report(tmp_path)
    text = unescape(page.read_text(encoding="utf-8"))
    assert "Fix these problems first." in text
    assert "y_train" in text
    assert "How training begins" not in text
