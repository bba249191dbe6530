"""The quantities by which arms differ before and just after training begins, as numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from normsweep.reporting.figures.limits import finite
from normsweep.sweep.study_record import Diagnosis

__all__ = ["Measure", "measures"]


@dataclass(frozen=True)
class Measure:
    """A quantity: its title, whether its axis is logarithmic, and per arm its value at each stage."""

    column: str
    title: str
    log: bool
    values: Mapping[str, tuple[float, ...]]
    guide: float | None = None
    """A value to compare with: the loss of guessing."""

    def of(self, arm: str) -> tuple[float, ...]:
        """An arm's values, the earlier stage first."""
        return self.values.get(arm, ())

    def written(self, value: float) -> str:
        """A value as it is printed."""
        if not math.isfinite(value):
            return "not finite"
        if self.column == "dead_relus":
            return f"{100 * value:.0f} %"
        if self.column == "input_mean" and abs(value) < 5e-4:
            return "0"
        text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
        return text.replace("-", "−")

    @property
    def reach(self) -> tuple[float, float]:
        """The axis: all values with room beside them; a logarithmic one leaves out zeros."""
        if self.column == "dead_relus":
            return -0.03, 1.03
        known = [*(v for values in self.values.values() for v in values), self.guide or math.nan]
        shown = [value for value in finite(known) if value > 0 or not self.log]
        if self.log:
            return _log_reach(shown)
        low, high = min([*shown, 0.0]), max([*shown, 0.0])
        room = 0.08 * (high - low) or 1.0
        return low - room, high + room


TITLES = {
    "input_mean": ("Input: mean", False),
    "input_std": ("Input: spread", True),
    "condition_number": ("Condition number", True),
    "loss": ("Loss", True),
    "dead_relus": ("Dead ReLUs", False),
}
OF_INPUT = ("input_mean", "input_std", "condition_number")
"""Those that training does not change are taken at the first stage."""


def measures(diagnoses: Mapping[str, Diagnosis], classes: int) -> list[Measure]:
    """The quantities that are known for any arm; `diagnoses` are by arm."""
    found = []
    for column, (title, log) in TITLES.items():
        values = {arm: _values(diagnosis, column) for arm, diagnosis in diagnoses.items()}
        guide = math.log(classes) if column == "loss" else None
        if any(values.values()):
            found.append(Measure(column, title, log, values, guide))
    return found


def _values(diagnosis: Diagnosis, column: str) -> tuple[float, ...]:
    """One value a stage; NaN means that it was not measured, infinity that it is not finite."""
    stages = list(diagnosis.stages.values())
    values = [getattr(stage, column) for stage in (stages[:1] if column in OF_INPUT else stages)]
    return tuple(value for value in values if not math.isnan(value))


def _log_reach(shown: list[float]) -> tuple[float, float]:
    if not shown:
        return 0.1, 10.0
    room = max((max(shown) / min(shown)) ** 0.08, 1.3)
    return min(shown) / room, max(shown) * room
