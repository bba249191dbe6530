"""Which configurations are confirmed: the baseline as declared, the best by validation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from normsweep.parts.catalog import resolve_trial
from normsweep.search.selection import chosen_configurations
from normsweep.sweep.loading import load_sweep
from normsweep.sweep.schema import Sweep
from normsweep.sweep.study_record import (
    BASELINE,
    TUNED_LONG,
    TUNED_SHORT,
    Configuration,
    TrialRecord,
)
from normsweep.sweep.trial import DataKey, Status

KEY = DataKey("digits", "d1", 0.2)
LAST = 12
"""The longest number of epochs in the base sweep; its baseline is read at 4."""


@pytest.fixture
def sweep(sweep_file, parts) -> Callable[..., Sweep]:
    return lambda *overrides: load_sweep(sweep_file, parts, overrides)


@pytest.fixture
def searched(record) -> Callable[..., TrialRecord]:
    """A trial of the search with a validation curve, and parameters as the search records them."""

    def make(number: int, arm: str, scores, status=Status.COMPLETE, **changed) -> TrialRecord:
        rate = 0.001 * (number + 1)
        params = {"normalization": arm, "optimizer": "adam", "learning_rate": rate}
        params["epochs"] = changed.get("epochs", len(scores))
        return record(number, arm, tuple(scores), status, params=params, **changed)

    return make


def by_name(chosen: list[Configuration], arm: str = "unit") -> dict[str, Configuration]:
    return {c.name: c for c in chosen if c.arm == arm}


def rising(epochs: int, last: float, at: dict[int, float] | None = None) -> list[float]:
    """A validation curve that ends at `last`, with the values `at` epochs as given."""
    curve = [last * e / epochs for e in range(1, epochs + 1)]
    for epoch, value in (at or {}).items():
        curve[epoch - 1] = value
    return curve


def test_each_budget_has_its_winner_read_at_its_epoch_from_longer_curves(sweep, searched):
    records = [
        searched(0, "unit", rising(4, 0.5)),
        searched(1, "unit", rising(LAST, 0.7, {4: 0.6})),
        searched(2, "unit", rising(LAST, 0.9, {4: 0.4})),
        searched(3, "unit", [0.98, 0.99]),  # never came to epoch 4
        searched(4, "none", rising(LAST, 0.99, {4: 0.98})),
    ]
    chosen = by_name(chosen_configurations(sweep(), records))
    short, long = chosen[TUNED_SHORT], chosen[TUNED_LONG]
    assert (short.trial, short.selected_at, short.among) == (1, 4, 3)
    assert (long.trial, long.selected_at, long.among) == (2, LAST, 2)
    assert short.params == {**records[1].trial.params, "epochs": LAST}
    assert (chosen[BASELINE].trial, chosen[BASELINE].selected_at) == (None, None)


def test_the_last_epoch_decides_and_not_the_best(sweep, searched):
    records = [
        searched(0, "unit", rising(LAST, 0.8, {6: 0.99})),
        searched(1, "unit", rising(LAST, 0.81)),
    ]
    assert by_name(chosen_configurations(sweep(), records))[TUNED_LONG].trial == 1


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        pytest.param(6, 4, 1, id="the-cheaper"),
        pytest.param(4, 6, 0, id="the-cheaper-first"),
        pytest.param(4, 4, 0, id="the-earlier"),
    ],
)
def test_under_the_first_rules_the_cheaper_of_equals_is_chosen(
    sweep, searched, first, second, kept
):
    records = [searched(i, "unit", [0.5] * n) for i, n in enumerate((first, second))]
    for order in (records, records[::-1]):
        assert by_name(chosen_configurations(sweep("rules=1"), order))[TUNED_SHORT].trial == kept


@pytest.mark.parametrize(
    ("losses", "kept"),
    [((0.3, 0.2), 1), ((0.2, 0.3), 0), ((0.2, 0.2), 0)],
    ids=["second", "first", "equal"],
)
def test_of_equals_the_one_with_the_lower_loss_at_that_epoch_is_chosen(
    sweep, searched, losses, kept
):
    records = [searched(i, "unit", [0.5] * LAST) for i in range(2)]
    for i, loss in enumerate(losses):
        curve = list(records[i].result.curve)
        curve[3] = replace(curve[3], val_loss=loss)
        records[i] = replace(records[i], result=replace(records[i].result, curve=tuple(curve)))
    for order in (records, records[::-1]):
        chosen = by_name(chosen_configurations(sweep(), order))
        assert (chosen[TUNED_SHORT].trial, chosen[TUNED_LONG].trial) == (kept, 0)
        assert (chosen[TUNED_SHORT].among, chosen[TUNED_SHORT].of) == (2, 2)


@pytest.mark.parametrize(
    "status", [Status.DIVERGED, Status.INTERRUPTED, Status.CRASHED, Status.TIMED_OUT]
)
def test_a_trial_that_did_not_come_to_its_end_is_never_chosen(sweep, searched, status):
    bad = searched(0, "unit", [0.99] * LAST, status)
    good = searched(1, "unit", [0.5] * LAST)
    chosen = by_name(chosen_configurations(sweep(), [bad, good]))
    assert {c.trial for name, c in chosen.items() if name != BASELINE} == {1}
    assert {c.among for name, c in chosen.items() if name != BASELINE} == {1}
    assert list(by_name(chosen_configurations(sweep(), [bad]))) == [BASELINE]


def test_a_pruned_trial_may_be_chosen_where_it_came_to(sweep, searched):
    records = [
        searched(0, "unit", [0.9] * 5, Status.PRUNED, epochs=LAST),
        searched(1, "unit", [0.5] * LAST),
    ]
    chosen = by_name(chosen_configurations(sweep(), records))
    assert (chosen[TUNED_SHORT].trial, chosen[TUNED_LONG].trial) == (0, 1)


def test_where_nobody_came_to_the_epoch_the_last_one_reached_is_read(sweep, searched):
    records = [
        searched(0, "unit", [0.2, 0.9]),
        searched(1, "unit", [0.3, 0.4, 0.5]),
        searched(2, "unit", [0.9, 0.9, 0.6]),
    ]
    chosen = by_name(chosen_configurations(sweep(), records))
    for name in (TUNED_SHORT, TUNED_LONG):
        configuration = chosen[name]
        assert (configuration.trial, configuration.selected_at, configuration.among) == (2, 3, 2)
        assert configuration.params["epochs"] == LAST


def test_an_arm_without_a_trial_that_trained_has_its_baseline_alone(sweep, searched):
    records = [searched(0, "unit", [0.5] * LAST), searched(1, "none", [], Status.CRASHED)]
    chosen = chosen_configurations(sweep(), records)
    assert [(c.arm, c.name) for c in chosen] == [
        ("none", BASELINE),
        ("unit", BASELINE),
        ("unit", TUNED_SHORT),
        ("unit", TUNED_LONG),
    ]


def test_a_trial_that_still_runs_is_not_chosen(sweep, searched):
    running = TrialRecord(searched(0, "unit", [0.9]).trial, None)
    assert list(by_name(chosen_configurations(sweep(), [running]))) == [BASELINE]


@pytest.mark.parametrize(
    ("overrides", "short", "long"),
    [
        pytest.param(["confirm.epochs=3"], 3, 3, id="a-shorter-confirmation"),
        pytest.param(["confirm.epochs=30"], 4, LAST, id="a-longer-confirmation"),
        pytest.param(["confirm.baseline.epochs=9"], 9, LAST, id="a-longer-baseline"),
    ],
)
def test_budgets_are_those_of_confirmation_and_space(sweep, searched, overrides, short, long):
    records = [searched(0, "unit", [0.5] * LAST)]
    made = sweep(*overrides)
    chosen = by_name(chosen_configurations(made, records))
    assert (chosen[TUNED_SHORT].selected_at, chosen[TUNED_LONG].selected_at) == (short, long)
    assert {c.params["epochs"] for c in chosen.values()} == {made.confirm_epochs}


def test_the_baseline_is_what_the_sweep_declares(sweep):
    made = sweep("confirm.baseline.optimizer=sgd", "confirm.baseline.learning_rate=0.02")
    assert [c.params for c in chosen_configurations(made, [])] == [
        {"normalization": arm, "optimizer": "sgd", "learning_rate": 0.02, "epochs": LAST}
        for arm in ("none", "unit")
    ]


def test_the_baseline_takes_what_the_space_fixes_and_nothing_that_it_searches(sweep):
    made = sweep(
        "confirm.baseline.optimizer=sgd",
        "search.space.batch_size=64",
        'search.space.momentum={ value = 0.9, when = { optimizer = "sgd" } }',
        'search.space.nesterov={ choices = [true, false], when = { optimizer = "sgd" } }',
        'search.space.weight_decay={ value = 0.01, when = { optimizer = "adamw" } }',
        'search.space.optimizer=["sgd", "adamw"]',
    )
    params = chosen_configurations(made, [])[0].params
    assert (params["batch_size"], params["momentum"]) == (64, 0.9)
    assert not {"nesterov", "weight_decay"} & set(params)


@pytest.mark.parametrize(
    ("overrides", "normalization"),
    [([], "none"), (["confirm.baseline.normalization=standardize"], "standardize")],
    ids=["the-spaces-first", "declared"],
)
def test_where_another_parameter_is_compared_the_baseline_has_a_normalization(
    sweep, overrides, normalization
):
    made = sweep("compare=optimizer", "reference=adam", *overrides)
    chosen = chosen_configurations(made, [])
    assert [c.params["optimizer"] for c in chosen] == ["sgd", "adam"]
    assert {c.params["normalization"] for c in chosen} == {normalization}


def test_arms_that_are_numbers_are_told_by_their_names(sweep, record):
    made = sweep("compare=batch_size", "search.space.batch_size=[32, 64]", "reference=64")
    searched = record(0, "32", (0.5,) * LAST, params={**BATCH, "batch_size": 32})
    chosen = chosen_configurations(made, [searched])
    assert [(c.arm, c.name) for c in chosen] == [
        ("32", BASELINE),
        ("32", TUNED_SHORT),
        ("32", TUNED_LONG),
        ("64", BASELINE),
    ]
    for configuration in chosen:
        trial = resolve_trial(made, KEY, configuration.arm, configuration.params, number=0, slot=0)
        assert (str(trial.batch_size), trial.arm) == (configuration.arm, configuration.arm)


BATCH = {"normalization": "none", "optimizer": "adam", "learning_rate": 0.001, "epochs": LAST}
