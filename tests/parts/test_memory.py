"""Data in memory in all the forms in which people have it, and what is said of data that will not do."""

import itertools
import re

import numpy as np
import pandas as pd
import pytest

from normsweep.errors import DataError
from normsweep.parts import arrays, datasets
from normsweep.parts.dataset import Dataset

LABELS = np.arange(12) % 3


def table(n: int = 12, features: int = 4) -> np.ndarray:
    return np.random.default_rng(n).normal(size=(n, features))


def images(n: int = 12, kind: str = "uint8") -> np.ndarray:
    return np.random.default_rng(n).integers(0, 256, (n, 4, 5)).astype(kind)


def frame(values: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(values, columns=[f"f{i}" for i in range(values.shape[1])])


def refused(data) -> str:
    with pytest.raises(DataError) as caught:
        Dataset.of(data)
    (line,) = caught.value.lines
    assert re.search("expected |must ", line)
    return line


def test_every_form_of_a_table_is_the_same_data():
    x, y, x_test, y_test = table(), LABELS, table(6), LABELS[:6]
    forms = [
        (x, y, x_test, y_test),
        [x, y.tolist(), x_test, y_test.tolist()],
        ((x, y), (x_test, y_test)),
        {"x_train": x, "y_train": y, "x_test": x_test, "y_test": y_test},
        (frame(x), pd.Series(y), frame(x_test), pd.Series(y_test)),
        (frame(x), pd.Series(y), frame(x_test)[["f3", "f0", "f2", "f1"]], pd.Series(y_test)),
        (list(zip(x, y, strict=True)), zip(x_test, y_test, strict=True)),
    ]
    forms.append(dict(zip(arrays.ARRAYS, forms[5], strict=True)))
    made = [Dataset.of(form, name="mine") for form in forms]
    assert len({data.digest for data in made}) == 1
    assert (made[0].name, made[0].source) == ("mine", "arrays in memory")
    assert (made[0].input_shape, made[0].sample_shape, made[0].classes) == ((4,), (4,), 3)
    assert Dataset.of(made[0]) is made[0]


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3)], ids=["grey", "colour"])
def test_iterables_of_images_are_stacked_in_their_own_type(kind, shape):
    def pairs(n):
        for i in range(n):
            yield np.full(shape, i, kind), i % 3

    data = Dataset.of((pairs(12), pairs(6)))
    assert data.x_train.dtype == kind
    assert (data.sample_shape, len(data.input_shape)) == (shape, 3)
    assert data.x_train[7].max() == 7
    assert data.y_test.tolist() == [0, 1, 2, 0, 1, 2]


def test_a_frame_of_mixed_columns_becomes_one_type():
    mixed = pd.DataFrame(
        {"a": np.arange(12), "b": LABELS == 1, "c": pd.array(np.arange(12) / 2, "Float64")}
    )
    data = Dataset.of((mixed, LABELS, mixed[:6], LABELS[:6]))
    assert data.x_train.dtype == np.float64
    assert data.x_train[4].tolist() == [4.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        pytest.param(np.array([*"cab"] * 4), ("a", "b", "c"), id="texts"),
        pytest.param(pd.Series([*"cab"] * 4, dtype="category"), ("a", "b", "c"), id="categories"),
        pytest.param(np.array([*"cab"] * 4, object), ("a", "b", "c"), id="objects"),
        pytest.param(np.array([30, -1, 7] * 4), ("-1", "7", "30"), id="holes"),
    ],
)
def test_labels_that_are_no_class_numbers_are_mapped_and_the_mapping_is_kept(
    tmp_path, labels, names
):
    data = Dataset.of((table(), labels, table(6), labels[:6]))
    assert data.labels == names
    assert data.y_train.tolist() == [2, 0, 1] * 4
    assert Dataset.open(tmp_path, data.save(tmp_path)).labels == names


def test_labels_of_an_archive_are_mapped_too(tmp_path):
    x, y = table(), np.array(["no", "yes"] * 6)
    np.savez(tmp_path / "own.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    data = datasets.load(str(tmp_path / "own.npz"))
    assert (data.labels, data.classes, data.input_shape) == (("no", "yes"), 2, (4,))


def test_yes_and_no_are_two_classes_under_no_other_name():
    data = Dataset.of((table(), LABELS == 1, table(6), LABELS[:6] == 1))
    assert (data.labels, data.y_train.tolist()) == ((), (LABELS == 1).astype(int).tolist())


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (5, "got int"),
        ((table(), LABELS, table(6)), "got tuple of 3"),
        ("mnist", "got str"),
        ({"x_train": table()}, "got x_train"),
        ((5, table()), "got int for train"),
        (((i for i in range(3)), []), "item 0 of train: expected (image, label), got int"),
        (
            ([(np.zeros((4, 4)), 0), (np.zeros((4, 5)), 1)], []),
            "image 1 of train: expected shape (4, 4), as of the first image, got (4, 5)",
        ),
        (([], []), "train: expected at least one image"),
        (
            (table(), LABELS, table(6, 5), LABELS[:6]),
            "x_test: expected images of shape (4,), as in x_train, got (5,)",
        ),
        ((table(), LABELS[:9], table(6), LABELS[:6]), "9 labels for 12 images"),
        ((table() * np.nan, LABELS, table(6), LABELS[:6]), "NaN, infinite or beyond float32"),
        (
            (table(), LABELS * 1.0, table(6), LABELS[:6]),
            "y_train: expected integers or strings, one per image, got dtype float64",
        ),
        (
            (table(), [None, *LABELS[1:]], table(6), LABELS[:6]),
            "expected integers or strings as labels, got NoneType",
        ),
        (
            (table(), LABELS, table(6), np.full(6, 9)),
            "y_test: expected the labels of y_train (0, 1, 2), got 9",
        ),
        ((table(0), LABELS[:0], table(6), LABELS[:6]), "x_train: expected at least one image"),
        ((frame(table()), LABELS, frame(table(6, 3)), LABELS[:6]), "only one of them has f3"),
        (
            (frame(table()).assign(town="x"), LABELS, frame(table(6)).assign(town="x"), LABELS[:6]),
            "x_train: expected numeric columns, got town",
        ),
        (
            (frame(table()).where(table() > 0), LABELS, frame(table(6)), LABELS[:6]),
            "x_train: expected no missing values, got some in f0",
        ),
    ],
)
def test_what_will_not_do_is_one_line(data, told):
    assert told in refused(data)


def test_an_iterable_without_an_end_stops_before_the_memory_does(monkeypatch):
    monkeypatch.setattr(arrays, "machine_memory", lambda: 1e6)
    endless = ((np.zeros((50, 50)), i % 2) for i in itertools.count())
    assert "train: expected a finite iterable that fits into memory" in refused((endless, []))


def test_a_subset_that_would_lose_a_small_class_is_refused():
    labels = np.r_[np.arange(400) % 2, np.full(3, 2)]
    data = Dataset.of((table(403), labels, table(6), LABELS[:6]))
    with pytest.raises(
        DataError, match=r"at least two images .* leaves [01] of the 3 images of class 2"
    ):
        data.subset(80, seed=0)
    assert data.subset(400, seed=0).counts.tolist()[2] >= 2
