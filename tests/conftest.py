from __future__ import annotations

import os
from pathlib import Path

import pytest

from normsweep.training import environment

# Before anything imports the backend: the same settings as the executors use.
os.environ.update(environment("cpu", threads=2))
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
for name in ("OPTUNA_STORAGE", "MLFLOW_TRACKING_URI"):
    os.environ.pop(name, None)

from normsweep.parts import datasets
from normsweep.spec import DataKey


@pytest.fixture(scope="session")
def digits_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the digits, as workers find them."""
    root = tmp_path_factory.mktemp("data")
    datasets.load("digits").save(root)
    return root


@pytest.fixture(scope="session")
def digits_key(digits_root: Path) -> DataKey:
    """The key of the digits in `digits_root`."""
    return DataKey("digits", next(digits_root.iterdir()).name, 0.2)
