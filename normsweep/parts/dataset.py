"""`Dataset`: four arrays that passed every check, their digest, and how they travel to workers."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from normsweep.errors import DataError
from normsweep.parts.arrays import ARRAYS, Arrays, class_numbers, four_arrays, label_problems

__all__ = ["Dataset"]

DTYPES = (
    "uint8", "uint16", "uint32", "int8", "int16", "int32", "int64", "float16", "float32", "float64",
)  # fmt: skip


Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Dataset:
    """Images or a table, and labels.

    x_train and x_test are (n, height, width, channels) or (n, features) in their own dtype, y_train
    and y_test (n,) int64 from 0 to `classes` - 1.
    """

    name: str
    source: str
    """Where the arrays came from, for people."""
    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array
    sample_shape: tuple[int, ...]
    """The shape of one image as its owner has it: without a channel axis that we added."""
    labels: tuple[str, ...] = ()
    """Their owner's names of the classes 0, 1, 2, …; empty where these numbers are their names."""

    @classmethod
    def of(cls, data: Any, name: str = "data", source: str = "arrays in memory") -> Dataset:
        """The dataset of data in memory: the one way in for it.

        Args:
            data: `(x_train, y_train, x_test, y_test)`, `((x_train, y_train), (x_test, y_test))` or a
                mapping of these names, of NumPy arrays, pandas frames and series, or lists; or two
                finite iterables of (image, label), one to train and one to test. Images are
                (n, height, width) or (n, height, width, channels), a table is (n, features); 8 to 64
                bits, whole or real. Labels are whole numbers or texts, (n,).
            name: what tables and pages call it.
            source: where it came from, for people.

        Raises:
            DataError: one line for each thing that is wrong with it.
        """
        return data if isinstance(data, Dataset) else cls.checked(name, source, four_arrays(data))

    @classmethod
    def checked(cls, name: str, source: str, arrays: Arrays) -> Dataset:
        """The dataset of four raw arrays.

        Raises:
            DataError: one line for each thing that is wrong with them.
        """
        problems = [f"data {source}: {problem}" for problem in _problems(arrays)]
        if problems:
            raise DataError(problems)
        y_train, y_test, labels = class_numbers(arrays["y_train"], arrays["y_test"])
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
    def classes(self) -> int:
        """The number of classes."""
        return int(self.y_train.max()) + 1

    @property
    def counts(self) -> Array:
        """How many training images each class has, (classes,)."""
        return np.bincount(self.y_train)

    @property
    def test_counts(self) -> Array:
        """How many test images each class has, (classes,)."""
        return np.bincount(self.y_test, minlength=self.classes)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(height, width, channels), or (features,) of a table."""
        return self.x_train.shape[1:]

    @property
    def digest(self) -> str:
        """SHA-256 over names, dtypes, shapes and bytes of the four arrays, hexadecimal."""
        return self._digest(ARRAYS)

    @property
    def test_digest(self) -> str:
        """SHA-256 over the test images and labels alone, hexadecimal."""
        return self._digest(("x_test", "y_test"))

    def subset(self, size: int, seed: int) -> Dataset:
        """`size` training images with each class's share kept; the test set stays whole.

        Raises:
            DataError: there are not so many images, or too few for every class.
        """
        if size == len(self.x_train):
            return self
        everything = len(self.x_train)
        # A stratified draw leaves out one image of each class, if it leaves out any.
        if not self.classes <= size <= everything - self.classes:
            raise DataError(
                f"data.train_size: received {size}; legal: from {self.classes} (one image a class) "
                f"to {everything - self.classes}, or {everything} (all of {self.source})"
            )
        from sklearn.model_selection import train_test_split

        kept, _ = train_test_split(
            np.arange(len(self.y_train)), train_size=size, stratify=self.y_train, random_state=seed
        )
        kept.sort()
        counts = np.bincount(self.y_train[kept], minlength=self.classes)
        if counts.min() < 2 <= size // self.classes:
            # What is even can be cut that far; here a class is much smaller than the others.
            raise DataError(
                f"data.train_size: received {size}, which leaves {counts.min()} of the "
                f"{np.bincount(self.y_train)[counts.argmin()]} images of class {counts.argmin()}; "
                "legal: a size that leaves two, one of them to validate"
            )
        return replace(self, x_train=self.x_train[kept], y_train=self.y_train[kept])

    def save(self, root: Path) -> str:
        """Write the arrays below `root`, in a folder named by their digest; return the digest.

        The folder appears whole or not at all, and one that is there is left as it is.
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
            }
            (work / "about.json").write_text(json.dumps(about))
            os.rename(work, folder)
        except OSError:
            if not folder.is_dir():  # as it is where another process was faster
                raise
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return digest

    def _digest(self, keys: tuple[str, ...]) -> str:
        digest = hashlib.sha256()
        for key in keys:
            array = np.ascontiguousarray(getattr(self, key))
            digest.update(f"{key} {array.dtype.str} {array.shape}\n".encode())
            digest.update(array.data)
        return digest.hexdigest()

    @classmethod
    def open(cls, root: Path, digest: str) -> Dataset:
        """The dataset that `save` wrote, its arrays mapped into memory and not copied."""
        folder = root / digest
        about = json.loads((folder / "about.json").read_text())
        arrays = {key: np.load(folder / f"{key}.npy", mmap_mode="r") for key in ARRAYS}
        return cls(
            about["name"],
            about["source"],
            **arrays,
            sample_shape=tuple(about["sample_shape"]),
            labels=tuple(about.get("labels", ())),
        )


def _with_channels(images: Array) -> Array:
    native = images.astype(images.dtype.newbyteorder("="), copy=False)
    return native[..., np.newaxis] if native.ndim == 3 else native


def _problems(arrays: Arrays) -> list[str]:
    missing = [key for key in ARRAYS if key not in arrays]
    if missing:
        received = ", ".join(sorted(arrays)) or "no array"
        return [f"received {received}; legal: the four arrays {', '.join(ARRAYS)}"]
    problems = [p for part in ("train", "test") for p in _split_problems(arrays, part)]
    if problems:
        return problems
    x_train, x_test = arrays["x_train"], arrays["x_test"]
    if x_train.shape[1:] != x_test.shape[1:]:
        problems.append(
            f"x_test has images of {x_test.shape[1:]}; legal: {x_train.shape[1:]}, as in x_train"
        )
    if x_train.dtype != x_test.dtype:
        problems.append(f"x_test has dtype {x_test.dtype}; legal: {x_train.dtype}, as in x_train")
    return problems + label_problems(arrays["y_train"], arrays["y_test"])


def _split_problems(arrays: Arrays, part: str) -> list[str]:
    x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
    problems = []
    if x.dtype.name not in DTYPES:
        problems.append(f"x_{part} has dtype {x.dtype}; legal: {', '.join(DTYPES)}")
    elif x.ndim not in (2, 3, 4) or 0 in x.shape[1:]:
        problems.append(
            f"x_{part} has shape {x.shape}; legal: (n, height, width), (n, height, width, channels) "
            "or, for a table, (n, features)"
        )
    elif not len(x):
        problems.append(f"x_{part} is empty; legal: at least one image")
    elif x.dtype.kind == "f" and (bad := _not_finite(x)):
        problems.append(
            f"x_{part} has values that are NaN, infinite or beyond float32 ({bad} of them); "
            "legal: finite numbers"
        )
    if y.dtype.kind not in "iubU":
        problems.append(f"y_{part} has dtype {y.dtype}; legal: integers or texts, one an image")
    elif y.ndim != 1 and (y.ndim != 2 or y.shape[1] != 1):
        hint = "; for one-hot labels take .argmax(axis=1)" if y.ndim == 2 else ""
        problems.append(
            f"y_{part} has shape {y.shape}; legal: (n,), one class number an image{hint}"
        )
    elif x.ndim and len(x) != len(y):
        problems.append(f"y_{part} has {len(y)} labels for {len(x)} images; legal: one an image")
    return problems


def _not_finite(images: Array) -> int:
    with np.errstate(over="ignore"):
        return int(np.count_nonzero(~np.isfinite(images.astype(np.float32, copy=False))))
