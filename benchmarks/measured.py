"""The measurements of a benchmark, with range and goal: printed as a table and saved as JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["Goal", "Measure", "Row", "read", "write"]


@dataclass(frozen=True)
class Measure:
    """Repeated measurements of one quantity."""

    unit: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median of the measurements."""
        return statistics.median(self.values)


@dataclass(frozen=True)
class Goal:
    """The maximum for the median of a measure, in its unit."""

    at_most: float


@dataclass(frozen=True)
class Row:
    """One line of a benchmark's table."""

    what: str
    measure: Measure
    goal: Goal | None = None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None if there is no goal."""
        return None if self.goal is None else self.measure.median <= self.goal.at_most

    def cells(self) -> list[str]:
        """The cells of the table: name, median, range, goal, whether it is met."""
        values, unit = self.measure.values, self.measure.unit
        spread = f"{number(min(values))} to {number(max(values))}" if len(values) > 1 else ""
        goal = "" if self.goal is None else f"at most {number(self.goal.at_most)} {unit}"
        met = {None: "", True: "yes", False: "no"}[self.met]
        return [self.what, f"{number(self.measure.median)} {unit}".strip(), spread, goal, met]


HEAD = ["", "median", "range", "goal", "met"]


def number(value: float) -> str:
    """Format a number with three significant digits and no exponent."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.4f}"


def write(title: str, name: str, rows: Sequence[Row], folder: Path | None) -> None:
    """Print the table; with a folder, also write `NAME.json` there."""
    import pandas as pd
    from rich.console import Console

    from normsweep.console.screen import table_view

    Console().print(table_view(pd.DataFrame([row.cells() for row in rows], columns=HEAD), title))
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            "title": title,
            "command": f"python -m benchmarks.{name}",
            "rows": [asdict(row) for row in rows],
        }
        (folder / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")


def read(path: Path) -> tuple[str, str, list[Row]]:
    """Title, command and rows from a file written by `write`."""
    content = json.loads(path.read_text())
    rows = [
        Row(
            row["what"],
            Measure(row["measure"]["unit"], tuple(row["measure"]["values"])),
            None if row["goal"] is None else Goal(**row["goal"]),
        )
        for row in content["rows"]
    ]
    return content["title"], content["command"], rows
