"""The test scores of the confirmation by arm, configuration, number of epochs and seed, and their spread."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normsweep.analysis.confirm_runs import Confirmed, Guess, Runs
from normsweep.analysis.endings import Ended
from normsweep.analysis.parity import window_of
from normsweep.sweep.study_record import BASELINE, BASELINE_SHORT, TUNED_SHORT, Configuration

__all__ = ["SeedScore", "Spread", "scores", "seed_scores", "spreads", "trained_slots"]


@dataclass(frozen=True)
class SeedScore:
    """The test score of one seed after a number of epochs."""

    configuration: Configuration
    epochs: int
    slot: int
    """Index of the seed, from 0."""
    trial: int | None
    """None if the run failed."""
    value: float
    """The metric on the test images; NaN if the seed did not get so far."""
    ended: Ended
    window: int = 1
    """Epochs of the trailing mean that a gap after so many epochs is taken of."""
    mean: float = math.nan
    """Mean of the metric over these epochs."""
    paired: bool = False
    """Whether it and the reference's run with the same seed and configuration trained."""


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation of the test scores of a configuration after a number of epochs."""

    configuration: Configuration
    epochs: int
    mean: float
    deviation: float
    """Over the seeds, with n − 1; NaN for fewer than two seeds."""
    lowest: float
    highest: float
    trained: int
    """Seeds that trained, over which the mean is taken."""
    seeds: int


def seed_scores(
    found: Confirmed,
    baseline_epochs: int,
    reference: str = "",
    window: Callable[[int], int] = window_of,
) -> tuple[SeedScore, ...]:
    """One score a configuration, number of epochs and seed, in this order.

    The numbers of epochs are those that the questions are asked for: the baseline's, and the longest.
    """
    short = min(baseline_epochs, found.epochs)
    return tuple(
        score
        for (_, name), runs in found.runs.items()
        for epochs in _budgets(name, short, found.epochs, runs.of_length)
        for score in _of_seeds(
            runs,
            found.runs.get((reference, name)),
            epochs,
            1 if runs.of_length else window(epochs),
            found.guess,
        )
    )


def spreads(scored: Sequence[SeedScore]) -> tuple[Spread, ...]:
    """One row a configuration and number of epochs."""
    keys = dict.fromkeys((s.configuration.arm, s.configuration.name, s.epochs) for s in scored)
    groups = {key: [] for key in keys}
    for s in scored:
        groups[s.configuration.arm, s.configuration.name, s.epochs].append(s)
    return tuple(map(_spread, groups.values()))


def scores(runs: Runs, slots: Sequence[int], epochs: int) -> NDArray[np.float64]:
    """The metric on the test images, (seeds, epochs), of seeds that got so far."""
    return np.array([_tested(runs, slot, epochs) for slot in slots])


def trained_slots(runs: Runs, epochs: int, guess: Guess | None) -> list[int]:
    """The seeds that trained for so many epochs."""
    by_slot, _ = runs.trained(epochs, guess)
    return [slot for slot, trained in by_slot.items() if trained]


def _budgets(name: str, short: int, longest: int, of_length: bool) -> tuple[int, ...]:
    """A configuration tuned or trained for a number of epochs is asked for no other."""
    of_baseline = (longest,) if of_length else (short, longest)
    asked = {BASELINE: of_baseline, BASELINE_SHORT: (short,), TUNED_SHORT: (short,)}
    return tuple(dict.fromkeys(asked.get(name, (longest,))))


def _of_seeds(
    runs: Runs, reference: Runs | None, epochs: int, window: int, guess: Guess | None
) -> Iterator[SeedScore]:
    trained = set(trained_slots(runs, epochs, guess))
    if runs.of_length or (reference is not None and reference.of_length):
        window = 1  # no other epoch is read
    paired = trained.intersection(trained_slots(reference, epochs, guess) if reference else ())
    for slot, result in enumerate(runs.results):
        there = runs.tested(slot) >= epochs
        yield SeedScore(
            configuration=runs.configuration,
            epochs=epochs,
            slot=slot,
            trial=None if result is None else result.trial,
            value=_tested(runs, slot, epochs)[-1] if there else math.nan,
            ended=_ended(slot in trained, there, result is None),
            window=window,
            mean=_mean(runs, slot, epochs, window) if there else math.nan,
            paired=slot in paired,
        )


def _mean(runs: Runs, slot: int, epochs: int, window: int) -> float:
    return sum(_tested(runs, slot, epochs)[-window:]) / window


def _ended(trained: bool, there: bool, failed: bool) -> Ended:
    if trained:
        return Ended.TRAINED
    return Ended.STUCK if there else Ended.FAILED if failed else Ended.DIVERGED


def _tested(runs: Runs, slot: int, epochs: int) -> list[float]:
    """The score of a seed after 1, 2, … epochs."""
    result: Any = runs.results[slot]
    return [epoch.tested.value for epoch in result.course(epochs)]


def _spread(scored: Sequence[SeedScore]) -> Spread:
    values = np.array([s.value for s in scored if s.ended is Ended.TRAINED])
    some = len(values) > 0
    return Spread(
        configuration=scored[0].configuration,
        epochs=scored[0].epochs,
        mean=float(values.mean()) if some else math.nan,
        deviation=float(values.std(ddof=1)) if len(values) > 1 else math.nan,
        lowest=float(values.min()) if some else math.nan,
        highest=float(values.max()) if some else math.nan,
        trained=len(values),
        seeds=len(scored),
    )
