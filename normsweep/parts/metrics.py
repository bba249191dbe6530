"""Metrics: the objective of the search, and the unit of margin and verdict.

A metric takes labels (n,) int64 from 0 and probabilities (n, classes) float32, or for a regression
targets (n,) or (n, outputs) and predictions of the same shape, in the target's unit; it returns a float.
It is registered with its direction, its range, its chance level and its tasks; for the intervals, also
with the influence of each image or row (`normsweep.parts.influence`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np

from normsweep.errors import SweepError
from normsweep.parts import influence
from normsweep.parts.registry import Registry
from normsweep.sweep.problems import unknown
from normsweep.text import significant

__all__ = [
    "ACCURACY",
    "BOUND",
    "CLASSIFICATION",
    "DEFAULT",
    "REGRESSION",
    "Metric",
    "at_guessing",
    "metric",
    "register",
    "registry",
]

registry = Registry("metric")

Array = np.ndarray[Any, Any]
Function = TypeVar("Function", bound=Callable[[Array, Array], float])
CLASSIFICATION, REGRESSION = "classification", "regression"
EVEN = 1.2
"""Classes count as balanced if the largest has at most this many times an equal share."""
BOUND = 2.326
"""Normal quantile of 99 %."""
LEAST = float(np.finfo(np.float32).eps)
"""Smallest probability in the log loss; smaller ones are clipped to it."""


@dataclass(frozen=True)
class Metric:
    """A registered metric.

    Attributes:
        name: its name in sweep files.
        function: takes labels (n,) int64 and probabilities (n, classes) float32, and returns a number.
        direction: as in Optuna.
        range: the smallest and the largest value, possibly infinite.
        chance: the best value without looking at an image: from numbers of images (classes,), or from
            the targets (n,) or (n, outputs) of a regression.
        influence: as in `normsweep.parts.influence`; if None, intervals are for new seeds only.
        every_class: whether it is defined only if each class has an image.
        bound: from numbers of images (classes,), the largest difference of two networks in the influence
            of one image; if None, the largest that was seen.
        tasks: the tasks that it is for.
    """

    name: str
    function: Callable[[Array, Array], float]
    direction: Literal["maximize", "minimize"]
    range: tuple[float, float]
    chance: Callable[[Array], float]
    influence: Callable[[Array, Array], Array] | None = None
    every_class: bool = False
    bound: Callable[[Array], float] | None = None
    tasks: tuple[str, ...] = (CLASSIFICATION,)

    @property
    def label(self) -> str:
        """Its name in words."""
        return LABELS.get(self.name, self.name.replace("_", " "))

    @property
    def percent(self) -> bool:
        """Whether values are shares: shown in percent, their differences in percentage points."""
        return self.range == (0, 1)

    @property
    def scale(self) -> int:
        """Factor of a difference in reports."""
        return 100 if self.percent else 1

    @property
    def unit(self) -> str:
        """Unit of a difference in reports."""
        return "percentage points" if self.percent else UNITS.get(self.name, "")

    def amount(self, difference: float) -> str:
        """A declared difference with its digits, up to six significant ones, and its unit."""
        return self.measured(significant(self.scale * difference, 6))

    def measured(self, number: str) -> str:
        """A difference that is written already with its unit, otherwise the label: `1 percentage point`."""
        unit = self.unit.removesuffix("s") if number == "1" else self.unit
        return f"{number} {unit or self.label}"

    def shown(self, value: float) -> str:
        """A value with four decimals, or of a regression with four significant digits."""
        return significant(value, 4) if REGRESSION in self.tasks else f"{value:.4f}"

    @property
    def sign(self) -> int:
        """1 if higher is better, −1 if lower is; the product with it is always better if higher."""
        return 1 if self.direction == "maximize" else -1

    @property
    def best(self) -> float:
        """The best possible value."""
        return self.range[1] if self.sign > 0 else self.range[0]

    @property
    def worst(self) -> float:
        """The worst possible value."""
        return self.range[0] if self.sign > 0 else self.range[1]

    def of(self, labels: Array, probabilities: Array) -> float:
        """The value of the metric on images or rows.

        Args:
            labels: (n,) int64; of a regression the targets, (n,) or (n, outputs).
            probabilities: (n, classes) float32, finite; of a regression the predictions, as the targets.

        Raises:
            ValueError: the value is not finite.
        """
        value = float(self.function(labels, probabilities))
        if not math.isfinite(value):
            raise ValueError(
                f"metric {self.name}: expected a finite number, got {value} for finite "
                f"{'predictions' if REGRESSION in self.tasks else 'probabilities'}"
            )
        return value

    def image_bound(self, counts: Sequence[int]) -> float | None:
        """The largest difference of two networks in the influence of one image.

        Args:
            counts: numbers of test images by class; empty if they are unknown.

        Returns:
            None if it is only known from what was seen; 0 if influences are unknown.
        """
        if self.name == "accuracy":
            return 1.0
        if self.influence is None:
            return 0.0
        if self.bound is None or not counts or min(counts) == 0:
            return None
        return float(self.bound(np.asarray(counts, np.float64)))

    def guessing(self, counts: Sequence[float] | Array) -> float:
        """Chance level for classes of `counts` images, or for the targets of a regression."""
        return float(self.chance(np.asarray(counts, np.float64)))


def at_guessing(accuracy: float, images: int, share: float) -> bool:
    """Whether an accuracy on so many images is not above guessing, by its one-sided 99 % bound.

    `share` is that of the largest class.
    """
    return accuracy - BOUND * math.sqrt(max(accuracy * (1 - accuracy), 0.0) / images) <= share


LABELS = {
    "f1_macro": "macro F1",
    "roc_auc": "ROC AUC",
    "brier": "Brier score",
    "mae": "MAE",
    "mse": "MSE",
    "rmse": "RMSE",
    "r2": "R²",
}
UNITS = {"log_loss": "nats"}


def register(
    name: str,
    *,
    direction: Literal["maximize", "minimize"],
    range: tuple[float, float],
    chance: Callable[[Array], float],
    influence: Callable[[Array, Array], Array] | None = None,
    every_class: bool = False,
    bound: Callable[[Array], float] | None = None,
    tasks: tuple[str, ...] = (CLASSIFICATION,),
) -> Callable[[Function], Function]:
    """Decorator that registers a function as the metric `name`; arguments as of `Metric`.

    Raises:
        ValueError: another function has this name.
    """

    def decorate(function: Function) -> Function:
        made = Metric(
            name, function, direction, range, chance, influence, every_class, bound, tasks
        )
        return registry.register(name, made)(function)

    return decorate


def metric(name: str) -> Metric:
    """The registered metric of a name.

    Raises:
        SweepError: there is none.
    """
    if name not in registry:
        raise SweepError(f"metric: {unknown('metric', name, [part.name for part in registry])}")
    return registry[name].details


def _accuracy_of_guessing(counts: Array) -> float:
    """The share of the largest class, or an equal share if the classes are about balanced.

    The best guess is always the largest class, and so is the prediction of a collapsed network.
    A share up to `EVEN` times an equal one is attributed to sampling.
    """
    share, even = float(counts.max() / counts.sum()), 1 / len(counts)
    return even if share <= EVEN * even else share


def _one_class(counts: Array) -> float:
    # For macro F1 too: guessing classes by their shares reaches it, and no guess is better.
    return 1 / len(counts)


def _half(counts: Array) -> float:
    return 0.5


def _entropy(counts: Array) -> float:
    shares = counts[counts > 0] / counts.sum()
    return -float(np.sum(shares * np.log(shares)))


def _rarest(counts: Array) -> float:
    """1/(K·π) of the rarest class: an image is right or wrong.

    For macro F1 too, if a class is predicted about as often as it occurs: an image that is wrong costs
    (2 − F)/(2·π) in its own class and F/(2·π) in another.
    """
    return float(counts.sum() / (len(counts) * counts.min()))


def _all_placements(counts: Array) -> float:
    """An image is ranked above or below all of the other side: 1/π of its side, as a mean over classes."""
    shares = counts / counts.sum()
    if len(shares) == 2:
        return float(1 / shares.min())
    own, other = 1 / shares, 1 / (1 - shares)
    return float(np.max(own - other) + other.sum()) / len(shares)


@register("accuracy", direction="maximize", range=(0, 1), chance=_accuracy_of_guessing)
def accuracy(labels: Array, probabilities: Array) -> float:
    """Share of correctly classified images."""
    return float(np.mean(probabilities.argmax(axis=1) == labels))


@register(
    "balanced_accuracy",
    direction="maximize",
    range=(0, 1),
    chance=_one_class,
    influence=influence.balanced_accuracy,
    every_class=True,
    bound=_rarest,
)
def balanced_accuracy(labels: Array, probabilities: Array) -> float:
    """Mean of the recall over the classes."""
    from sklearn.metrics import recall_score

    classes = np.arange(probabilities.shape[1])
    predicted = probabilities.argmax(axis=1)
    return float(recall_score(labels, predicted, labels=classes, average="macro"))


@register(
    "f1_macro",
    direction="maximize",
    range=(0, 1),
    chance=_one_class,
    influence=influence.f1_macro,
    every_class=True,
    bound=_rarest,
)
def f1_macro(labels: Array, probabilities: Array) -> float:
    """Mean over the classes of F1, the harmonic mean of precision and recall."""
    from sklearn.metrics import f1_score

    classes = np.arange(probabilities.shape[1])
    predicted = probabilities.argmax(axis=1)
    return float(f1_score(labels, predicted, labels=classes, average="macro"))


@register(
    "roc_auc",
    direction="maximize",
    range=(0, 1),
    chance=_half,
    influence=influence.roc_auc,
    every_class=True,
    bound=_all_placements,
)
def roc_auc(labels: Array, probabilities: Array) -> float:
    """Area under the ROC curve; for more than two classes the mean of one-vs-rest areas."""
    from sklearn.metrics import roc_auc_score

    if probabilities.shape[1] == 2:
        return float(roc_auc_score(labels, probabilities[:, 1]))
    areas = [roc_auc_score(labels == k, p) for k, p in enumerate(probabilities.T)]
    return float(np.mean(areas))


@register(
    "log_loss",
    direction="minimize",
    range=(0, -math.log(LEAST)),
    chance=_entropy,
    influence=influence.log_loss,
)
def log_loss(labels: Array, probabilities: Array) -> float:
    """Mean of −ln of the probability of the true class, clipped at 1.2e-7, in nats."""
    from sklearn.metrics import log_loss

    classes = np.arange(probabilities.shape[1])
    return float(log_loss(labels, probabilities.astype(np.float32), labels=classes))


def _impurity(counts: Array) -> float:
    return 1 - float(np.sum(np.square(counts / counts.sum())))


def _two(counts: Array) -> float:
    return 2.0


@register(
    "brier",
    direction="minimize",
    range=(0, 2),
    chance=_impurity,
    influence=influence.brier,
    bound=_two,
)
def brier(labels: Array, probabilities: Array) -> float:
    """Mean squared distance of the probabilities from 1 for the true class and 0 for the others."""
    return float(influence.squared_distances(labels, probabilities).mean())


INFINITY = float("inf")


def _about_the_mean(power: float) -> Callable[[Array], float]:
    """The mean squared distance of the targets from their mean, or its root."""
    return lambda targets: float(np.var(targets, axis=0).mean() ** power)


def _about_the_median(mean: Callable[..., Any]) -> Callable[[Array], float]:
    """The mean or median distance of the targets from their median."""
    return lambda targets: float(
        np.mean(mean(np.abs(targets - np.median(targets, axis=0)), axis=0))
    )


def _nothing_explained(targets: Array) -> float:
    return 0.0


@register(
    "mae",
    direction="minimize",
    range=(0, INFINITY),
    chance=_about_the_median(np.mean),
    influence=influence.mae,
    tasks=(REGRESSION,),
)
def mae(targets: Array, predictions: Array) -> float:
    """Mean absolute error, in the target's unit."""
    return float(influence.absolute_errors(targets, predictions).mean())


@register(
    "mse",
    direction="minimize",
    range=(0, INFINITY),
    chance=_about_the_mean(1),
    influence=influence.mse,
    tasks=(REGRESSION,),
)
def mse(targets: Array, predictions: Array) -> float:
    """Mean squared error, in the square of the target's unit."""
    return float(influence.squared_errors(targets, predictions).mean())


@register(
    "rmse",
    direction="minimize",
    range=(0, INFINITY),
    chance=_about_the_mean(0.5),
    influence=influence.rmse,
    tasks=(REGRESSION,),
)
def rmse(targets: Array, predictions: Array) -> float:
    """Root of the mean squared error, in the target's unit."""
    return math.sqrt(mse(targets, predictions))


@register(
    "r2",
    direction="maximize",
    range=(-INFINITY, 1),
    chance=_nothing_explained,
    influence=influence.r2,
    tasks=(REGRESSION,),
)
def r2(targets: Array, predictions: Array) -> float:
    """Coefficient of determination, 1 − MSE / variance of the targets; of several outputs their mean."""
    return 1 - float(influence.unexplained(targets, predictions).mean())


@register(
    "median_absolute_error",
    direction="minimize",
    range=(0, INFINITY),
    chance=_about_the_median(np.median),
    influence=influence.median_absolute_error,
    tasks=(REGRESSION,),
)
def median_absolute_error(targets: Array, predictions: Array) -> float:
    """Median of the absolute errors, in the target's unit; of several outputs the mean of their medians."""
    return float(np.median(influence.errors_by_output(targets, predictions), axis=0).mean())


ACCURACY = metric("accuracy")
"""The default metric."""
DEFAULT = {CLASSIFICATION: "accuracy", REGRESSION: "rmse"}
"""The default metric of each task."""
