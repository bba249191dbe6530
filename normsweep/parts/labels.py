"""Labels as their owner has them, and as classes 0, 1, 2, …"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["class_numbers", "label_problems"]

Array = np.ndarray[Any, Any]


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
