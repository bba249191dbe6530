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
from normsweep.training.targets import Targets

__all__ = ["TestSet", "batch_size", "prepare_test", "train_epochs"]

BATCH = 512
"""Images per batch in evaluation."""

LOG_LOSS = metric("log_loss")

Array = np.ndarray[Any, Any]


def train_epochs(
    loop: EpochLoop,
    trial: Trial,
    data: Split,
    targets: Targets,
    test: TestSet | None = None,
    first: int = 1,
    check: Callable[[], None] = lambda: None,
) -> Iterator[Epoch]:
    """Train a compiled model to give `targets`; training loss and accuracy are means over the epoch's images.

    An epoch ends at the first batch whose loss is not finite, without validation. With `test`, each
    epoch is also evaluated on the test images, which changes nothing else. `first` is the first
    epoch to train, if the model resumes from a snapshot. `check` is called before each part of a long
    epoch and ends the training if it raises.
    """
    by = metric(trial.metric)
    train = loop.images(data.x_train, targets.encoded(data.y_train))
    val_targets = targets.encoded(data.y_val)
    val = loop.images(data.x_val, val_targets)
    train, val = replace(train, check=check), replace(val, check=check)
    tests = None
    if test is not None:
        tests = replace(loop.images(test.x, targets.encoded(test.y)), check=check)
    for epoch in range(first, trial.epochs + 1):
        started = time.perf_counter()
        order = batch_order(len(data.y_train), trial.seed, epoch)
        train_loss, train_accuracy = _train(loop, Batches(train, order, batch_size(trial, data)))
        val_loss, val_accuracy, score = (
            _validate(loop, val, Labels(data.y_val, val_targets, targets), by)
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
            tested=_tested(loop, tests, test.y, targets, by, trial.keeps_rows(epoch))
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
    """Means over images of loss and accuracy by batch (steps, measures), which may have ended early.

    The accuracy is NaN if it was not measured.
    """
    starts = batches.size * np.arange(len(values))
    sizes = np.minimum(batches.size, len(batches.order) - starts)
    # Added up one after another: `sum` would add pairs, which rounds otherwise.
    loss, *more = np.cumsum(sizes[:, None] * values, axis=0)[-1] / sizes.sum()
    return float(loss), float(more[0]) if more else math.nan


def _in_order(images: Images, size: int) -> Batches:
    return Batches(images, np.arange(len(images.y)), size)


@dataclass(frozen=True)
class Labels:
    """The labels or targets of images, by themselves and as the loss takes them."""

    own: Array
    encoded: Array
    targets: Targets

    def loss(self, outputs: Array) -> float:
        """The mean loss of a network's outputs, without regularization."""
        if self.targets.plain:
            return LOG_LOSS.of(self.own, outputs)
        return self.targets.value(self.encoded, outputs)


def _validate(
    loop: EpochLoop, images: Images, labels: Labels, by: Metric
) -> tuple[float, float, float | None]:
    """Loss, accuracy and, if the metric is not accuracy, the score, in one pass over the validation set."""
    if by is ACCURACY:
        batches = _in_order(images, min(BATCH, len(labels.own)))
        return *_means(loop.evaluate(batches), batches), None
    outputs = loop.predict(_in_order(images, BATCH))
    decoded = labels.targets.decoded(outputs)
    if not np.isfinite(decoded).all():
        return math.nan, math.nan, None
    accuracy = ACCURACY.of(labels.own, decoded) if labels.targets.classes else math.nan
    return labels.loss(outputs), accuracy, by.of(labels.own, decoded)


@dataclass(frozen=True)
class TestSet:
    """The test images as inputs of one arm's network, in the dataset's order."""

    __test__ = False  # for pytest

    x: Array
    """(n, height, width, channels): normalized if the arm's preprocessing is fixed, otherwise raw."""
    y: Array
    """(n,) int64, or (n, outputs) float64."""
    digest: str
    """SHA-256 of the raw test images and labels, hexadecimal."""


def prepare_test(dataset: Dataset, preprocessing: Preprocessing) -> TestSet:
    """The test images of an arm, with its fitted preprocessing applied if that is fixed."""
    x = preprocessing.apply(dataset.x_test) if preprocessing.fixed else dataset.x_test
    return TestSet(x, dataset.y_test, dataset.test_digest)


def _tested(
    loop: EpochLoop, images: Images, labels: Array, targets: Targets, metric: Metric, rows: bool
) -> Tested | None:
    """Which test images are classified correctly, and the score if the metric is not accuracy.

    `rows`: with the influence of each image. None if the outputs of a regression are not finite.
    """
    probabilities = targets.decoded(loop.predict(_in_order(images, BATCH)))
    if not targets.classes and not np.isfinite(probabilities).all():
        return None
    correct = b""
    if targets.classes:
        correct = np.packbits(probabilities.argmax(axis=1) == labels).tobytes()
    if metric is ACCURACY:
        return Tested(len(labels), correct)
    score = metric.of(labels, probabilities)
    if metric.influence is None or not rows:
        return Tested(len(labels), correct, score)
    return Tested(len(labels), correct, score, *quantized(metric.influence(labels, probabilities)))
