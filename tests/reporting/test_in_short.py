"""The report's four questions, a line each."""

import math
from dataclasses import replace

import pytest

from normsweep.analysis.estimates import Estimate
from normsweep.analysis.evidence import evidence
from normsweep.analysis.exchange import Exchange, Worth
from normsweep.analysis.outcomes import Outcome
from normsweep.analysis.rules import Missing
from normsweep.reporting.in_short import in_short
from normsweep.reporting.words import PARTS, worth_words
from normsweep.sweep.study_record import BASELINE, TUNED_LONG

inf = math.inf


def told(found) -> dict[str, str]:
    return {line.heading: line.text for line in in_short(found)}


def rate(after: int, worth: Worth, arm: str = "none", configuration: str = TUNED_LONG) -> Exchange:
    return Exchange(arm, "unit", configuration, after, 0.98, worth, 12, 5)


def test_there_is_a_line_for_each_part_of_the_report(found):
    lines = in_short(found())
    assert {line.part: line.heading for line in lines} == dict(PARTS)
    assert all("\n" not in line.text and line.text.endswith(".") for line in lines)


def test_an_answer_has_the_arm_its_interval_and_the_level(found):
    said = told(found())
    assert said["More epochs?"] == (
        "Yes: with the baseline settings and more epochs than “unit” gets, after 8 epochs, “none” (−0.20 to "
        "+0.10, from epoch 6) is level. In percentage points, with 95 % intervals."
    )


def test_arms_are_told_by_their_outcome(found):
    said = told(found(("none", "unit", "standardize", "zca")))
    answer = said["A tuned learning rate?"]
    assert answer.startswith("It depends on the arm: with its settings tuned")
    assert "“none” (−0.20 to +0.10, from epoch 6) is level; “zca” (−0.35 to −0.05) is behind; " in answer  # fmt: skip
    assert "“standardize” (−0.77 to −0.47) is clearly behind. In" in answer


def test_many_arms_of_one_outcome_share_an_interval(found):
    made = found(("a", "b", "c", "d", "unit"))
    verdicts = tuple(
        replace(v, outcome=made.verdicts[0].outcome, gap=Estimate(gap, gap - 0.001, gap + 0.001, 5))
        for v, gap in zip(made.verdicts, (0, 0.001, 0.002, 0.003) * 6, strict=True)
    )
    said = told(replace(made, verdicts=verdicts))
    assert (
        "“a”, “b”, “c” and “d” (where it trains) are level (−0.10 to +0.40)" in said["More epochs?"]
    )
    alone = tuple(v for v in verdicts if v.arm == "d")
    said = told(replace(made, verdicts=alone))
    assert "“d” (+0.20 to +0.40, from epoch 6, where it trains) is level" in said["More epochs?"]


def test_what_is_not_confirmed_is_not_answered(found, nothing):
    said = told(nothing)
    assert said.pop("Why?").startswith("Not measured")
    assert set(said.values()) == {"Not confirmed yet."}


def test_an_interval_that_is_not_known_is_left_out(found):
    made = found()
    unknown = Estimate(*[math.nan] * 3, 0)
    said = told(replace(made, verdicts=tuple(replace(v, gap=unknown) for v in made.verdicts)))
    assert said["More epochs?"].endswith("after 8 epochs, “none” is level.")
    barred = {"outcome": Outcome.OPEN, "missing": Missing.REFERENCE_AT_CHANCE}
    verdicts = (replace(v, gap=unknown, reason="the reference …", **barred) for v in made.verdicts)
    said = told(replace(made, verdicts=tuple(verdicts)))
    assert said["More epochs?"].endswith("after 8 epochs, “none” (the reference …) is open.")


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Outcome.AHEAD, "“none” (−0.20 to +0.10) is ahead."),
        (Outcome.DOES_NOT_TRAIN, "“none” (3 of 8 seeds trained) does not train."),
        (Outcome.CONTRADICTORY, "“none” has a contradictory outcome."),
        (Outcome.CATCHES_UP, "“none” (−0.20 to +0.10, from epoch 6) catches up."),
    ],
)
def test_every_outcome_has_its_predicate(found, outcome, words):
    made = found()
    changed = (replace(v, outcome=outcome, reason="3 of 8 seeds trained") for v in made.verdicts)
    assert words in told(replace(made, verdicts=tuple(changed)))["More epochs?"]


def test_the_last_line_says_what_epochs_are_worth(found):
    rates = (
        rate(3, Worth(5.24, 4.45, 8.35)),
        rate(6, Worth(inf, 9.6, inf)),
        rate(9, Worth(11.0, 9.25, inf)),
        rate(3, Worth(1.0, 0.0, 2.0), configuration=BASELINE),
    )
    answer = told(replace(found(), exchanges=rates))["Accuracy, or only speed?"]
    assert answer.startswith("Only speed: with both tuned")
    of_speed = {
        "Not accuracy; speed is open: with both tuned": [(), (rate(3, Worth(6.0, 2.9, inf)),)],
        "Neither: with both tuned": [(rate(3, Worth(3.1, 2.2, 4.0)),)],
    }
    for beginning, cases in of_speed.items():
        for exchanges in cases:
            said = told(replace(found(), exchanges=exchanges))["Accuracy, or only speed?"]
            assert said.startswith(beginning)
    assert answer.endswith(
        " 3, 6 and 9 epochs of “unit” are worth 5.2 (4.4 to 8.4), more than 9.6 and 11 (9.2 to more than 12) of “none”."
    )


def test_of_several_arms_the_slowest_one_is_told(found):
    rates = (rate(3, Worth(4.0, 3.5, 5.0), "zca"), rate(3, Worth(9.0, 8.0, 10.0), "none"))
    answer = told(replace(found(("none", "unit", "zca")), exchanges=rates))[
        "Accuracy, or only speed?"
    ]
    assert "3 epochs of “unit” are worth 9 (8 to 10) of “none”." in answer
    assert "of “zca”" not in answer


@pytest.mark.parametrize(
    ("worth", "words"),
    [
        (Worth(5.0, 4.45, 8.35), "5 (4.4 to 8.4)"),
        (Worth(inf, 9.6, inf), "more than 9.6"),
        (Worth(inf, 12.0, inf), "more than 12"),
        (Worth(11.0, 9.25, inf), "11 (9.2 to more than 12)"),
        (Worth(1.0, 0.0, 2.15), "at most 2.2"),
        (Worth(2.0, 0.0, inf), "not known"),
    ],
)
def test_a_number_of_epochs_has_its_bounds(worth, words):
    assert worth_words(worth, 12) == words


def test_the_first_line_is_the_experiment_if_there_is_one(found):
    assert told(found())["Why?"] == (
        "“none” is 1.2 percentage points behind “unit” (95 % interval −1.40 to −1.00) after 4 epochs with the baseline settings, mostly "
        "because its first layer takes larger steps."
    )


def test_the_first_line_names_what_differs_at_the_start(found, confirmed_record):
    answer = told(replace(found(), factorials=()))["Why?"]
    assert answer.startswith("Compared with “unit”, before training: the first layer’s inputs are ")
    alike = confirmed_record()
    same = next(iter(alike.diagnoses.values()))
    record = replace(alike, diagnoses=dict.fromkeys(alike.diagnoses, same))
    record = replace(
        record,
        diagnoses={
            arm: replace(d, initialization=replace(d.initialization, loss=2.3))
            for arm, d in record.diagnoses.items()
        },
    )
    assert told(evidence(record))["Why?"].startswith("Nothing that was measured at the start")
