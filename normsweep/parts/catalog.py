"""All registries: read a sweep with the registered names, build trials from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from normsweep.errors import SweepError
from normsweep.parts import (
    callbacks,
    datasets,
    losses,
    metrics,
    models,
    normalizations,
    optimizers,
    plugins,
    schedules,
)
from normsweep.parts.plugins import installed_plugins, plugin_problems
from normsweep.parts.registry import Registry
from normsweep.sweep.checks import Catalog
from normsweep.sweep.loading import Draft
from normsweep.sweep.parameter_checks import depending_on_length
from normsweep.sweep.parameters import (
    CALLBACK,
    CLASS_WEIGHT,
    CLASSIFICATION,
    CONSTANT,
    EQUAL,
    INPUT_RATE,
    LOSS,
    MATCHED,
    NO_CALLBACK,
    RAW,
    REGRESSION,
    SCHEDULE,
    TABLE,
    TARGET,
    own_parameters,
)
from normsweep.sweep.problems import must_be, shown
from normsweep.sweep.schema import Sweep
from normsweep.sweep.space import Scalar
from normsweep.sweep.trial import DataKey, Trial

__all__ = ["resolve_trial"]

REGISTRIES: tuple[Registry, ...] = (
    normalizations.registry,
    optimizers.registry,
    schedules.registry,
    callbacks.registry,
    losses.registry,
    models.registry,
    datasets.registry,
    metrics.registry,
)
"""The registry of each kind of component, in the order in which they are listed."""


def resolve_trial(
    sweep: Sweep, data: DataKey, arm: str, params: Mapping[str, Scalar], number: int, slot: int
) -> Trial:
    """The trial of an arm with these parameters, each assigned to the component that takes it."""
    model = sweep.model
    of_optimizer = optimizers.registry[str(params["optimizer"])].options
    of_model = models.registry[model.name].options
    taken = (*of_optimizer, *of_model)  # an option of a component may have the same name
    callback = NO_CALLBACK if CALLBACK in taken else str(params.get(CALLBACK, NO_CALLBACK))
    schedule = CONSTANT if SCHEDULE in taken else str(params.get(SCHEDULE, CONSTANT))
    schedule_options = _only(params, schedules.registry[schedule].options)
    loss = losses.DEFAULT[sweep.task] if LOSS in taken else _loss(sweep, params)
    own: dict[str, Any] = own_parameters(params, taken)
    return Trial(
        number=number,
        arm=arm,
        slot=slot,
        seed=sweep.seed,
        data=data,
        model=model.name,
        model_options={**model.options, **_only(params, of_model)},
        normalization=str(params["normalization"]),
        optimizer=str(params["optimizer"]),
        optimizer_options=_only(params, of_optimizer),
        learning_rate=float(params["learning_rate"]),
        batch_size=int(params.get("batch_size", model.batch_size)),
        steps_per_epoch=model.steps_per_epoch,
        epochs=int(params["epochs"]),
        params=dict(params),
        precision=model.precision,
        metric=sweep.metric,
        schedule=schedule,
        schedule_options=schedule_options,
        callback=callback,
        callback_options=_only(params, callbacks.registry[callback].options),
        of_length=schedules.depends_on_length(schedule, schedule_options),
        loss=loss,
        loss_options=_only(params, losses.registry[loss].options),
        target=RAW if TARGET in taken else str(params.get(TARGET, RAW)),
        **({} if CLASS_WEIGHT in taken else _weights(sweep, params)),
        **own,
        **(_reference(sweep) if own.get(INPUT_RATE) == MATCHED else {}),
    )


def _reference(sweep: Sweep) -> dict[str, Any]:
    """What the inputs of the reference arm are, whose step a matched rate gives to another arm."""
    params = sweep.baseline(sweep.arm(str(sweep.reference)), sweep.longest)
    return {
        "reference_normalization": str(params["normalization"]),
        "reference_scale": float(params.get("input_scale", 1.0)),
    }


def depends_on_length(params: Mapping[str, Scalar]) -> bool:
    """Whether the steps of a trial with these parameters depend on its number of epochs."""
    name = str(params.get(SCHEDULE, CONSTANT))
    return name in schedules.registry and schedules.depends_on_length(name, params)


def schedules_of_length(sweep: Sweep) -> list[str]:
    """The schedules that trials of a sweep may have and whose steps depend on the number of epochs."""
    spaces = (arm.space(sweep.search.space) for arm in sweep.arms)
    names = (name for space in spaces for name in depending_on_length(space, schedules.of_length()))
    return list(dict.fromkeys(names))


def _weights(sweep: Sweep, params: Mapping[str, Scalar]) -> dict[str, Any]:
    """The weights of the classes; those of the table unless a trial has other ones."""
    table = sweep.data.class_weights
    weight = str(params.get(CLASS_WEIGHT, TABLE if table else EQUAL))
    return {CLASS_WEIGHT: weight, "class_weights": dict(table) if weight == TABLE else {}}


def _loss(sweep: Sweep, params: Mapping[str, Scalar]) -> str:
    return str(params.get(LOSS, losses.DEFAULT[sweep.task]))


def for_task(sweep: Sweep, task: str) -> Sweep:
    """The sweep for the task of its data: with the task's metric, unless another one is set.

    Raises:
        SweepError: one line for each key that does not fit the task.
    """
    if task == REGRESSION:
        data = sweep.data.model_copy(update={"task": sweep.data.task or task})
        by = sweep.metric if "metric" in sweep.model_fields_set else metrics.DEFAULT[task]
        sweep = sweep.model_copy(update={"data": data, "metric": by})
    if problems := [*_unfit(sweep, task)]:
        raise SweepError(problems)
    return sweep


def _unfit(sweep: Sweep, task: str) -> Iterator[str]:
    if task not in metrics.metric(sweep.metric).tasks:
        yield f"metric: {must_be(_of_task(metrics.registry, task), sweep.metric)}"
    if task == REGRESSION and "margin" not in sweep.confirm.model_fields_set:
        yield (
            f"confirm.margin: required key is missing: the largest difference in {sweep.metric} that does "
            "not matter, in the unit of the target"
        )
    space = sweep.space
    for name in space.choices(LOSS) if LOSS in space else ():
        if task not in losses.loss(str(name)).tasks:
            yield f"loss: {must_be(_of_task(losses.registry, task), name)}"
    weights = space.choices(CLASS_WEIGHT) if CLASS_WEIGHT in space else ()
    if task == REGRESSION and (sweep.data.class_weights or set(weights) - {EQUAL}):
        yield "class_weight: must not be set in a regression"
    if TABLE in weights and not sweep.data.class_weights:
        yield f"class_weight: {shown(TABLE)} needs a table [data.class_weights]"
    scaled = [name for name in space.choices(TARGET) if name != RAW] if TARGET in space else []
    if task == CLASSIFICATION and scaled:
        yield f"target: {must_be(f'{shown(RAW)} in a {task}', scaled[0])}"


def _of_task(registry: Registry, task: str) -> str:
    """The components of a kind that are for a task."""
    fit = [part.name for part in registry if task in part.details.tasks]
    return f"one for a {task}, as the labels say ({', '.join(fit)})"


def is_trained(model: str) -> bool:
    """Whether a model is trained; the curves of the synthetic one come from a formula."""
    return model != models.SYNTHETIC


def _only(params: Mapping[str, Scalar], names: tuple[str, ...]) -> dict[str, Scalar]:
    return {name: params[name] for name in names if name in params}


def catalog() -> Catalog:
    """The registered names and options that sweep files can use."""
    return Catalog(
        normalizations=normalizations.registry.options(),
        scheme_values={p.name: p.details for p in normalizations.registry if p.details is not None},
        optimizers=optimizers.registry.options(),
        schedules=schedules.registry.options(),
        callbacks=callbacks.registry.options(),
        of_length=schedules.of_length(),
        losses=losses.registry.options(),
        matched=optimizers.MATCHED,
        models=models.registry.options(),
        datasets=datasets.registry.options(),
        metrics=metrics.registry.options(),
        switches=_switches(),
        ranges={part.name: metrics.metric(part.name).range for part in metrics.registry},
    )


def _switches() -> frozenset[str]:
    """The options that are true or false in every component that has them."""
    parts = [part for registry in REGISTRIES for part in registry]
    others = {name for part in parts for name in part.options if name not in part.switches}
    return frozenset(name for part in parts for name in part.switches) - others


def read_sweep(
    source: str | Path | Sweep | Mapping[str, Any],
    overrides: Sequence[str] = (),
    options: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Sweep:
    """Read and validate a sweep and load its plug-ins; arguments as of `Draft.read`.

    Installed plug-ins are loaded if the sweep uses a name that is not registered otherwise.

    Raises:
        SweepError: one line for each error.
    """
    draft = Draft.read(source, overrides, options or {}, settings or {})
    folders = (draft.folder, Path())
    problems = list(plugin_problems(draft.raw.get("plugins", ()), folders, REGISTRIES))
    if problems:
        raise draft.refused(problems)
    try:
        return draft.sweep(catalog())
    except SweepError as mistakes:
        try:
            load_installed()
        except SweepError as broken:
            raise SweepError([*mistakes.lines, *broken.lines]) from None
        return draft.sweep(catalog())


def load_plugins(names: Sequence[str], needed: Iterable[tuple[Registry, str]] = ()) -> None:
    """Import modules of plug-ins for a stored study, from the environment or the current folder.

    Args:
        names: the modules, as given by the user: the names in a database are not trusted.
        needed: components that the study uses; installed plug-ins are loaded if one is missing.

    Raises:
        SweepError: one line for each module or component that is not available.
    """
    problems = plugin_problems(list(names), (Path(),), REGISTRIES)
    lines = [f"--{problem.key}: {problem.message}" for problem in problems]
    wanted = [(registry, name.partition("@")[0]) for registry, name in needed]
    if not lines and any(name not in registry for registry, name in wanted):
        load_installed()
        lines = [_missing(reg.kind, name) for reg, name in wanted if name not in reg]
    if lines:
        raise SweepError(lines)


def _missing(kind: str, name: str) -> str:
    if name == models.OWN:
        return (
            "model: was passed to normsweep.run and is in no module; pass it to normsweep.run again"
        )
    return (
        f"{kind}: {shown(name)} is not registered; pass --plugins MODULE with the module that does"
    )


def load_installed() -> None:
    """Load the plug-ins that installed packages offer.

    Raises:
        SweepError: one line for each plug-in that cannot be loaded.
    """
    installed_plugins(REGISTRIES)


def pickled_components() -> bytes:
    """The custom components that trials need, pickled for `register_components` in a worker.

    Raises:
        SweepError: a component cannot be pickled.
    """
    return plugins.packed([r for r in REGISTRIES if r is not datasets.registry])


def components_digest() -> str | None:
    """SHA-256 of the code of all custom components; None if it is unknown, as that of a notebook's is."""
    if any(part.temporary for part in models.registry):
        return None
    return plugins.code_digest(REGISTRIES)


def register_components(content: bytes) -> None:
    """Register the components that `pickled_components` returned.

    Raises:
        SweepError: a component is not available here.
    """
    plugins.unpack(content, REGISTRIES)
