import math
import time
import warnings
from dataclasses import replace

import numpy as np
import pytest

from normsweep.analysis.estimates import interval, moments, seeds_only
from normsweep.analysis.outcomes import Outcome
from normsweep.analysis.parity import Pairs
from normsweep.analysis.verdicts import Comparison, Missing, Rules, Verdict, judge

RULES = Rules(margin=0.02, alpha=0.05, analysis=1, arms=1, chance=0.1)
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


def judged(curve, reference=0.9, rules=RULES, diverged=(0, 0), fixed_at=None, **options):
    held = [reference] * len(curve) if isinstance(reference, float) else reference
    return judge(
        Comparison("both_tuned", "none", "unit", len(curve), fixed_at),
        rules,
        bits(curve, **options),
        bits(held, **{**options, "rng": 1}),
        diverged,
    )


def test_an_arm_that_rises_to_the_reference_catches_up():
    verdict = judged([0.5, 0.9, 0.9, 0.9, 0.9, 0.9])
    assert verdict.outcome is Outcome.CATCHES_UP
    assert (verdict.epoch_low, verdict.epoch) == (2, 4)
    assert verdict.text == "catches up at epoch 4"
    assert verdict.gap.low > -RULES.margin
    assert (verdict.missing, verdict.reason, verdict.more_seeds) == (Missing.NOTHING, "", "")


def test_an_arm_under_the_margin_does_not():
    verdict = judged([0.5, 0.8, 0.8, 0.8, 0.8, 0.8])
    assert verdict.outcome is Outcome.DOES_NOT
    assert (verdict.epoch_low, verdict.epoch) == (None, None)
    assert verdict.text == "does not catch up within 6 epochs"
    assert verdict.gap.high < -RULES.margin
    assert (verdict.missing, verdict.reason, verdict.more_seeds) == (Missing.NOTHING, "", "")


def test_an_arm_near_the_margin_is_undecided_and_seeds_are_named():
    verdict = judged([0.885] * EPOCHS, seeds=5, images=400)
    assert verdict.outcome is Outcome.NOT_ENOUGH
    assert verdict.epoch is None
    assert verdict.gap.low <= -RULES.margin <= verdict.gap.high
    assert verdict.more_seeds in {"5", "10", "20", "more than 20"}
    assert verdict.reason
    assert verdict.text == f"not enough evidence: {verdict.reason}"


def undecided(table) -> Verdict:
    """A verdict on a single epoch whose differences are planted."""
    arm = (table >= 0)[:, None]
    reference = (table <= 0)[:, None]
    return judge(Comparison("q", "none", "unit", 1), RULES, arm, reference, (0, 0))


def test_what_would_decide_is_said_in_words():
    rng = np.random.default_rng(4)
    few_images = np.tile(rng.permutation([-1] * 12 + [1] * 10 + [0] * 178), (6, 1))
    images = undecided(few_images)
    assert (images.missing, images.further_seeds) == (Missing.MORE_IMAGES, None)
    assert images.text == "not enough evidence: more test images would decide, not more seeds"
    losses = np.array([0, 10, 20, 35, 45])[:, None]
    varied_seeds = -(np.arange(1000) < losses).astype(int)
    varied_seeds = rng.permuted(varied_seeds, axis=1)
    many = undecided(varied_seeds)
    assert (many.missing, many.further_seeds) == (Missing.MORE_SEEDS, None)
    assert many.text == "not enough evidence: more than 20 further seeds would be needed"
    near = rng.permuted(-(np.arange(1000) < losses * 0.53).astype(int), axis=1)
    some = undecided(near)
    assert (some.missing, some.further_seeds) == (Missing.MORE_SEEDS, 10)
    assert some.text == "not enough evidence: about 10 more seeds would decide"


def test_the_verdict_holds_what_it_stands_on():
    curve = [0.6, 0.7, 0.88, 0.88, 0.88, 0.88]
    verdict = judged(curve, diverged=(1, 0))
    m = Pairs(bits(curve), bits([0.9] * 6, rng=1)).gap(6)
    assert verdict.gap == interval(m, 0.025)
    assert verdict.on_these_images == seeds_only(m, 0.025)
    assert (verdict.question, verdict.arm, verdict.reference) == ("both_tuned", "none", "unit")
    assert (verdict.seeds, verdict.images, verdict.horizon) == (8, 1000, 6)
    assert (verdict.margin, verdict.tail, verdict.analysis, verdict.comparisons) == (
        0.02,
        0.025,
        1,
        1,
    )
    assert verdict.diverged == (1, 0)
    assert (verdict.confidence, verdict.level) == (0.95, 0.95)
    assert (verdict.primary, verdict.baseline_epochs, verdict.warnings) == (False, None, ())
    assert verdict.value == pytest.approx(0.88, abs=0.01)
    assert verdict.reference_value == pytest.approx(0.9, abs=0.01)
    assert verdict.value - verdict.reference_value == pytest.approx(verdict.gap.value)
    assert verdict.margin_needed == pytest.approx(2.8 * math.sqrt(m.v_images))


def test_each_look_halves_the_level():
    tails = [replace(RULES, analysis=look).tail for look in (1, 2, 3)]
    assert tails == [0.025, 0.0125, 0.00625]
    first, second = (judged([0.89] * 3, rules=replace(RULES, analysis=look)) for look in (1, 2))
    assert second.gap.low < first.gap.low
    assert second.gap.high > first.gap.high
    assert (second.analysis, second.tail) == (2, 0.0125)


def test_many_arms_divide_the_level():
    assert replace(RULES, arms=5).tail == pytest.approx(0.005)
    assert replace(RULES, arms=5, analysis=2).tail == pytest.approx(0.0025)
    verdict = judged([0.89] * 3, rules=replace(RULES, arms=5))
    assert verdict.comparisons == 5
    assert verdict.gap.low < judged([0.89] * 3).gap.low


def test_a_stricter_level_can_undo_a_verdict():
    curve = [0.8928] * EPOCHS
    assert judged(curve, seeds=5).outcome is Outcome.CATCHES_UP
    strict = replace(RULES, analysis=4, arms=8)
    assert judged(curve, seeds=5, rules=strict).outcome is Outcome.NOT_ENOUGH


@pytest.mark.parametrize("rules", [{"analysis": 0}, {"arms": 0}])
def test_looks_and_arms_count_from_one(rules):
    with pytest.raises(ValueError, match="analysis, arms: must be at least 1"):
        replace(RULES, **rules)


def test_the_reference_fixed_at_its_epoch_stays_there():
    rising = [0.5, 0.6, 0.8, 0.9, 0.95, 0.97]
    same = judged([0.8] * 6, reference=rising)
    fixed = judged([0.8] * 6, reference=rising, fixed_at=3)
    assert same.outcome is Outcome.DOES_NOT
    assert fixed.outcome is Outcome.CATCHES_UP
    assert fixed.epoch is not None
    assert fixed.epoch <= 4  # a single epoch stands against a single one at the third
    assert fixed.reference_value == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("horizon", [3, 4, 5, 6])
def test_an_arm_that_is_the_reference_is_never_behind_its_own_epoch(horizon):
    rising = [0.3, 0.5, 0.7, 0.8, 0.85, 0.88][:horizon]
    both = bits(rising)
    verdict = judge(
        Comparison("more_epochs", "same", "unit", horizon, 3), RULES, both, both, (0, 0)
    )
    assert verdict.gap.value >= 0
    assert verdict.outcome is Outcome.CATCHES_UP


def test_a_reference_fixed_at_its_epoch_may_have_fewer_epochs_than_the_arm():
    verdict = judged([0.8] * 9, reference=[0.5, 0.8], fixed_at=2)
    assert verdict.text == "catches up at epoch 1"


def test_curves_that_cross_are_judged_at_the_end():
    assert judged([0.95] * 5 + [0.8] * 5).outcome is Outcome.DOES_NOT
    back = judged([0.95] * 5 + [0.7] * 3 + [0.95] * 5)
    assert back.outcome is Outcome.CATCHES_UP
    assert back.epoch == 11


@pytest.mark.parametrize(
    ("diverged", "text"),
    [
        ((2, 0), "catches up at epoch 1 where it trains (2 of 10 seeds diverged)"),
        ((0, 1), "catches up at epoch 1 where unit trains (1 of its 9 seeds diverged)"),
        (
            (2, 1),
            "catches up at epoch 1 where both train (2 of its seeds and 1 of unit's diverged)",
        ),
    ],
)
def test_no_unqualified_catches_up_where_seeds_diverged(diverged, text):
    assert judged([0.9] * 3, diverged=diverged).text == text


def test_divergences_leave_the_other_verdicts_as_they_read():
    verdict = judged([0.8] * 3, diverged=(3, 0))
    assert verdict.text == "does not catch up within 3 epochs"
    assert verdict.diverged == (3, 0)


@pytest.mark.parametrize("seeds", [0, 1, 2, 4])
def test_under_five_seeds_there_is_no_verdict_however_clear(seeds):
    verdict = judged([0.2] * 3, seeds=seeds)
    assert verdict.outcome is Outcome.NOT_ENOUGH
    assert verdict.missing is Missing.TOO_FEW_SEEDS
    assert verdict.reason == f"at least 5 seeds are needed, {seeds} can be compared"
    assert (verdict.epoch, verdict.epoch_low, verdict.more_seeds) == (None, None, "")
    assert math.isnan(verdict.gap.value) == (seeds == 0)
    assert math.isnan(verdict.value) == (seeds == 0)
    assert math.isnan(verdict.gap.low) == (seeds < 2)


def test_where_seeds_are_lacking_the_diverged_are_named():
    verdict = judged([0.9] * 3, seeds=3, diverged=(6, 1))
    assert verdict.reason.endswith("3 can be compared (diverged seeds: none 6, unit 1)")


def test_a_reference_near_chance_gives_no_verdict():
    verdict = judged([0.1] * 3, reference=0.12)
    assert verdict.outcome is Outcome.NOT_ENOUGH
    assert verdict.missing is Missing.REFERENCE_AT_CHANCE
    assert verdict.reason.startswith("the reference unit is not clearly better than chance")
    assert verdict.epoch is None
    assert "chance 0.1000" in verdict.text
    clear = judged([0.2] * 3, reference=0.2)
    assert clear.outcome is Outcome.CATCHES_UP


def test_an_arm_that_guesses_never_catches_up():
    """However near the reference is to chance."""
    for rng, reference in enumerate(np.linspace(0.1, 0.25, 31)):
        verdict = judged([0.1] * 4, reference=float(reference), rng=rng)
        assert verdict.outcome is not Outcome.CATCHES_UP


def test_chance_is_looked_at_where_the_reference_stands():
    rising = [0.1, 0.1, 0.9, 0.9]
    assert judged([0.9] * 4, reference=rising).outcome is Outcome.CATCHES_UP
    assert judged([0.9] * 4, reference=rising, fixed_at=1).outcome is Outcome.NOT_ENOUGH


def test_identical_arms_catch_up_at_the_first_epoch():
    same = bits([0.9] * 3)
    verdict = judge(Comparison("q", "none", "unit", 3), RULES, same, same, (0, 0))
    assert verdict.text == "catches up at epoch 1"
    assert (verdict.gap.low, verdict.gap.value, verdict.gap.high) == (0, 0, 0)


def test_a_single_epoch_reads_as_one():
    assert judged([0.7]).text == "does not catch up within 1 epoch"


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
            judge(comparison, RULES, short, short, (0, 0))


def test_the_reference_is_held_to_the_two_way_interval():
    """Five seeds that are right on the same tenth more images: as uncertain as those images."""
    reference = np.tile(np.arange(100) < 30, (5, 1, 1))
    m = moments(reference[:, 0])
    assert m.v_seeds == 0
    assert interval(m, 0.025).low > 0.2
    verdict = judge(Comparison("q", "none", "unit", 1), RULES, reference, reference, (0, 0))
    assert verdict.outcome is Outcome.CATCHES_UP
    strict = replace(RULES, chance=0.2)
    verdict = judge(Comparison("q", "none", "unit", 1), strict, reference, reference, (0, 0))
    assert verdict.outcome is Outcome.NOT_ENOUGH


def test_a_whole_question_on_ten_thousand_images_takes_no_time():
    rng = np.random.default_rng(0)
    arm, reference = (rng.random((20, 20, 10_000), np.float32) < 0.99 for _ in range(2))
    start = time.perf_counter()
    verdict = judge(Comparison("q", "none", "unit", 20), RULES, arm, reference, (0, 0))
    assert verdict.epoch == 1
    assert time.perf_counter() - start < 2
