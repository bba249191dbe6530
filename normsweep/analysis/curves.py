"""The metric on the test images against epochs, and what it took to come to the reference's level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from normsweep.analysis.confirm_runs import Confirmed, Runs
from normsweep.analysis.estimates import interval, moments
from normsweep.analysis.questions import Declared
from normsweep.sweep.study_record import BASELINE, Configuration, TrialRecord

__all__ = ["configurations_table", "curves_table", "speed_table"]


def curves_table(found: Confirmed, confidence: float) -> pd.DataFrame:
    """One row an arm, configuration and epoch: the metric's mean and its two-way interval.

    Seeds that diverged or failed before the last epoch are left out of all epochs.
    """
    name = found.metric.name
    columns = ["arm", "configuration", "epoch", name, "low", "high", "seeds"]
    rows = [
        row for runs in found.runs.values() for row in _curve(runs, found.epochs, confidence, name)
    ]
    return pd.DataFrame(rows, columns=columns)


def _curve(runs: Runs, epochs: int, confidence: float, name: str) -> list[dict[str, Any]]:
    slots = _whole(runs, epochs)
    if not slots:
        return []
    values = runs.values(slots, epochs)
    rows = []
    for epoch in range(1, epochs + 1):
        estimate = interval(moments(values[:, epoch - 1]), (1 - confidence) / 2)
        rows.append(
            {
                "arm": runs.configuration.arm,
                "configuration": runs.configuration.name,
                "epoch": epoch,
                name: estimate.value,
                "low": estimate.low,
                "high": estimate.high,
                "seeds": len(slots),
            }
        )
    return rows


def _whole(runs: Runs, epochs: int) -> list[int]:
    return [slot for slot in range(len(runs.results)) if runs.tested(slot) >= epochs]


def configurations_table(configurations: Sequence[Configuration]) -> pd.DataFrame:
    """One row an arm and configuration: what it is, and how it was chosen."""
    columns = [
        "arm", "configuration", "label", "optimizer", "learning_rate", "params", "trial",
        "selected_at", "trials",
    ]  # fmt: skip
    rows = [
        {
            "arm": c.arm,
            "configuration": c.name,
            "label": _label(c),
            "optimizer": str(c.params["optimizer"]),
            "learning_rate": float(c.params["learning_rate"]),
            "params": ", ".join(
                f"{name} = {value:.3g}" if isinstance(value, float) else f"{name} = {value}"
                for name, value in c.params.items()
            ),
            "trial": c.trial if c.trial is not None else pd.NA,
            "selected_at": c.selected_at if c.selected_at is not None else pd.NA,
            "trials": c.among,
        }
        for c in configurations
    ]
    table = pd.DataFrame(rows, columns=columns)
    return table.astype({"trial": "Int64", "selected_at": "Int64"})


def _label(configuration: Configuration) -> str:
    if configuration.name == BASELINE:
        return "baseline"
    epochs = "epoch" if configuration.selected_at == 1 else "epochs"
    return f"tuned for {configuration.selected_at} {epochs}"


def speed_table(
    found: Confirmed, curves: pd.DataFrame, records: Sequence[TrialRecord], declared: Declared
) -> pd.DataFrame:
    """Epochs and seconds to the level that the reference's baseline has at the baseline's epochs.

    The first epoch whose mean on the test images is at that level, an estimate without a test;
    missing where no epoch is. Tuning is the whole search of the arm, and nothing for the baseline.
    `records` are those of the search.
    """
    columns = [
        "arm", "configuration", "epochs_to_level", "seconds_to_level", "tuning_seconds",
        "tuning_epochs",
    ]  # fmt: skip
    upward = curves.assign(level=found.metric.sign * curves[found.metric.name])
    level = _level(upward, declared, min(declared.baseline_epochs, found.epochs))
    rows = []
    for (arm, name), runs in found.runs.items():
        epochs = _first_at(upward, arm, name, level)
        of_arm = [r.result for r in records if r.trial.arm == arm and r.result is not None]
        tuned = name != BASELINE
        rows.append(
            {
                "arm": arm,
                "configuration": name,
                "epochs_to_level": epochs if epochs is not None else pd.NA,
                "seconds_to_level": epochs * _epoch_seconds(runs) if epochs else math.nan,
                "tuning_seconds": sum(r.seconds for r in of_arm) if tuned else 0.0,
                "tuning_epochs": sum(len(r.curve) - r.reused for r in of_arm) if tuned else 0,
            }
        )
    return pd.DataFrame(rows, columns=columns).astype({"epochs_to_level": "Int64"})


def _level(curves: pd.DataFrame, declared: Declared, epoch: int) -> float:
    of = curves.query(
        "arm == @declared.reference and configuration == @BASELINE and epoch == @epoch"
    )
    return float(of["level"].iloc[0]) if len(of) else math.nan


def _first_at(curves: pd.DataFrame, arm: str, name: str, level: float) -> int | None:
    """None, too, where the level is NaN: the reference's baseline has no curve."""
    of = curves.query("arm == @arm and configuration == @name and level >= @level")
    return int(of["epoch"].iloc[0]) if len(of) else None


def _epoch_seconds(runs: Runs) -> float:
    """Median wall time of an epoch: the first one's compiling and a busy machine left out."""
    seconds = [e.seconds for result in runs.results if result is not None for e in result.curve]
    return float(np.median(seconds)) if seconds else math.nan
