"""Callbacks of a user's own, called as Keras's `fit` calls them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any

import numpy as np

from normsweep.parts import callbacks
from normsweep.sweep.parameters import NO_CALLBACK
from normsweep.sweep.trial import Epoch, Trial
from normsweep.training.compiled_epoch import MEASURES, Batches, OneByOne

__all__ = ["BatchByBatch", "build_callback", "called", "has_batch_hooks"]

Array = np.ndarray[Any, Any]

BATCH_HOOKS = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")
NOT_CALLED = (
    "on_test_begin", "on_test_end", "on_test_batch_begin", "on_test_batch_end",
    "on_predict_begin", "on_predict_end", "on_predict_batch_begin", "on_predict_batch_end",
)  # fmt: skip
"""Hooks of Keras's `evaluate` and `predict`."""


def build_callback(trial: Trial) -> Any:
    """The callback of a trial; None if it has none.

    Raises:
        TypeError: the function does not return a Keras callback.
        ValueError: the callback has a hook that is not called.
    """
    import keras

    if trial.callback == NO_CALLBACK:
        return None
    made = callbacks.registry[trial.callback].function(**trial.callback_options)
    if not isinstance(made, keras.callbacks.Callback):
        raise TypeError(f"expected a keras.callbacks.Callback, got {type(made).__name__}")
    if (unused := _own(made, NOT_CALLED)) is not None:
        raise ValueError(
            f"its {unused} would not be called; use on_epoch_end, which gets the validation loss"
        )
    return made


def has_batch_hooks(callback: Any) -> bool:
    """Whether a callback has to be called for each batch."""
    return _own(callback, BATCH_HOOKS) is not None


def _own(callback: Any, hooks: tuple[str, ...]) -> str | None:
    """The first of these hooks that the callback defines."""
    import keras

    kind = keras.callbacks.Callback
    return next((n for n in hooks if getattr(type(callback), n) is not getattr(kind, n)), None)


def called(epochs: Iterator[Epoch], callback: Any, model: Any, trial: Trial) -> Iterator[Epoch]:
    """The epochs of a training from its first one on, with the hooks of training and epochs around them.

    It ends early if the callback sets `model.stop_training`. The callback is not told the number of epochs:
    a curve holds every shorter training.
    """
    callback.set_params({"verbose": 0})
    callback.set_model(model)
    model.stop_training = False
    callback.on_train_begin()
    for place in range(trial.epochs):
        callback.on_epoch_begin(place)
        epoch = next(epochs)
        callback.on_epoch_end(place, _logs(epoch))
        yield epoch
        if model.stop_training:
            break
    callback.on_train_end()


def _logs(epoch: Epoch) -> dict[str, float]:
    """What Keras's `fit` passes after an epoch."""
    return {
        "loss": epoch.train_loss,
        "accuracy": epoch.train_accuracy,
        "val_loss": epoch.val_loss,
        "val_accuracy": epoch.val_accuracy,
    }


class BatchByBatch(OneByOne):
    """Keras's methods for single batches, with the hooks for batches around them."""

    def __init__(self, model: Any, callback: Any, measures: tuple[str, ...] = MEASURES) -> None:
        """For a compiled model."""
        super().__init__(model, measures)
        self._callback, self._places = callback, count()

    def train_epoch(self, parts: Iterable[Batches]) -> list[Array]:
        """Train batch by batch; batches are counted through all parts."""
        self._places = count()
        return super().train_epoch(parts)

    def train(self, batches: Batches) -> Array:
        """Train batch by batch."""
        values: list[list[float]] = []
        for x, y in self._each(batches):
            place = next(self._places)
            self._callback.on_train_batch_begin(place)
            values.append(self._values(self.model.train_on_batch, x, y))
            self._callback.on_train_batch_end(
                place, dict(zip(self.measures, values[-1], strict=True))
            )
            if not np.isfinite(values[-1][0]):
                break
        return np.array(values)
