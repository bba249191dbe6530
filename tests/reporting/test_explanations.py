"""Why the arms train as they do, in sentences, from planted numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from normsweep.analysis.trials import scored
from normsweep.parts.metrics import metric
from normsweep.reporting.explanations import _range, explanations
from normsweep.sweep.study_record import Diagnosis, Stage, TrialRecord
from normsweep.sweep.trial import Status


def stage(gradients: tuple = (), **changed: float) -> Stage:
    like = {"input_mean": 0.13, "input_std": 0.31, "condition": 1e3, "moment": 2.0, "loss": 2.4}
    return Stage(**{**like, "dead_relus": 0.1, **changed}, gradients=gradients)


@pytest.fixture
def explained(nothing) -> Callable[..., dict[str, str]]:
    """The explanations of stages before training by arm, of stages after it, and of trials."""

    def made(trials=(), later: dict[str, Stage] | None = None, **stages: Stage) -> dict[str, str]:
        after = later or {}
        diagnoses = {arm: Diagnosis(start, after.get(arm)) for arm, start in stages.items()}
        record = replace(nothing.record, diagnoses=diagnoses, trials=tuple(trials))
        return explanations(replace(nothing, record=record))

    return made


def test_what_was_not_measured_is_left_out(explained):
    assert explained() == {}
    assert explained(none=stage()) == {}  # nothing to hold it against


def test_the_scale_of_the_inputs(explained):
    raw = stage(input_mean=33.0, input_std=79.0)
    said = explained(none=raw, unit=stage())["input"]
    assert said.startswith("“none” feeds the first layer values with mean 33 and deviation 79")
    assert "with “unit” they are 0.13 and 0.31" in said
    assert "255 times larger" in said
    small = stage(input_mean=0.0013, input_std=0.0031)
    assert "100 times smaller" in explained(none=small, unit=stage())["input"]
    alike = explained(none=stage(input_mean=0.3), unit=stage())["input"]
    assert alike.startswith("All arms feed the first layer values of about the same size")


@pytest.mark.parametrize(("value", "word"), [(10.0, "better"), (1e6, "worse")])
def test_the_second_moment_speaks_in_the_direction_of_its_numbers(explained, value, word):
    said = explained(none=stage(condition=value, moment=86_340.0), unit=stage())["second_moment"]
    assert said == (
        "The condition number of the second moment of the first layer's inputs, with the bias's column, is "
        f"{value:.2g} with “none” and 1e+03 with “unit” (largest eigenvalues 8.63e+04 and 2): for plain "
        f"gradient descent one learning rate fits the directions {word} with “none”."
    )


def test_inputs_of_one_shape_do_not_tell_the_arms_apart(explained):
    said = explained(none=stage(condition=2e3), unit=stage())["second_moment"]
    assert "about the same in all arms" in said
    assert not {"worse", "better"} & set(said.split())


@pytest.mark.parametrize(
    ("condition", "raw", "scaled", "better"),
    [
        (1e6, 0.95, 0.90, "none"),  # raw input is badly shaped and comes out ahead
        (10.0, 0.90, 0.95, "unit"),  # and the reverse
        (1e6, 0.90, 0.95, ""),  # the result is as the shape lets expect
        (10.0, 0.95, 0.90, ""),
        (1e6, 0.9501, 0.95, ""),  # within the margin
    ],
)
def test_where_the_better_shaped_arm_came_out_worse_it_says_so(
    explained, trial_of_search, condition, raw, scaled, better
):
    trials = [trial_of_search(0, "none", raw), trial_of_search(1, "unit", scaled)]
    said = explained(trials, none=stage(condition=condition), unit=stage())["second_moment"]
    assert ("In spite of that" in said) == bool(better)
    assert not better or f"In spite of that, “{better}” reached the better accuracy" in said


def rates(trial_of_search, *tried: tuple[str, float, float]) -> list[TrialRecord]:
    return [
        trial_of_search(number, arm, score, optimizer="sgd", learning_rate=rate)
        for number, (arm, rate, score) in enumerate(tried)
    ]


def test_a_prediction_far_below_what_trained_is_put_down_to_a_high_first_loss(
    explained, trial_of_search
):
    trials = rates(trial_of_search, ("none", 3.2e-3, 0.9), ("none", 1e-2, 0.1), ("unit", 0.5, 0.9))
    start = {"none": stage(sharpness=2e4, loss=22.0), "unit": stage(sharpness=2.0)}
    assert explained(trials, **start)["stable_rates"] == (
        "By the curvature of the loss at the start, plain gradient descent is stable up to a learning rate of "
        "0.0001 with “none”, 1 with “unit”. The largest rate that trained is 32 times that with “none”, 0.5 times "
        "that with “unit” (no higher one was tried). With “none” the loss at the start is far above that of guessing, "
        "and the first steps leave that region, so the prediction at the start is far below what trains."
    )
    calm = {"none": stage(sharpness=2e4), "unit": stage(sharpness=2.0)}
    said = explained(trials, **calm)["stable_rates"]
    assert said.endswith("With “none” the curvature falls in the first steps.")


def test_where_a_normalization_harms_the_prediction_says_that_too(explained, trial_of_search):
    """As (x − 50)² does: it brings inputs where the network starts badly."""
    trials = rates(trial_of_search, ("none", 0.5, 0.9), ("unit", 3.2e-3, 0.9))
    start = {"none": stage(sharpness=2.0), "unit": stage(sharpness=2e4, loss=22.0)}
    said = explained(trials, **start)["stable_rates"]
    assert "1 with “none”, 0.0001 with “unit”" in said
    assert "With “unit” the loss at the start is far above that of guessing" in said


def test_an_adaptive_baseline_is_told_after_its_first_steps(explained):
    said = explained(none=stage(sharpness=2e4), unit=stage(sharpness=2.0))["stable_rates"]
    assert "trained" not in said


def test_the_first_step_is_told_where_it_differs(explained):
    said = explained(none=stage(update=0.02), unit=stage(update=0.0001))["first_step"]
    assert said == (
        "The first step with the baseline settings changes the first layer's weights by 2.00% with “none” and by "
        "0.01% with “unit”, 200 times more."
    )
    assert "first_step" not in explained(none=stage(update=0.02), unit=stage(update=0.01))


def test_sure_outputs_are_told_with_the_loss(explained):
    said = explained(unit=stage(), none=stage(loss=41.5, saturated=0.93))["loss"]
    assert "(for 93% of the inputs a softmax output is at least 0.99)" in said


def test_a_loss_far_above_a_guess(explained):
    said = explained(unit=stage(), none=stage(loss=41.5))["loss"]
    assert said.startswith("“none” starts with a loss of 41.5, where guessing has ln(classes) =")
    for loss in (math.inf, math.nan):
        said = explained(unit=stage(), none=stage(loss=loss))["loss"]
        assert said.startswith("“none” starts with a loss that is no finite number")
    near = explained(unit=stage(), none=stage(loss=2.6))["loss"]
    assert near.startswith("Every arm starts near a loss of ln(classes) = 2.30")


def layers(*norms: float) -> tuple[tuple[str, float], ...]:
    return tuple((f"conv2d_{position}", norm) for position, norm in enumerate(norms, start=1))


def test_gradients_are_those_of_the_first_layer_before_training(explained):
    weak, strong = stage(layers(0.5)), stage(layers(50.0))
    said = explained(none=strong, unit=weak, later={"none": stage(layers(0.1))})["gradients"]
    assert said.startswith("The first layer's gradient is 100 times larger with “none” than with")
    near = explained(none=stage(layers(0.6, 90.0)), unit=weak)["gradients"]
    assert "about the same size in all arms" in near
    assert "gradients" not in explained(none=stage(), unit=stage())


def test_dead_units_are_told_after_training_where_there_was_any(explained):
    start = {"none": stage(dead_relus=0.9), "unit": stage(dead_relus=0.0)}
    said = explained(**start)["dead_units"]
    assert said.startswith("With “none” 90% of the ReLU units are dead at initialization")
    after = {"none": stage(dead_relus=0.5), "unit": stage()}
    said = explained(**start, later=after)["dead_units"]
    assert said.startswith("With “none” 50% of the ReLU units are dead after epoch 1, with “unit”")
    diverged = explained(**start, later={"unit": stage()})["dead_units"]  # not both came there
    assert diverged.startswith("With “none” 90% of the ReLU units are dead at initialization")
    few = explained(none=stage(), unit=stage())["dead_units"]
    assert few.startswith("At most 10% of the ReLU units are dead in any arm")
    unknown = stage(dead_relus=math.nan)
    assert "dead_units" not in explained(none=unknown, unit=unknown)


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0])
def test_what_is_no_size_is_not_compared(explained, value):
    assert "second_moment" not in explained(none=stage(condition=value), unit=stage())
    assert "gradients" not in explained(none=stage(layers(value)), unit=stage(layers(0.5)))


def test_learning_rates_that_came_near_the_arms_best(explained, trial_of_search):
    def trials(*rows: tuple[str, float, float, bool]) -> list[TrialRecord]:
        status = {False: Status.COMPLETE, True: Status.DIVERGED}
        return [
            trial_of_search(number, arm, score, status[diverged], learning_rate=rate)
            for number, (arm, rate, score, diverged) in enumerate(rows)
        ]

    known = trials(
        ("none", 1e-5, 0.5, False), ("none", 1e-4, 0.9, False), ("none", 1e-3, 0.98, False),
        ("none", 1e-1, 0.1, True), ("unit", 1e-2, 0.8, False), ("unit", 1e-1, 0.1, True),
    )  # fmt: skip
    assert explained(known)["learning_rates"] == (
        "“none” came within a tenth of its best accuracy (0.980) in 2 of 4 trials, with learning rates "
        "from 0.0001 to 0.001 (1 diverged). “unit” came within a tenth of its best accuracy (0.800) "
        "in 1 of 2 trials, with a learning rate of 0.01 (1 diverged)."
    )
    small = scored(trials(("none", 0.1, 0.00012, False)))
    assert "its best MSE (0.00012) in 1 of 1 trial" in _range(small, metric("mse"))
    lost = trials(("none", 1.0, 0.1, True))
    assert explained(lost)["learning_rates"] == ("“none” trained in 0 of 1 trial (1 diverged).")
