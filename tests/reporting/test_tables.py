import math

import pytest

from normsweep.analysis.trials import arm_summaries, read_at_epoch
from normsweep.reporting.tables import (
    arms_table,
    best_table,
    budgets_table,
    epochs_table,
    trials_table,
)
from normsweep.sweep.loading import load_sweep
from normsweep.sweep.study_record import StudyRecord, TrialRecord
from normsweep.sweep.trial import Status

TRIALS = [
    "trial", "phase", "arm", "slot", "status", "val_accuracy", "val_loss", "train_accuracy",
    "train_loss", "test_accuracy", "epochs_run", "configuration", "normalization", "optimizer",
    "learning_rate", "epochs", "batch_size", "seconds", "reused_epochs", "reused_from", "reused_study", "seed",
    "dataset", "data_digest", "device",
    "threads", "precision", "same_as", "fingerprint", "run_id", "error",
]  # fmt: skip
FIXED = TRIALS.index("seconds")
NOT_OF_THE_BEST = ("phase", "slot", "status", "test_accuracy", "configuration", "error")
BEST = [name for name in TRIALS if name not in NOT_OF_THE_BEST]
EPOCHS = [
    "trial", "arm", "epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds",
    "test_accuracy",
]  # fmt: skip
ARMS = [
    "arm", "trials", "complete", "diverged", "pruned", "failed", "retried", "best_val_accuracy",
    "median_val_accuracy", "best_learning_rate", "best_epochs", "seconds", "same_as",
]  # fmt: skip


@pytest.fixture
def records(record) -> list[TrialRecord]:
    """Two arms with trials that ended in every way, and one that still runs."""
    running = record(8, "unit")
    return [
        record(0, "none", (0.3, 0.6), learning_rate=0.01),
        record(1, "none", (0.2,), Status.DIVERGED),
        record(2, "none", (0.9,), Status.INTERRUPTED),
        record(3, "none", (0.8,), Status.PRUNED),
        record(4, "unit", (0.5, 0.7, 0.9)),
        record(5, "unit", (), Status.CRASHED, error="killed by signal 9"),
        record(6, "unit", (0.4,), Status.TIMED_OUT),
        record(7, "unit", (0.95, 0.8)),
        TrialRecord(running.trial, None),
    ]


def test_the_columns_are_the_stated_ones(records):
    assert list(trials_table(records)) == TRIALS
    assert list(best_table(records, ["none", "unit"])) == BEST
    assert list(epochs_table(records)) == EPOCHS
    assert list(arms_table(arm_summaries(records, ["none", "unit"]))) == ARMS


def test_the_columns_are_there_without_any_trial():
    assert list(trials_table([])) == TRIALS
    assert list(best_table([], ["none", "unit"])) == BEST
    assert list(epochs_table([])) == EPOCHS
    assert list(arms_table(arm_summaries([], ["none", "unit"]))) == ARMS


def test_the_studys_own_parameters_stand_between_the_fixed_columns(record):
    made = [
        record(0, params={"optimizer": "sgd", "momentum": 0.9}),
        record(1, params={"optimizer": "adam", "units": 16}),
    ]
    table = trials_table(made)
    assert list(table) == [*TRIALS[:FIXED], "momentum", "units", *TRIALS[FIXED:]]
    assert table["momentum"].tolist()[0] == 0.9
    assert math.isnan(table["momentum"].tolist()[1])


def test_a_parameter_named_as_a_fixed_column_gets_another_name(record):
    table = trials_table([record(0, params={"seconds": 0.25})])
    assert list(table) == [*TRIALS[:FIXED], "param_seconds", *TRIALS[FIXED:]]
    assert table[["param_seconds", "seconds"]].to_numpy().tolist() == [[0.25, 2.0]]


def test_a_row_of_trials_says_how_each_went(records):
    table = trials_table(records).set_index("trial")
    assert list(table.index) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert table.loc[0, ["status", "val_accuracy", "epochs_run"]].tolist() == ["complete", 0.6, 2]
    assert table.loc[0, ["val_loss", "train_loss", "train_accuracy"]].tolist() == [1.0, 0.5, 0.59]
    assert table.loc[1, ["status", "val_accuracy"]].tolist() == ["diverged", 0.1]
    assert table.loc[5, ["status", "error"]].tolist() == ["crashed", "killed by signal 9"]
    assert math.isnan(table.loc[5, "val_accuracy"])
    assert math.isnan(table.loc[3, "val_accuracy"])
    assert table.loc[4, ["device", "threads", "run_id"]].tolist() == ["cpu", "2", "run4"]
    assert table.loc[4, "fingerprint"] == records[4].trial.fingerprint


def test_a_row_of_epochs_is_one_epoch(records):
    table = epochs_table(records)
    of_four = table[table["trial"] == 4]
    assert of_four["epoch"].tolist() == [1, 2, 3]
    assert of_four["val_accuracy"].tolist() == [0.5, 0.7, 0.9]
    assert len(table) == 2 + 1 + 1 + 1 + 3 + 0 + 1 + 2


def test_the_best_table_has_the_best_arm_first(records):
    table = best_table(records, ["none", "unit"])
    assert table["arm"].tolist() == ["unit", "none"]
    assert table["trial"].tolist() == [4, 0]


@pytest.mark.parametrize(("top", "trials"), [(1, [4]), (2, [4, 7]), (3, [4, 7, 0]), (9, [4, 7, 0])])
def test_with_top_the_best_trials_overall_come_out(records, top, trials):
    assert best_table(records, ["none", "unit"], top)["trial"].tolist() == trials


def test_after_another_epoch_other_trials_are_the_best(records):
    read = read_at_epoch(records, 1)
    table = best_table(read, ["none", "unit"])
    assert table["trial"].tolist() == [7, 3]  # 3 was pruned after it
    assert table["val_accuracy"].tolist() == [0.95, 0.8]
    assert table["epochs_run"].tolist() == [1, 1]
    assert best_table(read_at_epoch(records, 4), ["none", "unit"]).empty


def test_the_table_of_budgets_has_the_best_after_each_number_of_epochs(sweep_file, parts, records):
    sweep = load_sweep(sweep_file, parts, ["search.space.epochs={ low = 1, high = 3 }"])
    table = budgets_table(StudyRecord("base", "", sweep, trials=tuple(records)))
    assert list(table) == [
        "arm", "epochs", "trial", "val_accuracy", "val_loss", "normalization", "optimizer",
        "learning_rate", "batch_size", "among", "of", "reached_by",
    ]  # fmt: skip
    found = table[["arm", "epochs", "trial", "val_accuracy", "among", "of"]].to_numpy().tolist()
    assert found == [
        ["none", 1, 3, 0.8, 2, 3],
        ["none", 2, 0, 0.6, 1, 3],
        ["unit", 1, 7, 0.95, 2, 4],
        ["unit", 2, 7, 0.8, 2, 4],
        ["unit", 3, 4, 0.9, 1, 4],
    ]
    assert list(budgets_table(StudyRecord("base", "", sweep))) == list(table)


def test_an_arms_row_counts_how_its_trials_ended(records):
    table = arms_table(arm_summaries(records, ["none", "unit"])).set_index("arm")
    counts = ["trials", "complete", "diverged", "pruned", "failed"]
    assert table.loc["none", counts].tolist() == [3, 1, 1, 1, 0]
    assert table.loc["unit", counts].tolist() == [4, 2, 0, 0, 2]


def test_the_median_counts_diverged_trials_at_chance_and_no_failed_ones(records):
    table = arms_table(arm_summaries(records, ["none", "unit"])).set_index("arm")
    assert table.loc["none", "median_val_accuracy"] == pytest.approx((0.6 + 0.1) / 2)
    assert table.loc["unit", "median_val_accuracy"] == pytest.approx((0.9 + 0.8) / 2)


def test_an_arms_row_has_the_settings_of_its_best_trial_and_the_time_of_all(records):
    table = arms_table(arm_summaries(records, ["none", "unit"])).set_index("arm")
    best = ["best_val_accuracy", "best_learning_rate", "best_epochs"]
    assert table.loc["none", best].tolist() == [0.6, 0.01, 2]
    assert table.loc["none", "seconds"] == pytest.approx(2.0 + 1.5 * 3)


def test_an_arm_with_no_score_has_none(record):
    table = arms_table(arm_summaries([record(0, "none", (), Status.CRASHED)], ["none", "unit"]))
    assert table["best_val_accuracy"].isna().all()
    assert table["median_val_accuracy"].isna().all()
    assert table["best_epochs"].isna().all()
    assert table["trials"].tolist() == [1, 0]


def test_normalizations_that_did_not_run_are_named_where_they_are_the_same(records):
    same = {"minmax": "unit", "l1": "unit"}
    assert trials_table(records, same)["same_as"].tolist()[3:5] == ["", "l1, minmax"]
    assert arms_table(arm_summaries(records, ["none", "unit"]), same)["same_as"].tolist() == [
        "",
        "l1, minmax",
    ]
