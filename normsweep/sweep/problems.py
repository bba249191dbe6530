"""A mistake in a sweep file: where it is, what was received, what is legal, the nearest name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import getitem
from typing import Any, cast, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from normsweep.text import UNSEEN, one_line

__all__ = ["Problem", "illegal_values", "nearest", "one_of", "problems_of", "refusal", "shown"]

DEEPEST = 8
"""Tables and lists within one another that are looked into; a sweep has six."""


@dataclass(frozen=True)
class Problem:
    """One mistake at a dotted `key` of a sweep file."""

    key: str
    message: str

    def line(self, source: str) -> str:
        """`source: key: message`, on one line."""
        return (
            f"{source}: {cut(self.key)}: {self.message}"
            if self.key
            else f"{source}: {self.message}"
        )


def cut(text: str) -> str:
    """A name that fits a line, escaped where it would break it."""
    text = one_line(text)
    return text if len(text) <= 80 else text[:77] + "..."


def shown(value: Any, deepest: int = DEEPEST) -> str:
    """A received value as TOML would spell it, cut to fit a line."""
    inner = deepest - 1
    match value:
        case bool():
            text = str(value).lower()
        case str():
            text = '"' + value.encode("unicode_escape").decode().replace('"', '\\"') + '"'
        case list() | tuple() | dict() if not deepest:
            text = "..."
        case list() | tuple():
            text = "[" + ", ".join(shown(item, inner) for item in value) + "]"
        case dict():
            pairs = (f"{one_line(str(key))} = {shown(item, inner)}" for key, item in value.items())
            text = "{ " + ", ".join(pairs) + " }"
        case _:
            text = one_line(str(value))
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


def illegal_values(raw: Any, key: str = "", deepest: int = DEEPEST) -> Iterator[Problem]:
    """What no key may hold: characters that nobody sees, numbers beyond 64 bits, tables without end."""
    match raw:
        case dict() | list() if not deepest:
            yield Problem(key, "received tables within too many tables; legal: four")
        case dict():
            for name, value in raw.items():
                inner = f"{key}.{name}" if key else name
                if UNSEEN.search(name):
                    yield Problem(inner, f"received the key {shown(name)}; legal: {SEEN}")
                yield from illegal_values(value, inner, deepest - 1)
        case list():
            for item in raw:
                yield from illegal_values(item, key, deepest - 1)
        case str() if UNSEEN.search(raw):
            yield Problem(key, f"received {shown(raw)}; legal: {SEEN}")
        case int() if not -LARGEST <= raw < LARGEST:
            yield Problem(key, f"received {shown(raw)}; legal: a whole number of 64 bits")


SEEN = "a text without control characters"


def refusal(*problems: Problem | str) -> PydanticCustomError:
    """What a validator raises to tell of mistakes in words of its own; a text is of the key at hand."""
    found = [Problem("", each) if isinstance(each, str) else each for each in problems]
    said = "; ".join(each.message for each in found)
    return PydanticCustomError("problems", "{said}", {"said": said, "problems": found})


def problems_of(
    error: ValidationError, model: type[BaseModel], raw: Mapping[str, Any]
) -> Iterator[Problem]:
    """A problem for each key that pydantic refused of a table that was to be a `model`."""
    refused: dict[tuple[str, ...], list[ErrorDetails]] = {}
    for item in error.errors(include_url=False):
        refused.setdefault(_path(item["loc"], model), []).append(item)
    for path, items in refused.items():
        key, first = ".".join(path), items[0]
        if first["type"] == "problems":
            yield from (replace(p, key=p.key or key) for p in first.get("ctx", {})["problems"])
        else:
            yield Problem(key, _message(path, items, model, raw))


def _path(loc: Sequence[int | str], model: type[BaseModel]) -> tuple[str, ...]:
    """Of pydantic's place of an error what are keys: it goes on with the types that it tried."""
    kind = model
    for depth, name in enumerate(map(str, loc), start=1):
        field = kind.model_fields.get(name)
        inner = field and field.annotation
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            entries = get_origin(inner) is Mapping
            return tuple(map(str, loc[: depth + entries]))
        kind = inner
    return tuple(map(str, loc))


def _message(
    path: Sequence[str], items: Sequence[ErrorDetails], model: type[BaseModel], raw: Any
) -> str:
    match items[0]["type"]:
        case "missing":
            meaning = _section(path, model).model_fields[path[-1]].description
            return f"missing; legal: {meaning or _table(path)}"
        case "extra_forbidden":
            legal = _section(path, model).model_fields
            return f"received an unknown key; legal: {', '.join(legal)}{nearest(path[-1], legal)}"
        case _:
            value = reduce(getitem, path, raw)
            legal = " or ".join(dict.fromkeys(_legal(item, value, path) for item in items))
            return f"received {shown(value)}; legal: {legal}"


def _section(path: Sequence[str], model: type[BaseModel]) -> type[BaseModel]:
    """The table that a key stands in."""
    for name in path[:-1]:
        model = cast(type[BaseModel], model.model_fields[name].annotation)
    return model


def _table(path: Sequence[str]) -> str:
    return f"a table [{'.'.join(path)}]"


def _legal(item: ErrorDetails, raw: Any, path: Sequence[str]) -> str:
    """What would have been legal, in words, for one of pydantic's errors."""
    context = item.get("ctx", {})
    match item["type"]:
        case "int_type" | "int_from_float":
            return "a whole number"
        case "float_type":
            return "a number"
        case "string_type":
            return "a string"
        case "bool_type":
            return "true or false"
        case "string_too_short":
            return "a string that is not empty"
        case "too_short":
            return "a list that is not empty"
        case "tuple_type":
            return "a list"
        case "model_type":
            return _table(path)
        case "mapping_type" | "dict_type":
            return "a table"
        case "finite_number":
            return "a finite number"
        case "string_pattern_mismatch":
            return "letters, digits, '.', '_' and '-', beginning with a letter or digit"
        case "string_too_long":
            return f"at most {context['max_length']} characters"
        case "literal_error":
            names = [
                part.strip("'") for part in context["expected"].replace(" or ", ", ").split(", ")
            ]
            return ", ".join(names) + (nearest(raw, names) if isinstance(raw, str) else "")
        case "greater_than":
            return f"above {context['gt']}"
        case "greater_than_equal":
            return f"at least {context['ge']}"
        case "less_than_equal":
            return f"at most {context['le']}"
        case "less_than":
            return f"below {context['lt']}"
        case _:
            return item["msg"].replace("Input should be ", "").replace("String should", "to")
