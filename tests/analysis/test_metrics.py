"""Metrics other than the accuracy in the verdict: planted truths, either direction, seeds alone."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from normsweep.analysis.estimates import interval, moments
from normsweep.analysis.evidence import evidence
from normsweep.analysis.outcomes import Outcome
from normsweep.analysis.rules import Comparison, Rules
from normsweep.analysis.trials import arm_summaries, progress, tuning_curves
from normsweep.analysis.verdicts import judge
from normsweep.parts import metrics
from normsweep.parts.influence import quantized
from normsweep.parts.metrics import metric
from normsweep.reporting.evidence_tables import verdict_table
from normsweep.reporting.tables import arms_table, best_table, epochs_table, trials_table
from normsweep.search.selection import chosen_configurations
from normsweep.sweep.study_record import BASELINE, TUNED_LONG, TrialRecord
from normsweep.sweep.trial import Tested

LOSS = metric("log_loss")
RULES = Rules(
    margin=0.02,
    alpha=0.05,
    arms=1,
    chance=math.log(10),
    metric=LOSS,
    image=LOSS.image_bound([50] * 10),
)


@metrics.register(
    "test_seeds_alone", direction="maximize", range=(0, 1), chance=lambda counts: 1 / len(counts)
)
def seeds_alone(labels, probabilities):
    """A plug-in's metric of which no image's weight is known."""
    return float(np.mean(probabilities.argmax(axis=1) == labels))


def losses(level: float, seeds: int = 10, epochs: int = 4, images: int = 400, rng=0) -> np.ndarray:
    """Log losses of mean `level`: some images are hard for every seed, as real ones are."""
    rng = np.random.default_rng(rng)
    hard = np.random.default_rng(9).gamma(0.3, 1 / 0.3, images)
    shake = rng.gamma(2, 0.5, (seeds, epochs, images))
    return (level * hard * shake / hard.mean()).astype(np.float32)


def judged(arm: float, reference: float, rules: Rules = RULES):
    comparison = Comparison("both_tuned", "none", "unit", 4)
    values = (losses(level, images=2000, rng=rng) for rng, level in enumerate((arm, reference)))
    return judge(comparison, rules, *values)


@pytest.mark.parametrize(
    ("level", "word"),
    [(0.1, Outcome.AHEAD), (0.2, Outcome.LEVEL), (0.3, Outcome.CLEARLY_BEHIND)],
    ids=["lower", "level", "higher"],
)
def test_a_lower_loss_is_the_better_one(level, word):
    verdict = judged(level, 0.2)
    assert verdict.outcome is word
    assert verdict.gap.value == pytest.approx(level - 0.2, abs=0.02)
    assert verdict.gap.low < verdict.gap.value < verdict.gap.high
    assert (verdict.value, verdict.reference_value) == (
        pytest.approx(level, abs=0.03),
        pytest.approx(0.2, abs=0.03),
    )


def test_a_loss_near_that_of_a_guess_gives_no_verdict():
    guessing = judged(2.25, 2.28)
    assert guessing.outcome is Outcome.OPEN
    assert "not clearly better than chance (log loss 2." in guessing.reason
    assert "chance 2.3026" in guessing.reason


def test_the_interval_of_a_gap_in_losses_covers_new_seeds_and_new_images():
    rng, covered, replicates = np.random.default_rng(1), 0, 300
    for _ in range(replicates):
        images = rng.gamma(0.3, 1.0, 300)  # a gap that is larger on hard images: mean 0.3 · 0.2
        arm = 1.2 * images * rng.gamma(4, 0.25, (6, 300)) + rng.normal(0, 0.01, (6, 1))
        reference = images * rng.gamma(4, 0.25, (6, 300)) + rng.normal(0, 0.01, (6, 1))
        found = interval(moments(arm - reference), 0.025)
        covered += found.low <= 0.06 <= found.high
    assert 0.90 <= covered / replicates <= 0.99


def by_metric(planted, name: str, weigh=True, chance=0.1, **fields) -> tuple:
    """A planted confirmation by another metric: the levels are its values, less than 1 in each case."""
    study = planted(**fields)

    def scored(record: TrialRecord) -> TrialRecord:
        assert record.result is not None
        curve = tuple(
            replace(e, score=e.val_accuracy, tested=e.tested and told(e.tested))
            for e in record.result.curve
        )
        trial = replace(record.trial, metric=name)
        return TrialRecord(trial, replace(record.result, curve=curve, chance=chance))

    def told(tested: Tested) -> Tested:
        right = np.unpackbits(np.frombuffer(tested.bits, np.uint8), count=tested.images)
        weights = quantized(right - right.mean()) if weigh else (b"", 0.0)
        return Tested(tested.images, tested.bits, float(right.mean()), *weights)

    return study.look, [scored(record) for record in study.records]


def test_a_metric_with_the_accuracys_own_influences_gives_the_accuracys_verdicts(
    planted, sweep, recorded
):
    study = planted()
    look, records = by_metric(planted, "balanced_accuracy")
    counts = 10, [100] * 10
    usual = evidence(recorded(sweep(), study.records, [study.look], *counts))
    other = evidence(recorded(sweep('metric="balanced_accuracy"'), records, [look], *counts))
    mine, its = (verdict_table(found.verdicts, found.metric) for found in (other, usual))
    same = ["question", "arm", "verdict", "epoch", "seeds", "images", "diverged"]
    assert mine[same].equals(its[same])
    for by, accuracy in (("gap", "gap"), ("balanced_accuracy", "accuracy"), ("low", "low")):
        np.testing.assert_allclose(mine[by], its[accuracy], atol=2e-4)
    assert set(mine["metric"]) == {"balanced_accuracy"}
    assert "metric" not in its
    for one, another in zip(other.curves, usual.curves, strict=True):
        values = ([e.value for e in curve.epochs] for curve in (one, another))
        np.testing.assert_allclose(*values)


def test_where_lower_is_better_the_same_levels_are_judged_the_other_way(planted, sweep, recorded):
    look, records = by_metric(planted, "log_loss", chance=math.log(10))
    made = sweep('metric="log_loss"')
    found = evidence(recorded(made, records, [look]))
    tuned = next(v for v in found.verdicts if v.question == "both_tuned")
    assert tuned.outcome is Outcome.AHEAD  # 0.89 nats are less than 0.93
    assert tuned.gap.value < 0
    assert tuned.value < tuned.reference_value
    speed = {(each.arm, each.configuration): each.epochs for each in found.speeds}
    # The reference has 0.86 nats after two epochs, and its losses rise from 0.80.
    assert speed["unit", BASELINE] == 1
    assert speed["none", TUNED_LONG] == 1


def test_without_influences_the_interval_is_that_of_the_seeds_and_says_so(planted, sweep, recorded):
    look, records = by_metric(planted, "test_seeds_alone", weigh=False)
    made = sweep().model_copy(update={"metric": "test_seeds_alone"})
    found = evidence(recorded(made, records, [look]))
    first = found.verdicts[0]
    assert first.gap == first.on_these_images
    assert first.method.startswith("Student's t over seeds only")
    assert "on the same test data" in found.warnings[0]


def test_few_test_images_of_a_class_are_said_where_every_class_counts_alike(
    planted, sweep, recorded
):
    look, records = by_metric(planted, "balanced_accuracy")
    made = sweep('metric="balanced_accuracy"')
    counts = [500, 495, 5]
    found = evidence(recorded(made, records, [look], 3, counts))
    assert found.warnings[0].startswith(
        "few test examples (5 of class 2): balanced accuracy weights"
    )
    usual = evidence(recorded(sweep(), classes=3, test_counts=counts))
    assert not usual.warnings


@pytest.fixture
def searched(record) -> list[TrialRecord]:
    """Three trials by log loss: the last is the best, the second diverged."""
    made = []
    for number, values in enumerate([(0.9, 0.4), (0.8,), (0.7, 0.3)]):
        one = record(number, "none", (0.5,) * len(values), metric="log_loss", slot=number)
        assert one.result is not None
        curve = tuple(replace(e, score=v) for e, v in zip(one.result.curve, values, strict=True))
        made.append(replace(one, result=replace(one.result, curve=curve, chance=2.3)))
    lost = made[1].result
    assert lost is not None
    made[1] = replace(made[1], result=replace(lost, status=type(lost.status).DIVERGED))
    return made


def test_tables_have_the_metric_beside_the_accuracy(searched):
    trials = trials_table(searched)
    assert trials["val_log_loss"].tolist() == [0.4, 2.3, 0.3]
    assert trials["val_accuracy"].tolist() == [0.5, 0.5, 0.5]
    assert best_table(searched, ["none"])["trial"].tolist() == [2]
    assert [c for c in best_table(searched, ["none"]) if c.startswith("test_")] == []
    assert best_table(searched, ["none"], top=2)["val_log_loss"].tolist() == [0.3, 0.4]
    row = arms_table(arm_summaries(searched, ["none"])).iloc[0]
    assert (row["best_val_log_loss"], row["median_val_log_loss"]) == (0.3, 0.4)
    epochs = epochs_table(searched)
    assert epochs["val_log_loss"].tolist() == [0.9, 0.4, 0.8, 0.7, 0.3]
    assert epochs["test_log_loss"].isna().all()


def test_the_search_is_summed_up_towards_lower_values(searched, sweep):
    steps = progress(searched)  # the one that diverged ended first
    assert [step.score for step in steps] == [2.3, 0.4, 0.3]
    assert [step.best for step in steps] == [2.3, 0.4, 0.3]
    (so_far,) = tuning_curves(searched, ["none"], "tpe", 0)
    assert so_far.scores == (0.4, 0.4, 0.3)
    (expected,) = tuning_curves(searched, ["none"], "random", 0)
    assert expected.scores == pytest.approx([1.0, (0.3 + 0.3 + 0.4) / 3, 0.3])
    chosen = chosen_configurations(sweep('metric="log_loss"'), searched)
    assert {c.trial for c in chosen if c.arm == "none" and c.name != BASELINE} == {2}
