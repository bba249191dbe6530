"""Which parameters a search space and its arms may have, and which values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from normsweep.sweep import schemes
from normsweep.sweep.arms import Arm, dotted, space_of_all
from normsweep.sweep.parameters import (
    CALLBACK,
    CLASS_WEIGHT,
    CONSTANT,
    CROSSENTROPY,
    INPUT_RATE,
    LOSS,
    MATCHED,
    NO_CALLBACK,
    PARAMETERS,
    SCHEDULE,
    TARGET,
    TARGETS,
    WEIGHTS,
    Parameter,
)
from normsweep.sweep.problems import Problem, must_be, shown, unknown
from normsweep.sweep.space import Choice, Dimension, Space

if TYPE_CHECKING:
    from normsweep.sweep.checks import Catalog
    from normsweep.sweep.schema import Confirm, Model, Sweep

__all__ = ["depending_on_length", "matched", "of_arm", "of_space", "with_sampled_lengths"]

TRIAL = ("normalization", "learning_rate", "optimizer", "epochs", "batch_size")
UNSET = {SCHEDULE: (CONSTANT,), CALLBACK: (NO_CALLBACK,), LOSS: (CROSSENTROPY,)}
"""The components of trials for which a space has none; a regression's loss has no options then either."""
PLURAL = {LOSS: "losses"}
SCALE = ("normalization", "input_scale")
"""What the scale of an arm's inputs depends on."""


def of_space(
    space: Space,
    declared: Mapping[str, Any],
    arms: Sequence[Arm],
    model: Model | None,
    catalog: Catalog,
) -> Iterator[Problem]:
    """What is wrong with the parameters that the file declares in the space."""
    names = _legal(model, catalog)
    whole = space_of_all(space, arms)
    for dimension in (each for each in space if each.name in declared):
        key = f"search.space.{dimension.name}"
        if dimension.name not in names:
            yield Problem(key, unknown("parameter", dimension.name, names))
        else:
            yield from _component_option(dimension, whole, catalog)
        if dimension.name in TRIAL and dimension.when:
            yield Problem(
                f"{key}.when",
                f"must not be set, because every trial needs {dimension.name}",
            )
        yield from _values(key, dimension, model, catalog)


def of_arm(arm: Arm, space: Space, model: Model | None, catalog: Catalog) -> Iterator[Problem]:
    """What is wrong with the parameters that an arm fixes; `space`: the arm's."""
    names = _legal(model, catalog)
    for name in arm.params:
        key = dotted("arms", arm.label, name)
        if name not in names:
            yield Problem(key, unknown("parameter", name, names))
        elif found := _refusing(space[name], space, catalog):
            kind, refuse = found
            yield Problem(
                key,
                f"must be an option of the arm's {PLURAL.get(kind, f'{kind}s')}; "
                f"not an option of {', '.join(refuse)}",
            )
        yield from _values(key, space[name], model, catalog)


def _legal(model: Model | None, catalog: Catalog) -> list[str]:
    """The names of all parameters."""
    names = [
        *TRIAL,
        *PARAMETERS,
        SCHEDULE,
        CALLBACK,
        LOSS,
        TARGET,
        CLASS_WEIGHT,
        *sorted(_options(catalog.optimizers, catalog.schedules, catalog.callbacks, catalog.losses)),
    ]
    return [*dict.fromkeys((*names, *_options_of(model, catalog)))]


def _options(*kinds: Mapping[str, tuple[str, ...]]) -> set[str]:
    return {option for kind in kinds for options in kind.values() for option in options}


def _options_of(model: Model | None, catalog: Catalog) -> tuple[str, ...]:
    return catalog.models.get(getattr(model, "name", ""), ())


def _values(
    key: str, dimension: Dimension, model: Model | None, catalog: Catalog
) -> Iterator[Problem]:
    """What is wrong with the values of a parameter."""
    if dimension.name in {*_options(catalog.optimizers), *_options_of(model, catalog)}:
        return  # an option may have the name of a parameter
    match dimension.name:
        case "normalization":
            yield from _schemes(key, dimension, catalog)
        case "optimizer":
            yield from _registered(key, dimension, catalog.optimizers)
        case "schedule":
            yield from _registered(key, dimension, catalog.schedules)
        case "callback":
            yield from _registered(key, dimension, catalog.callbacks)
        case "loss":
            yield from _registered(key, dimension, catalog.losses)
        case "target":
            yield from _registered(key, dimension, dict.fromkeys(TARGETS))
        case "class_weight":
            yield from _registered(key, dimension, dict.fromkeys(WEIGHTS))
        case "learning_rate" | "epochs" | "batch_size":
            yield from _positive(key, dimension, integer=dimension.name != "learning_rate")
        case name if name in PARAMETERS:
            yield from _in_bounds(key, dimension, PARAMETERS[name])


def _in_bounds(key: str, dimension: Dimension, parameter: Parameter) -> Iterator[Problem]:
    ends = dimension.values if isinstance(dimension, Choice) else (dimension.low, dimension.high)
    wrong = [value for value in ends if not parameter.allows(value)]
    if wrong:
        yield Problem(key, must_be(parameter.legal, wrong[0]))


def _registered(key: str, dimension: Dimension, registered: Mapping[str, Any]) -> Iterator[Problem]:
    if not isinstance(dimension, Choice):
        yield Problem(key, f"expected a list of {', '.join(registered)}; got a range")
        return
    for value in dimension.values:
        if value not in registered:
            yield Problem(key, unknown(dimension.name, value, registered))


def _schemes(key: str, dimension: Dimension, catalog: Catalog) -> Iterator[Problem]:
    registered, legal = catalog.normalizations, catalog.scheme_values
    if not isinstance(dimension, Choice):
        yield Problem(key, f"expected a list of {', '.join(registered)}; got a range")
        return
    wrong = (schemes.problem(value, registered, legal) for value in dimension.values)
    yield from (Problem(key, message) for message in wrong if message)


def _component_option(dimension: Dimension, space: Space, catalog: Catalog) -> Iterator[Problem]:
    if found := _refusing(dimension, space, catalog):
        kind, refuse = found
        kinds = _with_options(catalog)[kind]
        takes = [name for name, options in kinds.items() if dimension.name in options]
        yield Problem(
            f"search.space.{dimension.name}",
            f"must have when = {{ {kind} = {shown(takes)} }}; not an option of {', '.join(refuse)}",
        )


def _with_options(catalog: Catalog) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """The parameters that are names of components with options, and their components."""
    return {
        "optimizer": catalog.optimizers,
        SCHEDULE: catalog.schedules,
        CALLBACK: catalog.callbacks,
        LOSS: catalog.losses,
    }


def _refusing(dimension: Dimension, space: Space, catalog: Catalog) -> tuple[str, list[str]] | None:
    """The components for which an option is set although it is not one of theirs, and their kind."""
    for kind, components in _with_options(catalog).items():
        if dimension.name not in _options(components):
            continue
        used = [str(value) for value in _chosen(kind, space)]
        for condition in dimension.when:
            if condition.parent == kind:
                used = [name for name in used if name in condition.values]
        refuse = [n for n in used if n in components and dimension.name not in components[n]]
        if refuse:
            return kind, refuse
    return None


def _chosen(kind: str, space: Space) -> tuple[object, ...]:
    """The components that trials may have; none if they are not valid."""
    if kind not in space:
        return UNSET.get(kind, ())
    return space.choices(kind) if isinstance(space[kind], Choice) else ()


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


def with_sampled_lengths(sweep: Sweep, catalog: Catalog) -> Sweep:
    """The sweep, whose trials sample their numbers of epochs if a schedule depends on them."""
    space = sweep.search.space
    if space["epochs"].sample or space["epochs"].count == 1:
        return sweep
    if not any(depending_on_length(arm.space(space), catalog.of_length) for arm in sweep.arms):
        return sweep
    search = sweep.search.model_copy(update={"space": space.sampling("epochs", True)})
    return sweep.model_copy(update={"search": search})


def depending_on_length(space: Space, of_length: Mapping[str, str]) -> list[str]:
    """The schedules in a space whose steps depend on the number of epochs.

    `of_length`: such schedules, each with the option with which they do not.
    """
    used = [str(name) for name in _chosen(SCHEDULE, space) if name in of_length]
    return [name for name in used if of_length[name] not in space]


def matched(
    arms: Sequence[Arm],
    reference: object,
    space: Space,
    confirm: Confirm | None,
    catalog: Catalog,
) -> Iterator[Problem]:
    """A matched step needs the scales of the arm's and of the reference's inputs, and a known optimizer."""
    to = next((arm for arm in arms if arm.key == str(reference)), None)
    baseline = getattr(getattr(confirm, "baseline", None), "optimizer", None)
    for arm in arms:
        own = arm.space(space)
        if INPUT_RATE not in own or MATCHED not in _chosen(INPUT_RATE, own):
            continue
        key = dotted("arms", arm.label, INPUT_RATE)
        tried = {*_chosen("optimizer", own), *([] if "optimizer" in arm.params else [baseline])}
        unknown_steps = sorted(str(name) for name in tried - {*catalog.matched, None})
        if unknown_steps:
            known = ", ".join(catalog.matched)
            yield Problem(
                key, f'"matched" is known for the optimizers {known}; not for {unknown_steps[0]}'
            )
        for each in {a.key: a for a in (arm, to) if a is not None}.values():
            for name in SCALE:
                if (found := _several(name, each.space(space))) is not None:
                    yield Problem(
                        key,
                        f'"matched" needs one {name} of the arm {shown(each.label)}, got {found}; '
                        f"fix it in {dotted('arms', each.label)}",
                    )


def _several(name: str, space: Space) -> str | None:
    """The values of a parameter, if there are several."""
    if name not in space or space[name].count == 1:
        return None
    dimension = space[name]
    return shown(dimension.values) if isinstance(dimension, Choice) else "a range"
