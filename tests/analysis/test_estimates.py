import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import stats

from normsweep.analysis.estimates import interval, moments, satterthwaite, seeds_only

TABLE = np.array([[1, 0, 1, 1], [1, 0, 0, 1], [1, 1, 0, 1]])
"""Three seeds × four images, worked out by hand below."""

tables = arrays(
    np.int8,
    array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=12),
    elements=st.integers(-1, 1),
)


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


def brute(table) -> tuple[float, float]:
    """The two variances, from sums of squares written out cell by cell."""
    cells = [[float(cell) for cell in row] for row in table]
    n, size = len(cells), len(cells[0])
    grand = sum(map(sum, cells)) / (n * size)
    rows = [sum(row) / size for row in cells]
    columns = [sum(row[j] for row in cells) / n for j in range(size)]
    residual = sum(
        (cells[i][j] - rows[i] - columns[j] + grand) ** 2 for i in range(n) for j in range(size)
    ) / ((n - 1) * (size - 1))
    of_images = n * sum((column - grand) ** 2 for column in columns) / (size - 1)
    v_seeds = sum((row - grand) ** 2 for row in rows) / (n - 1) / n
    return v_seeds, max(of_images - residual, 0) / (n * size)


def test_a_table_worked_out_by_hand():
    """Seed means 3/4, 2/4, 3/4; image means 1, 1/3, 1/3, 1; grand mean 2/3.

    Squares: total 8/3, seeds 4·(1/144 + 1/36 + 1/144) = 1/6, images 3·4/9 = 4/3, residual 7/6;
    mean squares: seeds 1/12, images 4/9, residual 7/36.
    """
    m = moments(TABLE)
    assert m.mean == pytest.approx(2 / 3)
    assert m.seed_means == pytest.approx((0.75, 0.5, 0.75))
    assert m.v_seeds == pytest.approx((1 / 12) / 12)
    assert m.v_images == pytest.approx((4 / 9 - 7 / 36) / 12)
    assert (m.ms_images, m.ms_residual) == pytest.approx((4 / 9, 7 / 36))
    assert (m.n, m.images) == (3, 4)
    assert m.variance == m.v_seeds + m.v_images


@given(tables)
def test_the_variances_are_those_written_out_cell_by_cell(table):
    m = moments(table)
    assert (m.v_seeds, m.v_images) == pytest.approx(brute(table), abs=1e-12)
    assert m.mean == pytest.approx(table.mean(), abs=1e-12)


@given(tables, st.randoms(use_true_random=False))
def test_the_order_of_seeds_and_images_is_of_no_matter(table, shuffle):
    rows, columns = list(range(len(table))), list(range(table.shape[1]))
    shuffle.shuffle(rows)
    shuffle.shuffle(columns)
    ours, other = moments(table), moments(table[rows][:, columns])
    assert (ours.mean, ours.v_seeds, ours.v_images) == pytest.approx(
        (other.mean, other.v_seeds, other.v_images), abs=1e-12
    )


@given(tables, st.floats(0.001, 0.2))
def test_an_interval_holds_its_value_and_grows_as_its_level_falls(table, tail):
    m = moments(table)
    wide, narrow = interval(m, tail / 2), interval(m, tail)
    assert wide.low <= narrow.low <= m.mean <= narrow.high <= wide.high
    assert narrow.value == m.mean
    assert narrow.n == len(table)
    if m.variance > 0:
        assert wide.low < narrow.low


def test_bool_and_integer_bits_are_the_same():
    bits = TABLE.astype(bool)
    assert moments(bits) == moments(TABLE) == moments(bits.astype(np.uint8))


def test_the_half_width_is_of_students_t_for_seeds_and_of_the_normal_for_images():
    """√(4.303² / 144 + 1.960² / 48), from tables of both quantiles."""
    half = math.sqrt(4.302653**2 / 144 + 1.959964**2 / 48)
    got = interval(moments(TABLE), 0.025)
    assert (got.low, got.high) == pytest.approx((2 / 3 - half, 2 / 3 + half), abs=1e-6)


@given(tables, st.sampled_from([-1.0, 0.0, 1.0, 2.5]))
def test_one_more_image_gives_the_moments_of_the_table_with_it(table, value):
    extended = np.column_stack([table.astype(float), np.full(len(table), value)])
    got, expected = moments(table).with_image(value), moments(extended)
    assert got.images == expected.images
    assert got.seed_means == pytest.approx(expected.seed_means, abs=1e-12)
    assert (got.mean, got.v_seeds, got.ms_images, got.ms_residual) == pytest.approx(
        (expected.mean, expected.v_seeds, expected.ms_images, expected.ms_residual), abs=1e-12
    )


@given(tables, st.sampled_from([0.5, 1.0, 2.0]))
def test_each_bound_is_that_of_the_table_with_one_image_more_on_its_side(table, image):
    got = interval(moments(table), 0.025, image)
    down, up = (
        interval(moments(np.column_stack([table.astype(float), np.full(len(table), value)])), 0.025)
        for value in (-image, image)
    )
    assert (got.low, got.high) == pytest.approx((down.low, up.high), abs=1e-12)
    assert got.value == moments(table).mean


def test_no_spread_that_was_seen_is_no_certainty():
    """99 images, all alike in all seeds: one more of another kind moves the mean, and is its only variance."""
    m = moments(np.zeros((5, 99), int))
    got = interval(m, 0.025, 1.0)
    half = 1.959964 * math.sqrt(1 / 100 / 100)  # the variance of 0, …, 0, −1 is 1/100
    assert (got.low, got.value, got.high) == pytest.approx((-0.01 - half, 0, 0.01 + half), abs=1e-6)


def test_the_interval_of_seeds_alone_is_that_of_a_one_sample_t_test():
    rng = np.random.default_rng(0)
    table = rng.integers(-1, 2, (7, 30))
    expected = stats.ttest_1samp(table.mean(axis=1), 0).confidence_interval(0.95)
    got = seeds_only(moments(table), 0.025)
    assert (got.low, got.high) == pytest.approx((expected.low, expected.high))


def test_without_variance_between_images_both_intervals_are_one():
    table = np.array([[1, 0], [0, 1], [1, 0], [1, 1]])
    m = moments(table)
    assert m.v_images == 0
    both, alone = interval(m, 0.025), seeds_only(m, 0.025)
    assert (both.low, both.high) == pytest.approx((alone.low, alone.high))


def test_images_that_all_seeds_see_alike_leave_their_own_variance_alone():
    row = np.array([1, 1, 0, 1, 0, 1, 1, 1, 1, 1])
    m = moments(np.tile(row, (5, 1)))
    assert m.v_seeds == pytest.approx(0, abs=1e-30)
    assert m.v_images == pytest.approx(row.var(ddof=1) / len(row))


@pytest.mark.parametrize("value", [0, 1])
def test_without_any_difference_the_interval_is_the_point(value):
    m = moments(np.full((5, 8), value))
    assert (m.v_seeds, m.v_images) == (0, 0)
    for got in (interval(m, 0.025), seeds_only(m, 0.025)):
        assert (got.value, got.low, got.high) == (value, value, value)


@pytest.mark.parametrize("shape", [(1, 8), (5, 1), (1, 1), (0, 8), (5, 0)])
def test_too_little_to_tell_gives_bounds_that_are_not_numbers(shape):
    got = interval(moments(np.ones(shape, bool)), 0.025)
    assert math.isnan(got.low)
    assert math.isnan(got.high)
    assert got.n == shape[0]
    assert (got.value == 1) == (0 not in shape)


def test_a_table_with_another_number_of_axes_is_refused():
    with pytest.raises(ValueError, match="with 2 axes, got 3"):
        moments(np.ones((2, 3, 4)))


def test_freedom_of_equal_parts_adds_up_and_of_tiny_ones_stays_finite():
    assert satterthwaite((2.0, 4), (2.0, 4)) == pytest.approx(8)
    assert satterthwaite((1e-300, 4), (0.0, 99)) == pytest.approx(4)
    assert satterthwaite((0.0, 4), (1.0, 99)) == pytest.approx(99)


def test_the_variances_are_unbiased_for_a_planted_model():
    """Seeds 0.3, images 0.5 and residual 0.4 as standard deviations."""
    rng = np.random.default_rng(1)
    n, size = 6, 40
    found = []
    for _ in range(400):
        table = (
            rng.normal(0, 0.3, (n, 1)) + rng.normal(0, 0.5, size) + rng.normal(0, 0.4, (n, size))
        )
        m = moments(table)
        found.append((m.v_seeds, m.v_images))
    v_seeds, v_images = np.mean(found, axis=0)
    assert v_seeds == pytest.approx((0.3**2 + 0.4**2 / size) / n, rel=0.1)
    assert v_images == pytest.approx(0.5**2 / size, rel=0.1)
