"""The plan of a study before it runs: arms × trials, epochs, what it will take."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from normsweep.parts import ACCURACY, metric
from normsweep.sweep.schema import Sweep
from normsweep.sweep.space import Choice

__all__ = ["CONFIGURATIONS", "Plan", "duration", "mean_epochs", "plan_lines"]


CONFIGURATIONS = 3
"""Of each arm in the confirmation: the baseline, and tuned for two budgets."""


@dataclass(frozen=True)
class Plan:
    """What `plan_lines` tells."""

    sweep: Sweep
    same: Mapping[str, str] | None = None
    """Normalizations left out because another does the same; None: not looked at."""
    data: str = ""
    device: str = ""
    parameters: int = 0
    seconds: float | None = None
    """Estimated wall time of the search; None: not estimated."""
    confirm_seconds: float = 0.0
    """The same of its confirmation, where no two configurations of an arm are the same."""


def plan_lines(plan: Plan) -> list[str]:
    """The plan in words, a line each."""
    sweep, search = plan.sweep, plan.sweep.search
    arms = ", ".join(map(str, sweep.arms))
    total = sweep.total_trials
    lines = [
        f"study     {sweep.name}" + (f": {sweep.question}" if sweep.question else ""),
        f"data      {plan.data or ' or '.join(sweep.data.candidates)}",
        f"model     {sweep.model.name}"
        + (f", {plan.parameters:,} parameters" if plan.parameters else ""),
        f"arms      {len(sweep.arms)} by {sweep.compare}: {arms}; reference {sweep.reference}",
        f"trials    {len(sweep.arms)} arms × {sweep.trials_per_arm} = {total}, sampler {search.sampler}"
        + ("" if search.pruner == "none" else f", pruner {search.pruner} within each arm"),
        f"epochs    {_epochs(sweep)}",
        f"confirm   {_confirmation(sweep)}",
    ]
    if total > search.trials:
        lines.append(
            f"note      {search.trials} trials are not a multiple of {len(sweep.arms)} arms: "
            f"rounded up to {total}"
        )
    if total < search.trials:
        lines.append(
            f"note      the grid has {sweep.trials_per_arm} points an arm: {total} trials in all"
        )
    for name, kept in (plan.same or {}).items():
        lines.append(f"note      {name} does on this data what {kept} does: run once, as {kept}")
    if "robust" in map(str, sweep.search.space.choices("normalization")):
        lines.append(
            "note      robust takes the median and quartiles of the non-zero pixels, of all rows of a table"
        )
    if plan.device:
        lines.append(f"device    {plan.device}")
    if plan.seconds is not None:
        lines.append(
            f"time      about {duration(plan.seconds)} for the search and up to "
            f"{duration(plan.confirm_seconds)} for its confirmation, from one measured step"
        )
    return lines


def _confirmation(sweep: Sweep) -> str:
    confirm = sweep.confirm
    return (
        f"up to {CONFIGURATIONS} configurations of each arm × {confirm.seeds} fresh seeds, "
        f"{sweep.confirm_epochs} epochs; margin {_margin(sweep)}"
    )


def _margin(sweep: Sweep) -> str:
    """The margin in its unit, with the metric where it is not the usual one."""
    by = metric(sweep.metric)
    amount = f"{by.scale * sweep.confirm.margin:g} {by.unit}".rstrip()
    return amount if by is ACCURACY else f"{amount} of {by.label}"


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


def duration(seconds: float) -> str:
    """Seconds in words: `45 s`, `12 min`, `3.4 h`."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5970 else f"{seconds / 3600:.1f} h"


def _epochs(sweep: Sweep) -> str:
    dimension = sweep.search.space["epochs"]
    if isinstance(dimension, Choice):
        text = ", ".join(map(str, dimension.values))
    else:
        text = f"{dimension.low:g} to {dimension.high:g}"
    every = sweep.search.longest_every
    return text + (
        f"; one trial in {every} of each arm trains for {sweep.longest}" if every else ""
    )
