"""Errors of a database in a line: which database, what is wrong, what to do; without SQL and links."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

from optuna.exceptions import OptunaError
from sqlalchemy.exc import SQLAlchemyError

from normsweep.errors import StoreError
from normsweep.text import masked, reason

__all__ = ["DATABASE_ERRORS", "database_errors", "described", "remedy"]

DATABASE_ERRORS = (OptunaError, SQLAlchemyError)

RESTORE = "it is damaged; restore a backup of it, or move it away to start a new one"
REMEDIES = {
    r"malformed|not a database|Could not decode|JSONDecodeError": RESTORE,
    r"no such (?:table|column)|has no column|UndefinedTable|UndefinedColumn": RESTORE,
    r"UNIQUE constraint failed|FOREIGN KEY constraint failed": RESTORE,
    r"disk is full|No space left|disk I/O error": "free some space and run the command again",
    r"readonly|read-only|[Pp]ermission denied|unable to open": "it must be a file that can be written, "
    "in a folder that can be written",
    r"database is locked": "another program is writing to it; run the command again when it has ended",
}  # fmt: skip
"""What to do, by what the database says."""
ANY = "fix this and run the command again"
OTHER_OPTUNA = re.compile(
    r"optuna version (\S+) is no longer compatible .*set up by optuna ([^)]+)\)"
)


@contextmanager
def database_errors(url: str) -> Iterator[None]:
    """A context with errors of Optuna's database raised as `StoreError`."""
    try:
        yield
    except (*DATABASE_ERRORS, json.JSONDecodeError) as error:
        raise StoreError(f"--storage: cannot read {masked(url)}: {described(error, url)}") from None


def described(error: Exception, url: str) -> str:
    """What is wrong with a database, and what to do."""
    cause = error.__cause__ if isinstance(error, OptunaError) else None  # Optuna's own says nothing
    why = reason(cause or error, url, kind=isinstance(error, json.JSONDecodeError))
    if found := OTHER_OPTUNA.search(why):
        installed, writer = found.groups()
        how = (
            f"optuna storage upgrade --storage {masked(url)}"
            if "storage upgrade" in why
            else "pip install --upgrade optuna"
        )
        return f"its tables are of Optuna {writer}, and Optuna {installed} is installed; run: {how}"
    return f"{why}; {remedy(why)}"


def remedy(why: str) -> str:
    """What to do about what a database says."""
    found = (advice for pattern, advice in REMEDIES.items() if re.search(pattern, why))
    return next(found, ANY)
