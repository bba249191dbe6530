"""New SQLite files for MLflow: copies of a template, as MLflow's own migrations take seconds.

The template lies in the user's cache folder. Its name has MLflow's version and a digest of its
migrations, so that another MLflow never uses it.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sqlite3
from pathlib import Path

import mlflow.store.db_migrations
from mlflow import MlflowClient
from mlflow.version import VERSION

from normsweep.cache import cache_folder, made_at_once

__all__ = ["make_database", "template_name"]


def make_database(file: Path) -> None:
    """Create a file with MLflow's tables: a copy of the template, or migrated if there can be none.

    Args:
        file: an absolute path, as MLflow caches opened stores, and a program may change its folder.
    """
    template = _template()
    if template is not None:
        with contextlib.suppress(OSError):
            shutil.copyfile(template, file)
            return
    _migrate(file)


def template_name() -> str:
    """The file name of the template of the installed MLflow."""
    folder = Path(next(iter(mlflow.store.db_migrations.__path__))) / "versions"
    migrations = sorted((path.name, path.stat().st_size) for path in folder.glob("*.py"))
    digest = hashlib.sha256(repr(migrations).encode()).hexdigest()
    return f"mlflow-{VERSION}-{digest[:16]}.db"


def _template() -> Path | None:
    """The template, made if there is none yet; None if it cannot be stored, or is damaged."""
    try:
        path = cache_folder() / template_name()
        if not path.exists():
            _make_template(path)
        return path if _has_tables(path) else None
    except Exception:  # a cache is no condition: MLflow reports its own errors when it migrates
        return None


def _make_template(path: Path) -> None:
    with made_at_once(path) as made:
        _migrate(made)
        # Its experiment "Default" has artifacts below the current folder; MLflow makes another.
        with contextlib.closing(sqlite3.connect(made)) as connection, connection:
            connection.execute("DELETE FROM experiments")


def _has_tables(path: Path) -> bool:
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        return bool(connection.execute("SELECT version_num FROM alembic_version").fetchall())


def _migrate(file: Path) -> None:
    MlflowClient(tracking_uri=f"sqlite:///{file}").search_experiments(max_results=1)
