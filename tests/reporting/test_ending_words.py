"""What is said of an arm whose networks are stuck: the kind, its numbers, and what to try."""

from __future__ import annotations

import pytest

from normsweep.analysis.endings import ArmEndings, Ended, Ending, Endings
from normsweep.analysis.stuck import Kind
from normsweep.reporting.ending_words import bound_words, ending_sentences, stuck_warnings
from normsweep.sweep.inspection import Inspection
from normsweep.sweep.trial import CONFIRM, SEARCH
from tests.conftest import make_record

RUNNING = Inspection(255.0, 0.0, None, 0.93, 0.99, 10)


def ending(number, ended=Ended.TRAINED, kind=None, rate=0.01, inspection=None, phase=SEARCH):
    record = make_record(number, "none", learning_rate=rate, phase=phase)
    result = record.result
    assert result is not None
    return Ending(
        type(record)(record.trial, type(result)(**{**vars(result), "inspection": inspection})),
        ended,
        kind,
    )


def group(*stuck, trained=0, phase=SEARCH, configuration=""):
    well = [ending(100 + i, phase=phase) for i in range(trained)]
    return ArmEndings("none", phase, configuration, (*stuck, *well), 0, phase == CONFIRM)


def said(*groups):
    return " ".join(ending_sentences(Endings((), groups)))


def test_nothing_is_said_of_an_arm_that_trains():
    assert said(group(ending(1, Ended.DIVERGED), trained=5)) == ""
    assert stuck_warnings(Endings((), (group(trained=5),))) == ()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Kind.DEAD, ["Dead (1): one output for all inputs, and no gradient", "from 0.01 on; try smaller ones"]),
        (Kind.NO_INFORMATION, ["No information in the input (1): all inputs are the same", "check its divisor"]),
        (Kind.TOO_SLOW, ["Too slow (1): the loss is still falling", "up to 0.01; try larger ones, or more epochs"]),
        (Kind.RUNNING_STATISTICS, ["Running statistics not there yet (1)", "up to 93 %", "momentum of 0.99",
                                   "about 459 steps, and had 10", "lower the momentum"]),
        (Kind.UNKNOWN, ["Cause unknown (1)", "learning rates of 0.01; try others"]),
    ],
)  # fmt: skip
def test_each_kind_is_named_with_what_to_try(kind, words):
    text = said(group(ending(1, Ended.STUCK, kind, inspection=RUNNING), trained=3))
    assert text.startswith("“none”: 1 of 4 trials is stuck, no better than guessing. ")
    for each in words:
        assert each in text
    advice = {
        Kind.DEAD: "try smaller ones", Kind.NO_INFORMATION: "check its divisor", Kind.TOO_SLOW: "try larger ones",
        Kind.RUNNING_STATISTICS: "lower the momentum", Kind.UNKNOWN: "try others",
    }  # fmt: skip
    assert [other for other, words in advice.items() if words in text] == [kind]


def test_rates_are_those_of_the_kind():
    dead = [ending(i, Ended.STUCK, Kind.DEAD, rate) for i, rate in enumerate((0.3, 0.1))]
    slow = [ending(9 + i, Ended.STUCK, Kind.TOO_SLOW, rate) for i, rate in enumerate((1e-6, 1e-5))]
    text = said(group(*dead, *slow, trained=2))
    assert text.startswith("“none”: 4 of 6 trials are stuck")
    assert "Dead (2)" in text
    assert "from 0.1 on" in text
    assert "Too slow (2)" in text
    assert "up to 1e-05" in text


def test_search_and_seeds_are_counted_apart_and_a_run_once():
    """Two configurations that are equal have the same runs."""
    stuck = ending(7, Ended.STUCK, Kind.DEAD, phase=CONFIRM)
    groups = (
        group(ending(1, Ended.STUCK, Kind.DEAD), trained=1),
        group(stuck, phase=CONFIRM, configuration="baseline"),
        group(stuck, phase=CONFIRM, configuration="tuned_long"),
    )
    text = said(*groups)
    assert text.startswith(
        "“none”: 1 of 2 trials, 1 of 1 seed (baseline) and 1 of 1 seed (tuned long) are"
    )
    assert "Dead (2)" in text


def test_a_warning_is_for_a_stuck_seed_or_half_a_search():
    dead = ending(1, Ended.STUCK, Kind.DEAD)
    assert stuck_warnings(Endings((), (group(dead, trained=2),))) == ()
    assert len(stuck_warnings(Endings((), (group(dead, trained=1),)))) == 1
    seed = ending(1, Ended.STUCK, Kind.DEAD, phase=CONFIRM)
    found = Endings((), (group(seed, trained=9, phase=CONFIRM, configuration="baseline"),))
    assert len(stuck_warnings(found)) == 1


def test_a_bound_is_rounded_up_and_only_told_of_independent_draws():
    assert bound_words(group(trained=5, phase=CONFIRM)) == "up to 46 %"
    assert bound_words(group(trained=5)) == ""
