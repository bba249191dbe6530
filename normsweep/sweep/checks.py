"""Which names a sweep file may use, and the rules between its keys."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pydantic import AfterValidator, ValidationInfo

from normsweep.sweep.arms import Arm, dotted, space_of_all
from normsweep.sweep.problems import (
    Problem,
    must_be,
    one_of,
    refusal,
    shown,
    unknown,
)
from normsweep.sweep.space import Choice, Dimension, Space

if TYPE_CHECKING:
    from normsweep.sweep.schema import Confirm, Model, Sweep

__all__ = [
    "MOST",
    "SEQUENTIAL",
    "Catalog",
    "Reading",
    "cross_checks",
    "known_dataset",
    "known_options",
    "registered",
]

NEEDED = ("normalization", "learning_rate", "optimizer", "epochs")
TRIAL = (*NEEDED, "batch_size")
SEQUENTIAL = 3
"""The rules from which on a confirmation has an analysis after each further seed."""
MOST = 1_000_000
"""Largest number of trials, or of points of a grid: all of them are in memory."""


@dataclass(frozen=True)
class Catalog:
    """Names of the registered components, each with the names of its options."""

    normalizations: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    optimizers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    models: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    datasets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    metrics: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Reading:
    """Context in which pydantic validates a sweep file; a `Sweep` built in Python has none."""

    catalog: Catalog
    valid: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Valid keys by section, so that rules between keys are checked even if other keys have errors."""


def registered(kind: str) -> AfterValidator:
    """A validator: the name is one of the registered components of a kind."""

    def check(name: str, info: ValidationInfo) -> str:
        reading: Reading | None = info.context
        if reading and name not in (names := getattr(reading.catalog, kind)):
            raise refusal(unknown(kind.removesuffix("s"), name, names))
        return name

    return AfterValidator(check)


@AfterValidator
def known_dataset(given: str | tuple[str, ...], info: ValidationInfo) -> str | tuple[str, ...]:
    """A validator: each dataset is registered or an `.npz` file."""
    reading: Reading | None = info.context
    names = (given,) if isinstance(given, str) else given
    if reading and (wrong := [*_unknown_datasets(names, reading.catalog)]):
        raise refusal(*wrong)
    return given


def _unknown_datasets(names: tuple[str, ...], catalog: Catalog) -> Iterator[str]:
    for name in names:
        if "://" in name:
            yield "expected a name or a path ending in .npz, got an address"
        elif name not in catalog.datasets and not name.endswith(".npz"):
            yield unknown("dataset", name, [*catalog.datasets, "a path ending in .npz"])


@AfterValidator
def known_options(given: Mapping[str, Any], info: ValidationInfo) -> Mapping[str, Any]:
    """A validator: the model accepts each option."""
    reading: Reading | None = info.context
    model = str(info.data.get("name"))
    if reading and model in reading.catalog.models:
        options = reading.catalog.models[model]
        wrong = [
            Problem(f"model.options.{name}", unknown(f"option of {model}", name, options))
            for name in given
            if name not in options
        ]
        if wrong:
            raise refusal(*wrong)
    return given


def cross_checks(sweep: Sweep, raw: Mapping[str, Any], catalog: Catalog) -> Iterator[Problem]:
    """Every violated rule between keys; a rule is skipped if one of its keys is invalid itself.

    Args:
        sweep: the sweep with its valid fields only.
        raw: the parsed TOML.
        catalog: the registered names.
    """
    model, search = getattr(sweep, "model", None), getattr(sweep, "search", None)
    space = getattr(search, "space", None)
    if search is None or space is None:
        return
    declared = raw["search"]["space"]
    table, arms = (raw["arms"] or {}) if "arms" in raw else None, getattr(sweep, "arms", ())
    if table is not None:  # if it is invalid, the sweep may have arms of the short form
        arms = [arm for arm in arms if isinstance(table, Mapping) and arm.label in table]
    yield from _needed(declared, table, arms)
    yield from _parameters(space, declared, arms, model, catalog)
    if table is None:
        yield from _arms(sweep, space, declared)
    else:
        for arm in arms:
            yield from _arm(arm, arm.space(space), model, catalog)
    sampler = getattr(search, "sampler", "")
    if sampler == "gp" and find_spec("torch") is None:
        yield Problem("search.sampler", '"gp" needs PyTorch: pip install "normsweep[gp]"')
    if sampler == "grid":
        yield from _grid(space)
        if getattr(search, "longest_every", None) is not None:
            yield Problem(
                "search.longest_every",
                'must not be set with sampler = "grid", which tries all epochs',
            )
    confirm = getattr(sweep, "confirm", None)
    yield from _confirm(confirm, space)
    yield from _seeds(confirm, getattr(sweep, "rules", SEQUENTIAL))
    yield from _compared(arms, confirm, catalog)


def _needed(declared: Mapping[str, Any], table: Any, arms: Sequence[Arm]) -> Iterator[Problem]:
    """A problem for each parameter that neither the space nor every arm has."""
    tables = table.values() if isinstance(table, Mapping) else ()
    named = {name for params in tables if isinstance(params, Mapping) for name in params}
    if table is not None and not arms:
        named.add("normalization")
    for name in NEEDED:
        without = [arm.label for arm in arms if name not in arm.params]
        if name in declared or (name in named and not without):
            continue  # invalid arms are reported by themselves
        lacking = f", which the arm {shown(without[0])} does not fix" if name in named else ""
        message = f"required key is missing: a value, a list or a range{lacking}"
        yield Problem(f"search.space.{name}", message)


def _parameters(
    space: Space,
    declared: Mapping[str, Any],
    arms: Sequence[Arm],
    model: Model | None,
    catalog: Catalog,
) -> Iterator[Problem]:
    """What is wrong with the parameters that the file declares in the space."""
    names, options = _legal(model, catalog)
    whole = space_of_all(space, arms)
    for dimension in (each for each in space if each.name in declared):
        key = f"search.space.{dimension.name}"
        if dimension.name not in names:
            yield Problem(key, unknown("parameter", dimension.name, names))
        elif dimension.name in options:
            yield from _optimizer_option(dimension, whole, catalog)
        if dimension.name in TRIAL and dimension.when:
            yield Problem(
                f"{key}.when",
                f"must not be set, because every trial needs {dimension.name}",
            )
        yield from _values(key, dimension, catalog)


def _arm(arm: Arm, space: Space, model: Model | None, catalog: Catalog) -> Iterator[Problem]:
    """What is wrong with the parameters that an arm fixes; `space`: the arm's."""
    names, options = _legal(model, catalog)
    for name in arm.params:
        key = dotted("arms", arm.label, name)
        if name not in names:
            yield Problem(key, unknown("parameter", name, names))
        elif name in options and (refuse := _refusing(space[name], space, catalog)):
            yield Problem(
                key,
                f"must be an option of the arm's optimizers; not an option of {', '.join(refuse)}",
            )
        yield from _values(key, space[name], catalog)


def _legal(model: Model | None, catalog: Catalog) -> tuple[list[str], set[str]]:
    """The names of all parameters, and those of them that are options of an optimizer."""
    options = {option for options in catalog.optimizers.values() for option in options}
    return [*TRIAL, *sorted(options), *catalog.models.get(getattr(model, "name", ""), ())], options


def _values(key: str, dimension: Dimension, catalog: Catalog) -> Iterator[Problem]:
    """What is wrong with the values of a parameter."""
    match dimension.name:
        case "normalization":
            yield from _registered(key, dimension, catalog.normalizations)
        case "optimizer":
            yield from _registered(key, dimension, catalog.optimizers)
        case "learning_rate" | "epochs" | "batch_size":
            yield from _positive(key, dimension, integer=dimension.name != "learning_rate")


def _registered(key: str, dimension: Dimension, registered: Mapping[str, Any]) -> Iterator[Problem]:
    if not isinstance(dimension, Choice):
        yield Problem(key, f"expected a list of {', '.join(registered)}; got a range")
        return
    for value in dimension.values:
        if value not in registered:
            yield Problem(key, unknown(dimension.name, value, registered))


def _optimizer_option(dimension: Dimension, space: Space, catalog: Catalog) -> Iterator[Problem]:
    if refuse := _refusing(dimension, space, catalog):
        takes = [name for name, options in catalog.optimizers.items() if dimension.name in options]
        yield Problem(
            f"search.space.{dimension.name}",
            f"must have when = {{ optimizer = {shown(takes)} }}; not an option of {', '.join(refuse)}",
        )


def _refusing(dimension: Dimension, space: Space, catalog: Catalog) -> list[str]:
    """The optimizers for which a parameter is set although it is not an option of theirs."""
    if "optimizer" not in space or not isinstance(space["optimizer"], Choice):
        return []
    searched = [str(value) for value in space.choices("optimizer")]
    for condition in dimension.when:
        if condition.parent == "optimizer":
            searched = [name for name in searched if name in condition.values]
    known = [name for name in searched if name in catalog.optimizers]
    return [name for name in known if dimension.name not in catalog.optimizers[name]]


def _positive(key: str, dimension: Dimension, *, integer: bool) -> Iterator[Problem]:
    kind = "integers of at least 1" if integer else "numbers above 0"
    ends = dimension.values if isinstance(dimension, Choice) else (dimension.low, dimension.high)
    whole = not integer or (
        dimension.integer
        if not isinstance(dimension, Choice)
        else all(type(v) is int for v in ends)
    )
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) and v > 0 for v in ends)
    if not whole or not numbers:
        yield Problem(
            key,
            must_be(kind, ends[0] if isinstance(dimension, Choice) and len(ends) == 1 else ends),
        )


def _arms(sweep: Sweep, space: Space, declared: Mapping[str, Any]) -> Iterator[Problem]:
    compare, reference = getattr(sweep, "compare", None), getattr(sweep, "reference", None)
    lists = [d.name for d in space if isinstance(d, Choice) and not d.when]
    reported = compare in NEEDED and compare not in declared
    reported |= compare in ("normalization", "optimizer") and compare not in lists
    if compare is None or reported or (compare in declared and compare not in space):
        return
    if compare not in lists:
        yield Problem("compare", one_of(compare, lists))
        return
    if compare == "epochs":
        yield Problem(
            "compare",
            "must be another parameter than epochs: a curve contains the shorter ones",
        )
        return
    arms = space.choices(compare)
    if len(arms) < 2:
        yield Problem(
            f"search.space.{compare}", "must have at least two values to compare, got one"
        )
    if reference is not None and str(reference) not in map(str, arms):
        yield Problem("reference", one_of(reference, arms))


def _grid(space: Space) -> Iterator[Problem]:
    for dimension in space:
        if dimension.count is None:
            yield Problem(
                f"search.space.{dimension.name}",
                'must have a step or be a list with sampler = "grid", got a range of real numbers',
            )
    points = math.prod(dimension.count or 1 for dimension in space)
    if points > MOST:
        many = f"{points:,}" if points < 10**15 else "more than 10^15"
        yield Problem(
            "search.space",
            f'must have at most {MOST:,} points with sampler = "grid", got {many}',
        )


def _compared(arms: Sequence[Arm], confirm: Confirm | None, catalog: Catalog) -> Iterator[Problem]:
    """The baseline's optimizer must have the compared option, or all arms would be the same."""
    optimizer = getattr(getattr(confirm, "baseline", None), "optimizer", None)
    options = {name: None for arm in arms if "optimizer" not in arm.params for name in arm.params}
    for compare in options:
        takes = [name for name, options in catalog.optimizers.items() if compare in options]
        if not takes or optimizer not in catalog.optimizers or optimizer in takes:
            continue
        yield Problem(
            "confirm.baseline.optimizer",
            f"must be an optimizer with the compared option {compare} ({', '.join(takes)}), "
            f"got {shown(optimizer)}",
        )


def _seeds(confirm: Confirm | None, rules: int) -> Iterator[Problem]:
    seeds = getattr(confirm, "seeds", None)
    given = "seeds" in getattr(confirm, "model_fields_set", ())
    if given and seeds is not None and rules < SEQUENTIAL and not seeds.fixed:
        yield Problem("confirm.seeds", f"must be a number with rules = {rules}")


def _confirm(confirm: Confirm | None, space: Space) -> Iterator[Problem]:
    baseline = getattr(confirm, "baseline", None)
    epochs, longest = getattr(baseline, "epochs", None), getattr(confirm, "epochs", None)
    if longest is None and "epochs" in space:
        longest = space["epochs"].largest
    given = "epochs" in getattr(baseline, "model_fields_set", ())
    if given and isinstance(longest, int) and epochs is not None and epochs > longest:
        yield Problem(
            "confirm.baseline.epochs",
            must_be(f"at most {longest}, the epochs of the confirmation", epochs),
        )
