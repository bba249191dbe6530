import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from normsweep.errors import DataError
from normsweep.parts import datasets
from normsweep.parts.dataset import Dataset

KEYS = ("x_train", "y_train", "x_test", "y_test")


def four_arrays() -> dict[str, np.ndarray]:
    """Twelve and six images of 4×5 in three classes."""
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (12, 4, 5), dtype=np.uint8),
        "y_train": np.arange(12) % 3,
        "x_test": rng.integers(0, 256, (6, 4, 5), dtype=np.uint8),
        "y_test": np.arange(6) % 3,
    }


def with_value(kind: str, value: float) -> np.ndarray:
    images = np.zeros((12, 4, 5), kind)
    images[3, 2, 1] = value
    return images


# id, what is changed (None: left out), what the line says
WRONG = [
    (
        "missing",
        {"y_test": None},
        "expected the four arrays x_train, y_train, x_test, y_test; got x_test, x_tr",
    ),
    (
        "all-missing",
        dict.fromkeys(KEYS),
        "expected the four arrays x_train, y_train, x_test, y_test; got no arr",
    ),
    (
        "flat",
        {"x_train": np.zeros((12, 20), np.uint8)},
        "expected images of shape (20,), as in x_train",
    ),
    (
        "five-axes",
        {"x_train": np.zeros((12, 4, 5, 1, 1), np.uint8)},
        "expected shape (n, height, width)",
    ),
    ("scalar", {"x_train": np.array(5)}, "(n, features); got ()"),
    ("no-pixels", {"x_train": np.zeros((12, 0, 5), np.uint8)}, "(n, features); got (12, 0, 5)"),
    ("objects", {"x_train": np.array([None] * 12)}, "pickled objects are never loaded"),
    ("complex", {"x_train": np.zeros((12, 4, 5), complex)}, "float64; got complex128"),
    ("boolean", {"x_train": np.zeros((12, 4, 5), bool)}, "float64; got bool"),
    ("text", {"x_train": np.array(["a"] * 12)}, "x_train: expected dtype uint8"),
    ("fields", {"x_train": np.zeros((12, 4, 5), [("r", "u1")])}, "float64; got [('r'"),
    (
        "nan",
        {"x_train": with_value("f4", np.nan)},
        "got 1 value that is NaN, infinite or beyond float32, the first at [3, 2, 1]",
    ),
    (
        "inf",
        {"x_train": with_value("f8", np.inf)},
        "expected finite numbers, got 1 value that is NaN",
    ),
    ("beyond-float32", {"x_train": with_value("f8", 1e39)}, "or beyond float32"),
    (
        "empty",
        {"x_train": np.zeros((0, 4, 5), np.uint8), "y_train": np.zeros(0, int)},
        "x_train: expected at least one image",
    ),
    (
        "empty-test",
        {"x_test": np.zeros((0, 4, 5), np.uint8), "y_test": np.zeros(0, int)},
        "x_test: expected at least one image",
    ),
    (
        "length",
        {"y_train": np.arange(11) % 3},
        "expected one label per image, got 11 labels for 12",
    ),
    (
        "test-length",
        {"y_test": np.arange(7) % 3},
        "expected one label per image, got 7 labels for 6",
    ),
    (
        "scalar-labels",
        {"y_train": np.array(1)},
        "y_train: expected shape (n,), one label per image, got ()",
    ),
    (
        "real-labels",
        {"y_train": np.arange(12) % 3 / 1.0},
        "expected integers or strings, one per image, got dtype float64",
    ),
    (
        "text-labels",
        {"y_train": np.array([*"abc"] * 4)},
        "y_test: expected strings, as in y_train, got integers",
    ),
    (
        "two-columns-train",
        {"y_train": 1 + np.eye(3, dtype=int)[np.arange(12) % 3]},
        "one label per image, got (12, 3); columns must be one-hot; for a regression, set data.task",
    ),
    (
        "nan-target",
        {"y_train": np.r_[np.nan, np.arange(11) / 2], "y_test": np.arange(6) / 2},
        "y_train: expected finite targets, got 1 value that is NaN, infinite or beyond float32, the first at [0]",
    ),
    (
        "constant-target",
        {"y_train": np.full(12, 0.5), "y_test": np.arange(6) / 2},
        "y_train: expected targets that differ, got one value",
    ),
    (
        "target-columns",
        {"y_train": np.arange(24).reshape(12, 2) / 2, "y_test": np.arange(6) / 2},
        "y_test: expected targets of shape ('n', 2), as in y_train, got (6,)",
    ),
    (
        "one-class",
        {"y_train": np.zeros(12, int)},
        "y_train: expected at least two classes, got one",
    ),
    (
        "negative",
        {"y_train": np.arange(12) % 3 - 1},
        "expected the labels of y_train (-1, 0, 1), got 2",
    ),
    (
        "no-image",
        {"y_train": np.arange(12) % 3 * 2},
        "y_test: expected the labels of y_train (0, 2, 4), got 1",
    ),
    (
        "one-image",
        {"y_train": np.r_[np.arange(11) % 2, 2]},
        "expected at least two images of each class, one of them for validation, got one of class 2",
    ),
    (
        "huge-label",
        {"y_train": np.r_[np.arange(11) % 3, 2**40]},
        "got one of class 1099511627776",
    ),
    (
        "test-label",
        {"y_test": np.arange(6)},
        "y_test: expected the labels of y_train (0, 1, 2), got 3",
    ),
    (
        "negative-test-label",
        {"y_test": np.arange(6) % 3 - 1},
        "y_test: expected the labels of y_train (0, 1, 2), got -1",
    ),
    (
        "test-shape",
        {"x_test": np.zeros((6, 5, 4), np.uint8)},
        "expected images of shape (4, 5), as in x_train, got (5, 4)",
    ),
    (
        "test-dtype",
        {"x_test": np.zeros((6, 4, 5), "f4")},
        "expected dtype uint8, as in x_train, got float32",
    ),
]


@pytest.mark.parametrize(("changed", "told"), [c[1:] for c in WRONG], ids=[c[0] for c in WRONG])
def test_wrong_arrays_are_one_line_with_their_file(tmp_path, changed, told):
    path = tmp_path / "own.npz"
    arrays = {k: v for k, v in {**four_arrays(), **changed}.items() if v is not None}
    np.savez(path, **arrays)
    with pytest.raises(DataError) as caught:
        datasets.load(str(path))
    (line,) = caught.value.lines
    assert line.startswith(f"data {path}: ")
    assert told in line
    assert "expected " in line


def saved(compress: bool = False) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(buffer, **four_arrays())
    return buffer.getvalue()


def single_array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((12, 4, 5)))
    return buffer.getvalue()


def overwritten(content: bytes) -> bytes:
    return content[:160] + bytes(40) + content[200:]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param(b"", "this is no .npz file", id="nothing"),
        pytest.param(b"x_train,y_train\n", "this is no .npz file", id="text"),
        pytest.param(single_array(), "this is no .npz file", id="single-array"),
        pytest.param(saved()[:-200], "this is no .npz file, or a truncated one", id="cut-short"),
        pytest.param(overwritten(saved()), "this one is damaged", id="damaged"),
        pytest.param(overwritten(saved(True)), "this one is damaged", id="damaged-deflate"),
    ],
)
def test_files_that_are_no_archive_are_one_line(tmp_path, content, told):
    path = tmp_path / "own.npz"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        datasets.load(str(path))
    (line,) = caught.value.lines
    needed = "expected an .npz file with the arrays x_train, y_train, x_test, y_test"
    assert line.startswith(f"data {path}: {needed}; {told}")


def member(array: np.ndarray | bytes, header: dict | None = None) -> bytes:
    """A member of an archive; with another header than its own where one is given."""
    if isinstance(array, bytes):
        return array
    buffer = io.BytesIO()
    if header is None:
        np.save(buffer, array)
    else:
        described = {"descr": "|u1", "fortran_order": False, "shape": array.shape}
        np.lib.format.write_array_header_1_0(buffer, {**described, **header})
        buffer.write(array.tobytes())
    return buffer.getvalue()


def archive(path: Path, sizes: dict[str, int] | None = None, **members: bytes) -> Path:
    """An `.npz` with these members beside or in place of the usual four; `sizes` as it tells them."""
    content = {f"{key}.npy": member(value) for key, value in four_arrays().items()} | members
    with zipfile.ZipFile(path, "w") as file:
        for name, data in content.items():
            file.writestr(name, data)
        for entry in file.filelist:
            entry.file_size = (sizes or {}).get(entry.filename, entry.file_size)
    return path


class Trap:
    """What says so when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("sprung",)


@pytest.mark.parametrize("name", ["x_train.npy", "y_test.npy"])
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(pickle.dumps(Trap()), id="bare"),
        pytest.param(member(np.array([Trap()], object)), id="array"),
        pytest.param(member(np.array([(Trap(), 1)], [("a", object), ("b", int)])), id="record"),
    ],
)
def test_nothing_is_unpickled(tmp_path, monkeypatch, name, content):
    monkeypatch.chdir(tmp_path)
    path = archive(tmp_path / "own.npz", **{name: content})
    with pytest.raises(DataError) as caught:
        datasets.load(str(path))
    assert all("expected " in line for line in caught.value.lines)
    assert [each.name for each in tmp_path.iterdir()] == ["own.npz"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param(b"no array at all", "float64; got |S15", id="magic"),
        pytest.param(b"", "float64; got |S1", id="empty"),
        pytest.param(member(np.zeros(9), {"shape": (10**15,)}), "this one is damaged", id="shape"),
        pytest.param(member(np.zeros(9), {"shape": (-1, 3)}), "this one is damaged", id="negative"),
        pytest.param(member(np.zeros(9), {"shape": (2**62, 8)}), "this one is damaged", id="wrap"),
        pytest.param(
            member(np.zeros(9), {"descr": "|O"}), "pickled objects are never", id="object"
        ),
        pytest.param(
            b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535, "this one is damaged", id="nested"
        ),
        pytest.param(b"\x93NUMPY\x09\x00", "this one is damaged", id="version"),
    ],
)
def test_a_header_that_lies_is_one_line(tmp_path, content, told):
    path = archive(tmp_path / "own.npz", **{"x_train.npy": content})
    with pytest.raises(DataError) as caught:
        datasets.load(str(path))
    (line,) = caught.value.lines
    assert line.startswith(f"data {path}: ")
    assert told in line


def test_an_archive_that_would_not_fit_into_memory_is_refused_unread(tmp_path):
    path = archive(tmp_path / "own.npz", {"x_train.npy": 2**50})
    with pytest.raises(DataError) as caught:
        datasets.load(str(path))
    (line,) = caught.value.lines
    assert line.startswith(f"data {path}: must fit into the ")
    assert line.endswith(" GiB of memory of this machine, got arrays of 1048576.0 GiB")


def test_an_archive_that_unpacks_to_far_more_than_its_size_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "machine_memory", lambda: 2.0**60)
    path = archive(tmp_path / "own.npz", {"x_train.npy": 2**33})
    with pytest.raises(DataError) as caught:
        datasets.load(str(path))
    (line,) = caught.value.lines
    assert line.startswith(f"data {path}: must not unpack to more than 500 times its size, got ")
    assert "arrays of 8.0 GiB in " in line


def test_arrays_of_other_names_are_named(tmp_path):
    np.savez(tmp_path / "own.npz", X_train=np.zeros(3), Y_train=np.zeros(3))
    with pytest.raises(DataError, match=r"x_test, y_test; got X_train, Y_train$"):
        datasets.load(str(tmp_path / "own.npz"))


def test_members_of_other_names_are_left_where_they_are(tmp_path):
    (tmp_path / "below").mkdir()
    others = {"../x_train.npy": b"x", "/x_test.npy": b"x", "x_train.npy/../y": b"x"}
    path = archive(tmp_path / "below" / "own.npz", {"../x_train.npy": 2**50}, **others)
    data = datasets.load(str(path))
    assert np.array_equal(data.x_train[..., 0], four_arrays()["x_train"])
    assert sorted(each.name for each in tmp_path.rglob("*")) == ["below", "own.npz"]


def test_a_link_to_an_archive_is_followed_and_one_to_itself_is_no_file(tmp_path):
    archive(tmp_path / "real.npz")
    (tmp_path / "own.npz").symlink_to("real.npz")
    (tmp_path / "loop.npz").symlink_to("loop.npz")
    (tmp_path / "device.npz").symlink_to("/dev/zero")
    assert datasets.load(str(tmp_path / "own.npz")).name == "own"
    for name in ("loop.npz", "device.npz"):
        with pytest.raises(DataError, match="no such file; expected an .npz file at"):
            datasets.load(str(tmp_path / name))


def test_a_path_with_no_file_is_told_with_both_places(tmp_path):
    with pytest.raises(DataError) as caught:
        datasets.load("own.npz", tmp_path)
    (line,) = caught.value.lines
    assert f"no such file; expected an .npz file at own.npz or at {tmp_path / 'own.npz'}" in line


def test_several_mistakes_are_a_line_each():
    arrays = {**four_arrays(), "x_train": np.zeros((12, 4, 5, 1, 1)), "y_test": np.arange(5)}
    with pytest.raises(DataError) as caught:
        Dataset.checked("own", "here", arrays)
    assert [line.split()[2] for line in caught.value.lines] == ["x_train:", "y_test:"]


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int16", "int64", "float16", "float32", ">u2"])
def test_images_keep_their_type_in_native_order(kind):
    arrays = four_arrays() | {k: four_arrays()[k].astype(kind) for k in ("x_train", "x_test")}
    data = Dataset.checked("own", "here", arrays)
    assert data.x_train.dtype == np.dtype(kind).newbyteorder("=")
    assert data.x_train[..., 0].tolist() == arrays["x_train"].tolist()


@pytest.mark.parametrize(
    "labels",
    [np.uint8, np.int32, np.uint64, lambda y: y.reshape(-1, 1)],
    ids=["uint8", "int32", "uint64", "column"],
)
def test_labels_become_a_list_of_int64(labels):
    arrays = four_arrays() | {"y_train": labels(four_arrays()["y_train"])}
    data = Dataset.checked("own", "here", arrays)
    assert data.y_train.dtype == np.int64
    assert data.y_train.tolist() == four_arrays()["y_train"].tolist()
    assert data.classes == 3


def test_images_without_channels_get_one_and_remember_it():
    grey = Dataset.checked("own", "here", four_arrays())
    assert (grey.input_shape, grey.sample_shape) == ((4, 5, 1), (4, 5))
    rgb = {k: np.stack([v] * 3, axis=-1) if k[0] == "x" else v for k, v in four_arrays().items()}
    coloured = Dataset.checked("own", "here", rgb)
    assert (coloured.input_shape, coloured.sample_shape) == ((4, 5, 3), (4, 5, 3))


@pytest.mark.parametrize("key", KEYS)
def test_the_digest_covers_every_array(key):
    before = Dataset.checked("own", "here", four_arrays())
    arrays = four_arrays()
    arrays[key] = arrays[key][::-1].copy()
    assert Dataset.checked("own", "here", arrays).digest != before.digest
    assert Dataset.checked("other", "there", four_arrays()).digest == before.digest


def test_a_saved_dataset_is_opened_without_a_copy(tmp_path):
    data = Dataset.checked("own", "here", four_arrays())
    digest = data.save(tmp_path)
    opened = Dataset.open(tmp_path, digest)
    assert (opened.name, opened.source, opened.sample_shape) == ("own", "here", (4, 5))
    assert opened.digest == digest == data.digest
    assert isinstance(opened.x_train, np.memmap)
    assert not opened.x_train.flags.writeable
    assert [path.name for path in tmp_path.iterdir()] == [digest]


def test_saving_twice_leaves_the_first_copy_alone(tmp_path):
    data = Dataset.checked("own", "here", four_arrays())
    digest = data.save(tmp_path)
    file = tmp_path / digest / "x_train.npy"
    before = file.stat().st_ino
    assert data.save(tmp_path) == digest
    assert file.stat().st_ino == before


@pytest.mark.parametrize("size", [3, 6, 9, 12])
def test_a_subset_keeps_each_classs_share(size):
    part = Dataset.checked("own", "here", four_arrays()).subset(size, seed=0)
    assert np.bincount(part.y_train).tolist() == [size // 3] * 3
    assert len(part.y_test) == 6


@pytest.mark.parametrize("size", [2, 10, 11, 13])
def test_a_subset_out_of_range_is_refused(size):
    with pytest.raises(DataError) as caught:
        Dataset.checked("own", "here", four_arrays()).subset(size, seed=0)
    assert caught.value.lines == (
        "data.train_size: must be from 3 (one image per class) to 9, or 12 (all of here), "
        f"got {size}",
    )


def test_a_subset_is_the_seeds():
    data = datasets.load("digits")
    one, again, other = (data.subset(100, seed).digest for seed in (0, 0, 1))
    assert one == again != other


def test_only_a_relative_path_is_looked_for_in_the_data_folder(tmp_path):
    np.savez(tmp_path / "own.npz", **four_arrays())
    assert datasets.load("own.npz", tmp_path).source == str(tmp_path / "own.npz")
    assert datasets.load(str(tmp_path / "own.npz"), Path("/nowhere")).name == "own"


def labelled(y_train: np.ndarray, y_test: np.ndarray, task: str | None = None) -> Dataset:
    x = np.random.default_rng(0).random((len(y_train) + len(y_test), 3))
    return Dataset.of((x[: len(y_train)], y_train, x[len(y_train) :], y_test), task=task)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_one_hot_rows_are_classes(dtype: str) -> None:
    y = np.arange(12) % 3
    made = labelled(np.eye(3, dtype=dtype)[y], np.eye(3, dtype=dtype)[y[:6]])
    plain = labelled(y, y[:6])
    assert (made.task, made.classes, made.outputs) == ("classification", 3, 0)
    assert made.digest == plain.digest


@pytest.mark.parametrize(
    ("y", "task", "outputs"),
    [
        (np.arange(12) / 2, None, 1),
        (np.arange(24).reshape(12, 2) / 2, None, 2),
        (np.arange(12), "regression", 1),
        (np.arange(12) / 1.0, "regression", 1),
    ],
)
def test_numbers_are_the_targets_of_a_regression(
    y: np.ndarray, task: str | None, outputs: int, tmp_path: Path
) -> None:
    made = labelled(y, y[:6], task)
    assert (made.task, made.outputs, made.classes) == ("regression", outputs, 0)
    assert (made.y_train == y.reshape(12, outputs)).all()
    again = Dataset.open(tmp_path, made.save(tmp_path))
    assert (again.task, again.digest) == ("regression", made.digest)
    assert len(made.subset(5, seed=1).y_train) == 5


def test_whole_floats_are_classes_only_if_the_task_says_so() -> None:
    y = np.arange(12) % 3 / 1.0
    made = labelled(y, y[:6], "classification")
    assert (made.task, made.classes, made.y_train.dtype) == ("classification", 3, np.int64)
    with pytest.raises(DataError, match='for a regression, set data.task = "regression"'):
        labelled(y, y[:6])
    with pytest.raises(DataError, match=r"data.task: must be classification"):
        Dataset.of(made, task="regression")


def test_an_autoencoder_has_its_raw_inputs_as_targets() -> None:
    given = four_arrays()
    made = Dataset.checked(
        "mine", "here", {k: given[k] for k in ("x_train", "x_test")}, "autoencoder"
    )
    assert (made.task, made.outputs) == ("regression", 20)
    assert (made.y_test == given["x_test"].reshape(6, 20)).all()
    again = Dataset.of(Dataset.of(given), task="autoencoder")
    assert again.digest == made.digest
