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

OURS = [p.name for p in metrics.registry if not p.name.startswith("test_")]
NAMES = [name for name in OURS if metrics.CLASSIFICATION in metrics.metric(name).tasks]
OF_TARGETS = [name for name in OURS if metrics.REGRESSION in metrics.metric(name).tasks]
WEIGHED = [name for name in OURS if metrics.metric(name).influence]
SHARES = {2: (0.9, 0.1), 4: (0.55, 0.25, 0.15, 0.05)}


def predictions(n: int, classes: int, rng: np.random.Generator, skill: float = 1.2):
    """Labels with uneven classes, each with an image at least, and probabilities that know of them."""
    labels = rng.choice(classes, n, p=SHARES[classes])
    labels[:classes] = np.arange(classes)
    scores = rng.normal(size=(n, classes))
    scores[np.arange(n), labels] += skill
    odds = np.exp(scores)
    return labels, (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)


def errors(n: int, outputs: int, rng: np.random.Generator, noise: float = 0.5):
    """Targets and predictions (n, outputs), or (n,) of one output, with larger errors at larger targets."""
    targets = rng.normal(3, 1, (n, outputs))
    found = targets + noise * np.abs(targets) * rng.normal(0.1, 0.5, targets.shape)
    return (targets, found) if outputs > 1 else (targets[:, 0], found[:, 0].astype(np.float32))


def answers(name: str, n: int, size: int, rng: np.random.Generator):
    """Targets and predictions for a metric, of so many classes, or half as many outputs."""
    of_classes = name in NAMES
    return predictions(n, size, rng) if of_classes else errors(n, size // 2, rng)


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
        "brier": reference.brier_score_loss(
            labels, rows, labels=np.arange(classes), scale_by_half=False
        ),
    }
    assert set(expected) == set(NAMES)
    for name, value in expected.items():
        assert metrics.metric(name).function(labels, p) == pytest.approx(value, abs=1e-6), name


@pytest.mark.parametrize("outputs", [1, 3])
def test_values_of_a_regression_are_scikit_learns(outputs):
    y, p = errors(300, outputs, np.random.default_rng(0))
    expected = {
        "mae": reference.mean_absolute_error(y, p),
        "mse": reference.mean_squared_error(y, p),
        "rmse": math.sqrt(reference.mean_squared_error(y, p)),
        "r2": reference.r2_score(y, p),
        "median_absolute_error": reference.median_absolute_error(y, p),
    }
    assert set(expected) == set(OF_TARGETS)
    for name, value in expected.items():
        assert metrics.metric(name).of(y, p) == pytest.approx(value, rel=1e-6), name


@pytest.mark.parametrize("name", OF_TARGETS)
def test_smaller_errors_are_better_and_no_constant_beats_chance(name):
    by, rng = metrics.metric(name), np.random.default_rng(1)
    targets = rng.gamma(2, 1, (2001, 2))
    poor, good = (by.of(targets, targets + rng.normal(0, s, targets.shape)) for s in (1, 0.1))
    assert by.sign * by.best >= by.sign * good > by.sign * poor > by.sign * by.worst
    chance = by.guessing(targets)
    middles = (np.median(targets, axis=0), targets.mean(axis=0), targets.mean(axis=0) + 0.5)
    values = [by.of(targets, np.broadcast_to(middle, targets.shape)) for middle in middles]
    assert max(by.sign * v for v in values) == pytest.approx(by.sign * chance, abs=1e-9)


@pytest.mark.parametrize("name", ["mae", "mse", "brier", "log_loss"])
def test_the_influence_on_a_mean_of_losses_is_exact(name):
    by = metrics.metric(name)
    y, p = answers(name, 100, 4, np.random.default_rng(6))
    losses = by.of(y, p) + by.influence(y, p)
    each = [by.function(np.delete(y, i, 0), np.delete(p, i, 0)) for i in range(3)]
    rest = [(losses.sum() - losses[i]) / 99 for i in range(3)]
    np.testing.assert_allclose(each, rest, rtol=1e-6)


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
@pytest.mark.parametrize("name", [name for name in WEIGHED if "median" not in name])
def test_an_images_influence_is_what_the_metric_loses_without_it(name, classes):
    """The jackknife: (n − 1)·(T − T without the image), up to terms of a higher order in 1/n."""
    by = metrics.metric(name)
    labels, p = answers(name, 400, classes, np.random.default_rng(3))
    whole, influence = by.function(labels, p), by.influence(labels, p)
    assert influence.mean() == pytest.approx(0, abs=1e-9)
    without = [
        by.function(np.delete(labels, i, axis=0), np.delete(p, i, axis=0)) for i in range(0, 400, 7)
    ]
    jackknife = 399 * (whole - np.array(without))
    spread = np.abs(influence).max()
    np.testing.assert_allclose(influence[::7], jackknife, atol=0.1 * spread)
    assert np.corrcoef(influence[::7], jackknife)[0, 1] > 0.995


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("name", WEIGHED)
def test_the_influences_tell_how_the_metric_varies_with_new_images(name, classes):
    by, rng = metrics.metric(name), np.random.default_rng(4)
    drawn = [answers(name, 500, classes, rng) for _ in range(150)]
    found = np.std([by.function(*one) for one in drawn], ddof=1)
    told = np.sqrt(np.mean([by.influence(*one).var() / 500 for one in drawn]))
    assert told == pytest.approx(found, rel=0.2)


@pytest.mark.parametrize("name", WEIGHED)
def test_a_byte_an_image_changes_no_interval(name):
    labels, p = answers(name, 1000, 4, np.random.default_rng(5))
    influence = metrics.metric(name).influence(labels, p)
    codes, largest = quantized(influence)
    again = restored(codes, largest)
    assert len(codes) == 1000
    bound = np.sqrt(np.abs(influence) * largest) / 127 + largest / 127**2
    shift = abs(restored(codes, largest).mean())
    assert shift < 1e-12
    assert (np.abs(again - influence) <= 1.5 * bound).all()
    assert again.std() == pytest.approx(influence.std(), rel=0.005)


@pytest.mark.parametrize("name", OF_TARGETS)
def test_predictions_without_errors_and_equal_targets_are_no_trouble(name):
    by, targets = metrics.metric(name), np.full((20, 2), 7.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert by.of(targets, targets) == by.best
        assert not by.influence(targets, targets).any()


@pytest.mark.parametrize("name", [name for name in WEIGHED if name in NAMES])
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
