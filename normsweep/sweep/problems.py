"""A mistake in a sweep file: where it is, what was received, what is legal, the nearest name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from normsweep.text import UNSEEN

__all__ = ["Problem", "illegal_values", "nearest", "one_of", "shown"]


@dataclass(frozen=True)
class Problem:
    """One mistake at a dotted `key` of a sweep file."""

    key: str
    message: str

    def line(self, source: str) -> str:
        """`source: key: message`, on one line."""
        return f"{source}: {self.key}: {self.message}" if self.key else f"{source}: {self.message}"


def shown(value: Any) -> str:
    """A received value as TOML would spell it, cut to fit a line."""
    match value:
        case bool():
            text = str(value).lower()
        case str():
            text = '"' + value.encode("unicode_escape").decode().replace('"', '\\"') + '"'
        case list() | tuple():
            text = "[" + ", ".join(shown(item) for item in value) + "]"
        case dict():
            text = "{ " + ", ".join(f"{key} = {shown(item)}" for key, item in value.items()) + " }"
        case _:
            text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def nearest(name: str, legal: Iterable[str]) -> str:
    """`; did you mean "x"?` for the legal name most like `name`, or nothing."""
    close = difflib.get_close_matches(name, list(legal), n=1, cutoff=0.6)
    return f"; did you mean {shown(close[0])}?" if close else ""


def one_of(received: Any, legal: Iterable[str]) -> str:
    """The message for a name that is not among the legal ones."""
    names = list(legal)
    hint = nearest(received, names) if isinstance(received, str) else ""
    return f"received {shown(received)}; legal: {', '.join(names)}{hint}"


LARGEST = 2**63
"""As TOML has it; beyond, a number fits no float and no database."""


def illegal_values(raw: Any, key: str = "") -> Iterator[Problem]:
    """Texts with characters that nobody sees, and whole numbers beyond 64 bits."""
    match raw:
        case dict():
            for name, value in raw.items():
                inner = f"{key}.{name}" if key else name
                if UNSEEN.search(name):
                    yield Problem(inner, f"received the key {shown(name)}; legal: {SEEN}")
                yield from illegal_values(value, inner)
        case list():
            for item in raw:
                yield from illegal_values(item, key)
        case str() if UNSEEN.search(raw):
            yield Problem(key, f"received {shown(raw)}; legal: {SEEN}")
        case int() if not -LARGEST <= raw < LARGEST:
            yield Problem(key, f"received {shown(raw)}; legal: a whole number of 64 bits")


SEEN = "a text without control characters"
