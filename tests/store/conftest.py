"""A sweep, and where its study is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from normsweep.parts.catalog import catalog
from normsweep.sweep.loading import load_sweep
from normsweep.sweep.schema import Sweep
from tests.search.searches import BASE
from tests.shared import place_stores


@pytest.fixture
def sweep(tmp_path: Path) -> Callable[..., Sweep]:
    path = tmp_path / "tested.toml"
    path.write_text(BASE)
    return lambda *overrides: load_sweep(path, catalog(), overrides)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{place_stores(tmp_path, 'optuna.db')}/optuna.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def any_url(request: pytest.FixtureRequest, url: str) -> str:
    """A storage without any study."""
    return url if request.param == "sqlite" else request.getfixturevalue("postgresql_url")
