"""Addresses of stores: the options and variables that name them, what is legal, where SQLite files are."""

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
    "check_address",
    "parsed_url",
    "placed",
    "sqlite_file",
    "storage_option",
    "tracking_address",
    "tracking_option",
]

STORAGE = "sqlite:///mlruns/optuna.db"
"""Optuna's database: the record."""


TRACKING = "sqlite:///mlruns/mlflow.db"
"""MLflow's tracking store: its projection."""


# As SQLAlchemy reads an address, the first @ after the password ends it; as browsers do, the first
# of / ? # ends the host.
BAD_DATABASE = re.compile(r"[\w+]+://[^:/]*:[^@]*@[^/?]*@")


NO_SCHEME = re.compile(r"(?!.*://)[^/]*:.*@", re.DOTALL)


BAD_HTTP = re.compile(r"\w+://[^/?#]*[/?#].*@", re.DOTALL)


def storage_option(url: str) -> str:
    """What a printed command needs to find a study, its blank before it; empty for the default."""
    return "" if url == STORAGE else f" --storage {_quoted(url, 'OPTUNA_STORAGE')}"


def tracking_option(uri: str) -> str:
    """The same for MLflow's tracking store."""
    return "" if uri == TRACKING else f" --tracking-uri {tracking_address(uri)}"


def tracking_address(uri: str) -> str:
    """MLflow's tracking URI as a printed command has it."""
    return _quoted(uri, "MLFLOW_TRACKING_URI")


def check_address(option: str, url: str) -> None:
    """Refuse an address of which a part of the password would be taken for the host.

    That part would be looked up in the network, and be in every message about it.

    Raises:
        StoreError: an @ stands where it cannot, or there is no scheme before a password.
    """
    if NO_SCHEME.match(url):
        raise StoreError(
            f"{option}: received ***@{url.rpartition('@')[2]}, without a scheme; legal: an address that "
            "begins as postgresql+psycopg:// or http://"
        )
    pattern = BAD_HTTP if url.lower().startswith(("http://", "https://")) else BAD_DATABASE
    if pattern.match(url):
        raise StoreError(
            f"{option}: received {masked(url)}, where a part of the password would be taken for "
            "the host; legal: %40 for an @ in it, %2F for /, %3F for ?, %23 for #, or a password from "
            "the environment (docs/security.md)"
        )


def _quoted(url: str, variable: str) -> str:
    """The address as a shell takes it; one with a password by the variable that may hold it."""
    return shlex.quote(url) if masked(url) == url else f'"${variable}"'


def parsed_url(url: str) -> URL | None:
    """None for what is no URL: that is told where the database is opened."""
    from sqlalchemy.engine import make_url  # every command imports this module
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        return None


def sqlite_file(url: URL | None) -> Path | None:
    """The file of a database; None where it has none."""
    if url is None or url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return Path(str(url.database))


def placed(url: str) -> str:
    """The address with its SQLite file named from the root, whatever the current folder will be.

    MLflow takes the same relative address for the same database, however often the folder changes.
    """
    parsed = parsed_url(url)
    file = sqlite_file(parsed)
    if parsed is None or file is None or file.is_absolute() or "file:" in str(file):
        return url
    return parsed.set(database=str(file.absolute())).render_as_string(hide_password=False)
