"""Text for output: escaping, masking of secrets, counts, lists and durations."""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Mapping, Sequence
from urllib.parse import unquote

__all__ = [
    "UNSEEN",
    "as_markdown",
    "counted",
    "duration",
    "listed",
    "masked",
    "one_line",
    "opening",
    "printable",
    "quoted",
    "reason",
    "significant",
    "without_secrets",
]

PLAIN = str.maketrans({
    "−": "-", "–": "-", "×": "x", "÷": "/", "…": "...", "→": "->", "“": '"', "”": '"', "·": "*", "≥": ">=",
    "≤": "<=", "±": "+/-", "²": "^2", "─": "-", "━": "-", "│": "|", "┃": "|",
})  # fmt: skip
"""Characters that an old terminal or a file may not have, by others that it has."""


def _plainly(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end].translate(PLAIN)
    return text.encode("ascii", "replace").decode(), error.end


codecs.register_error("plainly", _plainly)


UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Invisible characters: controls except tab and newline, bidirectional controls, surrogates."""


COLOUR = re.compile("\x1b\\[[0-9;]*m")


STARS = "***"


LEAST_PLAIN = 1e-4
"""A number that is smaller is written with its power of ten."""


# From the first colon to the last @, because a password may contain / ? # : and, unescaped, an @ too.
# A password with spaces ends at the next @, if what follows the colon is not a port.
PASSWORD = re.compile(r"://([^:/\s]*):(?!@[^@\s]*(?:\s|$))(?:\S*@|(?!\d+(?:\W|$))[^@\n]*@)")


LONE_TOKEN = re.compile(r"(https?://)[^:@/\s]+@", re.IGNORECASE)


LONG = r"\w*(?:passw|passphrase|secret|token|apikey|api_key|credential|signature|odbc_connect)\w*"


SHORT = r"(?:\w*[_-])?(?:key|sslkey|sig|auth|pass|pwd)"  # ambiguous outside of a query


FIELD = re.compile(rf"(\b{LONG}=|[?&]{SHORT}=)('[^']*'|[^&\s'\"]+)", re.IGNORECASE)


NAMES = re.compile(
    r"^(PG|AWS_|AZURE_|DATABRICKS_|MLFLOW_TRACKING_|OPTUNA_STORAGE$)"
    r"|PASSW|PASSPHRASE|SECRET|CREDENTIAL|APIKEY|CONNECTION_STRING|TOKENS?(_|$)"
    r"|_(KEY|PASS|PWD|AUTH|PAT|COOKIE|DSN)(_|$)",
    re.IGNORECASE,
)


STATEMENT = re.compile(
    r"\[SQL: .*|\((?:[a-z]\w*\.)+\w+\) ?|\(raised as a result of Query-invoked autoflush;[^)]*\) ?"
    r"|\(Background on this error at: [^)]*\)",
    re.DOTALL,
)
"""What SQLAlchemy puts around a database's own words: the statement with its parameters, class, advice, link."""


def printable(text: str) -> str:
    """Escape the characters that would control a terminal; remove colours."""
    plain = COLOUR.sub("", text.replace("\r\n", "\n"))
    return UNSEEN.sub(lambda found: _escape(found.group()), plain)


def one_line(text: str) -> str:
    """The same, with line breaks escaped too."""
    return printable(text).replace("\n", "\\n")


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def masked(text: str, *addresses: str) -> str:
    """Replace passwords and tokens in URLs and connection strings by ***.

    The passwords of `addresses` are replaced everywhere in the text.
    """
    for password in (found for address in addresses for found in _passwords(address)):
        text = text.replace(password, STARS)
    text = PASSWORD.sub(rf"://\1:{STARS}@", text)
    text = LONE_TOKEN.sub(rf"\1{STARS}@", text)
    return FIELD.sub(rf"\1{STARS}", text)


def reason(error: object, *addresses: str, kind: bool = False, most: int = 300) -> str:
    """The message of an exception of other code: one line, masked, cut to `most` characters, without SQL.

    Args:
        error: the exception, or its message.
        addresses: URLs whose passwords are masked, as in `masked`.
        kind: begin with the class of the exception, such as `KeyError: 3`.
        most: largest number of characters.
    """
    name = type(error).__name__ if isinstance(error, BaseException) else ""
    said = masked(STATEMENT.sub("", " ".join(str(error).split())).strip(), *addresses)
    return (": ".join(filter(None, (name, said))) if kind or not said else said)[:most]


def _passwords(address: str) -> set[str]:
    """The password of an address, quoted and unquoted; short ones could be part of any word."""
    written = re.findall(r"://[^:/]*:(.*)@", address, re.DOTALL)
    return {each for text in written for each in (text, unquote(text)) if len(each) > 3}


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of workers: without addresses of stores, passwords and tokens.

    Variables are excluded by name and by value. A list of variables to keep would have to name all
    that a backend, its drivers and its cluster read; a missing one could change devices or results.
    """
    return {
        name: value
        for name, value in environment.items()
        if not NAMES.search(name) and masked(value) == value
    }


def duration(seconds: float) -> str:
    """Seconds with a unit: `45 s`, `12 min`, `3.4 h`."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5970 else f"{seconds / 3600:.1f} h"


def milliseconds(seconds: float) -> str:
    """Seconds as milliseconds: `2.7 ms`, `45 ms`, `1,230 ms`."""
    amount = 1000 * seconds
    return f"{amount:,.0f} ms" if amount >= 9.95 else f"{amount:.1f} ms"


def as_markdown(text: str) -> str:
    """A text as Markdown shows it: on one line, and neither markup, link nor the end of a cell."""
    plain = re.sub(r"([\\`*\[\]|])", r"\\\1", " ".join(text.split()))
    plain = re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", plain).replace("<", "&lt;")
    return re.sub(r"^([#>]|[-+](?=\s))", r"\\\1", plain)


def counted(number: int, noun: str) -> str:
    """`1 epoch`, `8 epochs`, `10,000 images`, `3 classes`."""
    plural = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{plural}"


def significant(number: float, digits: int) -> str:
    """A number with so many significant digits, all before the point kept: `0.0123`, `52,341`, `1.23e-7`."""
    if not number or not math.isfinite(number):
        return "0" if number == 0 else "unknown"
    if abs(number) < LEAST_PLAIN:
        digit, power = f"{number:.{digits - 1}e}".replace("-", "−", int(number < 0)).split("e")
        return f"{digit.rstrip('0').rstrip('.')}e{int(power)}"
    decimals = max(digits - 1 - math.floor(math.log10(abs(number))), 0)
    text = f"{number:,.{decimals}f}".replace("-", "−")
    return text.rstrip("0").rstrip(".") if decimals else text


def opening(text: str) -> str:
    """The text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def quoted(arm: str) -> str:
    """The name of an arm in quotation marks, because an arm may be called none."""
    return f"“{arm}”"


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
