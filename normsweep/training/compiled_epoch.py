"""How the batches of an epoch are run: as one TensorFlow program if possible, otherwise one by one.

The program is a loop over Keras's own `train_step` on batches gathered on the device, so its results are
those of `train_on_batch` bit for bit, without the time that Python spends between two batches.
"""

from __future__ import annotations

import functools
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from normsweep.training.reproducibility import gpus

__all__ = [
    "LABELS",
    "MEASURES",
    "Batches",
    "EpochLoop",
    "Images",
    "OneByOne",
    "OneProgram",
    "Rows",
    "epoch_loop",
    "until_infinite",
]

Array = np.ndarray[Any, Any]

PART_BYTES = 2**24
"""Bytes of images sent to the program at once, if they are not kept on the device."""
GPU_BYTES = 2**30
"""Bytes of images kept on a GPU at most, and at most an eighth of the worker's share of its memory."""
PART_SECONDS = 4.0
"""Time that a part of an epoch takes: signals are handled between parts."""
FIRST_BATCHES = 16
"""Batches of the first part of all, whose time is unknown."""
MEASURES = ("loss", "accuracy")
"""What is measured of each batch in a classification."""
SIZES = 8
"""Sizes of batches whose programs are kept."""


@dataclass(frozen=True)
class Rows:
    """What rows of an array are like."""

    shape: tuple[int, ...]
    """Of one row."""
    dtype: str

    def zeros(self, count: int) -> Array:
        """So many rows of zeros."""
        return np.zeros((count, *self.shape), self.dtype)


LABELS = Rows((), "int64")
"""Numbers of classes."""


@dataclass(frozen=True)
class Images:
    """Images (n, …) and labels (n,), or targets (n, units): on the device, or NumPy arrays that are sent in parts."""

    x: Any
    y: Any
    on_device: bool
    check: Callable[[], None] = lambda: None
    """Called before each part; what it raises ends the epoch there."""

    @property
    def most(self) -> float:
        """Number of images to send at once; infinite if they are on the device."""
        return float("inf") if self.on_device else PART_BYTES // self.x[0].nbytes

    def part(self, order: Array, start: int, rows: int) -> tuple[Any, Any, Array]:
        """Arrays of images and labels, and the indices in them of the order's next `rows`."""
        stop = min(start + rows, len(order))
        if self.on_device:
            return self.x, self.y, order[start:stop]
        first = max(stop - rows, 0)  # the last part is as long as the others: JAX compiles by shape
        sent = order[first:stop]
        return self.x[sent], self.y[sent], np.arange(start - first, stop - first)


@dataclass(frozen=True)
class Batches:
    """Images in batches: the order in which they are taken, the last batch possibly smaller."""

    images: Images
    order: Array
    """(m,) int64, indices of images."""
    size: int
    """Images per batch."""

    def rows(self, most: float) -> int:
        """The largest number of images in whole batches that is at most `most`; at least one batch."""
        most = min(most, self.images.most, len(self.order))
        return max(int(most // self.size), 1) * self.size


class EpochLoop(ABC):
    """Runs a compiled Keras model on batches; losses and accuracies are those of single batches."""

    name: ClassVar[str]
    """What is recorded of how a trial was run."""

    def __init__(self, model: Any, measures: tuple[str, ...] = MEASURES) -> None:
        """`measures`: what is returned of each batch, the loss first."""
        self.model, self.measures = model, measures

    @abstractmethod
    def trace(self, size: int) -> None:
        """Trace the training with batches of this size, if that is done at all.

        Raises:
            Exception: whatever is raised if the network cannot be traced.
        """

    @abstractmethod
    def images(self, x: Array, y: Array) -> Images:
        """Images and labels for this loop, on the device if they fit."""

    @abstractmethod
    def train(self, batches: Batches) -> Array:
        """Train on the batches until a loss is not finite; returns the measures of each (steps, measures)."""

    def train_epoch(self, parts: Iterable[Batches]) -> list[Array]:
        """Train on the parts of an epoch until a loss is not finite; returns the measures of each part."""
        measures: list[Array] = []
        for batches in parts:
            measures.append(self.train(batches))
            if not np.isfinite(measures[-1][-1, 0]):
                break
        return measures

    @abstractmethod
    def evaluate(self, batches: Batches) -> Array:
        """The measures of each batch, (steps, measures) float64."""

    @abstractmethod
    def predict(self, batches: Batches) -> Array:
        """The network's outputs (m, units)."""


def epoch_loop(
    model: Any, images: Rows, labels: Rows = LABELS, measures: tuple[str, ...] = MEASURES
) -> EpochLoop:
    """The fastest loop for a compiled model of such images and labels, which measures these."""
    import keras

    if not _is_keras_own(model):
        return OneByOne(model, measures)
    if keras.backend.backend() == "jax":
        from normsweep.training.jax_epoch import Stepwise

        if not model.jit_compile:
            return OneByOne(model, measures)
        return Stepwise(model, images, labels, measures)
    return OneProgram(model, images, labels, measures)


def _is_keras_own(model: Any) -> bool:
    """Whether a model's batches may be run without its methods for single batches."""
    import keras

    kinds, whats = ("train", "test", "predict"), ("{}_on_batch", "make_{}_function")
    names = [what.format(kind) for kind in kinds for what in whats]
    own = all(getattr(type(model), name) is getattr(keras.Model, name) for name in names)
    return own and not model.run_eagerly


def create_metrics(model: Any, images: Rows, labels: Rows) -> None:
    """Create the variables of a compiled model's metrics, which the first batch would create."""
    outputs = np.full((2, model.output_shape[-1]), 0.5, np.float32)
    model.compute_metrics(images.zeros(2), labels.zeros(2), outputs)


def images_for_device(x: Array, y: Array, put: Callable[[Array], Any]) -> Images:
    """Images and labels, moved to the device by `put` if they may be kept there."""
    if x.nbytes > _kept_bytes():
        return Images(x, y, on_device=False)
    return Images(put(x), put(y), on_device=True)


def _kept_bytes() -> float:
    """Bytes of images that may be kept on the device. A CPU's memory holds them already."""
    if not gpus():
        return PART_BYTES
    limit = float(os.environ.get("NORMSWEEP_GPU_MEMORY_MIB", "inf"))
    return min(GPU_BYTES, limit * 2**20 / 8)


def until_infinite(values: Array) -> Array:
    """The rows of measures up to the first one whose loss is not finite, that one included."""
    bad = ~np.isfinite(values[:, 0])
    return values[: bad.argmax() + 1] if bad.any() else values


class OneByOne(EpochLoop):
    """Keras's methods for single batches, for networks that cannot be traced."""

    name = "batch"

    def trace(self, size: int) -> None:
        """Keras traces the first batch, if at all."""

    def images(self, x: Array, y: Array) -> Images:
        """The arrays themselves."""
        return Images(x, y, on_device=True)

    def train(self, batches: Batches) -> Array:
        """Train batch by batch."""
        values: list[list[float]] = []
        for x, y in self._each(batches):
            values.append(self._values(self.model.train_on_batch, x, y))
            if not np.isfinite(values[-1][0]):
                break
        return np.array(values)

    def evaluate(self, batches: Batches) -> Array:
        """Evaluate batch by batch."""
        return np.array(
            [self._values(self.model.test_on_batch, x, y) for x, y in self._each(batches)]
        )

    def predict(self, batches: Batches) -> Array:
        """Predict batch by batch."""
        return np.concatenate([self.model.predict_on_batch(x) for x, _ in self._each(batches)])

    def _values(self, method: Callable[..., Any], x: Array, y: Array) -> list[float]:
        self.model.reset_metrics()  # some versions of Keras accumulate metrics over batches
        logs = method(x, y, return_dict=True)
        return [float(logs[name]) for name in self.measures]

    def _each(self, batches: Batches) -> Iterator[tuple[Array, Array]]:
        for start in range(0, len(batches.order), batches.size):
            batches.images.check()
            batch = batches.order[start : start + batches.size]
            yield batches.images.x[batch], batches.images.y[batch]


@dataclass(frozen=True)
class _Step:
    """A step in TensorFlow."""

    run: Callable[[Any, Any], Any]
    """Takes images and labels of a batch, returns a tensor (…, columns)."""
    columns: int
    dtype: str
    stops: bool = False
    """Whether a result that is not finite in its first column is the last one."""


class OneProgram(EpochLoop):
    """TensorFlow programs with the loop over the batches; they are called on parts of long epochs.

    As in Keras, whole batches are of a size that is known when the program is traced, and only a smaller
    last batch is not: the gradients of a BatchNormalization would round otherwise.
    """

    name = "epoch"

    def __init__(
        self, model: Any, images: Rows, labels: Rows, measures: tuple[str, ...] = MEASURES
    ) -> None:
        """For a compiled model of such images and labels; nothing is traced yet."""
        super().__init__(model, measures)
        create_metrics(model, images, labels)  # a program would be traced twice if it created them
        forward, outputs = _compiled(model.predict_step, model), model.outputs[0]
        predict = _Step(lambda x, y: forward((x,)), outputs.shape[-1], outputs.dtype)
        self._train = _Programs(self._measured(model.train_step, stops=True), images, labels)
        self._evaluate = _Programs(self._measured(model.test_step), images, labels)
        self._predict = _Programs(predict, images, labels)

    def trace(self, size: int) -> None:
        """Trace the training with batches of this size."""
        self._train.whole(size).trace()

    def images(self, x: Array, y: Array) -> Images:
        """Tensors if the images may be kept on the device, otherwise the arrays."""
        import tensorflow as tf

        return images_for_device(x, y, tf.constant)

    def train(self, batches: Batches) -> Array:
        """Train until a loss is not finite."""
        self.model.reset_metrics()
        return self._train.run(batches)

    def evaluate(self, batches: Batches) -> Array:
        """Evaluate all batches."""
        self.model.reset_metrics()
        return self._evaluate.run(batches)

    def predict(self, batches: Batches) -> Array:
        """Predict all batches."""
        return self._predict.run(batches)

    def _measured(self, step: Callable[[Any], Any], *, stops: bool = False) -> _Step:
        """A step that returns the measures of its batch as (1, measures), and resets the metrics."""
        import tensorflow as tf

        compiled = _compiled(step, self.model)

        def values(x: Any, y: Any) -> Any:
            logs = compiled((x, y, None))
            each = [tf.cast(logs[name], tf.float64) for name in self.measures]
            self.model.reset_metrics()  # afterwards: a step of a custom network may create some
            return tf.stack(each)[None]

        return _Step(values, len(self.measures), "float64", stops)


def _compiled(step: Callable[[Any], Any], model: Any) -> Callable[[Any], Any]:
    """A step of the model, compiled by XLA if the model's are."""
    import tensorflow as tf

    if not model.jit_compile:
        return step
    return tf.function(step, jit_compile=True, reduce_retracing=True, autograph=False)


class _Programs:
    """The programs of one step: for whole batches of each size, and for a last batch of any size."""

    def __init__(self, step: _Step, images: Rows, labels: Rows) -> None:
        """For such images and labels."""

        def of(size: int) -> _Program:
            return _Program(_over_batches(step, size), images, labels)

        self.whole = functools.lru_cache(SIZES)(of)
        self._last = _Program(_last_batch(step), images, labels)
        self._stops = step.stops

    def run(self, batches: Batches) -> Array:
        """The joined results of all batches, or of those up to the end."""
        results: list[Array] = []
        for result in self._parts(batches):
            results.append(result)
            if self._stops and not np.isfinite(result[-1, 0]):
                break
        return np.concatenate(results)

    def _parts(self, batches: Batches) -> Iterator[Array]:
        images, order, size = batches.images, batches.order, batches.size
        whole = len(order) // size * size
        start, program = 0, self.whole(size)
        while start < whole:
            images.check()
            rows = min(batches.rows(program.rows(size)), whole - start)
            yield program(*images.part(order, start, rows))
            start += rows
        if whole < len(order):
            images.check()
            yield self._last(*images.part(order, whole, len(order) - whole))


class _Program:
    """A TensorFlow program of images, labels and the indices of those to use."""

    def __init__(self, program: Callable[..., Any], images: Rows, labels: Rows) -> None:
        import tensorflow as tf

        self._seconds: float | None = None
        """Time per image in the last call."""
        data = [tf.TensorSpec((None, *each.shape), each.dtype) for each in (images, labels)]
        signature = [*data, tf.TensorSpec((None,), tf.int64)]
        self._run = tf.function(program, input_signature=signature, autograph=False)

    def trace(self) -> None:
        """Trace now what would be traced by the first call."""
        self._run.get_concrete_function()

    def rows(self, size: int) -> float:
        """Number of images of which a call takes about `PART_SECONDS`, in batches of `size`."""
        return FIRST_BATCHES * size if self._seconds is None else PART_SECONDS / self._seconds

    def __call__(self, x: Any, y: Any, indices: Array) -> Array:
        """The results of the images at these indices."""
        began = time.perf_counter()
        results = self._run(x, y, indices).numpy()
        self._seconds = (time.perf_counter() - began) / len(indices)
        return results


def _over_batches(step: _Step, size: int) -> Callable[..., Any]:
    """A step on each batch of `size` images, the results joined."""
    import tensorflow as tf

    def program(x: Any, y: Any, indices: Any) -> Any:
        def goes_on(start: Any, finite: Any, results: Any) -> Any:
            return tf.logical_and(start + size <= tf.size(indices), finite)

        def body(start: Any, finite: Any, results: Any) -> Any:
            batch = tf.slice(indices, [start], [size])
            result = step.run(tf.gather(x, batch), tf.gather(y, batch))
            finite = tf.math.is_finite(result[0, 0]) if step.stops else finite
            return start + size, finite, results.write(results.size(), result)

        results = tf.TensorArray(
            step.dtype, 0, dynamic_size=True, infer_shape=False, element_shape=(None, step.columns)
        )
        begin = (tf.constant(0), tf.constant(True), results)
        return tf.while_loop(goes_on, body, begin, parallel_iterations=1)[-1].concat()

    return program


def _last_batch(step: _Step) -> Callable[..., Any]:
    import tensorflow as tf

    return lambda x, y, indices: step.run(tf.gather(x, indices), tf.gather(y, indices))
