from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy import create_engine, inspect

from normsweep.analysis.trials import settled
from normsweep.errors import StoreError, SweepError
from normsweep.parts.catalog import catalog, resolve_trial
from normsweep.search.samplers import make_advisor
from normsweep.search.search_phase import Search
from normsweep.store.storage import open_study, read_study, study_names
from normsweep.store.study_store import begin, check_data
from normsweep.sweep.loading import load_sweep
from normsweep.sweep.schema import Sweep
from normsweep.sweep.study_record import DataFacts
from normsweep.sweep.trial import DataKey, Epoch, Result, Status, Trial
from tests.shared import place_stores

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


@pytest.fixture
def sweep(tmp_path: Path) -> Callable[..., Sweep]:
    path = tmp_path / "tested.toml"
    path.write_text(BASE)
    return lambda *overrides: load_sweep(path, catalog(), overrides)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{place_stores(tmp_path, 'optuna.db')}/optuna.db"


def opened(url: str, sweep: Sweep) -> Search:
    study = open_study(url, sweep.name, sweep)
    begin(study, DATA, {})
    return Search(study, sweep, KEY)


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


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc"])
def test_every_arm_gets_the_same_number_of_trials(url, sweep, sampler):
    trials = run_all(opened(url, sweep(f"search.sampler={sampler}")))
    assert Counter(t.arm for t in trials) == {"none": 8, "unit": 8, "standardize": 8}
    assert [t.number for t in trials] == list(range(24))
    assert all(("momentum" in t.params) == (t.optimizer == "sgd") for t in trials)
    assert all(t.optimizer_options.keys() <= {"momentum"} for t in trials)


def test_a_total_that_the_arms_do_not_divide_is_rounded_up(url, sweep):
    assert len(run_all(opened(url, sweep("search.trials=10")))) == 12


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc"])
def test_a_study_resumed_at_any_point_is_the_study_in_one_go(tmp_path, sweep, sampler):
    tested = sweep(f"search.sampler={sampler}", "search.longest_every=3")
    whole = run_all(opened(f"sqlite:///{tmp_path}/whole.db", tested))
    parts: list[Trial] = []
    for size in (1, 5, 2, 9, 100):
        parts += run_all(opened(f"sqlite:///{tmp_path}/parts.db", tested), size)
    assert settings(parts) == settings(whole)


def test_the_seed_changes_what_is_tried(tmp_path, sweep):
    first = run_all(opened(f"sqlite:///{tmp_path}/a.db", sweep()), 6)
    second = run_all(opened(f"sqlite:///{tmp_path}/b.db", sweep("seed=1")), 6)
    assert settings(first) != settings(second)


def test_arms_start_from_the_same_points_and_learn_from_their_own_trials(url, sweep):
    trials = run_all(opened(url, sweep("search.trials=60")))
    by_arm = {arm: [t for t in trials if t.arm == arm] for arm in ("none", "unit", "standardize")}
    starts = [[t.learning_rate for t in by_arm[arm][:4]] for arm in by_arm]
    assert starts[0] == starts[1] == starts[2]
    late = {arm: sorted(t.learning_rate for t in by_arm[arm][10:]) for arm in by_arm}
    medians = [late[arm][len(late[arm]) // 2] for arm in ("none", "unit", "standardize")]
    assert medians == sorted(medians)


def test_so_many_trials_of_each_arm_train_for_the_longest_budget(url, sweep):
    trials = run_all(opened(url, sweep("search.longest_every=4")))
    for arm in ("none", "unit", "standardize"):
        slots = {t.slot for t in trials if t.arm == arm and t.epochs == 6}
        assert {3, 7} <= slots


GRID = (
    "search.sampler=grid", "search.space.learning_rate=[0.1, 0.01]", "search.trials=100",
    "search.space.epochs=[1, 2]",
    'search.space.momentum={ choices = [0.0, 0.9], when = { optimizer = ["sgd"] } }',
)  # fmt: skip


def test_a_grid_is_tried_once_and_whole(url, sweep):
    search = opened(url, sweep(*GRID))
    trials = run_all(search)
    assert search.total == len(trials) == 3 * (2 * 2 * 2 + 2 * 2)
    assert len(set(settings([replace(t, slot=0) for t in trials]))) == len(trials)


def test_a_trial_that_was_interrupted_is_run_again_with_the_same_settings(url, sweep):
    search = opened(url, sweep())
    run_all(search, 4)
    trial = search.ask()
    search.tell(Result(trial.number, Status.INTERRUPTED))
    again = opened(url, sweep()).ask()
    assert (again.number, settings([again])) == (5, settings([trial]))


def test_what_a_killed_driver_left_is_closed_and_run_again(url, sweep):
    run_all(opened(url, sweep()), 4)
    search = opened(url, sweep())
    left = search.ask()  # and the driver is killed here
    storage = optuna.storages.RDBStorage(url)
    study = optuna.load_study(storage=storage, study_name="tested")
    study.enqueue_trial({"learning_rate": 0.1})  # or between two writes of asking
    search = opened(url, sweep())
    trials = run_all(search)
    assert settings(trials)[0] == settings([left])[0]
    states = Counter(t.state.name for t in study.get_trials())
    assert states == {"COMPLETE": 24, "FAIL": 2}
    statuses = Counter(r.result.status for r in search.records() if r.result)
    assert statuses == {Status.COMPLETE: 24, Status.INTERRUPTED: 1}


def test_a_result_that_was_written_but_not_told_is_kept(url, sweep):
    search = opened(url, sweep())
    trial = search.ask()
    result = Result(trial.number, Status.COMPLETE, (Epoch(0, 1, 1, 0.5, 1, 0.5, 1),), chance=0.1)
    study = optuna.load_study(storage=url, study_name="tested")
    trial_id = study.trials[0]._trial_id
    study._storage.set_trial_user_attr(trial_id, "normsweep:result", result.to_json())
    search = opened(url, sweep())
    assert search.left == 23
    assert search.records()[0].result == result


def test_a_diverged_trial_counts_as_complete_at_chance(url, sweep):
    search = opened(url, sweep())
    trial = search.ask()
    search.report(Epoch(trial.number, 1, float("nan"), 0.1, float("nan"), float("nan"), 0.1))
    search.tell(Result(trial.number, Status.DIVERGED, chance=0.1))
    frozen = optuna.load_study(storage=url, study_name="tested").trials[0]
    assert (frozen.state.name, frozen.value) == ("COMPLETE", 0.1)


def test_a_crashed_trial_fills_its_place(url, sweep):
    search = opened(url, sweep("execution.retries=0"))
    first = search.ask()
    search.tell(Result(first.number, Status.CRASHED, error="why"))
    rest = run_all(search)
    assert len(rest) == 23
    assert search.records()[0].result.error == "why"


@pytest.mark.parametrize("status", [Status.CRASHED, Status.TIMED_OUT])
def test_a_failed_trial_is_tried_again_as_often_as_it_may(url, sweep, status):
    search = opened(url, sweep("execution.retries=2"))
    attempts = []
    while trial := search.ask():
        if (trial.arm, trial.slot) == ("none", 3):
            attempts.append(trial)
            search.tell(Result(trial.number, status, error="why"))
        else:
            train(search, trial)
    assert len(attempts) == 3
    assert len({trial.fingerprint for trial in attempts}) == 1
    assert len(settled(search.records())) == search.total == 24


def test_attempts_are_counted_over_the_studys_life(url, sweep):
    for _ in range(2):
        search = opened(url, sweep("execution.retries=1"))
        trial = search.ask()
        assert (trial.arm, trial.slot) == ("none", 0)
        search.tell(Result(trial.number, Status.CRASHED, error="why"))
    again = opened(url, sweep("execution.retries=1"))
    assert again.left == 23


def test_optuna_reads_the_study_as_its_own(url, sweep):
    trials = run_all(opened(url, sweep()))
    study = optuna.load_study(storage=url, study_name="tested")
    assert study.metric_names == ["val_accuracy"]
    for trial, frozen in zip(trials, study.trials, strict=True):
        assert frozen.params == dict(trial.params)
        assert {"normalization", "learning_rate", "optimizer", "epochs"} <= frozen.params.keys()
        assert list(frozen.intermediate_values) == list(range(1, trial.epochs + 1))
        assert frozen.value == pytest.approx(accuracy(trial, trial.epochs))
    frame = study.trials_dataframe()
    assert len(frame) == 24
    optuna.importance.get_param_importances(study, params=["learning_rate", "epochs"])


@pytest.mark.parametrize("pruner", ["median", "halving"])
def test_pruning_compares_within_the_arm_only(url, sweep, pruner):
    overrides = (f"search.pruner={pruner}", "search.trials=90", "search.space.epochs=12")
    search = opened(url, sweep(*overrides))
    pruned: Counter[str] = Counter()
    while (trial := search.ask()) is not None:
        level = {"none": 0.3, "unit": 0.9, "standardize": 0.9}[trial.arm] - 0.01 * (trial.slot % 5)
        curve = []
        for epoch in range(1, trial.epochs + 1):
            curve.append(Epoch(trial.number, epoch, 1, 0, 1, level - 0.1 / epoch, 0.1))
            if not search.report(curve[-1]):
                break
        status = Status.COMPLETE if len(curve) == trial.epochs else Status.PRUNED
        pruned[trial.arm] += status is Status.PRUNED
        search.tell(Result(trial.number, status, tuple(curve)))
    assert pruned["none"] == pruned["unit"] == pruned["standardize"] > 0


def test_running_a_finished_study_asks_for_nothing_and_more_trials_go_on(url, sweep):
    run_all(opened(url, sweep()))
    search = opened(url, sweep())
    assert (search.left, search.ask()) == (0, None)
    assert len(run_all(opened(url, sweep("search.trials=30")))) == 6
    assert opened(url, sweep()).left == 0


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ("seed=9", "seed: was 0, is 9"),
        ("search.space.learning_rate.high=1.0", "search.space.learning_rate.high: was 0.1, is 1.0"),
        ("search.sampler=random", 'search.sampler: was "tpe", is "random"'),
        ("model.name=mlp", 'model.name: was "lenet", is "mlp"'),
        ("confirm.margin=0.05", "confirm.margin: was 0.002, is 0.05"),
        ("data.train_size=500", "data.train_size"),
    ],
)
def test_a_sweep_changed_since_the_study_began_is_refused(url, sweep, change, key):
    run_all(opened(url, sweep()), 1)
    with pytest.raises(SweepError) as caught:
        opened(url, sweep(change))
    assert key in str(caught.value)
    assert len(caught.value.lines) == 2


def test_more_trials_seeds_and_time_are_no_change(url, sweep):
    run_all(opened(url, sweep()), 1)
    more = sweep("search.trials=30", "confirm.seeds=20", "search.timeout=5", 'question="?"')
    assert opened(url, more).left == 29
    assert opened(url, sweep()).head.sweep.search.trials == 30


def test_other_data_is_refused(url, sweep):
    run_all(opened(url, sweep()), 1)
    with pytest.raises(SweepError, match="was begun on digits .*digest d1.*, received mnist"):
        check_data(open_study(url, "tested", sweep()), replace(DATA, digest="d2", name="mnist"))


def test_a_study_of_somebody_elses_is_left_alone(url, sweep):
    study = optuna.create_study(storage=url, study_name="tested")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    with pytest.raises(StoreError, match="did not make"):
        opened(url, sweep())
    assert list(study.user_attrs) == []


def test_the_record_is_read_by_name_or_as_the_only_one(url, sweep):
    run_all(opened(url, sweep()), 3)
    record = read_study(url, None)
    assert (record.name, len(record.trials)) == ("tested", 3)
    assert record.arms == ("none", "unit", "standardize")
    opened(url, sweep("name=other"))
    assert study_names(url) == ["other", "tested"]
    with pytest.raises(StoreError, match="missing; .* holds other, tested"):
        read_study(url, None)
    with pytest.raises(StoreError, match='received "tset"'):
        read_study(url, "tset")


@pytest.mark.parametrize(
    "bad", ["no url", "sqlite:////proc/none/x.db", "postgresql+psycopg://user:secret@127.0.0.1:1/x"]
)
def test_a_database_that_cannot_be_opened_is_told_without_its_password(sweep, bad):
    with pytest.raises(StoreError) as caught:
        opened(bad, sweep())
    assert "--storage" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_comparing_another_parameter_works_alike(url, sweep):
    tested = sweep("compare=optimizer", "reference=adam")
    trials = run_all(opened(url, tested))
    assert Counter(t.arm for t in trials) == {"sgd": 12, "adam": 12}
    assert {t.normalization for t in trials} == {"none", "unit", "standardize"}


def test_on_postgresql_it_is_the_same(postgresql_url, tmp_path, sweep):
    here = run_all(opened(f"sqlite:///{tmp_path}/here.db", sweep()), 12)
    there = run_all(opened(postgresql_url, sweep()), 5) + run_all(
        opened(postgresql_url, sweep()), 7
    )
    assert settings(there) == settings(here)
    assert len(read_study(postgresql_url, "tested").trials) == 12


def test_a_database_of_something_else_is_left_as_it_is(tmp_path, sweep):
    url = f"sqlite:///{place_stores(tmp_path, 'mlflow.db')}/mlflow.db"
    tables = set(inspect(create_engine(url)).get_table_names())
    for use in (lambda: opened(url, sweep()), lambda: read_study(url, None)):
        with pytest.raises(StoreError, match="MLflow's database"):
            use()
    assert set(inspect(create_engine(url)).get_table_names()) == tables


def test_a_study_that_came_to_no_trial_may_be_changed(url, sweep):
    open_study(url, "tested", sweep())
    assert opened(url, sweep("seed=9")).ask().seed == 9


def test_a_study_made_again_under_its_name_has_an_id_of_its_own(url, sweep):
    first = opened(url, sweep()).head.id
    optuna.delete_study(study_name="tested", storage=url)
    assert opened(url, sweep()).head.id != first


NESTED = (
    "search.sampler=grid", "search.trials=100", "search.space.learning_rate=[0.1,0.01]",
    "search.space.momentum=0.5", "search.space.optimizer=sgd", "search.space.epochs=[1,3,2]",
)  # fmt: skip


def test_of_a_grid_the_longest_of_what_begins_alike_comes_first(url, sweep):
    search = opened(url, sweep(*NESTED))
    epochs: dict[str, list[int]] = {}
    while trial := search.ask():
        epochs.setdefault(trial.lineage, []).append(trial.epochs)
        train(search, trial)
    assert len(epochs) == 6
    assert all(asked == [3, 2, 1] for asked in epochs.values())


def test_what_runs_is_not_trained_beside_itself(url, sweep):
    search = opened(url, sweep(*NESTED))
    held: dict[str, Trial] = {}
    while trial := search.ask(held):
        assert trial.lineage not in held
        held[trial.lineage] = trial
    assert {trial.epochs for trial in held.values()} == {3}
    assert (len(held), search.left) == (6, 12)
    freed = held.popitem()[1]
    train(search, freed)
    again = search.ask(held)
    assert again is not None
    assert (again.lineage, again.epochs) == (freed.lineage, 2)
    assert search.budgets(again) == {1}


def test_a_grid_that_grew_keeps_what_was_tried_in_its_slots(url, sweep):
    search = opened(url, sweep(*NESTED))
    for _ in range(5):
        trial = search.ask()
        assert trial is not None
        train(search, trial)
    before = {(r.trial.arm, r.trial.slot): r.trial.params for r in search.records()}
    search = opened(url, sweep(*NESTED[:-1], "search.space.epochs=[1,3,2,8]"))
    while trial := search.ask():
        train(search, trial)
    tried = {(r.trial.arm, r.trial.slot): r.trial.params for r in search.records()}
    assert len(tried) == len(search.records()) == 24
    assert len({frozenset(params.items()) for params in tried.values()}) == 24
    assert tried.items() >= before.items()


def test_a_list_of_epochs_that_was_recorded_as_one_goes_on_and_stays(url, sweep):
    search = opened(url, sweep(*NESTED))
    search._epochs_listed = True  # as every study did once
    train(search, search.ask())
    search = opened(url, sweep(*NESTED))
    while trial := search.ask():
        train(search, trial)
    assert len(search.records()) == search.total
    with pytest.raises(SweepError, match=r"search.space.epochs: \[1, 3, 2\] -> \[1, 3, 2, 8\]"):
        opened(url, sweep(*NESTED[:-1], "search.space.epochs=[1,3,2,8]"))


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc"])
def test_a_range_of_epochs_may_grow(url, sweep, sampler):
    search = opened(url, sweep(f"search.sampler={sampler}"))
    for _ in range(8):
        trial = search.ask()
        assert trial is not None
        train(search, trial)
    longest = sweep().longest
    more = (f"search.sampler={sampler}", f"search.space.epochs.high={longest + 6}")
    search = opened(url, sweep(*more, "search.trials=36"))
    while trial := search.ask():
        train(search, trial)
    assert max(r.trial.epochs for r in search.records()) > longest
    with pytest.raises(SweepError, match="search.space.epochs.high"):
        opened(url, sweep(f"search.sampler={sampler}"))


@pytest.mark.parametrize("past", [950, 1250])
def test_an_arm_of_very_many_trials_is_the_same_resumed(sweep, past):
    """From its thousandth trial on an arm is searched by the latest trials and the best."""
    tested = sweep("search.trials=4000")
    first, resumed = (make_advisor(tested, "unit", 1300) for _ in range(2))
    for slot in range(past):
        chosen = {"normalization": "unit", "learning_rate": 1e-4, "optimizer": "adam", "epochs": 1}
        if slot < 20:
            chosen["learning_rate"] = 1e-2
        value = 0.9 if slot < 20 else 0.1 + slot * 1e-5
        planned = resolve_trial(tested, KEY, chosen, slot, slot)
        result = Result(slot, Status.COMPLETE, (Epoch(slot, 1, 1, value, 1, value, 1),))
        resumed.learn(planned, result)
        if slot < 900:
            first.learn(planned, result)
        else:
            first.choose(slot, {k: v for k, v in chosen.items() if k != "normalization"})
            first.tell(slot, value, TrialState.COMPLETE)
    asked = first.choose(past, {})
    assert asked == resumed.choose(past, {})
    assert asked["learning_rate"] > 1e-3  # the best are remembered


def test_a_trial_that_was_written_unconfirmed_and_again_is_closed_and_one_counts(url, sweep):
    study = open_study(url, "tested", sweep())

    def attrs(number: int) -> dict[str, int]:
        if number == 0:  # a first writing, of which the answer is lost
            optuna.load_study(storage=url, study_name="tested").ask()
        return {"number": number}

    assert study.begin({}, {}, attrs) == 1
    lost, begun = optuna.load_study(storage=url, study_name="tested").trials
    assert (lost.state.name, begun.state.name) == ("FAIL", "RUNNING")
    assert begun.user_attrs == {"number": 1}
