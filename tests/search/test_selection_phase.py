"""The selection round: each arm's best trials and its baseline on further seeds."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from normsweep.search.search_phase import Search
from normsweep.search.selection import chosen_configurations
from normsweep.search.selection_phase import SelectionRound
from normsweep.sweep.study_record import BASELINE, TUNED_LONG, Configuration
from normsweep.sweep.trial import SELECT, Epoch, Result, Status, Trial
from tests.search.searches import accuracy, opened, run_all

LONG = "confirm.baseline.epochs=6"  # one budget: that of the longest


def selection(search: Search) -> SelectionRound:
    return SelectionRound(search.store, search.sweep, search.records())


def tuned(search: Search, arm: str) -> Configuration:
    again = [r for r in search.store.trials() if r.trial.phase == SELECT]
    chosen = chosen_configurations(search.sweep, search.records(), again)
    return next(c for c in chosen if (c.arm, c.name) == (arm, TUNED_LONG))


def run_round(found: SelectionRound, bad: dict[int, float] | None = None) -> list[Trial]:
    """Train what is left; `bad`: how much worse the candidates of these trials are on further seeds."""
    trials = []
    while (trial := found.ask()) is not None:
        trials.append(trial)
        worse = (bad or {}).get(int(trial.configuration.removeprefix("trial_")), 0.0)
        values = [accuracy(trial, e) - worse for e in range(1, trial.epochs + 1)]
        curve = tuple(
            Epoch(trial.number, e, 1, v, 1, v, 0.1) for e, v in enumerate(values, start=1)
        )
        found.tell(Result(trial.number, Status.COMPLETE, curve, chance=0.1))
    return trials


def best(search: Search, arm: str) -> list[int]:
    """The numbers of an arm's trials, best first."""
    own = [r for r in search.records() if r.trial.arm == arm]
    return [r.trial.number for r in sorted(own, key=lambda r: -r.result.score)]


def test_the_best_and_the_baseline_are_trained_on_seeds_of_their_own(url, sweep):
    search = opened(url, sweep(LONG))
    run_all(search)
    found = selection(search)
    trials = run_round(found)
    assert found.total == len(trials)
    for arm in ("none", "unit", "standardize"):
        own = Counter(t.configuration for t in trials if t.arm == arm)
        baseline = next(r.trial.number for r in search.records() if r.trial.arm == arm)
        assert set(own) == {f"trial_{n}" for n in {*best(search, arm)[:3], baseline}}
        assert set(own.values()) == {2}
    seeds = {t.seed for t in trials}
    made = sweep(LONG, "confirm.seeds=10000")
    assert not seeds & {made.seed, *made.confirm_seeds}
    assert {t.epochs for t in trials} == {6}
    assert [t.phase for t in trials] == [SELECT] * len(trials)


def test_each_number_of_epochs_has_candidates_of_its_own(url, sweep):
    search = opened(url, sweep("confirm.baseline.epochs=1"))
    while (trial := search.ask()) is not None:  # low rates are best at first, high ones in the end
        u = trial.slot / 8
        values = [1 - u, *([0.5] * 4), u]
        curve = tuple(Epoch(trial.number, e, 1, v, 1, v, 1) for e, v in enumerate(values, start=1))
        search.tell(Result(trial.number, Status.COMPLETE, curve, chance=0.1))
    plan = run_round(selection(search))
    slots = {int(t.configuration.removeprefix("trial_")) // 3 for t in plan}
    assert slots == {0, 1, 2, 5, 6, 7}


def test_the_best_mean_over_all_seeds_is_chosen(url, sweep):
    search = opened(url, sweep(LONG))
    run_all(search)
    first, second = best(search, "unit")[:2]
    assert tuned(search, "unit").trial == first
    run_round(selection(search), {first: 0.4})
    found = tuned(search, "unit")
    assert (found.trial, found.among, found.of, found.reselected) == (second, 8, 8, 2)
    assert tuned(search, "none").trial == best(search, "none")[0]


def test_an_unfinished_round_leaves_the_choice_of_the_search(url, sweep):
    search = opened(url, sweep(LONG))
    run_all(search)
    found = selection(search)
    trial = found.ask()
    found.tell(Result(trial.number, Status.CRASHED, error="why"))
    assert tuned(search, trial.arm).reselected == 0
    retried = found.ask()
    assert replace(retried, number=0) == replace(trial, number=0)


def test_a_round_is_resumed_and_more_trials_add_to_it(url, sweep):
    search = opened(url, sweep(LONG))
    run_all(search)
    found = selection(search)
    first = found.ask()
    found.tell(Result(first.number, Status.INTERRUPTED))
    again = selection(opened(url, sweep(LONG)))
    assert again.left == found.total
    done = run_round(again)
    search = opened(url, sweep(LONG, "search.trials=30"))
    run_all(search)
    more = selection(search)
    assert 0 <= more.left < len(done)
    assert selection(opened(url, sweep(LONG, "search.trials=30"))).left == more.left


@pytest.mark.parametrize(
    ("overrides", "seeds"),
    [
        ([], 2),
        (["search.trials=21"], 0),
        (["search.trials=21", "select.seeds=3"], 3),
        (["select.seeds=0"], 0),
        (["rules=1"], 0),
    ],
)
def test_there_is_a_round_from_eight_trials_of_an_arm_on(url, sweep, overrides, seeds):
    made = sweep(*overrides)
    assert len(made.selection_seeds) == seeds
    search = opened(url, made)
    run_all(search)
    assert bool(selection(search).total) == bool(seeds)


def test_a_baseline_that_is_the_best_is_not_trained_twice(url, sweep):
    search = opened(url, sweep(LONG, "confirm.baseline.learning_rate=0.001"))
    run_all(search)
    plan = run_round(selection(search))
    assert len({t.fingerprint for t in plan}) == len(plan)
    assert BASELINE not in {t.configuration for t in plan}
