"""The loop over epochs and batches.

Keras's `fit` sets up a data pipeline at each call and, once the global seed is set, shuffles every
epoch the same way; with arrays in memory, `train_on_batch` with an explicit order avoids both.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from normsweep.parts.dataset import Dataset
from normsweep.parts.influence import quantized
from normsweep.parts.metrics import ACCURACY, Metric, metric
from normsweep.sweep.trial import Epoch, Tested, Trial
from normsweep.training.preprocessing import Preprocessing, Split, batch_order

__all__ = ["TestSet", "prepare_test", "tested", "train_epochs"]

BATCH = 512
"""Images per batch in evaluation."""

LOG_LOSS = metric("log_loss")

Array = np.ndarray[Any, Any]


def train_epochs(
    model: Any, trial: Trial, data: Split, test: TestSet | None = None, first: int = 1
) -> Iterator[Epoch]:
    """Train a compiled model; training loss and accuracy are running means over the epoch's images.

    An epoch ends at the first batch whose loss is not finite, without validation. With `test`, each
    epoch is also evaluated on the test images, which changes nothing else. `first` is the first
    epoch to train, if the model resumes from a snapshot.
    """
    by = metric(trial.metric)
    for epoch in range(first, trial.epochs + 1):
        started = time.perf_counter()
        train_loss, train_accuracy = _train(model, trial, data, epoch)
        val_loss, val_accuracy, score = (
            _validate(model, data, by) if math.isfinite(train_loss) else (math.nan, math.nan, None)
        )
        seconds = time.perf_counter() - started
        finite = math.isfinite(train_loss) and math.isfinite(val_loss)
        yield Epoch(
            trial=trial.number,
            epoch=epoch,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            seconds=seconds,
            tested=tested(model, test, by) if test is not None and finite else None,
            score=score,
        )


def _train(model: Any, trial: Trial, data: Split, epoch: int) -> tuple[float, float]:
    order = batch_order(len(data.y_train), trial.seed, epoch)
    sums, seen = np.zeros(2), 0
    for start in range(0, len(order), trial.batch_size):
        batch = order[start : start + trial.batch_size]
        model.reset_metrics()  # some versions of Keras accumulate metrics over train_on_batch calls
        logs = model.train_on_batch(data.x_train[batch], data.y_train[batch], return_dict=True)
        sums += len(batch) * np.array([logs["loss"], logs["accuracy"]], dtype=np.float64)
        seen += len(batch)
        if not math.isfinite(sums[0]):
            break
    loss, accuracy = sums / seen
    return float(loss), float(accuracy)


def _validate(model: Any, data: Split, by: Metric) -> tuple[float, float, float | None]:
    """Loss, accuracy and, if the metric is not accuracy, the score, in one pass over the validation set."""
    if by is not ACCURACY:
        return _scored(model, data, by)
    sums = np.zeros(2)
    for start in range(0, len(data.y_val), BATCH):
        part = slice(start, start + BATCH)
        model.reset_metrics()
        logs = model.test_on_batch(data.x_val[part], data.y_val[part], return_dict=True)
        size = len(data.y_val[part])
        sums += size * np.array([logs["loss"], logs["accuracy"]], dtype=np.float64)
    loss, accuracy = sums / len(data.y_val)
    return float(loss), float(accuracy), None


def _scored(model: Any, data: Split, by: Metric) -> tuple[float, float, float | None]:
    """Loss, accuracy and score from probabilities; the loss excludes regularization."""
    parts = [
        model.predict_on_batch(data.x_val[start : start + BATCH])
        for start in range(0, len(data.y_val), BATCH)
    ]
    probabilities = np.concatenate(parts)
    if not np.isfinite(probabilities).all():
        return math.nan, math.nan, None
    loss = LOG_LOSS.of(data.y_val, probabilities)
    accuracy = ACCURACY.of(data.y_val, probabilities)
    return loss, accuracy, by.of(data.y_val, probabilities)


@dataclass(frozen=True)
class TestSet:
    """The test images as inputs of one arm's network, in the dataset's order."""

    __test__ = False  # for pytest

    x: Array
    """(n, height, width, channels): normalized if the arm's preprocessing is fixed, otherwise raw."""
    y: Array
    """(n,) int64."""
    digest: str
    """SHA-256 of the raw test images and labels, hexadecimal."""


def prepare_test(dataset: Dataset, preprocessing: Preprocessing) -> TestSet:
    """The test images of an arm, with its fitted preprocessing applied if that is fixed."""
    x = preprocessing.apply(dataset.x_test) if preprocessing.fixed else dataset.x_test
    return TestSet(x, dataset.y_test, dataset.test_digest)


def tested(model: Any, test: TestSet, metric: Metric) -> Tested:
    """Which test images a Keras model classifies correctly, and its score if the metric is not accuracy."""
    parts = [model.predict_on_batch(test.x[i : i + BATCH]) for i in range(0, len(test.y), BATCH)]
    probabilities = np.concatenate(parts)
    correct = np.packbits(probabilities.argmax(axis=1) == test.y).tobytes()
    if metric is ACCURACY:
        return Tested(len(test.y), correct)
    score = metric.of(test.y, probabilities)
    if metric.influence is None:
        return Tested(len(test.y), correct, score)
    return Tested(len(test.y), correct, score, *quantized(metric.influence(test.y, probabilities)))
