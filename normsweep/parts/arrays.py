"""Conversion of data frames, lists and iterables of images to NumPy arrays."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Number
from typing import Any

import numpy as np

from normsweep.errors import DataError
from normsweep.sweep.parameters import CLASSIFICATION, REGRESSION
from normsweep.sweep.problems import cut
from normsweep.text import counted, reason

__all__ = [
    "ARRAYS",
    "Arrays",
    "class_labels",
    "class_numbers",
    "column_classes",
    "column_names",
    "column_problem",
    "four_arrays",
    "four_expected",
    "is_one_hot",
    "label_problems",
    "machine_memory",
    "one_hot_problem",
    "readable",
    "targets",
    "task_of",
]

ARRAYS = ("x_train", "y_train", "x_test", "y_test")


Array = np.ndarray[Any, Any]


Arrays = dict[str, Array]


MANY = 20
"""Different numbers as labels from which they may be the targets of a regression."""
TEXTS = (str, bytes, bytearray)


EXPECTED = (
    "expected (x_train, y_train, x_test, y_test), a mapping of these names, or two finite iterables "
    "of (image, label), for training and for testing"
)


def four_arrays(data: Any) -> Arrays:
    """Convert the data that `Dataset.of` accepts to arrays, which are not yet checked.

    Raises:
        DataError: the data has none of the accepted forms, or cannot be converted.
    """
    with _expected_of(data):
        parts = _parts(data)
        for part in "xy":
            train, test = f"{part}_train", f"{part}_test"
            parts[test] = _aligned(part, parts[train], parts[test])
        arrays = {key: _array(key, value) for key, value in parts.items()}
    if _is_frame(parts["x_train"]) and _is_frame(
        parts["x_test"]
    ):  # a column may be integers in one only
        kind = np.result_type(arrays["x_train"], arrays["x_test"])
        arrays |= {key: arrays[key].astype(kind, copy=False) for key in ("x_train", "x_test")}
    return arrays


def readable(data: Any) -> dict[str, Any]:
    """The four parts of data that `Dataset.of` accepts, as they are; iterables of pairs are read once, here.

    Raises:
        DataError: the data has none of the accepted forms, or cannot be read.
    """
    with _expected_of(data):
        return _parts(data)


@contextmanager
def _expected_of(data: Any) -> Iterator[None]:
    """Say what is expected of data that a frame or an iterable of other code fails to give."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        why = reason(error, kind=True)
        raise DataError(f"data: {_described(data)} cannot be read ({why}); {EXPECTED}") from error


def _parts(data: Any) -> dict[str, Any]:
    """The four parts by name."""
    if isinstance(data, Mapping):
        if not all(key in data for key in ARRAYS):
            raise DataError(f"data: {four_expected(data)}")
        return {key: data[key] for key in ARRAYS}
    if not isinstance(data, Sequence) or isinstance(data, TEXTS) or len(data) not in (2, 4):
        raise DataError(f"data: {EXPECTED}; got {_described(data)}")
    if len(data) == 4:
        _refuse_other_order(data)
        return dict(zip(ARRAYS, data, strict=True))
    if all(hasattr(part, "shape") for part in data):
        raise DataError(
            f"data: {EXPECTED}; got only {' and '.join(map(_described, data))} (data.target_column is for files: take "
            "the labels out of a frame with frame.pop(column))"
        )
    (x_train, y_train), (x_test, y_test) = map(_pair, ("train", "test"), data)
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def _refuse_other_order(data: Sequence[Any]) -> None:
    """Raise for the order in which scikit-learn's train_test_split returns its arrays."""
    first, second, third, last = map(_rows, data)
    if first == third != second == last:
        raise DataError(
            "data: expected x_train, y_train, x_test, y_test, got the lengths of x_train, x_test, y_train, y_test, the "
            "order of scikit-learn's train_test_split: change the second with the third"
        )


def _rows(part: Any) -> int:
    """The number of rows of an array, a frame or a list; -1 of anything else."""
    if shape := getattr(part, "shape", None):
        return shape[0]
    return len(part) if isinstance(part, Sequence) else -1


def four_expected(names: Iterable[Any]) -> str:
    """The message for arrays of other names than `ARRAYS`."""
    found = [cut(str(name)) for name in names]
    return f"expected the four arrays {', '.join(ARRAYS)}; got {', '.join(found[:8]) or 'no array'}"


def machine_memory() -> float:
    """Memory of this machine in bytes; infinite if it is unknown."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return math.inf


def _pair(part: str, given: Any) -> tuple[Any, Any]:
    """Images and labels of one split: two arrays, or an iterable of pairs."""
    if isinstance(given, tuple | list) and len(given) == 2 and _is_column(given[1]):
        return given[0], given[1]
    if not isinstance(given, Iterable) and not hasattr(given, "__getitem__"):
        raise DataError(f"data: {EXPECTED}; got {_described(given)} for {part}")
    return _collected(part, given)


def _is_column(labels: Any) -> bool:
    """Whether these are labels of many images, and not the second of two (image, label) pairs."""
    return not isinstance(labels, tuple) and np.ndim(labels) in (1, 2)


def _collected(part: str, pairs: Iterable[Any]) -> tuple[Array, Array]:
    """Images and labels of a finite iterable, which is read once."""
    images: list[Array] = []
    labels: list[Any] = []
    taken, most = 0, machine_memory()
    for number, pair in enumerate(pairs):
        try:
            image, label = pair
        except (TypeError, ValueError):
            raise DataError(
                f"data: item {number} of {part}: expected (image, label), got {_described(pair)}"
            ) from None
        _refuse_masked(f"item {number} of {part}", image)
        images.append(np.array(image))
        labels.append(_label(f"item {number} of {part}", label))
        taken += images[-1].nbytes
        if images[-1].shape != images[0].shape:
            raise DataError(
                f"data: image {number} of {part}: expected shape {images[0].shape}, as of the first image, "
                f"got {images[-1].shape}"
            )
        if 2 * taken > most:  # np.stack makes a second copy
            raise DataError(
                f"data: {part}: expected a finite iterable that fits into memory, but {number + 1:,} images "
                "take half of the memory of this machine"
            )
    if not images:
        raise DataError(f"data: {part}: expected at least one image, got none")
    return np.stack(images), np.array(labels)


def _label(what: str, label: Any) -> Any:
    """The label of one image as a Python value."""
    shape = np.shape(label)
    if math.prod(shape) != 1:
        raise DataError(
            f"data: {what}: expected one label, got {_described(label)}; take one-hot labels with .argmax(axis=-1), "
            "and images of batches with .unbatch()"
        )
    return np.asarray(label).reshape(-1)[0].item() if shape or hasattr(label, "dtype") else label


def _refuse_masked(what: str, value: Any) -> None:
    """Raise for a masked array with masked values, whose mask NumPy would drop."""
    if isinstance(value, np.ma.MaskedArray) and (masked := int(np.ma.count_masked(value))):
        raise DataError(
            f"data: {what}: expected no missing values, got {masked} masked ones; fill them with .filled(value), "
            "or drop the rows"
        )


def _aligned(part: str, train: Any, test: Any) -> Any:
    """The test frame with its columns in the order of the training frame; one-hot rows get the classes they lack."""
    if not (_is_frame(train) and _is_frame(test)):
        return test
    names, others = list(train.columns), list(test.columns)
    if part == "y" and len(names) == len(others) == 1:  # one target, whatever it is called
        return test
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise DataError(
            f"data: expected a name for each column, got {cut(repr(twice[0]))} more than once"
        )
    if part == "y" and set(others) < set(names) and is_one_hot(train.to_numpy()):
        return test.reindex(columns=names, fill_value=0)
    if set(names) != set(others):
        odd = sorted(map(repr, set(names) ^ set(others)))
        raise DataError(
            f"data: expected the same columns in {part}_train and {part}_test; only one of them has "
            f"{', '.join(map(cut, odd[:5]))}"
        )
    return test[names]


def _array(key: str, value: Any) -> Array:
    """Convert a value to an array: features to numbers, labels to integers or strings."""
    if _is_frame(value) and key.startswith("x"):
        return _features(key, value)
    _refuse_masked(key, value)
    try:
        array = value.to_numpy() if hasattr(value, "to_numpy") else np.asarray(value)
    except Exception as error:
        raise DataError(
            f"data: {key}: {_described(value)} cannot be converted to an array ({reason(error)}); {EXPECTED}"
        ) from None
    if key.startswith("y") and array.dtype.kind in "OT":
        return _labels(key, array)
    return array


def _features(key: str, frame: Any) -> Array:
    if wrong := column_problem(frame):
        raise DataError(f"data: {key}: {wrong}")
    truths = {name: "uint8" for name, kind in frame.dtypes.items() if kind.kind == "b"}
    return frame.astype(truths).astype(_common(frame)).to_numpy()


def column_problem(frame: Any) -> str:
    """What in the columns of a frame is no number, with what to do; empty if nothing is."""
    if not len(frame.columns):
        return "expected at least one column, got none"
    places = [i for i, kind in enumerate(frame.dtypes) if kind.kind not in "iufb"]
    other = [str(frame.columns[i]) for i in places]
    if places and all(isinstance(each, Number) for i in places for each in frame.iloc[:, i]):
        return (
            f"expected numeric columns, got numbers as objects in {', '.join(map(cut, other[:5]))}; convert them with "
            ".astype(float)"
        )
    if other:
        return (
            f"expected numeric columns, got {', '.join(map(cut, other[:5]))}; make a column of 0 and 1 for each of a "
            "text column's values (pandas.get_dummies), or drop it"
        )
    empty = frame.isna().sum()
    if not empty.any():
        return ""
    holes = ", ".join(
        f"{cut(str(name))} ({count})" for name, count in empty[empty > 0].head(5).items()
    )
    return (
        f"expected no missing values, got some in {holes}; fill them, for example with the column's "
        "median, or drop these rows"
    )


def column_names(inputs: Any) -> tuple[str, ...]:
    """The names of the columns of inputs; empty if they have none."""
    return tuple(map(str, inputs.columns)) if _is_frame(inputs) else ()


def _common(frame: Any) -> np.dtype[Any]:
    """The common NumPy dtype of all columns; pandas's nullable dtypes count as NumPy's."""
    kinds = [getattr(kind, "numpy_dtype", kind) for kind in frame.dtypes]
    return np.result_type(*(np.uint8 if kind.kind == "b" else kind for kind in kinds))


def _labels(key: str, labels: Array) -> Array:
    """Convert labels of dtype object, as of pandas, to strings, integers or floats."""
    flat = labels.reshape(-1).tolist()
    if all(isinstance(label, str) for label in flat):
        return np.array(flat, dtype=str).reshape(labels.shape)
    if all(isinstance(label, int) for label in flat):
        try:
            return labels.astype(np.int64)
        except OverflowError:
            raise DataError(f"data: {key}: expected labels of 64 bits, got larger ones") from None
    if all(isinstance(label, int | float) for label in flat):
        return labels.astype(np.float64)
    if missing := sum(map(_is_missing, flat)):
        raise DataError(
            f"data: {key}: expected a label for each row, got {counted(missing, 'missing one')}; drop these rows, or "
            'make them a class of their own, as with .fillna("none")'
        )
    odd = next(label for label in flat if not isinstance(label, str))
    raise DataError(f"data: {key}: expected integers or strings as labels, got {_described(odd)}")


def _is_missing(label: Any) -> bool:
    """Whether a label is None, NaN or pandas.NA, which is not even equal to itself."""
    return label is None or type(label).__name__ == "NAType" or (label != label) is True


def _is_frame(value: Any) -> bool:
    return hasattr(value, "columns") and hasattr(value, "dtypes")


def _described(value: Any) -> str:
    shape = getattr(value, "shape", None)
    if shape is not None:
        return f"{type(value).__name__} of shape {tuple(shape)}"
    many = f" of {len(value)}" if isinstance(value, Sequence) and not isinstance(value, str) else ""
    return f"{type(value).__name__}{many}"


def task_of(y_train: Array, y_test: Array) -> str | None:
    """The task that labels say plainly; None if they do not.

    Floating numbers that are not whole are a regression's targets; one-hot rows, and a column of integers
    or strings, are classes.
    """
    both = (y_train, y_test)
    if all(is_one_hot(y) or _is_column_of_classes(y) for y in both):
        return CLASSIFICATION
    if all(y.dtype.kind == "f" for y in both):
        return None if all(map(_whole, both)) else REGRESSION
    return None


def _is_column_of_classes(y: Array) -> bool:
    return y.dtype.kind in "iubU" and (y.ndim == 1 or (y.ndim == 2 and y.shape[1] == 1))


def is_one_hot(y: Array) -> bool:
    """Whether each row is 1 for one class and 0 for the others, (n, classes)."""
    if y.ndim != 2 or y.shape[1] < 2 or y.dtype.kind not in "iufb":
        return False
    return bool(np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all())


def one_hot_problem(y_train: Array, y_test: Array) -> str:
    """What is wrong with one-hot rows of both sets; empty if nothing is, or one of them has none."""
    if not (is_one_hot(y_train) and is_one_hot(y_test)) or y_train.shape[1] == y_test.shape[1]:
        return ""
    return (
        f"y_test: expected one-hot rows of {y_train.shape[1]} classes, as in y_train, got {y_test.shape[1]}; "
        "a class without test images has a column of zeros"
    )


def class_labels(y: Array) -> Array:
    """One-hot rows as numbers of classes, whole floats as integers; others as they are."""
    if is_one_hot(y):
        return y.argmax(axis=1)
    return y.astype(np.int64) if y.dtype.kind == "f" and _whole(y) else y


def column_classes(y: Any, labels: Sequence[str], classes: int) -> tuple[str, ...]:
    """The names of classes that are columns of a one-hot frame; `labels` are their numbers, if classes are missing.

    Other labels are returned as they are.
    """
    names = column_names(y)
    if len(names) < 2:
        return tuple(labels)
    numbers = list(map(int, labels)) if labels else range(classes)
    named = tuple(names[number] for number in numbers)
    return () if named == tuple(map(str, range(classes))) else named


def targets(y: Array) -> Array:
    """The targets of a regression as (n, outputs) float64."""
    return y.reshape(len(y), -1).astype(np.float64)


def _whole(y: Array) -> bool:
    return bool(np.isfinite(y).all() and (y == np.rint(y)).all())


def class_numbers(y_train: Array, y_test: Array) -> tuple[Array, Array, tuple[str, ...]]:
    """Both as (n,) int64 from 0, and the original names of the classes in that order.

    The labels are integers or strings, (n,) or (n, 1), that passed `label_problems`; their sorted
    values are the classes. The names are empty if the labels are 0, 1, 2, … already.
    """
    names = np.unique(y_train)
    if names.dtype.kind != "U" and np.array_equal(names, np.arange(len(names))):
        return _flat(y_train).astype(np.int64), _flat(y_test).astype(np.int64), ()
    train, test = (np.searchsorted(names, _flat(y)).astype(np.int64) for y in (y_train, y_test))
    return train, test, tuple(str(name) for name in names)


def label_problems(y_train: Array, y_test: Array, sample: str = "image") -> list[str]:
    """Errors in labels of valid types and shapes; `sample` is what has a label."""
    if (y_train.dtype.kind == "U") != (y_test.dtype.kind == "U"):
        return [f"y_test: expected {_kind(y_train)}, as in y_train, got {_kind(y_test)}"]
    names, counts = np.unique(y_train, return_counts=True)
    if len(names) < 2:
        return ["y_train: expected at least two classes, got one"]
    if counts.min() < 2:
        lonely = names[counts.argmin()]
        return [
            f"y_train: expected at least two {sample}s of each class, one of them for validation, got one "
            f"of class {cut(str(lonely))}{_of_numbers(names)}"
        ]
    unknown = np.setdiff1d(y_test, names)
    if len(unknown):
        return [
            f"y_test: expected the labels of y_train ({_listed(names)}), got {cut(str(unknown[0]))}"
        ]
    return []


def _of_numbers(names: Array) -> str:
    """What to do about so many numbers as labels; empty of others."""
    if names.dtype.kind == "U" or len(names) <= MANY:
        return ""
    return (
        f' ({len(names):,} different numbers); for a regression, set data.task = "regression", or of `normsweep new` '
        "--task regression"
    )


def _flat(labels: Array) -> Array:
    return labels.reshape(-1)


def _kind(labels: Array) -> str:
    return "strings" if labels.dtype.kind == "U" else "integers"


def _listed(names: Array) -> str:
    shown = ", ".join(cut(str(name)) for name in names[:5])
    return shown if len(names) <= 5 else f"{shown}, … {cut(str(names[-1]))}"
