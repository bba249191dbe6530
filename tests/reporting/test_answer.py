import io
import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from rich.console import Console

from normsweep.analysis.estimates import Estimate
from normsweep.analysis.outcomes import Outcome
from normsweep.analysis.parity import Parity
from normsweep.analysis.rules import Chosen, Missing, Trained
from normsweep.analysis.verdicts import Verdict
from normsweep.console.screen import table_view
from normsweep.reporting.answer import answer_sentence
from normsweep.reporting.verdict_text import verdict_lines


@pytest.fixture
def of(found):
    """The verdicts on arms whose outcomes are, in turn: level, clearly behind, behind, level where it trains."""
    names = ("none", "raw", "zca", "learned")

    def build(*kept: str) -> list[Verdict]:
        return [v for v in found((*names, "unit")).verdicts if v.arm in kept]

    return build


def sentence(verdicts: Sequence[Verdict]) -> str:
    return answer_sentence(verdicts, "normalization", "unit")


def all_with(verdicts: Sequence[Verdict], **changed: object) -> list[Verdict]:
    return [replace(v, **changed) for v in verdicts]


def test_one_arm_that_catches_up(of):
    assert sentence(of("none")) == (
        "With both tuned, “none” is level with “unit” from epoch 6 on (catches up), at most "
        "0.2 percentage points behind after 8 epochs (gap −0.05 percentage points, 95 % interval "
        "−0.20 to +0.10, 5 seeds)."
    )


def test_one_arm_that_was_never_behind_does_not_catch_up(of):
    text = sentence(all_with(of("none"), parity=Parity(1, 1)))
    assert "is level with “unit” from the start, at most" in text
    assert "catches up" not in text


def test_one_arm_that_is_clearly_behind(of):
    assert sentence(of("raw")) == (
        "With both tuned, “raw” is clearly behind “unit” by 0.47 to 0.77 percentage points after 8 epochs: "
        "it does not catch up (95 % interval, 5 seeds)."
    )
    fell = all_with(of("raw"), parity=Parity(level_until=3))
    assert sentence(fell) == (
        "With both tuned, “raw” falls clearly behind “unit” by 0.47 to 0.77 percentage points after 8 "
        "epochs, after it was level at epoch 3 (95 % interval, 5 seeds)."
    )


def test_one_arm_that_is_ahead_or_a_little_behind(of):
    ahead = all_with(
        of("none"), outcome=Outcome.AHEAD, gap=Estimate(0.004, 0.002, 0.006, 5), parity=Parity(1, 1)
    )
    assert sentence(ahead) == (
        "With both tuned, “none” is ahead of “unit” by 0.2 to 0.6 percentage points after 8 epochs "
        "(95 % interval, 5 seeds)."
    )
    little = all_with(
        of("none"), outcome=Outcome.A_LITTLE_BEHIND, gap=Estimate(-0.001, -0.0015, -0.0005, 5)
    )
    assert (
        "a little behind: by 0.05 to 0.15 percentage points after 8 epochs, less than the "
        "0.2 percentage points declared to matter" in sentence(little)
    )


def test_one_arm_that_is_behind_says_what_is_open_and_what_to_do(of):
    assert sentence(of("zca")) == (
        "With both tuned, “zca” is behind “unit” by 0.05 to 0.35 percentage points after 8 epochs; whether "
        "by more than 0.2 percentage points is open (about 10 more seeds would decide) "
        "(95 % interval, 5 seeds)."
    )


def test_an_open_outcome_has_its_span(of):
    open_ = all_with(of("zca"), outcome=Outcome.OPEN, gap=Estimate(-0.001, -0.004, 0.002, 5))
    assert (
        "“zca” is open: from 0.4 percentage points behind to 0.2 percentage points ahead of “unit” after "
        "8 epochs (about 10 more seeds would decide)" in sentence(open_)
    )


def test_an_interval_that_is_not_read_may_lie_ahead(of):
    """The reference is at chance, and the arm far above it."""
    barred = {
        "outcome": Outcome.OPEN,
        "missing": Missing.REFERENCE_AT_CHANCE,
        "reason": "at chance",
    }
    above = all_with(of("none"), **barred, gap=Estimate(0.8, 0.75, 0.85, 5))
    assert "“none” is open: 75 to 85 percentage points ahead of “unit” after 8" in sentence(above)
    below = all_with(of("none"), **barred, gap=Estimate(-0.8, -0.85, -0.75, 5))
    assert "“none” is open: 75 to 85 percentage points behind “unit” after 8" in sentence(below)


def test_seeds_that_did_not_train_qualify_the_outcome(of):
    text = sentence(of("learned"))
    assert "from epoch 6 on (catches up) where it trains (2 of 10 seeds diverged)" in text


def test_an_arm_that_does_not_train(of):
    unknown = Estimate(math.nan, math.nan, math.nan, 0)
    lost = all_with(
        of("none"),
        outcome=Outcome.DOES_NOT_TRAIN,
        gap=unknown,
        seeds=2,
        reason="2 of 5 seeds trained",
    )
    said = "With both tuned, “none” does not train: 2 of 5 seeds trained."
    assert sentence(lost) == said
    assert sentence(all_with(lost, gap=Estimate(-0.01, -0.05, 0.03, 2))) == said


def test_several_arms_stay_one_sentence_in_the_order_of_the_outcomes(of):
    assert sentence(of("raw", "zca", "none")) == (
        "With both tuned, compared with “unit” after 8 epochs: “none” is level from epoch 6 on (catches "
        "up), at most 0.2 percentage points behind; “zca” is behind by 0.05 to 0.35 percentage points, "
        "open whether by more than 0.2 percentage points (about 10 more seeds would decide); “raw” is "
        "clearly behind by 0.47 to 0.77 percentage points: it does not catch up."
    )


def test_many_arms_are_all_named_and_seeds_that_did_not_train_are_still_told(of):
    up = of("none")
    arms = [replace(v, arm=arm) for arm in "cdefg" for v in up]
    lost = [replace(v, arm="z", trained=(Trained(5, 1), Trained(5))) for v in up]
    assert sentence([*arms, *lost]) == (
        "With both tuned, compared with “unit” after 8 epochs: “c”, “d”, “e”, “f”, “g” and “z” (where it "
        "trains): level."
    )


def test_many_arms_that_do_not_train_are_nowhere_said_to(of):
    lost = {"outcome": Outcome.DOES_NOT_TRAIN, "reason": "1 of 5 seeds trained"}
    arms = [
        replace(v, arm=arm, trained=(Trained(1, 4), Trained(5)), **lost)
        for arm in "abcde"
        for v in of("none")
    ]
    assert sentence(arms).endswith("“a”, “b”, “c”, “d” and “e”: does not train.")


def test_tuning_that_made_an_arm_worse_is_in_the_sentence(of):
    worse = (Chosen("none", 8, 8, 0.97, 0.975, worse=True), Chosen("unit", 8, 8, 0.98, 0.98))
    assert sentence(all_with(of("none"), chosen=worse)).endswith(
        "; “none” is worse after tuning than with the baseline."
    )
    assert "after tuning" not in sentence(of("none"))


def test_too_few_seeds_for_an_interval_is_told_without_numbers(of):
    few = [
        replace(
            v, gap=Estimate(v.gap.value, math.nan, math.nan, 2), more_seeds="",
            missing=Missing.TOO_FEW_SEEDS, outcome=Outcome.OPEN,
            reason="at least 5 seeds are needed, 2 can be compared",
        )
        for v in of("zca")
    ]  # fmt: skip
    text = sentence(few)
    assert "nan" not in text
    assert "unknown" not in text
    assert "“zca” is open (at least 5 seeds are needed, 2 can be compared)" in text


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (
            Outcome.CATCHES_UP,
            "catches up with “unit” at epoch 6, from there on at most 0.2 percentage",
        ),
        (
            Outcome.DOES_NOT,
            "does not catch up with “unit” within 8 epochs: it is 0.1 to 0.2 percentage",
        ),
        (
            Outcome.NOT_ENOUGH,
            "has not enough evidence: from 0.2 percentage points behind to 0.1 percent",
        ),
    ],
)
def test_a_study_under_earlier_rules_keeps_its_words(of, outcome, said):
    text = sentence(all_with(of("none"), outcome=outcome, rules=2))
    assert said in text
    assert text.endswith("under which it was created.")
    assert "earlier version" not in sentence(of("none"))


def test_without_verdicts_there_is_no_answer_yet():
    assert sentence([]).startswith("No answer yet: the search tunes each normalization")


def test_lines_are_text_and_mark_the_main_question(of):
    lines = verdict_lines(of("none", "zca"))
    assert list(lines) == ["arm", "question", "answer", "gap in percentage points", "seeds"]
    last = lines.iloc[-2:].to_dict("records")
    assert last[0] == {
        "arm": "none",
        "question": "both tuned, 8 epochs *",
        "answer": "level from epoch 6 on (catches up)",
        "gap in percentage points": "−0.05 (−0.20 to +0.10)",
        "seeds": "5",
    }
    assert last[1]["answer"] == "behind: 10 more seeds"
    assert verdict_lines([]).empty


def test_lines_fit_a_console(of):
    console = Console(file=io.StringIO(), width=120, color_system=None)
    console.print(table_view(verdict_lines(of("none", "raw", "zca")), "Verdicts"))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "│ clearly behind " in text
    assert "level from epoch 6 on (catches up)" in text
    assert "−0.62 (−0.77 to −0.47)" in text
