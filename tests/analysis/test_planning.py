import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from normsweep.analysis.estimates import Moments, moments, more_seeds, smallest_margin

MARGIN, TAIL = 0.002, 0.0125


def planned(mean, seed_deviation, n=5, v_images=0.0) -> Moments:
    """Moments with a planted mean and spread."""
    return Moments(mean, (mean,) * n, seed_deviation**2 / n, v_images * n * 10_000, 0.0, 10_000)


def counted(m: Moments, tail: float) -> float:
    """The smallest number of further seeds, tried one by one."""
    reach = stats.norm.ppf(1 - tail) + 0.84
    for more in range(1, 2000):
        if reach * math.sqrt(m.n * m.v_seeds / (m.n + more) + m.v_images) <= abs(m.mean + MARGIN):
            return more
    return math.inf


@given(
    mean=st.floats(-0.006, 0.002),
    deviation=st.floats(0.0002, 0.006),
    n=st.integers(5, 60),
    images=st.floats(0, 3e-7),
    tail=st.sampled_from([0.025, 0.0125, 0.00625, 0.002]),
)
def test_the_number_is_the_smallest_that_suffices_rounded_up(mean, deviation, n, images, tail):
    m = planned(mean, deviation, n, images)
    needed, said = counted(m, tail), more_seeds(m, MARGIN, tail)
    if said == "images":
        assert needed == math.inf
        return
    assume(needed < math.inf)
    most = max(20, 3 * n)
    if said.startswith("more than"):
        assert said == f"more than {most}"
        assert needed > most
        return
    steps = [5, 10, 20, *range(30, most + 10, 10)]
    assert int(said) in steps
    assert needed <= int(said)
    smaller = [step for step in steps if step < int(said)]
    assert not smaller or needed > smaller[-1]


@pytest.mark.parametrize(
    ("deviation", "n", "said"),
    [
        (0.001, 5, "5"),
        (0.0024, 5, "10"),
        (0.0030, 5, "20"),
        (0.0040, 5, "more than 20"),
        (0.0055, 20, "60"),
        (0.0080, 10, "more than 30"),
    ],
)
def test_numbers_of_seeds_read_as_steps(deviation, n, said):
    m = planned(0.0, deviation, n)
    expected = counted(m, TAIL)
    assert more_seeds(m, MARGIN, TAIL) == said, expected


def test_where_the_images_alone_are_too_few_no_seeds_help():
    assert more_seeds(planned(0.0, 0.001, v_images=0.001**2), MARGIN, TAIL) == "images"
    assert more_seeds(planned(0.0, 0.001, v_images=0.0005**2), MARGIN, TAIL) == "5"


def test_a_gap_right_at_the_margin_is_never_decided():
    assert more_seeds(planned(-MARGIN, 0.001), MARGIN, TAIL) == "more than 20"
    assert more_seeds(planned(-MARGIN, 0.001, v_images=1e-9), MARGIN, TAIL) == "more than 20"


def test_the_smallest_margin_is_of_the_images_alone_at_its_own_level():
    assert smallest_margin(planned(0.0, 0.5, v_images=0.0001), 0.025) == pytest.approx(
        0.028, abs=1e-5
    )
    assert smallest_margin(planned(-1.0, 0.5, v_images=0.0001), 0.0025) == pytest.approx(
        0.01 * (stats.norm.ppf(0.9975) + 0.84)
    )
    assert smallest_margin(planned(0.0, 0.5), 0.025) == 0
    assert math.isnan(smallest_margin(moments(np.ones((1, 9))), 0.025))


def test_the_smallest_margin_has_room_for_one_more_image():
    """Of 99 images without any spread: (1 + 1.96) images of 100."""
    m = moments(np.zeros((5, 99), int))
    assert smallest_margin(m, 0.025, 1.0) == pytest.approx(0.0296, abs=1e-5)
    assert smallest_margin(m, 0.025) == 0


def test_a_test_set_of_360_images_needs_a_margin_near_two_points():
    rng = np.random.default_rng(0)
    right = rng.random((2, 360)) < 0.97
    table = right[0].astype(int) - right[1]
    assert 0.01 < smallest_margin(moments(np.tile(table, (10, 1))), 0.025) < 0.04
