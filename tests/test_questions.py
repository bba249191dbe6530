"""The sweeps of questions people asked: legal, with data for each, and all in the table of the docs."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from examples.questions import data
from normsweep.parts import datasets
from normsweep.parts.catalog import read_sweep
from normsweep.sweep.schema import Sweep
from normsweep.testing import check_normalization
from tests import shared

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "examples" / "questions"
SWEEPS = sorted(FOLDER.glob("*.toml"))
LINES = 20


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What the sweeps' plug-in registers is for these tests only."""
    with shared.plugins_forgotten(FOLDER):
        yield


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """The folder with the data that needs no MNIST."""
    folder = tmp_path_factory.mktemp("questions")
    data.write(folder)
    return folder


@pytest.fixture(params=SWEEPS, ids=lambda path: path.stem)
def sweep(request) -> Sweep:
    return read_sweep(request.param)


def test_a_sweep_is_named_as_its_file_and_short(sweep):
    text = (FOLDER / f"{sweep.name}.toml").read_text()
    assert text.startswith("# ")
    assert len(text.splitlines()) <= LINES


def test_every_sweep_has_its_data(sweep, written):
    name = sweep.data.dataset
    if Path(name).stem in data.OF_MNIST:
        return
    assert (written / name).exists()


def test_the_data_is_legal(written):
    for path in written.glob("*.npz"):
        assert datasets.load(str(path)).x_train.shape[0]
    assert {path.stem for path in written.glob("*.npz")} == set(data.OTHERS)
    assert pd.read_csv(written / "houses.csv").shape == (2200, 14)


def test_the_data_of_mnist_is_as_documented():
    if "NORMSWEEP_DATA" not in os.environ:
        pytest.skip("NORMSWEEP_DATA does not name the folder of mnist.npz")
    mnist = datasets.load("mnist", Path(os.environ["NORMSWEEP_DATA"]))
    x, y, x_test, _ = data.twelve_bits(mnist)
    assert (x.shape, x.dtype, int(x.max())) == ((3000, 32, 32), np.dtype("uint16"), 4080)
    assert (set(y), len(x_test)) == ({0, 1, 2, 3}, 800)
    x, y, *_ = data.autoencoder(mnist)
    assert (y.shape, float(y.max()), int(x.max())) == ((5000, 784), 1.0, 255)


def test_every_sweep_is_in_the_table_and_every_row_has_a_sweep():
    page = (ROOT / "docs" / "questions.md").read_text()
    named = re.findall(
        r"^\| .+?\| \[(\w+)\.toml\]\(\.\./examples/questions/(\w+)\.toml\) \|", page, re.M
    )
    assert sorted(named) == [(path.stem, path.stem) for path in SWEEPS]


def test_the_normalizations_are_as_any():
    read_sweep(FOLDER / "dropout_mlp.toml")
    networks: Any = sys.modules["networks"]
    check_normalization(networks.log, shapes=[(48, 6)])
    for made in (networks.integer_divide, networks.pixel_center):
        check_normalization(made, shapes=[(12, 6, 6, 1)])
