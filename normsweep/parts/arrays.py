"""Frames, lists, images and labels as people have them, as checked arrays."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from normsweep.errors import DataError

__all__ = ["ARRAYS", "Arrays", "class_numbers", "four_arrays", "label_problems", "machine_memory"]

ARRAYS = ("x_train", "y_train", "x_test", "y_test")


Array = np.ndarray[Any, Any]


Arrays = dict[str, Array]


LEGAL = (
    "legal: (x_train, y_train, x_test, y_test), a mapping of these names, or two finite iterables "
    "of (image, label), one to train and one to test"
)


def four_arrays(data: Any) -> Arrays:
    """The arrays of what `Dataset.of` takes, not yet checked.

    Raises:
        DataError: it has none of the forms, or cannot be made an array of numbers.
    """
    if isinstance(data, Mapping):
        parts = {key: data[key] for key in ARRAYS if key in data}
    elif not isinstance(data, Sequence) or isinstance(data, str) or len(data) not in (2, 4):
        raise DataError(f"data: received {_described(data)}; {LEGAL}")
    elif len(data) == 4:
        parts = dict(zip(ARRAYS, data, strict=True))
    else:
        (x_train, y_train), (x_test, y_test) = map(_pair, ("train", "test"), data)
        parts = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
    parts |= _aligned(parts.get("x_train"), parts.get("x_test"))
    return {key: _array(key, value) for key, value in parts.items()}


def machine_memory() -> float:
    """Bytes of memory of this machine; infinite where the system does not say."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return math.inf


def _pair(part: str, given: Any) -> tuple[Any, Any]:
    """Features and labels of one part: two columns as they are, or pairs that are told one by one."""
    if isinstance(given, tuple | list) and len(given) == 2 and _is_column(given[1]):
        return given[0], given[1]
    if not isinstance(given, Iterable) and not hasattr(given, "__getitem__"):
        raise DataError(f"data: received {_described(given)} to {part}; {LEGAL}")
    return _collected(part, given)


def _is_column(labels: Any) -> bool:
    """Whether these are labels of many images, and not the second of two (image, label) pairs."""
    return not isinstance(labels, tuple) and np.ndim(labels) in (1, 2)


def _collected(part: str, pairs: Iterable[Any]) -> tuple[Array, Array]:
    """Images and labels of an iterable, which is read once and has to end."""
    images: list[Array] = []
    labels: list[Any] = []
    taken, most = 0, machine_memory()
    for number, pair in enumerate(pairs):
        try:
            image, label = pair
        except (TypeError, ValueError):
            raise DataError(
                f"data: item {number} to {part} is {_described(pair)}; legal: (image, label)"
            ) from None
        images.append(np.array(image))
        labels.append(label.item() if isinstance(label, np.generic | np.ndarray) else label)
        taken += images[-1].nbytes
        if images[-1].shape != images[0].shape:
            raise DataError(
                f"data: image {number} to {part} has shape {images[-1].shape}; legal: "
                f"{images[0].shape}, as the first"
            )
        if 2 * taken > most:  # what is stacked below is a second copy
            raise DataError(
                f"data: {number + 1:,} images to {part} take half of this machine's memory, with "
                "no end yet; legal: an iterable that ends"
            )
    if not images:
        raise DataError(f"data: received no image to {part}; legal: at least one")
    return np.stack(images), np.array(labels)


def _aligned(train: Any, test: Any) -> dict[str, Any]:
    """Two frames with their columns in one order."""
    if not (_is_frame(train) and _is_frame(test)):
        return {}
    if set(train.columns) != set(test.columns):
        odd = sorted(map(str, set(train.columns) ^ set(test.columns)))
        raise DataError(
            f"data: x_train and x_test do not share the columns {', '.join(odd[:5])}; legal: the "
            "same columns in both"
        )
    return {"x_test": test[list(train.columns)]}


def _array(key: str, value: Any) -> Array:
    """The value as an array; a frame's cells as numbers, labels as whole numbers or texts."""
    if _is_frame(value) and key.startswith("x"):
        return _features(key, value)
    try:
        array = value.to_numpy() if hasattr(value, "to_numpy") else np.asarray(value)
    except Exception as error:
        raise DataError(
            f"data: {key} is {_described(value)}, which is no array ({error}); {LEGAL}"
        ) from None
    if key.startswith("y") and array.dtype.kind in "OT":
        return _labels(key, array)
    return array


def _features(key: str, frame: Any) -> Array:
    other = [str(name) for name, kind in frame.dtypes.items() if kind.kind not in "iufb"]
    if other:
        raise DataError(
            f"data: {key} has the columns {', '.join(other[:5])}, which hold no numbers; legal: "
            "numbers: encode them, or leave them out"
        )
    truths = {name: "uint8" for name, kind in frame.dtypes.items() if kind.kind == "b"}
    if frame.isna().to_numpy().any():
        holes = [str(name) for name, empty in frame.isna().any().items() if empty]
        raise DataError(
            f"data: {key} has missing values in {', '.join(holes[:5])}; legal: numbers: fill them, "
            "or drop their rows"
        )
    return frame.astype(truths).astype(_common(frame)).to_numpy()


def _common(frame: Any) -> np.dtype[Any]:
    """The one type that holds every column; pandas's own, which allow for holes, as NumPy's."""
    kinds = [getattr(kind, "numpy_dtype", kind) for kind in frame.dtypes]
    return np.result_type(*(np.uint8 if kind.kind == "b" else kind for kind in kinds))


def _labels(key: str, labels: Array) -> Array:
    """Labels held as objects, as pandas has texts: as texts or whole numbers."""
    flat = labels.reshape(-1).tolist()
    if all(isinstance(label, str) for label in flat):
        return labels.astype(str)
    if all(isinstance(label, int) for label in flat):
        return labels.astype(np.int64)
    odd = next(label for label in flat if not isinstance(label, str) or label is None)
    raise DataError(
        f"data: {key} holds {_described(odd)} among its labels; legal: whole numbers, or texts"
    )


def _is_frame(value: Any) -> bool:
    return hasattr(value, "columns") and hasattr(value, "dtypes")


def _described(value: Any) -> str:
    shape = getattr(value, "shape", None)
    if shape is not None:
        return f"{type(value).__name__} of shape {tuple(shape)}"
    many = f" of {len(value)}" if isinstance(value, Sequence) and not isinstance(value, str) else ""
    return f"{type(value).__name__}{many}"


def class_numbers(y_train: Array, y_test: Array) -> tuple[Array, Array, tuple[str, ...]]:
    """Both as (n,) int64 from 0 on, and the owner's names of the classes in that order.

    Whole numbers or texts, (n,) or (n, 1), that `label_problems` found nothing wrong with; sorted,
    they are the classes. Labels that are 0, 1, 2, … already have no other names: the names are empty.
    """
    names = np.unique(y_train)
    if names.dtype.kind != "U" and np.array_equal(names, np.arange(len(names))):
        return _flat(y_train).astype(np.int64), _flat(y_test).astype(np.int64), ()
    train, test = (np.searchsorted(names, _flat(y)).astype(np.int64) for y in (y_train, y_test))
    return train, test, tuple(str(name) for name in names)


def label_problems(y_train: Array, y_test: Array) -> list[str]:
    """What is wrong with labels whose types and shapes are legal."""
    if (y_train.dtype.kind == "U") != (y_test.dtype.kind == "U"):
        return [
            f"y_test has labels of {_kind(y_test)}; legal: {_kind(y_train)}, as those of y_train"
        ]
    names, counts = np.unique(y_train, return_counts=True)
    if len(names) < 2:
        return ["y_train has one class; legal: at least two"]
    if counts.min() < 2:
        lonely = names[counts.argmin()]
        return [
            f"y_train has one image of class {lonely}; legal: at least two, one of them to validate"
        ]
    unknown = np.setdiff1d(y_test, names)
    if len(unknown):
        return [f"y_test has the label {unknown[0]}; legal: {_listed(names)}, as in y_train"]
    return []


def _flat(labels: Array) -> Array:
    return labels.reshape(-1)


def _kind(labels: Array) -> str:
    return "text" if labels.dtype.kind == "U" else "whole numbers"


def _listed(names: Array) -> str:
    shown = ", ".join(str(name) for name in names[:5])
    return shown if len(names) <= 5 else f"{shown}, … {names[-1]}"
