import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from normsweep.analysis.estimates import interval, moments
from normsweep.analysis.parity import Gap, Pairs, Parity, parity, readings, window_of

MARGIN, TAIL = 0.02, 0.025
shapes = st.tuples(st.integers(2, 5), st.integers(1, 7), st.integers(2, 9))


@st.composite
def bits_of_two(draw):
    shape = draw(shapes)
    return draw(arrays(bool, shape)), draw(arrays(bool, shape))


def bits(curve, seeds=8, images=1000, rng=0) -> np.ndarray:
    """Bits whose chance of being right follows a curve of accuracies."""
    generator = np.random.default_rng(rng)
    chance = np.asarray(curve)[None, :, None]
    return generator.random((seeds, len(curve), images)) < chance


def found(curve, reference=0.9, **options) -> tuple[int | None, int | None]:
    flat = [reference] * len(curve)
    pairs = Pairs(bits(curve, **options), bits(flat, **{**options, "rng": 1}))
    return epochs(pairs, len(curve), MARGIN, TAIL)


def epochs(pairs: Pairs, horizon: int, margin: float, tail: float) -> tuple[int | None, int | None]:
    both = of(pairs, horizon, margin, tail)
    return both.low, both.up


def of(pairs: Pairs, horizon: int, margin: float, tail: float) -> Parity:
    """With a mean of three epochs and plain intervals."""

    return parity(reader(pairs, margin, tail), range(1, horizon + 1))


def reader(pairs: Pairs, margin: float, tail: float):
    def read(epoch: int, smoothed: bool) -> Gap:
        return Gap.of(interval(pairs.gap(epoch, 3 if smoothed else 1), tail), margin)

    return read


@given(bits_of_two(), st.booleans(), st.data())
def test_the_smoothed_gap_is_the_mean_of_what_is_there(both, fixed, data):
    arm, reference = (side.astype(float) for side in both)
    epochs = arm.shape[1]
    epoch = data.draw(st.integers(1, epochs))
    stands = data.draw(st.integers(1, epochs)) if fixed else None
    pairs = Pairs(*both, stands)
    window = min(3, epoch - stands + 1) if stands and epoch >= stands else 3
    first = max(epoch - window, 0)
    held = reference[:, stands - 1] if stands else reference[:, first:epoch].mean(axis=1)
    expected = moments(arm[:, first:epoch].mean(axis=1) - held)
    got = pairs.gap(epoch, 3)
    assert (got.mean, got.v_seeds, got.v_images) == pytest.approx(
        (expected.mean, expected.v_seeds, expected.v_images), abs=1e-12
    )
    accuracy, reference_accuracy = pairs.means(epoch, 3)
    assert accuracy - reference_accuracy == pytest.approx(got.mean, abs=1e-12)


@given(bits_of_two(), st.floats(0.01, 0.9), st.floats(0.01, 0.4), st.booleans())
def test_both_epochs_are_those_of_the_rule_read_word_by_word(both, margin, tail, fixed):
    pairs = Pairs(*both, 1 if fixed else None)
    every = range(1, both[0].shape[1] + 1)
    passed = [interval(pairs.gap(e, 3), tail).low > -margin for e in every]
    possible = [interval(pairs.gap(e, window=1), tail).high >= -margin for e in every]
    up = next((e for e in every if all(passed[e - 1 :])), None)
    low = next((e for e in every if possible[e - 1]), None)
    if up is not None:
        low = up if low is None else min(low, up)
    assert epochs(pairs, every[-1], margin, tail) == (low, up)


def test_a_single_epoch_is_not_smoothed():
    pairs = Pairs(bits([0.5, 0.9, 0.9]), bits([0.9] * 3, rng=1))
    assert pairs.gap(3, window=1).mean == pytest.approx(0.0, abs=0.01)
    assert pairs.gap(3, 3).mean == pytest.approx(-0.4 / 3, abs=0.01)


def test_against_a_fixed_epoch_only_the_arm_is_smoothed():
    pairs = Pairs(bits([0.8, 0.9]), bits([0.5, 0.7, 0.9], rng=1), fixed_at=3)
    assert pairs.gap(2, 3).mean == pytest.approx(0.85 - 0.9, abs=0.01)


def test_bits_as_integers_are_not_overrun():
    arm = np.ones((5, 3, 4), np.uint8)
    assert Pairs(arm * 0, arm).gap(3, 3).mean == -1


def test_an_arm_that_is_level_from_the_start_catches_up_at_the_first_epoch():
    assert found([0.9] * 6) == (1, 1)


def test_an_arm_that_rises_is_bracketed():
    low, up = found([0.5, 0.6, 0.7, 0.8, 0.9, 0.9, 0.9, 0.9, 0.9])
    assert low == 5
    assert 5 < up <= 8, "the trailing mean still holds the epochs before"


def test_an_arm_that_stays_under_the_margin_never_does():
    assert found([0.8] * 6) == (None, None)


def test_an_arm_that_dips_below_again_counts_from_after_the_dip():
    curve = [0.9] * 6 + [0.5] * 2 + [0.9] * 6
    low, up = found(curve)
    assert low == 1, "the first epoch that it may have been"
    assert up == 11, "the first mean of three epochs without the dip"


def test_an_arm_that_ends_below_has_no_epoch_though_it_was_level_before():
    low, up = found([0.9] * 8 + [0.8] * 4)
    assert (low, up) == (1, None)


def test_noise_that_lets_single_epochs_pass_is_no_parity():
    low, up = found([0.88] * 12)
    assert up is None
    assert low is not None


def test_the_bracket_is_never_empty():
    """The smoothed gap may pass where no single epoch's does."""
    arm = np.ones((6, 3, 50), bool)
    reference = arm.copy()
    arm[:, 1, :20] = False
    low, up = epochs(Pairs(arm, reference), 3, 0.3, TAIL)
    assert low <= up


def test_the_window_is_a_quarter_of_the_horizon_from_one_to_three_epochs():
    assert [window_of(horizon) for horizon in (1, 4, 7, 8, 11, 12, 20, 100)] == [
        1, 1, 1, 2, 2, 3, 3, 3,
    ]  # fmt: skip


def test_the_window_does_not_reach_before_a_fixed_reference_or_the_first_epoch():
    free, fixed = (Pairs(np.ones((2, 9, 3)), np.ones((2, 9, 3)), at) for at in (None, 4))
    assert [free.window(epoch, 3) for epoch in (1, 2, 3, 9)] == [1, 2, 3, 3]
    assert [fixed.window(epoch, 3) for epoch in (1, 3, 4, 5, 9)] == [1, 3, 1, 2, 3]


@pytest.mark.parametrize(
    ("curve", "behind", "level_until"),
    [
        ([0.9] * 6, False, None),
        ([0.5, 0.9, 0.9, 0.9, 0.9, 0.9], True, None),
        ([0.9] * 3 + [0.5] * 3, False, 3),
        ([0.5, 0.9, 0.9] + [0.5] * 3, False, 3),
        ([0.5] * 6, False, None),
    ],
)
def test_an_arm_that_was_behind_or_fell_is_told_from_one_that_was_not(curve, behind, level_until):
    flat = Pairs(bits(curve), bits([0.9] * 6, rng=1))
    found = of(flat, 6, MARGIN, TAIL)
    assert (found.behind, found.level_until) == (behind, level_until)


def test_two_that_cannot_be_paired_are_refused():
    with pytest.raises(ValueError, match=r"\(4, 3, 9\) and \(5, 3, 9\)"):
        Pairs(np.ones((4, 3, 9), bool), np.ones((5, 3, 9), bool))
    with pytest.raises(ValueError, match="the same seeds and images"):
        Pairs(np.ones((4, 3, 9), bool), np.ones((4, 3, 8), bool))
    with pytest.raises(ValueError, match="seeds, epochs, images"):
        Pairs(np.ones((4, 9), bool), np.ones((4, 9), bool))


def test_few_epochs_are_all_read_and_of_many_the_horizons_and_eight_steps():
    assert readings(12, 4) == tuple(range(1, 13))
    of_many = readings(80, 15)
    assert of_many == (10, 13, 14, 15, 20, 30, 40, 50, 60, 70, 78, 79, 80)
    assert len(readings(1000, 100)) <= 14


def test_parity_is_read_where_the_rows_are_known():
    """The same arm, which comes level at epoch 11, with all of its epochs and with those that are read."""
    rng = np.random.default_rng(0)
    behind = np.array([0.3] * 10 + [0.0] * 10)[:, None]
    reference = rng.normal(size=(6, 20, 400)) * 0.1 - 1
    arm = reference - behind + rng.normal(size=(6, 20, 400)) * 0.01
    known = Pairs(arm, reference)
    kept = np.isin(np.arange(1, 21), readings(20, 4))[:, None]
    some = Pairs(np.where(kept, arm, np.nan), reference)
    epochs = [e for e in range(1, 21) if some.read(e)]
    assert epochs == list(readings(20, 4))

    def up(pairs, at):
        return parity(reader(pairs, MARGIN, TAIL), at).up

    assert up(known, range(1, 21)) == 13  # the mean of three epochs has none from before
    assert up(some, epochs) == min(e for e in epochs if e > 10)
    assert (some.window(20, 3), some.window(12, 3)) == (3, 1)
