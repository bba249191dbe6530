"""Why the arms train as they do, in sentences, from planted numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from normsweep.reporting.explanations import explanations
from normsweep.sweep.study_record import Diagnosis, Stage, TrialRecord
from normsweep.sweep.trial import Status


def stage(gradients: tuple = (), **changed: float) -> Stage:
    like = {"input_mean": 0.13, "input_std": 0.31, "condition_number": 1e5, "loss": 2.4}
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


def test_the_condition_number(explained):
    alike = explained(none=stage(), unit=stage())["condition_number"]
    assert "about the same condition number in all arms" in alike
    for value, word in ((10.0, "better"), (1e9, "worse")):
        said = explained(none=stage(condition_number=value), unit=stage())["condition_number"]
        assert said.startswith(
            f"The condition number of the inputs' covariance is {value:.2g} with"
        )
        assert said.endswith(f"directions {word}.")


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
    assert "condition_number" not in explained(none=stage(condition_number=value), unit=stage())
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
        "“none” came within a tenth of its best accuracy (0.980) with 2 learning rates, from 0.0001 "
        "to 0.001 (1 of 4 trials diverged). “unit” came within a tenth of its best accuracy (0.800) "
        "with 1 learning rate, 0.01 (1 of 2 trials diverged)."
    )
    lost = trials(("none", 1.0, 0.1, True))
    assert explained(lost)["learning_rates"] == (
        "“none” trained with none of its learning rates (1 of 1 trial diverged)."
    )
