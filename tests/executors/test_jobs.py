"""Which trials a worker may have at once, and how long each of them has had."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from normsweep.executors.worker_handle import Job, Jobs, is_free
from normsweep.sweep.trial import Epoch, Result, Status, Trial


@pytest.fixture
def of(trial: Callable[..., Trial]) -> Callable[..., Trial]:
    numbers = iter(range(100))
    return lambda **fields: trial(number=next(numbers), **fields)


def test_a_stack_has_room_for_so_many_alike_and_a_worker_for_a_second_kind(of):
    jobs = Jobs(2)
    for fields in ({"seed": 1}, {"seed": 2}, {"optimizer": "sgd"}):
        assert jobs.room(of(**fields))
        jobs.add(Job(of(**fields)))
    assert not jobs.room(of(seed=3))
    assert jobs.room(of(optimizer="sgd", seed=3))


def test_optimizers_whose_options_are_other_numbers_are_alike_and_with_other_switches_not(of):
    trials = [
        of(optimizer="sgd", optimizer_options={"momentum": momentum, "nesterov": nesterov})
        for momentum, nesterov in [(0.9, True), (0.5, True), (0.9, False)]
    ]
    first, number, switch = (trial.structure for trial in trials)
    assert first == number != switch


@pytest.mark.parametrize("fields", [{"callback": "own"}, {"steps_per_epoch": 3}], ids=str)
def test_a_trial_by_itself_has_a_worker_of_its_own(of, fields):
    jobs = Jobs(4)
    jobs.add(Job(of()))
    assert not jobs.room(of(**fields))
    own = Jobs(4)
    own.add(Job(of(**fields)))
    assert not own.room(of())
    assert not own.room(of(**fields))
    assert not is_free([of(**fields)], 1, 4)
    assert is_free([of(**fields)], 2, 4)


def test_of_trials_that_are_alike_there_are_as_many_as_slots(of):
    alike = [of(seed=seed) for seed in range(8)]
    assert is_free(alike[:7], 2, 4)
    assert not is_free(alike, 2, 4)
    assert is_free([*alike[:7], *(of(optimizer="sgd") for _ in range(8))], 2, 8)


def test_the_seconds_of_a_stacked_trial_are_its_share(of):
    curve = tuple(Epoch(0, n, 1.0, 0.5, 1.0, 0.5, 0.1 * n) for n in (1, 2, 3))
    alone = Result(0, Status.COMPLETE, curve, seconds=9.0, reused=1)
    assert alone.worker_seconds == 9.0
    assert replace(alone, machine={"stack": "4"}).worker_seconds == pytest.approx(0.5)
