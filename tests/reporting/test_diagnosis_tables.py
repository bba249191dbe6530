"""Tables of the networks at the start: inputs, gradients, stable learning rates."""

from __future__ import annotations

import math

import pytest

from normsweep.analysis.stable_rates import StableRates, Tried
from normsweep.reporting.diagnosis_tables import (
    gradients_table,
    inputs_table,
    stable_rates_table,
)
from normsweep.sweep.study_record import Diagnosis, Stage

START = Stage(
    33.0, 78.0, 41.5, 0.25, (("conv2d_1", 30.0), ("dense_1", 2.0)), 0, 1.2e5, 1e3, 4.0, 0.5, 0.1, 0.3
)  # fmt: skip
AFTER = Stage(33.0, 78.0, math.inf, math.nan, (("conv2d_1", 3.0), ("dense_1", math.nan)))


@pytest.fixture
def diagnoses() -> dict[str, Diagnosis]:
    return {"unit": Diagnosis(START, AFTER), "none": Diagnosis(START, None)}


def test_an_arm_has_a_row_a_stage_that_there_is(diagnoses):
    table = inputs_table(diagnoses, ["none", "unit", "zca"], 10)
    assert table[["arm", "stage"]].values.tolist() == [
        ["none", "initialization"],
        ["unit", "initialization"],
        ["unit", "after epoch 1"],
    ]
    expected = [33.0, 78.0, 1.2e5, 1e3, 41.5, math.log(10), 0.3, 0.25, 0.1, 4.0, 0.5]
    assert table.iloc[0].tolist()[2:] == expected
    assert table["loss"].tolist()[2] == math.inf
    assert math.isnan(table["dead_relus"].tolist()[2])


def test_gradients_have_a_row_a_layer_in_the_networks_order(diagnoses):
    table = gradients_table(diagnoses, ["none", "unit"])
    assert len(table) == 6
    assert table["layer"].tolist()[:2] == ["conv2d_1", "dense_1"]
    assert table["position"].tolist() == [0, 1] * 3
    assert table["norm"].tolist()[:5] == [30.0, 2.0, 30.0, 2.0, 3.0]
    assert math.isnan(table["norm"].tolist()[5])


def test_where_nothing_was_looked_into_the_columns_are_there(diagnoses):
    for make in (lambda d: inputs_table(d, ["none"], 10), lambda d: gradients_table(d, ["none"])):
        assert make({}).empty
        assert make({}).columns.tolist() == make(diagnoses).columns.tolist()


def test_rates_have_a_row_a_prediction_and_a_row_a_trial():
    rates = StableRates("none", "sgd", {"initialization": 1e-4}, (Tried(7, 1e-3, "diverged"),))
    table = stable_rates_table([rates])
    assert table["kind"].tolist() == ["predicted", "diverged"]
    assert table["rate"].tolist() == [1e-4, 1e-3]
    assert table["stage"].tolist() == ["initialization", ""]
    assert table["trial"].tolist()[1] == 7
    assert stable_rates_table([]).columns.tolist() == table.columns.tolist()
