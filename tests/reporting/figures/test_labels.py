import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from normsweep.reporting.figures.labels import spread
from normsweep.reporting.figures.limits import accuracy_limits

places = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@given(places)
def test_spread_keeps_order_distance_and_limits(wanted):
    placed = spread(wanted, 0.05, 0.0, 1.0)
    ranks = np.argsort(wanted, kind="stable")
    steps = np.diff(np.array(placed)[ranks])
    assert np.all(steps >= 0.05 - 1e-9)
    assert min(placed) >= -1e-9
    assert max(placed) <= 1 + 1e-9


def test_spread_leaves_alone_what_is_apart_already():
    assert spread([0.1, 0.9, 0.5], 0.1, 0, 1) == pytest.approx([0.1, 0.9, 0.5])


def test_spread_shares_the_room_where_it_is_short():
    assert spread([0.5, 0.5, 0.5], 0.9, 0, 1) == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("values", [[0.97, 0.98, 0.99], [0.99] * 3])
def test_limits_show_everything_that_is_near(values):
    low, high = accuracy_limits(values, values, 0.002)
    assert low < min(values)
    assert high > max(values)


def test_limits_cut_off_what_is_far_and_keep_what_is_needed():
    low, _ = accuracy_limits([0.11, 0.99], [0.93], 0.002)
    assert 0.9 < low < 0.93
    assert accuracy_limits([], [], 0.002) == (0.0, 1.0)
