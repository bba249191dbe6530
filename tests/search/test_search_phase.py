"""Which trials a search asks for, and what it makes of how they end."""

from __future__ import annotations

import gzip
import json
import tomllib
from collections import Counter
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from normsweep.analysis.trials import settled
from normsweep.errors import SweepError
from normsweep.parts.catalog import resolve_trial
from normsweep.search.samplers import asha_share, make_advisor
from normsweep.store.storage import begun_study, read_study
from normsweep.sweep.loading import load_sweep
from normsweep.sweep.recorded import as_begun
from normsweep.sweep.trial import Epoch, Result, Status, Trial
from tests.search.searches import BASE, KEY, accuracy, opened, run_all, settings, train

SAMPLED = "search.space.epochs.sample=true"
GP = pytest.param(
    "gp", marks=pytest.mark.skipif(find_spec("torch") is None, reason="sampler gp needs PyTorch")
)


@pytest.mark.parametrize("sampler", ["auto", "tpe", "random", "qmc"])
def test_every_arm_gets_the_same_number_of_trials(url, sweep, sampler):
    trials = run_all(opened(url, sweep(f"search.sampler={sampler}")))
    assert Counter(t.arm for t in trials) == {"none": 8, "unit": 8, "standardize": 8}
    assert [t.number for t in trials] == list(range(24))
    assert all(("momentum" in t.params) == (t.optimizer == "sgd") for t in trials)
    assert all(t.optimizer_options.keys() <= {"momentum"} for t in trials)


def test_a_total_that_the_arms_do_not_divide_is_rounded_up(url, sweep):
    assert len(run_all(opened(url, sweep("search.trials=10")))) == 12


@pytest.mark.parametrize("more", [(), (SAMPLED, "search.longest_every=3")], ids=["read", "sampled"])
@pytest.mark.parametrize("sampler", ["auto", "tpe", "random", "qmc", GP])
def test_a_study_resumed_at_any_point_is_the_study_in_one_go(tmp_path, sweep, sampler, more):
    tested = sweep(f"search.sampler={sampler}", *more)
    whole = run_all(opened(f"sqlite:///{tmp_path}/whole.db", tested))
    parts: list[Trial] = []
    for size in (1, 5, 2, 9, 100):
        parts += run_all(opened(f"sqlite:///{tmp_path}/parts.db", tested), size)
    assert settings(parts) == settings(whole)


def test_a_gaussian_process_needs_pytorch(sweep):
    if find_spec("torch") is None:
        with pytest.raises(SweepError, match='search.sampler: "gp" needs PyTorch'):
            sweep("search.sampler=gp")
    else:
        assert sweep("search.sampler=gp").sampler == "gp"


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
    trials = run_all(opened(url, sweep("search.longest_every=4", SAMPLED, "search.sampler=tpe")))
    assert len({t.epochs for t in trials}) > 2
    for arm in ("none", "unit", "standardize"):
        slots = {t.slot for t in trials if t.arm == arm and t.epochs == 6}
        assert {3, 7} <= slots


GRID = (
    "search.sampler=grid", "search.space.learning_rate=[0.1, 0.01]", "search.trials=100",
    "search.space.epochs={ choices = [1, 2], sample = true }",
    'search.space.momentum={ choices = [0.0, 0.9], when = { optimizer = ["sgd"] } }',
)  # fmt: skip


def test_a_grid_is_tried_once_and_whole(url, sweep):
    search = opened(url, sweep(*GRID))
    trials = run_all(search)
    assert search.total == len(trials) == 3 * (1 + 2 * 2 * 2 + 2 * 2)  # 1: the baseline
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


def test_the_share_that_asha_trains_is_that_of_the_pruner():
    assert asha_share(1, 12) == 1.0  # the baseline
    assert 0.3 < asha_share(13, 12) < 0.7
    assert asha_share(60, 12) < asha_share(13, 12)


@pytest.mark.parametrize("pruner", ["median", "asha", "halving"])
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


BASELINE = {"learning_rate": 0.001, "optimizer": "adam", "epochs": 6}


@pytest.mark.parametrize("sampler", ["auto", "tpe", "random", "qmc", "grid"])
def test_the_first_trial_of_every_arm_is_the_baseline(url, sweep, sampler):
    listed = "search.space.learning_rate=[0.1, 0.001, 0.01]"
    one = 'search.space.momentum={ value = 0.5, when = { optimizer = "sgd" } }'
    trials = run_all(opened(url, sweep(f"search.sampler={sampler}", listed, one)))
    for trial in trials[:3]:
        assert trial.params == {"normalization": trial.arm, **BASELINE}
    assert [t.configuration for t in trials] == ["baseline"] * 3 + [""] * (len(trials) - 3)


@pytest.mark.parametrize(
    "outside", ["confirm.baseline.optimizer=nadam", "confirm.baseline.learning_rate=0.5"]
)
@pytest.mark.parametrize("sampler", ["auto", "tpe", "random", "qmc"])
def test_a_baseline_outside_the_space_is_recorded_and_not_sampled_from(
    tmp_path, sweep, sampler, outside
):
    url = f"sqlite:///{tmp_path}/out.db"
    trials = run_all(opened(url, sweep(f"search.sampler={sampler}", outside)))
    parts = run_all(
        opened(f"sqlite:///{tmp_path}/parts.db", sweep(f"search.sampler={sampler}", outside)), 5
    )
    parts += run_all(
        opened(f"sqlite:///{tmp_path}/parts.db", sweep(f"search.sampler={sampler}", outside))
    )
    assert settings(parts) == settings(trials)
    name, value = ("optimizer", "nadam") if "nadam" in outside else ("learning_rate", 0.5)
    assert [t.params[name] == value for t in trials] == [True] * 3 + [False] * 21
    study = optuna.load_study(storage=url, study_name="tested")
    assert [t.params for t in study.trials] == [dict(t.params) for t in trials]
    importances = optuna.importance.get_param_importances(study)
    assert {"learning_rate", "optimizer"} <= importances.keys()


def test_a_baseline_is_never_pruned(url, sweep):
    search = opened(url, sweep("search.pruner=median", "search.sampler=random", "search.trials=60"))
    held, rest = search.ask(), []
    while (trial := search.ask()) is not None:
        rest.append(trial)
        train(search, trial)
    assert held.configuration == "baseline"
    assert all(search.report(Epoch(held.number, e, 9, 0, 9, 0.0, 1)) for e in range(1, 7))


def test_every_trial_trains_for_the_longest_budget_unless_epochs_are_sampled(tmp_path, sweep):
    trials = run_all(opened(f"sqlite:///{tmp_path}/read.db", sweep()))
    assert {t.epochs for t in trials} == {6}
    study = optuna.load_study(storage=f"sqlite:///{tmp_path}/read.db", study_name="tested")
    assert {t.params["epochs"] for t in study.trials} == {6}
    assert all(t.value == t.intermediate_values[6] for t in study.trials)
    sampled = run_all(
        opened(f"sqlite:///{tmp_path}/sampled.db", sweep(SAMPLED, "search.sampler=tpe"))
    )
    assert [t.epochs for t in sampled[:3]] == [6] * 3
    assert len({t.epochs for t in sampled}) > 2


def test_a_study_continues_under_the_rules_that_it_was_created_with(tmp_path, sweep):
    """The first trials are from a version without the baseline and with sampled epochs, as were the rest."""
    here = Path(__file__).parent
    (tmp_path / "optuna.db").write_bytes(
        gzip.decompress((here / "begun_under_rules_1.db.gz").read_bytes())
    )
    url = f"sqlite:///{tmp_path}/optuna.db"
    begun = begun_study(url, "tested").record(trials=False)
    assert (begun.sweep.rules, begun.sweep.sampler, begun.sweep.samples_epochs) == (1, "tpe", True)
    now = as_begun(begun.sweep, sweep())
    rest = run_all(opened(url, now))
    asked = json.loads((here / "begun_under_rules_1.json").read_text())
    assert [[t.number, t.arm, t.slot] for t in rest] == [known[:3] for known in asked]
    # Processors round differently; a trial drawn by another rule is another one.
    for trial, (*_, params) in zip(rest, asked, strict=True):
        assert trial.params.keys() == params.keys()
        for name, value in params.items():
            known = pytest.approx(value, rel=1e-9) if isinstance(value, float) else value
            assert trial.params[name] == known
    assert (
        opened(url, as_begun(begun_study(url, "tested").record(trials=False).sweep, sweep())).left
        == 0
    )
    with pytest.raises(SweepError, match="rules: 1 -> 3"):
        opened(url, sweep())


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


NESTED = (
    "search.sampler=grid", "search.trials=100", "search.space.learning_rate=[0.1,0.01]",
    "search.space.momentum=0.5", "search.space.optimizer=sgd",
    "confirm.baseline.optimizer=sgd", "confirm.baseline.learning_rate=0.1",
    "search.space.epochs={ choices = [1, 3, 2], sample = true }",
)  # fmt: skip
LONGER = "search.space.epochs={ choices = [1, 3, 2, 8], sample = true }"


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
    search = opened(url, sweep(*NESTED[:-1], LONGER))
    while trial := search.ask():
        train(search, trial)
    tried = {(r.trial.arm, r.trial.slot): r.trial.params for r in search.records()}
    assert len(tried) == len(search.records()) == 24
    assert len({frozenset(params.items()) for params in tried.values()}) == 24
    assert tried.items() >= before.items()


def test_a_list_of_epochs_that_was_recorded_as_one_goes_on_and_stays(url, sweep):
    listed = (*NESTED[:-1], "search.space.epochs=[1,3,2]", "rules=1")
    search = opened(url, sweep(*listed))
    search.store._epochs_listed = True  # as every study did once
    train(search, search.ask())
    search = opened(url, sweep(*listed))
    while trial := search.ask():
        train(search, trial)
    assert len(search.records()) == search.total
    with pytest.raises(SweepError, match=r"search.space.epochs: \[1, 3, 2\] -> \[1, 3, 2, 8\]"):
        opened(url, sweep(*listed, "search.space.epochs=[1,3,2,8]"))


def test_a_grid_is_read_at_every_epoch_and_extended_to_more(url, sweep):
    """Each point is trained once, for the longest; with more epochs each of them is planned again."""
    grid = (*NESTED[:-1], "search.trials=6")
    trials = run_all(opened(url, sweep(*grid, "search.space.epochs=[1, 3]")))
    assert [t.epochs for t in trials] == [3] * 6
    search = opened(url, sweep(*NESTED[:-1], "search.space.epochs=[1, 3, 8]"))
    assert (search.total, search.left) == (12, 6)
    more = run_all(search)
    assert {t.lineage for t in more} == {t.lineage for t in trials}
    assert [t.epochs for t in more] == [8] * 6
    assert opened(url, sweep(*NESTED[:-1], "search.space.epochs=[1, 3, 8]")).left == 0


@pytest.mark.parametrize("sampler", ["auto", "tpe", "random", "qmc"])
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
    first, resumed = (make_advisor(tested, tested.arm("unit"), 1300) for _ in range(2))
    for slot in range(past):
        chosen = {"normalization": "unit", "learning_rate": 1e-4, "optimizer": "adam", "epochs": 1}
        if slot < 20:
            chosen["learning_rate"] = 1e-2
        value = 0.9 if slot < 20 else 0.1 + slot * 1e-5
        planned = resolve_trial(tested, KEY, "unit", chosen, slot, slot)
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


ARMS = {
    "raw, small steps": {"normalization": "none", "optimizer": "adam", "learning_rate": 1e-4},
    "raw, SGD": {"normalization": "none", "optimizer": "sgd", "momentum": 0.9},
    "÷255": {"normalization": "unit", "batch_size": 32},
}


@pytest.mark.parametrize("sampler", ["auto", "tpe", "random", "qmc", "grid"])
def test_arms_that_fix_several_parameters_are_searched_in_the_others(tmp_path, parts, sampler):
    raw = tomllib.loads(BASE)
    del raw["search"]["space"]["normalization"]
    listed = {"values": [0.0, 0.5]} if sampler == "grid" else {"low": 0.0, "high": 0.9}
    rates = [1e-3, 1e-2] if sampler == "grid" else raw["search"]["space"]["learning_rate"]
    momentum = {"choices": listed["values"]} if sampler == "grid" else listed
    raw |= {"arms": ARMS, "reference": "÷255"}
    raw["search"]["space"] |= {
        "learning_rate": rates, "momentum": momentum | {"when": {"optimizer": ["sgd"]}},
    }  # fmt: skip
    made = load_sweep(raw, parts, [f"search.sampler={sampler}"])
    url = f"sqlite:///{tmp_path}/whole.db"
    trials = run_all(opened(url, made))
    by_label = {label: [t for t in trials if made.label(t.arm) == label] for label in ARMS}
    assert len({len(own) for own in by_label.values()}) == 1
    for label, fixed in ARMS.items():
        own = by_label[label]
        assert all(fixed.items() <= t.params.items() for t in own)
        assert own[0].params == made.baseline(made.arm(own[0].arm), 6)
        assert own[0].configuration == "baseline"
    assert {t.optimizer for t in by_label["raw, SGD"]} == {"sgd"}
    assert {t.optimizer_options["momentum"] for t in by_label["raw, SGD"]} == {0.9}
    if sampler != "grid":  # the first arm has one point, and all arms have as many trials
        assert {t.optimizer for t in by_label["÷255"]} == {"sgd", "adam"}
    assert {t.batch_size for t in by_label["÷255"]} == {32}
    assert {t.batch_size for t in by_label["raw, SGD"]} == {128}
    study = optuna.load_study(storage=url, study_name="tested")
    assert [t.params for t in study.trials] == [dict(t.params) for t in trials]
    interrupted = f"sqlite:///{tmp_path}/parts.db"
    first = run_all(opened(interrupted, made), 4)
    assert settings(first + run_all(opened(interrupted, made))) == settings(trials)


def test_a_study_with_other_labels_has_the_same_trials(tmp_path, parts):
    raw = tomllib.loads(BASE)
    names = raw["search"]["space"].pop("normalization")
    labelled = {
        **raw,
        "arms": {f"by {name}": {"normalization": name} for name in names},
        "reference": "by unit",
    }
    short, long = load_sweep(tomllib.loads(BASE), parts), load_sweep(labelled, parts)
    whole = run_all(opened(f"sqlite:///{tmp_path}/whole.db", short))
    url = f"sqlite:///{tmp_path}/parts.db"
    first = run_all(opened(url, short), 10)
    assert settings(first + run_all(opened(url, long))) == settings(whole)
    record = read_study(url, "tested")
    assert record.arms == ("none", "unit", "standardize")
    shown = record.labelled()
    assert shown.arms == ("by none", "by unit", "by standardize")
    assert [r.trial.arm for r in shown.trials] == [f"by {r.trial.arm}" for r in record.trials]
    assert shown.keys == {f"by {name}": name for name in names}
    assert shown.labelled() == shown
