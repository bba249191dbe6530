"""All registries; a sweep read against them, a trial made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from normsweep.errors import SweepError
from normsweep.parts import datasets, metrics, models, normalizations, optimizers, plugins
from normsweep.parts.plugins import installed_plugins, plugin_problems
from normsweep.parts.registry import Registry
from normsweep.sweep.checks import Catalog
from normsweep.sweep.loading import Draft
from normsweep.sweep.problems import shown
from normsweep.sweep.schema import Sweep
from normsweep.sweep.space import Scalar
from normsweep.sweep.trial import DataKey, Trial

__all__ = ["resolve_trial"]

REGISTRIES: tuple[Registry, ...] = (
    normalizations.registry,
    optimizers.registry,
    models.registry,
    datasets.registry,
    metrics.registry,
)
"""Every kind of part, in the order in which people are told of them."""


def resolve_trial(
    sweep: Sweep, data: DataKey, params: Mapping[str, Scalar], number: int, slot: int
) -> Trial:
    """The trial of a sweep at these parameters; each goes to the part that takes it."""
    model = sweep.model
    of_optimizer = optimizers.registry[str(params["optimizer"])].options
    of_model = models.registry[model.name].options
    return Trial(
        number=number,
        arm=str(params[sweep.compare]),
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
        epochs=int(params["epochs"]),
        params=dict(params),
        precision=model.precision,
        metric=sweep.metric,
    )


def is_trained(model: str) -> bool:
    """Whether a model is a network that is trained; the synthetic one's curves come from a formula."""
    return model != models.SYNTHETIC


def _only(params: Mapping[str, Scalar], names: tuple[str, ...]) -> dict[str, Scalar]:
    return {name: params[name] for name in names if name in params}


def catalog() -> Catalog:
    """The registered names and their options, as sweep files may use them."""
    return Catalog(
        normalizations=normalizations.registry.options(),
        optimizers=optimizers.registry.options(),
        models=models.registry.options(),
        datasets=datasets.registry.options(),
        metrics=metrics.registry.options(),
    )


def read_sweep(
    source: str | Path | Sweep | Mapping[str, Any],
    overrides: Sequence[str] = (),
    options: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Sweep:
    """A sweep, read and validated, with its plug-ins loaded: `Draft.read` says what is what.

    Plug-ins that are installed are loaded where it names what nothing else has.

    Raises:
        SweepError: one line for each mistake.
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
    """Import modules of plug-ins, from the environment or the current folder, for a recorded study.

    Args:
        names: the modules. A record names code that a database might have changed: none is
            imported for its sake alone.
        needed: parts that have to be known; installed plug-ins are loaded where one is not.

    Raises:
        SweepError: one line for each that cannot be had.
    """
    problems = plugin_problems(list(names), (Path(),), REGISTRIES)
    lines = [f"--{problem.key}: {problem.message}" for problem in problems]
    wanted = [(registry, name.partition("@")[0]) for registry, name in needed]
    if not lines and any(name not in registry for registry, name in wanted):
        load_installed()
        lines = [_lacking(reg.kind, name) for reg, name in wanted if name not in reg]
    if lines:
        raise SweepError(lines)


def _lacking(kind: str, name: str) -> str:
    if name == models.OWN:
        return (
            "model: was handed to normsweep.run, and is in no module; legal: normsweep.run with it"
        )
    return f"{kind}: received {shown(name)}, which is not registered here; legal: --plugins MODULE that has it"


def load_installed() -> None:
    """Load the plug-ins that installed packages offer.

    Raises:
        SweepError: one line for each that cannot be loaded.
    """
    installed_plugins(REGISTRIES)


def carried_parts() -> bytes:
    """What trials need of parts that are not normsweep's own, for `take_parts` where they run.

    Raises:
        SweepError: a function holds what cannot be sent to another process.
    """
    return plugins.packed([r for r in REGISTRIES if r is not datasets.registry])


def take_parts(content: bytes) -> None:
    """Register what `carried_parts` gave.

    Raises:
        SweepError: a part cannot be had here.
    """
    plugins.unpack(content, REGISTRIES)
