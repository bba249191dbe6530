"""Whatever is given as data: it is a dataset, or lines that say what is wrong with it."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from normsweep.errors import DataError
from normsweep.parts import datasets
from normsweep.parts.arrays import ARRAYS
from normsweep.parts.dataset import Dataset
from normsweep.text import UNSEEN


class Nothing:
    """An object without anything that data has."""


class Failing:
    """An object that claims to be an array and is none."""

    columns, dtypes, shape = 3, None, "abc"

    def __array__(self, *arguments: object, **options: object) -> None:
        raise RuntimeError("no array " * 200)

    def __iter__(self) -> None:
        raise LookupError("nothing to iterate")


ODD = st.sampled_from(
    [None, Nothing(), Failing(), 2**70, 1j, b"ab", "a" * 3000, np.nan, np.ma.masked]
)
VALUES = st.recursive(
    ODD | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner),
    max_leaves=10,
)
KINDS = [
    "u1",
    "i2",
    "i8",
    "u8",
    "f2",
    "f4",
    "f8",
    "g",
    "c8",
    "?",
    "U3",
    "S3",
    "O",
    "M8[s]",
    "m8[s]",
    "i4,f4",
]
SHAPES = st.lists(st.integers(0, 4), max_size=5).map(tuple)


def array(kind: str, shape: tuple[int, ...], mask: str) -> Any:
    made = np.zeros(shape, dtype=kind)
    return made if mask == "none" else np.ma.masked_array(made, mask=mask == "all")


ARRAY = st.builds(array, st.sampled_from(KINDS), SHAPES, st.sampled_from(["none", "no", "all"]))
STRINGS = st.lists(st.text(max_size=3), max_size=4).map(
    lambda texts: np.array(texts, dtype=np.dtypes.StringDType())
)
COLUMN = st.sampled_from(
    [[1, 2], [1.5, None], ["a", "b"], [True, False], pd.Categorical(["a", "b"]), pd.array([1, None], "Int64"),
     pd.to_datetime(["2020", "2021"]), [Nothing(), None]]
)  # fmt: skip
FRAME = st.dictionaries(st.sampled_from(["a", "b", 3]), COLUMN, max_size=3).map(pd.DataFrame)
TWICE = st.just(pd.DataFrame(np.zeros((2, 2)), columns=["a", "a"]))
ANY = VALUES | ARRAY | STRINGS | FRAME | TWICE
X, Y = np.arange(96, dtype="u1").reshape(6, 4, 4), np.arange(6) % 2
VALID = dict(zip(ARRAYS, (X, Y, X, Y), strict=True))


def judge(data: Any) -> None:
    """It is a dataset, or the exception that it should be."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            made = Dataset.of(data)
        except DataError as error:
            assert_told(error)
        else:
            assert made.x_train.ndim in (2, 4)
            assert len(made.x_train) == len(made.y_train)
            assert made.classes >= 2


def assert_told(error: DataError) -> None:
    assert 1 <= len(error.lines) <= 6
    for line in error.lines:
        assert line.startswith("data")
        assert len(line) < 700
        assert not UNSEEN.search(line)
        assert "expected " in line or "must " in line


@given(ANY | st.lists(ANY, max_size=5) | st.tuples(ANY, ANY) | st.tuples(ANY, ANY, ANY, ANY))
@example((Nothing(), Nothing()))
@example((X, [[1], [1, 2]] * 3, X, Y))
@example((X, [2**70, 1] * 3, X, Y))
@example((pd.DataFrame(), Y, pd.DataFrame(), Y))
@example(([(X, Y)], [(X, Y)]))
@example(([(image, np.eye(2)[label]) for image, label in zip(X, Y, strict=True)],) * 2)
def test_any_object_is_data_or_says_why_not(data):
    judge(data)


@given(st.dictionaries(st.sampled_from([*ARRAYS, "X_train", 3]), ANY, max_size=4))
def test_any_mapping_is_data_or_says_why_not(changed):
    judge({**VALID, **changed})
    judge(changed)


def test_masked_values_are_no_data():
    with pytest.raises(DataError, match=r"x_train: expected no missing values, got 96 masked"):
        Dataset.of({**VALID, "x_train": np.ma.masked_array(X, mask=True)})


@pytest.mark.parametrize("kind", ["float32", "int64"])
def test_one_hot_labels_are_classes_also_of_one_part_only(kind):
    rows = np.eye(2, dtype=kind)[Y]
    for train, test in ((rows, Y), (Y, rows), (rows, rows)):
        data = Dataset.of((X, train, X, test))
        assert data.y_train.tolist() == data.y_test.tolist() == Y.tolist()
    with pytest.raises(
        DataError, match=r"columns must be one-hot; for a regression, set data.task"
    ):
        Dataset.of((X, rows + 1, X, Y))


def saved(compress: bool) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(buffer, **VALID)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("any") / "own.npz"


WHOLE = {compress: saved(compress) for compress in (False, True)}


@given(
    st.booleans(),
    st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=40)), max_size=4),
    st.floats(0, 1) | st.just(1.0),
)
def test_a_damaged_archive_is_data_or_says_so(path, compress, damages, rest):
    content = bytearray(WHOLE[compress])
    for share, damage in damages:
        start = int(share * len(content))
        content[start : start + len(damage)] = damage
    path.write_bytes(content[: int(rest * len(content))])
    try:
        datasets.load(str(path))
    except DataError as error:
        assert_told(error)
