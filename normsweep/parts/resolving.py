"""From sampled parameters to a `Trial` with everything that decides its curve."""

from __future__ import annotations

from collections.abc import Mapping

from normsweep.parts import models, optimizers
from normsweep.sweep.schema import Sweep
from normsweep.sweep.space import Scalar
from normsweep.sweep.trial import DataKey, Trial

__all__ = ["resolve_trial"]


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


def _only(params: Mapping[str, Scalar], names: tuple[str, ...]) -> dict[str, Scalar]:
    return {name: params[name] for name in names if name in params}
