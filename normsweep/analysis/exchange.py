"""The exchange rate of two arms: how many epochs of one are worth a number of epochs of the other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from normsweep.analysis.confirm_runs import Confirmed
from normsweep.analysis.rules import LEAST_SEEDS
from normsweep.analysis.seed_scores import scores, trained_slots
from normsweep.sweep.study_record import BASELINE, TUNED_LONG

__all__ = ["Exchange", "Worth", "budgets", "exchanges", "paired", "worth"]

STEPS = 20
"""Points of an epoch at which curves are compared; between two epochs a curve is a straight line."""

Scores = NDArray[Any]
"""(seeds, epochs): the metric of each seed after each epoch, higher is better."""


@dataclass(frozen=True)
class Worth:
    """A number of epochs with its interval for new seeds.

    `value` is infinite if the level is not reached by the last epoch, and 1 if it is reached by the first
    one. `low` is 0 if nothing bounds it from below, `high` infinite if nothing does from above.
    """

    value: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether there is a bound on either side."""
        return self.low > 0 or math.isfinite(self.high)


@dataclass(frozen=True)
class Exchange:
    """The epochs of an arm that are worth a number of epochs of the reference, for one configuration.

    With `worth` 7 for `after` 3, the arm needs 7 epochs to reach what the reference has after 3.
    """

    arm: str
    reference: str
    configuration: str
    after: int
    """Epochs of the reference."""
    level: float
    """The mean of the metric that the reference has after them."""
    worth: Worth
    """Epochs of the arm."""
    longest: int
    """Last epoch of the curves: a number above it is not known."""
    seeds: int


def budgets(longest: int) -> tuple[int, ...]:
    """The epochs of the reference that are exchanged: a quarter, a half and three quarters of the longest.

    They are fixed beforehand, so that no level is chosen by the curves. Fewer for short curves, none for one
    epoch.
    """
    parts = (max(round(longest * part / 4 + 1e-9), 1) for part in (1, 2, 3))
    return tuple(dict.fromkeys(part for part in parts if part < longest))


def exchanges(
    found: Confirmed, arms: Sequence[str], reference: str, confidence: float
) -> tuple[Exchange, ...]:
    """The exchange rates of all arms with the reference: with the baseline, then tuned for the longest budget.

    Seeds are paired as in a verdict. None for an arm with fewer than five pairs, and none at all if a curve
    holds no shorter training.
    """
    if found.of_length:
        return ()
    others = [arm for arm in arms if arm != reference]
    tail, names = (1 - confidence) / 2, (BASELINE, TUNED_LONG)
    made = (_of_arm(found, arm, reference, name, tail) for name in names for arm in others)
    return tuple(exchange for of_arm in made for exchange in of_arm)


def _of_arm(
    found: Confirmed, arm: str, reference: str, name: str, tail: float
) -> Iterator[Exchange]:
    both = paired(found, (arm, name), (reference, name))
    if both is None:
        return
    of_arm, of_reference = both
    for after in budgets(found.epochs):
        level = of_reference[:, after - 1]
        yield Exchange(
            arm=arm,
            reference=reference,
            configuration=name,
            after=after,
            level=found.metric.sign * float(level.mean()),
            worth=worth(of_arm, level, tail),
            longest=found.epochs,
            seeds=len(level),
        )


def paired(
    found: Confirmed, arm: tuple[str, str], reference: tuple[str, str]
) -> tuple[Scores, Scores] | None:
    """The scores of arm and reference for the seeds with which both trained to the last epoch, if five did."""
    if arm not in found.runs or reference not in found.runs:
        return None
    a, b = found.runs[arm], found.runs[reference]
    of_each = (set(trained_slots(runs, found.epochs, found.guess)) for runs in (a, b))
    both = set.intersection(*of_each)
    if len(both) < LEAST_SEEDS:
        return None
    of_a, of_b = (scores(runs, sorted(both), found.epochs) for runs in (a, b))
    return found.metric.sign * of_a, found.metric.sign * of_b


def worth(curves: Scores, level: NDArray[Any], tail: float) -> Worth:
    """The epoch at which a curve reaches a level that every seed has of its own.

    `curves` are (seeds, epochs), `level` (seeds,); each bound has error probability `tail`, for new seeds.

    The bounds invert a test: with the true epoch, the mean of score − level over new seeds is zero, so Student's
    t interval of that mean contains zero with probability 1 − 2·`tail` there. The interval reaches from the first
    point of the curve at which its upper bound is not below zero to the last one at which its lower bound is not
    above. It holds for curves of any shape, and is wider than the level says where they are not monotone.
    The value is where the mean curve crosses the level between the two epochs between which its isotonic fit does;
    it is always within the interval.

    Reference: E. C. Fieller, Journal of the Royal Statistical Society B 16(2), 1954 (inverted tests).
    """
    epochs, gaps = _between_epochs(curves - level[:, None])
    mean, reach = _t_interval(gaps, tail)
    possible, below = np.flatnonzero(mean + reach >= 0), np.flatnonzero(mean - reach <= 0)
    first, last = _first(possible, len(epochs)), _last(below)
    return Worth(
        value=_crossing(mean[::STEPS]),
        # A step outward, as the true epoch may lie between two points.
        low=float(epochs[first - 1]) if first > 0 else 0.0,
        high=float(epochs[last + 1]) if last < len(epochs) - 1 else math.inf,
    )


def _first(places: NDArray[np.intp], none: int) -> int:
    return int(places[0]) if places.size else none


def _last(places: NDArray[np.intp]) -> int:
    return int(places[-1]) if places.size else -1


def _crossing(mean: NDArray[Any]) -> float:
    """The epoch at which the mean gaps become positive; the first one if they are from there on, or infinite.

    The isotonic fit becomes positive after the epoch at which the sum of the gaps is lowest.
    """
    place = int(np.argmin(np.concatenate([[0.0], np.cumsum(mean)])))
    if place == 0 or place == len(mean):
        return 1.0 if place == 0 else math.inf
    before, after = mean[place - 1], mean[place]
    return float(place - before / (after - before))


def _between_epochs(gaps: Scores) -> tuple[NDArray[Any], Scores]:
    """Points of straight lines between the epochs: their epochs, and the gaps of each seed there."""
    count = gaps.shape[1]
    epochs = np.linspace(1, count, (count - 1) * STEPS + 1)
    before = np.minimum(epochs.astype(int), count - 1)
    share = epochs - before
    return epochs, gaps[:, before - 1] * (1 - share) + gaps[:, before] * share


def _t_interval(gaps: Scores, tail: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """The mean over the seeds and the half-width of its interval, at every point."""
    n = len(gaps)
    deviation = gaps.std(axis=0, ddof=1)
    return gaps.mean(axis=0), float(stdtrit(n - 1, 1 - tail)) * deviation / math.sqrt(n)
