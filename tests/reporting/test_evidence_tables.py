"""What a study found, as frames: columns, orders and missing cells."""

import math

import pandas as pd
import pytest

from normsweep.analysis.confirm_runs import Curve, Speed
from normsweep.analysis.estimates import Estimate
from normsweep.analysis.trials import TuningCurve
from normsweep.parts.metrics import metric
from normsweep.reporting.evidence_tables import (
    COLUMNS,
    budget_table,
    configurations_table,
    curves_table,
    learning_rates_table,
    progress_table,
    speed_table,
    tunability_table,
    verdict_table,
)
from normsweep.sweep.study_record import (
    BASELINE,
    TUNED_LONG,
    TUNED_SHORT,
    Configuration,
    TrialRecord,
)
from normsweep.sweep.trial import Status


@pytest.fixture
def trials(record) -> list[TrialRecord]:
    """Two arms, one of them with trials that ended in other ways."""
    return [
        record(0, "none", (0.3, 0.6), learning_rate=0.01, optimizer="sgd"),
        record(1, "none", (0.2,), Status.DIVERGED, learning_rate=0.5),
        record(2, "none", (0.9,), Status.INTERRUPTED),
        record(3, "none", (), Status.CRASHED),
        record(4, "none", (0.8,), Status.PRUNED),
        record(5, "none", (0.4,)),
        record(6, "unit", (0.5, 0.7, 0.9)),
        TrialRecord(record(7, "unit").trial, None),
    ]


def test_learning_rates_are_those_of_trials_with_a_score_or_pruned(trials):
    table = learning_rates_table(trials)
    assert table["trial"].tolist() == [0, 1, 4, 5, 6]
    assert table["val_accuracy"].tolist() == [0.6, 0.1, 0.8, 0.4, 0.9]
    assert table["diverged"].tolist() == [False, True, False, False, False]
    assert table.iloc[0][["optimizer", "learning_rate", "epochs"]].tolist() == ["sgd", 0.01, 2]


def test_a_trial_that_paused_and_went_on_counts_once_for_its_learning_rate(record):
    paused = record(0, "none", (0.8,), Status.PRUNED, slot=0, epochs=4)
    other = record(1, "none", (0.7,), Status.PRUNED, slot=1, epochs=4)
    went_on = record(2, "none", (0.8, 0.9), slot=0, epochs=4)
    table = learning_rates_table([paused, other, went_on])
    assert table[["trial", "val_accuracy"]].to_numpy().tolist() == [[1, 0.7], [2, 0.9]]
    assert table["epochs"].tolist() == [1, 4]


def test_progress_has_a_row_a_trial_with_a_score(trials):
    table = progress_table(trials)
    assert list(table) == ["arm", "trial", "hours", "done", "val_accuracy", "best"]
    assert sorted(table["trial"]) == [0, 1, 5, 6]
    assert table["done"].tolist()[-1] == 1


def test_without_trials_the_columns_are_there(trials):
    for make in (learning_rates_table, progress_table):
        assert make([]).empty
        assert list(make([])) == list(make(trials))


def test_tunability_has_a_row_a_number_of_trials():
    table = tunability_table(
        [TuningCurve("none", "best so far", (0.1, 0.6), *[(math.nan,) * 2] * 2, (1.0, 2.0))]
    )
    assert list(table) == ["arm", "trials", "expected", "low", "high", "kind", "seconds"]
    assert table["trials"].tolist() == [1, 2]
    assert table["expected"].tolist() == [0.1, 0.6]
    assert table["seconds"].tolist() == [1.0, 2.0]
    assert table[["low", "high"]].isna().all(axis=None)
    assert list(tunability_table([])) == list(table)


def test_the_budget_has_a_row_an_arm_and_number_of_epochs(trials):
    table = budget_table(trials, ["none", "unit"])
    assert list(table) == ["arm", "epochs", "val_accuracy", "trial", "among", "reached_by"]
    assert table[table["arm"] == "none"]["epochs"].is_monotonic_increasing
    assert list(budget_table([], ["none"])) == list(table)


def test_configurations_are_told_in_words_and_numbers():
    params = {
        "normalization": "none",
        "optimizer": "sgd",
        "learning_rate": 1 / 300,
        "momentum": 0.9,
    }
    table = configurations_table(
        [
            Configuration("none", BASELINE, params),
            Configuration("none", TUNED_SHORT, params, 4, 1, 3),
            Configuration("unit", TUNED_LONG, params, 0, 20, 9, of=13),
        ]
    )
    assert table["label"].tolist() == [
        "baseline",
        "tuned for 1 epoch",
        "tuned for 20 epochs, chosen among 9 of 13 trials",
    ]
    assert table["params"][0] == (
        "normalization = none, optimizer = sgd, learning_rate = 0.00333, momentum = 0.9"
    )
    assert table["learning_rate"].tolist() == [1 / 300] * 3
    assert table["trial"].tolist() == [pd.NA, 4, 0]
    assert table["selected_at"].tolist() == [pd.NA, 1, 20]
    assert table["trials"].tolist() == [0, 3, 9]
    assert configurations_table([]).columns.tolist() == table.columns.tolist()


def test_a_curve_has_a_row_an_epoch():
    estimates = (Estimate(0.5, 0.4, 0.6, 5), Estimate(0.7, 0.6, 0.8, 5))
    table = curves_table([Curve("none", BASELINE, estimates)])
    assert list(table) == ["arm", "configuration", "epoch", "accuracy", "low", "high", "seeds"]
    assert table.iloc[1].tolist() == ["none", "baseline", 2, 0.7, 0.6, 0.8, 5]
    assert list(curves_table([])) == list(table)
    assert "log_loss" in curves_table([], metric("log_loss"))


def test_a_level_that_is_not_reached_is_an_empty_cell():
    made = [
        Speed("none", BASELINE, None, math.nan, 0.0, 0),
        Speed("unit", BASELINE, 3, 9.0, 0.0, 0),
    ]
    table = speed_table(made)
    assert table["epochs_to_level"].tolist() == [pd.NA, 3]
    assert math.isnan(table["seconds_to_level"][0])
    assert speed_table([]).dtypes["epochs_to_level"] == table.dtypes["epochs_to_level"]
    assert list(speed_table([])) == list(table)


def test_without_verdicts_the_columns_are_there():
    assert list(verdict_table([])) == COLUMNS
    assert verdict_table([])["primary"].dtype == bool
    assert {"log_loss", "reference_log_loss", "metric"} <= set(
        verdict_table([], metric("log_loss"))
    )
