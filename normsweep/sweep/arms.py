"""Arms: named bundles of fixed parameters, which a study compares.

    [arms]
    "raw pixels" = { normalization = "none" }
    "÷255" = { normalization = "unit" }

The name in the file is the label, which people read. What is stored is the key, which is made of the
parameters: a study goes on when its arms are relabelled. `compare` with a list of the search space is
the short form: one arm for each value, with the value as key and label.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from normsweep.sweep import schemes
from normsweep.sweep.parameters import INPUT_RATE, PARAMETERS
from normsweep.sweep.problems import Problem, expected, must_be, one_of, quoted, shown
from normsweep.sweep.space import Choice, Scalar, Space

__all__ = [
    "ARM",
    "NORMALIZATION",
    "Arm",
    "arms_by",
    "bundles",
    "compared",
    "dotted",
    "equal_arms",
    "fixed_by_all",
    "relabelled",
    "space_of_all",
    "with_arms",
]

ARM = "arm"
"""What is compared if the arms do not all fix one and the same parameter."""
NORMALIZATION = "normalization"
NAMED = (NORMALIZATION, "optimizer")
"""Parameters whose values say by themselves what they are."""
LONGEST = 60
"""Characters of a label."""
MOST_ARMS = 12
BARE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Arm:
    """One side of the comparison: what all of its trials have in common."""

    key: str
    """Identifies the arm in storage and MLflow; it depends on the parameters only."""
    label: str
    """Its name in tables, figures, MLflow and the report."""
    params: Mapping[str, Scalar]
    """The parameters that it fixes; all others are searched."""

    @property
    def described(self) -> str:
        """Its label and what it does: `raw pixels (none)`; the label alone if it says the same."""
        does = ", ".join(_described(self.params))
        alone = len(self.params) == 1
        unnamed = self.label in (does, _key(self.params, alone), _key(self.params, False))
        return self.label if unnamed else f"{self.label} ({does})"

    def searched(self, params: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """A trial's parameters without those that the arm fixes."""
        return {name: value for name, value in params.items() if name not in self.params}

    def space(self, space: Space) -> Space:
        """The search space of the arm: each parameter that it fixes has a single value."""
        own = {name: Choice(name, (value,)) for name, value in self.params.items()}
        new = (each for name, each in own.items() if name not in space)
        return Space((*new, *(own.get(dimension.name, dimension) for dimension in space)))


def _described(params: Mapping[str, Scalar]) -> Iterator[str]:
    for name in _in_order(params):
        value = str(params[name]).lower() if isinstance(params[name], bool) else params[name]
        if name in PARAMETERS:
            yield PARAMETERS[name].described(value)
        elif name == NORMALIZATION:
            yield schemes.described(str(value))
        else:
            yield str(value) if name in NAMED else f"{name.replace('_', ' ')} {value}"


def _in_order(params: Iterable[str]) -> list[str]:
    return sorted(params, key=lambda name: (name != NORMALIZATION, name))


def compared(bundles: Sequence[Mapping[str, Scalar]]) -> str:
    """The parameter that arms differ in, if each fixes this one only; otherwise `arm`."""
    names = {tuple(params) for params in bundles}
    return next(iter(names))[0] if len(names) == 1 and len(next(iter(names))) == 1 else ARM


def bundles(params: Sequence[Mapping[str, Scalar]], labels: Sequence[str] = ()) -> tuple[Arm, ...]:
    """Arms with these parameters, in this order; without labels, their keys are the labels."""
    alone = compared(params) != ARM
    keys = [_key(each, alone) for each in params]
    return tuple(map(Arm, keys, labels or keys, map(dict, params)))  # type: ignore[arg-type]


def _key(params: Mapping[str, Scalar], alone: bool) -> str:
    """The value alone if all arms fix the same parameter, as in the short form."""
    if alone:
        return str(next(iter(params.values())))
    return " ".join(
        str(params[name]) if name == NORMALIZATION else f"{name}={params[name]}"
        for name in _in_order(params)
    )


def arms_by(compare: str, space: Space, labels: Sequence[str] = ()) -> tuple[Arm, ...]:
    """The arms of the short form: a value of the compared parameter each."""
    if compare not in space or not isinstance(space[compare], Choice):
        return ()
    return bundles([{compare: value} for value in space.choices(compare)], labels)


def fixed_by_all(arms: Sequence[Arm]) -> tuple[str, ...]:
    """The parameters that every arm fixes."""
    names = list(arms[0].params) if arms else []
    return tuple(name for name in names if all(name in arm.params for arm in arms))


def space_of_all(space: Space, arms: Iterable[Arm]) -> Space:
    """The space in which the trials of all arms are."""
    for arm in arms:
        new = (Choice(name, (value,)) for name, value in arm.params.items() if name not in space)
        space = Space((*new, *space.including(arm.params)))
    return space


def equal_arms(arms: Sequence[Arm], same: Mapping[str, str]) -> dict[str, str]:
    """The keys of arms that are equal to another one, with that one's.

    `same`: normalizations that are equivalent to another one, with that one.
    """
    kept = {_items(arm.params): arm.key for arm in arms if _normalization(arm) not in same}
    equal: dict[str, str] = {}
    for arm in arms:
        twin = same.get(_normalization(arm))
        if twin is not None and (found := kept.get(_items({**arm.params, NORMALIZATION: twin}))):
            equal[arm.key] = found
    return equal


def _normalization(arm: Arm) -> str:
    return str(arm.params.get(NORMALIZATION))


def _items(params: Mapping[str, Scalar]) -> frozenset[tuple[str, Scalar]]:
    return frozenset(params.items())


def dotted(*names: str) -> str:
    """A key of a TOML file, with quotes where they are needed: `arms."raw pixels".normalization`."""
    return ".".join(name if BARE.fullmatch(name) else quoted(name) for name in names)


def with_arms(raw: Mapping[str, Any], problems: list[Problem]) -> Mapping[str, Any]:
    """The tables of a sweep with `[arms]` as it is understood; errors are added to `problems`.

    The parameters that every arm fixes are lists of the search space, as in the short form, and labels
    that other keys use are the arms' keys.
    """
    if "arms" not in raw:
        return raw
    before = len(problems)
    arms = _parsed(raw["arms"], problems)
    if "compare" in raw:
        message = f"must not be set with [arms], got {shown(raw['compare'])}; remove one of the two"
        problems.append(Problem("compare", message))
    rest = {key: value for key, value in raw.items() if key not in ("arms", "compare")}
    if len(problems) > before or not _spaced(raw, arms, problems):
        return rest
    compare, fixed = compared([arm.params for arm in arms]), fixed_by_all(arms)
    lists = {name: list(dict.fromkeys(arm.params[name] for arm in arms)) for name in fixed}
    search = {**raw["search"], "space": {**lists, **raw["search"]["space"]}}
    rest |= {"arms": arms, "compare": compare, "search": search}
    if "reference" in raw:
        rest["reference"] = _reference(raw["reference"], arms, compare, problems)
    return rest | _by_key(raw, {arm.label: arm.key for arm in arms})


def _parsed(raw: Any, problems: list[Problem]) -> tuple[Arm, ...]:
    if not isinstance(raw, Mapping):
        what = 'a table of arms such as "raw pixels" = { normalization = "none" }'
        problems.append(Problem("arms", expected(what, raw)))
        return ()
    before = len(problems)
    raw = {label: _with_text(params) for label, params in raw.items()}
    for label, params in raw.items():
        problems.extend(_problems_of(label, params))
    if len(raw) < 2:
        few = f"only {shown(*raw)}" if raw else "none"
        problems.append(Problem("arms", f"must have at least two arms to compare, got {few}"))
    if len(raw) > MOST_ARMS:
        problems.append(Problem("arms", f"must have at most {MOST_ARMS} arms, got {len(raw)}"))
    if len(problems) > before:
        return ()
    arms = bundles(list(raw.values()), list(raw))
    problems.extend(_clashes(arms))
    return arms


def _with_text(params: Any) -> Any:
    """An arm's parameters with its schemes by column as they are stored."""
    by_column = isinstance(params, Mapping) and params.get(NORMALIZATION)
    if not isinstance(by_column, Mapping) or not by_column:
        return params
    return {**params, NORMALIZATION: schemes.as_text(by_column)}


def _problems_of(label: str, params: Any) -> Iterator[Problem]:
    """What is wrong with an arm by itself, whatever the parameters are."""
    key = dotted("arms", label)
    if not label or label != label.strip() or not label.isprintable():
        what = "a label of printable characters, without spaces at its ends"
        yield Problem(key, expected(what, label))
    if len(label) > LONGEST:
        yield Problem(key, f"must have at most {LONGEST} characters, got {len(label)}")
    if not isinstance(params, Mapping) or not params:
        what = 'a table of parameters such as { normalization = "none" }'
        yield Problem(key, expected(what, params))
        return
    for name, value in params.items():
        own = dotted("arms", label, name)
        if name == "epochs":
            yield Problem(
                own, "must not be fixed: a curve contains the shorter ones; set [confirm]"
            )
        elif not isinstance(value, bool | int | float | str):
            yield Problem(own, expected("a string, a number or a boolean", value))
        elif isinstance(value, float) and not math.isfinite(value):
            yield Problem(own, expected("a finite number", value))


def _clashes(arms: Sequence[Arm]) -> Iterator[Problem]:
    """What is wrong with arms beside each other."""
    seen: dict[str, Arm] = {}
    for arm in arms:
        key = dotted("arms", arm.label)
        twin = seen.setdefault(arm.key, arm)
        if twin is not arm:
            does = shown(dict(arm.params))
            yield Problem(
                key, f"must differ from {shown(twin.label)}, got the same parameters {does}"
            )
        other = next((o for o in arms if o is not arm and o.key == arm.label), None)
        if other is not None:
            yield Problem(
                key,
                must_be(
                    f"another label, as {shown(other.label)} is stored by this name", arm.label
                ),
            )
    for name in {name: None for arm in arms for name in arm.params if name != INPUT_RATE}:
        kinds = {_kind(arm.params[name]): arm for arm in arms if name in arm.params}
        if len(kinds) > 1:
            arm = list(kinds.values())[-1]
            yield Problem(
                dotted("arms", arm.label, name),
                expected("values of one type in all arms", arm.params[name]),
            )


def _kind(value: Scalar) -> type:
    return float if type(value) is int else type(value)


def _spaced(raw: Mapping[str, Any], arms: Sequence[Arm], problems: list[Problem]) -> bool:
    """Whether there is a search space; what every arm fixes must not be in it."""
    search = raw.get("search")
    space = search.get("space") if isinstance(search, Mapping) else None
    if not isinstance(space, Mapping):
        return False  # reported as a missing key
    twice = [name for name in fixed_by_all(arms) if name in space]
    problems.extend(
        Problem(
            f"search.space.{name}",
            f"must not be searched, because every arm of [arms] fixes it, got {shown(space[name])}; "
            "remove it here",
        )
        for name in twice
    )
    return not twice


def _reference(given: Any, arms: Sequence[Arm], compare: str, problems: list[Problem]) -> Any:
    """The reference, given by its label or its key, as it is stored."""
    for arm in arms:
        if str(given) in (arm.label, arm.key):
            return arm.key if compare == ARM else arm.params[compare]
    problems.append(Problem("reference", one_of(given, [arm.label for arm in arms])))
    return given


def _by_key(raw: Mapping[str, Any], keys: Mapping[str, str]) -> dict[str, Any]:
    """`[model]` with its options by arm under the arms' keys."""
    model = raw.get("model")
    options = model.get("options") if isinstance(model, Mapping) else None
    if not isinstance(options, Mapping) or not isinstance(model, Mapping):
        return {}
    by_key = {
        name: {keys.get(arm, arm): each for arm, each in value.items()}
        if isinstance(value, Mapping)
        else value
        for name, value in options.items()
    }
    return {"model": {**model, "options": by_key}}


def relabelled(arms: Iterable[Arm]) -> tuple[Arm, ...]:
    """The arms with their labels as keys."""
    return tuple(replace(arm, key=arm.label) for arm in arms)
