"""Datasets: each function loads its four arrays, or says where it looked.

A function takes the folder of `--data-dir` (a `pathlib.Path`, or None) and returns the arrays by name and
their origin (a string), or a `Dataset`; it raises `DataError` if they are not available. The arrays are x_train and x_test, (n, height, width), (n, height, width, channels) or (n, features), raw, and
y_train and y_test, (n,), or (n, outputs) in a regression.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from normsweep.errors import DataError, NormsweepError
from normsweep.parts.arrays import ARRAYS, Arrays, four_expected, machine_memory, task_of
from normsweep.parts.dataset import Dataset
from normsweep.parts.registry import Part, Registry
from normsweep.parts.tables import Table, is_table, read_table
from normsweep.sweep.parameters import CLASSIFICATION
from normsweep.sweep.problems import cut
from normsweep.text import reason

__all__ = [
    "load",
    "load_first",
    "made",
    "register",
    "registry",
    "task_of_first",
    "version_of_first",
]

registry = Registry("dataset")
register = registry.register

Found = tuple[Arrays, str]
GIB = 2**30
ANY_TABLE = Table()
DENSEST = 500
"""Bytes of arrays over 1 GiB for each byte of their file; deflated zeros have 1,030, sparse images below 100."""
EXPECTED = (
    "expected (arrays, source), a mapping of x_train, y_train, x_test, y_test and their origin as a "
    "string, or a Dataset"
)


@register("mnist")
def mnist(data_dir: Path | None) -> Found:
    """Handwritten digits, 60,000 + 10,000 of 28×28, 8 bits (LeCun et al. 1998)."""
    return _keras_dataset("mnist", data_dir)


@register("fashion_mnist")
def fashion_mnist(data_dir: Path | None) -> Found:
    """Pictures of clothes, 60,000 + 10,000 of 28×28, 8 bits (Xiao et al. 2017)."""
    return _keras_dataset("fashion_mnist", data_dir)


@register("digits")
def digits(data_dir: Path | None) -> Found:
    """scikit-learn's handwritten digits, 1,437 + 360 of 8×8, rescaled to 8 bits; no network."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch: Any = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    parts: Any = train_test_split(
        images, bunch.target, test_size=360, stratify=bunch.target, random_state=0
    )
    x_train, x_test, y_train, y_test = parts
    arrays: Arrays = dict(zip(ARRAYS, (x_train, y_train, x_test, y_test), strict=True))
    return arrays, "scikit-learn's digits"


def load_first(
    names: Sequence[str],
    data_dir: Path | None,
    table: Table = ANY_TABLE,
    task: str | None = None,
) -> Dataset:
    """The first of several datasets that is available.

    `table`: how a file with a table is read; `task` as of `Dataset.of`.

    Raises:
        DataError: none is available, or the first one found is invalid.
    """
    missing: list[str] = []
    for name in names:
        try:
            return load(name, data_dir, table, task)
        except _Missing as error:
            missing.extend(error.lines)
    raise DataError(missing)


def load(
    name: str,
    data_dir: Path | None = None,
    table: Table = ANY_TABLE,
    task: str | None = None,
) -> Dataset:
    """Load and check a registered dataset, an `.npz` file, or a table in a CSV or Parquet file.

    `table`: how a file with a table is read; `task` as of `Dataset.of`.

    Raises:
        DataError: it is not available, or its arrays are invalid.
    """
    if name not in registry:
        path = _file(name, data_dir)
        if is_table(name):
            return Dataset.of(read_table(path, table), path.stem, str(path), task)
        return Dataset.checked(path.stem, str(path), read_npz(path), task)
    return made(registry[name], data_dir, task)


class _Missing(DataError):
    """The data was not found; other errors are about data that was found."""


def made(part: Part, data_dir: Path | None, task: str | None = None) -> Dataset:
    """Load and check the dataset of a registered function; `task` as of `Dataset.of`.

    Raises:
        DataError: the arrays are invalid, or a custom function failed.
    """
    try:
        found = part.function(data_dir)
    except NormsweepError:
        raise
    except Exception as error:
        if not part.custom:
            raise
        why = reason(error, kind=True)
        raise DataError(f"data {part.name}: {part.module} failed: {why}; {EXPECTED}") from None
    if isinstance(found, Dataset):
        return Dataset.of(found, task=task)
    if wrong := _unfit(found):
        raise DataError(f"data {part.name}: {part.module} returned {wrong}; {EXPECTED}")
    arrays, source = found
    return Dataset.of(arrays, part.name, source, task)


def _unfit(found: Any) -> str:
    """What is wrong with the return value of a dataset function; empty if nothing is."""
    if not (isinstance(found, tuple) and len(found) == 2 and isinstance(found[0], Mapping)):
        return type(found).__name__
    source = found[1]
    return "" if isinstance(source, str) and source.strip() else f"the source {source!r}"


def task_of_first(names: Sequence[str], data_dir: Path | None) -> str | None:
    """The task that the labels of the first available `.npz` file say; of a custom dataset or a table, none.

    The included datasets are classes.
    """
    for name in names:
        if name in registry:
            return None if registry[name].custom else CLASSIFICATION
        for path in _candidates(name, data_dir):
            if path.is_file() and zipfile.is_zipfile(path):
                return _task_in(path)
    return None


def _task_in(path: Path) -> str | None:
    """The task of an `.npz` file, of which only the labels are read; loading it reports its errors."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return task_of(archive["y_train"], archive["y_test"])
    except Exception:
        return None


def version_of_first(names: Sequence[str], data_dir: Path | None, task: str | None = None) -> str:
    """What identifies the data of `load_first` without reading it; empty if that is not possible.

    A file has its path, size and time of change. Data that only a function knows is made again, and
    has its digest.
    """
    for name in names:
        if found := _version(name, data_dir, task):
            return found
        if name in registry:  # it might still be downloaded
            return ""
    return ""


def _version(name: str, data_dir: Path | None, task: str | None) -> str:
    if name == "digits":
        return f"scikit-learn {version('scikit-learn')}"
    if name in registry and registry[name].custom:
        return made(registry[name], data_dir, task).digest
    if name in registry:
        return _stamps(_keras_files(name, data_dir))
    return _stamps([path for path in _candidates(name, data_dir) if _is_file(path)][:1])


def _stamps(files: Sequence[Path]) -> str:
    """Path, size and time of change of files."""
    found = [(path.absolute(), path.stat()) for path in files]
    return "; ".join(f"{path} {about.st_size} {about.st_mtime_ns}" for path, about in found)


def _candidates(name: str, data_dir: Path | None) -> list[Path]:
    """Where a file may be, in this order."""
    try:
        candidates = [Path(name).expanduser()]
    except (RuntimeError, ValueError) as error:  # nobody's home, or no name of a user at all
        raise DataError(f"data {cut(name)}: expected the path of a file ({error})") from None
    if data_dir is not None and not candidates[0].is_absolute():
        candidates.append(data_dir / name)
    return candidates


def _file(name: str, data_dir: Path | None) -> Path:
    candidates = _candidates(name, data_dir)
    for path in candidates:
        if _is_file(path):
            return path
    looked = " or at ".join(map(str, candidates))
    kind = "a table" if is_table(name) else "an .npz file"
    raise _Missing(f"data {name}: no such file; expected {kind} at {looked}")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:  # a name that is too long
        raise DataError(
            f"data {cut(str(path))}: expected the path of an .npz file ({error.strerror})"
        ) from None


def read_npz(path: Path) -> Arrays:
    """The four arrays of an `.npz` file; others are ignored, and nothing is unpickled.

    Raises:
        DataError: the file is corrupt or contains pickled objects.
    """
    needed = f"expected an .npz file with the arrays {', '.join(ARRAYS)}"
    if not zipfile.is_zipfile(path):  # NumPy would take it for a pickle
        raise DataError(f"data {path}: {needed}; this is no .npz file, or a truncated one")
    try:
        _refuse_too_large(path)
        with np.load(path, allow_pickle=False) as archive:
            if not set(ARRAYS) <= set(archive.files):
                raise DataError(f"data {path}: {four_expected(sorted(archive.files))}")
            return {key: np.asarray(archive[key]) for key in ARRAYS if key in archive.files}
    except DataError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy each raise their own for a damaged file
        if "Object arrays" in str(error):
            raise DataError(
                f"data {path}: expected arrays of numbers; pickled objects are never loaded"
            ) from None
        why = reason(error, kind=True)
        raise DataError(f"data {path}: {needed}; this one is damaged: {why}") from None


def _refuse_too_large(path: Path) -> None:
    """Raise if the arrays do not fit into memory, however small the compressed file is.

    No images or tables are as small as that when compressed: such a file was made to fill the memory.
    """
    with zipfile.ZipFile(path) as archive:
        sizes = {member.filename: member.file_size for member in archive.infolist()}
    unpacked = sum(sizes.get(f"{key}.npy", sizes.get(key, 0)) for key in ARRAYS)
    if unpacked > machine_memory():
        raise DataError(
            f"data {path}: must fit into the {machine_memory() / GIB:.1f} GiB of memory of this machine, "
            f"got arrays of {unpacked / GIB:.1f} GiB"
        )
    if unpacked > max(GIB, DENSEST * path.stat().st_size):
        raise DataError(
            f"data {path}: must not unpack to more than {DENSEST} times its size, got arrays of "
            f"{unpacked / GIB:.1f} GiB in {path.stat().st_size:,} bytes; if they are real, save them with np.savez, "
            "uncompressed"
        )


def _keras_dataset(name: str, data_dir: Path | None) -> Found:
    """Load from `--data-dir`, from Keras's cache or by Keras's download, in that order."""
    path = data_dir / f"{name}.npz" if data_dir else None
    if path and path.is_file():
        return read_npz(path), str(path)
    folder = _keras_folder()
    arrays = _cached(name, folder)
    if arrays is not None:
        return arrays, f"Keras's cache of {name}"
    failure = _download(name)
    arrays = _cached(name, folder)
    if arrays is not None:
        return arrays, f"Keras's download of {name}"
    looked = f"no {path}" if path else "no --data-dir (or NORMSWEEP_DATA) was given"
    raise _Missing(
        f"data {name}: not found: {looked}; not in Keras's cache {folder}; "
        f"Keras's download failed ({failure}); pass --data-dir with a folder that has {name}.npz, "
        'or use dataset = "digits", which needs no network'
    )


CACHED = {
    "mnist": ("mnist.npz",),
    "fashion_mnist": (
        "fashion-mnist/train-images-idx3-ubyte.gz",
        "fashion-mnist/train-labels-idx1-ubyte.gz",
        "fashion-mnist/t10k-images-idx3-ubyte.gz",
        "fashion-mnist/t10k-labels-idx1-ubyte.gz",
    ),
}
"""The files of each dataset in Keras's cache: one `.npz` file, or one for each array in the order of `ARRAYS`."""


def _keras_folder() -> Path:
    return Path(os.path.expanduser(os.environ.get("KERAS_HOME", "~/.keras"))) / "datasets"


def _keras_files(name: str, data_dir: Path | None) -> list[Path]:
    """The files from which a dataset would be read; empty if it would be downloaded."""
    own = data_dir / f"{name}.npz" if data_dir else None
    if own and own.is_file():
        return [own]
    files = [_keras_folder() / file for file in CACHED[name]]
    return files if all(file.is_file() for file in files) else []


def _cached(name: str, folder: Path) -> Arrays | None:
    paths = [folder / file for file in CACHED[name]]
    if not all(path.is_file() for path in paths):
        return None
    if len(paths) == 1:
        return read_npz(paths[0])
    return {key: _read_idx(path) for key, path in zip(ARRAYS, paths, strict=True)}


def _read_idx(path: Path) -> np.ndarray[Any, Any]:
    """An IDX file of unsigned bytes, gzipped (format: LeCun's MNIST page)."""
    try:
        content = gzip.decompress(path.read_bytes())
        dimensions = content[3]
        shape = np.frombuffer(content, ">i4", count=dimensions, offset=4)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
    except (OSError, EOFError, ValueError, IndexError, zlib.error) as error:
        raise DataError(
            f"data {path}: corrupt IDX file: {error}; delete it to download it again"
        ) from None


def _download(name: str) -> str:
    """Download into Keras's cache, with Keras's progress bar; return the error, or an empty string.

    Runs in a separate process, because this one does not need TensorFlow otherwise.
    """
    code = f"import keras; keras.datasets.{name}.load_data()"
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    if done.returncode == 0:
        return ""
    return reason(done.stderr.strip().rpartition("\n")[2]) or "no reason given"
