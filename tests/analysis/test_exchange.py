"""How many epochs of one arm are worth those of another: the value, its bounds, and how often they hold."""

import math

import numpy as np
import pytest

from benchmarks.exchange import rows, true_epoch
from normsweep.analysis.confirm_runs import confirmed
from normsweep.analysis.exchange import Worth, budgets, exchanges, worth
from normsweep.sweep.study_record import BASELINE, TUNED_LONG

TAIL = 0.025
STEP = 1 / 20


def seeds(mean, n=6, spread=0.001):
    """Curves whose mean is exact, with alternating deviations."""
    signs = np.resize([1.0, -1.0], n)[:, None]
    return np.asarray(mean, float) + spread * signs


def level(value, n=6):
    return np.full(n, float(value))


@pytest.mark.parametrize(
    ("longest", "epochs"), [(1, ()), (2, (1,)), (4, (1, 2, 3)), (6, (2, 3, 5)), (12, (3, 6, 9))]
)
def test_the_exchanged_epochs_are_fixed_by_the_longest_training(longest, epochs):
    assert budgets(longest) == epochs


def test_a_level_is_reached_between_two_epochs():
    found = worth(seeds([0.1, 0.2, 0.3, 0.4]), level(0.25), TAIL)
    assert found.value == pytest.approx(2.5, abs=STEP)
    assert 2.3 < found.low < 2.5 < found.high < 2.7


def test_a_wider_spread_gives_a_wider_interval():
    narrow, wide = (
        worth(seeds([0.1, 0.2, 0.3, 0.4], spread=spread), level(0.25), TAIL)
        for spread in (0.001, 0.02)
    )
    assert wide.low < narrow.low < narrow.high < wide.high
    assert wide.value == narrow.value


def test_a_level_above_the_curve_is_censored():
    found = worth(seeds([0.1, 0.2, 0.3, 0.4]), level(0.5), TAIL)
    assert found == Worth(math.inf, 4.0, math.inf)
    assert found.known


def test_a_level_that_is_nearly_reached_is_bounded_from_below_only():
    found = worth(seeds([0.1, 0.2, 0.3, 0.4], spread=0.02), level(0.405), TAIL)
    assert found.value == found.high == math.inf
    assert 3.5 < found.low < 4


def test_a_level_below_the_first_epoch_has_no_lower_bound():
    found = worth(seeds([0.2, 0.3, 0.4]), level(0.1), TAIL)
    assert (found.value, found.low) == (1.0, 0.0)
    assert found.high == pytest.approx(1, abs=2 * STEP)


def test_nothing_is_known_of_curves_that_do_not_differ_from_the_level():
    found = worth(seeds([0.1, 0.1, 0.1], spread=0.05), level(0.1), TAIL)
    assert (found.low, found.high, found.known) == (0.0, math.inf, False)


def test_a_curve_that_falls_below_the_level_again_has_a_wide_interval():
    found = worth(seeds([0.1, 0.3, 0.1, 0.3], spread=0.01), level(0.2), TAIL)
    assert found.low < 1.6
    assert found.high > 3.4
    assert found.low <= found.value <= found.high


def test_the_value_is_within_the_interval_whatever_the_curves_are():
    rng = np.random.default_rng(0)
    for _ in range(300):
        curves = rng.normal(np.linspace(0, 1, 8), 0.4, (5, 8))
        found = worth(curves, rng.normal(0.6, 0.3, 5), TAIL)
        assert found.low <= found.value <= found.high


def test_the_value_is_where_the_isotonic_fit_crosses():
    from scipy.optimize import isotonic_regression

    rng = np.random.default_rng(1)
    for _ in range(200):
        curve = rng.normal(np.linspace(-1, 1, 9), 1.0)
        value = worth(seeds(curve), level(0), TAIL).value
        fit = isotonic_regression(curve).x
        first = np.flatnonzero(fit >= 0)
        if not first.size:
            assert value == math.inf
        elif first[0] == 0:
            assert value == 1
        else:
            assert first[0] < value <= first[0] + 1


def test_the_planted_epoch_is_that_of_the_straight_lines():
    curve = np.array([0.1, 0.2, 0.4])
    assert true_epoch(curve, 0.3) == pytest.approx(2.5)
    assert true_epoch(curve, 0.1) == 0
    assert true_epoch(curve, 0.5) == math.inf


def test_the_interval_contains_the_planted_epoch_in_enough_studies():
    for row in rows(100):
        assert row.covers >= 0.93, row  # 1800 intervals a row
        assert row.lowest >= 0.87, row  # 100 intervals


def test_a_study_has_a_rate_an_arm_configuration_and_level(planted):
    made = planted()
    found = exchanges(confirmed(made.look, made.records), ("none", "unit"), "unit", 0.95)
    assert [(e.configuration, e.after) for e in found] == [
        (name, after) for name in (BASELINE, TUNED_LONG) for after in (2, 3, 5)
    ]
    assert {(e.arm, e.reference, e.longest, e.seeds) for e in found} == {("none", "unit", 6, 5)}
    first = found[0]
    assert first.level == pytest.approx(0.86)
    assert first.worth.value == pytest.approx(6, abs=STEP)
    assert found[1].worth.value == math.inf  # 0.87, of which none ends 0.01 short


def test_the_arm_may_be_the_faster_one(planted):
    made = planted()
    found = exchanges(confirmed(made.look, made.records), ("none", "unit"), "none", 0.95)
    third = found[1]
    assert (third.arm, third.reference, third.after) == ("unit", "none", 3)
    assert third.worth.value == 1
    assert third.worth.low == 0


def test_without_five_pairs_there_is_no_rate(planted):
    made = planted(diverged={("none", BASELINE): {2: 4}})
    found = exchanges(confirmed(made.look, made.records), ("none", "unit"), "unit", 0.95)
    assert {e.configuration for e in found} == {TUNED_LONG}


def test_lower_is_better_with_a_loss():
    falling = seeds([2.0, 1.0, 0.5])
    found = worth(-falling, -level(0.75), TAIL)
    assert found.value == pytest.approx(2.5, abs=STEP)
