"""How a sweep writes a normalization: a text, which is stored as it is.

    "standardize"                   a registered scheme
    "divide(256)"                   with a value for its option
    "log1p then standardize"        one after the other, each fitted to what the one before returns

A table of an arm gives each column its scheme. It is stored as JSON:

    {"age": "standardize", "default": "unit"}
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from normsweep.sweep.problems import expected, unknown

__all__ = [
    "DEFAULT",
    "ByColumn",
    "Chain",
    "Scheme",
    "all_in",
    "as_table",
    "as_text",
    "described",
    "parse",
    "problem",
]

DEFAULT = "default"
"""The key of the scheme of all columns that have none of their own."""
THEN = " then "


@dataclass(frozen=True)
class Scheme:
    """A registered normalization."""

    name: str
    value: float | str | None = None
    """Of its option, if one is given."""


Chain = tuple[Scheme, ...]
"""Schemes that are applied one after the other."""


@dataclass(frozen=True)
class ByColumn:
    """A scheme for each column of a table."""

    columns: Mapping[str, Chain]
    """By name of the column, or `default`."""


def parse(text: str) -> Chain | ByColumn:
    """Read a normalization.

    Raises:
        ValueError: it is JSON that is not an object of texts.
    """
    if not text.startswith("{"):
        return _chain(text)
    columns = json.loads(text)
    if not columns or not all(isinstance(each, str) for each in columns.values()):
        raise ValueError("expected a scheme for each column")
    return ByColumn({name: _chain(each) for name, each in columns.items()})


def _chain(text: str) -> Chain:
    return tuple(map(_scheme, text.split(THEN)))


def _scheme(text: str) -> Scheme:
    name, opening, rest = text.strip().partition("(")
    if not opening or not rest.endswith(")"):
        return Scheme(text.strip())
    value = rest[:-1].strip()
    try:
        return Scheme(name, float(value))
    except ValueError:
        return Scheme(name, value)


def all_in(text: str) -> list[Scheme]:
    """The schemes that a normalization is made of."""
    found = parse(text)
    chains = found.columns.values() if isinstance(found, ByColumn) else [found]
    return [scheme for chain in chains for scheme in chain]


def as_text(columns: Mapping[str, Any]) -> str:
    """The schemes of an arm's columns as one text."""
    return json.dumps(dict(columns), sort_keys=True, ensure_ascii=False)


def as_table(text: str) -> dict[str, str]:
    """The schemes by column, as an arm has them; empty if a normalization has none."""
    return dict(json.loads(text)) if text.startswith("{") else {}


def described(text: str) -> str:
    """A normalization for people: `age standardize, default unit`."""
    return ", ".join(f"{column} {scheme}" for column, scheme in as_table(text).items()) or text


def problem(
    given: Any,
    registered: Mapping[str, tuple[str, ...]],
    legal: Mapping[str, tuple[str, ...]],
) -> str:
    """What is wrong with a normalization; empty if nothing is.

    Args:
        given: the value in the sweep.
        registered: the names of normalizations, each with its options.
        legal: the texts that the option of a normalization may be, or none if it is a number above 0; what is not
            listed takes any value.
    """
    try:
        found = parse(given) if isinstance(given, str) else ()
    except ValueError:
        return expected('a table such as { age = "standardize", default = "unit" }', given)
    if not found:
        return unknown("normalization", given, registered)
    return next(_problems(found, registered, legal), "")


def _problems(
    found: Chain | ByColumn,
    registered: Mapping[str, tuple[str, ...]],
    legal: Mapping[str, tuple[str, ...]],
) -> Iterator[str]:
    chains = found.columns.values() if isinstance(found, ByColumn) else [found]
    for scheme in (each for chain in chains for each in chain):
        if scheme.name not in registered:
            yield unknown("normalization", scheme.name, registered)
        elif scheme.value is not None and not registered[scheme.name]:
            yield f"{scheme.name} has no option, got {scheme.name}({scheme.value})"
        elif scheme.value == "":
            yield f"{scheme.name} needs a value in its brackets"
        elif scheme.value is not None and scheme.name in legal:
            yield from _illegal(scheme, legal[scheme.name])


def _illegal(scheme: Scheme, texts: tuple[str, ...]) -> Iterator[str]:
    """What is wrong with the value of a scheme's option."""
    value = scheme.value
    number = isinstance(value, float) and 0 < value < math.inf
    if value not in texts if texts else not number:
        wanted = " or ".join(texts) if texts else "a number above 0"
        found = f"{value:g}" if isinstance(value, float) else value
        yield f"{scheme.name}: expected {wanted} in the brackets, got {scheme.name}({found})"
