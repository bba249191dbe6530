"""The loop over epochs.

Keras's `fit` sets up a data pipeline at each call and, once the global seed is set, shuffles every
epoch the same way; with arrays in memory, an explicit order of the images avoids both.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from normsweep.parts.dataset import Dataset
from normsweep.parts.influence import quantized
from normsweep.parts.metrics import ACCURACY, Metric, metric
from normsweep.sweep.trial import Epoch, Tested, Trial
from normsweep.training.compiled_epoch import Batches, EpochLoop, Images
from normsweep.training.preprocessing import Preprocessing, Split, batch_order

__all__ = ["TestSet", "batch_size", "prepare_test", "train_epochs"]

BATCH = 512
"""Images per batch in evaluation."""

LOG_LOSS = metric("log_loss")

Array = np.ndarray[Any, Any]


def train_epochs(
    loop: EpochLoop,
    trial: Trial,
    data: Split,
    test: TestSet | None = None,
    first: int = 1,
    check: Callable[[], None] = lambda: None,
) -> Iterator[Epoch]:
    """Train a compiled model; training loss and accuracy are running means over the epoch's images.

    An epoch ends at the first batch whose loss is not finite, without validation. With `test`, each
    epoch is also evaluated on the test images, which changes nothing else. `first` is the first
    epoch to train, if the model resumes from a snapshot. `check` is called before each part of a long
    epoch and ends the training if it raises.
    """
    by = metric(trial.metric)
    train, val = loop.images(data.x_train, data.y_train), loop.images(data.x_val, data.y_val)
    train, val = replace(train, check=check), replace(val, check=check)
    tests = None if test is None else replace(loop.images(test.x, test.y), check=check)
    for epoch in range(first, trial.epochs + 1):
        started = time.perf_counter()
        order = batch_order(len(data.y_train), trial.seed, epoch)
        train_loss, train_accuracy = _train(loop, Batches(train, order, batch_size(trial, data)))
        val_loss, val_accuracy, score = (
            _validate(loop, val, data.y_val, by)
            if math.isfinite(train_loss)
            else (math.nan, math.nan, None)
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
            tested=_tested(loop, tests, test.y, by, trial.keeps_rows(epoch))
            if tests and test and finite
            else None,
            score=score,
        )


def batch_size(trial: Trial, data: Split) -> int:
    """Number of training images in a batch: the trial's, or all of them if those are fewer."""
    return min(trial.batch_size, len(data.y_train))


def _train(loop: EpochLoop, batches: Batches) -> tuple[float, float]:
    return _means(loop.train(batches), batches)


def _means(values: Array, batches: Batches) -> tuple[float, float]:
    """Means over images of loss and accuracy by batch (steps, 2), which may have ended early."""
    starts = batches.size * np.arange(len(values))
    sizes = np.minimum(batches.size, len(batches.order) - starts)
    # Added up one after another: `sum` would add pairs, which rounds otherwise.
    loss, accuracy = np.cumsum(sizes[:, None] * values, axis=0)[-1] / sizes.sum()
    return float(loss), float(accuracy)


def _in_order(images: Images, size: int) -> Batches:
    return Batches(images, np.arange(len(images.y)), size)


def _validate(
    loop: EpochLoop, images: Images, labels: Array, by: Metric
) -> tuple[float, float, float | None]:
    """Loss, accuracy and, if the metric is not accuracy, the score, in one pass over the validation set."""
    if by is ACCURACY:
        batches = _in_order(images, min(BATCH, len(labels)))
        return *_means(loop.evaluate(batches), batches), None
    probabilities = loop.predict(_in_order(images, BATCH))
    if not np.isfinite(probabilities).all():
        return math.nan, math.nan, None
    loss = LOG_LOSS.of(labels, probabilities)  # without regularization
    return loss, ACCURACY.of(labels, probabilities), by.of(labels, probabilities)


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


def _tested(loop: EpochLoop, images: Images, labels: Array, metric: Metric, rows: bool) -> Tested:
    """Which test images are classified correctly, and the score if the metric is not accuracy.

    `rows`: with the influence of each image.
    """
    probabilities = loop.predict(_in_order(images, BATCH))
    correct = np.packbits(probabilities.argmax(axis=1) == labels).tobytes()
    if metric is ACCURACY:
        return Tested(len(labels), correct)
    score = metric.of(labels, probabilities)
    if metric.influence is None or not rows:
        return Tested(len(labels), correct, score)
    return Tested(len(labels), correct, score, *quantized(metric.influence(labels, probabilities)))
