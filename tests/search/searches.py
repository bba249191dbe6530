"""Searches without a network: a sweep, its study, and trials whose scores are made up."""

from __future__ import annotations

import itertools

from normsweep.search.search_phase import Search
from normsweep.store.storage import open_study
from normsweep.sweep.schema import Sweep
from normsweep.sweep.study_record import DataFacts
from normsweep.sweep.trial import DataKey, Epoch, Result, Status, Trial

DATA = DataFacts(
    name="digits",
    source="test",
    digest="d1",
    train_images=10,
    test_images=5,
    classes=10,
)


KEY = DataKey("digits", "d1", 0.2)


BASE = """
name = "tested"
reference = "unit"
[data]
dataset = "digits"
[search]
trials = 24
[search.space]
normalization = ["none", "unit", "standardize"]
learning_rate = { low = 1e-5, high = 1e-1, log = true }
optimizer = ["sgd", "adam"]
momentum = { low = 0.0, high = 0.9, when = { optimizer = ["sgd"] } }
epochs = { low = 1, high = 6 }
"""


def opened(url: str, sweep: Sweep) -> Search:
    store = open_study(url, sweep.name, sweep)
    store.begin_study(DATA, {})
    return Search(store, sweep, KEY)


def accuracy(trial: Trial, epoch: int) -> float:
    """Best at a learning rate that differs by arm, better with more epochs."""
    best = {"none": 1e-4, "standardize": 1e-2}.get(trial.arm, 1e-3)
    distance = abs(trial.learning_rate / best - 1) if trial.learning_rate < best else 1
    return 0.9 - 0.3 * min(1.0, distance) - 0.05 / epoch


def train(search: Search, trial: Trial, status: Status = Status.COMPLETE) -> Result:
    curve = []
    for epoch in range(1, trial.epochs + 1):
        value = accuracy(trial, epoch)
        curve.append(Epoch(trial.number, epoch, 1.0, value, 1.0, value, 0.1))
        if not search.report(curve[-1]):
            status = Status.PRUNED
            break
    result = Result(trial.number, status, tuple(curve), chance=0.1, seconds=1.0)
    search.tell(result)
    return result


def run_all(search: Search, limit: int | None = None) -> list[Trial]:
    trials = []
    for _ in itertools.count() if limit is None else range(limit):
        if (trial := search.ask()) is None:
            break
        trials.append(trial)
        train(search, trial)
    return trials


def settings(trials: list[Trial]) -> list[tuple]:
    return [(t.arm, t.slot, tuple(sorted(t.params.items()))) for t in trials]
