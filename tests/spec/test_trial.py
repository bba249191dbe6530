import json
import math
from dataclasses import replace

import pytest

from normsweep.spec import DataKey, Epoch, Result, Status, Trial


def result(*losses: float, status: Status = Status.COMPLETE, **fields) -> Result:
    curve = tuple(Epoch(3, i, loss, 0.5, loss, 0.75, 0.25) for i, loss in enumerate(losses, 1))
    return Result(3, status, curve, chance=0.1, seconds=1.5, started=1.7e9, **fields)


def same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


def test_a_trial_survives_json(trial):
    full = trial(
        4,
        model_options={"units": 8, "ceiling": {"none": 0.9}},
        optimizer_options={"momentum": 0.9, "nesterov": True},
        learning_rate=1 / 3e4,
        params={"optimizer": "sgd", "units": 8},
    )
    assert Trial.from_json(full.to_json()) == full
    assert Trial.from_json(full.to_json()).fingerprint == full.fingerprint


@pytest.mark.parametrize("loss", [0.25, math.nan, math.inf, -math.inf])
def test_a_result_survives_json(loss):
    before = result(0.5, loss, machine={"device": "cpu"}, error="two\nlines")
    text = before.to_json()
    after = Result.from_json(text)
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert replace(after, curve=()) == replace(before, curve=())
    assert after.curve[0] == before.curve[0]
    assert same(after.curve[1].train_loss, loss)
    assert same(after.curve[1].val_loss, loss)
    assert after.curve[1].finite is math.isfinite(loss)


def test_a_result_without_a_start_survives_json():
    after = Result.from_json(Result(3, Status.CRASHED, error="killed").to_json())
    assert (after.status, after.curve, after.error) == (Status.CRASHED, (), "killed")
    assert math.isnan(after.chance)


def test_float32_numbers_survive_json_to_the_last_bit():
    import numpy as np

    values = np.random.default_rng(0).random(100).astype(np.float32)
    after = Result.from_json(result(*map(float, values)).to_json())
    assert [np.float32(e.val_loss) for e in after.curve] == list(values)


def test_twenty_epochs_take_about_two_kilobytes():
    assert len(result(*[1 / 3] * 20).to_json()) < 2500


@pytest.mark.parametrize(
    ("status", "score"),
    [
        (Status.COMPLETE, 0.75),
        (Status.DIVERGED, 0.1),
        (Status.PRUNED, math.nan),
        (Status.CRASHED, math.nan),
        (Status.TIMED_OUT, math.nan),
        (Status.INTERRUPTED, math.nan),
    ],
)
def test_the_score_is_the_last_epochs_accuracy_or_chance_or_none(status, score):
    assert same(result(0.5, 0.25, status=status).score, score)
    assert status.scored is not math.isnan(score)


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 1},
        {"data": DataKey("digits", "e" * 64, 0.2)},
        {"data": DataKey("digits", "d" * 64, 0.1)},
        {"model": "mlp"},
        {"model_options": {"units": 8}},
        {"normalization": "none"},
        {"optimizer": "sgd"},
        {"optimizer_options": {"momentum": 0.9}},
        {"learning_rate": 0.0010000001},
        {"batch_size": 64},
        {"epochs": 3},
        {"precision": "mixed_float16"},
    ],
    ids=lambda changed: f"{next(iter(changed))}",
)
def test_the_fingerprint_covers_what_decides_the_curve(trial, changed):
    assert replace(trial(), **changed).fingerprint != trial().fingerprint


@pytest.mark.parametrize(
    "changed",
    [{"number": 9}, {"arm": "adam"}, {"slot": 9}, {"params": {"epochs": 2}}, {"phase": "confirm"}],
    ids=lambda changed: f"{next(iter(changed))}",
)
def test_the_fingerprint_leaves_out_what_does_not(trial, changed):
    assert replace(trial(), **changed).fingerprint == trial().fingerprint
