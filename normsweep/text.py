"""Text for people: what is safe to print, secrets masked, counts, lists and durations."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import unquote

__all__ = [
    "UNSEEN",
    "counted",
    "duration",
    "listed",
    "masked",
    "one_line",
    "opening",
    "printable",
    "quoted",
    "reason",
    "without_secrets",
]

UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that nobody sees: controls but tab and newline, those that turn text round, halves."""


COLOUR = re.compile("\x1b\\[[0-9;]*m")


STARS = "***"


# From the first colon to the last @, since a password may hold / ? # : and, wrongly spelt, an @ too.
# One with blanks in it ends at the next @, if what follows the colon is no port.
PASSWORD = re.compile(r"://([^:/\s]*):(?!@[^@\s]*(?:\s|$))(?:\S*@|(?!\d+(?:\W|$))[^@\n]*@)")


LONE_TOKEN = re.compile(r"(https?://)[^:@/\s]+@", re.IGNORECASE)


LONG = r"\w*(?:passw|passphrase|secret|token|apikey|api_key|credential|signature|odbc_connect)\w*"


SHORT = r"(?:\w*[_-])?(?:key|sslkey|sig|auth|pass|pwd)"  # elsewhere they are words of any program


FIELD = re.compile(rf"(\b{LONG}=|[?&]{SHORT}=)('[^']*'|[^&\s'\"]+)", re.IGNORECASE)


NAMES = re.compile(
    r"^(PG|AWS_|AZURE_|DATABRICKS_|MLFLOW_TRACKING_|OPTUNA_STORAGE$)"
    r"|PASSW|PASSPHRASE|SECRET|CREDENTIAL|APIKEY|CONNECTION_STRING|TOKENS?(_|$)"
    r"|_(KEY|PASS|PWD|AUTH|PAT|COOKIE|DSN)(_|$)",
    re.IGNORECASE,
)


def printable(text: str) -> str:
    """The text with escapes for characters that would drive a terminal; colours are left out."""
    plain = COLOUR.sub("", text.replace("\r\n", "\n"))
    return UNSEEN.sub(lambda found: _escape(found.group()), plain)


def one_line(text: str) -> str:
    """The same, its line breaks escaped too."""
    return printable(text).replace("\n", "\\n")


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def masked(text: str, *addresses: str) -> str:
    """The text with *** for the passwords and tokens of the URLs and connection strings in it.

    Where it is about these `addresses`, their passwords do not stand alone in it either.
    """
    for password in (found for address in addresses for found in _passwords(address)):
        text = text.replace(password, STARS)
    text = PASSWORD.sub(rf"://\1:{STARS}@", text)
    text = LONE_TOKEN.sub(rf"\1{STARS}@", text)
    return FIELD.sub(rf"\1{STARS}", text)


def reason(error: object, *addresses: str, kind: bool = False, most: int = 300) -> str:
    """What an error of foreign code says, or its text: one line, without passwords, not too long.

    Args:
        error: the exception, or what it said.
        addresses: what it is about, as for `masked`.
        kind: begin with the exception's class, as where a plug-in raises `KeyError: 3`.
        most: characters.
    """
    name = type(error).__name__ if isinstance(error, BaseException) else ""
    said = masked(" ".join(str(error).split()), *addresses)
    return (": ".join(filter(None, (name, said))) if kind or not said else said)[:most]


def _passwords(address: str) -> set[str]:
    """As it is written there and as it is meant; what is shorter may be a part of any word."""
    written = re.findall(r"://[^:/]*:(.*)@", address, re.DOTALL)
    return {each for text in written for each in (text, unquote(text)) if len(each) > 3}


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


def duration(seconds: float) -> str:
    """Seconds in words: `45 s`, `12 min`, `3.4 h`."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5970 else f"{seconds / 3600:.1f} h"


def counted(number: int, noun: str) -> str:
    """`1 epoch`, `8 epochs`, `10,000 images`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def opening(text: str) -> str:
    """The text with a capital at its beginning."""
    return text[:1].upper() + text[1:]


def quoted(arm: str) -> str:
    """An arm's name in a sentence: an arm may be called none."""
    return f"“{arm}”"


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
