"""The loop over epochs.

Keras's `fit` sets up a data pipeline at each call and, once the global seed is set, shuffles every
epoch the same way; with arrays in memory, an explicit order of the images avoids both.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
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

__all__ = [
    "BATCH",
    "Alone",
    "Passes",
    "TestSet",
    "batch_size",
    "orders",
    "penalty",
    "prepare_test",
    "train_epochs",
]

BATCH = 512
"""Images per batch in evaluation."""

LOG_LOSS = metric("log_loss")

Array = np.ndarray[Any, Any]


class Passes(ABC):
    """A trial's passes over its images."""

    @abstractmethod
    def train(self, epoch: int) -> tuple[Array, Array]:
        """Train an epoch, counted from 1, until a loss is not finite.

        Returns:
            The measures of each batch (steps, measures), and the number of its images (steps,).
        """

    @abstractmethod
    def validate(self) -> tuple[Array, Array]:
        """The same for batches of the validation images, without training."""

    @abstractmethod
    def outputs(self) -> Array:
        """The network's outputs for the validation images (m, units)."""

    @abstractmethod
    def penalty(self) -> float:
        """What the regularizers of the network's weights add to its loss."""

    @abstractmethod
    def test_outputs(self) -> Array:
        """The network's outputs for the test images (m, units)."""

    @property
    @abstractmethod
    def seconds(self) -> float:
        """Wall time since the training of the epoch began, with the validation but without the test."""


class Alone(Passes):
    """The passes of a network that is trained by itself."""

    def __init__(
        self,
        loop: EpochLoop,
        trial: Trial,
        data: Split,
        targets: Targets,
        test: TestSet | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """`check` is called before each part of a long pass, and ends the training if it raises."""

        def images(x: Array, y: Array) -> Images:
            return replace(loop.images(x, targets.encoded(y)), check=check)

        self._loop, self._trial, self._data = loop, trial, data
        self._train = images(data.x_train, data.y_train)
        self._val = images(data.x_val, data.y_val)
        self._test = images(test.x, test.y) if test else None
        self._began = time.perf_counter()

    def train(self, epoch: int) -> tuple[Array, Array]:
        """Train an epoch."""
        self._began = time.perf_counter()
        size = batch_size(self._trial, self._data)
        parts = [
            Batches(self._train, order, size) for order in orders(self._trial, self._data, epoch)
        ]
        measures = self._loop.train_epoch(parts)  # fewer if a loss is not finite
        sizes = [_sizes(part, len(each)) for part, each in zip(parts, measures, strict=False)]
        return np.concatenate(measures), np.concatenate(sizes)

    def validate(self) -> tuple[Array, Array]:
        """Measures and sizes of the validation batches."""
        batches = _in_order(self._val, min(BATCH, len(self._data.y_val)))
        values = self._loop.evaluate(batches)
        return values, _sizes(batches, len(values))

    def outputs(self) -> Array:
        """Outputs for the validation images."""
        return self._loop.predict(_in_order(self._val, BATCH))

    def penalty(self) -> float:
        """What the regularizers of the network's weights add to its loss."""
        return penalty(self._loop.model)

    def test_outputs(self) -> Array:
        """Outputs for the test images."""
        assert self._test is not None
        return self._loop.predict(_in_order(self._test, BATCH))

    @property
    def seconds(self) -> float:
        """Wall time since the epoch began."""
        return time.perf_counter() - self._began


def train_epochs(
    passes: Passes,
    trial: Trial,
    targets: Targets,
    y_val: Array,
    y_test: Array | None = None,
    first: int = 1,
) -> Iterator[Epoch]:
    """Train a network to give `targets`; training loss and accuracy are means over the epoch's images.

    An epoch ends at the first batch whose loss is not finite, without validation. `y_val` and `y_test` are
    the labels or targets of the validation and test images. With `y_test`, each epoch is also evaluated on
    the test images, which changes nothing else. `first` is the first epoch to train, if the model resumes
    from a snapshot.
    """
    by = metric(trial.metric)
    labels = Labels(y_val, targets.encoded(y_val), targets)
    for epoch in range(first, trial.epochs + 1):
        train_loss, train_accuracy = _means(*passes.train(epoch))
        val_loss, val_accuracy, score = (
            _validate(passes, labels, by)
            if math.isfinite(train_loss)
            else (math.nan, math.nan, None)
        )
        seconds = passes.seconds
        finite = math.isfinite(train_loss) and math.isfinite(val_loss)
        yield Epoch(
            trial=trial.number,
            epoch=epoch,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            seconds=seconds,
            tested=_tested(passes, y_test, targets, by, trial.keeps_rows(epoch))
            if y_test is not None and finite
            else None,
            score=score,
        )


def batch_size(trial: Trial, data: Split) -> int:
    """Number of training images in a batch: the trial's, or all of them if those are fewer."""
    return min(trial.batch_size, len(data.y_train))


def orders(trial: Trial, data: Split, epoch: int) -> Iterator[Array]:
    """In which order an epoch takes the images: a pass over all, or its steps of one or more passes."""
    images, steps = len(data.y_train), data.steps_of(trial)
    if trial.steps_per_epoch is None:
        yield batch_order(images, trial.seed, epoch)
        return
    size = batch_size(trial, data)
    of_pass, step, end = data.steps(size), (epoch - 1) * steps, epoch * steps
    while step < end:
        number, first = divmod(step, of_pass)
        last = min(of_pass, first + end - step)
        yield batch_order(images, trial.seed, number + 1)[first * size : last * size]
        step += last - first


def _sizes(batches: Batches, steps: int) -> Array:
    """Number of images in each of the first batches."""
    return np.minimum(batches.size, len(batches.order) - batches.size * np.arange(steps))


def _means(values: Array, sizes: Array) -> tuple[float, float]:
    """Means over images of loss and accuracy by batch (steps, measures).

    The accuracy is NaN if it was not measured.
    """
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


def _validate(passes: Passes, labels: Labels, by: Metric) -> tuple[float, float, float | None]:
    """Loss, accuracy and, if the metric is not accuracy, the score, in one pass over the validation set."""
    if by is ACCURACY:
        return *_means(*passes.validate()), None
    outputs = passes.outputs()
    decoded = labels.targets.decoded(outputs)
    if not np.isfinite(decoded).all():
        return math.nan, math.nan, None
    accuracy = ACCURACY.of(labels.own, decoded) if labels.targets.classes else math.nan
    loss = labels.loss(outputs) + passes.penalty()  # as Keras, which measures it with the accuracy
    return loss, accuracy, by.of(labels.own, decoded)


def penalty(
    model: Any, value: Callable[[int, Any], Any] = lambda index, variable: variable
) -> float:
    """What the regularizers of a model's weights add to its loss.

    Args:
        model: a Keras model.
        value: the value of a trainable variable, of its index and the variable.
    """
    from keras.ops import convert_to_numpy

    found = enumerate(model.trainable_variables)
    losses = [v.regularizer(value(i, v)) for i, v in found if v.regularizer is not None]
    return sum(float(np.asarray(convert_to_numpy(loss))) for loss in losses)


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
    passes: Passes, labels: Array, targets: Targets, metric: Metric, rows: bool
) -> Tested | None:
    """Which test images are classified correctly, and the score if the metric is not accuracy.

    `rows`: with the influence of each image. None if the outputs of a regression are not finite.
    """
    probabilities = targets.decoded(passes.test_outputs())
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
