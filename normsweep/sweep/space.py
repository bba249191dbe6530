"""The search space: each parameter is a list of choices or a range, with or without conditions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, replace

__all__ = ["Choice", "Condition", "Dimension", "Range", "Scalar", "Space"]

Scalar = bool | int | float | str


@dataclass(frozen=True)
class Condition:
    """A parameter is active only if `parent` has one of `values`."""

    parent: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True)
class Choice:
    """A list of values; a fixed value is a list of one."""

    name: str
    values: tuple[Scalar, ...]
    when: tuple[Condition, ...] = ()
    sample: bool = False
    """Of the epochs only: whether each trial samples a number of epochs."""

    def from_unit(self, u: float) -> Scalar:
        """The value at `u` in [0, 1): each value of the list has an equal share."""
        return self.values[min(int(u * len(self.values)), len(self.values) - 1)]

    @property
    def count(self) -> int:
        """The number of values."""
        return len(self.values)

    def grid(self) -> tuple[Scalar, ...]:
        """All values, in order."""
        return self.values

    @property
    def largest(self) -> Scalar:
        """The largest value, if the values are numbers."""
        return max(self.values)  # type: ignore[type-var]

    def to_unit(self, value: Scalar) -> float:
        """The place of a value in the list, from 0 to 1."""
        return (sorted(self.values).index(value) + 0.5) / len(self.values)  # type: ignore[type-var]

    def contains(self, value: Scalar) -> bool:
        """Whether this is one of the values."""
        return value in self.values

    def including(self, value: Scalar) -> Choice:
        """The list with this value."""
        return self if self.contains(value) else replace(self, values=(*self.values, value))


@dataclass(frozen=True)
class Range:
    """Integers (`integer`) or real numbers from `low` to `high`, both included."""

    name: str
    low: float
    high: float
    integer: bool = False
    log: bool = False
    step: float | None = None
    when: tuple[Condition, ...] = ()
    sample: bool = False
    """Of the epochs only: whether each trial samples a number of epochs."""

    def from_unit(self, u: float) -> Scalar:
        """The value at `u` in [0, 1): uniform, or uniform in the logarithm if `log`."""
        if self.integer or self.step is not None:
            return self._stepped(u)
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            return min(max(math.exp(low + u * (high - low)), self.low), self.high)
        return min(self.low + u * (self.high - self.low), self.high)

    def _stepped(self, u: float) -> Scalar:
        if self.log:
            low, high = math.log(self.low - 0.5), math.log(self.high + 0.5)
            value = round(math.exp(low + u * (high - low)))
            return int(min(max(value, self.low), self.high))
        return self._point(min(int(u * self._count), self._count - 1))

    @property
    def count(self) -> int | None:
        """The number of values; None if there are infinitely many."""
        return self._count if self.integer or self.step is not None else None

    @property
    def _count(self) -> int:
        return math.floor((self.high - self.low) / (self.step or 1) + 1e-9) + 1

    def _point(self, i: int) -> Scalar:
        value = min(self.low + (self.step or 1) * i, self.high)  # 3 × 0.1 is above 0.3
        return int(value) if self.integer else value

    def grid(self) -> tuple[Scalar, ...] | None:
        """All values; None if there are infinitely many."""
        return None if self.count is None else tuple(map(self._point, range(self.count)))

    @property
    def largest(self) -> Scalar:
        """The upper end, or the last step below it."""
        stepped = self.integer or self.step is not None
        return self._point(self._count - 1) if stepped else self.high

    def to_unit(self, value: Scalar) -> float:
        """The place of a number in the range, from 0 to 1, on the scale of the range."""
        scale = math.log if self.log else float
        low, high = scale(self.low), scale(self.high)
        return (scale(float(value)) - low) / (high - low) if high > low else 0.5

    def contains(self, value: Scalar) -> bool:
        """Whether the value is in the range, and on one of its steps."""
        if isinstance(value, bool | str) or not self.low <= value <= self.high:
            return False
        steps = (value - self.low) / (self.step or 1)
        return (self.step is None and not self.integer) or abs(steps - round(steps)) < 1e-9

    def including(self, value: Scalar) -> Range:
        """The range with this number."""
        if isinstance(value, bool | str) or self.contains(value):
            return self
        return replace(self, low=min(self.low, value), high=max(self.high, value), step=None)


Dimension = Choice | Range


@dataclass(frozen=True)
class Space:
    """The parameters of a sweep; those with a condition come after the ones they depend on."""

    dimensions: tuple[Dimension, ...]

    def __iter__(self) -> Iterator[Dimension]:
        return iter(self.dimensions)

    def __contains__(self, name: str) -> bool:
        return any(dimension.name == name for dimension in self)

    def __getitem__(self, name: str) -> Dimension:
        return next(dimension for dimension in self if dimension.name == name)

    def choices(self, name: str) -> tuple[Scalar, ...]:
        """The values of a parameter that is a list."""
        dimension = self[name]
        assert isinstance(dimension, Choice)
        return dimension.values

    def without(self, name: str, dropped: Container[object]) -> Space:
        """The space without the `dropped` values of the parameter `name`."""
        kept = tuple(value for value in self.choices(name) if value not in dropped)
        return Space(
            tuple(replace(d, values=kept) if d.name == name else d for d in self.dimensions)  # type: ignore[call-arg]
        )

    def active(self, chosen: Mapping[str, Scalar]) -> Iterator[Dimension]:
        """The parameters whose conditions are met; `chosen` may grow during the iteration."""
        for dimension in self:
            if all(chosen.get(c.parent) in c.values for c in dimension.when):
                yield dimension

    def only_active(self, values: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """The values of the active parameters."""
        chosen: dict[str, Scalar] = {}
        for dimension in self.active(chosen):
            chosen[dimension.name] = values[dimension.name]
        return chosen

    def contains(self, params: Mapping[str, Scalar]) -> bool:
        """Whether a trial with these parameters could have been sampled."""
        active = list(self.active(params))
        return {d.name for d in active} == params.keys() and all(
            d.contains(params[d.name]) for d in active
        )

    def including(self, params: Mapping[str, Scalar]) -> Space:
        """The smallest space with these values too."""
        wider = (d.including(params[d.name]) if d.name in params else d for d in self)
        return Space(tuple(wider))

    def sampling(self, name: str, sampled: bool) -> Space:
        """The space whose trials sample the parameter `name`, or do not."""
        return Space(tuple(replace(d, sample=sampled) if d.name == name else d for d in self))

    def points(self, fixed: Mapping[str, Scalar]) -> list[dict[str, Scalar]]:
        """All distinct points of the grid at the values of the `fixed` parameters."""
        axes = [(fixed[d.name],) if d.name in fixed else d.grid() or () for d in self]
        names = [dimension.name for dimension in self]
        points = (
            self.only_active(dict(zip(names, values, strict=True)))
            for values in itertools.product(*axes)
        )
        return list({tuple(point.items()): point for point in points}.values())
