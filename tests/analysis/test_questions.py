"""Which configurations a question compares, up to which epoch, and the table of verdicts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pandas as pd
import pytest

from normsweep.analysis.evidence import Evidence, evidence
from normsweep.reporting.evidence_tables import COLUMNS, verdict_table
from normsweep.sweep.recorded import from_plain, to_plain
from normsweep.sweep.schema import QUESTIONS
from normsweep.sweep.study_record import BASELINE, TUNED_LONG, TUNED_SHORT, Analysis

LOOKS = [Analysis(5, ())]
# What each question compares in the planted levels, by hand: under 8 epochs, those of the epoch itself.
EXPECTED = {
    "more_epochs": (0.86, 0.86, 6),
    "equal_epochs": (0.86, 0.90, 6),
    "tuned_rate": (0.78, 0.86, 2),
    "tuned_rate_longest": (0.89, 0.90, 6),
    "both_tuned_short": (0.78, 0.88, 2),
    "both_tuned": (0.89, 0.93, 6),
}


@pytest.fixture
def judged(planted, sweep, recorded) -> Callable[..., Evidence]:
    """The evidence of planted confirmations; `looks` were before."""

    def made(*overrides: str, looks=0, analysis=None, **fields) -> Evidence:
        study = planted(**fields)
        looked = [*LOOKS * looks, analysis or study.look]
        return evidence(recorded(sweep(*overrides), study.records, looked))

    return made


def table(found: Evidence) -> pd.DataFrame:
    return verdict_table(found.verdicts, found.metric)


def rows(found: Evidence) -> pd.DataFrame:
    return table(found).set_index(["question", "arm"])


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_compares_its_configurations_at_its_horizon(judged, question):
    row = rows(judged()).loc[question, "none"]
    accuracy, reference, horizon = EXPECTED[question]
    assert row["horizon"] == horizon
    assert row["accuracy"] == pytest.approx(accuracy)
    assert row["reference_accuracy"] == pytest.approx(reference)
    assert row["gap"] == pytest.approx(accuracy - reference)
    assert row["low"] < row["gap"] < row["high"]


def test_the_planted_outcomes_are_found(judged):
    found = rows(judged()).xs("none", level="arm")
    assert found["outcome"].to_dict() == {
        "more_epochs": "level",
        "equal_epochs": "behind",
        "tuned_rate": "clearly behind",
        "tuned_rate_longest": "level, a little behind",
        "both_tuned_short": "clearly behind",
        "both_tuned": "behind",
    }
    assert found["word"].to_dict() == {
        "more_epochs": "catches up",
        "equal_epochs": "not enough evidence",
        "tuned_rate": "does not catch up",
        "tuned_rate_longest": "catches up",
        "both_tuned_short": "does not catch up",
        "both_tuned": "not enough evidence",
    }
    assert found.loc["more_epochs", "verdict"] == "level from epoch 5 on (catches up)"
    assert (
        found.loc["tuned_rate", "verdict"] == "clearly behind (does not catch up within 2 epochs)"
    )
    epochs = found[["epoch_low", "epoch"]]
    assert epochs.loc["more_epochs"].tolist() == [4, 5]
    assert epochs.loc["tuned_rate"].isna().all()


def test_a_row_holds_all_that_a_verdict_stands_on(judged):
    found = judged("confirm.primary=more_epochs", "confirm.confidence=0.9")
    assert list(table(found)) == COLUMNS
    assert table(found)["question"].tolist() == list(QUESTIONS)
    row = rows(found).loc["more_epochs", "none"]
    assert (row["reference"], row["seeds"], row["images"]) == ("unit", 5, 1000)
    assert (row["margin"], row["confidence"], row["look"], row["analysis"]) == (0.05, 0.9, 1, 1)
    assert (row["diverged"], row["reference_diverged"], row["more_seeds"]) == (0, 0, "")
    assert (row["trained"], row["reference_trained"], row["stuck"]) == (5, 5, 0)
    assert row["untrained_at_most"] == pytest.approx(1 - 0.05 ** (1 / 5))
    assert (row["window"], row["gap_last_epoch"], row["rules"]) == (1, row["gap"], 3)
    assert (row["plain_low"], row["plain_high"]) == (row["low"], row["high"])
    assert row["seeds_low"] == row["seeds_high"] == pytest.approx(row["gap"])
    assert "two-way analysis of variance" in row["method"]
    assert row["method"].endswith("one-sided level 0.05")
    assert table(found)["primary"].tolist() == [q == "more_epochs" for q in QUESTIONS]


def test_an_undecided_row_says_what_it_needs(judged):
    row = rows(judged()).loc["both_tuned", "none"]
    assert row["more_seeds"] == "images"
    assert row["verdict"] == (
        "behind; open whether by more than the margin: more test data would decide, not more seeds"
    )


def test_how_a_tuned_configuration_was_chosen_is_beside_its_result(judged, planted):
    study = planted()
    known = replace(
        study.look, configurations=tuple(replace(c, of=13) for c in study.look.configurations)
    )
    found = rows(judged(analysis=known))["among"].xs("none", level="arm")
    both, one = "none among 4 of 13 trials, unit among 4 of 13 trials", "none among 4 of 13 trials"
    assert found.to_dict() == {
        "more_epochs": "", "equal_epochs": "", "tuned_rate": one, "tuned_rate_longest": one,
        "both_tuned_short": both, "both_tuned": both,
    }  # fmt: skip


@pytest.mark.parametrize("rules", [1, 2])
def test_under_earlier_rules_each_look_is_held_to_a_stricter_level(judged, rules):
    first, third = (
        rows(judged(f"rules={rules}", looks=n)).loc["equal_epochs", "none"] for n in (0, 2)
    )
    assert (first["look"], third["look"]) == (1, 3)
    assert first["method"].endswith("0.025")
    assert third["method"].endswith("0.00625")
    assert third["high"] - third["low"] > first["high"] - first["low"]


THREE_ARMS = 'search.space.normalization=["none", "unit", "zca"]'


def three_arms(planted) -> dict:
    levels = dict(planted().levels)
    return {**levels, **{("zca", name): levels["none", name] for name in (BASELINE, TUNED_SHORT, TUNED_LONG)}}  # fmt: skip


def test_more_arms_share_the_level_and_every_one_but_the_reference_is_asked(judged, planted):
    two = rows(judged()).loc["more_epochs", "none"]
    found = table(judged(THREE_ARMS, levels=three_arms(planted)))
    assert found["arm"].tolist() == ["none", "zca"] * 6
    assert found["question"].tolist() == [q for q in QUESTIONS for _ in range(2)]
    one = found.iloc[0]
    assert one["method"].endswith("0.0125")
    assert one["low"] < two["low"]


def test_divergences_are_counted_and_left_out(judged):
    diverged = {("none", BASELINE): {0: 3, 5: 1}, ("unit", BASELINE): {2: 6}}
    found = rows(judged(seeds=8, diverged=diverged))
    more = found.loc["more_epochs", "none"]
    # The reference is compared at its second epoch, and may diverge later.
    assert (more["seeds"], more["diverged"], more["reference_diverged"]) == (6, 2, 0)
    assert more["gap"] == pytest.approx(0)
    assert more["verdict"] == (
        "level from epoch 5 on (catches up) where it trains (2 of 8 seeds diverged)"
    )
    equal = found.loc["equal_epochs", "none"]
    assert (equal["seeds"], equal["diverged"], equal["reference_diverged"]) == (5, 2, 1)
    short = found.loc["tuned_rate", "none"]
    assert (short["seeds"], short["diverged"], short["reference_diverged"]) == (8, 0, 0)
    tuned = found.loc["both_tuned", "none"]
    assert (tuned["seeds"], tuned["diverged"], tuned["reference_diverged"]) == (8, 0, 0)


def test_under_five_pairs_there_is_no_verdict_and_those_that_did_not_train_are_named(judged):
    found = rows(judged(seeds=5, diverged={("unit", BASELINE): {1: 2}}))
    assert found.loc["more_epochs", "none"]["verdict"] == (
        "open: at least 5 seeds are needed, 4 can be compared (seeds that did not train: 1 of “unit”)"
    )
    assert found.loc["both_tuned", "none"]["seeds"] == 5


def test_an_arm_that_does_not_train_has_that_outcome(judged):
    diverged = {("none", BASELINE): dict.fromkeys(range(5), 1)}
    row = rows(judged(diverged=diverged)).loc["equal_epochs", "none"]
    assert (row["outcome"], row["seeds"], row["diverged"]) == ("does not train", 0, 5)
    assert row["verdict"] == "does not train (0 of 5 seeds trained)"
    assert (row["word"], row["trained"], row["untrained_at_most"]) == ("not enough evidence", 0, 1)
    assert pd.isna(row["gap"])


def test_an_arm_that_has_no_tuned_configuration_leaves_rows_and_no_verdict(judged, planted):
    levels = {key: v for key, v in planted().levels.items() if key != ("none", TUNED_LONG)}
    found = rows(judged(levels=levels))
    assert found.loc["both_tuned", "none"]["seeds"] == 0
    assert found.loc["more_epochs", "none"]["word"] == "catches up"


def test_a_baseline_longer_than_the_confirmation_is_read_at_its_end(
    judged, planted, sweep, recorded
):
    levels = {key: values[:3] for key, values in planted().levels.items()}
    found = rows(judged("confirm.epochs=3", "search.space.epochs=4", levels=levels))
    assert found.loc["more_epochs", "none"]["reference_accuracy"] == pytest.approx(0.86)
    study = planted(levels=levels)
    longer = from_plain({**to_plain(sweep("confirm.epochs=3")), "confirm.baseline.epochs": 4})
    verdicts = evidence(recorded(longer, study.records, [study.look])).verdicts
    ends = {v.question: (v.horizon, v.reference_value) for v in verdicts}
    assert ends["tuned_rate"][0] == 3
    assert ends["more_epochs"] == (3, pytest.approx(0.87))


def test_optimizers_are_compared_as_normalizations_are(judged, planted):
    names = {"none": "sgd", "unit": "adam"}
    levels = {(names[arm], name): values for (arm, name), values in planted().levels.items()}
    other = judged(
        "compare=optimizer", "reference=adam", levels=levels, compare="optimizer",
    )  # fmt: skip
    expected = judged()
    renamed = table(expected).replace({"arm": names, "reference": names})
    pd.testing.assert_frame_equal(table(other), renamed)
    same = [replace(curve, arm=names[curve.arm]) for curve in expected.curves]
    assert list(other.curves) == same
    assert list(other.speeds) == [replace(each, arm=names[each.arm]) for each in expected.speeds]
