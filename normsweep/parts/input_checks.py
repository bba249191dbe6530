"""What raw arrays look like, and what in them makes a network train badly or not at all.

Every check is a function of the four arrays, which may be invalid; it yields findings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from normsweep.parts.arrays import ARRAYS, Arrays, class_labels, targets, task_of
from normsweep.sweep.parameters import REGRESSION
from normsweep.text import counted

__all__ = [
    "Finding",
    "described",
    "input_findings",
    "narrow_range",
    "pixels_in_columns",
    "too_coarse",
]

Array = np.ndarray[Any, Any]

ROWS = 10_000
"""Rows that are looked at, at most."""
FEW = 0.1
"""Share of ones below which images of 0 and 1 look like a division of integers."""
NARROW = {"uint8": 8, "uint16": 4}
"""Factor by which a type's range may be larger than the values."""
OVER_TIME = ("sequence", "signal", "tokens")
"""Values of `data.kind` for inputs that are neither images nor a table."""
TINY = 1e-4
"""Largest value below which rounding and epsilons matter."""
FILL = 1000.0
"""Factor above nearly all other values from which a value looks like a fill value."""
SHARED = 0.1
"""Share of test rows that may be in the training set."""
UNEVEN = 1e3
"""Factor between the spreads of two columns from which they need scales of their own."""
LARGE = 100.0
"""Deviation of a target, or 1 divided by it, from which losses and gradients are far from 1."""
COARSE = 4.0
"""Steps of float32 in a column's deviation below which rounding hides what varies in it."""
FEWEST = 20
"""Rows from which consecutive whole numbers in a column are no chance."""
RARE = 0.95
"""Share of a class from which the others are rare."""


@dataclass(frozen=True)
class Finding:
    """Something that a person should know before training."""

    name: str
    text: str
    alarming: bool = True
    """Whether a training is likely to fail or to mislead because of it."""


@dataclass(frozen=True)
class _Data:
    """Arrays that are as long as each other; x are numbers with at least one column."""

    x: Array
    y: Array
    x_test: Array
    y_test: Array
    kind: str | None = None
    full_scale: float | None = None
    regression: bool = False
    columns: int = 1
    """Number of columns of y."""

    @property
    def outputs_are_inputs(self) -> bool:
        """Whether it may be an autoencoder's data."""
        return self.columns == self.x[0].size > 1

    @property
    def table(self) -> bool:
        return self.x.ndim == 2 and self.kind not in OVER_TIME

    @property
    def images(self) -> bool:
        return self.x.ndim > 2 and self.kind not in OVER_TIME

    @cached_property
    def flat(self) -> Array:
        """Rows of the training set as float64, (n, columns)."""
        rows = _sampled(self.x)
        return rows.reshape(len(rows), -1).astype(np.float64)

    @cached_property
    def labels(self) -> Array:
        """The labels of the same rows, of a regression the first target."""
        return _sampled(self.y)


def _sampled(x: Array) -> Array:
    """At most `ROWS` rows at equal distances: data may be sorted."""
    return x[np.linspace(0, len(x) - 1, min(len(x), ROWS)).astype(int)]


def described(
    arrays: Arrays,
    kind: str | None = None,
    full_scale: float | None = None,
    task: str | None = None,
) -> str:
    """Shape, type, range, mean and spread of the training inputs, and what is predicted, in a line.

    Arguments as of `[data]`.
    """
    x, y = arrays["x_train"], arrays["y_train"]
    values = _sampled(x).astype(np.float64)
    values = values[np.isfinite(values)]
    declared = x.dtype.name in ("uint8", "uint16")
    if full_scale is not None:
        of = f"stated, to {full_scale:g}"
    elif declared:
        of = f"declared by the type, 0 to {np.iinfo(x.dtype).max}"
    else:
        of = "not declared, so the data's own is taken"
    shape = "×".join(map(str, x.shape[1:]))
    what = "a table of" if x.ndim == 2 else "images of"
    what = {"sequence": "sequences of", "signal": "signals of", "tokens": "tokens,"}.get(
        kind or "", what
    )
    return (
        f"{len(x):,} training and {len(arrays['x_test']):,} test rows, {what} {shape}, {x.dtype.name}; values from "
        f"{values.min():.4g} to {values.max():.4g} (range: {of}), mean {values.mean():.4g}, deviation "
        f"{values.std():.4g}; {_predicted(y, task or task_of(y, arrays['y_test']))}"
    )


def _predicted(y: Array, task: str | None) -> str:
    """What the labels say: how many classes, or the targets of a regression."""
    if task != REGRESSION:
        return f"{len(np.unique(class_labels(y))):,} classes"
    numbers = targets(y)
    what = "a target" if numbers.shape[1] == 1 else f"{numbers.shape[1]:,} targets"
    return (
        f"regression of {what} from {numbers.min():.4g} to {numbers.max():.4g}, mean {numbers.mean():.4g}, "
        f"deviation {numbers.std():.4g}"
    )


def input_findings(
    arrays: Arrays,
    kind: str | None = None,
    full_scale: float | None = None,
    task: str | None = None,
) -> list[Finding]:
    """All findings in four arrays, most important first; of invalid arrays those that can be told.

    `kind`, `full_scale` and `task` are those of `[data]`.
    """
    if set(ARRAYS) - arrays.keys():
        return []
    task = task or task_of(arrays["y_train"], arrays["y_test"])
    regression = task == REGRESSION
    if task is not None and not regression:
        labels = {key: class_labels(arrays[key]) for key in ("y_train", "y_test")}
        arrays = {**arrays, **labels}
    checked = _targets if regression else _labels
    found = list(checked(arrays["y_train"], arrays["y_test"]))
    x, x_test = arrays["x_train"], arrays["x_test"]
    if any(part.dtype.kind not in "iufb" or part.ndim < 2 or not part.size for part in (x, x_test)):
        return found
    if len(x) != len(arrays["y_train"]) or len(x_test) != len(arrays["y_test"]):
        found.append(
            Finding("lengths", "inputs and labels differ in number, so rows have wrong labels")
        )
        return found
    bad = int(np.count_nonzero(~np.isfinite(x)))
    if bad:
        found.append(
            Finding(
                "not-finite",
                f"x_train: {counted(bad, 'value')} NaN or infinite: every loss becomes NaN",
            )
        )
        return found
    first = arrays["y_train"].reshape(len(x), -1)[:, 0]
    columns = arrays["y_train"][:1].size
    data = _Data(x, first, x_test, arrays["y_test"], kind, full_scale, regression, columns)
    checks = (_test_set,) if kind == "tokens" else CHECKS
    return found + [finding for check in checks for finding in check(data)]


def _labels(y_train: Array, y_test: Array) -> Iterator[Finding]:
    if y_train.ndim == 2 and y_train.shape[1] > 1:
        yield Finding(
            "columns",
            "y_train: several columns that are not one-hot: a regression's targets? "
            'Set data.task = "regression"',
        )
        return
    if y_train.dtype.kind == "f":
        yield Finding(
            "float-labels",
            "y_train: labels are whole numbers as floats: classes, or a regression's targets? Set data.task",
        )
        return
    names, counts = np.unique(y_train, return_counts=True)
    if len(names) == 1:
        yield Finding(
            "one-class", f"y_train: every label is {names[0]}; there is nothing to tell apart"
        )
    elif counts.max() > RARE * counts.sum():
        share = counts.max() / counts.sum()
        yield Finding(
            "rare-classes",
            f"y_train: {share:.1%} are of one class: accuracy hides the others; use balanced_accuracy",
        )
    if (
        names.dtype.kind in "iu"
        and len(names) > 1
        and not np.array_equal(names, np.arange(len(names)))
    ):
        if np.array_equal(names, np.arange(1, len(names) + 1)):
            yield Finding(
                "labels-from-1",
                f"y_train: labels go from 1 to {len(names)}; Keras's sparse losses expect 0 to {len(names) - 1} "
                "(normsweep renumbers them, your own script may not)",
            )
        else:
            yield Finding(
                "label-gaps",
                f"y_train: {len(names)} labels from {names[0]} to {names[-1]}; expected 0 to {len(names) - 1} without gaps",
            )
    alike = y_test.dtype.kind == y_train.dtype.kind
    strange = np.setdiff1d(y_test, y_train) if alike else np.array([])
    if len(strange):
        yield Finding("unknown-class", f"y_test: class {strange[0]} is not in y_train")


def _targets(y_train: Array, y_test: Array) -> Iterator[Finding]:
    """What is wrong with the targets of a regression."""
    if any(
        y.dtype.kind not in "iufb" or y.ndim not in (1, 2) or not y.size for y in (y_train, y_test)
    ):
        return
    if not all(np.isfinite(y).all() for y in (y_train, y_test)):
        yield Finding("targets-not-finite", "y: targets that are NaN or infinite")
        return
    numbers = targets(y_train)
    spread = numbers.std(axis=0)
    if (spread == 0).all():
        yield Finding(
            "constant-target", "y_train: every target is constant; there is nothing to predict"
        )
        return
    least = spread[spread > 0].min()
    if spread.max() > LARGE or least < 1 / LARGE:
        far = spread.max() if spread.max() > LARGE else least
        yield Finding(
            "target-scale",
            f"y_train: a target with a deviation of {far:.3g}: losses and gradients are as far from 1; "
            'try target = "standardize"',
            alarming=False,
        )
    if numbers.min() > 0 and numbers.max() > LARGE * float(np.median(numbers)):
        yield Finding(
            "skewed-target",
            f"y_train: the largest target is {numbers.max() / np.median(numbers):.3g} times the median; "
            'try target = "log1p"',
            alarming=False,
        )


def _empty(data: _Data) -> Iterator[Finding]:
    """Inputs without information: all rows the same, or what a division of integers leaves."""
    low, high = float(data.x.min()), float(data.x.max())
    ones = float(np.mean(data.x == 1))
    halves = low >= 0 and high <= 1 and bool(np.isin(_sampled(data.x), (0, 1)).all())
    if halves and ones < (0 if data.table else FEW) + (high == 0):
        yield Finding(
            "integer-division",
            "x_train: all values are 0 or 1, and nearly all 0: an integer array that was divided as integers looks like "
            "this; convert it to float first, x.astype('float32') / 255 (of drawings in black and white it is right)",
        )
    elif low == 0 and high == 1 and data.x.dtype.kind in "iub" and data.images:
        yield Finding(
            "binary",
            "x_train: all values are 0 or 1, as of images in black and white",
            alarming=False,
        )
    if np.array_equal(data.x.max(axis=0), data.x.min(axis=0)):
        yield Finding(
            "all-equal", "x_train: all rows are the same, so no network can tell the classes apart"
        )


def narrow_range(x: Array, full_scale: float | None = None) -> str:
    """What is wrong with the range of the type, of images or sequences; empty if nothing is, or one is stated."""
    name, high = x.dtype.name, float(x.max())
    if full_scale is not None or name not in NARROW:
        return ""
    full, bits = np.iinfo(x.dtype).max, int(high).bit_length()
    if not 1 < high < full / NARROW[name]:
        return ""
    return (
        f"{name}, but values end at {high:.0f} ({bits} bits): `unit` and `symmetric` divide by {full}, so the "
        f"network gets values up to {high / full:.2g}; set data.full_scale, for {bits} bits to {2**bits - 1}"
    )


def too_coarse(x: Array) -> str:
    """Which column varies by less than float32 can hold, with what to do; empty if none does.

    Args:
        x: rows of a table or of sequences, with the columns on the last axis.
    """
    if x.dtype.kind not in "iuf" or x.dtype.itemsize < 4 or x.dtype == np.float32:
        return ""
    columns = _sampled(x).reshape(-1, x.shape[-1]).astype(np.float64)
    spread = columns.std(axis=0)
    with np.errstate(over="ignore"):
        step = np.spacing(np.abs(columns).max(axis=0).astype(np.float32)).astype(np.float64)
    lost = np.flatnonzero((spread > 0) & (spread < COARSE * step))
    if not len(lost):
        return ""
    first = lost[0]
    return (
        f"column {first} has a deviation of {spread[first]:.3g} around {columns[:, first].mean():.6g}, where float32, in "
        f"which networks are trained, has steps of {step[first]:.3g} ({counted(len(lost), 'such column')}): what varies "
        "in it is lost; subtract its minimum before you pass the data"
    )


def pixels_in_columns(x: Array, full_scale: float | None = None) -> str:
    """What `unit` does to flattened images; empty of other inputs, or if a full scale is stated."""
    if full_scale is not None or x.ndim != 2 or x.dtype.name not in NARROW:
        return ""
    full = np.iinfo(x.dtype).max
    if x.max() <= full // 2:
        return ""
    return (
        f"{x.dtype} of shape (n, features): `unit` divides each column by its own largest value; to divide pixels by "
        f"{full}, set data.full_scale = {full}"
    )


def _range(data: _Data) -> Iterator[Finding]:
    """A range that is not the one that the type or the usual scaling lets expect."""
    low, high = float(data.x.min()), float(data.x.max())
    if not data.table and (narrow := narrow_range(data.x, data.full_scale)):
        yield Finding("narrow-range", f"x_train: {narrow}")
    if data.table and (flattened := pixels_in_columns(data.x, data.full_scale)):
        yield Finding("flattened", f"x_train: {flattened}", alarming=False)
    if not data.images and (coarse := too_coarse(data.x)):
        yield Finding("too-coarse", f"x_train: {coarse}")
    if data.full_scale is not None and max(-low, high) > data.full_scale:
        yield Finding(
            "beyond-full-scale",
            f"x_train: values up to {max(-low, high):.5g}, beyond data.full_scale = {data.full_scale:g}",
        )
    if data.x.dtype.name == "int8" and low < 0 and data.images:
        yield Finding(
            "wrapped",
            "x_train: images in int8 from below 0: 8-bit images are unsigned, and values above 127 wrap around",
        )
    largest = max(-low, high)
    if data.x.dtype.kind == "f" and low >= 0 and 0.9 / 255 < high <= 1.01 / 255:
        yield Finding(
            "divided-twice", f"x_train: values end at {high:.3g}, about 1/255: divided by 255 twice"
        )
    elif 0 < largest < TINY:
        yield Finding(
            "tiny",
            f"x_train: the largest value is {largest:.2g}; rounding and epsilons of layers matter there, so scale it",
        )


def _fill(data: _Data) -> Iterator[Finding]:
    """Values far from all others, which stand for missing ones."""
    if data.x.dtype.name in ("uint8", "int8"):
        return
    size = np.abs(data.flat)
    usual = np.quantile(size, 0.99, axis=0 if data.table else None)
    far = size[(size > FILL * usual) & (usual > 0)]
    codes = [c for c in (-99, -999, -9999, -99999) if (data.flat == c).sum() > 1]
    odd = [c for c in codes if float(data.flat[data.flat != c].min()) > c / 10]
    if len(far) or odd:
        value = odd[0] if odd else float(far.max())
        yield Finding(
            "fill-values",
            f"x_train: values of {value:.3g} far from all others: fill values for what is missing?",
        )


def _columns(data: _Data) -> Iterator[Finding]:
    """Columns of a table that hold nothing, too much, or another unit."""
    if not data.table:
        return
    flat, spread = data.flat, data.flat.std(axis=0)
    constant = np.flatnonzero(np.ptp(flat, axis=0) == 0)
    if 0 < len(constant) < flat.shape[1]:
        yield Finding(
            "constant-column",
            f"x_train: column {constant[0]} is constant ({counted(len(constant), 'such column')}): it holds nothing, "
            "and dividing by its deviation fails",
        )
    if (counts := _counting(data)) is not None:
        yield Finding(
            "row-number",
            f"x_train: column {counts} counts the rows: an index or an identifier, which says nothing of new rows? Drop it",
        )
    varying = spread[spread > 0]
    if len(varying) and varying.max() > UNEVEN * varying.min():
        yield Finding(
            "column-scales",
            f"x_train: spreads of columns differ by {varying.max() / varying.min():.1g} times: use a scheme by column "
            "(`standardize`, `minmax`, `robust`)",
            alarming=False,
        )
    if data.regression:
        if data.outputs_are_inputs:
            return
        same = [c for c in range(flat.shape[1]) if np.array_equal(flat[:, c], data.labels)]
        if same:
            yield Finding("label-column", f"x_train: column {same[0]} is the target itself")
        return
    _, labels = np.unique(data.labels, return_inverse=True)
    if len(np.unique(labels)) < 2:
        return
    for column in range(flat.shape[1]):
        values = np.unique(flat[:, column])
        if len(values) == len(np.unique(labels)) and len(
            np.unique(np.c_[flat[:, column], labels], axis=0)
        ) == len(values):
            yield Finding(
                "label-column",
                f"x_train: column {column} tells the label exactly: is it the label, or made from it?",
            )
            return


def _counting(data: _Data) -> int | None:
    """The first column of consecutive whole numbers, in the training set or in both together; None if there is none."""
    sets: list[tuple[Array, ...]] = [(data.x,)]
    if data.x_test.shape[1:] == data.x.shape[1:]:
        sets.append((data.x, data.x_test))
    for parts in sets:
        rows = sum(map(len, parts))
        low = np.min([part.min(axis=0) for part in parts], axis=0).astype(np.float64)
        high = np.max([part.max(axis=0) for part in parts], axis=0).astype(np.float64)
        for column in np.flatnonzero(high - low == rows - 1):
            values = np.sort(np.concatenate([part[:, column] for part in parts]))
            if rows >= FEWEST and (np.diff(values) == 1).all():
                return int(column)
    return None


def _axes(data: _Data) -> Iterator[Finding]:
    shape = data.x.shape[1:]
    if len(shape) == 3 and shape[0] in (1, 3, 4) and shape[-1] > 4:
        yield Finding(
            "channels-first",
            f"x_train: images of {shape}: channels come first; expected (height, width, channels)",
        )


def _test_set(data: _Data) -> Iterator[Finding]:
    """A test set that was treated in another way, or is part of the training set."""
    if data.x_test.shape[1:] != data.x.shape[1:]:
        return
    test = _sampled(data.x_test).astype(np.float64)
    test = test[np.isfinite(test)]
    spread, other = float(data.flat.std()), float(test.std()) if test.size else 0.0
    apart = abs(float(data.flat.mean()) - float(test.mean())) if test.size else 0.0
    ratio = max(spread, other) / min(spread, other) if min(spread, other) > 0 else 1.0
    if len(data.x_test) >= 20 and spread > 0 and (ratio > 3 or apart > max(spread, other)):
        yield Finding(
            "scales-differ",
            f"x_test: deviation {other:.3g}, in x_train {spread:.3g}: only one of them was scaled, or by other values",
        )
    known = Counter(row.tobytes() for row in data.x)
    again = sum(row.tobytes() in known for row in data.x_test)
    # Rows of few different values recur anyway, also within the training set.
    twice = sum(count for count in known.values() if count > 1)
    expected = len(data.x_test) * twice / len(data.x)
    if len(known) > 1 and again > 2 * expected + SHARED * len(data.x_test):
        yield Finding(
            "test-in-train",
            f"x_test: {again / len(data.x_test):.0%} of the rows are also in x_train: the test score will be too good",
        )


CHECKS: tuple[Callable[[_Data], Iterator[Finding]], ...] = (
    _empty, _range, _fill, _columns, _axes, _test_set,
)  # fmt: skip
