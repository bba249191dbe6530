"""Tables and a figure of the benchmarks' results: `python -m benchmarks.summary FOLDER`.

FOLDER has the files that the benchmarks wrote with `-o FOLDER`. The tables are printed; the figure, of
all values with a goal, is written to `-o`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from benchmarks.measured import HEAD, Row, read
from normsweep.errors import UserError
from normsweep.shell import run

ORDER = ("verdict", "quickstart", "step", "overhead", "latency", "scale")

app = App(
    name="python -m benchmarks.summary",
    help="Make a table and a figure of the benchmarks' results.",
    help_format="plaintext",
    help_formatter="plain",
    result_action="return_value",
)


@app.default
def summary(
    folder: Annotated[Path, Parameter(help="Folder with the benchmarks' results.")],
    /,
    *,
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="An SVG file for the figure.")
    ] = None,
) -> int:
    """Print the tables and draw the figure.

    Raises:
        UserError: the folder has no results.
    """
    found = [read(folder / f"{name}.json") for name in ORDER if (folder / f"{name}.json").exists()]
    if not found:
        raise UserError(f"{folder}: has no results; run a benchmark with -o {folder} first")
    for title, command, rows in found:
        print("\n".join(markdown(title, command, rows)) + "\n")
    if output is not None:
        draw([row for _, _, rows in found for row in rows if row.goal is not None], output)
    return 0


def markdown(title: str, command: str, rows: Sequence[Row]) -> Iterator[str]:
    """A section with the command and the table."""
    yield f"## {title[0].upper()}{title[1:]}\n\n`{command}`\n"
    yield f"| {' | '.join(HEAD)} |"
    yield "|" + "---|" * len(HEAD)
    for row in rows:
        yield f"| {' | '.join(row.cells())} |"


def draw(rows: Sequence[Row], file: Path) -> None:
    """Draw every value relative to its goal: median and range, with the goal at 1."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "normsweep"
    figure = Figure(figsize=(9, 0.36 * len(rows) + 1), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(reversed(rows)):
        assert row.goal is not None
        goal = row.goal.at_most
        low, middle, high = (
            max(value / goal, 0.01)
            for value in (min(row.measure.values), row.measure.median, max(row.measure.values))
        )
        color = "#0072b2" if row.met else "#d55e00"
        axes.plot([low, high], [place, place], color=color, linewidth=2, solid_capstyle="round")
        axes.plot([middle], [place], "o" if row.met else "s", color=color)
    axes.axvline(1, color="#555555", linewidth=1)
    axes.set_xscale("log")
    axes.set_yticks(range(len(rows)), [row.what for row in reversed(rows)])
    axes.set_xlabel(
        "value relative to the goal, log scale (median and range; squares miss the goal)"
    )
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.grid(axis="x", color="#dddddd")
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


if __name__ == "__main__":
    sys.exit(run(app))
