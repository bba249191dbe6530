"""TOML → `Sweep`, or one `SweepError` that lists all errors in the file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, TypeVar

from pydantic import ValidationError

from normsweep.errors import SweepError
from normsweep.sweep.arms import dotted, with_arms
from normsweep.sweep.checks import Catalog, Reading, cross_checks
from normsweep.sweep.parameter_checks import with_sampled_lengths
from normsweep.sweep.problems import (
    DEEPEST,
    Problem,
    cut,
    expected,
    illegal_values,
    nearest,
    problems_of,
    shown,
    unknown_key,
)
from normsweep.sweep.recorded import as_file
from normsweep.sweep.schema import Section, Sweep, inner_section
from normsweep.text import reason

__all__ = ["Draft", "as_toml", "find_sweep", "load_sweep", "shipped_sweeps"]

S = TypeVar("S", bound=Section)

OPTION = "--set"
STOP = "stop"
KEY_VALUE = re.compile(r'((?:"(?:[^"\\]|\\.)*"|[^"=])*)=(.*)', re.DOTALL)
"""A key, whose quoted parts may contain `=`, and a value."""


def shipped_sweeps() -> dict[str, Path]:
    """The sweep files that come with normsweep, by name."""
    package = Path(__file__).parents[1]
    installed, checkout = package / "sweeps", package.parent / "sweeps"
    folder = installed if installed.is_dir() else checkout
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


@dataclass(frozen=True)
class Draft:
    """A sweep with its overrides applied, not yet validated."""

    raw: dict[str, Any]
    source: str
    """What error messages begin with: the file, or `sweep` if it came from Python."""
    folder: Path
    changed: Mapping[str, str]
    """Overridden keys, each with how it was set: `--set`, or `set` in Python."""
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
            source: path of a TOML file or name of a shipped sweep; or the sweep itself, as a `Sweep`
                or a dictionary.
            overrides: `dotted.key=value` each; the value is TOML, or a string without quotes.
            options: keys that were set by a command-line option, with its name.
            settings: further overrides, by dotted key.

        Raises:
            SweepError: it cannot be read.
        """
        raw, name, folder = _tables(source)
        problems: list[Problem] = []
        changed = {_override(raw, text, problems): OPTION for text in overrides}
        for key, value in (settings or {}).items():
            names = _names(key)
            _set(raw, names, as_toml(value), problems, key)
            changed[dotted(*names)] = "set"
        return cls(raw, name, folder, changed, options or {}, tuple(problems))

    def sweep(self, catalog: Catalog) -> Sweep:
        """Validate the sweep.

        Raises:
            SweepError: one line for each error, which begins with the file and the key.
        """
        sweep, found = _validated(self.raw, catalog)
        if problems := [*self.problems, *found]:
            raise self.refused(problems)
        return with_sampled_lengths(sweep, catalog)

    def refused(self, problems: Iterable[Problem]) -> SweepError:
        """The exception that lists these problems."""
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
    """Read and validate a sweep, as `Draft.read` and `Draft.sweep` do.

    Raises:
        SweepError: one line for each error.
    """
    return Draft.read(source, overrides, options).sweep(catalog)


def find_sweep(source: str | Path) -> Path:
    """The file of a sweep, given by its path or as the name of a shipped one."""
    path = Path(source)
    try:
        if path.is_file():
            return path
    except OSError as error:
        raise SweepError(
            f"{str(source)[:60]}…: expected the path of a file ({error.strerror})"
        ) from None
    shipped = shipped_sweeps()
    named = path.parent in (Path("."), Path("sweeps")) and path.suffix in ("", ".toml")
    if named and path.stem in shipped:
        return shipped[path.stem]
    hint = nearest(path.stem, shipped)
    raise SweepError(
        f"{source}: no such file{hint}; expected a path, or one of {', '.join(shipped)}"
    )


def _tables(source: str | Path | Sweep | Mapping[str, Any]) -> tuple[dict[str, Any], str, Path]:
    """A sweep as TOML tables, its name in error messages, and its folder."""
    if isinstance(source, str | Path):
        path = find_sweep(source)
        return _read(path), str(path), path.parent
    given = as_file(source) if isinstance(source, Sweep) else source
    if not isinstance(given, Mapping):
        raise SweepError(
            "sweep: expected a path, the name of a shipped sweep, a Sweep or a dict, "
            f"got {type(given).__name__}"
        )
    return as_toml(given), "sweep", Path()


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")  # editors on Windows begin a file with a mark
        return tomllib.loads(text)
    except OSError as error:
        raise SweepError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise SweepError(
            f"{path}: expected text in UTF-8, got byte 0x{error.object[error.start]:02x} at {error.start:,}; "
            "save the file as UTF-8"
        ) from None
    except (ValueError, RecursionError) as error:  # a number too long, tables too deep
        raise SweepError(f"{path}: not valid TOML: {reason(error)}{_hint(str(error))}") from None


def _hint(error: str) -> str:
    """What to do about a string that is not closed, or about a backslash, which begins an escape in double quotes."""
    if any(words in error for words in ("escape", "hex value")):
        return "; put a path with backslashes into single quotes"
    unclosed = ("Illegal character '\\n'", "Unterminated string", 'Expected "\'"')
    return "; a string is not closed" if any(words in error for words in unclosed) else ""


def _override(raw: dict[str, Any], text: str, problems: list[Problem]) -> str:
    found = KEY_VALUE.fullmatch(text)
    names = _names(found[1].strip()) if found else []
    if found is None or not all(names):
        problems.append(Problem(OPTION, expected("KEY=VALUE with a dotted key", text)))
        return ""
    value = _toml_value(given := found[2].strip())
    if value is given and given[:1] + given[-1:] in (
        "[]",
        "{}",
    ):  # otherwise it would be taken as text
        lacking = (
            'a TOML value; a shell removes quotes that are not quoted: --set \'key=["a", "b"]\''
        )
        problems.append(Problem(dotted(*names), expected(lacking, given)))
        return dotted(*names)
    _set(raw, names, value, problems, text)
    return dotted(*names)


def _names(key: str) -> list[str]:
    """The parts of a dotted key; quoted ones may have dots themselves. One is empty if it is no key."""
    if '"' not in key:
        return key.split(".")
    try:
        table: Any = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError:
        return [""]
    names = []
    while isinstance(table, dict):
        (name, table), *_ = table.items()
        names.append(name)
    return names


def _set(
    raw: dict[str, Any], names: Sequence[str], value: Any, problems: list[Problem], given: str
) -> None:
    *tables, last = names
    table = raw
    for name in tables:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            problems.append(
                Problem(
                    dotted(*names),
                    f"expected a key of a table, but {cut(name)} is no table, got {shown(given)}",
                )
            )
            return
    table[last] = value


def as_toml(value: Any, deepest: int = DEEPEST) -> Any:
    """A copy of a Python value as TOML has it; too deep values are not converted.

    Mappings become dictionaries, tuples and arrays lists, NumPy's numbers Python's, paths text.
    """
    match value:
        case Mapping() if not deepest:
            return dict(value)
        case list() | tuple() if not deepest:
            return list(value)
        case Mapping():
            return {str(key): as_toml(item, deepest - 1) for key, item in value.items()}
        case list() | tuple():
            return [as_toml(item, deepest - 1) for item in value]
        case PurePath():
            return str(value)
        case _ if deepest and hasattr(value, "tolist"):
            return as_toml(value.tolist(), deepest - 1)
        case _:
            return value


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def _validated(raw: Mapping[str, Any], catalog: Catalog) -> tuple[Sweep, list[Problem]]:
    """The sweep that `raw` describes, as far as it is valid, and all problems."""
    if illegal := list(illegal_values(raw)):  # the other rules assume that there are none
        return Sweep.model_construct(), illegal
    reading, problems = Reading(catalog), list[Problem]()
    raw = _with_stop(raw, problems)
    tables = with_arms(raw, problems)
    try:
        sweep = Sweep.model_validate(tables, context=reading)
    except ValidationError as error:
        problems += problems_of(error, Sweep, tables)
        sweep = _valid_part(Sweep, reading)
    problems += cross_checks(sweep, raw, catalog)
    return sweep, problems


def _with_stop(raw: Mapping[str, Any], problems: list[Problem]) -> dict[str, Any]:
    """The tables with `stop = { patience = 5 }` of an arm or of the space as the parameter `patience`."""
    tables = dict(raw)
    arms, search = raw.get("arms"), raw.get("search")
    if isinstance(arms, Mapping):
        tables["arms"] = {
            label: _flat_stop(params, ("arms", label), problems) for label, params in arms.items()
        }
    if isinstance(search, Mapping) and "space" in search:
        space = _flat_stop(search["space"], ("search", "space"), problems)
        tables["search"] = {**search, "space": space}
    return tables


def _flat_stop(params: Any, names: tuple[str, ...], problems: list[Problem]) -> Any:
    if not isinstance(params, Mapping) or STOP not in params:
        return params
    stop, key = params[STOP], dotted(*names, STOP)
    rest = {name: value for name, value in params.items() if name != STOP}
    if not isinstance(stop, Mapping) or "patience" not in stop:
        problems.append(Problem(key, expected("a table such as { patience = 5 }", stop)))
        return rest
    others = stop.keys() - {"patience"}
    problems.extend(Problem(f"{key}.{n}", unknown_key(n, ["patience"])) for n in others)
    return {**rest, "patience": stop["patience"]}


def _valid_part(kind: type[S], reading: Reading) -> S:
    """A section with its valid fields only."""
    values = dict(reading.valid.get(kind.__name__, {}))
    for name, field in kind.model_fields.items():
        inner = inner_section(field)
        if inner and name not in values and inner.__name__ in reading.valid:
            values[name] = _valid_part(inner, reading)
    return kind.model_construct(**values)
