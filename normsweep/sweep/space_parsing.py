"""`[search.space]`: TOML values → `Space`, with every mistake found on the way."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from normsweep.sweep.problems import Problem, nearest, one_of, shown
from normsweep.sweep.space import Choice, Condition, Dimension, Range, Space

__all__ = ["KEYS", "parse_space"]

FORMS = "a value, a list of values, or a table { low, high, log, step, when }"
KEYS = {
    "low": "lower end of a range, included; integers where both ends are",
    "high": "its upper end, included",
    "log": "whether the range is uniform in the logarithm; without, in the value",
    "step": "distance of the range's values, counted from `low`; not with `log`",
    "choices": "a list of values, where there is a `when`; else the list alone will do",
    "value": "a single value, where there is a `when`; else the value alone will do",
    "when": 'values of another list at which the parameter applies, as `{ optimizer = ["sgd"] }`',
}
"""The keys of a parameter that is a table, with what each says."""


def parse_space(raw: Mapping[str, Any], problems: list[Problem]) -> Space:
    """The space that a `[search.space]` table describes; `problems` names what is not legal."""
    parsed = [_dimension(name, value, problems) for name, value in raw.items()]
    dimensions = [dimension for dimension in parsed if dimension is not None]
    for dimension in dimensions:
        _check_conditions(dimension, dimensions, raw, problems)
    # One whose condition is wrong is left out, so that no other rule tells of it again.
    wrong = tuple(problem.key for problem in problems)
    kept = [d for d in dimensions if not any(k.startswith(f"{_key(d.name)}.when") for k in wrong)]
    return Space(tuple(sorted(kept, key=lambda dimension: len(dimension.when))))


def _key(name: str) -> str:
    return f"search.space.{name}"


def _dimension(name: str, raw: Any, problems: list[Problem]) -> Dimension | None:
    key = _key(name)
    if not isinstance(raw, Mapping):
        values = raw if isinstance(raw, list | tuple) else (raw,)
        return _choice(name, key, values, (), problems)
    unknown = [k for k in raw if k not in KEYS]
    for k in unknown:
        legal = ", ".join(KEYS)
        problems.append(
            Problem(f"{key}.{k}", f"received an unknown key; legal: {legal}{nearest(k, KEYS)}")
        )
    when = _conditions(key, raw.get("when", {}), problems)
    kinds = [k for k in ("choices", "value", "low") if k in raw]
    if len(kinds) != 1 or (kinds == ["low"] and "high" not in raw):
        if not unknown or len(kinds) > 1:
            problems.append(
                Problem(key, f"received {shown(raw)}; legal: {FORMS}, or {{ choices, when }}")
            )
        return None
    if kinds == ["low"]:
        return _range(name, key, raw, when, problems)
    stray = [k for k in ("high", "log", "step") if k in raw]
    if stray:
        problems.append(
            Problem(f"{key}.{stray[0]}", "received with a list; legal: with a range { low, high }")
        )
        return None
    values = raw["choices"] if kinds == ["choices"] else (raw["value"],)
    return _choice(name, key, values, when, problems)


def _choice(
    name: str, key: str, values: Any, when: tuple[Condition, ...], problems: list[Problem]
) -> Choice | None:
    if not isinstance(values, list | tuple) or not values:
        problems.append(
            Problem(key, f"received {shown(values)}; legal: a list of at least one value")
        )
        return None
    if not all(isinstance(value, bool | int | float | str) for value in values):
        problems.append(
            Problem(key, f"received {shown(values)}; legal: strings, numbers and booleans")
        )
        return None
    if (
        len({type(value) for value in values} - {int, float})
        + any(type(value) in (int, float) for value in values)
        > 1
    ):
        problems.append(Problem(key, f"received {shown(values)}; legal: values of one type"))
        return None
    if any(isinstance(value, float) and not math.isfinite(value) for value in values):
        problems.append(Problem(key, f"received {shown(values)}; legal: finite numbers"))
        return None
    twice = [value for i, value in enumerate(values) if value in values[:i]]
    if twice:
        problems.append(Problem(key, f"received {shown(twice[0])} twice; legal: each value once"))
        return None
    return Choice(name, tuple(values), when)


def _range(
    name: str,
    key: str,
    raw: Mapping[str, Any],
    when: tuple[Condition, ...],
    problems: list[Problem],
) -> Range | None:
    low, high, step, log = raw["low"], raw["high"], raw.get("step"), raw.get("log", False)
    found: list[Problem] = []
    for end, value in (("low", low), ("high", high), ("step", step)):
        if value is not None and not _is_number(value):
            found.append(
                Problem(f"{key}.{end}", f"received {shown(value)}; legal: a finite number")
            )
    if not isinstance(log, bool):
        found.append(Problem(f"{key}.log", f"received {shown(log)}; legal: true, false"))
    if found:
        problems.extend(found)
        return None
    if low > high:
        found.append(Problem(key, f"received low = {low} above high = {high}; legal: low ≤ high"))
    if log and low <= 0:
        found.append(Problem(f"{key}.low", f"received {low} with log = true; legal: above 0"))
    if step is not None and step <= 0:
        found.append(Problem(f"{key}.step", f"received {step}; legal: above 0"))
    if log and step is not None:
        found.append(
            Problem(f"{key}.step", f"received {step} with log = true; legal: one of the two")
        )
    integer = isinstance(low, int) and isinstance(high, int)
    if integer and isinstance(step, float) and step != int(step):
        found.append(Problem(f"{key}.step", f"received {step} between integers; legal: an integer"))
    if not found and not math.isfinite((high - low) / (step or 1)):
        far = f"received low = {low}, high = {high}" + ("" if step is None else f", step = {step}")
        found.append(Problem(key, f"{far}; legal: fewer values than a number of 64 bits counts"))
    problems.extend(found)
    if found:
        return None
    return Range(name, low, high, integer=integer, log=log, step=step, when=when)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _conditions(key: str, raw: Any, problems: list[Problem]) -> tuple[Condition, ...]:
    if not isinstance(raw, Mapping):
        problems.append(
            Problem(
                f"{key}.when",
                f'received {shown(raw)}; legal: a table, as {{ optimizer = ["sgd"] }}',
            )
        )
        return ()
    return tuple(
        Condition(parent, tuple(values) if isinstance(values, list | tuple) else (values,))
        for parent, values in raw.items()
    )


def _check_conditions(
    dimension: Dimension,
    dimensions: list[Dimension],
    raw: Mapping[str, Any],
    problems: list[Problem],
) -> None:
    parents = {d.name: d for d in dimensions if isinstance(d, Choice) and not d.when}
    parsed = {d.name for d in dimensions}
    for condition in dimension.when:
        key = f"{_key(dimension.name)}.when.{condition.parent}"
        parent = parents.get(condition.parent)
        if condition.parent in raw and condition.parent not in parsed:
            continue  # what is wrong with it is told already
        if condition.parent == dimension.name or (parent is None and condition.parent not in raw):
            legal = [name for name in parents if name != dimension.name]
            problems.append(Problem(key, one_of(condition.parent, legal)))
        elif parent is None:
            problems.append(
                Problem(
                    key,
                    f"received {shown(condition.parent)}; legal: a parameter that is a list and has "
                    "no condition itself",
                )
            )
        elif not condition.values:
            legal = ", ".join(map(shown, parent.values))
            problems.append(Problem(key, f"received []; legal: some of {legal}"))
        else:
            problems.extend(
                Problem(
                    key, f"received {shown(value)}; legal: {', '.join(map(shown, parent.values))}"
                )
                for value in condition.values
                if value not in parent.values
            )
