"""What the arms' networks look like inside, as frames: before training and after one epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

__all__ = ["gradients_table", "inputs_table"]

STAGES = {"initialization": "initialization", "after_epoch_1": "after epoch 1"}


def inputs_table(
    diagnoses: Mapping[str, Mapping[str, Any]], arms: Sequence[str], classes: int
) -> pd.DataFrame:
    """One row an arm and stage: what the first layer is fed, the loss, the dead ReLUs."""
    values = ["input_mean", "input_std", "condition_number", "loss", "dead_relus"]
    columns = ["arm", "stage", *values[:4], "ln_classes", values[4]]
    rows = [
        {
            "arm": arm,
            "stage": stage,
            "ln_classes": math.log(classes),
            **{name: float(found[name]) for name in values},
        }
        for arm, stage, found in _stages(diagnoses, arms)
    ]
    return pd.DataFrame(rows, columns=columns)


def gradients_table(
    diagnoses: Mapping[str, Mapping[str, Any]], arms: Sequence[str]
) -> pd.DataFrame:
    """One row an arm, stage and layer: the norm of the loss's gradient, first layer first."""
    columns = ["arm", "stage", "layer", "position", "norm"]
    rows = [
        {"arm": arm, "stage": stage, "layer": layer, "position": i, "norm": float(norm)}
        for arm, stage, found in _stages(diagnoses, arms)
        for i, (layer, norm) in enumerate(found["gradients"])
    ]
    return pd.DataFrame(rows, columns=columns)


def _stages(
    diagnoses: Mapping[str, Mapping[str, Any]], arms: Sequence[str]
) -> list[tuple[str, str, Mapping[str, Any]]]:
    return [
        (arm, name, diagnoses[arm][stage])
        for arm in arms
        if arm in diagnoses
        for stage, name in STAGES.items()
        if diagnoses[arm][stage] is not None
    ]
