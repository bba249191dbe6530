import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from normsweep.sweep.space import Choice, Condition, Range, Space

UNIT = st.floats(0, 1, exclude_max=True)
REALS = st.floats(-1e9, 1e9, allow_subnormal=False)
POSITIVE = st.floats(1e-12, 1e9)
INTEGERS = st.integers(-1000, 1000)


def span(numbers):
    return st.tuples(numbers, numbers).map(sorted)


@given(span(REALS), UNIT)
def test_real_values_lie_within_the_range(ends, u):
    low, high = ends
    assert low <= Range("x", low, high).from_unit(u) <= high


@given(span(POSITIVE), UNIT)
def test_logarithmic_values_lie_within_the_range(ends, u):
    low, high = ends
    assert low <= Range("x", low, high, log=True).from_unit(u) <= high


@given(span(INTEGERS), UNIT)
def test_integers_lie_within_the_range_and_are_integers(ends, u):
    value = Range("x", *ends, integer=True).from_unit(u)
    assert type(value) is int
    assert ends[0] <= value <= ends[1]


@given(span(st.integers(1, 1000)), UNIT)
def test_logarithmic_integers_lie_within_the_range_and_are_integers(ends, u):
    value = Range("x", *ends, integer=True, log=True).from_unit(u)
    assert type(value) is int
    assert ends[0] <= value <= ends[1]


@given(span(INTEGERS), st.integers(1, 50), UNIT)
def test_stepped_integers_are_whole_steps_from_the_lower_end(ends, step, u):
    low, high = ends
    value = Range("x", low, high, integer=True, step=step).from_unit(u)
    assert low <= value <= high
    assert (value - low) % step == 0


@given(span(st.floats(-100, 100)), st.floats(0.01, 10), UNIT)
@example([0, 0.3], 0.1, 0.99)
def test_stepped_reals_are_points_of_the_grid_within_the_range(ends, step, u):
    dimension = Range("x", *ends, step=step)
    value = dimension.from_unit(u)
    assert value in dimension.grid()
    assert ends[0] <= min(dimension.grid())
    assert max(dimension.grid()) == dimension.largest <= ends[1]


def test_a_range_is_tried_evenly_from_end_to_end():
    tenths = [i / 10 for i in range(10)]
    assert [Range("x", 0, 9, integer=True).from_unit(u) for u in tenths] == list(range(10))
    assert Range("x", 2.0, 4.0).from_unit(0.5) == 3.0
    assert Range("x", 1e-4, 1e-2, log=True).from_unit(0.5) == pytest.approx(1e-3)
    assert [Choice("x", ("a", "b")).from_unit(u) for u in (0, 0.49, 0.5, 0.99)] == [*"aabb"]


@pytest.mark.parametrize(
    ("dimension", "grid"),
    [
        pytest.param(Choice("x", ("a", "b")), ("a", "b"), id="list"),
        pytest.param(Range("x", 1, 4, integer=True), (1, 2, 3, 4), id="integers"),
        pytest.param(Range("x", 1, 9, integer=True, step=3), (1, 4, 7), id="step"),
        pytest.param(Range("x", 5, 5, integer=True), (5,), id="one-point"),
        pytest.param(Range("x", 0, 0.3, step=0.1), (0, 0.1, 0.2, 0.3), id="real-step"),
        pytest.param(Range("x", 0.0, 1.0), None, id="real"),
        pytest.param(Range("x", 0.1, 1.0, log=True), None, id="log"),
    ],
)
def test_the_grid_lists_all_points_where_they_are_finite(dimension, grid):
    assert dimension.grid() == (None if grid is None else pytest.approx(grid))


@pytest.mark.parametrize(
    ("dimension", "largest"),
    [
        pytest.param(Choice("x", (4, 12, 8)), 12, id="list"),
        pytest.param(Range("x", 1, 20, integer=True), 20, id="integers"),
        pytest.param(Range("x", 1, 20, integer=True, step=3), 19, id="step-below-the-end"),
        pytest.param(Range("x", 1, 64, integer=True, log=True), 64, id="log"),
        pytest.param(Range("x", 0.5, 2.5), 2.5, id="real"),
    ],
)
def test_the_largest_value_is_one_that_can_be_drawn(dimension, largest):
    assert dimension.largest == largest
    drawn = dimension.from_unit(math.nextafter(1, 0))
    assert isinstance(dimension, Choice) or drawn == pytest.approx(largest)


@pytest.fixture
def conditional() -> Space:
    momentum = Range("momentum", 0, 0.9, when=(Condition("optimizer", ("sgd", "rmsprop")),))
    return Space((Choice("optimizer", ("sgd", "adam")), momentum))


@pytest.mark.parametrize(
    ("optimizer", "names"),
    [("sgd", ["optimizer", "momentum"]), ("adam", ["optimizer"])],
)
def test_a_parameter_is_active_where_its_condition_holds(conditional, optimizer, names):
    chosen = {}
    active = []
    for dimension in conditional.active(chosen):
        active.append(dimension.name)
        chosen["optimizer"] = optimizer
    assert active == names


def test_values_can_be_dropped_from_a_list(conditional):
    fewer = conditional.without("optimizer", {"sgd": "anything"})
    assert fewer.choices("optimizer") == ("adam",)
    assert fewer["momentum"] == conditional["momentum"]
    assert conditional.choices("optimizer") == ("sgd", "adam")


@given(span(POSITIVE), UNIT)
def test_a_number_has_its_place_in_the_range(ends, u):
    for log in (False, True):
        dimension = Range("x", *ends, log=log)
        assert 0 <= dimension.to_unit(dimension.from_unit(u)) <= 1 + 1e-9
        assert dimension.contains(dimension.from_unit(u))


SPACE = Space(
    (
        Choice("optimizer", ("sgd", "adam")),
        Range("learning_rate", 1e-4, 1e-1, log=True),
        Range("epochs", 1, 9, integer=True, step=2),
        Range("momentum", 0.0, 0.9, when=(Condition("optimizer", ("sgd",)),)),
    )
)
INSIDE = {"optimizer": "adam", "learning_rate": 1e-3, "epochs": 9}


@pytest.mark.parametrize(
    ("changed", "inside"),
    [
        ({}, True),
        ({"learning_rate": 0.2}, False),
        ({"epochs": 8}, False),
        ({"optimizer": "nadam"}, False),
        ({"optimizer": "sgd"}, False),  # without its momentum
        ({"optimizer": "sgd", "momentum": 0.5}, True),
        ({"momentum": 0.5}, False),
        ({"learning_rate": "high"}, False),
    ],
)
def test_a_space_contains_what_could_have_been_sampled(changed, inside):
    assert SPACE.contains(INSIDE | changed) == inside


def test_a_space_is_made_wider_by_what_is_outside_of_it():
    wider = SPACE.including({"optimizer": "nadam", "learning_rate": 0.5, "epochs": 9})
    assert wider.choices("optimizer") == ("sgd", "adam", "nadam")
    assert (wider["learning_rate"].low, wider["learning_rate"].high) == (1e-4, 0.5)
    assert SPACE.including(INSIDE) == SPACE
    assert SPACE.including({"epochs": 20})["epochs"] == Range("epochs", 1, 20, integer=True)
