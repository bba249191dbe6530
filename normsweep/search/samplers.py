"""Samplers and pruners that choose the parameters of an arm only from the trials of that arm.

A sampler for all arms would rank their trials together and leave the weakest arm untuned. Each arm
therefore has its own Optuna study in memory, which is filled with the stored trials. The sampler
gets a new seed for each trial, so that an interrupted and resumed study chooses the same parameters
as an uninterrupted one. If an arm has very many trials, its study gets only the best and the latest
ones, so that the cost of a trial does not grow further.
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
from normsweep.search.advisor import Advisor, BaselineFirst, Params, seed_of
from normsweep.search.ladder import Ladder, sobol_point
from normsweep.store.encoding import distribution, outcome, value_of
from normsweep.sweep.arms import Arm
from normsweep.sweep.schema import Sweep
from normsweep.sweep.space import Dimension, Scalar
from normsweep.sweep.trial import Result, Trial

__all__ = ["asha_share", "make_advisor"]

LATEST, STEP, BEST = 1000, 100, 100
"""An arm's sampler and pruner use its latest trials and the best of the earlier ones. Beyond `LATEST`
trials, `STEP` at a time are left out."""


def make_advisor(sweep: Sweep, arm: Arm, trials: int) -> Advisor:
    """The advisor of an arm with `trials` trials in total."""
    advisor = _advisor(sweep, arm, trials)
    return advisor if sweep.rules == 1 else BaselineFirst(advisor, sweep, arm)


def _advisor(sweep: Sweep, arm: Arm, trials: int) -> Advisor:
    match sweep.sampler:
        case "grid":
            return _Planned(_grid(sweep, arm), sweep, arm)
        case "qmc":
            return _Planned(_sobol(sweep, arm), sweep, arm)
        case "ladder":
            return Ladder(sweep, arm, trials, _Adaptive(sweep, arm, 1))
        case _:
            return _Adaptive(sweep, arm, trials)


class _Adaptive:
    """An in-memory study with the sampler and the pruner of the sweep."""

    def __init__(self, sweep: Sweep, arm: Arm, trials: int) -> None:
        self._sweep, self._arm, self._metric = sweep, arm, metric(sweep.metric)
        self._space, fixed = arm.space(sweep.search.space), sweep.fixed(arm)
        self._sampled = [d.name for d in self._space if d.name not in fixed]
        # TPE's default of 10 random trials would leave an arm with 10 trials untuned.
        self._startup = max(4, min(trials, LATEST) // 4)
        self._past: list[FrozenTrial] = []
        self._study: optuna.Study | None = None
        self._left_out = 0
        self._asked: dict[int, optuna.Trial] = {}

    def settle(self, taken: Mapping[int, Mapping[str, Scalar]]) -> None:
        """Nothing to do: `learn` adds the trials."""

    def planned(self, slot: int) -> Params | None:
        """None: they depend on the results so far."""
        return None

    def choose(self, slot: int, fixed: Mapping[str, Scalar]) -> Params:
        """Ask the study of the arm."""
        study = self._filled()
        study.sampler = self._sampler(slot)
        if given := {k: v for k, v in fixed.items() if k in self._sampled}:
            study.enqueue_trial(given)
        trial = self._asked[slot] = study.ask()
        chosen: Params = dict(self._arm.params)
        if not self._sweep.samples_epochs:
            chosen["epochs"] = fixed.get("epochs", self._sweep.longest)
        for dimension in self._space.active(chosen):
            if dimension.name in self._sampled:
                chosen[dimension.name] = suggest(trial, dimension)
        return chosen

    def report(self, slot: int, epoch: int, value: float) -> bool:
        """Compare with the arm's other trials."""
        trial = self._asked[slot]
        trial.report(value, epoch)
        return not trial.should_prune()

    def tell(self, slot: int, value: float | None, state: TrialState) -> None:
        """Tell the study of the arm."""
        trial = self._asked.pop(slot)
        values = value if state == TrialState.COMPLETE else None
        told = trial.study.tell(trial, values, state=state)
        self._past.append(told)
        if self._study is not None and trial.study is not self._study:
            self._study.add_trial(told)

    def learn(self, trial: Trial, result: Result) -> None:
        """Add the trial without the parameters that define its arm.

        It gets the distributions of the current sweep: the limit of epochs may have been raised since.
        """
        value, state = outcome(result, self._metric)
        params = {k: v for k, v in trial.params.items() if k in self._sampled}
        self._past.append(
            optuna.trial.create_trial(
                state=state,
                value=value,
                params=params,
                distributions={name: distribution(self._space[name]) for name in params},
                intermediate_values={
                    epoch.epoch: value_of(epoch, self._metric) for epoch in result.curve
                },
            )
        )

    def _filled(self) -> optuna.Study:
        """The study of the arm with its trials; a new one if more trials are to be left out."""
        left_out = _left_out(len(self._past))
        if self._study is None or left_out != self._left_out:
            self._study, self._left_out = _memory_study(self._sweep), left_out
            self._study.add_trials(_remembered(self._past, left_out, self._metric))
        return self._study

    def _sampler(self, slot: int) -> optuna.samplers.BaseSampler:
        seed = seed_of(self._sweep.seed, slot)
        if self._sweep.sampler == "gp":
            return optuna.samplers.GPSampler(
                seed=seed, n_startup_trials=self._startup, warn_independent_sampling=False
            )
        if self._sweep.sampler != "tpe":
            return optuna.samplers.RandomSampler(seed=seed)
        conditional = any(dimension.when for dimension in self._space)
        return optuna.samplers.TPESampler(
            seed=seed,
            n_startup_trials=self._startup,
            multivariate=True,
            group=conditional,
        )


def _left_out(past: int) -> int:
    """Number of the earliest trials that are left out."""
    return max(0, math.ceil((past - LATEST) / STEP) * STEP)


def _remembered(past: Sequence[FrozenTrial], left_out: int, by: Metric) -> list[FrozenTrial]:
    """The best of the trials that are left out, and all others."""
    complete = [t for t in past[:left_out] if t.state == TrialState.COMPLETE]
    best = sorted(complete, key=lambda trial: by.sign * (trial.value or 0.0), reverse=True)[:BEST]
    return [*best, *past[left_out:]]


class _Points(Protocol):
    def __getitem__(self, slot: int, /) -> Params: ...


class _Planned:
    """A fixed sequence of points; only the pruner uses other trials."""

    def __init__(self, points: _Points, sweep: Sweep, arm: Arm) -> None:
        self._points, self._arm = points, arm
        self._pruner = _Adaptive(sweep, arm, 1)

    def settle(self, taken: Mapping[int, Mapping[str, Scalar]]) -> None:
        """Assign the new points of a grid that was extended to the free slots."""
        if isinstance(self._points, list):
            old = {frozenset(params.items()) for params in taken.values()}
            new = [point for point in self._points if frozenset(point.items()) not in old]
            slots, rest = range(len(new) + len(taken)), iter(new)
            self._points = [dict(taken[slot]) if slot in taken else next(rest) for slot in slots]

    def planned(self, slot: int) -> Params | None:
        """The point of the slot."""
        return self._points[slot]

    def choose(self, slot: int, fixed: Mapping[str, Scalar]) -> Params:
        """The point of the slot."""
        chosen = {**self._points[slot], **fixed}
        self._pruner.choose(slot, self._arm.searched(chosen))
        return chosen

    def report(self, slot: int, epoch: int, value: float) -> bool:
        """Compare with the arm's other trials."""
        return self._pruner.report(slot, epoch, value)

    def tell(self, slot: int, value: float | None, state: TrialState) -> None:
        """Tell the pruner."""
        self._pruner.tell(slot, value, state)

    def learn(self, trial: Trial, result: Result) -> None:
        """Tell the pruner."""
        self._pruner.learn(trial, result)


def _grid(sweep: Sweep, arm: Arm) -> list[Params]:
    """All points of an arm in random order, so that any part of them covers the grid.

    Of points that differ only in epochs, the one with most epochs comes first: it has the others.
    """
    points = sweep.points(arm)
    first = [] if sweep.rules == 1 else points[:1]
    points = points[len(first) :]
    order = np.random.default_rng(seed_of(sweep.seed, 0)).permutation(len(points))
    shuffled = [points[i] for i in order]
    alike: dict[tuple[tuple[str, Scalar], ...], list[Params]] = {}
    for point in shuffled:
        alike.setdefault(_but_epochs(point), []).append(point)
    for family in alike.values():
        family.sort(key=lambda point: int(point["epochs"]))
    return first + [alike[_but_epochs(point)].pop() for point in shuffled]


def _but_epochs(point: Params) -> tuple[tuple[str, Scalar], ...]:
    return tuple((name, value) for name, value in point.items() if name != "epochs")


def _sobol(sweep: Sweep, arm: Arm) -> _Points:
    """A scrambled Sobol sequence over the unit cube, mapped to the space."""
    space, fixed = arm.space(sweep.search.space), sweep.fixed(arm)
    free = [d for d in space if d.name not in fixed]

    class Sequence:
        def __getitem__(self, slot: int) -> Params:
            values = sobol_point(sweep.seed, free, slot)
            return space.only_active({**values, **fixed})

    return Sequence()


def _memory_study(sweep: Sweep) -> optuna.Study:
    pruners: dict[str, optuna.pruners.BasePruner] = {
        "none": optuna.pruners.NopPruner(),
        "median": optuna.pruners.MedianPruner(),
        "halving": optuna.pruners.SuccessiveHalvingPruner(),
        "asha": optuna.pruners.SuccessiveHalvingPruner(),
    }
    return optuna.create_study(
        direction=metric(sweep.metric).direction, pruner=pruners[sweep.search.pruner]
    )


def asha_share(trials: int, epochs: int, most: int = 64) -> float:
    """Share of an arm's epochs that `asha` trains, if the order of its trials never changes.

    The arm's first trial, the baseline, is not pruned. At most `most` trials are simulated.
    """
    study = optuna.create_study(pruner=optuna.pruners.SuccessiveHalvingPruner())
    scores, trained = np.random.default_rng(0).random(min(trials, most)), 0
    for slot, score in enumerate(scores):
        trial = study.ask()
        for epoch in range(1, epochs + 1):
            trial.report(score, epoch)
            trained += 1
            if trial.should_prune() and slot:
                break
        study.tell(trial, score)
    return trained / (len(scores) * epochs)


def suggest(trial: optuna.Trial, dimension: Dimension) -> Scalar:
    """Suggest the value of a parameter with an Optuna trial."""
    match distribution(dimension):
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(dimension.name, choices)  # type: ignore[return-value]
        case IntDistribution(low=low, high=high, log=log, step=step):
            return trial.suggest_int(dimension.name, low, high, log=log, step=step)
        case FloatDistribution(low=low, high=high, log=log, step=step):
            return trial.suggest_float(dimension.name, low, high, log=log, step=step)
        case other:
            raise TypeError(f"no such distribution: {other}")
