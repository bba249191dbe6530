"""Parameters of every trainable network that change how its first layer sees the input, and how it steps.

A sweep's arms fix them, or its search space has them. At its default a parameter changes nothing and is
left out of storage and fingerprints, so that a study of a version without it goes on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from normsweep.sweep.space import Scalar

__all__ = [
    "BUILT",
    "CALLBACK",
    "CONSTANT",
    "DRAWN",
    "FROZEN",
    "INITIAL",
    "INPUT_RATE",
    "MATCHED",
    "NO_CALLBACK",
    "PARAMETERS",
    "SCHEDULE",
    "Parameter",
    "own_parameters",
    "shown_factor",
]

MATCHED = "matched"
"""The learning rate of the first layer that undoes the input's scale for the trial's optimizer."""
DRAWN, BUILT, FROZEN = "drawn", "built", "frozen"
"""Initial weights: drawn anew for each seed; as the network was built with; the latter for frozen layers only."""
CONSTANT = "constant"
"""The schedule of a learning rate that does not change."""
NO_CALLBACK = "none"
CALLBACK = "callback"
INITIAL, INPUT_RATE, SCHEDULE = "initial", "input_rate", "schedule"


@dataclass(frozen=True)
class Parameter:
    """A number, or one of a few words."""

    does: str
    """What it does to a training, before its value."""
    default: float | str | None
    least: float | None = None
    above: bool = False
    """Whether it must be above `least`."""
    words: tuple[str, ...] = ()
    """The words that it may be instead of a number."""
    factor: bool = False
    """Whether it multiplies."""
    integer: bool = False
    """Whether it must be an integer."""
    number: bool = True
    """Whether it may be a number."""

    @property
    def legal(self) -> str:
        """What its values must be."""
        kind = "above" if self.above else "of at least"
        a = "an integer" if self.integer else "a number"
        number = a if self.least is None else f"{a} {kind} {self.least:g}"
        words = (f'"{word}"' for word in self.words)
        return " or ".join((number, *words) if self.number else words)

    def allows(self, value: Scalar) -> bool:
        """Whether a value is legal."""
        if isinstance(value, bool | str) or not self.number:
            return value in self.words
        if self.integer and not isinstance(value, int):
            return False
        least = -math.inf if self.least is None else self.least
        return value > least if self.above else value >= least

    def described(self, value: Scalar) -> str:
        """What a value does, such as `first layer's initial weights × 1/255`."""
        text = value if isinstance(value, str) else shown_factor(value)
        return f"{self.does} {'× ' if self.factor and text is not value else ''}{text}"


PARAMETERS: Mapping[str, Parameter] = {
    "input_weights": Parameter("first layer's initial weights", 1.0, least=0, factor=True),
    INPUT_RATE: Parameter("first layer's step", 1.0, least=0, words=(MATCHED,), factor=True),
    "input_scale": Parameter("input", 1.0, least=0, above=True, factor=True),
    "input_shift": Parameter("input plus", 0.0),
    INITIAL: Parameter("initial weights", DRAWN, words=(DRAWN, BUILT, FROZEN), number=False),
    "output_weights": Parameter("last layer's initial weights", 1.0, least=0, factor=True),
    "clip": Parameter("gradient's norm at most", None, least=0, above=True),
    "patience": Parameter("stops early, patience", None, least=1, integer=True),
}
"""The parameters by name; `schedule` and `callback` are registered components and not among them."""


def own_parameters(params: Mapping[str, Scalar], taken: Iterable[str] = ()) -> dict[str, Scalar]:
    """Those of a trial's parameters that are not at their defaults, numbers as floats.

    `taken`: names that are options of the trial's model or optimizer.
    """
    names = PARAMETERS.keys() - set(taken)
    values = {
        name: value if isinstance(value, str) or PARAMETERS[name].integer else float(value)
        for name, value in params.items()
        if name in names
    }
    return {name: value for name, value in values.items() if value != PARAMETERS[name].default}


def shown_factor(value: float) -> str:
    """A number for people: 1/255 for 0.00392…, 1/25.5 for 0.0392…."""
    inverse = 1 / value if 0 < value < 1 else 0.0
    tenths = round(10 * inverse)
    if inverse > 2 and abs(10 * inverse - tenths) < 1e-6 * tenths:
        return f"1/{tenths / 10:g}"
    return f"{value:g}"
