"""Test accuracy against epochs, the configurations in words, what it took to the level."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from normsweep.analysis.confirm_runs import confirmed
from normsweep.analysis.curves import configurations_table, curves_table, speed_table
from normsweep.analysis.estimates import interval, moments
from normsweep.analysis.questions import Declared
from normsweep.sweep.study_record import BASELINE, TUNED_LONG, TUNED_SHORT, Analysis, Configuration
from normsweep.sweep.trial import Status

RAW, UNIT = ("none", BASELINE), ("unit", BASELINE)
DECLARED = Declared("normalization", "unit", 0.05, 0.95, "both_tuned", 2, 1)


def curves(study) -> pd.DataFrame:
    return curves_table(confirmed(study.look, study.records), 0.95)


def speed(study, searched=(), declared=DECLARED) -> pd.DataFrame:
    found = confirmed(study.look, study.records)
    table = speed_table(found, curves_table(found, 0.95), searched, declared)
    return table.set_index(["arm", "configuration"])


def test_a_curve_is_the_mean_test_accuracy_of_every_epoch(planted):
    study = planted()
    table = curves(study).set_index(["arm", "configuration"])
    for key, levels in study.levels.items():
        of = table.loc[key]
        assert of["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
        assert of["accuracy"].tolist() == pytest.approx(list(levels))
        assert of["seeds"].tolist() == [5] * 6


def test_a_curves_interval_is_the_two_way_one_at_the_confidence(planted):
    study = planted()
    right = np.tile(np.arange(1000) < 500, (5, 1))
    found = confirmed(study.look, study.records)
    for confidence in (0.95, 0.8):
        first = curves_table(found, confidence).iloc[0]
        expected = interval(moments(right), (1 - confidence) / 2)
        assert (first["low"], first["high"]) == pytest.approx((expected.low, expected.high))


def test_a_seed_that_ended_early_is_left_out_of_all_epochs(planted):
    study = planted(diverged={RAW: {1: 6}, UNIT: dict.fromkeys(range(5), 1)}, failed={RAW: [0]})
    table = curves(study)
    raw = table.query("arm == 'none' and configuration == 'baseline'")
    assert raw["seeds"].tolist() == [3] * 6
    assert table.query("arm == 'unit' and configuration == 'baseline'").empty


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
            Configuration("unit", TUNED_LONG, params, 0, 20, 9),
        ]
    )
    assert table["label"].tolist() == ["baseline", "tuned for 1 epoch", "tuned for 20 epochs"]
    assert table["params"][0] == (
        "normalization = none, optimizer = sgd, learning_rate = 0.00333, momentum = 0.9"
    )
    assert table["learning_rate"].tolist() == [1 / 300] * 3
    assert table["trial"].tolist() == [pd.NA, 4, 0]
    assert table["selected_at"].tolist() == [pd.NA, 1, 20]
    assert table["trials"].tolist() == [0, 3, 9]
    assert configurations_table([]).columns.tolist() == table.columns.tolist()


def test_speed_is_the_first_epoch_at_the_references_baseline_level(planted):
    table = speed(planted())
    assert table["epochs_to_level"].to_dict() == {
        RAW: 6, ("none", TUNED_SHORT): 6, ("none", TUNED_LONG): 5,
        UNIT: 2, ("unit", TUNED_SHORT): 2, ("unit", TUNED_LONG): 2,
    }  # fmt: skip
    assert table["seconds_to_level"].tolist() == [3.0, 3.0, 2.5, 1.0, 1.0, 1.0]


def test_a_level_that_is_not_reached_is_missing(planted):
    slow = {**planted().levels, RAW: (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)}
    table = speed(planted(levels=slow))
    assert table["epochs_to_level"].isna().tolist() == [True] + [False] * 5
    assert math.isnan(table["seconds_to_level"].tolist()[0])
    lost = speed(planted(diverged={UNIT: dict.fromkeys(range(5), 1)}))
    assert lost["epochs_to_level"].isna().all()


def test_tuning_costs_the_whole_search_of_the_arm_and_nothing_for_the_baseline(planted, record):
    searched = [
        record(0, "none", (0.1, 0.2, 0.3)),
        record(1, "none", (), Status.CRASHED),
        record(2, "none", (0.5,), Status.DIVERGED),
        record(3, "unit", (0.9,)),
    ]
    table = speed(planted(), searched)
    assert table.loc[RAW, ["tuning_seconds", "tuning_epochs"]].tolist() == [0, 0]
    for name in (TUNED_SHORT, TUNED_LONG):
        costs = table.loc[("none", name), ["tuning_seconds", "tuning_epochs"]].tolist()
        assert costs == [2.5 + 1.0 + 1.5, 4]
    assert table.loc[("unit", TUNED_LONG), "tuning_epochs"] == 1


def test_the_level_is_read_within_the_confirmation(planted):
    levels = {key: values[:3] for key, values in planted().levels.items()}
    table = speed(planted(levels=levels), declared=replace(DECLARED, baseline_epochs=9))
    assert table["epochs_to_level"].isna().tolist() == [True, True, True, False, False, False]
    assert table["epochs_to_level"].tolist()[3:] == [3, 2, 2]


def test_before_the_first_look_the_tables_have_their_columns(planted):
    found = confirmed(Analysis(0, ()), planted().records)
    empty = curves_table(found, 0.95)
    assert empty.columns.tolist() == curves(planted()).columns.tolist()
    assert empty.empty
    none = speed_table(found, empty, [], DECLARED)
    assert none.empty
    assert none.columns.tolist() == speed(planted()).reset_index().columns.tolist()
