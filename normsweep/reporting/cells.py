"""The values of a table as people read them: rounded numbers, cut identifiers, harmless text."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from normsweep.parts.metrics import REGRESSION, metric, registry
from normsweep.text import printable

if TYPE_CHECKING:
    import pandas as pd

    from normsweep.reporting.rows import Rows

__all__ = ["is_numeric", "printed"]

DIGITS = {
    "val_accuracy": ".4f",
    "train_accuracy": ".4f",
    "best_val_accuracy": ".4f",
    "median_val_accuracy": ".4f",
    "val_loss": ".4f",
    "train_loss": ".4f",
    "seconds": ".1f",
    "lowest": ".5g",
    "highest": ".5g",
    "accuracy": ".5g",
    "reference_accuracy": ".5g",
}
SCORES = ("val_", "best_val_", "median_val_", "test_", "mean_test_")
"""What columns of a metric begin with: four digits, as the accuracy has."""
IDENTIFIERS = ("data_digest", "fingerprint", "run_id")


def printed(table: Rows | pd.DataFrame) -> dict[str, list[str]]:
    """The cells of each column as strings: numbers rounded, missing ones empty, empty columns left out."""
    shown = {name: [_cell(name, value) for value in table[name]] for name in table.columns}
    return {name: cells for name, cells in shown.items() if any(cells) or not len(table)}


def _cell(column: str, value: Any) -> str:
    # pandas' NA is neither equal to anything nor true; it is known by its name, as pandas is not needed here.
    if value is None or type(value).__name__ == "NAType":
        return ""
    if isinstance(value, float) and math.isnan(value):
        return ""
    if column in IDENTIFIERS:
        return str(value)[:8]
    if isinstance(value, float):
        return format(value, DIGITS.get(column) or _digits(column))
    return printable(" ".join(str(value).split()))[:200]


def _digits(column: str) -> str:
    before = next((each for each in SCORES if column.startswith(each)), None)
    if before is None:
        return ".3g"
    name = column.removeprefix(before)
    return ".5g" if name in registry and REGRESSION in metric(name).tasks else ".4f"


def is_numeric(cells: Iterable[str]) -> bool:
    """Whether every cell that is not empty is a number."""

    def number(cell: str) -> bool:
        try:
            float(cell.replace("−", "-"))
        except ValueError:
            return cell == ""
        return True

    return all(number(cell) for cell in cells)
