"""The gap of a raw input by its parts: which arms, what adds up, which seeds count, how often it is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.factorial import SCENARIOS, Row, rows
from normsweep.analysis.confirm_runs import confirmed
from normsweep.analysis.evidence import evidence
from normsweep.analysis.factorial import (
    PARTS,
    Factorial,
    Level,
    Part,
    cells_of,
    effects_of,
    factorials,
    training_needs,
)
from normsweep.analysis.rules import Trained
from normsweep.parts.catalog import read_sweep, resolve_trial
from normsweep.sweep.arms import bundles
from normsweep.sweep.study_record import (
    BASELINE,
    Analysis,
    Configuration,
    DataFacts,
    StudyRecord,
    TrialRecord,
)
from normsweep.sweep.trial import CONFIRM, DataKey, Result, Status
from normsweep.training.synthetic_engine import synthetic_curve

SMALL = 1 / 255
RAW, UNIT = {"normalization": "none"}, {"normalization": "unit"}
START, STEP = {**RAW, "input_weights": SMALL}, {**RAW, "input_rate": "matched"}
BOTH = {**START, **STEP}
NAMES = ("unit", "raw", "start", "step", "both")
LEVEL = Level.of(0.95, 1.0)
IMAGES = 2000


def arms(*params: dict, labels: Sequence[str] = NAMES):
    return bundles(params, labels[: len(params)])


def keys(*params: dict):
    made = arms(*params, labels=[f"arm {place}" for place in range(len(params))])
    named = {arm.key: arm.label for arm in made}
    found = cells_of(made, made[0].key)
    return [tuple(named[key] for key in cells.arms) for cells in found]


def test_the_arms_are_found_by_what_they_fix_in_any_order():
    assert keys(UNIT, RAW, START, STEP) == [("arm 1", "arm 2", "arm 3", "arm 0")]
    assert keys(UNIT, STEP, RAW, START) == [("arm 2", "arm 3", "arm 1", "arm 0")]
    plain = {**RAW, "input_weights": 1.0, "input_rate": 1.0}
    assert keys(UNIT, plain, START, STEP) == [("arm 1", "arm 2", "arm 3", "arm 0")]


@pytest.mark.parametrize(
    "params",
    [
        (UNIT, RAW, START),
        (UNIT, RAW, STEP),
        (UNIT, START, STEP, BOTH),
        (UNIT, RAW, START, {**RAW, "input_rate": 0.5}),
        (UNIT, RAW, {**START, "clip": 1.0}, STEP),
        ({**UNIT, "input_weights": 2.0}, RAW, START, STEP),
    ],
)
def test_without_all_of_them_there_is_no_factorial(params):
    assert keys(*params) == []


def test_the_controls_are_those_that_train_alike():
    large = {**UNIT, "input_weights": 256.0}
    made = bundles([UNIT, RAW, START, STEP, BOTH, large])
    (cells,) = cells_of(made, made[0].key)
    assert cells.controls == ((made[4].key, made[0].key), (made[5].key, made[3].key))
    assert cells.scale == pytest.approx(255)
    unlike = bundles(
        [UNIT, RAW, START, STEP, {**BOTH, "input_weights": 0.1}, {**large, "input_weights": 10.0}]
    )
    (cells,) = cells_of(unlike, unlike[0].key)
    assert cells.controls == ()


def test_of_several_starts_it_is_the_one_that_both_has():
    half = {**RAW, "input_weights": 0.5}
    made = bundles([UNIT, RAW, half, START, STEP, BOTH])
    (cells,) = cells_of(made, made[0].key)
    assert (cells.start, cells.both) == (made[3].key, made[5].key)


def test_each_optimizer_and_each_input_has_a_factorial_of_its_own():
    sgd = [{**params, "optimizer": "sgd"} for params in (UNIT, RAW, START, STEP)]
    adam = [{**params, "optimizer": "adam"} for params in (UNIT, RAW, START, STEP)]
    assert keys(*adam, *sgd) == [
        ("arm 1", "arm 2", "arm 3", "arm 0"),
        ("arm 5", "arm 6", "arm 7", "arm 4"),
    ]
    dose = [{**params, "input_scale": 0.1} for params in (RAW, START, STEP)]
    assert keys(UNIT, *dose) == [("arm 1", "arm 2", "arm 3", "arm 0")]


def bits(*scores: float, seeds: int = 5, images: int = IMAGES, noise: float = 0.0):
    rng = np.random.default_rng(0)
    made = [
        [
            np.arange(images) < round((score + noise * rng.standard_normal()) * images)
            for _ in range(seeds)
        ]
        for score in scores
    ]
    return np.array(made, np.int16)


def test_the_parts_add_up_to_the_gap():
    found = effects_of(bits(0.90, 0.91, 0.95, 0.98), LEVEL)
    parts = [found.part(part).value for part in PARTS]
    assert parts == pytest.approx([-0.01, -0.05, -0.02])
    assert sum(parts) == pytest.approx(found.gap.value) == pytest.approx(-0.08)
    assert all(e.low < e.value < e.high for e in map(found.part, PARTS))


@pytest.mark.parametrize(
    ("scores", "direction", "most"),
    [
        ((0.90, 0.98, 0.90, 0.98), -1, (Part.START,)),
        ((0.90, 0.90, 0.98, 0.98), -1, (Part.STEP,)),
        ((0.90, 0.90, 0.90, 0.98), -1, (Part.JOINT,)),
        ((0.90, 0.98, 0.98, 0.98), -1, (Part.START, Part.STEP)),
        ((0.90, 0.93, 0.93, 0.98), -1, ()),
        ((0.98, 0.98, 0.90, 0.90), 1, (Part.STEP,)),
        ((0.95, 0.95, 0.95, 0.95), 0, ()),
    ],
)
def test_the_cause_is_the_part_that_is_most_of_the_gap(scores, direction, most):
    found = effects_of(bits(*scores, noise=0.001), LEVEL)
    assert (found.direction, found.most) == (direction, most)
    assert all(found.share(part) == 1 for part in most)


def test_a_part_that_makes_the_gap_smaller_has_the_other_sign():
    found = effects_of(bits(0.90, 0.86, 0.98, 0.95, noise=0.001), LEVEL)
    assert [found.share(part) for part in PARTS] == [-1, 1, 0]


def test_no_spread_is_no_certainty_with_few_images():
    found = effects_of(bits(0.95, 0.95, 0.95, 0.96, images=100), LEVEL)
    assert found.direction == 0  # one image in a hundred


LEVELS = {
    ("unit", BASELINE): (0.90, 0.95),
    ("raw", BASELINE): (0.60, 0.70),
    ("start", BASELINE): (0.60, 0.71),
    ("step", BASELINE): (0.85, 0.90),
    ("both", BASELINE): (0.90, 0.95),
}


@pytest.fixture
def read(planted):
    """The factorial of planted levels; see `Planted`."""

    def of(level: Level = LEVEL, levels=LEVELS, **fields) -> tuple[Factorial, ...]:
        made = planted(levels=levels, **fields)
        own = [replace(arm, key=arm.label) for arm in arms(UNIT, RAW, START, STEP, BOTH)]
        found = confirmed(made.look, made.records)
        return factorials(found, own, "unit", level, 0.01, 2)

    return of


def test_it_is_read_once_for_each_number_of_epochs_that_is_asked_for(read):
    (found,) = read()
    assert (found.configuration, found.epochs, found.window, found.seeds) == (BASELINE, 2, 1, 5)
    assert found.effects.gap.value == pytest.approx(-0.25)
    assert found.effects.step.value == pytest.approx(-0.20)
    assert found.scores == pytest.approx((0.70, 0.71, 0.90, 0.95))
    assert found.most == (Part.STEP,)
    assert found.controls[0].confirmed
    assert found.readable
    assert found.behind


def test_a_diverged_seed_counts_at_the_level_of_guessing(read):
    (found,) = read(diverged={("start", BASELINE): {0: 1, 1: 1}})
    assert found.seeds == 5
    assert found.trained[1] == Trained(3, 2)
    assert found.scores[1] == pytest.approx((3 * 0.71 + 2 * 0.1) / 5)
    assert found.most == ()  # some trained and some did not


def test_a_failed_seed_is_left_out_of_all_cells(read):
    (found,) = read(failed={("start", BASELINE): [0]})
    assert found.seeds == 4
    assert not found.readable


def test_a_control_that_differs_forbids_any_reading(read):
    (found,) = read(levels={**LEVELS, ("both", BASELINE): (0.90, 0.92)})
    assert found.controls[0].failed
    assert not found.readable


def test_without_one_of_the_arms_there_is_none(read):
    levels = {key: value for key, value in LEVELS.items() if key[0] != "step"}
    assert read(levels=levels) == ()


NONE, ALL, SOME, FEW = Trained(0, 0, 5), Trained(5), Trained(2, 1, 2), Trained(4)


@pytest.mark.parametrize(
    ("trained", "needs"),
    [
        ((NONE, NONE, NONE, ALL), (Part.JOINT,)),
        ((NONE, ALL, NONE, ALL), (Part.START,)),
        ((NONE, NONE, ALL, ALL), (Part.STEP,)),
        ((NONE, ALL, ALL, ALL), (Part.START, Part.STEP)),
        ((NONE, SOME, NONE, ALL), ()),
        ((SOME, ALL, ALL, ALL), ()),
        ((NONE, NONE, NONE, NONE), ()),
        ((ALL, ALL, ALL, ALL), ()),
        ((ALL, NONE, NONE, NONE), ()),
        ((NONE, FEW, NONE, ALL), ()),
    ],
)
def test_what_makes_seeds_train(trained, needs):
    assert training_needs(trained) == needs


def synthetic(options: str, seeds: int = 5, images: int = IMAGES) -> tuple[Factorial, ...]:
    """The factorials of the shipped sweep with the synthetic model, trained with the baseline."""
    sweep = read_sweep(
        "mechanism", ['model.name="synthetic"', f"model.options={options}", "confirm.epochs=4"]
    )
    data = DataFacts("digits", "test", "d" * 64, 1437, images, 10)
    key, records, configurations = DataKey("digits", "d" * 64, 0.2), [], []
    for arm in sweep.arms[:6]:
        params, runs = sweep.baseline(arm, 4), []
        for seed in range(seeds):
            number = len(records)
            trial = replace(
                resolve_trial(sweep, key, arm.key, params, number, seed),
                seed=seed + 1,
                phase=CONFIRM,
            )
            curve = tuple(synthetic_curve(trial, 10, images))
            result = Result(number, Status.COMPLETE, curve, 0.1, test_digest="t" * 64)
            records.append(TrialRecord(trial, result))
            runs.append(number)
        configurations.append(Configuration(arm.key, BASELINE, params, runs=tuple(runs)))
    analysis = Analysis(seeds, tuple(configurations))
    record = StudyRecord("mechanism", "a", sweep, data, trials=tuple(records), analyses=(analysis,))
    return evidence(record.labelled()).factorials


FIXED = "noise = 0.002, ceiling = 0.8, speed = 5.0"


@pytest.mark.parametrize(
    ("parts", "most"),
    [
        ((0.1, 0, 0), (Part.START,)),
        ((0, 0.1, 0), (Part.STEP,)),
        ((0, 0, 0.1), (Part.JOINT,)),
        ((0.1, 0.1, -0.1), (Part.START, Part.STEP)),
        ((0.03, 0.03, 0.03), ()),
    ],
)
@pytest.mark.parametrize("sign", [1, -1], ids=["raw behind", "raw ahead"])
def test_planted_effects_of_the_synthetic_model_are_attributed(parts, most, sign):
    start, step, joint = (float(sign * part) for part in parts)
    (found,) = synthetic(f"{{ {FIXED}, start = {start}, step = {step}, joint = {joint} }}")
    assert found.effects.direction == -sign
    assert found.most == most
    assert found.readable
    assert found.all_trained


def test_planted_seeds_that_are_stuck_are_an_attribution_of_its_own():
    stuck = '"raw pixels" = 1.0, "raw, small start" = 1.0, "raw, small steps" = 1.0, default = 0.0'
    (found,) = synthetic(f"{{ {FIXED}, stuck = {{ {stuck} }} }}")
    assert [cell.stuck for cell in found.trained] == [5, 5, 5, 0]
    assert found.trains_with == (Part.JOINT,)
    assert found.most == (Part.JOINT,)


def hold(found: Sequence[Row], false: float, covers: float) -> None:
    assert len(found) == 2 * len(SCENARIOS)
    for row in found:
        assert row.false <= false, row
        assert row.covers >= covers, row


def test_simulated_studies_are_rarely_attributed_wrongly():
    hold(list(rows(15)), 0.12, 0.80)  # 90 studies a row


@pytest.mark.slow
def test_planted_factorials_are_attributed_rightly_in_enough_studies():
    found = list(rows(300))  # 1,800 studies a row
    hold(found, 0.075, 0.86)
    right = [row for row in found if row.scenario != "each half trains half of its seeds"]
    assert max(row.false for row in right) <= 0.06
    assert min(row.covers for row in right) >= 0.92
    named = {(row.scenario, row.seeds): row.named for row in found}
    assert named["the steps alone", 10] > 0.95
    assert named["neither half alone trains", 5] > 0.99
