"""The quantities by which arms differ before and just after training begins, as numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from normsweep.reporting.figures.limits import finite
from normsweep.reporting.figures.rows import Rows
from normsweep.reporting.figures.stages import stages

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


def measures(rows: Rows) -> list[Measure]:
    """The quantities that are known for any arm."""
    found = []
    for column, (title, log) in TITLES.items():
        if not len(rows) or column not in rows.columns:
            continue
        present = stages(rows)[:1] if column in OF_INPUT else stages(rows)
        values = {arm: _values(rows.where("arm", arm), column, present) for arm in rows.each("arm")}
        guide = _guide(rows) if column == "loss" else None
        if any(values.values()):
            found.append(Measure(column, title, log, values, guide))
    return found


def _values(rows: Rows, column: str, present: list[str]) -> tuple[float, ...]:
    """One value a stage; NaN means that it was not measured, infinity that it is not finite."""
    values = [rows.where("stage", stage).numbers(column) for stage in present]
    return tuple(float(of[0]) for of in values if of.size and not math.isnan(of[0]))


def _guide(rows: Rows) -> float | None:
    if "ln_classes" not in rows.columns:
        return None
    known = finite(rows.numbers("ln_classes"))
    return float(known[0]) if known.size else None


def _log_reach(shown: list[float]) -> tuple[float, float]:
    if not shown:
        return 0.1, 10.0
    room = max((max(shown) / min(shown)) ** 0.08, 1.3)
    return min(shown) / room, max(shown) * room
