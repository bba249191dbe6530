"""Frames of the confirmation's test scores."""

import pytest

from normsweep.analysis.evidence import evidence
from normsweep.reporting.tables import study_table


def test_the_summary_averages_what_the_seeds_have(confirmed_record):
    record = confirmed_record()
    summary, seeds = study_table(record, "summary"), study_table(record, "seeds")
    keys = ["arm", "configuration", "epochs"]
    assert list(summary)[:9] == [*keys, "test_accuracy", "sd", "lowest", "highest", "trained", "seeds"]  # fmt: skip
    assert list(seeds)[:7] == [*keys, "slot", "trial", "test_accuracy", "ended"]
    means = seeds.groupby(keys, sort=False)["test_accuracy"].mean()
    assert summary.set_index(keys)["test_accuracy"].to_dict() == pytest.approx(means.to_dict())
    assert set(summary["seeds"]) == set(summary["trained"]) == {5}
    assert len(seeds) == 5 * len(summary)


def test_trials_of_the_seeds_are_those_of_the_table_of_trials(confirmed_record):
    record = confirmed_record()
    seeds = study_table(record, "seeds")
    trials = study_table(record, "trials").set_index("trial")
    longest = seeds[seeds["epochs"] == evidence(record).longest]
    assert len(longest)
    for _, row in longest.iterrows():
        trial = trials.loc[row["trial"]]
        assert (trial["arm"], trial["configuration"]) == (row["arm"], row["configuration"])
        assert trial["test_accuracy"] == row["test_accuracy"]


def test_a_bound_that_is_not_known_is_missing(confirmed_record):
    table = study_table(confirmed_record(), "exchange")
    assert list(table)[:4] == ["arm", "reference", "configuration", "reference_epochs"]
    assert table["epochs"].isna().tolist()[:3] == [False, True, True]
    assert table["high"].isna().tolist()[:3] == [True, True, True]
