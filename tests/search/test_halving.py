"""Halving of a ladder: twice as many trials pause, and the better half goes on from where it is."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import optuna
import pytest

from normsweep.analysis.trials import best_by_epochs, settled
from normsweep.console.overview import overview
from normsweep.parts.catalog import catalog
from normsweep.search.search_phase import Search
from normsweep.store.storage import read_study
from normsweep.sweep.loading import load_sweep
from normsweep.sweep.rungs import Rung, epochs_of_halving, rungs
from normsweep.sweep.schema import Sweep
from normsweep.sweep.trial import Result, Status, Trial
from tests.search.searches import BASE, accuracy, opened, run_all, settings, train
from tests.shared import place_stores

HALVING = ("search.pruner=halving", "search.space.epochs=12")
PARTS = {3: 16 - 8, 6: 8 - 4, 12: 4}
"""How many of an arm's 16 trials end after so many epochs."""


@pytest.mark.parametrize(
    ("trials", "epochs", "found"),
    [
        (13, 12, [(3, 13), (6, 6)]),
        (8, 20, [(5, 8), (10, 4)]),
        (8, 4, [(1, 8), (2, 4)]),
        (8, 3, [(1, 4)]),
        (1, 12, [(3, 1), (6, 1)]),
    ],
)
def test_after_a_quarter_and_half_of_the_epochs_the_better_half_goes_on(trials, epochs, found):
    assert rungs(trials, epochs) == tuple(Rung(*pair) for pair in found)


@pytest.mark.parametrize("epochs", range(3, 41))
@pytest.mark.parametrize("trials", [2, 7, 8, 13])
def test_halving_trains_no_more_epochs_than_full_trials(trials, epochs):
    assert epochs_of_halving(trials, epochs) <= trials * epochs
    if epochs % 4 == 0 and trials % 2 == 0:
        assert epochs_of_halving(trials, epochs) == trials * epochs


@pytest.fixture(scope="module")
def halving(tmp_path_factory) -> Sweep:
    path = tmp_path_factory.mktemp("sweep") / "tested.toml"
    path.write_text(BASE)
    return load_sweep(path, catalog(), HALVING)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, halving) -> tuple[Path, list[Trial]]:
    """The database of a search that was run in one go, to be read or copied, and its trials."""
    file = place_stores(tmp_path_factory.mktemp("whole"), "optuna.db") / "optuna.db"
    return file, run_all(opened(f"sqlite:///{file}", halving))


@pytest.fixture
def searched(whole, halving) -> Search:
    return opened(f"sqlite:///{whole[0]}", halving)


def test_a_ladder_with_halving_has_twice_the_points_and_the_best_of_them_go_on(searched):
    search = searched
    records = search.records()
    assert sum(len(r.result.curve) for r in records) > 3 * epochs_of_halving(8, 12)  # made up anew
    for arm in ("none", "unit", "standardize"):
        own = [r for r in settled(records) if r.trial.arm == arm]
        assert Counter(len(r.result.curve) for r in own) == PARTS
        assert own[0].trial.configuration == "baseline"
        assert own[0].result.status is Status.COMPLETE
        others = [r for r in own if r.trial.slot]
        ranked = sorted(others, key=lambda r: accuracy(r.trial, 3), reverse=True)
        reached = [len(r.result.curve) for r in ranked]
        assert reached == sorted(reached, reverse=True)
        parts = [r for r in records if r.trial.arm == arm]
        assert [r.result.status for r in parts].count(Status.PRUNED) == 15 + 7
        assert len({r.trial.learning_rate for r in own if r.trial.optimizer == "adam"}) > 6
    assert search.total == len(records) == 3 * (16 + 7 + 3)
    assert (search.left, search.ask()) == (0, None)
    assert {r.trial.epochs for r in records} == {12}


def test_budgets_that_only_survivors_reached_are_counted(searched):
    arms = ["none", "unit", "standardize"]
    best = best_by_epochs(searched.records(), arms, [3, 4, 6, 7, 12])
    assert [(b.among, b.of) for b in best if b.arm == "unit"] == [
        (16, 16), (8, 16), (8, 16), (4, 16), (4, 16)
    ]  # fmt: skip


@pytest.mark.parametrize("sizes", [(1, 5, 20, 13, 40, 100), (48, 100), (47, 1, 25, 100)])
def test_it_is_resumed_at_any_point(url, halving, whole, sizes):
    parts = []
    for size in sizes:
        parts += run_all(opened(url, halving), size)
    assert settings(parts) == settings(whole[1])


def test_all_that_run_at_once_are_waited_for_before_any_goes_on(url, sweep):
    search = opened(url, sweep(*HALVING))
    running = [search.ask() for _ in range(48)]
    assert None not in running
    assert search.ask() is None
    assert search.left == 3 * (7 + 3)
    for trial in running[:-1]:
        train(search, trial)
    arms = {trial.arm for trial in running[:-1]} - {running[-1].arm}
    assert {search.ask().arm for _ in range(14)} == arms
    assert search.ask() is None
    train(search, running[-1])
    assert search.ask().arm == running[-1].arm


def test_a_trial_that_was_interrupted_on_its_way_goes_on(url, sweep):
    search = opened(url, sweep(*HALVING))
    run_all(search, 50)
    trial = search.ask()
    assert search.budgets(trial) == {6}
    search.tell(Result(trial.number, Status.INTERRUPTED))
    again = opened(url, sweep(*HALVING))
    other = again.ask()
    assert settings([other]) == settings([trial])
    train(again, other)
    run_all(again)
    assert Counter(len(r.result.curve) for r in settled(again.records())) == {
        epochs: 3 * count for epochs, count in PARTS.items()
    }


def test_diverged_and_failed_trials_do_not_go_on_and_the_plan_shrinks(url, sweep):
    made = sweep(*HALVING, "execution.retries=0")
    search = opened(url, made)
    search.note_plan()
    while (trial := search.ask()) is not None:
        if trial.slot in (0, 1, 2):
            train(search, trial)
        else:
            status = Status.CRASHED if trial.slot % 2 else Status.DIVERGED
            search.tell(Result(trial.number, status, chance=0.1))
    assert search.left == 0
    assert search.total == len(search.records()) == 3 * (16 + 2 + 2)
    seen = overview(read_study(url, "tested"), running=False, now=0.0)
    assert (seen.trials, seen.status) == ("60/60", "searched")


def test_optuna_shows_survivors_as_complete_and_all_others_as_pruned(whole):
    study = optuna.load_study(study_name="tested", storage=f"sqlite:///{whole[0]}")
    states = Counter(trial.state.name for trial in study.trials)
    assert states == {"COMPLETE": 3 * 4, "PRUNED": 3 * 22}
    assert {len(t.intermediate_values) for t in study.get_trials(states=None)} == {3, 6, 12}
    assert study.best_trial.state.name == "COMPLETE"


def test_more_trials_and_more_epochs_go_on(whole, sweep, tmp_path):
    shutil.copy(whole[0], tmp_path / "optuna.db")
    longer = opened(f"sqlite:///{tmp_path}/optuna.db", sweep(*HALVING, "search.trials=30"))
    run_all(longer)
    for arm in ("none", "unit", "standardize"):
        own = [r for r in settled(longer.records()) if r.trial.arm == arm]
        assert len(own) == 20
        assert sum(len(r.result.curve) == 12 for r in own) >= 5


@pytest.mark.parametrize(
    "overrides",
    [
        ["search.space.learning_rate=0.01"],
        ["search.space.learning_rate=[0.01, 0.1]"],
        ["compare=optimizer", "reference=adam"],
        ["search.trials=3"],
        ["search.trials=6"],
    ],
)
def test_any_space_can_be_halved(url, sweep, overrides):
    search = opened(url, sweep(*HALVING, *overrides))
    run_all(search)
    assert search.left == 0
    for arm in search.sweep.arms:
        own = [r for r in settled(search.records()) if r.trial.arm == arm.key]
        assert len(own) == search.sweep.points_per_arm
        assert own[0].result.status is Status.COMPLETE


@pytest.mark.parametrize(
    ("overrides", "points"),
    [
        ([], 16),
        (["search.sampler=tpe"], 8),
        (["search.space.epochs={ low = 1, high = 12, sample = true }"], 8),
        (["search.space.epochs=2"], 8),
        (["search.pruner=asha"], 8),
    ],
)
def test_only_a_ladder_of_full_trials_doubles(sweep, overrides, points):
    assert sweep(*HALVING, *overrides).points_per_arm == points
