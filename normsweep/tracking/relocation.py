"""A folder that was moved: the places of artifacts and models in MLflow's database are corrected.

MLflow stores absolute places, and has no call that changes them.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from sqlalchemy import create_engine, inspect, text
from sqlalchemy.pool import NullPool

from normsweep.urls import absolute_url, parsed_url, sqlite_file

__all__ = ["has_moved", "local_folder", "relocate"]

PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
CHANGED = """
UPDATE {table} SET {column} = :new || substr({column}, :length + 1)
WHERE {column} = :old OR substr({column}, 1, :length + 1) = :old || '/'
"""


def local_folder(location: str) -> Path | None:
    """The folder of a place such as `file:///home/me/mlruns/artifacts`; None if it is not on this machine."""
    parts = urlsplit(location)
    if parts.scheme == "":
        return Path(location)
    return Path(unquote(parts.path)) if parts.scheme == "file" and not parts.netloc else None


def has_moved(location: str, artifacts: Path) -> bool:
    """Whether artifacts are not at their stored place any more, but in `artifacts`."""
    folder = local_folder(location)
    return folder is not None and not folder.exists() and artifacts.is_dir()


def relocate(uri: str, location: str, artifacts: Path) -> int:
    """Replace a stored place of artifacts by the folder `artifacts`, wherever the database has it.

    Returns:
        How many entries are corrected; 0 for a server, which stores artifacts itself.
    """
    new = artifacts.absolute().as_uri()
    if sqlite_file(parsed_url(uri)) is None or new == location:
        return 0
    engine = create_engine(absolute_url(uri), poolclass=NullPool)
    tables = inspect(engine)
    values = {"old": location, "new": new, "length": len(location)}
    with engine.begin() as connection:
        return sum(
            connection.execute(text(CHANGED.format(table=table, column=column)), values).rowcount
            for table, column in PLACES
            if tables.has_table(table)
            and column in {each["name"] for each in tables.get_columns(table)}
        )
