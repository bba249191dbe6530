"""The gap over repeats of the whole tuning: one value a tuning, and Student's t over them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from normsweep.analysis.repeats import Repeated


def test_the_interval_is_students_t_over_the_tunings():
    gaps = [-0.01, -0.03, -0.02]
    found = Repeated.of(gaps, 3, 0.95)
    expected = stats.t.interval(0.95, 2, np.mean(gaps), stats.sem(gaps))
    assert (found.gap.low, found.gap.high) == pytest.approx(expected)
    assert found.gap.value == pytest.approx(-0.02)
    assert (found.ended, found.planned, found.gap.n) == (3, 3, 3)


@pytest.mark.parametrize("gaps", [[], [-0.01], [-0.01, 0.02], [-0.01, 0.02, math.nan]])
def test_there_is_no_interval_before_every_tuning_has_a_gap(gaps):
    found = Repeated.of(gaps, 3, 0.95)
    assert math.isnan(found.gap.value)
    assert math.isnan(found.gap.low)
    assert found.ended == len(gaps)


def test_three_tunings_cover_the_mean_of_many_as_often_as_they_say():
    rng = np.random.default_rng(0)
    found = [Repeated.of(row, 3, 0.95).gap for row in rng.normal(0.01, 0.02, (4000, 3))]
    covered = np.mean([each.low <= 0.01 <= each.high for each in found])
    assert 0.94 < covered < 0.96
