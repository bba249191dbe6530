import io
import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from rich.console import Console

from normsweep.analysis.estimates import Estimate
from normsweep.analysis.verdicts import Missing, Verdict
from normsweep.console.screen import table_view
from normsweep.reporting.answer import answer_sentence
from normsweep.reporting.verdict_text import verdict_lines


@pytest.fixture
def of(found):
    """The verdicts on arms whose words are, in turn: catches up, does not, not enough, qualified."""
    names = ("none", "raw", "zca", "learned")

    def build(*kept: str) -> list[Verdict]:
        return [v for v in found((*names, "unit")).verdicts if v.arm in kept]

    return build


def sentence(verdicts: Sequence[Verdict]) -> str:
    return answer_sentence(verdicts, "normalization", "unit")


def test_one_arm_that_catches_up(of):
    assert sentence(of("none")) == (
        "Yes: with both tuned, “none” catches up at epoch 6 and from then to epoch 8 is at most "
        "0.2 percentage points behind “unit” (gap after 8 epochs −0.05 percentage points, "
        "95 % interval −0.20 to +0.10; 5 seeds)."
    )


def test_one_arm_that_does_not(of):
    assert sentence(of("raw")) == (
        "No: with both tuned, “raw” is 0.62 percentage points behind “unit” after 8 epochs "
        "(95 % interval 0.47 to 0.77 percentage points; 5 seeds), more than the equivalence margin of 0.2 percentage points."
    )


def test_one_arm_that_is_not_decided_says_what_to_do(of):
    text = sentence(of("zca"))
    assert text.startswith("Not decided yet: with both tuned, “zca” may be anywhere")
    assert (
        "from 0.35 percentage points behind to 0.05 percentage points behind “unit” after 8 epochs"
        in text
    )
    assert text.endswith("about 10 more seeds would decide.")


def test_a_divergence_qualifies_the_yes(of):
    text = sentence(of("learned"))
    assert text.startswith("Yes, with a reservation:")
    assert "where it trains (2 of 10 seeds diverged)" in text


def test_several_arms_stay_one_sentence(of):
    assert sentence(of("none", "raw", "zca")) == (
        "It depends: with both tuned, 1 of 3 catches up with “unit” within 8 epochs: "
        "“none” at epoch 6; “raw” does not (0.62 percentage points behind); "
        "“zca” is not decided yet: about 10 more seeds would decide."
    )


def test_all_of_several_arms(of):
    up, down = of("none"), of("raw")
    assert sentence([*up, *(replace(v, arm="b") for v in up)]).startswith(
        "Yes: with both tuned, all 2 catch up with “unit” within 8 epochs: "
    )
    assert sentence(
        [*(replace(v, arm="b") for v in down), *(replace(v, arm="a") for v in down)]
    ) == (
        "No: with both tuned, “b” (0.62 percentage points behind) and “a” (0.62 percentage points behind) do not catch up "
        "with “unit” within 8 epochs."
    )


def test_many_arms_are_all_named_and_a_divergence_is_still_told(of):
    up = of("none")
    arms = [replace(v, arm=arm, epoch=e) for e, arm in enumerate("cdefg", start=2) for v in up]
    lost = [replace(v, arm="z", diverged=(1, 0)) for v in up]
    assert sentence([*arms, *lost]) == (
        "Yes, with a reservation: with both tuned, all 6 catch up with “unit” within 8 epochs: "
        "“c”, “d”, “e”, “f”, “g” and “z” where it trains, at epochs 2 to 6."
    )


def test_too_few_seeds_for_an_interval_is_told_without_numbers(of):
    few = [
        replace(
            v, gap=Estimate(v.gap.value, math.nan, math.nan, 2), more_seeds="",
            missing=Missing.TOO_FEW_SEEDS,
            reason="at least 5 seeds are needed, 2 can be compared",
        )
        for v in of("zca")
    ]  # fmt: skip
    text = sentence(few)
    assert "nan" not in text
    assert "unknown" not in text
    assert "at least 5 seeds are needed" in text


def test_without_verdicts_there_is_no_answer_yet():
    assert sentence([]).startswith("No answer yet: the search tunes each normalization")


def test_lines_are_text_and_mark_the_main_question(of):
    lines = verdict_lines(of("none", "zca"))
    assert list(lines) == ["arm", "question", "answer", "gap in percentage points", "seeds"]
    last = lines.iloc[-2:].to_dict("records")
    assert last[0] == {
        "arm": "none",
        "question": "both tuned, 8 epochs *",
        "answer": "catches up at epoch 6",
        "gap in percentage points": "−0.05 (−0.20 to +0.10)",
        "seeds": "5",
    }
    assert last[1]["answer"] == "not enough evidence: 10 more seeds"
    assert verdict_lines([]).empty


def test_lines_fit_a_console(of):
    console = Console(file=io.StringIO(), width=120, color_system=None)
    console.print(table_view(verdict_lines(of("none", "raw", "zca")), "Verdicts"))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "does not catch up within 8 epochs" in text
    assert "−0.62 (−0.77 to −0.47)" in text
