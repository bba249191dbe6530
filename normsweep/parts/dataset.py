"""`Dataset`: four checked arrays, their digest, and how they are shared with workers."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from normsweep.errors import DataError
from normsweep.parts.arrays import (
    ARRAYS,
    Arrays,
    class_labels,
    class_numbers,
    column_classes,
    column_names,
    four_arrays,
    four_expected,
    label_problems,
    one_hot_problem,
    readable,
    targets,
    task_of,
)
from normsweep.sweep.parameters import AUTOENCODER, CLASSIFICATION, REGRESSION
from normsweep.text import counted

__all__ = ["PLAIN", "Dataset", "InputFacts"]

DTYPES = (
    "uint8", "uint16", "uint32", "int8", "int16", "int32", "int64", "float16", "float32", "float64",
)  # fmt: skip


Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class InputFacts:
    """What the inputs of a dataset are, beyond their values."""

    columns: tuple[str, ...] = ()
    """The names of a table's columns, if the sweep has a scheme by column."""
    full_scale: float | None = None
    """The largest value that the inputs could have, as stated by `[data] full_scale`."""
    tokens: bool = False
    """Whether the inputs are numbers of words, (n, time), which are not scaled."""


KINDS = {
    "image": "images (n, height, width) or (n, height, width, channels)",
    "table": "a table (n, features)",
    "sequence": "sequences (n, time, features)",
    "signal": "signals (n, time)",
    "tokens": "integers (n, time)",
}
PLAIN = InputFacts()
"""Nothing is known but the values."""


@dataclass(frozen=True)
class Dataset:
    """Images or a table, and labels or targets.

    x_train and x_test are (n, height, width, channels), (n, features) or, of sequences, (n, time,
    features) in their original dtype. In a classification y_train and y_test are (n,) int64 from 0 to
    `classes` - 1, in a regression (n, outputs) float64.
    """

    name: str
    source: str
    """The origin of the arrays, as text."""
    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array
    sample_shape: tuple[int, ...]
    """The original shape of one image, without the channel axis that normsweep may add."""
    labels: tuple[str, ...] = ()
    """The original names of the classes 0, 1, 2, …; empty if these numbers are the names."""
    columns: tuple[str, ...] = ()
    """The names of a table's columns, where they are known; no part of its identity."""
    facts: InputFacts = PLAIN

    @classmethod
    def of(
        cls,
        data: Any,
        name: str = "data",
        source: str = "arrays in memory",
        task: str | None = None,
    ) -> Dataset:
        """Make a dataset of data in memory.

        Args:
            data: `(x_train, y_train, x_test, y_test)`, `((x_train, y_train), (x_test, y_test))` or a
                mapping of these names, of NumPy arrays, pandas frames and series, or lists; or two
                finite iterables of (image, label), for training and for testing. Images are
                (n, height, width) or (n, height, width, channels), a table is (n, features); 8 to 64
                bits, integer or float. Labels of classes are integers or strings, (n,), or one-hot
                rows, (n, classes); targets of a regression are numbers, (n,) or (n, outputs).
            name: its name in tables and reports.
            source: its origin, as text.
            task: "classification", "regression", or "autoencoder", a regression of the inputs themselves,
                which needs no labels; None: found from the labels.

        Raises:
            DataError: one line for each error.
        """
        if not isinstance(data, Dataset):
            parts = readable(data)
            found = cls.checked(name, source, four_arrays(parts), task)
            labels = column_classes(parts["y_train"], found.labels, found.classes)
            return replace(found, columns=column_names(parts["x_train"]), labels=labels)
        if task == AUTOENCODER:
            return replace(
                data, y_train=targets(data.x_train), y_test=targets(data.x_test), labels=()
            )
        if task not in (None, data.task):
            raise DataError(
                f"data.task: must be {data.task}, as of the Dataset {data.name}, got {task}"
            )
        return data

    @classmethod
    def checked(cls, name: str, source: str, arrays: Arrays, task: str | None = None) -> Dataset:
        """Check four raw arrays and make a dataset of them; `task` as of `of`.

        Raises:
            DataError: one line for each error.
        """
        if task == AUTOENCODER:
            arrays, task = _of_inputs(arrays), REGRESSION
        missing = [key for key in ARRAYS if key not in arrays]
        where = f"data {source.removeprefix('data ')}"
        if missing:
            raise DataError(f"{where}: {four_expected(sorted(arrays))}")
        y_train, y_test, labels = arrays["y_train"], arrays["y_test"], ()
        found = task or task_of(y_train, y_test)
        if found == CLASSIFICATION:
            if wrong := one_hot_problem(y_train, y_test):
                raise DataError(f"{where}: {wrong}")
            y_train, y_test = map(class_labels, (y_train, y_test))
        arrays = {**arrays, "y_train": y_train, "y_test": y_test}
        problems = [f"{where}: {problem}" for problem in _problems(arrays, found)]
        if problems:
            raise DataError(problems)
        if found == REGRESSION:
            y_train, y_test = map(targets, (y_train, y_test))
        else:
            y_train, y_test, labels = class_numbers(y_train, y_test)
        return cls(
            name,
            source,
            x_train=_with_channels(arrays["x_train"]),
            y_train=y_train,
            x_test=_with_channels(arrays["x_test"]),
            y_test=y_test,
            sample_shape=arrays["x_train"].shape[1:],
            labels=labels,
        )

    @property
    def task(self) -> str:
        """`classification` or `regression`."""
        return REGRESSION if self.y_train.dtype.kind == "f" else CLASSIFICATION

    @property
    def sample(self) -> str:
        """What one of the inputs is called: image, row or sequence."""
        if len(self.input_shape) == 1:
            return "sequence" if self.facts.tokens else "row"
        return "image" if len(self.input_shape) == 3 else "sequence"

    @property
    def outputs(self) -> int:
        """Number of targets of a regression; 0 in a classification."""
        return self.y_train.shape[1] if self.task == REGRESSION else 0

    @property
    def classes(self) -> int:
        """The number of classes; 0 in a regression."""
        return 0 if self.task == REGRESSION else int(self.y_train.max()) + 1

    @property
    def counts(self) -> Array:
        """Number of training images by class, (classes,)."""
        return self._counted(self.y_train)

    @property
    def test_counts(self) -> Array:
        """Number of test images by class, (classes,)."""
        return self._counted(self.y_test)

    def _counted(self, labels: Array) -> Array:
        if self.task == REGRESSION:
            return np.zeros(0, np.int64)
        return np.bincount(labels, minlength=self.classes)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(height, width, channels), (features,) of a table or (time, features) of sequences."""
        return self.x_train.shape[1:]

    @property
    def digest(self) -> str:
        """SHA-256 of names, dtypes, shapes and bytes of the four arrays, hexadecimal."""
        return self._digest(ARRAYS)

    @property
    def test_digest(self) -> str:
        """SHA-256 of the test images and labels only, hexadecimal."""
        return self._digest(("x_test", "y_test"))

    def seen_as(
        self, kind: str | None, full_scale: float | None, by_column: bool = False
    ) -> Dataset:
        """The dataset as `[data]` says what its inputs are.

        Args:
            kind: "image", "table", "sequence" (n, time, features), "signal" (n, time) or "tokens", integers
                (n, time); None: by their shape, images or a table.
            full_scale: the largest value that the inputs could have; None: unknown.
            by_column: whether names of columns matter, which then are part of the data's identity.

        Raises:
            DataError: the inputs do not have the shape or type of this kind.
        """
        given = (self.x_train, self.x_test)
        match kind, len(self.sample_shape):
            case ("sequence", 2):
                x_train, x_test = (x[..., 0] for x in given)
            case ("signal", 1):
                x_train, x_test = (x[..., np.newaxis] for x in given)
            case (None, _) | ("table", 1) | ("image", 2 | 3):
                x_train, x_test = given
            case ("tokens", 1) if self.x_train.dtype.kind in "iu":
                x_train, x_test = given
            case _:
                raise DataError(
                    f"data.kind: {kind} needs {KINDS[str(kind)]}, got {self.x_train.dtype} of shape "
                    f"{('n', *self.sample_shape)}"
                )
        columns = self.columns if by_column else ()
        facts = InputFacts(columns, full_scale, tokens=kind == "tokens")
        return replace(self, x_train=x_train, x_test=x_test, facts=facts)

    def subset(self, size: int, seed: int) -> Dataset:
        """A subset of `size` training images, stratified by class; the test set is unchanged.

        Raises:
            DataError: there are fewer images, or a class would have too few.
        """
        if size == len(self.x_train):
            return self
        everything = len(self.x_train)
        if self.task == REGRESSION:
            return self._drawn(size, seed)
        # A stratified split needs at least one image of each class on both sides.
        if not self.classes <= size <= everything - self.classes:
            raise DataError(
                f"data.train_size: must be from {self.classes} (one image per class) to "
                f"{everything - self.classes}, or {everything} (all of {self.source}), got {size}"
            )
        from sklearn.model_selection import train_test_split

        kept, _ = train_test_split(
            np.arange(len(self.y_train)), train_size=size, stratify=self.y_train, random_state=seed
        )
        kept.sort()
        counts = np.bincount(self.y_train[kept], minlength=self.classes)
        if counts.min() < 2 <= size // self.classes:
            # Balanced classes could be cut to this size; here one is much smaller than the others.
            raise DataError(
                "data.train_size: must leave at least two images of each class, one of them for "
                f"validation; {size} leaves {counts.min()} of the "
                f"{np.bincount(self.y_train)[counts.argmin()]} images of class {counts.argmin()}"
            )
        return replace(self, x_train=self.x_train[kept], y_train=self.y_train[kept])

    def _drawn(self, size: int, seed: int) -> Dataset:
        """A random subset."""
        everything = len(self.x_train)
        if size > everything:
            raise DataError(
                f"data.train_size: must be at most {everything} (all of {self.source}), got {size}"
            )
        kept = np.sort(np.random.default_rng(seed).permutation(everything)[:size])
        return replace(self, x_train=self.x_train[kept], y_train=self.y_train[kept])

    def save(self, root: Path) -> str:
        """Write the arrays into a folder of `root` that is named by their digest; return the digest.

        The folder is created atomically, and an existing one is not changed.
        """
        digest = self.digest
        folder = root / digest
        if folder.is_dir():
            return digest
        root.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=root, prefix=".writing-"))
        try:
            for key in ARRAYS:
                np.save(work / f"{key}.npy", getattr(self, key))
            about = {
                "name": self.name,
                "source": self.source,
                "sample_shape": self.sample_shape,
                "labels": self.labels,
                "facts": asdict(self.facts),
            }
            (work / "about.json").write_text(json.dumps(about))
            os.rename(work, folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process has created it meanwhile
                raise
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return digest

    def _digest(self, keys: tuple[str, ...]) -> str:
        digest = hashlib.sha256()
        if self.facts != PLAIN:
            digest.update(json.dumps(asdict(self.facts)).encode())
        for key in keys:
            array = np.ascontiguousarray(getattr(self, key))
            digest.update(f"{key} {array.dtype.str} {array.shape}\n".encode())
            digest.update(array.data)
        return digest.hexdigest()

    @classmethod
    def open(cls, root: Path, digest: str) -> Dataset:
        """Open a dataset that `save` wrote; its arrays are memory-mapped."""
        folder = root / digest
        about = json.loads((folder / "about.json").read_text())
        arrays = {key: np.load(folder / f"{key}.npy", mmap_mode="r") for key in ARRAYS}
        return cls(
            about["name"],
            about["source"],
            **arrays,
            sample_shape=tuple(about["sample_shape"]),
            labels=tuple(about.get("labels", ())),
            facts=_facts(**about.get("facts", {})),
        )


def _of_inputs(arrays: Arrays) -> Arrays:
    """The arrays with the inputs, flattened, as targets."""
    inputs = {key: arrays[key] for key in ARRAYS if key.startswith("x") and key in arrays}
    return inputs | {f"y{key[1:]}": x.reshape(len(x), -1) for key, x in inputs.items() if x.ndim}


def _facts(columns: Sequence[str] = (), **others: Any) -> InputFacts:
    return InputFacts(tuple(columns), **others)


def _with_channels(images: Array) -> Array:
    native = images.astype(images.dtype.newbyteorder("="), copy=False)
    return native[..., np.newaxis] if native.ndim == 3 else native


def _problems(arrays: Arrays, task: str | None) -> list[str]:
    problems = [p for part in ("train", "test") for p in _split_problems(arrays, part, task)]
    if problems:
        return problems
    x_train, x_test = arrays["x_train"], arrays["x_test"]
    if x_train.shape[1:] != x_test.shape[1:]:
        problems.append(
            f"x_test: expected images of shape {x_train.shape[1:]}, as in x_train, got {x_test.shape[1:]}"
        )
    if x_train.dtype != x_test.dtype:
        problems.append(
            f"x_test: expected dtype {x_train.dtype}, as in x_train, got {x_test.dtype}"
        )
    labels = arrays["y_train"], arrays["y_test"]
    if task == REGRESSION:
        return problems + _target_problems(*labels)
    return problems + label_problems(*labels, "row" if x_train.ndim == 2 else "image")


def _target_problems(y_train: Array, y_test: Array) -> list[str]:
    """Errors in targets of a regression with valid types and shapes."""
    if y_train.shape[1:] != y_test.shape[1:]:
        expected = f"targets of shape {('n', *y_train.shape[1:])}"
        return [f"y_test: expected {expected}, as in y_train, got {y_test.shape}"]
    if not np.ptp(targets(y_train), axis=0).any():
        return ["y_train: expected targets that differ, got one value"]
    return []


def _split_problems(arrays: Arrays, part: str, task: str | None) -> list[str]:
    x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
    problems = []
    if x.dtype.name not in DTYPES:
        hint = "; convert numbers with .astype(float)" if x.dtype.kind == "O" and x.ndim else ""
        problems.append(f"x_{part}: expected dtype {', '.join(DTYPES)}; got {x.dtype}{hint}")
    elif x.ndim not in (2, 3, 4) or 0 in x.shape[1:]:
        problems.append(
            f"x_{part}: expected shape (n, height, width), (n, height, width, channels) or, for a table, "
            f"(n, features); got {x.shape}"
        )
    elif not len(x):
        problems.append(f"x_{part}: expected at least one image, got none")
    elif x.dtype.kind == "f" and (bad := _not_finite(x)):
        problems.append(f"x_{part}: expected finite numbers, got {bad}")
    wrong = _wrong_targets(y) if task == REGRESSION else _wrong_labels(y, task)
    if wrong:
        problems.append(f"y_{part}: {wrong}")
    elif x.ndim and len(x) != len(y):
        problems.append(
            f"y_{part}: expected one label per image, got {len(y)} labels for {len(x)} images"
        )
    return problems


def _wrong_labels(y: Array, task: str | None) -> str:
    """What is wrong with the type or the shape of labels; empty if nothing is."""
    declare = '; for a regression, set data.task = "regression"' if task is None else ""
    if y.ndim != 1 and (y.ndim != 2 or y.shape[1] != 1):
        hint = f"; columns must be one-hot{declare}" if y.ndim == 2 else ""
        return f"expected shape (n,), one label per image, got {y.shape}{hint}"
    if y.dtype.kind not in "iubU":
        if y.dtype.kind == "f" and (missing := int(np.isnan(y).sum())):
            return f"expected a label for each row, got {counted(missing, 'missing one')} (NaN); drop these rows"
        hint = "; convert whole numbers with .astype(int)" if y.dtype.kind == "f" else ""
        hint += declare if y.dtype.kind == "f" else ""
        return f"expected integers or strings, one per image, got dtype {y.dtype}{hint}"
    return ""


def _wrong_targets(y: Array) -> str:
    """What is wrong with the type, the shape or the values of a regression's targets."""
    if y.dtype.kind not in "iufb":
        return f"expected numbers, the targets of a regression, got dtype {y.dtype}"
    if y.ndim not in (1, 2) or 0 in y.shape[1:]:
        return f"expected shape (n,) or (n, outputs), got {y.shape}"
    if y.dtype.kind == "f" and (bad := _not_finite(y)):
        return f"expected finite targets, got {bad}"
    return ""


def _not_finite(values: Array) -> str:
    """How many values are not finite in float32, and the index of the first; empty if all are."""
    with np.errstate(over="ignore"):
        bad = ~np.isfinite(values.astype(np.float32, copy=False))
    if not bad.any():
        return ""
    many, first = int(bad.sum()), ", ".join(map(str, np.argwhere(bad)[0]))
    are = "is" if many == 1 else "are"
    return f"{counted(many, 'value')} that {are} NaN, infinite or beyond float32, the first at [{first}]"
