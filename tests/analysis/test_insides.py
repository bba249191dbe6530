"""What was seen inside the networks, as frames."""

import json
import math

import pytest

from normsweep.analysis.insides import gradients_table, inputs_table
from normsweep.sweep.study_record import Diagnosis, Stage

START = Stage(33.0, 78.0, 1.2e5, 41.5, 0.25, (("conv2d_1", 30.0), ("dense_1", 2.0)))
AFTER = Stage(33.0, 78.0, 1.2e5, math.inf, math.nan, (("conv2d_1", 3.0), ("dense_1", math.nan)))


@pytest.fixture
def diagnoses() -> dict:
    """As the record has them."""
    made = {"unit": Diagnosis(START, AFTER), "none": Diagnosis(START, None)}
    return json.loads(json.dumps({arm: d.to_plain() for arm, d in made.items()}))


def test_an_arm_has_a_row_a_stage_that_there_is(diagnoses):
    table = inputs_table(diagnoses, ["none", "unit", "zca"], 10)
    assert table[["arm", "stage"]].values.tolist() == [
        ["none", "initialization"],
        ["unit", "initialization"],
        ["unit", "after epoch 1"],
    ]
    assert table.iloc[0].tolist()[2:] == [33.0, 78.0, 1.2e5, 41.5, math.log(10), 0.25]
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
