"""TOML → `Sweep`, or one `SweepError` that names every mistake in the file at once."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from normsweep.errors import SweepError
from normsweep.sweep.checks import Catalog, cross_checks
from normsweep.sweep.problems import Problem, illegal_values, nearest, shown
from normsweep.sweep.recorded import as_file
from normsweep.sweep.schema import Section, Sweep, meanings
from normsweep.sweep.space import Space
from normsweep.sweep.space_parsing import parse_space

__all__ = ["Draft", "find_sweep", "load_sweep", "shipped_sweeps"]

S = TypeVar("S", bound=Section)

OPTION = "--set"


def shipped_sweeps() -> dict[str, Path]:
    """The sweep files that come with normsweep, by name."""
    package = Path(__file__).parents[1]
    installed, checkout = package / "sweeps", package.parent / "sweeps"
    folder = installed if installed.is_dir() else checkout
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


@dataclass(frozen=True)
class Draft:
    """A sweep as it was given, its overrides applied, before the names of its parts are looked up."""

    raw: dict[str, Any]
    source: str
    """What mistakes are told of: the file, or `sweep` where it came from Python."""
    folder: Path
    changed: Mapping[str, str]
    """Keys that were set otherwise than it has them, and by what: `--set`, or `set` in Python."""
    options: Mapping[str, str]
    problems: tuple[Problem, ...]

    @classmethod
    def read(
        cls,
        source: str | Path | Sweep | Mapping[str, Any],
        overrides: Sequence[str] = (),
        options: Mapping[str, str] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Draft:
        """Read a sweep.

        Args:
            source: path of a TOML file; where there is none, a shipped sweep of that name; or a sweep
                itself, as a table that TOML could hold.
            overrides: `dotted.key=value` each; a TOML value, or a bare word for a string.
            options: keys that came by an option of their own, with its name.
            settings: further overrides, by dotted key.

        Raises:
            SweepError: it cannot be read.
        """
        if isinstance(source, str | Path):
            path = find_sweep(source)
            raw, told, folder = _read(path), str(path), path.parent
        else:
            given = as_file(source) if isinstance(source, Sweep) else source
            if not isinstance(given, Mapping):
                raise SweepError(
                    f"sweep: received {type(given).__name__}; legal: a path, the name of a shipped "
                    "sweep, a Sweep or a table (dict)"
                )
            raw, told, folder = _as_toml(given), "sweep", Path()
        problems: list[Problem] = []
        changed = {_override(raw, text, problems): OPTION for text in overrides}
        for key, value in (settings or {}).items():
            _set(raw, key, _as_toml(value), problems, key)
            changed[key] = "set"
        return cls(raw, told, folder, changed, options or {}, tuple(problems))

    def sweep(self, catalog: Catalog) -> Sweep:
        """The sweep, validated.

        Raises:
            SweepError: one line for each mistake: file, key, what was received, what is legal.
        """
        problems = list(self.problems)
        try:
            sweep = validate(self.raw, catalog, problems)
        except RecursionError:
            raise SweepError(
                f"{self.source}: received tables within too many tables; legal: four"
            ) from None
        if sweep is None or problems:
            raise self.refused(problems)
        return sweep

    def refused(self, problems: Iterable[Problem]) -> SweepError:
        """The error that names these mistakes."""
        return SweepError([self._line(problem) for problem in problems])

    def _line(self, problem: Problem) -> str:
        if problem.key == OPTION or problem.key in self.options:
            return f"{self.options.get(problem.key, OPTION)}: {problem.message}"
        by = [self.changed[k] for k in self.changed if k and f"{problem.key}.".startswith(f"{k}.")]
        return problem.line(by[0] if by else self.source)


def load_sweep(
    source: str | Path | Sweep | Mapping[str, Any],
    catalog: Catalog,
    overrides: Sequence[str] = (),
    options: Mapping[str, str] | None = None,
) -> Sweep:
    """Read and validate a sweep whose parts are known: as `Draft.read` and `Draft.sweep`.

    Raises:
        SweepError: one line for each mistake.
    """
    return Draft.read(source, overrides, options).sweep(catalog)


def find_sweep(source: str | Path) -> Path:
    """The file that `source` names: a path, or a shipped sweep."""
    path = Path(source)
    try:
        if path.is_file():
            return path
    except OSError as error:
        raise SweepError(
            f"{str(source)[:60]}…: {error.strerror}; legal: the path of a file"
        ) from None
    shipped = shipped_sweeps()
    named = path.parent in (Path("."), Path("sweeps")) and path.suffix in ("", ".toml")
    if named and path.stem in shipped:
        return shipped[path.stem]
    hint = nearest(path.stem, shipped)
    raise SweepError(
        f"{source}: received no such file; legal: a path, or one of {', '.join(shipped)}{hint}"
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SweepError(f"{path}: cannot be read: {error}") from None
    except (ValueError, RecursionError) as error:  # a number too long, tables too deep
        raise SweepError(f"{path}: not TOML: {error}") from None


def _override(raw: dict[str, Any], text: str, problems: list[Problem]) -> str:
    key, separator, value = (part.strip() for part in text.partition("="))
    if not separator or not all(key.split(".")):
        problems.append(
            Problem(OPTION, f"received {shown(text)}; legal: KEY=VALUE with a dotted key")
        )
        return ""
    _set(raw, key, _toml_value(value), problems, text)
    return key


def _set(raw: dict[str, Any], key: str, value: Any, problems: list[Problem], given: str) -> None:
    *tables, last = key.split(".")
    table = raw
    for name in tables:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            problems.append(
                Problem(key, f"received {shown(given)}; legal: a key of a table; {name} is none")
            )
            return
    table[last] = value


def _as_toml(value: Any) -> Any:
    """A copy of a value from Python, with TOML's tables and lists."""
    if isinstance(value, Mapping):
        return {str(key): _as_toml(item) for key, item in value.items()}
    return [_as_toml(item) for item in value] if isinstance(value, list | tuple) else value


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def validate(raw: Mapping[str, Any], catalog: Catalog, problems: list[Problem]) -> Sweep | None:
    """The sweep that `raw` describes; None, and `problems` grown, where it is not legal."""
    before = len(problems)
    problems.extend(illegal_values(raw))
    if len(problems) > before:  # the other rules count on there being none
        return None
    sweep = _section(Sweep, "", raw, problems)
    problems.extend(cross_checks(sweep, raw, catalog))
    return sweep if len(problems) == before else None


def _section(kind: type[S], prefix: str, raw: Mapping[str, Any], problems: list[Problem]) -> S:
    """A section with the fields that are legal; `problems` names the others.

    Field by field, so that one mistake hides no other.
    """
    for key in raw:
        if key not in kind.model_fields:
            legal = ", ".join(kind.model_fields)
            hint = nearest(key, kind.model_fields)
            problems.append(Problem(prefix + key, f"received an unknown key; legal: {legal}{hint}"))
    values = {}
    for name, field in kind.model_fields.items():
        if name in raw:
            values |= _value(prefix + name, name, field, raw[name], problems)
        elif field.is_required():
            legal = meanings(kind).get(name, f"a table [{prefix}{name}]")
            problems.append(Problem(prefix + name, f"missing; legal: {legal}"))
    return kind.model_construct(**values)


def _value(
    key: str, name: str, field: FieldInfo, raw: Any, problems: list[Problem]
) -> dict[str, Any]:
    kind = field.annotation
    if (
        isinstance(kind, type)
        and issubclass(kind, (Section, Space))
        and not isinstance(raw, Mapping)
    ):
        problems.append(Problem(key, f"received {shown(raw)}; legal: a table [{key}]"))
        return {}
    if kind is Space:
        return {name: parse_space(raw, problems)}
    if isinstance(kind, type) and issubclass(kind, Section):
        return {name: _section(kind, f"{key}.", raw, problems)}
    annotated: Any = Annotated[(kind, *field.metadata)] if field.metadata else kind
    try:
        return {name: TypeAdapter(annotated).validate_python(_frozen(raw), strict=True)}
    except ValidationError as error:
        problems.extend(_refused(key, raw, error))
        return {}


def _refused(key: str, raw: Any, error: ValidationError) -> Iterator[Problem]:
    """A problem for each entry of a table that is not legal, or one for the value."""
    entries: dict[Any, list[Any]] = {}
    for item in error.errors():
        entry = item["loc"][0] if isinstance(raw, Mapping) and item["loc"] else None
        entries.setdefault(entry, []).append(item)
    for entry, items in entries.items():
        value = raw if entry is None else raw[entry]
        legal = " or ".join(dict.fromkeys(_legal(item, value) for item in items))
        where = key if entry is None else f"{key}.{entry}"
        yield Problem(where, f"received {shown(value)}; legal: {legal}")


def _legal(item: Any, raw: Any) -> str:
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


def _frozen(value: Any) -> Any:
    """Lists as tuples, as the frozen models hold them."""
    if isinstance(value, list):
        return tuple(_frozen(item) for item in value)
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    return value
