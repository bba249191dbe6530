"""The verdicts of the rules on arms whose true gap is known."""

from dataclasses import replace
from math import inf

import numpy as np
import pytest

from benchmarks.calibration import SEQUENCE, Row, markdown, readings, rows
from benchmarks.outcomes import ALPHA
from benchmarks.planted import Noise, draw
from benchmarks.scenarios import EPOCHS, MARGIN, SCENARIOS, Scenario
from benchmarks.sequence import FIRST, MOST, ends, sums
from normsweep.analysis.estimates import moments
from normsweep.analysis.parity import Pairs
from normsweep.analysis.rules import Comparison, Rules
from normsweep.analysis.verdicts import judge

FAR = Scenario("far below", (-4.0,) * EPOCHS)


def flat(gap: float) -> Scenario:
    return Scenario(str(gap), (gap,) * EPOCHS)


@pytest.fixture(scope="module")
def drawn():
    """Networks on 60 simulated test sets, 20 seeds of both arms each, alike in truth."""
    rng = np.random.default_rng(0)
    return [draw((0.0,) * 4, 20, Noise(), rng) for _ in range(60)]


def points(variances) -> float:
    """A standard deviation in points of accuracy, of variances as fractions."""
    return 100 * float(np.sqrt(np.mean(variances)))


def test_the_noise_is_as_large_as_stated(drawn):
    pairs = [Pairs(arm, reference) for arm, reference in drawn]
    one = [pair.gap(4, window=1) for pair in pairs]
    three = [pair.gap(4, window=3) for pair in pairs]
    accuracies = np.array([arm.mean(axis=2) for arm, _ in drawn])
    jitter = accuracies.var(axis=2, ddof=1)
    assert points([20 * m.v_seeds for m in one]) == pytest.approx(0.24, abs=0.01)
    assert points([20 * m.v_seeds for m in three]) == pytest.approx(0.16, abs=0.01)
    assert points([m.v_images for m in three]) == pytest.approx(0.055, abs=0.005)
    assert points(jitter) == pytest.approx(0.15, abs=0.01)
    seeds = accuracies.mean(axis=2).var(axis=1, ddof=1) - jitter.mean() / 4
    assert points(seeds) == pytest.approx(0.08, abs=0.01)


def test_errors_are_shared_as_stated(drawn):
    wrong = [(~arm[0, 3], ~arm[1, 3], ~reference[0, 3]) for arm, reference in drawn]
    of_arm = sum((a & b).sum() for a, b, _ in wrong) / sum(a.sum() for a, _, _ in wrong)
    of_both = sum((a & c).sum() for a, _, c in wrong) / sum(a.sum() for a, _, _ in wrong)
    assert of_arm == pytest.approx(0.62, abs=0.03)
    assert of_both == pytest.approx(0.48, abs=0.03)


def test_the_planted_gap_is_the_true_one():
    rng = np.random.default_rng(0)
    gaps = (0.0, -0.002, -0.01)
    found = []
    for _ in range(200):
        arm, reference = draw(gaps, 5, Noise(), rng)
        found.append(
            [
                moments(reference[:, 0]).mean,
                *(Pairs(arm, reference).gap(e, 1).mean for e in (1, 2, 3)),
            ]
        )
    error = np.std(found, axis=0, ddof=1) / np.sqrt(len(found))
    assert np.abs(np.mean(found, axis=0) - (0.989, *gaps)).max() < 3.5 * error.max()


@pytest.mark.parametrize(
    ("gaps", "raw", "smoothed"),
    [
        ((0.0,) * 6, 1, 1),
        ((-1.0,) * 12, inf, inf),
        ((-3.0, -3.0, *(0.0,) * 10), 3, 5),
        ((0.0, 0.0, 0.0, *(-1.5,) * 9), inf, inf),
        ((0.0, 0.0, *(-1.0,) * 9, 0.0), 12, 12),
        ((-3.0, -3.0, 0.0, 0.0, 0.0, 0.0), 3, 3),
    ],
)
def test_the_true_epoch_of_parity(gaps, raw, smoothed):
    assert Scenario("", gaps).parity == (raw, smoothed)


def test_the_truth_is_the_mean_of_the_last_epochs():
    assert Scenario("", (*(-5.0,) * 9, 0.0, 0.0, -3.0)).truth == pytest.approx(-1)
    assert Scenario("", (-5.0, 0.0, 0.0, -3.0)).truth == pytest.approx(-3)
    assert Scenario("", (-5.0, 0.0, 0.0, -3.0), window=3).truth == pytest.approx(-1)


@pytest.mark.parametrize(
    "scenario",
    [
        Scenario("", (-3.0, -1.5, *(0.0,) * 6)),
        Scenario("", (-3.0, -1.0, 0.5), fixed_at=2),
        Scenario("", (-4.0,) * 4),
    ],
    ids=str,
)
def test_simulations_read_curves_like_judge(scenario):
    rng, horizon = np.random.default_rng(5), len(scenario.gaps)
    drawn = [draw([MARGIN * g for g in scenario.gaps], MOST, Noise(), rng) for _ in range(2)]
    rules = Rules(MARGIN, ALPHA, 1, 0.1)
    comparison = Comparison("", "arm", "reference", horizon, scenario.fixed_at)
    for name, found in readings(scenario, drawn, Noise().images).items():
        for (arm, reference), reading in zip(drawn, found, strict=True):
            used = replace(rules, first=FIRST, most=MOST) if name == SEQUENCE else rules
            pairs = MOST if name == "20" else FIRST
            if name == SEQUENCE:
                pairs = stop(scenario, arm, reference, used)
            verdict = judge(comparison, used, arm[:pairs], reference[:pairs])
            assert (verdict.gap.low, verdict.gap.high) == pytest.approx(
                (MARGIN * reading.low, MARGIN * reading.high), abs=1e-9
            )
            assert (verdict.catches_up, verdict.falls_short) == (
                reading.level,
                reading.clearly_behind,
            )
            assert (verdict.epoch_low or inf, verdict.epoch or inf) == reading.epochs


def stop(scenario, arm, reference, rules):
    """After how many pairs a confirmation stops."""
    pairs = Pairs(arm, reference, scenario.fixed_at)
    table, scale = pairs.table(len(scenario.gaps), scenario.smoothed_over)
    end = ends(sums([table / scale], pairs.images), np.array(rules.levels), rules.margin)
    return int(end.pairs[0])


def test_each_verdict_is_planted_and_found():
    found = list(rows(20, scenarios=[flat(0.5), flat(-1.0), FAR]))
    assert [row.seeds for row in found] == ["5", "20", SEQUENCE] * 3
    level, between, below = found[1], found[4], found[7]
    assert level.level > 0.8
    assert below.clearly_behind > 0.8
    assert between.level + between.clearly_behind < 0.5
    assert below.level == level.clearly_behind == 0
    assert level.parity_covers > 0.8


def test_rows_are_the_same_again_and_differ_by_seed():
    first, again, other = (list(rows(3, seed, scenarios=[SCENARIOS[1]])) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_the_upper_bound_is_the_exact_one():
    """Of 10 replicates without an event, at most 1 − 0.01^(1/10)."""
    (row,) = [row for row in rows(10, scenarios=[FAR]) if row.seeds == SEQUENCE]
    assert row.level == 0
    assert row.at_most == pytest.approx(1 - 0.01 ** (1 / 10))


def test_the_table_is_markdown():
    lines = list(markdown(rows(1, scenarios=[FAR])))
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2].startswith("| far below | 5 | 0.0 % |")


@pytest.mark.slow
def test_the_goals_of_calibration():
    """False "level" at most 2.5 % a side (99 % bound: 4 %), also in sequence; intervals and epochs cover."""
    missed: list[Row] = []
    for row in rows(2000):
        if not row.scenario.level and row.at_most > 0.04:
            missed.append(row)
        if row.covers < 0.94 or row.parity_covers < 0.95:
            missed.append(row)
    assert missed == []
