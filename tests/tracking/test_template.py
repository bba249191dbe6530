"""New databases for MLflow are copies of a template that is never stale, and never needed."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.version import VERSION

from normsweep.cache import cache_folder
from normsweep.tracking.client import make_tables
from normsweep.tracking.template import make_database, template_name

SCHEMA = """
SELECT m.type, m.name, m.tbl_name, c.name, c.type, c."notnull", c.dflt_value, c.pk
FROM sqlite_master m LEFT JOIN pragma_table_info(m.name) c ORDER BY m.type, m.name, c.cid
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return cache_folder()


def content(file: Path, query: str = SCHEMA) -> list[tuple]:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        return connection.execute(query).fetchall()


def test_the_name_says_which_mlflow_made_it():
    assert template_name().startswith(f"mlflow-{VERSION}-")


def test_a_copy_has_the_same_tables_as_a_migrated_one_and_its_own_first_experiment(
    cache, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", os.devnull)  # no folder: MLflow migrates
    migrated = tmp_path / "migrated.db"
    make_database(migrated)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache.parent))
    make_database(tmp_path / "first.db")
    template = cache / template_name()
    assert [path.name for path in cache.iterdir()] == [template.name]
    made = template.stat().st_mtime_ns
    copied = tmp_path / "copied.db"
    make_database(copied)
    assert template.stat().st_mtime_ns == made
    assert content(copied) == content(migrated)
    version = "SELECT * FROM alembic_version"
    assert content(copied, version) == content(migrated, version)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (default,) = MlflowClient(f"sqlite:///{copied}").search_experiments()
    assert (default.experiment_id, default.name) == ("0", "Default")
    assert str(tmp_path / "here") in default.artifact_location
    assert content(template, "SELECT count(*) FROM experiments") == [(0,)]


def test_a_damaged_template_is_not_used(cache, tmp_path):
    cache.mkdir(parents=True)
    (cache / template_name()).write_bytes(b"SQLite format 3\0 and no more")
    make_tables(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    assert content(tmp_path / "mlruns" / "mlflow.db", "SELECT * FROM alembic_version")
    assert [path.name for path in (tmp_path / "mlruns").iterdir()] == ["mlflow.db"]


@pytest.mark.slow
def test_two_processes_make_it_at_once(cache, tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from normsweep.tracking.template import make_database\n"
        "make_database(Path(sys.argv[1]))"
    )
    files = [tmp_path / f"{name}.db" for name in "ab"]
    both = [subprocess.Popen([sys.executable, "-c", code, str(file)]) for file in files]
    assert [process.wait() for process in both] == [0, 0]
    assert content(files[0]) == content(files[1])
    assert [path.name for path in cache.iterdir()] == [template_name()]
