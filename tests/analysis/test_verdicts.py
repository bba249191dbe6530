import math
import time
import warnings
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import binom

from normsweep.analysis.estimates import (
    Estimate,
    interval,
    moments,
    seeds_only,
    smallest_margin,
)
from normsweep.analysis.outcomes import Outcome, outcome
from normsweep.analysis.parity import Pairs
from normsweep.analysis.rules import Comparison, Missing, Rules, Trained
from normsweep.analysis.sequential import levels
from normsweep.analysis.verdicts import Verdict, intersection, judge
from normsweep.parts.metrics import metric
from normsweep.reporting.outcome_words import outcome_text

RULES = Rules(margin=0.02, alpha=0.05, arms=1, chance=0.1)
EPOCHS = 6


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def bits(curve, seeds=8, images=1000, rng=0) -> np.ndarray:
    """Bits whose chance of being right follows a curve of accuracies."""
    chance = np.asarray(curve)[None, :, None]
    return np.random.default_rng(rng).random((seeds, len(curve), images)) < chance


def judged(curve, reference=0.9, rules=RULES, lost=None, fixed_at=None, alone=None, **options):
    """`lost`: the seeds of arm and reference that did not train, `(diverged, stuck)` of each.

    `alone`: how many seeds of the reference trained, if not those of the pairs.
    """
    held = [reference] * len(curve) if isinstance(reference, float) else reference
    arm = bits(curve, **options)
    counts = len(arm), len(arm) if alone is None else alone
    trained = lost and tuple(Trained(n, *of) for n, of in zip(counts, lost, strict=True))
    own = None if alone is None else bits(held, **{**options, "rng": 1, "seeds": alone})
    return judge(
        Comparison("both_tuned", "none", "unit", len(curve), fixed_at),
        rules,
        arm,
        bits(held, **{**options, "rng": 1}),
        trained,
        alone=own,
    )


def test_an_arm_that_rises_to_the_reference_catches_up():
    verdict = judged([0.5, 0.9, 0.9, 0.9, 0.9, 0.9])
    assert verdict.outcome is Outcome.LEVEL
    assert (verdict.epoch_low, verdict.epoch, verdict.parity.behind) == (2, 2, True)
    assert outcome_text(verdict) == "level from epoch 2 on (catches up)"
    assert verdict.gap.low > -RULES.margin
    assert (verdict.missing, verdict.reason, verdict.more_seeds) == (Missing.NOTHING, "", "")


def test_an_arm_under_the_margin_is_clearly_behind():
    verdict = judged([0.5, 0.8, 0.8, 0.8, 0.8, 0.8])
    assert verdict.outcome is Outcome.CLEARLY_BEHIND
    assert (verdict.epoch_low, verdict.epoch) == (None, None)
    assert outcome_text(verdict) == "clearly behind (does not catch up within 6 epochs)"
    assert verdict.gap.high < -RULES.margin
    assert (verdict.missing, verdict.reason, verdict.more_seeds) == (Missing.NOTHING, "", "")


def test_an_arm_that_was_level_falls_behind():
    verdict = judged([0.9, 0.9, 0.9, 0.8, 0.8, 0.8])
    assert verdict.outcome is Outcome.CLEARLY_BEHIND
    assert outcome_text(verdict) == "clearly behind (falls behind after epoch 3)"


def test_an_arm_that_was_never_behind_is_level_from_the_start_and_does_not_catch_up():
    verdict = judged([0.9] * 6)
    assert verdict.outcome is Outcome.LEVEL
    assert outcome_text(verdict) == "level from the start"


def test_an_arm_above_is_ahead_and_one_inside_the_margin_a_little_behind():
    ahead = judged([0.8, 0.95, 0.95])
    assert outcome_text(ahead) == "ahead; level from epoch 2 on (catches up)"
    assert outcome_text(judged([0.95] * 3)) == "ahead; level from the start"
    little = judged([0.892] * 3, rules=replace(RULES, margin=0.03), images=20_000)
    assert little.outcome is Outcome.A_LITTLE_BEHIND
    assert outcome_text(little) == "level from the start, a little behind"


def test_an_arm_that_ends_ahead_or_behind_was_not_so_from_the_start():
    rules = replace(RULES, margin=0.03)
    late = judged([0.89, 0.9, 0.95], rules=rules, images=20_000)
    assert (late.outcome, late.epoch) == (Outcome.AHEAD, 1)
    assert outcome_text(late) == "ahead; level from the start"
    fell = judged([0.95, 0.9, 0.892], rules=rules, images=20_000)
    assert outcome_text(fell) == "level from the start, a little behind"


def test_an_arm_near_the_margin_is_behind_and_seeds_are_named():
    verdict = judged([0.88] * EPOCHS, seeds=5, images=2000)
    assert verdict.outcome is Outcome.BEHIND
    assert verdict.epoch is None
    assert verdict.gap.low <= -RULES.margin <= verdict.gap.high < 0
    assert verdict.more_seeds in {"5", "10", "20", "more than 20", "images"}
    assert verdict.reason
    assert outcome_text(verdict) == (
        f"behind; open whether by more than the margin: {verdict.reason}"
    )


def undecided(table) -> Verdict:
    """A verdict on a single epoch whose differences are planted."""
    arm = (table >= 0)[:, None]
    reference = (table <= 0)[:, None]
    return judge(Comparison("q", "none", "unit", 1), RULES, arm, reference)


def test_what_would_decide_is_said_in_words():
    rng = np.random.default_rng(4)
    few_images = np.tile(rng.permutation([-1] * 12 + [1] * 10 + [0] * 178), (6, 1))
    images = undecided(few_images)
    assert (images.missing, images.further_seeds) == (Missing.MORE_IMAGES, None)
    assert outcome_text(images) == "open: more test data would decide, not more seeds"
    losses = np.array([0, 10, 20, 35, 45])[:, None]
    varied_seeds = -(np.arange(1000) < losses).astype(int)
    varied_seeds = rng.permuted(varied_seeds, axis=1)
    many = undecided(varied_seeds)
    assert (many.missing, many.further_seeds) == (Missing.MORE_SEEDS, None)
    assert many.reason == "more than 20 further seeds would be needed"
    near = rng.permuted(-(np.arange(1000) < losses * 0.5).astype(int), axis=1)
    some = undecided(near)
    assert (some.missing, some.further_seeds) == (Missing.MORE_SEEDS, 10)
    assert some.reason == "about 10 more seeds would decide"


def test_the_verdict_holds_what_it_stands_on():
    curve = [0.6, 0.7, 0.88, 0.88, 0.88, 0.88]
    verdict = judged(curve, lost=((1, 0), (0, 0)))
    m = Pairs(bits(curve), bits([0.9] * 6, rng=1)).gap(6)
    assert verdict.gap == verdict.plain == verdict.last_epoch == interval(m, 0.025, 1.0)
    assert verdict.on_these_images == seeds_only(m, 0.025)
    assert (verdict.question, verdict.arm, verdict.reference) == ("both_tuned", "none", "unit")
    assert (verdict.seeds, verdict.images, verdict.horizon) == (8, 1000, 6)
    assert (verdict.margin, verdict.tail, verdict.window) == (0.02, 0.025, 1)
    assert (verdict.analysis, verdict.comparisons, verdict.rules) == (1, 1, 3)
    assert verdict.trained == (Trained(8, 1), Trained(8))
    assert (verdict.diverged, verdict.lost) == ((1, 0), (1, 0))
    assert (verdict.confidence, verdict.level) == (0.95, 0.95)
    assert (verdict.primary, verdict.baseline_epochs, verdict.warnings) == (False, None, ())
    assert verdict.value == pytest.approx(0.88, abs=0.01)
    assert verdict.reference_value == pytest.approx(0.9, abs=0.01)
    assert verdict.value - verdict.reference_value == pytest.approx(verdict.gap.value)
    assert verdict.margin_needed == smallest_margin(m, 0.025, 1.0) > 2.8 * math.sqrt(m.v_images)


def test_the_gap_of_a_long_question_is_a_mean_and_that_of_the_last_epoch_is_beside_it():
    curve = [0.9] * 11 + [0.8]
    verdict = judged(curve)
    pairs = Pairs(bits(curve), bits([0.9] * 12, rng=1))
    assert verdict.window == 3
    assert verdict.gap == interval(pairs.gap(12, 3), 0.025, 1.0)
    assert verdict.last_epoch == interval(pairs.gap(12, 1), 0.025, 1.0)
    assert verdict.last_epoch.value == pytest.approx(-0.1, abs=0.01)
    assert verdict.gap.value == pytest.approx(-0.1 / 3, abs=0.01)


def test_a_rising_pair_is_read_at_its_last_epoch():
    """Of three epochs; their mean would be far below the margin."""
    verdict = judged([0.5, 0.7, 0.9])
    assert (verdict.window, verdict.outcome) == (1, Outcome.LEVEL)


def test_many_arms_divide_the_level():
    assert replace(RULES, arms=5).tail == pytest.approx(0.005)
    verdict = judged([0.89] * 3, rules=replace(RULES, arms=5))
    assert verdict.comparisons == 5
    assert verdict.gap.low < judged([0.89] * 3).gap.low


def test_a_margin_that_few_images_cannot_confirm_gives_no_level():
    """Two arms that agree on each of 40 images, in every seed: a rare kind of image may differ."""
    both = np.tile(np.arange(40) < 36, (8, 1, 1))
    verdict = judge(Comparison("q", "none", "unit", 1), RULES, both, both)
    assert verdict.outcome is Outcome.OPEN
    assert verdict.gap.low < -RULES.margin < 0 < verdict.gap.high
    assert verdict.margin_needed > RULES.margin
    assert judged([0.9], images=100_000).outcome is Outcome.LEVEL


def test_the_margin_that_could_be_confirmed_is_rounded_up():
    verdict = replace(judged([0.9]), margin=0.002, margin_needed=0.0020004, reference_value=0.9)
    assert verdict.confirmable == "0.201 percentage points"
    assert replace(verdict, margin_needed=0.01).confirmable == "1 percentage point"
    assert replace(verdict, share=0.02, margin_needed=0.018004).confirmable == "2.01 %"


def test_a_share_is_known_if_only_the_reference_trained():
    """And nothing is divided by no images, which there are none of if every run diverged at once."""
    shared = replace(RULES, margin=math.nan, share=0.05)
    none, alone = bits([0.9])[:0], bits([0.9])
    comparison, lost = Comparison("q", "none", "unit", 1), (Trained(0, 8), Trained(8))
    verdict = judge(comparison, shared, none, none, lost, alone=alone)
    assert verdict.outcome is Outcome.DOES_NOT_TRAIN
    assert verdict.margin == pytest.approx(0.05 * alone.mean())
    empty = np.zeros((0, 1, 0), np.uint8)
    both = judge(comparison, shared, empty, empty, (Trained(0, 8), Trained(0, 8)))
    assert (both.outcome, both.missing) == (Outcome.OPEN, Missing.REFERENCE_AT_CHANCE)


SEQUENCE = replace(RULES, first=5, most=20)


def test_the_outcome_is_read_off_the_intersection_of_all_analyses():
    arm, reference = bits([0.89] * 3, seeds=9), bits([0.9] * 3, seeds=9, rng=1)
    comparison = Comparison("q", "none", "unit", 3)
    verdict = judge(comparison, SEQUENCE, arm, reference)
    at = levels(0.025, 5, 20)
    each = [interval(Pairs(arm[:n], reference[:n]).gap(3), at[n - 5], 1.0) for n in (5, 6, 7, 8, 9)]
    assert (verdict.gap.low, verdict.gap.high) == (
        max(i.low for i in each), min(i.high for i in each),
    )  # fmt: skip
    assert verdict.gap.value == each[-1].value
    assert (verdict.analysis, verdict.tail, verdict.most) == (5, 0.025, 20)
    assert verdict.plain == judge(comparison, RULES, arm, reference).gap


def test_words_only_sharpen_with_further_seeds():
    """Whatever an analysis has excluded stays excluded, in the order of the seeds."""
    comparison = Comparison("q", "none", "unit", 1)
    for rng in range(8):
        arm = bits([0.885], seeds=20, images=800, rng=2 * rng)
        reference = bits([0.9], seeds=20, images=800, rng=2 * rng + 1)
        gaps = [judge(comparison, SEQUENCE, arm[:n], reference[:n]).gap for n in range(5, 21)]
        assert all(b.low >= a.low and b.high <= a.high for a, b in pairwise(gaps))


def test_analyses_that_exclude_one_another_are_contradictory():
    """Five seeds 10 points ahead, then fifteen 10 points behind."""
    arm = np.concatenate([bits([0.95], seeds=5), bits([0.6], seeds=15, rng=3)])
    reference = bits([0.8], seeds=20, rng=1)
    comparison = Comparison("q", "none", "unit", 1)
    verdict = judge(comparison, replace(SEQUENCE, alpha=0.9), arm, reference)
    assert verdict.outcome is Outcome.CONTRADICTORY
    assert verdict.gap.low > verdict.gap.high
    assert (verdict.epoch, verdict.epoch_low) == (None, None)
    assert outcome_text(verdict).startswith("contradictory: the intervals of its analyses")


def test_an_open_sequence_says_what_further_seeds_can_do():
    near = judged([0.895], rules=SEQUENCE, seeds=5, images=1_000)
    assert (near.undecided, near.missing) == (True, Missing.MORE_SEEDS)
    assert near.reason == f"about {near.more_seeds} more seeds would decide"
    assert 1 < (near.further_seeds or 0) <= 15
    # At this gap not even the last analysis would decide, and its power is above 5 %.
    nearer = judged([0.875], rules=SEQUENCE, seeds=5, images=1_000)
    assert (nearer.missing, nearer.more_seeds) == (Missing.MORE_SEEDS, "15")
    assert nearer.reason == "up to 15 more seeds may decide"
    ended = judged([0.875], rules=replace(RULES, first=5, most=6), seeds=6)
    assert ended.undecided
    assert (ended.missing, ended.reason) == (Missing.UNDECIDABLE, "not decidable within 6 seeds")


def test_an_intersection_is_around_the_last_estimate():
    found = intersection([Estimate(1.0, -2.0, 3.0, 5), Estimate(0.5, -1.0, 4.0, 6)])
    assert found == Estimate(0.5, -1.0, 3.0, 6)


@pytest.mark.parametrize(
    ("rules", "message"),
    [({"arms": 0}, "arms: must be at least 1"), ({"most": 4}, "most: must be at least 5, got 4")],
)
def test_rules_that_mean_nothing_are_refused(rules, message):
    with pytest.raises(ValueError, match=message):
        replace(RULES, **rules)


def test_the_reference_fixed_at_its_epoch_stays_there():
    rising = [0.5, 0.6, 0.8, 0.9, 0.95, 0.97]
    same = judged([0.8] * 6, reference=rising)
    fixed = judged([0.8] * 6, reference=rising, fixed_at=3, images=20_000)
    assert same.outcome is Outcome.CLEARLY_BEHIND
    assert fixed.outcome is Outcome.LEVEL
    assert fixed.epoch == 1
    assert fixed.reference_value == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("horizon", [3, 4, 5, 6])
def test_an_arm_that_is_the_reference_is_never_behind_its_own_epoch(horizon):
    rising = [0.3, 0.5, 0.7, 0.8, 0.85, 0.88][:horizon]
    both = bits(rising)
    verdict = judge(Comparison("more_epochs", "same", "unit", horizon, 3), RULES, both, both)
    assert verdict.gap.value >= 0
    assert verdict.catches_up


def test_a_reference_fixed_at_its_epoch_may_have_fewer_epochs_than_the_arm():
    verdict = judged([0.8] * 9, reference=[0.5, 0.8], fixed_at=2, images=20_000)
    assert outcome_text(verdict) == "level from the start"


def test_curves_that_cross_are_judged_at_the_end():
    assert judged([0.95] * 5 + [0.8] * 5).outcome is Outcome.CLEARLY_BEHIND
    back = judged([0.95] * 5 + [0.7] * 3 + [0.95] * 5)
    assert back.outcome is Outcome.AHEAD
    assert back.epoch == 11


@pytest.mark.parametrize(
    ("lost", "text"),
    [
        (((2, 0), (0, 0)), "level from the start where it trains (2 of 10 seeds diverged)"),
        (((1, 1), (0, 0)), "level from the start where it trains (2 of 10 seeds did not train)"),
        (((0, 0), (1, 0)), "level from the start where unit trains (1 of its 9 seeds diverged)"),
        (
            ((2, 0), (0, 1)),
            "level from the start where both train (2 of its seeds and 1 of unit's did not train)",
        ),
    ],
)
def test_no_unqualified_level_where_seeds_did_not_train(lost, text):
    assert outcome_text(judged([0.9] * 3, lost=lost)) == text


def test_seeds_that_did_not_train_leave_the_other_verdicts_as_they_read():
    verdict = judged([0.8] * 3, lost=((3, 0), (0, 0)))
    assert outcome_text(verdict) == "clearly behind (does not catch up within 3 epochs)"
    assert verdict.diverged == (3, 0)


@pytest.mark.parametrize(
    ("trained", "most"),
    [(Trained(5), 0.451), (Trained(10), 0.259), (Trained(20), 0.139), (Trained(0, 2), 1.0)],
)
def test_the_bound_of_seeds_that_do_not_train(trained, most):
    """1 − 0.05^(1/n) of n that all trained."""
    assert trained.lost_at_most == pytest.approx(most, abs=0.001)


def test_the_bound_of_seeds_that_do_not_train_is_that_of_clopper_and_pearson():
    some = Trained(8, 1, 1)
    assert (some.seeds, some.lost) == (10, 2)
    assert binom.cdf(2, 10, some.lost_at_most) == pytest.approx(0.05)
    assert math.isnan(Trained(0).lost_at_most)


def test_an_arm_whose_own_seeds_do_not_train_has_an_outcome():
    verdict = judged([0.9] * 3, seeds=3, lost=((1, 2), (0, 0)), alone=6)
    assert verdict.outcome is Outcome.DOES_NOT_TRAIN
    assert (verdict.falls_short, verdict.missing) == (True, Missing.NOTHING)
    assert outcome_text(verdict) == "does not train (3 of 6 seeds trained)"
    more = judged([0.9] * 3, seeds=3, lost=((1, 2), (0, 0)), alone=6, rules=SEQUENCE)
    assert (more.outcome, more.missing) == (Outcome.OPEN, Missing.TOO_FEW_SEEDS)
    last = judged([0.9] * 3, seeds=3, lost=((1, 16), (0, 0)), alone=20, rules=SEQUENCE)
    assert outcome_text(last) == "does not train (3 of 20 seeds trained)"


@pytest.mark.parametrize(
    ("reference", "alone", "stuck", "why"),
    [
        (0.1, 0, 5, "the reference unit does not train either: 0 of 5 seeds trained"),
        (0.9, 4, 2, "the reference unit does not train either: 4 of 6 seeds trained"),
        (0.12, 5, 0, "the reference unit is not clearly better than chance (accuracy 0.1"),
    ],
)
def test_an_arm_that_does_not_train_is_not_worse_than_a_reference_that_learns_nothing(
    reference, alone, stuck, why
):
    lost = ((0, 6), (0, stuck))
    verdict = judged([0.1] * 3, reference, seeds=0, lost=lost, alone=alone)
    assert (verdict.outcome, verdict.missing) == (Outcome.OPEN, Missing.REFERENCE_AT_CHANCE)
    assert verdict.reason.startswith(why)
    assert not verdict.falls_short


def test_a_reference_whose_seeds_do_not_train_is_no_outcome_of_the_arm():
    verdict = judged([0.9] * 3, seeds=3, lost=((0, 0), (3, 0)))
    assert (verdict.outcome, verdict.missing) == (Outcome.OPEN, Missing.TOO_FEW_SEEDS)


@pytest.mark.parametrize("seeds", [0, 1, 2, 4])
def test_under_five_seeds_there_is_no_verdict_however_clear(seeds):
    verdict = judged([0.2] * 3, seeds=seeds)
    assert verdict.outcome is Outcome.OPEN
    assert verdict.missing is Missing.TOO_FEW_SEEDS
    assert verdict.reason == f"at least 5 seeds are needed, {seeds} can be compared"
    assert (verdict.epoch, verdict.epoch_low, verdict.more_seeds) == (None, None, "")
    assert math.isnan(verdict.gap.value) == (seeds == 0)
    assert math.isnan(verdict.value) == (seeds == 0)
    assert math.isnan(verdict.gap.low) == (seeds < 2)


def test_where_seeds_are_lacking_those_that_did_not_train_are_named():
    verdict = judged([0.9] * 3, seeds=3, lost=((1, 0), (0, 1)))
    assert verdict.reason.endswith(
        "3 can be compared (seeds that did not train: 1 of “none”, 1 of “unit”)"
    )


def test_a_reference_near_chance_gives_no_verdict():
    verdict = judged([0.1] * 3, reference=0.12)
    assert verdict.outcome is Outcome.OPEN
    assert verdict.missing is Missing.REFERENCE_AT_CHANCE
    assert verdict.reason.startswith("the reference unit is not clearly better than chance")
    assert verdict.epoch is None
    assert "chance 0.1000" in outcome_text(verdict)
    clear = judged([0.2] * 3, reference=0.2, images=4000)
    assert clear.outcome is Outcome.LEVEL


def test_an_arm_that_guesses_never_catches_up():
    """However near the reference is to chance."""
    for rng, reference in enumerate(np.linspace(0.1, 0.25, 31)):
        verdict = judged([0.1] * 4, reference=float(reference), rng=rng)
        assert not verdict.catches_up


def test_chance_is_looked_at_where_the_reference_stands():
    rising = [0.1, 0.1, 0.9, 0.9]
    assert judged([0.9] * 4, reference=rising).outcome is Outcome.LEVEL
    assert judged([0.9] * 4, reference=rising, fixed_at=1).outcome is Outcome.OPEN


def test_identical_arms_are_level_from_the_start_within_one_image():
    same = bits([0.9] * 3)
    verdict = judge(Comparison("q", "none", "unit", 3), RULES, same, same)
    assert outcome_text(verdict) == "level from the start"
    assert -verdict.gap.low == verdict.gap.high == pytest.approx(2.96 / 1001, rel=1e-3)
    assert verdict.gap.value == 0


def test_a_single_epoch_reads_as_one():
    assert outcome_text(judged([0.7])) == "clearly behind (does not catch up within 1 epoch)"


def test_an_epoch_that_is_not_there_is_refused():
    short = bits([0.9] * 3)
    for comparison, name in [
        (Comparison("q", "none", "unit", 4), "none: expected an epoch from 1 to 3, got 4"),
        (Comparison("q", "none", "unit", 0), "none: expected an epoch from 1 to 3, got 0"),
        (
            Comparison("q", "none", "unit", 3, fixed_at=4),
            "unit: expected an epoch from 1 to 3, got 4",
        ),
    ]:
        with pytest.raises(ValueError, match=name):
            judge(comparison, RULES, short, short)


def test_the_reference_is_held_to_the_two_way_interval():
    """Five seeds that are right on the same tenth more images: as uncertain as those images."""
    reference = np.tile(np.arange(100) < 30, (5, 1, 1))
    m = moments(reference[:, 0])
    assert m.v_seeds == 0
    wide = replace(RULES, margin=0.05)
    verdict = judge(Comparison("q", "none", "unit", 1), wide, reference, reference)
    assert verdict.outcome is Outcome.LEVEL
    strict = replace(wide, chance=0.2)
    verdict = judge(Comparison("q", "none", "unit", 1), strict, reference, reference)
    assert verdict.missing is Missing.REFERENCE_AT_CHANCE


def test_a_whole_question_on_ten_thousand_images_takes_no_time():
    rng = np.random.default_rng(0)
    arm, reference = (rng.random((20, 20, 10_000), np.float32) < 0.99 for _ in range(2))
    start = time.perf_counter()
    verdict = judge(Comparison("q", "none", "unit", 20), RULES, arm, reference)
    assert verdict.epoch == 1
    assert time.perf_counter() - start < 2


def rmses(factor: float, rng: int, seeds: int = 8, rows: int = 2000) -> np.ndarray:
    """The RMSE plus the influence of each row, (seeds, 4 epochs, rows), of errors times a factor."""
    rng_of_rows, by = np.random.default_rng(0), metric("rmse")
    errors = rng_of_rows.standard_normal(rows)
    own = 0.2 * np.random.default_rng(rng).standard_normal((seeds, 4, rows))
    zero = np.zeros(rows)
    return np.array(
        [[by.of(zero, e) + by.influence(zero, e) for e in seed] for seed in factor * (errors + own)]
    )


@pytest.mark.parametrize(
    ("factor", "outcome"),
    [
        (0.9, Outcome.AHEAD),
        (1.0, Outcome.LEVEL),
        (1.02, Outcome.A_LITTLE_BEHIND),
        (1.2, Outcome.CLEARLY_BEHIND),
    ],
)
def test_a_margin_may_be_a_share_of_the_reference(factor, outcome):
    """Of a reference in any unit: the same errors times a thousand give the same outcome."""
    shared = Rules(math.nan, 0.05, 1, chance=2.0, metric=metric("rmse"), image=None, share=0.05)
    asked = Comparison("both_tuned", "none", "unit", 4)
    verdict = judge(asked, shared, rmses(factor, 1), rmses(1.0, 2))
    assert verdict.outcome is outcome
    assert verdict.margin == pytest.approx(0.05 * verdict.reference_value)
    large = replace(shared, chance=2000.0)
    again = judge(asked, large, rmses(1000 * factor, 1), rmses(1000.0, 2))
    assert (again.outcome, again.parity) == (verdict.outcome, verdict.parity)
    assert again.margin_needed == pytest.approx(1000 * verdict.margin_needed, rel=1e-3)


@pytest.mark.parametrize("most", [None, 12], ids=["one-analysis", "sequential"])
@pytest.mark.parametrize("factor", [0.9, 1.0, 1.02, 1.2, 7.0])
def test_any_other_share_is_read_off_the_relative_gap(factor, most):
    shared = Rules(
        math.nan, 0.05, 1, chance=90.0, metric=metric("rmse"), image=None, share=0.05, most=most
    )
    asked = Comparison("both_tuned", "none", "unit", 4)
    values = rmses(factor, 1, 8), rmses(1.0, 2, 8)
    relative = judge(asked, shared, *values).relative
    assert relative.value == pytest.approx(factor - 1, abs=0.1)
    up = relative.times(-1)
    seen = set()
    for share in (0.001, 0.01, 0.03, 0.1, 0.19, 0.21, 0.3, 0.9, 5.9, 6.1):
        expected = judge(asked, replace(shared, share=share), *values).outcome
        assert outcome(up.low, up.high, share) is expected
        seen.add(expected)
    assert len(seen) > 1 or factor <= 1


def test_the_noise_of_the_reference_counts_in_a_share():
    """Where arm and reference differ by their noise only, the test of a large share is wider than its gap's."""
    rng = np.random.default_rng(3)
    levels = rng.normal(1.0, 0.05, (8, 1, 1))
    reference = levels + np.zeros((8, 4, 100))
    arm = reference + rng.normal(0, 0.001, (8, 1, 1))
    plain = Pairs(-arm, -reference)
    gap, moved = (interval(moments(plain.table(4, 1, share)[0]), 0.025) for share in (0.0, 0.5))
    assert moved.value == pytest.approx(gap.value + 0.5 * reference.mean())
    assert moved.high - moved.low > 5 * (gap.high - gap.low)


def test_a_share_of_a_reference_without_errors_is_no_margin_at_all():
    shared = Rules(math.nan, 0.05, 1, chance=2.0, metric=metric("rmse"), image=None, share=0.05)
    asked = Comparison("both_tuned", "none", "unit", 4)
    verdict = judge(asked, shared, rmses(1.0, 1, 5, 50), np.zeros((5, 4, 50)))
    assert (verdict.outcome, verdict.margin) == (Outcome.CLEARLY_BEHIND, 0.0)


def test_a_share_of_the_accuracy_is_a_margin_in_percent_of_it():
    shared = replace(RULES, margin=math.nan, share=0.02)
    level, behind = (judged([a] * EPOCHS, 0.9, shared) for a in (0.9, 0.8))
    assert (level.outcome, behind.outcome) == (Outcome.LEVEL, Outcome.CLEARLY_BEHIND)
    assert level.margin == pytest.approx(0.018, abs=1e-3)


def test_before_the_first_declared_analysis_nothing_is_read():
    """A seed did not train: with one pair less than declared there is no analysis until a seed is added."""
    rng = np.random.default_rng(0)
    reference = rng.random((20, 4, 400)) < 0.95
    arm = rng.random((20, 4, 400)) < 0.80
    rules = replace(RULES, first=8, most=20)

    def of(pairs: int, seeds: int) -> Verdict:
        counts = Trained(pairs, stuck=seeds - pairs), Trained(seeds)
        return judge(
            Comparison("q", "none", "unit", 4), rules, arm[:pairs], reference[:pairs], counts
        )

    early = of(7, 8)
    assert early.missing is Missing.TOO_FEW_SEEDS
    assert early.reason.startswith("at least 8 seeds are needed, 7 can be compared")
    assert of(8, 9).outcome is Outcome.CLEARLY_BEHIND
    last = of(7, 20)  # the only analysis that there will be
    assert last.outcome is Outcome.CLEARLY_BEHIND
    assert last.analysis == 1
