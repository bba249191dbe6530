"""`Plan`: what a study will do, arm by arm: trials, epochs, the time that a measured step says."""

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
"""Of each arm in the confirmation: the baseline, and tuned for two budgets."""


def without(sweep: Sweep, same: Mapping[str, str]) -> Sweep:
    """The sweep without the normalizations that do what another one does."""
    space = sweep.search.space.without("normalization", same)
    if sweep.compare == "normalization" and len(space.choices("normalization")) < 2:
        alike = ", ".join(same)
        raise SweepError(
            f"search.space.normalization: {alike} does on this data what {next(iter(same.values()))} "
            "does; legal: at least two that differ"
        )
    search = sweep.search.model_copy(update={"space": space})
    return sweep.model_copy(update={"search": search})


@dataclass(frozen=True)
class Plan:
    """What a study will do, as far as it is known before its first trial."""

    sweep: Sweep
    """With the arms that are to run."""
    data: DataFacts | None = None
    findings: Findings | None = None
    """What was found out about normalizations, network and device; None: nobody looked."""
    seconds: float | None = None
    """Estimated wall time of the search; None: not estimated."""
    confirm_seconds: float = 0.0
    """The same of its confirmation, if no two configurations of an arm are the same."""


def mean_epochs(sweep: Sweep) -> float:
    """Epochs that a trial trains on average, if the space is tried evenly."""
    dimension = sweep.search.space["epochs"]
    if sweep.search.sampler == "grid":
        return _mean_epochs_of_grid(sweep, len(dimension.grid() or ()))
    if isinstance(dimension, Choice):
        values = [float(value) for value in dimension.values]
        even = sum(values) / len(values)
    elif dimension.log and dimension.high > dimension.low:
        even = (dimension.high - dimension.low) / math.log(dimension.high / dimension.low)
    else:
        even = (dimension.low + dimension.high) / 2
    every = sweep.search.longest_every
    return even if every is None else even + (sweep.longest - even) / every


def _mean_epochs_of_grid(sweep: Sweep, budgets: int) -> float:
    """Of points that differ in their epochs alone the longest is trained, and holds the others."""
    trials = sweep.trials_per_arm
    points = min(len(sweep.search.space.points({sweep.compare: arm})) for arm in sweep.arms)
    untouched = math.comb(points - budgets, trials) / math.comb(points, trials)
    return sweep.longest * (points / budgets) * (1 - untouched) / trials
