"""Passwords and tokens: not shown where something is said, not handed to who needs none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

__all__ = ["masked", "without_secrets"]

STARS = "***"

# From the first colon to the last @, since a password may hold / ? # : and, wrongly spelt, an @ too.
# One with blanks in it ends at the next @, if what follows the colon is no port.
PASSWORD = re.compile(r"://([^:/\s]*):(?!@[^@\s]*(?:\s|$))(?:\S*@|(?!\d+(?:\W|$))[^@\n]*@)")
LONE_TOKEN = re.compile(r"(https?://)[^:@/\s]+@", re.IGNORECASE)
LONG = r"\w*(?:passw|passphrase|secret|token|apikey|api_key|credential|signature|odbc_connect)\w*"
SHORT = r"(?:\w*[_-])?(?:key|sslkey|sig|auth|pass|pwd)"  # elsewhere they are words of any program
FIELD = re.compile(rf"(\b{LONG}=|[?&]{SHORT}=)('[^']*'|[^&\s'\"]+)", re.IGNORECASE)


def masked(text: str, *addresses: str) -> str:
    """The text with *** for the passwords and tokens of the URLs and connection strings in it.

    Where it is about these `addresses`, their passwords do not stand alone in it either.
    """
    for password in (found for address in addresses for found in _passwords(address)):
        text = text.replace(password, STARS)
    text = PASSWORD.sub(rf"://\1:{STARS}@", text)
    text = LONE_TOKEN.sub(rf"\1{STARS}@", text)
    return FIELD.sub(rf"\1{STARS}", text)


def _passwords(address: str) -> set[str]:
    """As it is written there and as it is meant; what is shorter may be a part of any word."""
    written = re.findall(r"://[^:/]*:(.*)@", address, re.DOTALL)
    return {each for text in written for each in (text, unquote(text)) if len(each) > 3}


NAMES = re.compile(
    r"^(PG|AWS_|AZURE_|DATABRICKS_|MLFLOW_TRACKING_|OPTUNA_STORAGE$)"
    r"|PASSW|PASSPHRASE|SECRET|CREDENTIAL|APIKEY|CONNECTION_STRING|TOKENS?(_|$)"
    r"|_(KEY|PASS|PWD|AUTH|PAT|COOKIE|DSN)(_|$)",
    re.IGNORECASE,
)


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for processes that train: no address of a store, no password, no token.

    A rule of what is left out, by name and by value. One of what is kept would have to list all
    that a backend, its drivers and its cluster read, and a variable that was missing there would
    change devices or bits.
    """
    return {
        name: value
        for name, value in environment.items()
        if not NAMES.search(name) and masked(value) == value
    }
