"""Why a network is stuck, from planted curves and measurements."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import stuck
from normsweep.analysis.stuck import Kind, Level, kind
from normsweep.sweep.inspection import Inspection
from normsweep.sweep.study_record import DataFacts
from normsweep.sweep.trial import Epoch, Result, Status

LEVEL = Level.of(DataFacts("digits", "", "d" * 64, 1500, 300, 10), 0.2)
ALIVE = Inspection(255.0, 0.02, None, None, None, 100)
FLAT = (2.303, 2.302, 2.304, 2.303)
FALLING = (2.33, 2.32, 2.31, 2.305)


def result(losses, inspection=ALIVE, accuracies=(0.10, 0.11, 0.10, 0.12), val=None) -> Result:
    val_losses = losses if val is None else val
    curve = tuple(
        Epoch(0, e, loss, 0.1, val_loss, accuracy, 0.5)
        for e, (loss, val_loss, accuracy) in enumerate(
            zip(losses, val_losses, accuracies, strict=False), start=1
        )
    )
    return Result(0, Status.COMPLETE, curve, inspection=inspection)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Kind.UNKNOWN),
        ({"input_range": 0.0}, Kind.NO_INFORMATION),
        ({"input_range": 0.0, "same_output": 1.0, "gradient": 0.0}, Kind.NO_INFORMATION),
        ({"same_output": 0.97, "gradient": 0.0}, Kind.DEAD),
        ({"same_output": 0.97, "gradient": 0.01}, Kind.UNKNOWN),
        ({"same_output": 0.97, "gradient": None}, Kind.UNKNOWN),
        ({"same_output": 0.90, "gradient": 0.0}, Kind.UNKNOWN),
        ({"batch_accuracy": 0.9, "momentum": 0.99}, Kind.RUNNING_STATISTICS),
        ({"batch_accuracy": 0.2, "momentum": 0.99}, Kind.UNKNOWN),
    ],
)
def test_what_was_measured_says_why(changes, expected):
    assert kind(result(FLAT, replace(ALIVE, **changes)), LEVEL) is expected


def test_losses_that_both_fall_to_the_end_are_too_slow():
    assert kind(result(FALLING), LEVEL) is Kind.TOO_SLOW
    assert kind(result(FALLING, val=FLAT), LEVEL) is Kind.UNKNOWN
    assert kind(result(FLAT, val=FALLING), LEVEL) is Kind.UNKNOWN
    assert kind(result((9.0, *FALLING[1:])), LEVEL) is Kind.TOO_SLOW
    assert kind(result((2.2, *FALLING[1:])), LEVEL) is Kind.TOO_SLOW  # only the last epochs count
    assert kind(result(FALLING[:2]), LEVEL) is Kind.UNKNOWN  # too few to tell


def test_a_dead_network_whose_output_still_moves_is_dead():
    dead = replace(ALIVE, same_output=1.0, gradient=0.0)
    assert kind(result(FALLING, dead), LEVEL) is Kind.DEAD


def test_of_a_trial_without_measurements_only_the_curve_is_known():
    assert kind(result(FALLING, None), LEVEL) is Kind.TOO_SLOW
    assert kind(result(FLAT, None), LEVEL) is Kind.UNKNOWN
    assert kind(result(FALLING, None, accuracies=(0.1,) * 4), LEVEL) is Kind.UNKNOWN


def test_the_level_is_that_of_the_largest_class():
    uneven = DataFacts("tumours", "", "d" * 64, 100, 50, 2, class_counts=(80, 20))
    level = Level.of(uneven, 0.2)
    assert (level.share, level.images) == (0.8, 20)
    assert level.learned == pytest.approx(0.85)
    assert level.scores_no_better(Epoch(0, 1, 0.5, 0.8, 0.5, 0.85, 0.5))
    assert not level.scores_no_better(Epoch(0, 1, 0.5, 0.8, 0.5, 1.0, 0.5))


def test_a_network_that_knows_a_little_of_every_image_has_the_scores_and_losses_of_the_simulation():
    own, known = np.array([0.5, 0.3, 0.2]), 0.4
    accuracy, mean, deviation = stuck.channel(own, known)
    rng = np.random.default_rng(0)
    labels, drawn = (rng.choice(3, 400_000, p=own) for _ in range(2))
    signal = np.where(rng.random(len(labels)) < known, labels, drawn)
    given = (1 - known) * own + known * np.eye(3)  # of each class, given the signal
    losses = -np.log(given[signal, labels])
    assert np.mean(given[signal].argmax(axis=1) == labels) == pytest.approx(accuracy, abs=0.003)
    assert losses.mean() == pytest.approx(mean, abs=0.003)
    assert losses.std() == pytest.approx(deviation, abs=0.003)


@pytest.mark.parametrize("images", stuck.IMAGES)
def test_stuck_seeds_are_seen_and_honest_ones_told_from_them_by_their_score_or_their_loss(images):
    own = stuck.shares(10, True, images)
    assert stuck.missed(own, images, 500, "one class") == 0
    assert stuck.missed(own, images, 500, "random") < 0.03
    assert stuck.taken(own, images, 0.05, 500, "few images") == 0
    if images >= 1000:
        assert stuck.taken(own, images, 0.05, 500, "all images") < 0.03
