"""Intervals of a regression's metrics, whose errors have no bound, on simulated rows with a known gap."""

import numpy as np
import pytest

from benchmarks.losses import METRICS, ROWS, SHARE, WORLDS, Study, studies
from benchmarks.outcomes import at_most
from normsweep.analysis.estimates import interval, moments
from normsweep.analysis.rules import Comparison, Rules
from normsweep.analysis.verdicts import judge
from normsweep.parts.metrics import metric

WIDE = 0.01
"""What a share over 400 studies of a world may miss by chance, for the mean of the worlds."""


def test_the_simulation_reads_a_study_like_judge():
    by = metric("rmse")
    study = Study.drawn(WORLDS[3], 100, 5, np.random.default_rng(0))
    arm, reference = (by.sign * study.values(by, e) for e in (study.arm, study.reference))
    rules = Rules(0.1, 0.05, 1, 99.0, by, image=by.image_bound(()))
    found = judge(Comparison("", "arm", "reference", 1), rules, arm[:, None], reference[:, None])
    table = -(arm - reference)
    largest = float(np.abs(table.mean(axis=0)).max())
    expected = interval(moments(table), 0.025, largest).times(-1)
    assert (found.gap.low, found.gap.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name.split(",")[0])
def test_intervals_cover_and_outcomes_are_seldom_wrong(world):
    for found in studies(world, ("mae", "rmse"), 100, 60).values():
        assert found.covers >= 0.9
        assert at_most(round(60 * found.too_good), 60) <= 0.2
        assert found.width > 1


@pytest.mark.slow
@pytest.mark.parametrize("rows", ROWS)
def test_every_metric_covers_at_least_93_percent_in_every_world(rows):
    for world in WORLDS:
        for name, found in studies(world, METRICS, rows, 400).items():
            assert found.covers >= 0.93, (world.name, name)
            for wrong in (found.too_good + found.too_bad, found.ahead + found.behind):
                assert wrong <= 0.05 + WIDE, (world.name, name)
            if not np.isnan(found.of_share):
                assert found.of_share <= 0.05 + WIDE, (world.name, name, SHARE)
