"""What no key of a sweep file may hold, whatever it is for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from normsweep.plain import UNSEEN
from normsweep.spec.problems import Problem, shown

__all__ = ["illegal_values"]

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
