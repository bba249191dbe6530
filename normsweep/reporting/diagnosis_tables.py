"""Tables of the arms' networks at the start of a training, as data frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from normsweep.analysis.stable_rates import StableRates
from normsweep.sweep.study_record import Diagnosis, Stage

__all__ = ["gradients_table", "inputs_table", "stable_rates_table"]


def inputs_table(
    diagnoses: Mapping[str, Diagnosis], arms: Sequence[str], classes: int
) -> pd.DataFrame:
    """One row an arm and stage: what the first layer is fed, the loss, dead ReLUs, curvature."""
    of_input = ["input_mean", "input_std", "moment", "condition"]
    later = ["saturated", "dead_relus", "update", "sharpness", "stable_rate"]
    values = [*of_input, "loss", *later]
    columns = ["arm", "stage", *of_input, "loss", "ln_classes", *later]
    rows = [
        {
            "arm": arm,
            "stage": name,
            "ln_classes": diagnoses[arm].guess_of(classes),
            **{value: getattr(stage, value) for value in values},
        }
        for arm, name, stage in _stages(diagnoses, arms)
    ]
    return pd.DataFrame(rows, columns=columns)


def stable_rates_table(rates: Sequence[StableRates]) -> pd.DataFrame:
    """One row an arm, optimizer and prediction or trial: the learning rate, and what it is.

    `kind` is "predicted", with its `stage`, or how the `trial` ended: "trained", "behind" or "diverged".
    """
    columns = ["arm", "optimizer", "kind", "stage", "trial", "rate"]
    rows = [
        *(
            (each.arm, each.optimizer, "predicted", stage, pd.NA, rate)
            for each in rates
            for stage, rate in each.predicted.items()
        ),
        *(
            (each.arm, each.optimizer, tried.ended, "", tried.trial, tried.rate)
            for each in rates
            for tried in each.tried
        ),
    ]
    return pd.DataFrame(rows, columns=columns)


def gradients_table(diagnoses: Mapping[str, Diagnosis], arms: Sequence[str]) -> pd.DataFrame:
    """One row an arm, stage and layer: the norm of the loss's gradient, first layer first."""
    columns = ["arm", "stage", "layer", "position", "norm"]
    rows = [
        (arm, name, layer, position, norm)
        for arm, name, stage in _stages(diagnoses, arms)
        for position, (layer, norm) in enumerate(stage.gradients)
    ]
    return pd.DataFrame(rows, columns=columns)


def _stages(
    diagnoses: Mapping[str, Diagnosis], arms: Sequence[str]
) -> Iterator[tuple[str, str, Stage]]:
    for arm in arms:
        if arm in diagnoses:
            for name, stage in diagnoses[arm].stages.items():
                yield arm, name, stage
