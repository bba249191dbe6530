"""Response surfaces: how accuracy depends on arm, optimizer, learning rate, epoch and seed.

`MNIST_LIKE` is a formula with the size of effects of LeNet on MNIST, `digits` the interpolation of what
`benchmarks.measure_surface` measured. In each planted study the optima are moved, and one arm is shifted so
that the gap between the best that both arms can reach is the planted one.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from math import log10, sqrt
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure_surface import EPOCHS, OPTIMIZERS, RATES, SEEDS, Measured, read_surface

__all__ = ["ARMS", "MNIST_LIKE", "Curve", "Place", "Planted", "Surface", "digits", "planted"]

Floats = NDArray[np.float64]
ARMS = ("none", "unit")
"""The arm and its reference."""
GUESSING = 0.1
Place = tuple[str, str]
"""Arm and optimizer."""


@dataclass(frozen=True)
class Curve:
    """Validation accuracy and loss of one training, (epochs,)."""

    accuracy: Floats
    loss: Floats


class Surface(Protocol):
    """Accuracies as fractions; a rate is its decimal logarithm."""

    margin: float
    range: tuple[float, float]
    """Ends of the searched rates."""
    validation: int
    """Numbers of validation and of test images."""
    test: int
    seed: float
    """Standard deviation over seeds of a network's accuracy, in margins, for the confirmation."""
    jitter: float
    """Standard deviation of the place of the optima between studies, in decades."""

    def expected(self, place: Place, rate: float) -> Floats:
        """The expected accuracy after each epoch."""
        ...

    def train(self, place: Place, rate: float, shift: float, rng: np.random.Generator) -> Curve:
        """One training with a new seed; accuracies are shifted where the network learned."""
        ...


@dataclass(frozen=True)
class Optimum:
    """Where an optimizer's best learning rate is, and what other rates lose after the last epoch, in points."""

    rate: float
    """Decimal logarithm of the best rate."""
    below: float
    """Loss at a tenth of the best rate; it grows with the square of the distance."""
    above: float
    """Loss at ten times the best rate, if it were not diverged."""
    cliff: float
    """Decades above the best rate from which training diverges."""
    worse: float = 0.0
    """Points behind the other optimizer at its best."""


@dataclass(frozen=True)
class Formula:
    """A surface of optima; `seed_noise` and `epoch_noise` are standard deviations in points."""

    margin: float
    range: tuple[float, float]
    validation: int
    test: int
    seed: float
    jitter: float
    best: float
    """The best accuracy."""
    seed_noise: float
    epoch_noise: float
    early: float
    """Points lost at a quarter of the epochs, with the best rate."""
    optima: Mapping[Place, Optimum]

    def expected(self, place: Place, rate: float) -> Floats:
        """The expected accuracy after each epoch; guessing beyond the cliff."""
        found = self.optima[place]
        distance = rate - found.rate
        if distance > found.cliff:
            return np.full(EPOCHS, GUESSING)
        loss = (found.below if distance < 0 else found.above) * distance**2
        slow = 1 + max(0.0, -distance)  # low rates are slow
        early = self.early * ((EPOCHS / np.arange(1, EPOCHS + 1)) ** (0.5 * slow) - 1)
        return np.maximum(self.best - (found.worse + loss + early) / 100, GUESSING)

    def train(self, place: Place, rate: float, shift: float, rng: np.random.Generator) -> Curve:
        """A training with noise of the seed, of each epoch and of the validation images."""
        mean = _shifted(self.expected(place, rate), shift)
        images = sqrt((1 - self.best) * self.best / self.validation)
        noise = (
            self.seed_noise * rng.standard_normal() + self.epoch_noise * rng.standard_normal(EPOCHS)
        ) / 100
        return _read(mean + noise + images * rng.standard_normal(), self.validation, rng)


MNIST_LIKE = Formula(
    0.002, (-5, -1), 12_000, 10_000, 0.5, 0.2, 0.988, 0.08, 0.15, 0.5,
    {
        ("none", "adam"): Optimum(-3.2, 0.45, 1.6, 0.7),
        ("none", "sgd"): Optimum(-3.6, 0.7, 2.0, 0.5, 0.3),
        ("unit", "adam"): Optimum(-3.0, 0.3, 0.7, 1.2),
        ("unit", "sgd"): Optimum(-1.2, 0.5, 0.7, 1.0, 0.1),
    },
)  # fmt: skip


@dataclass(frozen=True)
class Interpolated:
    """The measured surface, linear in the logarithm of the rate; noise is that of the measured seeds."""

    measured: Mapping[Place, Measured]
    margin: float = 0.02
    range: tuple[float, float] = (-4, -1)
    validation: int = 288
    test: int = 360
    seed: float = 0.4
    jitter: float = 0.2

    def expected(self, place: Place, rate: float) -> Floats:
        """The mean over seeds, validation and test images after each epoch."""
        left, weight = _between(rate)
        mean = self._means[place]
        return (1 - weight) * mean[left] + weight * mean[left + 1]

    def train(self, place: Place, rate: float, shift: float, rng: np.random.Generator) -> Curve:
        """The mean, and the deviation of one measured seed from its mean, with a random sign."""
        left, weight = _between(rate)
        near = left + int(rng.random() < weight)
        curves = self.measured[place].validation[near]
        deviation = curves[rng.integers(SEEDS)] - curves.mean(axis=0)
        sign = rng.choice((-1, 1)) * sqrt(SEEDS / (SEEDS - 1))
        mean = _shifted(self.expected(place, rate), shift)
        return _read(mean + sign * deviation, self.validation, rng)

    @functools.cached_property
    def _means(self) -> dict[Place, Floats]:
        return {
            place: (m.validation.mean(axis=1) + m.test.mean(axis=1)) / 2
            for place, m in self.measured.items()
        }


@functools.cache
def digits() -> Interpolated:
    """The surface that was measured on the digits."""
    return Interpolated(read_surface())


@dataclass(frozen=True)
class Planted:
    """A study: a surface with its optima moved, and the arm shifted."""

    surface: Surface
    gap: float
    """Between the best that arm and reference can reach after the last epoch, in margins."""
    moved: Mapping[Place, float] = field(default_factory=dict)
    shift: float = 0.0
    """Of the arm's accuracies."""

    def accuracy(self, arm: str, optimizer: str, rate: float) -> float:
        """The expected accuracy after the last epoch."""
        place, shift = (arm, optimizer), self.shift if arm == ARMS[0] else 0.0
        return float(_shifted(self.surface.expected(place, self._at(place, rate)), shift)[-1])

    def train(self, arm: str, optimizer: str, rate: float, rng: np.random.Generator) -> Curve:
        """The curve of one training."""
        place, shift = (arm, optimizer), self.shift if arm == ARMS[0] else 0.0
        return self.surface.train(place, self._at(place, rate), shift, rng)

    def _at(self, place: Place, rate: float) -> float:
        return log10(rate) - self.moved.get(place, 0.0)


def planted(surface: Surface, gap: float, rng: np.random.Generator, jitter: bool = True) -> Planted:
    """A study whose arms can reach the gap within the range of rates."""
    places: list[Place] = list(product(ARMS, OPTIMIZERS))
    moved = {p: surface.jitter * float(rng.standard_normal()) * jitter for p in places}
    study = Planted(surface, gap, moved)
    rates = 10 ** np.linspace(*surface.range, 41)
    arm, reference = (
        max(study.accuracy(a, o, rate) for o in OPTIMIZERS for rate in rates) for a in ARMS
    )
    return Planted(surface, gap, moved, gap * surface.margin - (arm - reference))


def _between(rate: float) -> tuple[int, float]:
    """The measured rate below a rate, and how far it is to the next, from 0 to 1."""
    steps = len(RATES) - 1
    place = min(max((rate - log10(RATES[0])) / log10(RATES[-1] / RATES[0]) * steps, 0.0), steps)
    left = min(int(place), steps - 1)
    return left, place - left


def _shifted(accuracy: Floats, shift: float) -> Floats:
    """A shift in proportion to what was learned: guessing stays guessing."""
    return accuracy + shift * np.clip((accuracy - GUESSING) / 0.8, 0, 1)


def _read(accuracy: Floats, images: int, rng: np.random.Generator) -> Curve:
    """Accuracy on so many images; the loss decreases with it and has noise of its own, which breaks ties."""
    read = np.rint(np.clip(accuracy, 0, 1) * images) / images
    return Curve(read, 3 * (1 - accuracy) + 0.01 * rng.random(len(read)))
