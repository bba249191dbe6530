"""Why, by experiment, in sentences: planted parts in both directions, and what must not be said."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from normsweep.analysis.estimates import Estimate
from normsweep.analysis.factorial import PARTS, Control, Effects, Part
from normsweep.analysis.rules import Trained
from normsweep.parts.metrics import metric
from normsweep.reporting.figures.mechanism import mechanism
from normsweep.reporting.figures.theme import Style
from normsweep.reporting.mechanism import because, main_reason, reasons
from normsweep.reporting.page_tables import mechanism_of
from normsweep.reporting.score_tables import mechanism_table
from tests.reporting.figures.reading import texts

ARMS = ("raw", "small start", "small steps", "both", "÷255")
START, STEP, JOINT = PARTS
NONE, ALL = Trained(0, 0, 5), Trained(5)
WHEN = "after 4 epochs with the baseline settings"


def estimate(value: float, half: float = 0.002) -> Estimate:
    return Estimate(value, value - half, value + half, 5)


def effects(start: float, step: float, joint: float, *most: Part, half: float = 0.002) -> Effects:
    values = (start + step + joint, start, step, joint)
    return Effects(*(estimate(value, half) for value in values), most=most)


@pytest.fixture
def told(found, factorial):
    """The conclusion and the details of one factorial."""

    def of(**changed) -> tuple[str, str]:
        made = replace(found(ARMS, "÷255"), factorials=(factorial(ARMS, "÷255", **changed),))
        (reason,) = reasons(made)
        assert reason.text.startswith(reason.conclusion)
        return reason.conclusion, " ".join(reason.details)

    return of


@pytest.mark.parametrize(
    ("parts", "most", "cause"),
    [
        ((-0.01, 0, 0), (START,), ", mostly because its first layer starts larger."),
        ((0, -0.01, 0), (STEP,), ", mostly because its first layer takes larger steps."),
        (
            (0, 0, -0.01),
            (JOINT,),
            ", mostly because its first layer starts larger and takes larger steps: most of the gap goes only if both are undone.",
        ),
        (
            (-0.01, -0.01, 0.01),
            (START, STEP),
            " because its first layer starts larger and takes larger steps, and undoing either is enough for most of the gap.",
        ),
        (
            (-0.006, 0.004, -0.008),
            (START, JOINT),
            ", mostly because its first layer starts larger; undoing its steps alone makes the gap larger.",
        ),
        (
            (-0.005, -0.005, 0),
            (),
            ", in part because its first layer starts larger and takes larger steps; how much of the gap that is, is open.",
        ),
        (
            (-0.006, -0.001, -0.003),
            (),
            ", in part because its first layer starts larger and takes larger steps; how much of the gap that is, is open.",
        ),
        (
            (-0.01, 0, 0),
            (),
            ", in part because its first layer starts larger; how much of the gap that is, is open.",
        ),
    ],
)
def test_the_cause_in_both_directions(told, parts, most, cause):
    behind, _ = told(effects=effects(*parts, *most))
    assert (
        behind
        == f"“raw” is 1 percentage point behind “÷255” (95 % interval −1.20 to −0.80) {WHEN}{cause}"
    )
    ahead, _ = told(effects=effects(*(-part for part in parts), *most))
    assert (
        ahead
        == f"“raw” is 1 percentage point ahead of “÷255” (95 % interval +0.80 to +1.20) {WHEN}{cause}"
    )


def test_what_no_interval_shows_is_not_attributed(told):
    wide = replace(effects(-0.004, -0.003, -0.003, half=0.005), gap=estimate(-0.01))
    said, details = told(effects=wide)
    assert said.endswith("; whether its start or its steps make the gap could not be attributed.")
    assert "0.40 (−0.10 to +0.90) with the start alone" in details


def test_without_a_gap_there_is_nothing_to_attribute(told):
    said, details = told(effects=effects(0.01, -0.01, 0))
    assert said == (
        f"“raw” is neither shown to be behind “÷255” {WHEN} nor ahead (95 % interval −0.20 to +0.20), so there is nothing to attribute."
    )
    assert "Of the gap" not in details


def test_an_input_that_is_smaller_starts_smaller(told, factorial):
    cells = replace(factorial(ARMS, "÷255").cells, scale=0.1)
    said, _ = told(cells=cells, effects=effects(-0.01, 0, 0, START))
    assert said.endswith("mostly because its first layer starts smaller.")


def test_parts_have_their_intervals_and_add_up(told):
    _, details = told(effects=effects(-0.001, -0.010, -0.001, STEP))
    assert details.startswith(
        "Of the gap of 1.2 percentage points, +0.10 (−0.10 to +0.30) with the start alone"
    )
    assert "+1.00 (+0.80 to +1.20) with the steps alone and" in details
    assert (
        "+0.10 (−0.10 to +0.30) only with both together (95 % intervals, each by itself)."
        in details
    )
    assert "All 5 seeds of the four arms trained; up to 46 % of all seeds might not." in details


@pytest.mark.parametrize(
    ("start", "step", "words"),
    [
        (
            NONE,
            NONE,
            "its first layer starts larger and takes larger steps: undoing either half alone is not enough (start 0 of 5 "
            "seeds, steps 0 of 5 seeds), and undoing both is (5 of 5 seeds with “÷255”).",
        ),
        (
            ALL,
            NONE,
            "its first layer starts larger: undoing the start alone is enough (5 of 5 seeds), undoing the steps alone is "
            "not (0 of 5 seeds).",
        ),
        (
            NONE,
            ALL,
            "its first layer takes larger steps: undoing the steps alone is enough (5 of 5 seeds), undoing the start alone "
            "is not (0 of 5 seeds).",
        ),
        (
            ALL,
            ALL,
            "its first layer starts larger and takes larger steps: undoing either half is enough (start 5 of 5 seeds, steps "
            "5 of 5 seeds).",
        ),
    ],
)
def test_what_makes_seeds_train_is_an_attribution_of_its_own(told, start, step, words):
    said, details = told(trained=(NONE, start, step, ALL), effects=effects(0, 0, -0.87, JOINT))
    assert said == f"“raw” does not train {WHEN} (0 of 5 seeds) because {words}"
    assert "0 with “raw”" in details
    assert "the others were stuck at the level of guessing" in details
    assert "up to 46 % of all seeds might not" in details


def test_shares_between_none_and_all_are_counted_and_nothing_more(told):
    some = Trained(3, 1, 1)
    wide = effects(-0.3, -0.3, 0.0, half=0.9)
    said, details = told(trained=(some, ALL, ALL, ALL), effects=wide)
    assert said == (
        f"How many seeds train {WHEN} differs or may differ, and could not be attributed: “raw” (3 of 5 seeds), “small "
        "start” (5 of 5 seeds), “small steps” (5 of 5 seeds) and “÷255” (5 of 5 seeds)."
    )
    assert "stuck at the level of guessing and diverged" in details
    said, _ = told(trained=(some, ALL, ALL, ALL), effects=effects(-0.3, 0, 0, START))
    assert "mostly" not in said


def test_the_control_is_where_it_should_be_or_nothing_is_said(told):
    _, details = told()
    assert (
        "Control: “both” is the same training as “÷255” but for rounding, and is −0.01 percentage points from it "
        "(−0.12 to +0.10), as it should be."
    ) in details
    wide = Control("both", "÷255", estimate(0.001, 0.01), 0.002)
    assert "the interval is wider than the margin" in told(controls=(wide,))[1]
    shown = Control("both", "÷255", Estimate(0.0019, 0.0005, 0.0033, 6), 0.002)
    _, details = told(controls=(shown,))
    assert "a difference is shown, and whether it is larger than the margin is open" in details
    off = Control("both", "÷255", estimate(-0.03), 0.002)
    said, details = told(controls=(off,))
    assert said == (
        f"Why “raw” differs from “÷255” {WHEN} could not be attributed: “both” should train like “÷255”, and differs from "
        "it by 3 percentage points."
    )
    assert "so something else differs between the arms" in details
    assert "there is no control" in told(controls=())[1]


def test_few_seeds_attribute_nothing(told):
    said, details = told(seeds=4)
    assert "could not be attributed: at least 5 seeds" in said
    assert details == ""


def test_another_metric_has_its_direction_and_its_unit(told):
    by = metric("log_loss")
    said, _ = told(metric=by, effects=effects(0, 0.01, 0, STEP))
    assert said.startswith("“raw” is 0.01 nats behind “÷255” (95 % interval +0.0080 to +0.0120)")


def test_the_first_one_that_concludes_is_the_main_reason(found, factorial):
    made = found(ARMS, "÷255")
    open_ = factorial(ARMS, "÷255", effects=effects(0, 0, 0))
    clear = factorial(ARMS, "÷255", configuration="tuned_long")
    assert main_reason(replace(made, factorials=(open_, clear))).conclusion == because(
        clear, {arm: f"“{arm}”" for arm in ARMS}
    )
    assert "nothing to attribute" in main_reason(replace(made, factorials=(open_,))).conclusion
    assert main_reason(replace(made, factorials=())) is None
    assert mechanism_of(replace(made, factorials=())) is None


def test_one_seed_has_values_without_intervals(found, factorial):
    unknown = Estimate(-0.01, math.nan, math.nan, 1)
    of_one = Effects(*(unknown,) * 4)
    one = factorial(ARMS, "÷255", seeds=1, effects=of_one, controls=())
    made = replace(found(ARMS, "÷255"), factorials=(one,))
    view = mechanism_of(made)
    assert view is not None
    assert view.rows[0][1:5] == ("−1.00",) * 4
    figure = mechanism(made, Style())
    assert "(raw − ÷255) −1.00;" in figure.description
    assert "−1.00 ()" not in texts(figure)


def test_the_tables_hold_the_same_numbers(found):
    made = found(ARMS, "÷255")
    view, frame = mechanism_of(made), mechanism_table(made.factorials)
    assert view.rows[0][:3] == (
        "After 4 epochs with the baseline settings", "−1.20 (−1.40 to −1.00)", "−0.10 (−0.30 to +0.10)"
    )  # fmt: skip
    assert view.rows[0][-1] == "5 · 5 · 5 · 5 of 5"
    first = frame[frame["configuration"] == "baseline"]
    assert first["effect"].tolist() == ["gap", "start", "step", "joint", "control"]
    assert first["other"].tolist()[:3] == ["÷255", "small start", "small steps"]
    assert first["value"].tolist()[1:4] == pytest.approx([-0.001, -0.010, -0.001])
    assert first["most"].tolist() == [False, False, True, False, False]


def test_bounds_that_are_not_known_are_no_error(told):
    nan = Estimate(-0.01, math.nan, math.nan, 5)
    said, _ = told(effects=Effects(nan, nan, nan, nan))
    assert "neither shown to be behind" in said
