"""Samplers: choose the next parameters of an arm from the trials of that arm only.

A sampler that sees the trials of all arms would rank them together and leave the weakest arm
untuned. Each arm therefore has an in-memory Optuna study, which is filled with its stored trials.
The sampler is seeded for each trial, so that a resumed study asks for the same parameters as an
uninterrupted one. For an arm with very many trials, only the best and the latest are used, so that
the time per trial does not grow after the thousandth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import optuna
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from normsweep.parts.metrics import Metric, metric
from normsweep.store.encoding import distribution, outcome, value_of
from normsweep.sweep.schema import Sweep
from normsweep.sweep.space import Dimension, Scalar, Space
from normsweep.sweep.trial import Result, Trial

__all__ = ["Advisor", "make_advisor"]

Params = dict[str, Scalar]


LATEST, STEP, BEST = 1000, 100, 100
"""Sampler and pruner of an arm use its latest trials (at most 1000; older ones are dropped 100 at a
time) and the best 100 of the dropped ones."""


class Advisor(Protocol):
    """Chooses the parameters of the trials of one arm, and decides which to prune."""

    def settle(self, taken: Mapping[int, Mapping[str, Scalar]]) -> None:
        """Set the parameters of slots that were tried before; called first."""
        ...

    def planned(self, slot: int) -> Params | None:
        """The parameters of a slot if they are fixed in advance; None otherwise."""
        ...

    def choose(self, slot: int, fixed: Mapping[str, Scalar]) -> Params:
        """Choose the parameters of a slot, with the `fixed` ones as given."""
        ...

    def report(self, slot: int, epoch: int, value: float) -> bool:
        """Report a value; return whether the trial continues."""
        ...

    def tell(self, slot: int, value: float | None, state: TrialState) -> None:
        """Record the end of a trial whose parameters were chosen here."""
        ...

    def learn(self, trial: Trial, result: Result) -> None:
        """Add a trial that ended before this process started."""
        ...


def make_advisor(sweep: Sweep, arm: Scalar, trials: int) -> Advisor:
    """The advisor of an arm with `trials` trials in total."""
    space, compare = sweep.search.space, sweep.compare
    if sweep.search.sampler == "grid":
        return _Planned(_grid(space, compare, arm, sweep.seed), sweep, arm)
    if sweep.search.sampler == "qmc":
        return _Planned(_sobol(space, compare, arm, sweep.seed), sweep, arm)
    return _Adaptive(sweep, arm, trials)


class _Adaptive:
    """An in-memory Optuna study with the sampler and the pruner of the sweep."""

    def __init__(self, sweep: Sweep, arm: Scalar, trials: int) -> None:
        self._sweep, self._arm, self._metric = sweep, arm, metric(sweep.metric)
        # With TPE's default of 10 random trials, an arm of 10 trials would not be tuned.
        self._startup = max(4, min(trials, LATEST) // 4)
        self._past: list[FrozenTrial] = []
        self._study: optuna.Study | None = None
        self._dropped = 0
        self._asked: dict[int, optuna.Trial] = {}

    def settle(self, taken: Mapping[int, Mapping[str, Scalar]]) -> None:
        """Do nothing: the trials are added by `learn`."""

    def planned(self, slot: int) -> Params | None:
        """None: they depend on the trials known at that time."""
        return None

    def choose(self, slot: int, fixed: Mapping[str, Scalar]) -> Params:
        """Ask the Optuna study of the arm."""
        study = self._filled()
        study.sampler = self._sampler(slot)
        if fixed:
            study.enqueue_trial(dict(fixed))
        trial = self._asked[slot] = study.ask()
        chosen: Params = {self._sweep.compare: self._arm}
        for dimension in self._sweep.search.space.active(chosen):
            if dimension.name != self._sweep.compare:
                chosen[dimension.name] = suggest(trial, dimension)
        return chosen

    def report(self, slot: int, epoch: int, value: float) -> bool:
        """Compare with the other trials of the arm."""
        trial = self._asked[slot]
        trial.report(value, epoch)
        return not trial.should_prune()

    def tell(self, slot: int, value: float | None, state: TrialState) -> None:
        """Tell the Optuna study of the arm."""
        trial = self._asked.pop(slot)
        values = value if state == TrialState.COMPLETE else None
        frozen = trial.study.tell(trial, values, state=state)
        self._past.append(frozen)
        if self._study is not None and trial.study is not self._study:
            self._study.add_trial(frozen)

    def learn(self, trial: Trial, result: Result) -> None:
        """Add the trial without the compared parameter.

        Its distributions are those of the current space, whose limit of epochs may be higher.
        """
        value, state = outcome(result, self._metric)
        params = {k: v for k, v in trial.params.items() if k != self._sweep.compare}
        space = self._sweep.search.space
        self._past.append(
            optuna.trial.create_trial(
                state=state,
                value=value,
                params=params,
                distributions={name: distribution(space[name]) for name in params},
                intermediate_values={
                    epoch.epoch: value_of(epoch, self._metric) for epoch in result.curve
                },
            )
        )

    def _filled(self) -> optuna.Study:
        """The Optuna study with the past trials; rebuilt when more trials are dropped."""
        dropped = _dropped(len(self._past))
        if self._study is None or dropped != self._dropped:
            self._study, self._dropped = _memory_study(self._sweep), dropped
            self._study.add_trials(_remembered(self._past, dropped, self._metric))
        return self._study

    def _sampler(self, slot: int) -> optuna.samplers.BaseSampler:
        seed = _seed(self._sweep.seed, slot)
        if self._sweep.search.sampler != "tpe":
            return optuna.samplers.RandomSampler(seed=seed)
        conditional = any(dimension.when for dimension in self._sweep.search.space)
        return optuna.samplers.TPESampler(
            seed=seed,
            n_startup_trials=self._startup,
            multivariate=True,
            group=conditional,
        )


def _dropped(past: int) -> int:
    """Number of earliest trials to drop, which depends on the number of trials only."""
    return max(0, math.ceil((past - LATEST) / STEP) * STEP)


def _remembered(past: Sequence[FrozenTrial], dropped: int, by: Metric) -> list[FrozenTrial]:
    """The best of the dropped trials, and all others."""
    complete = [t for t in past[:dropped] if t.state == TrialState.COMPLETE]
    best = sorted(complete, key=lambda trial: by.sign * (trial.value or 0.0), reverse=True)[:BEST]
    return [*best, *past[dropped:]]


class _Points(Protocol):
    def __getitem__(self, slot: int, /) -> Params: ...


class _Planned:
    """Points that are fixed in advance; only the pruner uses other trials."""

    def __init__(self, points: _Points, sweep: Sweep, arm: Scalar) -> None:
        self._points, self._compare = points, sweep.compare
        self._pruner = _Adaptive(sweep, arm, 1)

    def settle(self, taken: Mapping[int, Mapping[str, Scalar]]) -> None:
        """Assign the new points of a grid that has grown to the free slots."""
        if isinstance(self._points, list):
            old = {frozenset(params.items()) for params in taken.values()}
            new = iter([point for point in self._points if frozenset(point.items()) not in old])
            slots = range(len(self._points))
            self._points = [dict(taken[slot]) if slot in taken else next(new) for slot in slots]

    def planned(self, slot: int) -> Params | None:
        """The point of the slot."""
        return self._points[slot]

    def choose(self, slot: int, fixed: Mapping[str, Scalar]) -> Params:
        """The point of the slot."""
        chosen = {**self._points[slot], **fixed}
        own = {k: v for k, v in chosen.items() if k != self._compare}
        self._pruner.choose(slot, own)
        return chosen

    def report(self, slot: int, epoch: int, value: float) -> bool:
        """Compare with the other trials of the arm."""
        return self._pruner.report(slot, epoch, value)

    def tell(self, slot: int, value: float | None, state: TrialState) -> None:
        """Pass the trial to the pruner."""
        self._pruner.tell(slot, value, state)

    def learn(self, trial: Trial, result: Result) -> None:
        """Pass the trial to the pruner."""
        self._pruner.learn(trial, result)


def _grid(space: Space, compare: str, arm: Scalar, seed: int) -> list[Params]:
    """All points of an arm in a random order by the seed, so that a part of them covers the grid.

    Of points that differ in their epochs only, the longest comes first: its curve contains the others.
    """
    points = space.points({compare: arm})
    order = np.random.default_rng(_seed(seed, 0)).permutation(len(points))
    shuffled = [points[i] for i in order]
    alike: dict[tuple[tuple[str, Scalar], ...], list[Params]] = {}
    for point in shuffled:
        alike.setdefault(_but_epochs(point), []).append(point)
    for family in alike.values():
        family.sort(key=lambda point: int(point["epochs"]))
    return [alike[_but_epochs(point)].pop() for point in shuffled]


def _but_epochs(point: Params) -> tuple[tuple[str, Scalar], ...]:
    return tuple((name, value) for name, value in point.items() if name != "epochs")


def _sobol(space: Space, compare: str, arm: Scalar, seed: int) -> _Points:
    """A scrambled Sobol sequence over the unit cube, mapped to the space (Sobol 1967)."""

    class Sequence:
        def __getitem__(self, slot: int) -> Params:
            from scipy.stats import qmc

            dimensions = [d for d in space if d.name != compare]
            engine = qmc.Sobol(len(dimensions), scramble=True, rng=_seed(seed, 0))
            point = engine.fast_forward(slot).random(1)[0] if slot else engine.random(1)[0]
            values = {d.name: d.from_unit(float(u)) for d, u in zip(dimensions, point, strict=True)}
            return space.only_active({**values, compare: arm})

    return Sequence()


def _memory_study(sweep: Sweep) -> optuna.Study:
    pruners: dict[str, optuna.pruners.BasePruner] = {
        "none": optuna.pruners.NopPruner(),
        "median": optuna.pruners.MedianPruner(),
        "halving": optuna.pruners.SuccessiveHalvingPruner(),
    }
    return optuna.create_study(
        direction=metric(sweep.metric).direction, pruner=pruners[sweep.search.pruner]
    )


def _seed(seed: int, slot: int) -> int:
    # The same for all arms, so that they start with the same points.
    return int(np.random.SeedSequence([seed, slot]).generate_state(1)[0])


def suggest(trial: optuna.Trial, dimension: Dimension) -> Scalar:
    """Suggest the value of a parameter, or use the enqueued one."""
    match distribution(dimension):
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(dimension.name, choices)  # type: ignore[return-value]
        case IntDistribution(low=low, high=high, log=log, step=step):
            return trial.suggest_int(dimension.name, low, high, log=log, step=step)
        case FloatDistribution(low=low, high=high, log=log, step=step):
            return trial.suggest_float(dimension.name, low, high, log=log, step=step)
        case other:
            raise TypeError(f"no such distribution: {other}")
