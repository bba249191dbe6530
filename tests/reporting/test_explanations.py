"""Why the arms train as they do, in sentences, from frames with planted numbers."""

from __future__ import annotations

import math
from collections.abc import Callable

import pandas as pd
import pytest

from normsweep.analysis.evidence import Evidence
from normsweep.analysis.questions import Declared
from normsweep.reporting.explanations import explanations

LN = math.log(10)


def stage(arm: str, when: str = "initialization", **changed: float) -> dict:
    like = {"input_mean": 0.13, "input_std": 0.31, "condition_number": 1e5, "loss": 2.4}
    return {"arm": arm, "stage": when, **like, "ln_classes": LN, "dead_relus": 0.1, **changed}


@pytest.fixture
def explained() -> Callable[..., dict[str, str]]:
    """The explanations of frames that are given; the others are empty."""
    nothing = pd.DataFrame()
    declared = Declared("normalization", "unit", 0.002, 0.95, "both_tuned", 4, 1)

    def made(stages=(), gradients=(), trials=()) -> dict[str, str]:
        inputs = pd.DataFrame(list(stages), columns=list(stage("")))
        layers = pd.DataFrame(
            list(gradients), columns=["arm", "stage", "layer", "position", "norm"]
        )
        columns = ["arm", "learning_rate", "val_accuracy", "diverged"]
        rates = pd.DataFrame(list(trials), columns=columns)
        found = Evidence(
            declared=declared, arms=("none", "unit"), seeds=5, verdicts=nothing, curves=nothing,
            configurations=nothing, speed=nothing, learning_rates=rates, tunability=nothing,
            inputs=inputs, gradients=layers, progress=nothing, warnings=(),
        )  # fmt: skip
        return explanations(found)

    return made


def test_what_was_not_measured_is_left_out(explained):
    assert explained() == {}
    assert explained([stage("none")]) == {}  # nothing to hold it against


def test_the_scale_of_the_inputs(explained):
    raw = stage("none", input_mean=33.0, input_std=79.0)
    said = explained([raw, stage("unit")])["input"]
    assert said.startswith("“none” feeds the first layer values with mean 33 and deviation 79")
    assert "with “unit” they are 0.13 and 0.31" in said
    assert "255 times larger" in said
    small = stage("none", input_mean=0.0013, input_std=0.0031)
    assert "100 times smaller" in explained([small, stage("unit")])["input"]
    alike = explained([stage("none", input_mean=0.3), stage("unit")])["input"]
    assert alike.startswith("All arms feed the first layer values of about the same size")


def test_the_condition_number(explained):
    alike = explained([stage("none"), stage("unit")])["condition_number"]
    assert "about the same condition number in all arms" in alike
    for value, word in ((10.0, "better"), (1e9, "worse")):
        said = explained([stage("none", condition_number=value), stage("unit")])["condition_number"]
        assert said.startswith(
            f"The condition number of the inputs' covariance is {value:.2g} with"
        )
        assert said.endswith(f"directions {word}.")


def test_a_loss_far_above_a_guess(explained):
    said = explained([stage("unit"), stage("none", loss=41.5), stage("zca", loss=9.0)])["loss"]
    assert said.startswith("“none” starts with a loss of 41.5, where guessing has ln(classes) =")
    for loss in (math.inf, math.nan):
        said = explained([stage("unit"), stage("none", loss=loss)])["loss"]
        assert said.startswith("“none” starts with a loss that is no finite number")
    near = explained([stage("unit"), stage("none", loss=2.6)])["loss"]
    assert near.startswith("Every arm starts near a loss of ln(classes) = 2.30")


def layer(arm: str, norm: float, when: str = "initialization", position: int = 0) -> tuple:
    return arm, when, f"conv2d_{position + 1}", position, norm


def test_gradients_are_those_of_the_first_layer_before_training(explained):
    both = [stage("none"), stage("unit")]
    far = [layer("none", 50.0), layer("unit", 0.5), layer("none", 0.1, "after epoch 1")]
    said = explained(both, far)["gradients"]
    assert said.startswith("The first layer's gradient is 100 times larger with “none” than with")
    near = [layer("none", 0.6), layer("unit", 0.5), layer("none", 90.0, position=1)]
    assert "about the same size in all arms" in explained(both, near)["gradients"]
    assert "gradients" not in explained(both)


def test_dead_units_are_told_after_training_where_there_was_any(explained):
    start = [stage("none", dead_relus=0.9), stage("unit", dead_relus=0.0)]
    said = explained(start)["dead_units"]
    assert said.startswith("With “none” 90% of the ReLU units are dead at initialization")
    after = [stage("none", "after epoch 1", dead_relus=0.5), stage("unit", "after epoch 1")]
    said = explained([*start, *after])["dead_units"]
    assert said.startswith("With “none” 50% of the ReLU units are dead after epoch 1, with “unit”")
    diverged = explained([*start, after[1]])["dead_units"]  # no second stage of both
    assert diverged.startswith("With “none” 90% of the ReLU units are dead at initialization")
    few = explained([stage("none"), stage("unit")])["dead_units"]
    assert few.startswith("At most 10% of the ReLU units are dead in any arm")
    none = [stage(arm, dead_relus=math.nan) for arm in ("none", "unit")]
    assert "dead_units" not in explained(none)


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0])
def test_what_is_no_size_is_not_compared(explained, value):
    both = [stage("none", condition_number=value), stage("unit")]
    assert "condition_number" not in explained(both)
    layers = [layer("none", value), layer("unit", 0.5)]
    assert "gradients" not in explained(both, layers)


def test_learning_rates_that_came_near_the_arms_best(explained):
    trials = [
        ("none", 1e-5, 0.5, False), ("none", 1e-4, 0.9, False), ("none", 1e-3, 0.98, False),
        ("none", 1e-1, 0.1, True), ("unit", 1e-2, 0.8, False), ("unit", 1e-1, 0.1, True),
    ]  # fmt: skip
    assert explained(trials=trials)["learning_rates"] == (
        "“none” came within a tenth of its best accuracy (0.980) with 2 learning rates, from 0.0001 "
        "to 0.001 (1 of 4 trials diverged). “unit” came within a tenth of its best accuracy (0.800) "
        "with 1 learning rate, 0.01 (1 of 2 trials diverged)."
    )
    lost = [("none", 1.0, 0.1, True)]
    assert explained(trials=lost)["learning_rates"] == (
        "“none” trained with none of its learning rates (1 of 1 trial diverged)."
    )
