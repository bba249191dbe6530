"""Tables and a figure of the benchmarks' results: `python -m benchmarks.summary FOLDER`.

FOLDER has the files that the benchmarks wrote with `-o FOLDER`. The tables are printed; the figure, of
all values with a goal, is written to `-o`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from benchmarks.measured import HEAD, Row, read
from normsweep.errors import UserError
from normsweep.shell import command, run

AXIS = "value relative to the goal, log scale (median and range; squares miss the goal)"
ORDER = ("verdict", "quickstart", "step", "overhead", "latency", "scale")

app = command(
    "python -m benchmarks.summary",
    "Make a table and a figure of the benchmarks' results.",
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
    for title, ran_by, rows in found:
        print("\n".join(markdown(title, ran_by, rows)) + "\n")
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
    import altair as alt

    values = [{"row": i, **_share(row, row.goal.at_most)} for i, row in enumerate(rows) if row.goal]
    met = {"scale": alt.Scale(domain=[True, False], range=["#0072b2", "#d55e00"]), "legend": None}
    shapes = {"scale": alt.Scale(domain=[True, False], range=["circle", "square"]), "legend": None}
    names = f"{json.dumps([row.what for row in rows])}[datum.value]"
    side = alt.Axis(
        labelExpr=names, labelLimit=400, ticks=False, domain=False, title=None, labelPadding=10
    )
    base = alt.Chart(alt.Data(values=values)).encode(
        y=alt.Y("row:O", axis=side), color=alt.Color("met:N", **met)
    )
    scale, ticks = (
        alt.Scale(type="log", nice=False),
        alt.Axis(format="~g", values=[0.01, 0.1, 1, 10], grid=True),
    )
    ranges = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", scale=scale, axis=ticks, title=AXIS), x2="high:Q"
    )
    medians = base.mark_point(filled=True, opacity=1, size=60)
    medians = medians.encode(x="median:Q", shape=alt.Shape("met:N", **shapes))
    goal = alt.Chart().mark_rule(color="#555555").encode(x=alt.datum(1))
    chart = alt.layer(goal, ranges, medians).properties(width=480, height=alt.Step(24))
    chart.configure_view(stroke=None).configure_axis(titleFontWeight="normal").save(file)


def _share(row: Row, goal: float) -> dict[str, object]:
    """A row of the figure; what is below a hundredth of the goal is drawn there."""
    low, middle, high = (
        max(value / goal, 0.01)
        for value in (min(row.measure.values), row.measure.median, max(row.measure.values))
    )
    return {"what": row.what, "low": low, "median": middle, "high": high, "met": row.met}


if __name__ == "__main__":
    sys.exit(run(app))
