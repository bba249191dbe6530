import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from normsweep.errors import DataError
from normsweep.parts import datasets

IDX = {
    "x_train": "train-images-idx3-ubyte.gz",
    "y_train": "train-labels-idx1-ubyte.gz",
    "x_test": "t10k-images-idx3-ubyte.gz",
    "y_test": "t10k-labels-idx1-ubyte.gz",
}


def tiny() -> dict[str, np.ndarray]:
    """Eight and four images of 6×6 in two classes, as Keras caches them."""
    rng = np.random.default_rng(1)
    return {
        "x_train": rng.integers(0, 256, (8, 6, 6), dtype=np.uint8),
        "y_train": (np.arange(8) % 2).astype(np.uint8),
        "x_test": rng.integers(0, 256, (4, 6, 6), dtype=np.uint8),
        "y_test": (np.arange(4) % 2).astype(np.uint8),
    }


def write_idx(path: Path, array: np.ndarray) -> None:
    head = struct.pack(f">BBBB{array.ndim}i", 0, 0, 8, array.ndim, *array.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(head + array.tobytes()))


@pytest.fixture
def keras_home(tmp_path, monkeypatch) -> Path:
    """Keras's folder, empty, and no way to download into it."""
    home = tmp_path / "keras"
    monkeypatch.setenv("KERAS_HOME", str(home))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture
def fashion_cache(keras_home) -> Path:
    folder = keras_home / "datasets" / "fashion-mnist"
    for key, array in tiny().items():
        write_idx(folder / IDX[key], array)
    return folder


def test_digits_are_the_same_every_time():
    first, second = datasets.load("digits"), datasets.load("digits")
    assert first.digest == second.digest
    assert (first.x_train.shape, first.x_test.shape) == ((1437, 8, 8, 1), (360, 8, 8, 1))
    assert first.x_train.dtype == np.uint8
    assert (first.x_train.min(), first.x_train.max(), first.classes) == (0, 255, 10)
    assert np.bincount(first.y_test).min() >= 34


def test_mnist_is_taken_from_kerass_cache(keras_home):
    (keras_home / "datasets").mkdir(parents=True)
    np.savez(keras_home / "datasets" / "mnist.npz", **tiny())
    data = datasets.load("mnist")
    assert data.source == "Keras's cache of mnist"
    assert np.array_equal(data.x_train[..., 0], tiny()["x_train"])


def test_the_data_folder_goes_before_kerass_cache(keras_home, tmp_path):
    (keras_home / "datasets").mkdir(parents=True)
    np.savez(keras_home / "datasets" / "mnist.npz", **tiny())
    np.savez(tmp_path / "mnist.npz", **{k: v[::-1] for k, v in tiny().items()})
    data = datasets.load("mnist", tmp_path)
    assert data.source == str(tmp_path / "mnist.npz")
    assert np.array_equal(data.x_train[..., 0], tiny()["x_train"][::-1])


def test_fashion_mnist_is_taken_from_kerass_cache(fashion_cache):
    data = datasets.load("fashion_mnist")
    assert data.source == "Keras's cache of fashion_mnist"
    assert np.array_equal(data.x_train[..., 0], tiny()["x_train"])
    assert np.array_equal(data.y_test, tiny()["y_test"])


def flipped(content: bytes) -> bytes:
    return content[:30] + bytes(b ^ 0xFF for b in content[30:60]) + content[60:]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: content[:40], id="cut-short"),
        pytest.param(lambda content: b"<html>", id="no-gzip"),
        pytest.param(flipped, id="damaged"),
        pytest.param(lambda content: gzip.compress(b""), id="empty"),
        pytest.param(
            lambda content: gzip.compress(gzip.decompress(content)[:-1]), id="a-byte-less"
        ),
    ],
)
def test_a_corrupt_idx_file_is_one_line_that_names_it(fashion_cache, damage):
    path = fashion_cache / IDX["x_train"]
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError) as caught:
        datasets.load("fashion_mnist")
    (line,) = caught.value.lines
    assert line.startswith(f"data {path}: corrupt IDX file: ")
    assert "delete it to download it again" in line


def test_the_first_dataset_that_can_be_had_is_taken(tmp_path):
    assert datasets.load_first(["nowhere.npz", "digits"], tmp_path).name == "digits"
    np.savez(tmp_path / "own.npz", **tiny())
    assert datasets.load_first(["own.npz", "digits"], tmp_path).name == "own"


def test_a_dataset_that_is_there_and_wrong_is_not_passed_over(tmp_path):
    np.savez(tmp_path / "own.npz", **{**tiny(), "y_train": np.zeros(8, int)})
    with pytest.raises(DataError, match="y_train: expected at least two classes"):
        datasets.load_first(["own.npz", "digits"], tmp_path)


def test_where_nothing_can_be_had_every_place_is_told(keras_home, tmp_path):
    with pytest.raises(DataError) as caught:
        datasets.load_first(["own.npz", "mnist"], tmp_path)
    own, mnist = caught.value.lines
    assert own.startswith("data own.npz: no such file; expected an .npz file at own.npz")
    assert mnist.startswith(f"data mnist: not found: no {tmp_path / 'mnist.npz'}; ")
    assert f"not in Keras's cache {keras_home / 'datasets'}; " in mnist
    assert "Keras's download failed (" in mnist
    assert 'pass --data-dir with a folder that has mnist.npz, or use dataset = "digits"' in mnist


def test_the_real_mnist_has_the_published_pixels():
    folder = os.environ.get("NORMSWEEP_DATA")
    if not folder:
        pytest.skip("NORMSWEEP_DATA, the folder of mnist.npz, is not set")
    data = datasets.load("mnist", Path(folder))
    assert (data.x_train.shape, data.x_test.shape) == ((60000, 28, 28, 1), (10000, 28, 28, 1))
    assert (data.x_train.dtype, data.y_train.dtype, data.classes) == (np.uint8, np.int64, 10)
    assert data.x_train.mean() == pytest.approx(33.318421449829934, abs=1e-12)
    assert data.x_train.std() == pytest.approx(78.56748998339798, abs=1e-9)
