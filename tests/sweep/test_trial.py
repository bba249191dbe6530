import json
import math
from dataclasses import replace

import numpy as np
import pytest

from normsweep.analysis.parity import readings
from normsweep.parts.influence import quantized
from normsweep.sweep.trial import DataKey, Epoch, Result, Status, Tested, Trial


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
    values = np.random.default_rng(0).random(100).astype(np.float32)
    after = Result.from_json(result(*map(float, values)).to_json())
    assert [np.float32(e.val_loss) for e in after.curve] == list(values)


def test_twenty_epochs_take_about_two_kilobytes():
    assert len(result(*[1 / 3] * 20).to_json()) < 2500


def right(images: int, share: float, seed: int) -> np.ndarray:
    """Which of so many images are right."""
    return np.random.default_rng(seed).random(images) < share


def result_with_bits(images: int, epochs: int) -> Result:
    """A result that was tested on so many images after every epoch."""
    before = result(*[0.5] * epochs, test_digest="t" * 64)
    curve = tuple(
        replace(e, tested=Tested(images, np.packbits(right(images, 0.97, e.epoch)).tobytes()))
        for e in before.curve
    )
    return replace(before, curve=curve)


@pytest.mark.parametrize("images", [1, 7, 8, 9, 360, 10_000])
def test_bits_survive_json(images):
    before = result_with_bits(images, epochs=3)
    after = Result.from_json(before.to_json())
    assert after == before
    for epoch in after.curve:
        expected = right(images, 0.97, epoch.epoch)
        bits = np.unpackbits(np.frombuffer(epoch.tested.bits, np.uint8), count=images)
        np.testing.assert_array_equal(bits, expected)
        assert epoch.tested.accuracy == pytest.approx(expected.mean())


def test_a_diverged_curve_keeps_the_bits_that_it_has():
    before = result_with_bits(360, epochs=3)
    nan = Epoch(3, 4, math.nan, 0.1, math.nan, math.nan, 0.25)
    before = replace(before, status=Status.DIVERGED, curve=(*before.curve, nan))
    after = Result.from_json(before.to_json())
    assert after.curve[:3] == before.curve[:3]
    assert after.curve[3].tested is None
    assert after.score == 0.1


def test_a_result_of_the_search_has_no_bits():
    text = result(0.5).to_json()
    assert json.loads(text)["tested"] is None
    after = Result.from_json(text)
    assert [e.tested for e in after.curve] == [None]
    assert after.test_digest == ""


def test_a_result_from_before_there_were_bits_is_still_read():
    content = json.loads(result(0.5, 0.25).to_json())
    del content["tested"], content["test_digest"]
    assert Result.from_json(json.dumps(content)) == result(0.5, 0.25)


def test_a_trial_from_before_there_were_phases_is_one_of_the_search(trial):
    content = json.loads(trial().to_json())
    del content["phase"], content["configuration"]
    assert Trial.from_json(json.dumps(content)) == trial()


def test_twenty_epochs_of_ten_thousand_bits_are_packed_small():
    """An eighth of a byte an image is 250 KB; images that stay right cost next to nothing."""
    always = Tested(10_000, np.packbits(right(10_000, 0.99, 0)).tobytes())
    before = result(*[0.5] * 20)
    curve = tuple(replace(e, tested=always) for e in before.curve)
    assert len(replace(before, curve=curve).to_json()) < 6_000


def scored(epoch: int, rows: int = 300) -> Tested:
    """A regression's test rows, with their losses after even epochs only."""
    if epoch % 2:
        return Tested(rows, b"", 0.25 * epoch)
    return Tested(
        rows, b"", 0.25 * epoch, *quantized(np.random.default_rng(epoch).normal(size=rows))
    )


@pytest.mark.parametrize("epochs", [(2, 4), (1, 3), (1, 2, 3, 4)], ids=["all", "none", "some"])
def test_rows_are_kept_after_the_epochs_that_are_read(epochs):
    before = result(*[0.5] * len(epochs), test_digest="t" * 64)
    curve = [
        replace(e, score=0.2, tested=scored(i)) for i, e in zip(epochs, before.curve, strict=True)
    ]
    before = replace(before, curve=tuple(curve))
    after = Result.from_json(before.to_json())
    assert [e.tested for e in after.curve] == [e.tested for e in before.curve]
    assert math.isnan(after.curve[0].tested.accuracy)


def test_a_hundred_epochs_of_ten_thousand_rows_are_kept_small():
    """Errors hardly compress: 1 MB with the rows of all epochs."""
    before, read, rng = result(*[0.5] * 100), readings(100, 4), np.random.default_rng(0)
    none = Tested(10_000, b"", 1.0)

    def kept() -> Tested:
        losses = rng.normal(size=10_000) ** 2
        return Tested(10_000, b"", 1.0, *quantized(losses - losses.mean()))

    curve = [replace(e, tested=kept() if e.epoch in read else none) for e in before.curve]
    assert len(read) == 11
    text = replace(before, curve=tuple(curve)).to_json()
    assert 100_000 < len(text) < 125_000
    assert [e.epoch for e in Result.from_json(text).curve if e.tested.influence] == list(read)


def test_readings_are_kept_and_decide_no_curve(trial):
    some = trial(readings=(1, 4))
    assert Trial.from_json(some.to_json()) == some
    assert (some.fingerprint, some.lineage) == (trial().fingerprint, trial().lineage)
    assert [e for e in range(1, 5) if some.keeps_rows(e)] == [1, 4]
    assert trial().keeps_rows(2)


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
    [
        {"number": 9},
        {"arm": "adam"},
        {"slot": 9},
        {"params": {"epochs": 2}},
        {"phase": "confirm"},
        {"configuration": "baseline, tuned_long"},
        {"data": DataKey("the same under another name", "d" * 64, 0.2)},
    ],
    ids=lambda changed: f"{next(iter(changed))}",
)
def test_the_fingerprint_leaves_out_what_does_not(trial, changed):
    assert replace(trial(), **changed).fingerprint == trial().fingerprint
