"""Metrics: what trials are compared by, in the search, the margin and the verdict.

A metric takes labels (n,) int64 from 0 and probabilities (n, classes) float32, and returns a float.
With it is registered which way is better, between what its values lie, and what a guess reaches that
looks at no image; for the intervals, how much each image weighs in it (`normsweep.parts.influence`).
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

__all__ = ["ACCURACY", "Metric", "metric", "register", "registry"]

registry = Registry("metric")

Array = np.ndarray[Any, Any]
Function = TypeVar("Function", bound=Callable[[Array, Array], float])
EVEN = 1.2
"""Classes are taken for even where the largest has up to this many times an even share."""
LEAST = float(np.finfo(np.float32).eps)
"""Probability below which the log loss counts no lower."""


@dataclass(frozen=True)
class Metric:
    """A registered metric.

    Attributes:
        name: as sweeps name it.
        function: takes labels (n,) int64 and probabilities (n, classes) float32, and returns a number.
        direction: as Optuna has it.
        range: the least and the largest value; infinite where there is none.
        chance: from numbers of images (classes,), the best that a guess reaches which looks at no image.
        influence: as in `normsweep.parts.influence`; None: intervals are for new seeds alone.
        every_class: whether it is only defined where each class has an image.
    """

    name: str
    function: Callable[[Array, Array], float]
    direction: Literal["maximize", "minimize"]
    range: tuple[float, float]
    chance: Callable[[Array], float]
    influence: Callable[[Array, Array], Array] | None = None
    every_class: bool = False

    @property
    def label(self) -> str:
        """Its name in words."""
        return LABELS.get(self.name, self.name.replace("_", " "))

    @property
    def percent(self) -> bool:
        """Whether values are shares, shown in percent, and their differences in percentage points."""
        return self.range == (0, 1)

    @property
    def scale(self) -> int:
        """By how much a difference is multiplied where people read it."""
        return 100 if self.percent else 1

    @property
    def unit(self) -> str:
        """Of a difference, where people read it."""
        return "percentage points" if self.percent else UNITS.get(self.name, "")

    def amount(self, difference: float) -> str:
        """A difference with its unit, in a few digits."""
        return f"{self.scale * difference:.3g} {self.unit}".strip()

    @property
    def sign(self) -> int:
        """1 where higher is better, −1 where lower is: times this, higher is always better."""
        return 1 if self.direction == "maximize" else -1

    @property
    def best(self) -> float:
        """The best value that there is."""
        return self.range[1] if self.sign > 0 else self.range[0]

    @property
    def worst(self) -> float:
        """The worst value that there is."""
        return self.range[0] if self.sign > 0 else self.range[1]

    def of(self, labels: Array, probabilities: Array) -> float:
        """Its value on images.

        Args:
            labels: (n,) int64.
            probabilities: (n, classes) float32, finite.

        Raises:
            ValueError: the function gave what is no finite number.
        """
        value = float(self.function(labels, probabilities))
        if not math.isfinite(value):
            raise ValueError(f"the metric {self.name} gave {value} on finite probabilities")
        return value

    def guessing(self, counts: Sequence[int] | Array) -> float:
        """What guessing reaches on classes of so many images each."""
        return float(self.chance(np.asarray(counts, np.float64)))


LABELS = {"f1_macro": "macro F1", "roc_auc": "ROC AUC"}
UNITS = {"log_loss": "nats"}


def register(
    name: str,
    *,
    direction: Literal["maximize", "minimize"],
    range: tuple[float, float],
    chance: Callable[[Array], float],
    influence: Callable[[Array, Array], Array] | None = None,
    every_class: bool = False,
) -> Callable[[Function], Function]:
    """A decorator that makes a function known as the metric `name`; arguments as fields of `Metric`.

    Raises:
        ValueError: the name is taken by another function.
    """

    def decorate(function: Function) -> Function:
        made = Metric(name, function, direction, range, chance, influence, every_class)
        return registry.register(name, made)(function)

    return decorate


def metric(name: str) -> Metric:
    """The metric of a name.

    Raises:
        SweepError: there is none.
    """
    if name not in registry:
        legal = ", ".join(part.name for part in registry)
        raise SweepError(f"metric: received {name}, which is not registered here; legal: {legal}")
    return registry[name].details


def _accuracy_of_guessing(counts: Array) -> float:
    """The share of the largest class; where classes are about even, one class's even share.

    Always the largest is what such a guess would be, and a network that has collapsed to it is no
    better. Up to `EVEN` a larger share is taken for chance in the drawing of the sample.
    """
    share, even = float(counts.max() / counts.sum()), 1 / len(counts)
    return even if share <= EVEN * even else share


def _one_class(counts: Array) -> float:
    # Of the macro F1 too: guessing classes by their shares reaches it, and no other guess more.
    return 1 / len(counts)


def _half(counts: Array) -> float:
    return 0.5


def _entropy(counts: Array) -> float:
    shares = counts[counts > 0] / counts.sum()
    return -float(np.sum(shares * np.log(shares)))


@register("accuracy", direction="maximize", range=(0, 1), chance=_accuracy_of_guessing)
def accuracy(labels: Array, probabilities: Array) -> float:
    """Share of the images whose likeliest class is theirs."""
    return float(np.mean(probabilities.argmax(axis=1) == labels))


@register(
    "balanced_accuracy",
    direction="maximize",
    range=(0, 1),
    chance=_one_class,
    influence=influence.balanced_accuracy,
    every_class=True,
)
def balanced_accuracy(labels: Array, probabilities: Array) -> float:
    """Mean over the classes of each one's share of right images."""
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
)
def roc_auc(labels: Array, probabilities: Array) -> float:
    """Area under the ROC curve; of more than two classes the mean of each against the rest."""
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
    """Mean of −ln of the probability given to the right class, in nats; at least 1.2e-7 each."""
    from sklearn.metrics import log_loss

    classes = np.arange(probabilities.shape[1])
    return float(log_loss(labels, probabilities.astype(np.float32), labels=classes))


ACCURACY = metric("accuracy")
"""What is compared by where a sweep names no metric."""
