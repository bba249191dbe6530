"""The batches of an epoch on JAX: one compiled step that gathers its images on the device.

A `lax.scan` over the batches would round otherwise; this step gives the results of `train_on_batch` bit for
bit, and its results are only waited for `AHEAD` steps later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from normsweep.training.compiled_epoch import (
    MEASURES,
    Batches,
    EpochLoop,
    Images,
    Rows,
    create_metrics,
    images_for_device,
    until_infinite,
)

__all__ = ["Stepwise"]

Array = np.ndarray[Any, Any]
Values = list[Any]
"""The values of a model's variables."""

AHEAD = 8
"""Number of steps that may be sent to the device before the loss of the first one is known."""


class Stepwise(EpochLoop):
    """A compiled step, called for each batch; the model's variables are set when an epoch ends."""

    name = "step"

    def __init__(
        self, model: Any, images: Rows, labels: Rows, measures: tuple[str, ...] = MEASURES
    ) -> None:
        """For a compiled model of such images and labels; nothing is traced yet."""
        super().__init__(model, measures)
        create_metrics(model, images, labels)  # a compiled step cannot
        self._train = jax.jit(self._train_step, donate_argnums=0)
        self._evaluate = jax.jit(self._test_step)
        self._predict = jax.jit(self._predict_step)

    def trace(self, size: int) -> None:
        """JAX traces the first batch."""

    def images(self, x: Array, y: Array) -> Images:
        """Arrays on the device if the images may be kept there."""
        return images_for_device(x, y, jax.device_put)

    def train(self, batches: Batches) -> Array:
        """Train until a loss is not finite."""
        model, metrics, rows = self.model, self._metrics(), []
        variables = [
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
        ]
        state = tuple(_values(each) for each in variables)
        try:
            for batch in _each(batches):
                row, state = self._train(state, metrics, *batch)
                rows.append(row)
                if len(rows) > AHEAD and not np.isfinite(rows[-AHEAD - 1][0]):
                    break
        finally:
            for each, values in zip(variables, state, strict=True):
                _assign(each, values)
        return until_infinite(_fetched(rows))

    def evaluate(self, batches: Batches) -> Array:
        """Evaluate all batches."""
        metrics = self._metrics()
        return _fetched(self._forward(self._evaluate, batches, metrics))

    def predict(self, batches: Batches) -> Array:
        """Predict all batches."""
        return np.concatenate(jax.device_get(self._forward(self._predict, batches)))

    def _forward(self, step: Callable[..., Any], batches: Batches, *more: Values) -> list[Any]:
        """The results of a step that changes at most variables that are not trainable."""
        trainable, others = self.model.trainable_variables, self.model.non_trainable_variables
        weights, rest, results = _values(trainable), _values(others), []
        for batch in _each(batches):
            result, rest = step(weights, rest, *more, *batch)
            results.append(result)
        _assign(others, rest)
        return results

    def _metrics(self) -> Values:
        """The values of the model's metrics before each batch."""
        self.model.reset_metrics()
        return _values(self.model.metrics_variables)

    def _train_step(self, state: Any, metrics: Values, x: Any, y: Any, batch: Any) -> Any:
        logs, (*state, _) = self.model.train_step((*state, metrics), (x[batch], y[batch], None))
        return self._row(logs), tuple(state)

    def _test_step(
        self, weights: Values, rest: Values, metrics: Values, x: Any, y: Any, batch: Any
    ) -> Any:
        data = (x[batch], y[batch], None)
        logs, (_, rest, _) = self.model.test_step((weights, rest, metrics), data)
        return self._row(logs), rest

    def _row(self, logs: Any) -> Any:
        return jnp.stack([jnp.asarray(logs[name], jnp.float32) for name in self.measures])

    def _predict_step(self, weights: Values, rest: Values, x: Any, y: Any, batch: Any) -> Any:
        return self.model.predict_step((weights, rest), (x[batch],))


def _each(batches: Batches) -> Iterator[tuple[Any, Any, Array]]:
    """Images, labels and the batch's indices, batch by batch."""
    rows = batches.rows(len(batches.order))
    for start in range(0, len(batches.order), rows):
        x, y, indices = batches.images.part(batches.order, start, rows)
        x, y = jax.device_put((x, y))
        for first in range(0, len(indices), batches.size):
            batches.images.check()
            yield x, y, indices[first : first + batches.size]


def _fetched(rows: Sequence[Any]) -> Array:
    """Measures by batch, (steps, measures), in one transfer."""
    return np.array(jax.device_get(rows), np.float64)


def _values(variables: Any) -> Values:
    return [variable.value for variable in variables]


def _assign(variables: Any, values: Values) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
