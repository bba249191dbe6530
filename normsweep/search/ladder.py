"""The sampler for few trials: a ladder of learning rates that all arms share.

With n trials of an arm, the baseline among them, and k optimizers, each optimizer is tried at
⌊(n − 1)/k⌋ learning rates, the midpoints of equal cells of the range. All other parameters take the
points of a scrambled Sobol sequence (Sobol 1967). All of this is the same in every arm, so that no
arm is ahead by the luck of its sampler. The trials that are left over halve the interval around the
arm's best rate.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence

from optuna.trial import TrialState

from normsweep.parts.metrics import metric
from normsweep.search.advisor import Advisor, Params, seed_of
from normsweep.store.encoding import outcome
from normsweep.sweep.arms import Arm
from normsweep.sweep.schema import Sweep
from normsweep.sweep.space import Choice, Dimension, Scalar
from normsweep.sweep.trial import Result, Trial

__all__ = ["Ladder", "halved", "ladder", "sobol_point"]

RATE, OPTIMIZER = "learning_rate", "optimizer"


class Ladder:
    """The trials of one arm; slot 0 is the baseline's, and the pruner uses all of them."""

    def __init__(self, sweep: Sweep, arm: Arm, trials: int, pruner: Advisor) -> None:
        self._sweep, self._arm, self._pruner = sweep, arm, pruner
        self._space = arm.space(sweep.search.space)
        self._metric = metric(sweep.metric)
        self._plan = dict(enumerate(ladder(sweep, arm, trials), start=1))
        self._running: dict[int, Params] = {}
        self._scored: list[tuple[float, Params]] = []
        """Score, higher is better, and parameters of complete trials."""

    def settle(self, taken: Mapping[int, Mapping[str, Scalar]]) -> None:
        """Keep what stored trials have.

        If the study began with fewer trials, the free slots get the points that are farthest from it.
        """
        own = {slot: dict(params) for slot, params in taken.items() if slot}
        if all(own.get(slot, point) == point for slot, point in self._plan.items()):
            return
        free = [slot for slot in self._plan if slot not in own]
        points = [point for point in self._plan.values() if point not in own.values()]
        near = self._farthest(points, list(own.values()), min(len(free), len(points)))
        self._plan = own | dict(zip(free, near, strict=False))

    def planned(self, slot: int) -> Params | None:
        """The point of the slot; None for those that depend on the results so far."""
        return self._plan.get(slot)

    def choose(self, slot: int, fixed: Mapping[str, Scalar]) -> Params:
        """The point of the slot, or one next to the arm's best."""
        chosen = {**self._arm.params, **fixed}
        if len(fixed) < 2:
            chosen = {**(self._plan.get(slot) or self._next_to_best(slot)), **chosen}
        self._pruner.choose(slot, self._arm.searched(chosen))
        self._running[slot] = chosen
        return chosen

    def report(self, slot: int, epoch: int, value: float) -> bool:
        """Compare with the arm's other trials."""
        return self._pruner.report(slot, epoch, value)

    def tell(self, slot: int, value: float | None, state: TrialState) -> None:
        """Add a result."""
        self._pruner.tell(slot, value, state)
        self._add(self._running.pop(slot), value, state)

    def learn(self, trial: Trial, result: Result) -> None:
        """Add a trial that ended before this process started."""
        self._pruner.learn(trial, result)
        self._add(dict(trial.params), *outcome(result, self._metric))

    def _add(self, params: Params, value: float | None, state: TrialState) -> None:
        if state == TrialState.COMPLETE and value is not None:
            self._scored.append((self._metric.sign * value, params))

    def _next_to_best(self, slot: int) -> Params:
        """The arm's best point with another rate; a new point if there is none, or no other rate."""
        if self._scored and RATE not in self._arm.params:
            best = max(self._scored, key=lambda each: each[0])[1]
            rate = halved(self._space[RATE], best, self._scored, self._running.values())
            if rate is not None:
                return {**best, RATE: rate}
        fixed = self._sweep.fixed(self._arm)
        free = [d for d in self._space if d.name not in fixed]
        values = sobol_point(self._sweep.seed, free, slot)
        return self._space.only_active({**values, **fixed})

    def _farthest(self, points: list[Params], near: list[Params], count: int) -> list[Params]:
        """`count` of the points, each the farthest in its rate from all others of its optimizer."""
        rates, left, chosen = self._space[RATE], list(points), list[Params]()

        def distance(point: Params) -> float:
            same = [p for p in (*near, *chosen) if p[OPTIMIZER] == point[OPTIMIZER]]
            here = rates.to_unit(point[RATE])
            return min((abs(rates.to_unit(p[RATE]) - here) for p in same), default=math.inf)

        for _ in range(count):
            chosen.append(max(left, key=distance))
            left.remove(chosen[-1])
        return chosen


def ladder(sweep: Sweep, arm: Arm, trials: int) -> list[Params]:
    """The points of an arm, without the baseline and without what is left over."""
    space, fixed = arm.space(sweep.search.space), sweep.fixed(arm)
    optimizers, rates = space.choices(OPTIMIZER), space[RATE]
    count = max(1, (trials - 1) // len(optimizers))
    rungs = min(count, rates.count or count)
    order = _spread(rungs)
    others = [d for d in space if d.name not in (*fixed, RATE, OPTIMIZER)]
    points = []
    for i, (step, optimizer) in enumerate(itertools.product(range(count), optimizers)):
        rate = rates.from_unit((order[step % rungs] + 0.5) / rungs)
        values = {**sobol_point(sweep.seed, others, i), RATE: rate, OPTIMIZER: optimizer, **fixed}
        points.append(space.only_active(values))
    return points[: trials - 1]


def halved(
    rates: Dimension,
    best: Params,
    scored: Iterable[tuple[float, Params]],
    running: Iterable[Params] = (),
) -> Scalar | None:
    """The rate halfway from the best one to its better neighbor, or to the end of the range.

    Of a list of rates: the nearest that was not tried. None if there is no other rate.
    """
    tried = {
        params[RATE]: score for score, params in scored if params[OPTIMIZER] == best[OPTIMIZER]
    }
    tried |= {p[RATE]: -math.inf for p in running if p[OPTIMIZER] == best[OPTIMIZER]}
    if isinstance(rates, Choice):
        others = [rate for rate in rates.values if rate not in tried]
        here = rates.to_unit(best[RATE])
        return min(others, key=lambda rate: abs(rates.to_unit(rate) - here), default=None)
    if rates.high <= rates.low:
        return None
    units = {rates.to_unit(rate): score for rate, score in tried.items()}
    here = rates.to_unit(best[RATE])
    # An end of the range was not tried: a best rate next to it may have better ones beyond.
    below = max((u for u in units if u < here), default=0.0)
    above = min((u for u in units if u > here), default=1.0)
    sides = [(units.get(u, math.inf), abs(u - here), u) for u in (below, above) if u != here]
    return rates.from_unit((max(sides)[2] + here) / 2)


def sobol_point(seed: int, dimensions: Sequence[Dimension], index: int) -> Params:
    """The values of the `index`-th point of a scrambled Sobol sequence."""
    from scipy.stats import qmc

    if not dimensions:
        return {}
    engine = qmc.Sobol(len(dimensions), scramble=True, rng=seed_of(seed, 0))
    point = engine.fast_forward(index).random(1)[0] if index else engine.random(1)[0]
    return {d.name: d.from_unit(float(u)) for d, u in zip(dimensions, point, strict=True)}


def _spread(count: int) -> list[int]:
    """0 … count − 1, from the middle on, each as far from those before as possible."""
    left = list(range(count))
    order = [left.pop(count // 2)]
    while left:
        order.append(max(left, key=lambda i: min(abs(i - j) for j in order)))
        left.remove(order[-1])
    return order
