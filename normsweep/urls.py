"""URLs of stores: their options and environment variables, validation, paths of SQLite files."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

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
"""Default URL of Optuna's database."""


TRACKING = "sqlite:///mlruns/mlflow.db"
"""Default MLflow tracking URI."""


# For SQLAlchemy, the first @ after the password ends it; for HTTP URLs, the first of / ? # ends the host.
BAD_DATABASE = re.compile(r"[\w+]+://[^:/]*:[^@]*@[^/?]*@")


NO_SCHEME = re.compile(r"(?!.*://)[^/]*:.*@", re.DOTALL)


BAD_HTTP = re.compile(r"\w+://[^/?#]*[/?#].*@", re.DOTALL)


def storage_option(url: str) -> str:
    """The option --storage for a printed command, with a blank before it; empty for the default."""
    return "" if url == STORAGE else f" --storage {_quoted(url, 'OPTUNA_STORAGE')}"


def tracking_option(uri: str) -> str:
    """The option --tracking-uri for a printed command, as `storage_option`."""
    return "" if uri == TRACKING else f" --tracking-uri {tracking_address(uri)}"


def tracking_address(uri: str) -> str:
    """The MLflow tracking URI for a printed command."""
    return _quoted(uri, "MLFLOW_TRACKING_URI")


def check_address(option: str, url: str) -> None:
    """Refuse a URL in which a part of the password would be parsed as the host.

    That part would be looked up in the network, and appear in every message about it.

    Raises:
        StoreError: an @ in the password is not escaped, a URL with a password has no scheme, or the URL
            cannot work.
    """
    if other := _working(option, url):
        raise StoreError(f"{option}: {other}")
    if NO_SCHEME.match(url):
        raise StoreError(
            f"{option}: must begin with a scheme, such as postgresql+psycopg:// or http://, got "
            f"***@{url.rpartition('@')[2]}"
        )
    pattern = BAD_HTTP if url.lower().startswith(("http://", "https://")) else BAD_DATABASE
    if pattern.match(url):
        raise StoreError(
            f"{option}: the password in {masked(url)} must be escaped (%40 for an @, %2F for /, %3F for ?, "
            "%23 for #), because a part of it would be used as the host; or pass it in the environment "
            "(docs/security.md)"
        )


def _working(option: str, url: str) -> str:
    """What would work instead of a URL that cannot, as a message; empty if there is nothing to say."""
    scheme, _, rest = url.partition("://")
    if scheme == "postgres":
        return f"must begin with postgresql+psycopg://, got {masked(url)}"
    if scheme == "sqlite" and rest.startswith("/~"):
        home = Path(rest[1:].partition("?")[0])
        try:
            path = home.expanduser()
        except (RuntimeError, ValueError):  # nobody's home, or no name of a user at all
            path = Path("/home/you/optuna.db")
        return f"must not contain ~, which is not expanded; use sqlite:///{path}"
    if option == "--storage" and scheme == "sqlite" and rest in ("", "/", "/:memory:"):
        return f"must be a file, or the study is lost at the end, got {url}; use {STORAGE}"
    return ""


def _quoted(url: str, variable: str) -> str:
    """The URL quoted for a shell; if it has a password, the environment variable instead."""
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
    """The file of a SQLite database; None for other databases."""
    if url is None or url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return Path(str(url.database))


def absolute_url(url: str) -> str:
    """The URL with the absolute path of its SQLite file.

    For MLflow, equal relative URLs are the same database, even if the current folder has changed.
    """
    parsed = parsed_url(url)
    file = sqlite_file(parsed)
    if parsed is None or file is None or file.is_absolute() or "file:" in str(file):
        return url
    path = str(file.absolute())
    if "?" not in url + path and url.startswith("sqlite:///") and unquote(path) == path:
        # MLflow makes the folder in its own reading of the URL, which knows no escapes: of one that
        # needs none, such as ü or an apostrophe, there must be none.
        return f"sqlite:///{path}"
    return parsed.set(database=path).render_as_string(hide_password=False)
