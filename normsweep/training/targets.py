"""What a network is trained to give: labels or scaled targets, its loss, and back to the target's own unit."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from normsweep.errors import DataError, SweepError
from normsweep.parts import losses
from normsweep.parts.losses import Head
from normsweep.parts.metrics import BOUND, Metric
from normsweep.sweep.parameters import CROSSENTROPY, EQUAL, RAW, TABLE
from normsweep.sweep.problems import unknown
from normsweep.sweep.trial import Guessing, Trial
from normsweep.training.preprocessing import Inputs

__all__ = [
    "Scaling",
    "Targets",
    "check_targets",
    "fit_scaling",
    "fitted_to_split",
    "loss_key",
    "targets_of",
]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Scaling:
    """The scaling of a regression's targets: y, or ln(1 + y), minus `offset` and divided by `scale`."""

    offset: Array
    """(outputs,) float64."""
    scale: Array
    """(outputs,) float64."""
    logarithmic: bool = False

    def scaled(self, targets: Array) -> Array:
        """Targets (n, outputs) as the network is trained to give them, float32."""
        values = np.log1p(targets) if self.logarithmic else targets
        return ((values - self.offset) / self.scale).astype(np.float32)

    def undone(self, outputs: Array) -> Array:
        """Outputs of a network (n, outputs) in the target's own unit, float64."""
        values = outputs.astype(np.float64) * self.scale + self.offset
        with np.errstate(over="ignore"):
            return np.expm1(values) if self.logarithmic else values

    def attach(self, outputs: Any) -> Any:
        """Undo the scaling of a Keras tensor, by Keras's own layers."""
        import keras

        if (self.offset != 0).any() or (self.scale != 1).any():
            layer = keras.layers.Rescaling(
                self.scale.tolist(), self.offset.tolist(), dtype="float32"
            )
            outputs = layer(outputs)
        return keras.ops.expm1(outputs) if self.logarithmic else outputs


def fit_scaling(name: str, train: Array) -> Scaling:
    """Fit a scaling to the targets (n, outputs) of the training split; a scale of 0 counts as 1.

    Raises:
        DataError: log1p of targets of at most −1.
    """
    zeros, ones = np.zeros(train.shape[1]), np.ones(train.shape[1])
    varies = np.ptp(train, axis=0) > 0  # the deviation of equal values may be a rounding error
    if name == "standardize":
        return Scaling(train.mean(axis=0), np.where(varies, train.std(axis=0), 1.0))
    if name == "minmax":
        return Scaling(train.min(axis=0), np.where(varies, np.ptp(train, axis=0), 1.0))
    if name == "log1p" and train.min() <= -1:
        raise DataError(f"target: log1p needs targets above -1, got {train.min():.6g}")
    return Scaling(zeros, ones, logarithmic=name == "log1p")


@dataclass(frozen=True)
class Targets:
    """What a trial's network is trained to give."""

    head: Head
    loss: str
    loss_options: tuple[tuple[str, Any], ...]
    classes: int
    """0 in a regression."""
    weights: tuple[float, ...] = ()
    """Of the classes in the loss; empty if they are equal."""
    scaling: Scaling | None = None
    """Of a regression."""

    @property
    def plain(self) -> bool:
        """Whether labels are trained as they are, with Keras's cross-entropy of numbers of classes."""
        return self.loss == CROSSENTROPY and not self.loss_options and not self.weights

    @property
    def measures(self) -> tuple[str, ...]:
        """What Keras measures of each batch."""
        return ("loss", "accuracy") if self.classes else ("loss",)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what the loss takes for one row."""
        return () if self.plain else (self.head.units,)

    @property
    def dtype(self) -> str:
        """Of what the loss takes."""
        return "int64" if self.plain else "float32"

    @functools.cached_property
    def function(self) -> Any:
        """The loss of encoded targets and outputs: a Keras loss, or the name of one."""
        if self.plain:
            return "sparse_categorical_crossentropy"
        made = losses.registry[self.loss].function(**dict(self.loss_options))
        return _of_rows()(made, self.weights) if self.weights or not hasattr(made, "call") else made

    def encoded(self, y: Array) -> Array:
        """Labels (n,) or targets (n, outputs) as the loss takes them."""
        if self.scaling is not None:
            return self.scaling.scaled(y)
        if self.plain:
            return y
        if self.head.one_sigmoid:
            return y[:, None].astype(np.float32)
        return np.eye(self.classes, dtype=np.float32)[y]

    def decoded(self, outputs: Array) -> Array:
        """Outputs (n, units) as metrics take them: probabilities of all classes, or the target's own unit."""
        if self.scaling is not None:
            return self.scaling.undone(outputs)
        return np.hstack([1 - outputs, outputs]) if self.head.one_sigmoid else outputs

    def value(self, encoded: Array, outputs: Array) -> float:
        """The mean loss of outputs (n, units), without regularization; not for plain labels."""
        import keras

        return float(np.asarray(keras.ops.convert_to_numpy(self.function(encoded, outputs))))

    def guessing(self, inputs: Inputs, by: Metric, test: Array | None = None) -> Guessing | None:
        """What the best constant reaches; None if the numbers of images by class say it.

        `test`: the targets of the test rows, if the trial is evaluated on them.
        """
        if self.plain:
            return None
        encoded = self.encoded(inputs.split.y_train)
        loss = min(self.value(encoded, _rows(c, len(encoded))) for c in self._constants(encoded))
        least = min(self.value(encoded, outputs) for outputs in (encoded, self._smoothed(encoded)))
        if self.scaling is None:
            return Guessing(loss, least)
        constant = _best_constant(inputs.split.y_train, by)
        guess = _rows(constant, len(inputs.split.y_val))
        return Guessing(
            loss=loss,
            least=least,
            score=by.of(inputs.split.y_val, guess),
            reach=_reach(by, inputs.split.y_val, guess),
            test_score=np.nan if test is None else by.of(test, _rows(constant, len(test))),
        )

    def _smoothed(self, encoded: Array) -> Array:
        """The outputs of least loss with smoothed labels, Keras's way."""
        smoothing = float(dict(self.loss_options).get("label_smoothing", 0.0))
        classes = max(encoded.shape[1], 2) if self.scaling is None else 1
        return encoded if classes == 1 else encoded * (1 - smoothing) + smoothing / classes

    def _constants(self, encoded: Array) -> Iterator[Array]:
        yield encoded.mean(axis=0)
        if self.weights:
            rows = encoded[:, 0].astype(int) if self.head.one_sigmoid else encoded.argmax(axis=1)
            yield np.average(encoded, axis=0, weights=np.asarray(self.weights)[rows])
        if self.scaling is not None:
            yield np.median(encoded, axis=0)


@functools.cache
def _of_rows() -> type[Any]:
    """The class of a loss made of one, or of a function, whose rows have the weights of their classes."""
    import keras
    from keras import ops

    class OfRows(keras.losses.Loss):
        def __init__(self, loss: Any, weights: tuple[float, ...]) -> None:
            super().__init__(name=getattr(loss, "name", loss.__class__.__name__))
            self.of, self.weights = getattr(loss, "call", loss), weights

        def call(self, y_true: Any, y_pred: Any) -> Any:
            if not self.weights:
                return self.of(y_true, y_pred)
            y_true = ops.convert_to_tensor(y_true)
            if len(self.weights) == y_true.shape[-1]:
                weights = ops.sum(y_true * ops.cast(self.weights, y_true.dtype), axis=-1)
            else:  # one sigmoid output, of two classes
                low, high = self.weights
                weights = ops.squeeze(low + (high - low) * y_true, axis=-1)
            return self.of(y_true, y_pred) * weights

    return OfRows


def _rows(constant: Array, count: int) -> Array:
    return np.broadcast_to(constant, (count, len(constant)))


def _best_constant(train: Array, by: Metric) -> Array:
    """The mean or the median of the training targets: the one that is better on these."""
    constants = (train.mean(axis=0), np.median(train, axis=0))
    return max(constants, key=lambda each: by.sign * by.of(train, _rows(each, len(train))))


def _reach(by: Metric, targets: Array, guess: Array) -> float:
    if by.influence is None:
        return 0.0
    return BOUND * float(np.sqrt(np.mean(np.square(by.influence(targets, guess))) / len(targets)))


def targets_of(trial: Trial, inputs: Inputs) -> Targets:
    """What a trial's network is trained to give, fitted to its training split.

    Raises:
        DataError: the targets do not allow their scaling.
        SweepError: the loss does not allow the scaled targets, or the number of classes.
    """
    classes, outputs = inputs.classes, inputs.outputs
    head = losses.head(trial.loss, classes, outputs)
    if classes > 2 and head.one_sigmoid:
        raise SweepError(f"loss: {trial.loss} needs two classes, got {classes}")
    scaling = None if classes else fit_scaling(trial.target, inputs.split.y_train)
    if scaling is not None:
        _check_range(trial, scaling.scaled(inputs.split.y_train))
    return Targets(head, trial.loss, loss_options(trial), classes, _weights(trial, inputs), scaling)


def _weights(trial: Trial, inputs: Inputs) -> tuple[float, ...]:
    """The weights of the classes; balanced ones are n/(K·n_k), as scikit-learn's."""
    if trial.class_weight == EQUAL:
        return ()
    if trial.class_weight != TABLE:
        shares = np.asarray(inputs.counts) / sum(inputs.counts)
        return tuple((1 / (len(shares) * shares)).tolist())
    names = inputs.names or tuple(map(str, range(inputs.classes)))
    if strange := sorted(set(trial.class_weights) - set(names)):
        known = [f"data.class_weights.{strange[0]}: {unknown('class', strange[0], names)}"]
        raise SweepError(known)
    return tuple(float(trial.class_weights.get(name, 1.0)) for name in names)


def check_targets(trial: Trial, targets: Array) -> None:
    """Check all targets of a regression (n, outputs), whatever the split.

    Raises:
        DataError: the targets do not allow their scaling.
        SweepError: the loss does not allow the targets.
    """
    if targets.dtype.kind == "f" and not fitted_to_split(trial):
        _check_range(trial, fit_scaling(trial.target, targets).scaled(targets))


def fitted_to_split(trial: Trial) -> bool:
    """Whether the scaling of the targets depends on the training split."""
    return trial.target not in (RAW, "log1p")


def _check_range(trial: Trial, scaled: Array) -> None:
    low, high = losses.loss(trial.loss).range
    if scaled.min() < low or scaled.max() > high:
        how = "" if trial.target == RAW else f" after target = {trial.target}"
        raise SweepError(
            f"loss: {trial.loss} needs targets from {low:g} to {high:g}, got {scaled.min():.6g} to "
            f"{scaled.max():.6g}{how}; use target = minmax, or another loss"
        )


def loss_options(trial: Trial) -> tuple[tuple[str, Any], ...]:
    """The options of a trial's loss, without those that are what they are without being given."""
    known = inspect.signature(losses.registry[trial.loss].function).parameters
    given = trial.loss_options.items()
    return tuple(sorted((k, v) for k, v in given if k not in known or known[k].default != v))


def loss_key(trial: Trial) -> tuple[object, ...]:
    """What trials must have in common to share a loss."""
    weights = sorted(trial.class_weights.items())
    return trial.loss, json.dumps([loss_options(trial), trial.class_weight, weights])
