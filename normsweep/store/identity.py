"""The identity of a storage, which marks its runs in a shared MLflow."""

from __future__ import annotations

import uuid

from sqlalchemy import Column, Engine, Integer, MetaData, String, Table, create_engine, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from normsweep.store.locks import lock_database

__all__ = ["known_storage_id", "storage_id"]

# A separate table next to Optuna's: it outlives every study, and no list of studies shows it.
TABLE = Table(
    "normsweep_storage",
    MetaData(),
    Column("key", Integer, primary_key=True),
    Column("id", String(32), nullable=False),
)


ONLY = 1
"""The key of the table's one row."""


def storage_id(url: str) -> str:
    """The identity of an existing storage, created once; empty if it cannot be stored.

    Runs without it are logged normally, and are never cleaned up as orphaned.
    """
    engine = create_engine(url, poolclass=NullPool)
    try:
        with lock_database(url):
            return _read(engine) or _make(engine)
    except SQLAlchemyError:  # no permission to create a table
        return ""


def known_storage_id(url: str) -> str:
    """The identity of a storage; empty if it has none yet."""
    return _read(create_engine(url, poolclass=NullPool))


def _read(engine: Engine) -> str:
    try:
        with engine.connect() as connection:
            return connection.execute(select(TABLE.c.id)).scalar_one_or_none() or ""
    except SQLAlchemyError:  # no such table
        return ""


def _make(engine: Engine) -> str:
    TABLE.metadata.create_all(engine)
    try:
        with engine.begin() as connection:
            connection.execute(TABLE.insert().values(key=ONLY, id=uuid.uuid4().hex))
    except IntegrityError:  # another command was faster
        pass
    return _read(engine)
