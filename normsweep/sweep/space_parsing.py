"""Parse `[search.space]`: TOML values → `Space`, with a list of all problems."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from normsweep.sweep.parameters import INPUT_RATE
from normsweep.sweep.problems import Problem, expected, must_be, one_of, shown, unknown_key
from normsweep.sweep.space import Choice, Condition, Dimension, Range, Space

__all__ = ["KEYS", "parse_space"]

FORMS = "a value, a list of values, or a table { low, high, log, step, when }"
KEYS = {
    "low": "lower end of a range, included; the values are integers if both ends are",
    "high": "upper end of a range, included",
    "log": "whether to sample uniformly in the logarithm; default: false",
    "step": "distance between values, counted from `low`; not with `log`",
    "choices": "list of values, for a parameter with `when`; otherwise write the list alone",
    "value": "single value, for a parameter with `when`; otherwise write the value alone",
    "sample": "of epochs only: whether each trial samples a number of epochs; default: false, every trial "
    "trains for the largest and is read at every epoch",
    "when": 'values of another parameter at which this one applies, e.g. `{ optimizer = ["sgd"] }`',
}
"""The keys of a parameter that is written as a table, each with its meaning."""


def parse_space(raw: Mapping[str, Any], problems: list[Problem]) -> Space:
    """The space that a `[search.space]` table describes; errors are added to `problems`."""
    parsed = [_dimension(name, value, problems) for name, value in raw.items()]
    dimensions = [dimension for dimension in parsed if dimension is not None]
    for dimension in dimensions:
        _check_conditions(dimension, dimensions, raw, problems)
    # A parameter with an invalid condition is left out, so that no other rule reports it again.
    wrong = tuple(problem.key for problem in problems)
    kept = [d for d in dimensions if not any(k.startswith(f"{_key(d.name)}.when") for k in wrong)]
    return Space(tuple(sorted(kept, key=lambda dimension: len(dimension.when))))


def _key(name: str) -> str:
    return f"search.space.{name}"


def _dimension(name: str, raw: Any, problems: list[Problem]) -> Dimension | None:
    dimension = _parsed(name, raw, problems)
    sample = isinstance(raw, Mapping) and _sample(name, raw, problems)
    return replace(dimension, sample=True) if dimension is not None and sample else dimension


def _sample(name: str, raw: Mapping[str, Any], problems: list[Problem]) -> bool:
    sample, key = raw.get("sample", False), f"{_key(name)}.sample"
    if "sample" in raw and name != "epochs":
        problems.append(Problem(key, "must be set for epochs only; other parameters are sampled"))
    elif not isinstance(sample, bool):
        problems.append(Problem(key, expected("true or false", sample)))
    return sample is True


def _parsed(name: str, raw: Any, problems: list[Problem]) -> Dimension | None:
    key = _key(name)
    if not isinstance(raw, Mapping):
        values = raw if isinstance(raw, list | tuple) else (raw,)
        return _choice(name, key, values, (), problems)
    unknown = [k for k in raw if k not in KEYS]
    problems += (Problem(f"{key}.{k}", unknown_key(k, KEYS)) for k in unknown)
    when = _conditions(key, raw.get("when", {}), problems)
    kinds = [k for k in ("choices", "value", "low") if k in raw]
    if len(kinds) != 1 or (kinds == ["low"] and "high" not in raw):
        if not unknown or len(kinds) > 1:
            problems.append(Problem(key, expected(f"{FORMS} or {{ choices, when }}", raw)))
        return None
    if kinds == ["low"]:
        return _range(name, key, raw, when, problems)
    stray = [k for k in ("high", "log", "step") if k in raw]
    if stray:
        problems.append(
            Problem(f"{key}.{stray[0]}", "must be used with a range { low, high }, got a list")
        )
        return None
    values = raw["choices"] if kinds == ["choices"] else (raw["value"],)
    return _choice(name, key, values, when, problems)


def _choice(
    name: str, key: str, values: Any, when: tuple[Condition, ...], problems: list[Problem]
) -> Choice | None:
    if not isinstance(values, list | tuple) or not values:
        problems.append(Problem(key, expected("a list of at least one value", values)))
        return None
    if not all(isinstance(value, bool | int | float | str) for value in values):
        problems.append(Problem(key, expected("strings, numbers or booleans", values)))
        return None
    if name != INPUT_RATE and (
        len({type(value) for value in values} - {int, float})
        + any(type(value) in (int, float) for value in values)
        > 1
    ):
        problems.append(Problem(key, expected("values of one type", values)))
        return None
    if any(isinstance(value, float) and not math.isfinite(value) for value in values):
        problems.append(Problem(key, expected("finite numbers", values)))
        return None
    twice = [value for i, value in enumerate(values) if value in values[:i]]
    if twice:
        problems.append(Problem(key, f"must have each value once, got {shown(twice[0])} twice"))
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
            found.append(Problem(f"{key}.{end}", expected("a finite number", value)))
    if not isinstance(log, bool):
        found.append(Problem(f"{key}.log", expected("true or false", log)))
    if found:
        problems.extend(found)
        return None
    if low > high:
        found.append(Problem(key, f"low must be at most high, got low = {low} and high = {high}"))
    if log and low <= 0:
        found.append(Problem(f"{key}.low", f"must be above 0 with log = true, got {low}"))
    if step is not None and step <= 0:
        found.append(Problem(f"{key}.step", must_be("above 0", step)))
    if log and step is not None:
        found.append(Problem(f"{key}.step", "must not be set with log = true"))
    integer = isinstance(low, int) and isinstance(high, int)
    if integer and isinstance(step, float) and step != int(step):
        found.append(Problem(f"{key}.step", f"must be an integer if low and high are, got {step}"))
    if not found and not math.isfinite((high - low) / (step or 1)):
        far = f"low = {low}, high = {high}" + ("" if step is None else f", step = {step}")
        found.append(Problem(key, f"must have fewer than 2^63 values, got {far}"))
    problems.extend(found)
    if found:
        return None
    return Range(name, low, high, integer=integer, log=log, step=step, when=when)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _conditions(key: str, raw: Any, problems: list[Problem]) -> tuple[Condition, ...]:
    if not isinstance(raw, Mapping):
        problems.append(
            Problem(f"{key}.when", expected('a table such as { optimizer = ["sgd"] }', raw))
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
            continue  # already reported
        if condition.parent == dimension.name or (parent is None and condition.parent not in raw):
            others = [name for name in parents if name != dimension.name]
            problems.append(Problem(key, one_of(condition.parent, others)))
        elif parent is None:
            problems.append(
                Problem(
                    key,
                    expected("a parameter that is a list without a condition", condition.parent),
                )
            )
        elif not condition.values:
            values = ", ".join(map(shown, parent.values))
            problems.append(Problem(key, f"expected one or more of {values}; got []"))
        else:
            problems.extend(
                Problem(key, one_of(value, parent.values))
                for value in condition.values
                if value not in parent.values
            )
