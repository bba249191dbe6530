"""What is told before the first trial, of the data as each normalization leaves it."""

from __future__ import annotations

from typing import Any

import pytest

from normsweep.console.overview import plan_lines
from normsweep.errors import DataError
from normsweep.executors.inline import Inline
from normsweep.executors.protocol import WorkerOptions
from normsweep.parts import normalizations
from normsweep.parts.catalog import catalog
from normsweep.runner.interrupts import Signals
from normsweep.runner.prepare import load_data, prepare
from normsweep.search.plan import Plan
from normsweep.sweep.loading import load_sweep


@normalizations.register("prepare_zeros")
def zeros(train: Any) -> list[Any]:
    """Integers divided by a larger one."""
    import keras

    return [keras.layers.Rescaling(0.0)]


@pytest.fixture
def plan(sweep_file, tmp_path):
    """`plan(*overrides)`: the plan of a study whose arms are `unit` and one without information."""

    def made(*overrides: str) -> Plan:
        arms = 'search.space.normalization=["unit", "prepare_zeros"]'
        sweep = load_sweep(sweep_file, catalog(), [arms, "model.name=mlp", *overrides])
        sweep, facts = load_data(sweep, ["digits"], None, tmp_path)
        with Signals() as signals:
            executor = Inline(WorkerOptions(tmp_path, "cpu", 1))
            return prepare(sweep, facts, executor, "cpu", signals)

    return made


def test_an_arm_whose_images_are_all_the_same_is_told_and_run(plan):
    made = plan()
    assert [arm.key for arm in made.sweep.arms] == ["unit", "prepare_zeros"]
    (told,) = [line for line in plan_lines(made) if "warning" in line]
    assert told.startswith(
        "note      warning: all training images are the same after prepare_zeros"
    )
    assert "check its divisor and the dtype of the data" in told


def test_a_reference_whose_images_are_all_the_same_is_refused(plan):
    with pytest.raises(DataError, match="reference: all training images are the same after .* prepare_zeros"):  # fmt: skip
        plan("reference=prepare_zeros")
