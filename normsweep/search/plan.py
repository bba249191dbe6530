"""`Plan`: the trials and epochs of a study, and its time estimate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from normsweep.errors import SweepError
from normsweep.sweep.arms import equal_arms, fixed_by_all
from normsweep.sweep.rungs import epochs_of_halving
from normsweep.sweep.schema import Sweep
from normsweep.sweep.space import Choice
from normsweep.sweep.study_record import DataFacts

if TYPE_CHECKING:
    from normsweep.training.preflight import Findings

__all__ = ["Plan", "halving_trials", "mean_epochs", "without"]


def without(sweep: Sweep, same: Mapping[str, str]) -> Sweep:
    """The sweep without the arms and normalizations that are equivalent to another one."""
    equal = equal_arms(sweep.arms, same)
    arms = tuple(arm for arm in sweep.arms if arm.key not in equal)
    if len(arms) < 2:
        alike = ", ".join(map(sweep.label, equal))
        raise SweepError(
            f"search.space.normalization: must have at least two normalizations that differ on this data; "
            f"{alike} is equivalent to {sweep.label(next(iter(equal.values())))}"
        )
    used = {arm.params.get("normalization") for arm in arms}
    dropped = set(same) - used if "normalization" in fixed_by_all(arms) else same
    space = sweep.search.space.without("normalization", dropped)
    search = sweep.search.model_copy(update={"space": space})
    return sweep.model_copy(update={"search": search, "arms": arms})


@dataclass(frozen=True)
class Plan:
    """What a study will run, as far as it is known before its first trial."""

    sweep: Sweep
    """The sweep with the arms to run."""
    data: DataFacts | None = None
    findings: Findings | None = None
    """Results of the preflight for normalizations, network and device; None: not run."""
    seconds: float | None = None
    """Estimated wall time of the search; None: not estimated."""
    confirm_seconds: tuple[float, float] = 0.0, 0.0
    """Estimated wall time of the confirmation, with the fewest and with the most seeds, if no two
    configurations of an arm are equal."""
    select_seconds: tuple[float, float] = 0.0, 0.0
    """Estimated wall time of the selection round, if the best trials for two numbers of epochs are the
    same, and if they all differ."""
    repeat_seconds: tuple[float, float] = 0.0, 0.0
    """Estimated wall time of all further repeats of the whole tuning, as `select_seconds`."""
    halving_seconds: float | None = None
    """What of the search's time halving would save, of a ladder with `halving_trials`; None: not
    estimated, or trials are pruned."""


def halving_trials(sweep: Sweep) -> int:
    """The total of full trials with which halving starts at least as many as the sweep has."""
    return math.ceil(sweep.trials_per_arm / 2) * len(sweep.arms)


def mean_epochs(sweep: Sweep) -> float:
    """Mean number of epochs of a full trial; if they are sampled, uniformly."""
    dimension = sweep.search.space["epochs"]
    if sweep.rungs:
        return epochs_of_halving(sweep.trials_per_arm, sweep.longest) / sweep.trials_per_arm
    if not sweep.samples_epochs:
        return float(sweep.longest)
    if sweep.search.sampler == "grid":
        return _mean_epochs_of_grid(sweep, len(dimension.grid() or ()))
    if isinstance(dimension, Choice):
        values = [float(value) for value in dimension.values]
        even = sum(values) / len(values)
    elif dimension.log and dimension.high > dimension.low:
        even = (dimension.high - dimension.low) / math.log(dimension.high / dimension.low)
    else:
        even = (dimension.low + dimension.high) / 2
    if every := sweep.search.longest_every:
        even += (sweep.longest - even) / every
    if sweep.rules == 1:
        return even
    return even + (sweep.longest - even) / sweep.trials_per_arm  # the first one is the baseline


def _mean_epochs_of_grid(sweep: Sweep, budgets: int) -> float:
    """Of points that differ only in epochs, only the one with most epochs is trained: it has the others."""
    trials, first = sweep.trials_per_arm, int(sweep.rules > 1)  # the baseline is not drawn
    points = min(len(sweep.points(arm)) for arm in sweep.arms) - first
    untouched = math.comb(max(points - budgets, 0), trials - first) / math.comb(
        points, trials - first
    )
    others = points // budgets  # without the baseline's own, if it is in the grid
    return sweep.longest * (first + others * (1 - untouched)) / trials
