"""Which names a sweep file may use, and the rules between its keys."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pydantic import AfterValidator, ValidationInfo

from normsweep.sweep import schemes
from normsweep.sweep.arms import Arm
from normsweep.sweep.parameter_checks import matched, of_arm, of_space
from normsweep.sweep.parameters import AUTOENCODER, REGRESSION
from normsweep.sweep.problems import (
    Problem,
    expected,
    must_be,
    one_of,
    refusal,
    shown,
    unknown,
)
from normsweep.sweep.space import Choice, Space

if TYPE_CHECKING:
    from normsweep.sweep.schema import Confirm, Sweep

__all__ = [
    "FILES",
    "MOST",
    "SEQUENTIAL",
    "TABLES",
    "Catalog",
    "Reading",
    "cross_checks",
    "known_dataset",
    "known_options",
    "registered",
]

TABLES = (".csv", ".parquet")
FILES = (".npz", *TABLES)
"""Endings of files with data."""
NEEDED = ("normalization", "learning_rate", "optimizer", "epochs")
UNTUNED = ("more_epochs", "equal_epochs")
"""Questions that compare the baselines only."""
SEQUENTIAL = 3
"""The rules from which on a confirmation has an analysis after each further seed."""
MOST = 1_000_000
"""Largest number of trials, or of points of a grid: all of them are in memory."""


@dataclass(frozen=True)
class Catalog:
    """Names of the registered components, each with the names of its options."""

    normalizations: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    scheme_values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What the options of normalizations may be, as of `schemes.problem`."""
    optimizers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    schedules: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    callbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    of_length: Mapping[str, str] = field(default_factory=dict)
    """Schedules that depend on the number of epochs, each with the option with which they do not."""
    losses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    matched: tuple[str, ...] = ()
    """Optimizers whose step for scaled inputs is known."""
    models: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    datasets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    metrics: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """The smallest and the largest value of each metric."""
    switches: frozenset[str] = frozenset()
    """Options that are true or false."""


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
        if reading is None:
            return name
        names = getattr(reading.catalog, kind)
        if kind == "normalizations":
            wrong = schemes.problem(name, names, reading.catalog.scheme_values)
        else:
            wrong = "" if name in names else unknown(kind.removesuffix("s"), name, names)
        if wrong:
            raise refusal(wrong)
        return name

    return AfterValidator(check)


@AfterValidator
def known_dataset(given: str | tuple[str, ...], info: ValidationInfo) -> str | tuple[str, ...]:
    """A validator: each dataset is registered or a file."""
    reading: Reading | None = info.context
    names = (given,) if isinstance(given, str) else given
    if reading and (wrong := [*_unknown_datasets(names, reading.catalog)]):
        raise refusal(*wrong)
    return given


def _unknown_datasets(names: tuple[str, ...], catalog: Catalog) -> Iterator[str]:
    for name in names:
        if "://" in name:
            yield f"expected a name or a path ending in {', '.join(FILES)}, got an address"
        elif "\n" in name or "\t" in name:
            yield (
                f"expected a path without tabs and line breaks, got {shown(name)}; put a path with backslashes "
                "into single quotes"
            )
        elif name not in catalog.datasets and not name.endswith(FILES):
            path = f"a path ending in {', '.join(FILES)}"
            yield unknown("dataset", name, [*catalog.datasets, path])


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
        wrong += [
            Problem(f"model.options.{name}", expected("true or false", value))
            for name, value in given.items()
            if name in reading.catalog.switches and not isinstance(value, bool)
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
    yield from of_space(space, declared, arms, model, catalog)
    yield from _switches(space, arms, catalog)
    if table is None:
        yield from _arms(sweep, space, declared)
    else:
        for arm in arms:
            yield from of_arm(arm, arm.space(space), model, catalog)
    sampler = getattr(search, "sampler", "")
    if sampler == "gp" and find_spec("torch") is None:
        yield Problem("search.sampler", "\"gp\" needs PyTorch: pip install 'normsweep[gp]'")
    if sampler == "grid":
        yield from _grid(space)
        if getattr(search, "longest_every", None) is not None:
            yield Problem(
                "search.longest_every",
                'must not be set with sampler = "grid", which tries all epochs',
            )
    confirm = getattr(sweep, "confirm", None)
    yield from matched(arms, getattr(sweep, "reference", None), space, confirm, catalog)
    yield from _confirm(confirm, space)
    yield from _margin(sweep, confirm, catalog)
    yield from _seeds(confirm, getattr(sweep, "rules", SEQUENTIAL))
    yield from _repeats(sweep)
    yield from _compared(arms, confirm, catalog)
    yield from _ignored(sweep, arms, confirm)


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


def _switches(space: Space, arms: Sequence[Arm], catalog: Catalog) -> Iterator[Problem]:
    """An option that is true or false has no other values: Python takes every text for true."""
    given = [("search.space", d.name, d.values) for d in space if isinstance(d, Choice)]
    for arm in arms:
        given += [(f"arms.{arm.label}", name, (value,)) for name, value in arm.params.items()]
    for table, name, values in given:
        wrong = [value for value in values if not isinstance(value, bool)]
        if name in catalog.switches and wrong:
            yield Problem(f"{table}.{name}", expected("true or false", wrong[0]))


def _ignored(sweep: Sweep, arms: Sequence[Arm], confirm: Confirm | None) -> Iterator[Problem]:
    """Keys that would have no effect."""
    data, baseline = getattr(sweep, "data", None), getattr(confirm, "baseline", None)
    if data and hasattr(data, "dataset") and not any(n.endswith(TABLES) for n in data.candidates):
        for key in sorted(data.model_fields_set & {"target_column", "test_split"}):
            message = f"must not be set without a file that ends in {' or '.join(TABLES)}"
            yield Problem(f"data.{key}", message)
    every = arms and all("normalization" in arm.params for arm in arms)
    if every and getattr(baseline, "normalization", None) is not None:
        message = (
            "must not be set with arms that are normalizations: each has the baseline with its own"
        )
        yield Problem("confirm.baseline.normalization", message)


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


def _repeats(sweep: Sweep) -> Iterator[Problem]:
    """Repeats of the tuning are for a primary question about tuning, under today's rules."""
    repeats = getattr(getattr(sweep, "search", None), "repeats", 1)
    primary = getattr(getattr(sweep, "confirm", None), "primary", "")
    if repeats == 1:
        return
    if primary in UNTUNED:
        rule = f"1 with confirm.primary = {shown(primary)}, which compares nothing tuned"
        yield Problem("search.repeats", must_be(rule, repeats))
    if (rules := getattr(sweep, "rules", SEQUENTIAL)) < SEQUENTIAL:
        yield Problem("search.repeats", must_be(f"1 with rules = {rules}", repeats))


def _margin(sweep: Sweep, confirm: Confirm | None, catalog: Catalog) -> Iterator[Problem]:
    """No difference in a metric is larger than its range; a share is one of a value that is never negative."""
    margin, name = getattr(confirm, "margin", None), getattr(sweep, "metric", "")
    task = getattr(getattr(sweep, "data", None), "task", None)
    declared = "metric" in sweep.model_fields_set
    if task in (REGRESSION, AUTOENCODER) and not declared:
        name = ""  # not the default of a classification
    low, high = catalog.ranges.get(name, (0, math.inf))
    if isinstance(margin, str) and low < 0:
        message = must_be(f"in the unit of {name}, which may be negative", margin)
        yield Problem("confirm.margin", message)
    elif isinstance(margin, float) and margin >= high - low:
        found = task is None and not declared
        hint = '; of a regression set data.task = "regression"' if found else ""
        yield Problem("confirm.margin", must_be(f"below {high - low:g}", margin) + hint)


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
