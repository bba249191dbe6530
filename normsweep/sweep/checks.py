"""The rules that hold between the keys of a sweep file, and the names that are legal in it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from normsweep.sweep.problems import Problem, nearest, one_of, shown
from normsweep.sweep.schema import MOST, Confirm, Data, Model, Sweep
from normsweep.sweep.space import Choice, Dimension, Space

__all__ = ["Catalog", "cross_checks"]

NEEDED = ("normalization", "learning_rate", "optimizer", "epochs")
TRIAL = (*NEEDED, "batch_size")


@dataclass(frozen=True)
class Catalog:
    """Registered names, handed in by whoever knows the parts, each with the names of the options that it takes."""

    normalizations: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    optimizers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    models: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    datasets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    metrics: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def cross_checks(sweep: Sweep, raw: Mapping[str, Any], catalog: Catalog) -> Iterator[Problem]:
    """Every mistake between keys, as far as the keys that a rule needs are legal themselves.

    Args:
        sweep: the sweep with its legal fields; the others are not there.
        raw: the file as TOML gave it.
        catalog: the registered names.
    """
    metric = getattr(sweep, "metric", None)
    if metric is not None and metric not in catalog.metrics:
        yield Problem("metric", one_of(metric, catalog.metrics))
    model, data = getattr(sweep, "model", None), getattr(sweep, "data", None)
    if model is not None and hasattr(model, "name"):
        yield from _model(model, catalog)
    if data is not None and hasattr(data, "dataset"):
        yield from _datasets(data, catalog)
    search = getattr(sweep, "search", None)
    space = getattr(search, "space", None)
    if search is None or space is None:
        return
    declared = raw["search"]["space"]
    yield from (
        Problem(f"search.space.{name}", "missing; legal: a value, a list or a range")
        for name in NEEDED
        if name not in declared
    )
    yield from _parameters(space, model, catalog)
    yield from _arms(sweep, space, declared)
    if getattr(search, "sampler", "") == "grid":
        yield from _grid(space)
        if getattr(search, "longest_every", None) is not None:
            yield Problem(
                "search.longest_every",
                'received with sampler = "grid", which tries all epochs; legal: another sampler',
            )
    confirm = getattr(sweep, "confirm", None)
    if "confirm" in raw:
        yield from _confirm(confirm, space, catalog)
    yield from _compared(getattr(sweep, "compare", ""), confirm, catalog)


def _model(model: Model, catalog: Catalog) -> Iterator[Problem]:
    if model.name not in catalog.models:
        yield Problem("model.name", one_of(model.name, catalog.models))
        return
    legal = catalog.models[model.name]
    for option in model.options:
        if option not in legal:
            hint = nearest(option, legal)
            takes = ", ".join(legal) or "none"
            yield Problem(
                f"model.options.{option}",
                f"received an unknown option; legal for {model.name}: {takes}{hint}",
            )


def _datasets(data: Data, catalog: Catalog) -> Iterator[Problem]:
    for name in data.candidates:
        if "://" in name:
            yield Problem(
                "data.dataset", "received an address; legal: a name, or a path ending in .npz"
            )
        elif name not in catalog.datasets and not name.endswith(".npz"):
            legal = [*catalog.datasets, "a path ending in .npz"]
            yield Problem("data.dataset", one_of(name, legal))


def _parameters(space: Space, model: Model | None, catalog: Catalog) -> Iterator[Problem]:
    model_options = catalog.models.get(getattr(model, "name", ""), ())
    optimizer_options = {option for options in catalog.optimizers.values() for option in options}
    legal = [*TRIAL, *sorted(optimizer_options), *model_options]
    for dimension in space:
        key = f"search.space.{dimension.name}"
        if dimension.name not in legal:
            yield Problem(key, one_of(dimension.name, legal))
        elif dimension.name in optimizer_options:
            yield from _optimizer_option(dimension, space, catalog)
        if dimension.name in TRIAL and dimension.when:
            yield Problem(
                f"{key}.when",
                f"received a condition; legal: none, every trial needs {dimension.name}",
            )
    for name, registered in (
        ("normalization", catalog.normalizations),
        ("optimizer", catalog.optimizers),
    ):
        yield from _registered(name, space, registered)
    for name in ("learning_rate", "epochs", "batch_size"):
        if name in space:
            yield from _positive(space[name], integer=name != "learning_rate")


def _registered(name: str, space: Space, registered: Mapping[str, Any]) -> Iterator[Problem]:
    if name not in space:
        return
    key = f"search.space.{name}"
    dimension = space[name]
    if not isinstance(dimension, Choice):
        yield Problem(key, f"received a range; legal: a list of {', '.join(registered)}")
        return
    for value in dimension.values:
        if value not in registered:
            yield Problem(key, one_of(value, registered))


def _optimizer_option(dimension: Dimension, space: Space, catalog: Catalog) -> Iterator[Problem]:
    if "optimizer" not in space or not isinstance(space["optimizer"], Choice):
        return
    searched = [str(value) for value in space.choices("optimizer")]
    for condition in dimension.when:
        if condition.parent == "optimizer":
            searched = [name for name in searched if name in condition.values]
    refuse = [o for o in searched if dimension.name not in catalog.optimizers.get(o, ())]
    refuse = [name for name in refuse if name in catalog.optimizers]
    if refuse:
        takes = [name for name, options in catalog.optimizers.items() if dimension.name in options]
        yield Problem(
            f"search.space.{dimension.name}",
            f"received for {', '.join(refuse)}, which does not take it; "
            f"legal: when = {{ optimizer = {shown(takes)} }}",
        )


def _positive(dimension: Dimension, *, integer: bool) -> Iterator[Problem]:
    kind = "whole numbers from 1 up" if integer else "numbers above 0"
    ends = dimension.values if isinstance(dimension, Choice) else (dimension.low, dimension.high)
    whole = not integer or (
        dimension.integer
        if not isinstance(dimension, Choice)
        else all(type(v) is int for v in ends)
    )
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) and v > 0 for v in ends)
    if not whole or not numbers:
        yield Problem(f"search.space.{dimension.name}", f"received {shown(ends)}; legal: {kind}")


def _arms(sweep: Sweep, space: Space, declared: Mapping[str, Any]) -> Iterator[Problem]:
    compare, reference = getattr(sweep, "compare", None), getattr(sweep, "reference", None)
    lists = [d.name for d in space if isinstance(d, Choice) and not d.when]
    told = compare in NEEDED and compare not in declared
    told |= compare in ("normalization", "optimizer") and compare not in lists
    if compare is None or told or (compare in declared and compare not in space):
        return
    if compare not in lists:
        yield Problem("compare", one_of(compare, lists))
        return
    if compare == "epochs":
        yield Problem(
            "compare",
            "received 'epochs'; legal: another parameter, since every curve holds its shorter ones",
        )
        return
    arms = space.choices(compare)
    if len(arms) < 2:
        yield Problem(
            f"search.space.{compare}", "received one value; legal: at least two to compare"
        )
    if reference is not None and str(reference) not in map(str, arms):
        legal = ", ".join(map(shown, arms))
        hint = nearest(reference, map(str, arms)) if isinstance(reference, str) else ""
        yield Problem("reference", f"received {shown(reference)}; legal: {legal}{hint}")


def _grid(space: Space) -> Iterator[Problem]:
    for dimension in space:
        if dimension.count is None:
            yield Problem(
                f"search.space.{dimension.name}",
                'received a range of real numbers with sampler = "grid"; legal: a step, a list, or '
                'sampler = "tpe"',
            )
    points = math.prod(dimension.count or 1 for dimension in space)
    if points > MOST:
        yield Problem(
            "search.space",
            f'received {points:,} points with sampler = "grid"; legal: at most {MOST:,}',
        )


def _compared(compare: str, confirm: Confirm | None, catalog: Catalog) -> Iterator[Problem]:
    """The baseline has to take what is compared: its arms would be one and the same without."""
    optimizer = getattr(getattr(confirm, "baseline", None), "optimizer", None)
    takes = [name for name, options in catalog.optimizers.items() if compare in options]
    if takes and optimizer in catalog.optimizers and optimizer not in takes:
        yield Problem(
            "confirm.baseline.optimizer",
            f"received {shown(optimizer)}, which does not take {compare}, by which the arms differ; "
            f"legal: {', '.join(takes)}",
        )


def _confirm(confirm: Confirm | None, space: Space, catalog: Catalog) -> Iterator[Problem]:
    baseline = getattr(confirm, "baseline", None)
    optimizer, epochs = getattr(baseline, "optimizer", None), getattr(baseline, "epochs", None)
    if optimizer is not None and optimizer not in catalog.optimizers:
        yield Problem("confirm.baseline.optimizer", one_of(optimizer, catalog.optimizers))
    normalization = getattr(baseline, "normalization", None)
    if normalization is not None and normalization not in catalog.normalizations:
        yield Problem(
            "confirm.baseline.normalization", one_of(normalization, catalog.normalizations)
        )
    longest = getattr(confirm, "epochs", None)
    if longest is None and "epochs" in space:
        longest = space["epochs"].largest
    given = "epochs" in getattr(baseline, "model_fields_set", ())
    if given and isinstance(longest, int) and epochs is not None and epochs > longest:
        yield Problem(
            "confirm.baseline.epochs",
            f"received {epochs}; legal: at most the confirmation's {longest} epochs",
        )
