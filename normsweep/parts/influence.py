"""The influence of each image or row on a metric, for the images' part of its variance.

The influence of image i on a metric T of n images is the derivative of T by the weight of that image:
over new images, T varies as the mean of n influences does (Hampel, Journal of the American Statistical
Association 69, 1974). A table of T + influence, seeds by images, is therefore to the metric what a
table of correctness bits is to the accuracy, and the same analysis of variance applies.

Each function takes labels (n,) int64 and probabilities (n, classes), or for a regression targets (n,) or
(n, outputs) and predictions of the same shape, and returns (n,) float64 with mean 0. For a metric that is
a mean of losses it is exact: the loss minus the mean. For others it is the delta method.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = [
    "absolute_errors",
    "balanced_accuracy",
    "brier",
    "errors_by_output",
    "f1_macro",
    "log_loss",
    "mae",
    "median_absolute_error",
    "mse",
    "quantized",
    "r2",
    "restored",
    "rmse",
    "roc_auc",
    "squared_distances",
    "squared_errors",
    "unexplained",
]

Array = np.ndarray[Any, Any]
LEVELS = 127
"""Quantization levels for each sign, on a square-root scale."""
HALL_SHEATHER = 0.971
"""Bandwidth for the density at a median, times n^(1/3): z^(2/3)·(1.5·φ(0)²)^(1/3), with z of 95 %."""


def log_loss(labels: Array, probabilities: Array) -> Array:
    """−ln of the probability of the true class, minus its mean."""
    least = np.finfo(np.float32).eps
    given = probabilities[np.arange(len(labels)), labels].astype(np.float32)
    losses = -np.log(np.clip(given, least, 1 - least).astype(np.float64))
    return losses - losses.mean()


def balanced_accuracy(labels: Array, probabilities: Array) -> Array:
    """Correct (1) or not (0) minus the recall of the class, times the weight of the class."""
    right = (probabilities.argmax(axis=1) == labels).astype(np.float64)
    counts = np.bincount(labels, minlength=probabilities.shape[1])
    shares = np.bincount(labels, right, minlength=len(counts)) / np.maximum(counts, 1)
    weights = len(labels) / (len(counts) * np.maximum(counts, 1)) * _small(counts)
    return weights[labels] * (right - shares[labels])


def f1_macro(labels: Array, probabilities: Array) -> Array:
    """The influence on F = 2·E[yp] / (E[y] + E[p]) of each class: (2yp − F·(y + p)) / (E[y] + E[p]).

    y and p are 1 if the image is of the class, and if it is predicted. The delta method of Takahashi,
    Yamamoto, Kuchiba & Koyama, Applied Intelligence 52, 2022.
    """
    classes = np.arange(probabilities.shape[1])
    y = (labels[:, None] == classes).astype(np.float64)
    p = (probabilities.argmax(axis=1)[:, None] == classes).astype(np.float64)
    both, either = y * p, y + p
    base = either.mean(axis=0)
    base[base == 0] = 1.0  # no image of the class, and none predicted: F1 is 0
    f1 = 2 * both.mean(axis=0) / base
    return ((2 * both - f1 * either) / base).mean(axis=1)


def roc_auc(labels: Array, probabilities: Array) -> Array:
    """Placement values: the share of the images of the other side that are ranked correctly with it.

    DeLong, DeLong & Clarke-Pearson, Biometrics 44, 1988, by the midranks of Sun & Xu, IEEE Signal
    Processing Letters 21, 2014; for more than two classes the mean of one-vs-rest values.
    """
    classes = probabilities.shape[1]
    if classes == 2:
        return _placements(labels == 1, probabilities[:, 1])
    return np.mean([_placements(labels == k, probabilities[:, k]) for k in range(classes)], axis=0)


def squared_distances(labels: Array, probabilities: Array) -> Array:
    """The squared distance (n,) of the probabilities from 1 for the true class and 0 for the others."""
    wanted = np.arange(probabilities.shape[1]) == labels[:, None]
    return np.square(probabilities.astype(np.float64) - wanted).sum(axis=1)


def brier(labels: Array, probabilities: Array) -> Array:
    """The squared distance from the true class minus its mean."""
    return _centred(squared_distances(labels, probabilities))


def absolute_errors(targets: Array, predictions: Array) -> Array:
    """The absolute error (n,) of each row, as a mean over the outputs."""
    return errors_by_output(targets, predictions).mean(axis=1)


def squared_errors(targets: Array, predictions: Array) -> Array:
    """The squared error (n,) of each row, as a mean over the outputs."""
    return np.square(_errors(targets, predictions)).mean(axis=1)


def mae(targets: Array, predictions: Array) -> Array:
    """The absolute error minus its mean."""
    return _centred(absolute_errors(targets, predictions))


def mse(targets: Array, predictions: Array) -> Array:
    """The squared error minus its mean."""
    return _centred(squared_errors(targets, predictions))


def rmse(targets: Array, predictions: Array) -> Array:
    """(e² − MSE) / (2·RMSE), by the delta method; 0 if all errors are."""
    losses = squared_errors(targets, predictions)
    root = np.sqrt(losses.mean())
    return _centred(losses) / (2 * root) if root > 0 else np.zeros(len(losses))


def unexplained(targets: Array, predictions: Array) -> Array:
    """MSE / variance of the targets of each output, (outputs,); without a variance 1, or 0 without errors."""
    losses = np.square(_errors(targets, predictions)).mean(axis=0)
    variance = _rows(targets).var(axis=0)
    # The variance of equal values may be a rounding error.
    known = np.ptp(_rows(targets), axis=0) > 0
    return np.where(known, losses / np.where(known, variance, 1), losses > 0)


def errors_by_output(targets: Array, predictions: Array) -> Array:
    """The absolute errors (n, outputs)."""
    return np.abs(_errors(targets, predictions))


def r2(targets: Array, predictions: Array) -> Array:
    """((1 − R²)·(y − ȳ)² − e²) / Var(y), by the delta method; the mean over the outputs.

    An output whose targets are all equal has no influence.
    """
    y = _rows(targets)
    squares, losses = np.square(y - y.mean(axis=0)), np.square(_errors(targets, predictions))
    variance = squares.mean(axis=0)
    known = np.ptp(y, axis=0) > 0
    ratio = losses.mean(axis=0) / np.where(known, variance, 1)
    return np.where(known, (ratio * squares - losses) / np.where(known, variance, 1), 0).mean(
        axis=1
    )


def median_absolute_error(targets: Array, predictions: Array) -> Array:
    """±1/2 divided by the density of the absolute errors at their median; the mean over the outputs.

    1/density is a difference of quantiles at the bandwidth of Hall & Sheather, Journal of the Royal
    Statistical Society B 50(3), 1988.
    """
    errors = errors_by_output(targets, predictions)
    reach = min(0.5, HALL_SHEATHER * len(errors) ** (-1 / 3))
    low, median, high = np.quantile(errors, (0.5 - reach, 0.5, 0.5 + reach), axis=0)
    inverse_density = (high - low) / (2 * reach)
    return _centred((inverse_density * np.sign(errors - median) / 2).mean(axis=1))


def quantized(influences: Array) -> tuple[bytes, float]:
    """Quantize influences (n,) to one byte each; return the bytes and the largest magnitude.

    The scale is the square root with 127 steps for each sign: the error of a value v is at most
    √(|v|·largest)/127, and 0.8 % for the largest. This widens an interval by less than 1 %.
    """
    largest = float(np.abs(influences).max(initial=0.0))
    if largest == 0:
        return bytes(len(influences)), 0.0
    steps = np.rint(LEVELS * np.sqrt(np.abs(influences) / largest))
    return (np.sign(influences) * steps).astype(np.int8).tobytes(), largest


def restored(codes: bytes, largest: float) -> Array:
    """The influences that `quantized` encoded, (n,) float64 with mean 0."""
    steps = np.frombuffer(codes, np.int8) / LEVELS
    influences = np.sign(steps) * steps**2 * largest
    return influences - influences.mean()


def _rows(values: Array) -> Array:
    """(n,) or (n, outputs) as (n, outputs) float64."""
    return np.asarray(values, np.float64).reshape(len(values), -1)


def _errors(targets: Array, predictions: Array) -> Array:
    return _rows(predictions) - _rows(targets)


def _centred(losses: Array) -> Array:
    return losses - losses.mean()


def _placements(positive: Array, scores: Array) -> Array:
    from scipy.stats import rankdata

    negative = ~positive
    counts = np.array([negative.sum(), positive.sum()])
    ranks = rankdata(scores)
    placements = np.empty(len(scores))
    placements[positive] = (ranks[positive] - rankdata(scores[positive])) / counts[0]
    placements[negative] = 1 - (ranks[negative] - rankdata(scores[negative])) / counts[1]
    area = placements[positive].mean()
    weights = len(scores) / counts * _small(counts)
    return weights[positive.astype(int)] * (placements - area)


def _small(counts: Array) -> Array:
    """√(n / (n − 1)), which makes the variance of a class of n images unbiased."""
    return np.sqrt(counts / np.maximum(counts - 1, 1))
