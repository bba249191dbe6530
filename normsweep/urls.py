"""Addresses of stores: their options and variables, checks, and the paths of SQLite files."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from normsweep.errors import StoreError
from normsweep.text import masked

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

__all__ = [
    "STORAGE",
    "TRACKING",
    "absolute_url",
    "check_address",
    "parsed_url",
    "sqlite_file",
    "storage_option",
    "tracking_address",
    "tracking_option",
]

STORAGE = "sqlite:///mlruns/optuna.db"
"""Default address of Optuna's storage."""


TRACKING = "sqlite:///mlruns/mlflow.db"
"""Default address of MLflow's tracking store."""


# In SQLAlchemy, the first @ ends the password; in HTTP URLs, the first of / ? # ends the host.
BAD_DATABASE = re.compile(r"[\w+]+://[^:/]*:[^@]*@[^/?]*@")


NO_SCHEME = re.compile(r"(?!.*://)[^/]*:.*@", re.DOTALL)


BAD_HTTP = re.compile(r"\w+://[^/?#]*[/?#].*@", re.DOTALL)


def storage_option(url: str) -> str:
    """The --storage option of a printed command, with a leading space; empty for the default."""
    return "" if url == STORAGE else f" --storage {_quoted(url, 'OPTUNA_STORAGE')}"


def tracking_option(uri: str) -> str:
    """The --tracking-uri option of a printed command, with a leading space; empty for the default."""
    return "" if uri == TRACKING else f" --tracking-uri {tracking_address(uri)}"


def tracking_address(uri: str) -> str:
    """MLflow's tracking URI, quoted for a printed command."""
    return _quoted(uri, "MLFLOW_TRACKING_URI")


def check_address(option: str, url: str) -> None:
    """Refuse an address in which a part of the password would be read as the host.

    That part would be sent to a name server, and would be in every message about the address.

    Raises:
        StoreError: there is an unescaped @, or no scheme before a password.
    """
    if NO_SCHEME.match(url):
        raise StoreError(
            f"{option}: expected an address that begins with a scheme such as postgresql+psycopg:// or "
            f"http://, got ***@{url.rpartition('@')[2]}"
        )
    pattern = BAD_HTTP if url.lower().startswith(("http://", "https://")) else BAD_DATABASE
    if pattern.match(url):
        raise StoreError(
            f"{option}: must escape special characters of the password (%40 for @, %2F for /, %3F for "
            f"?, %23 for #) or take it from the environment (docs/security.md), got {masked(url)}"
        )


def _quoted(url: str, variable: str) -> str:
    """The address quoted for a shell; if it has a password, the environment variable instead."""
    return shlex.quote(url) if masked(url) == url else f'"${variable}"'


def parsed_url(url: str) -> URL | None:
    """The parsed URL; None if it is invalid, which is reported when the database is opened."""
    from sqlalchemy.engine import make_url  # every command imports this module
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        return None


def sqlite_file(url: URL | None) -> Path | None:
    """The file of an SQLite database; None for other databases."""
    if url is None or url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return Path(str(url.database))


def absolute_url(url: str) -> str:
    """The address with the absolute path of its SQLite file, so that it survives a change of folder.

    MLflow treats equal relative addresses as the same database, even if the folder has changed.
    """
    parsed = parsed_url(url)
    file = sqlite_file(parsed)
    if parsed is None or file is None or file.is_absolute() or "file:" in str(file):
        return url
    return parsed.set(database=str(file.absolute())).render_as_string(hide_password=False)
