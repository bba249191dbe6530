"""A glance at a study before Optuna is imported, which takes a second: what its workers need to start."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Glance", "glance"]

PREFIX = "sqlite:///"


THREADS, PUBLISHED = "normsweep:threads", "normsweep:published"


ATTRIBUTES = """
SELECT a.key, a.value_json FROM study_user_attributes a JOIN studies s ON s.study_id = a.study_id
WHERE s.study_name = ? AND a.key IN (?, ?)
"""


@dataclass(frozen=True)
class Glance:
    """What the storage has of a study."""

    threads: int | None = None
    """Threads of its workers; None if it is new."""
    published: bool = False
    """Whether it was finished once."""


def glance(url: str, study: str) -> Glance | None:
    """Look into a SQLite file, which is not changed; None for other databases, or if it cannot be read."""
    file = Path(url.removeprefix(PREFIX))
    if not url.startswith(PREFIX) or "?" in url:
        return None
    if not file.exists():
        return Glance()
    try:
        address = f"{file.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=1)) as connection:
            found = dict(connection.execute(ATTRIBUTES, (study, THREADS, PUBLISHED)).fetchall())
        threads = json.loads(found.get(THREADS, "null"))
    except (sqlite3.Error, ValueError):  # reported when the database is opened
        return None
    return Glance(threads if isinstance(threads, int) else None, PUBLISHED in found)
