"""What holds of every registered metric: its direction, its guess, and the weight of each image."""

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics as reference

from normsweep.errors import SweepError
from normsweep.parts import metrics
from normsweep.parts.influence import quantized, restored

NAMES = [p.name for p in metrics.registry if not p.name.startswith("test_")]
WEIGHED = [name for name in NAMES if metrics.metric(name).influence]
SHARES = {2: (0.9, 0.1), 4: (0.55, 0.25, 0.15, 0.05)}


def predictions(n: int, classes: int, rng: np.random.Generator, skill: float = 1.2):
    """Labels with uneven classes, each with an image at least, and probabilities that know of them."""
    labels = rng.choice(classes, n, p=SHARES[classes])
    labels[:classes] = np.arange(classes)
    scores = rng.normal(size=(n, classes))
    scores[np.arange(n), labels] += skill
    odds = np.exp(scores)
    return labels, (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("classes", [2, 4])
def test_values_are_scikit_learns(classes):
    labels, p = predictions(300, classes, np.random.default_rng(0))
    predicted = p.argmax(axis=1)
    rows = p / p.sum(axis=1, keepdims=True)
    expected = {
        "accuracy": reference.accuracy_score(labels, predicted),
        "balanced_accuracy": reference.balanced_accuracy_score(labels, predicted),
        "f1_macro": reference.f1_score(labels, predicted, average="macro"),
        "roc_auc": reference.roc_auc_score(
            labels, rows[:, 1] if classes == 2 else rows, multi_class="ovr"
        ),
        "log_loss": reference.log_loss(labels, rows),
    }
    assert set(expected) == set(NAMES)
    for name, value in expected.items():
        assert metrics.metric(name).function(labels, p) == pytest.approx(value, abs=1e-6), name


@pytest.mark.parametrize("name", NAMES)
def test_skill_is_better_and_within_the_range(name):
    by, rng = metrics.metric(name), np.random.default_rng(1)
    poor, good = (
        by.function(*predictions(2000, 4, rng, skill)) for skill in (0.5, 3.0)
    )  # fmt: skip
    assert by.sign * good > by.sign * poor
    assert min(by.range) <= min(poor, good) <= max(poor, good) <= max(by.range)
    assert by.sign * by.best > by.sign * by.worst


@pytest.mark.parametrize("name", NAMES)
def test_no_guess_that_looks_at_no_image_beats_chance(name):
    by, rng = metrics.metric(name), np.random.default_rng(2)
    labels = np.repeat(np.arange(4), [5500, 2500, 1500, 500])
    chance = by.guessing(np.bincount(labels))
    guesses = {
        "shares": np.tile(np.float32(SHARES[4]), (len(labels), 1)),
        "drawn": np.eye(4, dtype=np.float32)[rng.choice(4, len(labels), p=SHARES[4])],
        "evenly": np.eye(4, dtype=np.float32)[rng.choice(4, len(labels))],
    }
    values = [by.function(labels, guess) for guess in guesses.values()]
    best = max(values, key=lambda value: by.sign * value)
    assert by.sign * best <= by.sign * chance + 0.02
    assert best == pytest.approx(chance, abs=0.02)  # and one of them reaches it


def test_classes_that_are_about_even_have_an_even_chance():
    by = metrics.ACCURACY
    assert by.guessing([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]) == 0.1
    assert by.guessing([90, 10]) == 0.9


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("name", WEIGHED)
def test_an_images_influence_is_what_the_metric_loses_without_it(name, classes):
    """The jackknife: (n − 1)·(T − T without the image), up to terms of a higher order in 1/n."""
    by = metrics.metric(name)
    labels, p = predictions(400, classes, np.random.default_rng(3))
    whole, influence = by.function(labels, p), by.influence(labels, p)
    assert influence.mean() == pytest.approx(0, abs=1e-9)
    without = [by.function(np.delete(labels, i), np.delete(p, i, axis=0)) for i in range(0, 400, 7)]
    jackknife = 399 * (whole - np.array(without))
    spread = np.abs(influence).max()
    np.testing.assert_allclose(influence[::7], jackknife, atol=0.1 * spread)
    assert np.corrcoef(influence[::7], jackknife)[0, 1] > 0.995


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("name", WEIGHED)
def test_the_influences_tell_how_the_metric_varies_with_new_images(name, classes):
    by, rng = metrics.metric(name), np.random.default_rng(4)
    drawn = [predictions(500, classes, rng) for _ in range(150)]
    found = np.std([by.function(*one) for one in drawn], ddof=1)
    told = np.sqrt(np.mean([by.influence(*one).var() / 500 for one in drawn]))
    assert told == pytest.approx(found, rel=0.2)


@pytest.mark.parametrize("name", WEIGHED)
def test_a_byte_an_image_changes_no_interval(name):
    labels, p = predictions(1000, 4, np.random.default_rng(5))
    influence = metrics.metric(name).influence(labels, p)
    codes, largest = quantized(influence)
    again = restored(codes, largest)
    assert len(codes) == 1000
    bound = np.sqrt(np.abs(influence) * largest) / 127 + largest / 127**2
    shift = abs(restored(codes, largest).mean())
    assert shift < 1e-12
    assert (np.abs(again - influence) <= 1.5 * bound).all()
    assert again.std() == pytest.approx(influence.std(), rel=0.005)


@pytest.mark.parametrize("name", WEIGHED)
def test_a_class_of_one_image_and_perfect_answers_are_no_trouble(name):
    labels = np.array([0] * 50 + [1] * 5 + [2])
    p = np.eye(3, dtype=np.float32)[labels]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        by = metrics.metric(name)
        assert by.function(labels, p) == pytest.approx(by.best, abs=1e-6)
        assert np.isfinite(by.influence(labels, p)).all()
        codes, largest = quantized(by.influence(labels, p))
        assert np.isfinite(restored(codes, largest)).all()


def test_an_unknown_metric_is_a_line_with_the_known_ones():
    with pytest.raises(SweepError, match='metric: unknown metric "nothing"; available: accuracy'):
        metrics.metric("nothing")


def test_a_metric_that_gives_no_number_is_told_by_its_name():
    labels, probabilities = np.array([0, 1]), np.full((2, 2), 0.5, np.float32)
    precise = replace(metrics.ACCURACY, name="mine", function=lambda y, p: np.float32(0.1))
    assert type(precise.of(labels, probabilities)) is float
    undefined = replace(precise, function=lambda y, p: math.nan)
    with pytest.raises(ValueError, match="metric mine: expected a finite number, got nan"):
        undefined.of(labels, probabilities)
