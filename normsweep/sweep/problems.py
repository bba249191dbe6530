"""Errors in a sweep file: the key, what was expected, what was found, the closest valid name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import getitem
from typing import TYPE_CHECKING, Any, cast, get_origin

from normsweep.text import UNSEEN, one_line

if TYPE_CHECKING:  # workers and commands that read a study do without pydantic
    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails, PydanticCustomError

__all__ = [
    "Problem",
    "cut",
    "expected",
    "illegal_values",
    "must_be",
    "nearest",
    "one_of",
    "problems_of",
    "quoted",
    "refusal",
    "shown",
    "unknown",
    "unknown_key",
]

DEEPEST = 8
"""Levels of nested tables and lists that are checked; a sweep has six."""


@dataclass(frozen=True)
class Problem:
    """One error, at a dotted `key` of a sweep file."""

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
    """A name cut to fit on a line, with control characters escaped."""
    text = one_line(text)
    return text if len(text) <= 80 else text[:77] + "..."


def shown(value: Any, deepest: int = DEEPEST) -> str:
    """A value as TOML spells it, cut to fit on a line."""
    inner = deepest - 1
    match value:
        case bool():
            text = str(value).lower()
        case str():
            text = quoted(value)
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


def quoted(text: str) -> str:
    """A string in quotes, with what cannot be printed escaped."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    plain = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in escaped)
    return f'"{"".join(plain)}"'


def nearest(name: str, valid: Iterable[str]) -> str:
    """` (did you mean "x"?)` for the valid name closest to `name`; empty if none is close."""
    close = difflib.get_close_matches(name, list(valid), n=1, cutoff=0.6)
    return f" (did you mean {shown(close[0])}?)" if close else ""


def expected(what: str, received: Any) -> str:
    """The message for a value of another type or form than `what`."""
    return f"expected {what}, got {shown(received)}"


def must_be(rule: str, received: Any) -> str:
    """The message for a value that breaks a `rule`, such as `at least 1`."""
    return f"must be {rule}, got {shown(received)}"


def one_of(received: Any, valid: Iterable[Any]) -> str:
    """The message for a value that is none of the `valid` ones."""
    values = list(valid)
    hint = nearest(received, map(str, values)) if isinstance(received, str) else ""
    return f"must be one of {', '.join(map(shown, values))}; got {shown(received)}{hint}"


def unknown(kind: str, name: Any, available: Iterable[str]) -> str:
    """The message for a `name` that no optimizer, model or other `kind` of component has."""
    names = list(available)
    hint = nearest(name, names) if isinstance(name, str) else ""
    return f"unknown {kind} {shown(name)}{hint}; available: {', '.join(names) or 'none'}"


def unknown_key(key: str, available: Iterable[str]) -> str:
    """The message for a `key` that its table does not have."""
    keys = list(available)
    return f"unknown key{nearest(key, keys)}; available: {', '.join(keys)}"


LARGEST = 2**63
"""The limit of TOML's integers; databases and floats hold no larger ones."""


def illegal_values(raw: Any, key: str = "", deepest: int = DEEPEST) -> Iterator[Problem]:
    """Values that no key may have: control characters, integers over 64 bits, tables nested too deep."""
    match raw:
        case dict() | list() if not deepest:
            yield Problem(key, "must not nest tables deeper than four levels")
        case dict():
            for name, value in raw.items():
                inner = f"{key}.{name}" if key else name
                if UNSEEN.search(name):
                    yield Problem(inner, expected(f"a key {PRINTABLE}", name))
                yield from illegal_values(value, inner, deepest - 1)
        case list():
            for item in raw:
                yield from illegal_values(item, key, deepest - 1)
        case str() if UNSEEN.search(raw):
            yield Problem(key, expected(f"text {PRINTABLE}", raw))
        case int() if not -LARGEST <= raw < LARGEST:
            yield Problem(key, expected("a 64-bit integer", raw))


PRINTABLE = "without control characters"


def refusal(*problems: Problem | str) -> PydanticCustomError:
    """The exception that a validator raises for these errors; a plain text is about the key itself."""
    from pydantic_core import PydanticCustomError

    found = [Problem("", each) if isinstance(each, str) else each for each in problems]
    said = "; ".join(each.message for each in found)
    return PydanticCustomError("problems", "{said}", {"said": said, "problems": found})


def problems_of(
    error: ValidationError, model: type[BaseModel], raw: Mapping[str, Any]
) -> Iterator[Problem]:
    """A problem for each key of a table that pydantic could not validate as a `model`."""
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
    """The keys in the location that pydantic gives an error; the types it tried come after them."""
    from pydantic import BaseModel

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
            return f"required key is missing: {meaning or _table(path)}"
        case "extra_forbidden":
            return unknown_key(path[-1], _section(path, model).model_fields)
        case "literal_error":
            return one_of(reduce(getitem, path, raw), _literals(items[0]))
        case _:
            first, *others = dict.fromkeys(_rule(item, path) for item in items)
            rule = " or ".join([first, *(other.removeprefix("expected ") for other in others)])
            return f"{rule}, got {shown(reduce(getitem, path, raw))}"


def _section(path: Sequence[str], model: type[BaseModel]) -> type[BaseModel]:
    """The table that a key belongs to."""
    for name in path[:-1]:
        model = cast("type[BaseModel]", model.model_fields[name].annotation)
    return model


def _table(path: Sequence[str]) -> str:
    return f"a table [{'.'.join(path)}]"


def _literals(item: ErrorDetails) -> list[str]:
    names = item.get("ctx", {})["expected"].replace(" or ", ", ").split(", ")
    return [name.strip("'") for name in names]


def _rule(item: ErrorDetails, path: Sequence[str]) -> str:
    """The rule that a value breaks, by one of pydantic's errors."""
    context = item.get("ctx", {})
    match item["type"]:
        case "greater_than":
            return f"must be above {_limit(context['gt'])}"
        case "greater_than_equal":
            return f"must be at least {_limit(context['ge'])}"
        case "less_than_equal":
            return f"must be at most {_limit(context['le'])}"
        case "less_than":
            return f"must be below {_limit(context['lt'])}"
        case "string_too_long":
            return f"must have at most {context['max_length']} characters"
        case "string_pattern_mismatch":
            return "must be letters, digits, '.', '_' and '-', the first one a letter or digit"
        case _:
            return f"expected {_kind(item, path)}"


def _limit(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _kind(item: ErrorDetails, path: Sequence[str]) -> str:
    """The type or form that a value should have had."""
    match item["type"]:
        case "int_type" | "int_from_float":
            return "an integer"
        case "float_type":
            return "a number"
        case "string_type":
            return "a string"
        case "bool_type":
            return "true or false"
        case "string_too_short":
            return "a non-empty string"
        case "too_short":
            return "a non-empty list"
        case "tuple_type":
            return "a list"
        case "model_type":
            return _table(path)
        case "mapping_type" | "dict_type":
            return "a table"
        case "finite_number":
            return "a finite number"
        case _:
            return item["msg"].replace("Input should be ", "")
