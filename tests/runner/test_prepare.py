"""What is told before the first trial, of the data as each normalization leaves it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from normsweep.console.overview import plan_lines
from normsweep.errors import DataError
from normsweep.executors.inline import Inline
from normsweep.executors.protocol import WorkerOptions
from normsweep.parts import normalizations
from normsweep.parts.catalog import catalog
from normsweep.parts.dataset import Dataset
from normsweep.runner.interrupts import Signals
from normsweep.runner.prepare import load_data, prepare, scale_warning
from normsweep.search.plan import Plan
from normsweep.sweep.loading import load_sweep
from normsweep.sweep.study_record import DataFacts


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


@pytest.mark.parametrize(
    ("x", "arms", "said"),
    [
        (np.arange(400).reshape(100, 4) % 60 + 1.7e9, "none,center", "column 0 has a deviation of 17"),
        (np.arange(400).reshape(100, 4) % 60 + 1.7e3, "none,unit", ""),
        ((np.arange(400) % 250).reshape(100, 4).astype("u1"), "none,unit", "data.full_scale = 255"),
        ((np.arange(400) % 250).reshape(100, 4).astype("u1"), "none,center", ""),
        (np.arange(6400).reshape(100, 8, 8).astype("u2") % 4096, "none,unit", "data.full_scale, for 12 bits"),
    ],
    ids=["seconds", "small", "flattened", "flattened-center", "12-bits"],
)  # fmt: skip
def test_a_scale_that_a_scheme_or_float32_spoils_is_a_warning(sweep_file, tmp_path, x, arms, said):
    y = np.arange(100) % 2
    data = Dataset.of((x[:80], y[:80], x[80:], y[80:]))
    facts = DataFacts("mine", "mine", data.save(tmp_path), 80, 20, 2)
    names = json.dumps(arms.split(","))
    sweep = load_sweep(
        sweep_file, catalog(), [f"search.space.normalization={names}", "reference=none"]
    )
    warning = scale_warning(sweep, facts, tmp_path)
    assert warning.startswith("warning: data mine: ") == bool(said)
    assert said in warning
