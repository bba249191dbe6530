"""The influence of each image on a metric, for the images' part of its variance.

The influence of image i on a metric T of n images is the derivative of T by the weight of that image:
over new images, T varies as the mean of n influences does (Hampel, Journal of the American Statistical
Association 69, 1974). A table of T + influence, seeds by images, is therefore to the metric what a
table of correctness bits is to the accuracy, and the same analysis of variance applies.

Each function takes labels (n,) int64 and probabilities (n, classes), and returns (n,) float64 with
mean 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["balanced_accuracy", "f1_macro", "log_loss", "quantized", "restored", "roc_auc"]

Array = np.ndarray[Any, Any]
LEVELS = 127
"""Quantization levels for each sign, on a square-root scale."""


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
