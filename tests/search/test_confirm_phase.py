"""The confirmation's plan, its record beside the search's, and the looks at its result."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from normsweep.errors import SweepError
from normsweep.parts.catalog import catalog
from normsweep.search.confirm_phase import Confirmation, planned
from normsweep.search.search_phase import Search
from normsweep.store.storage import open_study, read_study
from normsweep.store.study_store import StudyStore
from normsweep.sweep.loading import load_sweep
from normsweep.sweep.schema import Sweep
from normsweep.sweep.study_record import (
    BASELINE,
    TUNED_LONG,
    TUNED_SHORT,
    Analysis,
    Configuration,
    DataFacts,
    TrialRecord,
)
from normsweep.sweep.trial import CONFIRM, SEARCH, DataKey, Epoch, Result, Status, Tested, Trial
from tests.shared import place_stores

DATA = DataFacts(
    name="digits",
    source="test",
    digest="d1",
    train_images=10,
    test_images=8,
    classes=10,
)
KEY = DataKey("digits", "d1", 0.2)
BASE = """
name = "confirmed"
reference = "unit"
[data]
dataset = "digits"
[search]
trials = 12
[search.space]
normalization = ["none", "unit"]
learning_rate = { low = 1e-5, high = 1e-1, log = true }
optimizer = ["sgd", "adam"]
epochs = { low = 1, high = 6 }
[confirm]
seeds = 2
epochs = 4
"""
NAMES = (BASELINE, TUNED_SHORT, TUNED_LONG)


@pytest.fixture
def sweep(tmp_path: Path) -> Callable[..., Sweep]:
    path = tmp_path / "confirmed.toml"
    path.write_text(BASE)
    return lambda *overrides: load_sweep(path, catalog(), overrides)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{place_stores(tmp_path, 'optuna.db')}/optuna.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def any_url(request: pytest.FixtureRequest, url: str) -> str:
    return url if request.param == "sqlite" else request.getfixturevalue("postgresql_url")


def configurations(*rates: float) -> list[Configuration]:
    """Three of each arm; the rates are of the baseline and of those tuned short and long."""
    return [
        Configuration(
            arm,
            name,
            {"normalization": arm, "optimizer": "adam", "learning_rate": rate, "epochs": 4},
            trial=None if name == BASELINE else 7,
        )
        for arm in ("none", "unit")
        for name, rate in zip(NAMES, rates or (0.001, 0.002, 0.003), strict=True)
    ]


def opened(
    url: str, sweep: Sweep, chosen: list[Configuration] | None = None
) -> tuple[StudyStore, Confirmation]:
    study = open_study(url, sweep.name, sweep)
    study.begin_study(DATA, {})
    return study, Confirmation(study, sweep, KEY, chosen or configurations())


def confirmation(url: str, sweep: Sweep, chosen: list[Configuration] | None = None) -> Confirmation:
    return opened(url, sweep, chosen)[1]


def tell(
    phase: Confirmation | Search, trial: Trial, status: Status = Status.COMPLETE
) -> TrialRecord:
    tested = Tested(8, bytes([0b11110000])) if trial.phase == CONFIRM else None
    curve = tuple(
        Epoch(trial.number, e, 1.0, 0.5, 1.0, 0.5, 0.1, tested) for e in range(1, trial.epochs + 1)
    )
    kept = curve if status is Status.COMPLETE else ()
    return phase.tell(Result(trial.number, status, kept, chance=0.1, test_digest="t"))


def run(phase: Confirmation | Search, limit: int = 1000) -> list[Trial]:
    trials = []
    while len(trials) < limit and (trial := phase.ask()) is not None:
        trials.append(trial)
        tell(phase, trial)
    return trials


def look(made: Confirmation) -> tuple[Analysis, ...]:
    """All analyses."""
    return made.store.record().analyses


def places(trials: list[Trial]) -> list[tuple[int, str, str]]:
    return [(t.seed, t.arm, t.configuration) for t in trials]


def settings(trials: list[Trial]) -> list[tuple[Any, ...]]:
    return [(t.arm, t.slot, tuple(sorted(t.params.items()))) for t in trials]


def test_the_plan_goes_seed_by_seed_so_that_what_is_done_is_paired(url, sweep):
    made = confirmation(url, sweep())
    assert (made.total, made.left) == (12, 12)
    trials = run(made)
    assert places(trials) == [
        (seed, arm, name) for seed in (1, 2) for arm in ("none", "unit") for name in NAMES
    ]
    assert [t.slot for t in trials] == [0] * 6 + [1] * 6
    assert [t.number for t in trials] == list(range(12))
    assert {(t.phase, t.epochs) for t in trials} == {(CONFIRM, 4)}
    assert (made.left, made.ask()) == (0, None)


def test_every_arm_gets_the_same_seeds_and_none_is_the_searchs(url, sweep):
    tested = sweep("seed=40")
    by_arm: dict[str, set[int]] = {"none": set(), "unit": set()}
    for trial in run(confirmation(url, tested)):
        by_arm[trial.arm].add(trial.seed)
    assert by_arm["none"] == by_arm["unit"] == {41, 42}


def test_configurations_that_are_the_same_are_trained_once_and_count_for_all(url, sweep):
    same = configurations(0.001, 0.001, 0.003)
    # What is written out is the same as what is left to the model's default.
    same[4] = replace(same[4], params={**same[4].params, "batch_size": 128})
    made = confirmation(url, sweep(), same)
    assert made.total == 8
    trials = run(made)
    assert {t.configuration for t in trials} == {"baseline, tuned_short", "tuned_long"}
    (analysis,) = look(made)
    runs = {(c.arm, c.name): c.runs for c in analysis.configurations}
    assert runs["none", BASELINE] == runs["none", TUNED_SHORT] == (0, 4)
    assert runs["unit", BASELINE] == runs["unit", TUNED_SHORT] == (2, 6)
    assert runs["unit", TUNED_LONG] == (3, 7)


def test_an_interrupted_confirmation_goes_on_with_what_is_missing(any_url, sweep):
    tested = sweep(f"name=interrupted-{any_url[:4]}")
    first = confirmation(any_url, tested)
    done = run(first, 7)
    stopped = first.ask()
    assert stopped is not None
    tell(first, stopped, Status.INTERRUPTED)
    assert first.left == 5
    at_once = first.ask()
    assert at_once is not None
    assert places([at_once]) == places([stopped])
    second = confirmation(any_url, tested)
    assert (second.total, second.left) == (12, 5)
    running = second.ask()  # and here the driver is killed
    assert running is not None
    assert places([running]) == places([stopped])
    third = confirmation(any_url, tested)
    assert third.left == 5
    rest = run(third)
    assert places(rest)[0] == places([stopped])[0]
    assert len({t.fingerprint for t in done + rest}) == len(done + rest) == 12
    statuses = Counter(r.result.status for r in third.records() if r.result)
    assert statuses == {Status.COMPLETE: 12, Status.INTERRUPTED: 3}
    assert confirmation(any_url, tested).ask() is None
    (analysis,) = look(third)
    assert [len(c.runs) for c in analysis.configurations] == [2] * 6
    assert {n for c in analysis.configurations for n in c.runs} == {t.number for t in done + rest}
    assert read_study(any_url, tested.name).analyses == (analysis,)


def test_more_seeds_add_only_theirs(url, sweep):
    run(confirmation(url, sweep()))
    more = confirmation(url, sweep("confirm.seeds=4"))
    assert (more.total, more.left) == (24, 12)
    assert [t.seed for t in run(more)] == [3] * 6 + [4] * 6


def test_what_failed_for_good_is_tried_again_by_the_next_command_only(url, sweep):
    first = confirmation(url, sweep("execution.retries=0"))
    statuses = [Status.CRASHED, Status.TIMED_OUT, Status.DIVERGED]
    trials = [first.ask() for _ in statuses]
    for trial, status in zip(trials, statuses, strict=True):
        assert trial is not None
        tell(first, trial, status)
    assert first.left == 9
    assert len(run(first)) == 9
    second = confirmation(url, sweep("execution.retries=0"))
    assert places(run(second)) == places(trials[:2])
    assert confirmation(url, sweep("execution.retries=0")).left == 0


def test_what_failed_is_tried_again_at_once(url, sweep):
    made = confirmation(url, sweep("execution.retries=1"))
    first = made.ask()
    assert first is not None
    tell(made, first, Status.CRASHED)
    second = made.ask()
    assert second is not None
    assert (second.fingerprint, second.number) == (first.fingerprint, first.number + 1)
    tell(made, second, Status.CRASHED)
    assert made.left == 11


def test_a_diverged_run_is_complete_at_chance_for_optuna(url, sweep):
    made = confirmation(url, sweep())
    trial = made.ask()
    assert trial is not None
    made.report(Epoch(trial.number, 1, math.nan, 0.1, math.nan, math.nan, 0.1))
    made.tell(Result(trial.number, Status.DIVERGED, chance=0.1))
    frozen = optuna.load_study(storage=url, study_name="confirmed/confirm").trials[0]
    assert (frozen.state.name, frozen.value) == ("COMPLETE", 0.1)
    assert frozen.intermediate_values == {1: 0.0}


def test_search_and_confirmation_leave_one_another_alone(tmp_path, url, sweep):
    whole = f"sqlite:///{tmp_path}/whole.db"
    study = open_study(whole, "confirmed", sweep())
    study.begin_study(DATA, {})
    alone = run(Search(study, sweep(), KEY))

    study, _ = opened(url, sweep())
    before = run(Search(study, sweep(), KEY), 5)
    study, confirming = opened(url, sweep())
    run(confirming)
    search = Search(study, sweep(), KEY)
    assert (search.total, search.left) == (12, 7)
    assert [r.trial.number for r in search.records()] == [t.number for t in before]
    after = run(search)
    assert settings(before + after) == settings(alone)
    assert {t.phase for t in before + after} == {SEARCH}
    assert {r.trial.phase for r in search.records()} == {SEARCH}

    study, confirming = opened(url, sweep())
    assert (confirming.total, confirming.left) == (12, 0)
    assert len(confirming.records()) == 12
    assert {r.trial.phase for r in confirming.records()} == {CONFIRM}
    more = Search(study, sweep("search.trials=16"), KEY)
    assert len(run(more)) == 4
    assert confirmation(url, sweep("search.trials=16")).left == 0


def test_the_first_look_counts_and_the_same_again_does_not(url, sweep):
    made = confirmation(url, sweep())
    run(made)
    first = look(made)
    assert [each.seeds for each in first] == [2]
    assert look(made) == first
    again = confirmation(url, sweep())
    assert look(again) == first
    assert again.store.record().analyses == first


def test_more_seeds_are_a_new_look_and_fewer_are_none(url, sweep):
    made = confirmation(url, sweep())
    run(made)
    look(made)
    more = confirmation(url, sweep("confirm.seeds=4"))
    run(more)
    looks = look(more)
    assert [each.seeds for each in looks] == [2, 4]
    fewer = confirmation(url, sweep("confirm.seeds=3"))
    assert fewer.left == 0
    assert look(fewer) == looks
    assert fewer.store.record().analyses == looks


def test_another_configuration_is_a_new_look_that_runs_no_other_again(url, sweep):
    made = confirmation(url, sweep())
    run(made)
    look(made)
    changed = confirmation(url, sweep(), configurations(0.001, 0.002, 0.03))
    assert {t.configuration for t in run(changed)} == {TUNED_LONG}
    first, second = look(changed)
    assert (first.seeds, second.seeds) == (2, 2)
    assert first.configurations[0] == second.configurations[0]
    assert first.configurations[2] != second.configurations[2]


def test_a_look_names_the_very_trials_that_it_looked_at(url, sweep):
    made = confirmation(url, sweep("execution.retries=0"))
    crashed = made.ask()
    assert crashed is not None
    tell(made, crashed, Status.CRASHED)
    trials = run(made)
    (analysis,) = look(made)
    seeds = {t.number: t.seed for t in trials}
    for configuration in analysis.configurations:
        numbers = configuration.runs
        failed = (configuration.arm, configuration.name) == ("none", BASELINE)
        assert [seeds.get(n) for n in numbers] == [None if failed else 1, 2]
    again = confirmation(url, sweep("execution.retries=0"))
    (second,) = run(again)
    looks = look(again)
    assert len(looks) == 2  # there is something new in it
    assert looks[1].configurations[0].runs[0] == second.number == 12


def written(url: str) -> tuple[optuna.Study, dict[str, Any]]:
    study = optuna.load_study(storage=url, study_name="confirmed")
    return study, json.loads(study.user_attrs["normsweep:sweep"])


def test_a_record_from_before_a_key_was_there_goes_on(url, sweep):
    run(confirmation(url, sweep()), 3)
    study, content = written(url)
    for key in ("confirm.primary", "confirm.baseline.normalization"):
        del content[key]
    study.set_user_attr("normsweep:sweep", json.dumps(content))
    assert read_study(url, "confirmed").sweep.confirm.primary == "both_tuned"
    with pytest.raises(SweepError, match='confirm.primary: "both_tuned" -> "more_epochs"'):
        confirmation(url, sweep("confirm.primary=more_epochs"))
    made = confirmation(url, sweep())
    assert made.left == 9
    assert made.store.record().sweep.confirm.baseline.normalization is None


@pytest.mark.parametrize(
    "change",
    [
        "confirm.primary=more_epochs",
        "confirm.epochs=3",
        "confirm.baseline.normalization=unit",
        "confirm.confidence=0.9",
    ],
)
def test_what_was_declared_before_the_search_stays(url, sweep, change):
    run(confirmation(url, sweep()), 1)
    with pytest.raises(SweepError, match=change.partition("=")[0]):
        confirmation(url, sweep(change))


def test_more_seeds_stay_asked_for(url, sweep):
    confirmation(url, sweep("confirm.seeds=9"))
    confirmation(url, sweep())
    assert read_study(url, "confirmed").sweep.confirm.seeds.most == 9


@pytest.mark.parametrize(("name", "kept"), [("accuracy", ()), ("rmse", (1, 2, 3, 4, 5, 6))])
def test_a_confirmation_of_a_regression_keeps_rows_after_the_epochs_that_are_read(
    sweep, name, kept
):
    made = sweep().model_copy(update={"metric": name})
    baseline = Configuration("unit", BASELINE, made.baseline(made.arm("unit"), 6))
    (trial,) = planned(made, KEY, [baseline], range(1))
    assert trial.readings == kept
