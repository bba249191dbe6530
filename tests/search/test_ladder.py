"""The ladder of learning rates: the same in every arm, then halvings around an arm's best rate."""

from __future__ import annotations

import math

import pytest

from normsweep.search.ladder import halved, ladder
from normsweep.sweep.space import Choice, Range
from tests.search.searches import accuracy, opened, run_all

RATES = Range("learning_rate", 1e-4, 1e-1, log=True)


def tried(*pairs: tuple[float, float]):
    return [(score, {"learning_rate": rate, "optimizer": "adam"}) for rate, score in pairs]


def exponent(rate) -> float:
    return round(math.log10(rate), 6)


@pytest.mark.parametrize(("trials", "rungs", "left"), [(7, 3, 0), (8, 3, 1), (13, 6, 0), (2, 1, 0)])
def test_each_optimizer_has_the_midpoints_of_equal_cells(sweep, trials, rungs, left):
    made = sweep("search.space.learning_rate={ low = 1e-6, high = 1.0, log = true }")
    points = ladder(made, made.arm("unit"), trials)
    assert len(points) == trials - 1 - left
    midpoints = sorted(-6 + 6 * (i + 0.5) / rungs for i in range(rungs))
    for optimizer in ("sgd", "adam")[: len(points)]:
        rates = [p["learning_rate"] for p in points if p["optimizer"] == optimizer]
        assert sorted(map(exponent, rates)) == pytest.approx(midpoints)
    assert {p["epochs"] for p in points} == {6}


def test_all_arms_try_the_same_points_in_the_same_order(url, sweep):
    trials = run_all(opened(url, sweep()))
    by_arm = [
        [{**t.params, "normalization": ""} for t in trials if t.arm == arm][:7]
        for arm in ("none", "unit")
    ]
    assert by_arm[0] == by_arm[1]
    momenta = [p["momentum"] for p in by_arm[0] if p["optimizer"] == "sgd"]
    assert len(set(momenta)) == 3


def test_what_is_left_over_halves_the_interval_around_the_best_rate(url, sweep):
    trials = run_all(opened(url, sweep()))
    for arm in ("none", "unit", "standardize"):
        *before, last = [t for t in trials if t.arm == arm]
        best = max(before, key=lambda t: accuracy(t, t.epochs))
        assert (last.slot, last.optimizer) == (7, best.optimizer)
        cell = 4 / 3  # of three, in decades
        assert 0 < abs(exponent(last.learning_rate / best.learning_rate)) <= cell / 2 + 1e-6


def test_more_trials_fill_the_largest_gaps(url, sweep):
    first = run_all(opened(url, sweep("search.trials=15")))
    more = run_all(opened(url, sweep("search.trials=27")))
    assert (len(first), len(more)) == (15, 12)
    own = [t for t in (*first, *more) if t.arm == "unit" and t.slot]
    for optimizer in ("sgd", "adam"):
        rates = sorted(exponent(t.learning_rate) for t in own if t.optimizer == optimizer)
        assert len(set(rates)) == 4


def test_halfway_to_the_better_neighbor_or_to_the_end():
    ladder = tried((10**-3.5, 0.5), (10**-2.5, 0.9), (10**-1.5, 0.7))
    assert exponent(halved(RATES, ladder[1][1], ladder)) == -2
    running = [{"learning_rate": 1e-2, "optimizer": "adam"}]
    assert exponent(halved(RATES, ladder[1][1], ladder, running)) == -3
    rising = tried((10**-3.5, 0.5), (10**-2.5, 0.6), (10**-1.5, 0.7))
    assert exponent(halved(RATES, rising[2][1], rising)) == -1.25


def test_other_optimizers_do_not_count():
    scored = [*tried((10**-2.5, 0.9)), (0.8, {"learning_rate": 10**-2.4, "optimizer": "sgd"})]
    assert exponent(halved(RATES, scored[0][1], scored)) == -1.75


def test_of_a_list_the_nearest_untried_rate_and_of_a_fixed_one_none():
    rates = Choice("learning_rate", (0.1, 0.001, 0.01, 0.0001))
    assert halved(rates, tried((0.001, 1))[0][1], tried((0.001, 1), (0.01, 0))) == 0.0001
    assert halved(rates, tried((0.1, 1))[0][1], tried(*((r, 1) for r in rates.values))) is None
    fixed = Range("learning_rate", 0.1, 0.1)
    assert halved(fixed, tried((0.1, 1))[0][1], tried((0.1, 1))) is None


@pytest.mark.parametrize(
    ("overrides", "sampler"),
    [
        ([], "ladder"),
        (["search.trials=45"], "ladder"),
        (["search.trials=46"], "tpe"),
        (["search.trials=46", "search.pruner=halving"], "ladder"),
        (["search.trials=94", "search.pruner=halving"], "tpe"),
        (["search.sampler=random"], "random"),
        (["rules=1"], "tpe"),
    ],
)
def test_a_ladder_is_the_default_below_sixteen_trials_of_an_arm(sweep, overrides, sampler):
    assert sweep(*overrides).sampler == sampler


@pytest.mark.parametrize(
    "overrides",
    [
        ["search.space.learning_rate=0.01"],
        ["search.space.learning_rate=[0.01, 0.1]"],
        ["compare=learning_rate", "search.space.learning_rate=[0.01, 0.1]", "reference=0.1"],
        ["compare=optimizer", "reference=adam"],
        ["search.trials=3"],
        ["search.trials=6"],
        ["search.space.learning_rate={ low = 1e-3, high = 1e-3 }", "search.trials=24"],
        ["search.space.batch_size={ low = 16, high = 64 }"],
    ],
)
def test_any_space_has_a_ladder(tmp_path, sweep, overrides):
    made = sweep("search.trials=15", "search.space.epochs={ low = 1, high = 2 }", *overrides)
    trials = run_all(opened(f"sqlite:///{tmp_path}/a.db", made))
    assert len(trials) == made.total_trials
    parts = [t for n in (4, 5, 99) for t in run_all(opened(f"sqlite:///{tmp_path}/b.db", made), n)]
    assert [t.params for t in parts] == [t.params for t in trials]
