"""`Plan`: the trials and epochs of a study by arm, and its estimated time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from normsweep.errors import SweepError
from normsweep.sweep.schema import Sweep
from normsweep.sweep.space import Choice
from normsweep.sweep.study_record import DataFacts

if TYPE_CHECKING:
    from normsweep.training.preflight import Findings

__all__ = ["CONFIGURATIONS", "Plan", "mean_epochs", "without"]

CONFIGURATIONS = 3
"""Configurations per arm in the confirmation: the baseline, and tuned for two numbers of epochs."""


def without(sweep: Sweep, same: Mapping[str, str]) -> Sweep:
    """The sweep without the normalizations that are equivalent to another one on this data."""
    space = sweep.search.space.without("normalization", same)
    if sweep.compare == "normalization" and len(space.choices("normalization")) < 2:
        alike = ", ".join(same)
        raise SweepError(
            "search.space.normalization: must have at least two that differ on this data; "
            f"{alike} is equivalent to {next(iter(same.values()))}"
        )
    search = sweep.search.model_copy(update={"space": space})
    return sweep.model_copy(update={"search": search})


@dataclass(frozen=True)
class Plan:
    """The plan of a study before its first trial."""

    sweep: Sweep
    """The sweep with the arms to run."""
    data: DataFacts | None = None
    findings: Findings | None = None
    """Results of the checks of normalizations, network and device; None: not checked."""
    seconds: float | None = None
    """Estimated wall time of the search; None: not estimated."""
    confirm_seconds: float = 0.0
    """Estimated wall time of the confirmation, if no two configurations of an arm are equal."""


def mean_epochs(sweep: Sweep) -> float:
    """Mean number of epochs of a trial, if the space is sampled uniformly."""
    dimension = sweep.search.space["epochs"]
    if sweep.search.sampler == "grid":
        return _mean_epochs_of_grid(sweep, len(dimension.grid() or ()))
    if isinstance(dimension, Choice):
        values = [float(value) for value in dimension.values]
        mean = sum(values) / len(values)
    elif dimension.log and dimension.high > dimension.low:
        mean = (dimension.high - dimension.low) / math.log(dimension.high / dimension.low)
    else:
        mean = (dimension.low + dimension.high) / 2
    every = sweep.search.longest_every
    return mean if every is None else mean + (sweep.longest - mean) / every


def _mean_epochs_of_grid(sweep: Sweep, budgets: int) -> float:
    """The same for a grid, where a curve serves all points that differ in their epochs only."""
    trials = sweep.trials_per_arm
    points = min(len(sweep.search.space.points({sweep.compare: arm})) for arm in sweep.arms)
    unsampled = math.comb(points - budgets, trials) / math.comb(points, trials)
    return sweep.longest * (points / budgets) * (1 - unsampled) / trials
