"""Keys of the task: what a sweep resolves to once the labels are known, and what does not fit."""

from __future__ import annotations

from typing import Any

import pytest

from normsweep.errors import SweepError
from normsweep.parts.catalog import for_task, read_sweep, resolve_trial
from normsweep.sweep.recorded import as_begun, changes, from_plain, to_plain
from normsweep.sweep.schema import Sweep
from normsweep.sweep.trial import DataKey, Trial

KEY = DataKey("houses", "d" * 64, 0.2)
ARMS = {
    "scaled": {"loss": "mse", "target": "standardize"},
    "robust": {"loss": "huber", "huber_delta": 2.0},
}


def sweep(arms: dict[str, Any] = ARMS, **changed: Any) -> Sweep:
    return read_sweep(
        {
            "name": "houses",
            "reference": next(iter(arms)),
            "data": {"dataset": "digits"},
            "arms": arms,
            "search": {
                "trials": 4,
                "space": {
                    "normalization": ["standardize"],
                    "learning_rate": [0.01],
                    "optimizer": ["adam"],
                    "epochs": [2],
                },
            },
            "confirm": {"seeds": 5, "margin": 0.5},
            **changed,
        }
    )


def trials(resolved: Sweep) -> list[Trial]:
    return [
        resolve_trial(resolved, KEY, arm.key, resolved.baseline(arm, 2), 0, 0)
        for arm in resolved.arms
    ]


def test_a_regression_has_its_own_metric_and_its_loss_and_target_from_arms() -> None:
    resolved = for_task(sweep(), "regression")
    assert (resolved.task, resolved.metric) == ("regression", "rmse")
    assert [trial.changed for trial in trials(resolved)] == [
        {"loss": "mse", "target": "standardize"},
        {"loss": "huber", "huber_delta": 2.0},
    ]
    for trial in trials(resolved):
        assert Trial.from_json(trial.to_json()) == trial
    assert trials(for_task(sweep({"a": {"clip": 1.0}, "b": {"clip": 2.0}}), "regression"))[0].loss == "mse"  # fmt: skip


def test_a_study_goes_on_with_the_task_that_was_found() -> None:
    stored = from_plain(to_plain(for_task(sweep(), "regression")))
    again = as_begun(stored, sweep())
    assert (again.task, again.metric) == ("regression", "rmse")
    assert changes(stored, for_task(again, "regression")) == []


def test_weights_of_classes_are_those_of_the_table_unless_a_trial_has_others() -> None:
    data = {"dataset": "digits", "class_weights": {"1": 3.0}}
    arms = {"even": {"class_weight": "balanced"}, "mine": {"class_weight": "table"}}
    resolved = for_task(sweep(arms, data=data), "classification")
    even, mine = trials(resolved)
    assert (even.class_weight, even.class_weights) == ("balanced", {})
    assert (mine.class_weight, mine.class_weights) == ("table", {"1": 3.0})
    assert trials(for_task(sweep({"a": {"clip": 1.0}, "b": {"clip": 2.0}}, data=data), "classification"))[0].class_weights == {"1": 3.0}  # fmt: skip


@pytest.mark.parametrize(
    ("task", "changed", "told"),
    [
        (
            "regression",
            {"metric": "accuracy"},
            "metric: must be one for a regression, as the labels say (mae,",
        ),
        ("classification", {"metric": "mae"}, "metric: must be one for a classification"),
        ("regression", {"confirm": {"seeds": 5}}, "confirm.margin: required key is missing"),
        ("classification", {}, 'target: must be "raw" in a classification, got "standardize"'),
        (
            "regression",
            {"data": {"dataset": "digits", "class_weights": {"1": 2.0}}},
            "class_weight: must not be set in a regression",
        ),
        (
            "regression",
            {
                "arms": {"a": {"loss": "categorical_crossentropy"}, "b": {"loss": "mse"}},
                "reference": "a",
            },
            "loss: must be one for a regression, as the labels say (binary_crossentropy, mse,",
        ),
        (
            "classification",
            {
                "arms": {"a": {"class_weight": "table"}, "b": {"class_weight": "none"}},
                "reference": "a",
            },
            'class_weight: "table" needs a table [data.class_weights]',
        ),
    ],
)
def test_what_does_not_fit_the_task_is_refused(task: str, changed: Any, told: str) -> None:
    with pytest.raises(SweepError) as refused:
        for_task(sweep(**changed), task)
    assert told in str(refused.value)


def test_a_margin_of_a_regression_may_be_above_1() -> None:
    assert sweep(confirm={"margin": 500.0}, data={"dataset": "digits", "task": "regression"})
    with pytest.raises(SweepError, match='of a regression set data.task = "regression"'):
        sweep(confirm={"margin": 500.0})


def test_options_of_a_loss_need_that_loss() -> None:
    with pytest.raises(SweepError, match="an option of the arm's losses; not an option of mse"):
        sweep({"a": {"loss": "mse"}, "b": {"loss": "mse", "huber_delta": 2.0}})
    with pytest.raises(SweepError, match='unknown loss "msee" \\(did you mean "mse"'):
        sweep({"a": {"loss": "msee"}, "b": {"loss": "mse"}})
