"""What the search found, as frames."""

import math
from dataclasses import replace

import numpy as np
import pytest

from normsweep.analysis.searched import learning_rates_table, progress_table, tunability_table
from normsweep.analysis.tunability import expected_best
from normsweep.sweep.study_record import TrialRecord
from normsweep.sweep.trial import Status


@pytest.fixture
def trials(record) -> list[TrialRecord]:
    """Two arms, one of them with trials that ended in other ways; numbers against slots."""
    return [
        record(0, "none", (0.3, 0.6), slot=1, learning_rate=0.01, optimizer="sgd"),
        record(1, "none", (0.2,), Status.DIVERGED, slot=0, learning_rate=0.5),
        record(2, "none", (0.9,), Status.INTERRUPTED, slot=2),
        record(3, "none", (), Status.CRASHED, slot=3),
        record(4, "none", (0.8,), Status.PRUNED, slot=4),
        record(5, "none", (0.4,), slot=5),
        record(6, "unit", (0.5, 0.7, 0.9), slot=0),
        TrialRecord(record(7, "unit").trial, None),
    ]


def test_learning_rates_are_those_of_trials_with_a_score(trials):
    table = learning_rates_table(trials)
    assert table["trial"].tolist() == [0, 1, 5, 6]
    assert table["val_accuracy"].tolist() == [0.6, 0.1, 0.4, 0.9]
    assert table["diverged"].tolist() == [False, True, False, False]
    assert table.iloc[0][["optimizer", "learning_rate", "epochs"]].tolist() == ["sgd", 0.01, 2]


def test_an_adaptive_samplers_trials_are_drawn_as_the_best_so_far_in_their_order(trials):
    table = tunability_table(trials, ["none", "unit"], "tpe", seed=0)
    assert table["arm"].tolist() == ["none", "none", "none", "unit"]
    assert table["trials"].tolist() == [1, 2, 3, 1]
    assert table["expected"].tolist() == [0.1, 0.6, 0.6, 0.9]
    assert set(table["kind"]) == {"best so far"}
    assert table[["low", "high"]].isna().all(axis=None)


def test_random_trials_are_drawn_as_the_expected_best_with_a_band(record):
    scores = np.random.default_rng(0).random(16)
    made = [record(i, "unit", (float(s),)) for i, s in enumerate(scores)]
    table = tunability_table(made, ["none", "unit"], "random", seed=0)
    assert table["trials"].tolist() == list(range(1, 17))
    expected = [expected_best(scores, k) for k in range(1, 17)]
    assert table["expected"].tolist() == pytest.approx(expected)
    assert set(table["kind"]) == {"expected best"}
    band = table[table["trials"] <= 4]
    assert (band["low"] < band["expected"]).all()
    assert (band["expected"] < band["high"]).all()
    assert table[table["trials"] > 4]["low"].isna().all()
    again = tunability_table(made, ["none", "unit"], "random", seed=0)
    assert again.equals(table)


def test_progress_goes_by_the_time_at_which_trials_ended(record):
    def ended(number: int, arm: str, score: float, started: float, seconds: float) -> TrialRecord:
        made = record(number, arm, (score,))
        return replace(made, result=replace(made.result, started=started, seconds=seconds))

    table = progress_table(
        [
            ended(0, "none", 0.5, 1000.0, 7200.0),
            ended(1, "none", 0.7, 1000.0, 3600.0),
            ended(2, "unit", 0.9, 4600.0, 1800.0),
            ended(3, "none", 0.6, 8200.0, 3600.0),
            record(4, "none", (), Status.CRASHED),
        ]
    )
    assert table["trial"].tolist() == [1, 2, 0, 3]
    assert table["hours"].tolist() == pytest.approx([1.0, 1.5, 2.0, 3.0])
    assert table["done"].tolist() == [1, 1, 2, 3]
    assert table["best"].tolist() == [0.7, 0.9, 0.7, 0.7]


def test_without_trials_the_columns_are_there(trials):
    for make in (
        learning_rates_table,
        progress_table,
        lambda records: tunability_table(records, ["none"], "random", 0),
    ):
        empty, full = make([]), make(trials)
        assert empty.empty
        assert empty.columns.tolist() == full.columns.tolist()


def test_an_arm_whose_trials_have_no_score_has_no_tunability(record):
    made = [record(0, "none", (), Status.CRASHED), record(1, "unit", (0.5,))]
    for sampler in ("tpe", "random"):
        assert tunability_table(made, ["none", "unit"], sampler, 0)["arm"].tolist() == ["unit"]


def test_a_diverged_trial_counts_as_a_guess(trials):
    table = tunability_table(trials, ["none"], "random", 0)
    assert table["expected"].tolist()[0] == pytest.approx((0.6 + 0.1 + 0.4) / 3)
    assert not math.isnan(table["expected"].tolist()[-1])
