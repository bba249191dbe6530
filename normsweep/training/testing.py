"""Testing a model on the test images, after an epoch of a confirmation's trial."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from normsweep.parts import ACCURACY, Dataset, Metric
from normsweep.parts.influence import quantized
from normsweep.sweep.trial import Tested
from normsweep.training.fronts import Front

__all__ = ["TestSet", "prepare_test", "tested"]

Array = np.ndarray[Any, Any]

BATCH = 512


@dataclass(frozen=True)
class TestSet:
    """The test images as one arm's network is fed them, in the dataset's order."""

    __test__ = False  # no class of tests

    x: Array
    """(n, height, width, channels): normalized where the arm's front is fixed, else raw."""
    y: Array
    """(n,) int64."""
    digest: str
    """SHA-256 of the raw test images and labels, hexadecimal."""


def prepare_test(dataset: Dataset, front: Front) -> TestSet:
    """The test images of an arm whose front was fitted to a training split."""
    x = front.apply(dataset.x_test) if front.fixed else dataset.x_test
    return TestSet(x, dataset.y_test, dataset.test_digest)


def tested(model: Any, test: TestSet, metric: Metric) -> Tested:
    """Which of the test images a Keras model gets right, and how it does by another metric."""
    parts = [model.predict_on_batch(test.x[i : i + BATCH]) for i in range(0, len(test.y), BATCH)]
    probabilities = np.concatenate(parts)
    right = np.packbits(probabilities.argmax(axis=1) == test.y).tobytes()
    if metric is ACCURACY:
        return Tested(len(test.y), right)
    score = metric.of(test.y, probabilities)
    if metric.influence is None:
        return Tested(len(test.y), right, score)
    return Tested(len(test.y), right, score, *quantized(metric.influence(test.y, probabilities)))
