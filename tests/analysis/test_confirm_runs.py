"""The runs of an analysis: bits by configuration and seed, curves by epoch, what it took to the level."""

import math
from dataclasses import replace

import numpy as np
import pytest

from normsweep.analysis.confirm_runs import Curve, Guess, Speed, confirmed, curves, speeds
from normsweep.analysis.estimates import interval, moments
from normsweep.analysis.rules import Trained
from normsweep.parts.influence import quantized
from normsweep.parts.metrics import ACCURACY, metric
from normsweep.sweep.study_record import BASELINE, TUNED_LONG, TUNED_SHORT, Analysis, DataFacts
from normsweep.sweep.trial import Status, Tested

RAW, UNIT = ("none", BASELINE), ("unit", BASELINE)


def test_the_bits_are_those_of_each_seed_and_epoch(planted):
    made = planted()
    found = confirmed(made.look, made.records)
    assert (found.images, found.epochs, found.chance) == (1000, 6, 0.1)
    paired = found.pairs(RAW, UNIT, 4)
    assert paired.arm.shape == paired.reference.shape == (5, 4, 1000)
    assert paired.trained == (Trained(5), Trained(5))
    for bits, key in ((paired.arm, RAW), (paired.reference, UNIT)):
        for epoch, level in enumerate(made.levels[key][:4]):
            right = np.tile(np.arange(1000) < level * 1000, (5, 1))
            np.testing.assert_array_equal(bits[:, epoch], right)


def test_runs_are_paired_by_seed_whatever_the_order_of_the_records(planted):
    levels = {RAW: (0.5,), UNIT: (0.9,)}
    made = planted(levels=levels, diverged={RAW: {1: 1}, UNIT: {3: 1}})
    paired = confirmed(made.look, made.records[::-1]).pairs(RAW, UNIT, 1)
    assert paired.arm.shape == paired.reference.shape == (3, 1, 1000)
    assert paired.trained == (Trained(4, 1), Trained(4, 1))


def test_a_curve_between_epochs_whose_rows_are_kept_has_interpolated_bounds(planted):
    made = planted()

    def scored(record, kept):
        curve = []
        for e in record.result.curve:
            right = np.unpackbits(np.frombuffer(e.tested.bits, np.uint8), count=1000)
            rows = quantized(right - right.mean()) if e.epoch in kept else (b"", 0.0)
            curve.append(replace(e, tested=Tested(1000, b"", float(right.mean()), *rows)))
        of_metric = replace(record.trial, metric="mae")
        return replace(record, trial=of_metric, result=replace(record.result, curve=tuple(curve)))

    def drawn(*kept):
        found = confirmed(made.look, [scored(record, kept) for record in made.records])
        (curve,) = (c for c in curves(found, 0.95) if (c.arm, c.configuration) == RAW)
        return curve.epochs

    whole, some = drawn(*range(1, 7)), drawn(1, 3, 6)
    assert [some[e] for e in (0, 2, 5)] == [whole[e] for e in (0, 2, 5)]
    assert [e.value for e in some] == pytest.approx([e.value for e in whole])
    assert some[1].high - some[1].value == pytest.approx(
        (some[0].high - some[0].value + some[2].high - some[2].value) / 2
    )


def test_a_seed_that_diverged_later_counts_before(planted):
    made = planted(diverged={RAW: {2: 4}})
    found = confirmed(made.look, made.records)
    seeds = {horizon: len(found.pairs(RAW, UNIT, horizon).arm) for horizon in (2, 3, 4, 6)}
    assert seeds == {2: 5, 3: 5, 4: 4, 6: 4}
    trained = {horizon: found.pairs(RAW, UNIT, horizon).trained for horizon in (3, 4)}
    assert trained == {3: (Trained(5), Trained(5)), 4: (Trained(4, 1), Trained(5))}


def test_a_seed_that_failed_is_left_out_and_did_not_diverge(planted):
    made = planted(failed={UNIT: [0, 4]})
    found = confirmed(made.look, made.records)
    paired = found.pairs(RAW, UNIT, 6)
    assert (len(paired.arm), paired.trained) == (3, (Trained(5), Trained(3)))
    assert (found.runs[UNIT].failed, found.runs[RAW].failed) == (2, 0)


def test_runs_of_other_looks_are_left_out(planted):
    made = planted(seeds=7)
    few = planted(seeds=5).look
    assert len(confirmed(few, made.records).pairs(RAW, UNIT, 6).arm) == 5


def test_a_configuration_that_is_not_there_gives_no_pairs(planted):
    made = planted(levels={RAW: (0.5, 0.6), UNIT: (0.8, 0.9)})
    found = confirmed(made.look, made.records)
    for keys in ((RAW, ("unit", TUNED_SHORT)), (("none", TUNED_SHORT), UNIT)):
        paired = found.pairs(*keys, 2)
        assert paired.arm.shape == paired.reference.shape == (0, 2, 1000)
        assert paired.trained == (Trained(0), Trained(0))


def test_where_every_run_diverged_at_once_there_is_nothing_to_pair(planted):
    made = planted(diverged={RAW: dict.fromkeys(range(5), 1)})
    paired = confirmed(made.look, made.records).pairs(RAW, UNIT, 6)
    assert len(paired.arm) == len(paired.reference) == 0
    assert paired.trained == (Trained(0, 5), Trained(5))


def test_the_reference_is_needed_up_to_its_own_epoch_only(planted):
    made = planted(diverged={UNIT: {1: 3, 2: 2}})
    found = confirmed(made.look, made.records)
    paired = found.pairs(RAW, UNIT, 6, of_reference=2)
    assert (paired.arm.shape, paired.reference.shape) == ((4, 6, 1000), (4, 2, 1000))
    assert paired.trained == (Trained(5), Trained(4, 1))
    assert len(found.pairs(RAW, UNIT, 6).arm) == 3


SHARES = (100, 300, 100)
DATA = DataFacts(
    "digits", "test", "d" * 64, 500, 1000, 3, class_counts=SHARES, test_class_counts=(200, 600, 200)
)
ENTROPY = -(0.2 * math.log(0.2) * 2 + 0.6 * math.log(0.6))


def stuck(made, key, slot: int, losses, levels=None):
    """The records with other training losses, and accuracies, of one run."""
    number = made.number(key, slot)

    def changed(record):
        if record.trial.number != number:
            return record
        curve = tuple(
            replace(e, train_loss=loss, tested=made._epoch(number, i, level).tested)
            for i, (e, loss, level) in enumerate(
                zip(record.result.curve, losses, levels or made.levels[key], strict=True), 1
            )
        )
        return replace(record, result=replace(record.result, curve=curve))

    return [changed(record) for record in made.records]


@pytest.mark.parametrize(
    ("levels", "losses", "counted"),
    [
        pytest.param([0.6] * 6, [ENTROPY] * 6, 1, id="stuck"),
        pytest.param([0.6] * 6, [0.99 * ENTROPY] * 6, 1, id="nearly-the-loss-of-guessing"),
        pytest.param([0.63] * 6, [ENTROPY] * 6, 1, id="not-above-guessing-by-its-own-bound"),
        pytest.param([0.2] * 6, [9.0] * 6, 1, id="worse-than-guessing"),
        pytest.param([0.64] * 6, [ENTROPY] * 6, 0, id="above-guessing"),
        pytest.param([0.6] * 6, [0.97 * ENTROPY] * 6, 0, id="an-honest-poor-score"),
        pytest.param([0.3] * 6, [0.5] * 6, 0, id="a-worse-one-that-learned-by-heart"),
        pytest.param([0.6] * 5 + [0.9], [ENTROPY] * 5 + [0.3], 0, id="late"),
        pytest.param([0.9] * 4 + [0.6] * 2, [0.3] * 4 + [ENTROPY] * 2, 1, id="collapsed"),
    ],
)
def test_a_seed_is_stuck_if_neither_its_score_nor_its_loss_is_better_than_guessing(
    planted, levels, losses, counted
):
    made = planted()
    records = stuck(made, RAW, 2, losses, levels)
    paired = confirmed(made.look, records, DATA).pairs(RAW, UNIT, 6)
    assert paired.trained == (Trained(5 - counted, 0, counted), Trained(5))
    assert len(paired.arm) == len(paired.reference) == 5 - counted


def test_a_seed_that_trained_late_or_collapsed_later_counts_at_an_earlier_epoch(planted):
    made = planted()
    late = stuck(made, RAW, 2, [ENTROPY] * 3 + [0.3] * 3, [0.6] * 3 + [0.9] * 3)
    collapsed = stuck(made, RAW, 2, [0.3] * 3 + [ENTROPY] * 3, [0.9] * 3 + [0.6] * 3)
    for records in (late, collapsed):
        paired = confirmed(made.look, records, DATA).pairs(RAW, UNIT, 2)
        assert paired.trained == (Trained(5), Trained(5))


def test_without_the_data_no_seed_counts_as_stuck(planted):
    made = planted()
    records = stuck(made, RAW, 2, [ENTROPY] * 6, [0.6] * 6)
    assert confirmed(made.look, records).pairs(RAW, UNIT, 6).trained == (Trained(5), Trained(5))


def test_the_level_of_guessing_is_that_of_the_classes_shares():
    assert (Guess.of(DATA, ACCURACY).score, Guess.of(DATA, ACCURACY).loss) == (
        0.6, pytest.approx(ENTROPY),
    )  # fmt: skip
    older = replace(DATA, class_counts=(), test_class_counts=())
    assert Guess.of(older, ACCURACY).score == pytest.approx(1 / 3)
    assert Guess.of(DATA, metric("log_loss")).score == pytest.approx(ENTROPY)
    assert Guess.of(DATA, metric("roc_auc")).score == 0.5


def test_runs_that_were_tested_on_different_images_are_refused(planted):
    made = planted()
    first, *rest = made.records
    other = replace(first, result=replace(first.result, test_digest="u" * 64))
    with pytest.raises(ValueError, match="expected runs with the same test images"):
        confirmed(made.look, [other, *rest])


def test_before_the_first_look_there_is_nothing(planted):
    found = confirmed(Analysis(0, ()), planted().records)
    assert (dict(found.runs), found.images, found.epochs) == ({}, 0, 0)


def drawn(study) -> dict[tuple[str, str], Curve]:
    found = confirmed(study.look, study.records)
    return {(curve.arm, curve.configuration): curve for curve in curves(found, 0.95)}


def speed(study, searched=(), baseline_epochs=2) -> dict[tuple[str, str], Speed]:
    found = confirmed(study.look, study.records)
    made = speeds(found, curves(found, 0.95), searched, "unit", baseline_epochs)
    return {(each.arm, each.configuration): each for each in made}


def test_a_curve_is_the_mean_test_accuracy_of_every_epoch(planted):
    study = planted()
    found = drawn(study)
    assert list(found) == list(study.levels)
    for key, levels in study.levels.items():
        assert [e.value for e in found[key].epochs] == pytest.approx(list(levels))
        assert [e.n for e in found[key].epochs] == [5] * 6


@pytest.mark.parametrize(("lost", "counted"), [((2,), 4), (range(5), 5)], ids=["one", "all"])
def test_a_curve_is_that_of_the_seeds_that_trained_if_any_did(planted, lost, counted):
    """As in the verdict beside it."""
    made = planted()
    changed = {r.trial.number: r for r in made.records}
    for slot in lost:
        number = made.number(RAW, slot)
        records = stuck(made, RAW, slot, [ENTROPY] * 6, [0.6] * 6)
        changed[number] = next(r for r in records if r.trial.number == number)
    found = confirmed(made.look, list(changed.values()), DATA)
    curve = next(c for c in curves(found, 0.95) if (c.arm, c.configuration) == RAW)
    levels = made.levels[RAW] if counted == 4 else [0.6] * 6
    assert [e.value for e in curve.epochs] == pytest.approx(list(levels))
    assert [e.n for e in curve.epochs] == [counted] * 6


def test_a_curves_interval_is_the_two_way_one_at_the_confidence(planted):
    study = planted()
    right = np.tile(np.arange(1000) < 500, (5, 1))
    found = confirmed(study.look, study.records)
    for confidence in (0.95, 0.8):
        first = curves(found, confidence)[0].epochs[0]
        expected = interval(moments(right), (1 - confidence) / 2)
        assert (first.low, first.high) == pytest.approx((expected.low, expected.high))


def test_a_seed_that_ended_early_is_left_out_of_all_epochs(planted):
    study = planted(diverged={RAW: {1: 6}, UNIT: dict.fromkeys(range(5), 1)}, failed={RAW: [0]})
    found = drawn(study)
    assert [e.n for e in found[RAW].epochs] == [3] * 6
    assert UNIT not in found


def test_speed_is_the_first_epoch_at_the_references_baseline_level(planted):
    found = speed(planted())
    assert {key: each.epochs for key, each in found.items()} == {
        RAW: 6, ("none", TUNED_SHORT): 6, ("none", TUNED_LONG): 5,
        UNIT: 2, ("unit", TUNED_SHORT): 2, ("unit", TUNED_LONG): 2,
    }  # fmt: skip
    assert [each.seconds for each in found.values()] == [3.0, 3.0, 2.5, 1.0, 1.0, 1.0]


def test_a_level_that_is_not_reached_is_missing(planted):
    slow = {**planted().levels, RAW: (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)}
    found = list(speed(planted(levels=slow)).values())
    assert [each.epochs is None for each in found] == [True] + [False] * 5
    assert math.isnan(found[0].seconds)
    lost = speed(planted(diverged={UNIT: dict.fromkeys(range(5), 1)}))
    assert [each.epochs for each in lost.values()] == [None] * 6


def test_tuning_costs_the_whole_search_of_the_arm_and_nothing_for_the_baseline(planted, record):
    searched = [
        record(0, "none", (0.1, 0.2, 0.3)),
        record(1, "none", (), Status.CRASHED),
        record(2, "none", (0.5,), Status.DIVERGED),
        record(3, "unit", (0.9,)),
    ]
    found = speed(planted(), searched)
    assert (found[RAW].tuning_seconds, found[RAW].tuning_epochs) == (0, 0)
    for name in (TUNED_SHORT, TUNED_LONG):
        tuned = found["none", name]
        assert (tuned.tuning_seconds, tuned.tuning_epochs) == (2.5 + 1.0 + 1.5, 4)
    assert found["unit", TUNED_LONG].tuning_epochs == 1


def test_the_level_is_read_within_the_confirmation(planted):
    levels = {key: values[:3] for key, values in planted().levels.items()}
    found = speed(planted(levels=levels), baseline_epochs=9)
    assert [each.epochs for each in found.values()] == [None, None, None, 3, 2, 2]


def test_before_the_first_analysis_there_is_neither_curve_nor_speed(planted):
    found = confirmed(Analysis(0, ()), planted().records)
    assert curves(found, 0.95) == ()
    assert speeds(found, (), [], "unit", 2) == ()
