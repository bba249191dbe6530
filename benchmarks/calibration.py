"""How often a verdict on curves is right, for arms with a known gap at each epoch: tables in docs/method.md.

Each replicate draws new images and new seeds with the noise of LeNet on MNIST (`benchmarks.planted`), and is
read like a study: the interval at the last epoch, and the epochs from which on the arm is level.

    nice -n 10 python -m benchmarks.calibration
    nice -n 10 python -m benchmarks.calibration windows
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Annotated, Literal

import numpy as np
from cyclopts import Parameter
from numpy.typing import NDArray

from benchmarks.outcomes import ALPHA, at_most
from benchmarks.planted import Bits, Noise, draw
from benchmarks.scenarios import MARGIN, SCENARIOS, Scenario, rising
from benchmarks.sequence import CLEARLY, DECIDED, FIRST, MOST, bounds, ends, read, sums
from normsweep.analysis.sequential import levels
from normsweep.shell import command, run

__all__ = ["SEQUENCE", "Reading", "Row", "markdown", "readings", "rows"]

Floats = NDArray[np.float64]
SEQUENCE = "5 to 20"
CHUNK = 50
"""Replicates that are held in memory at once; each chunk has a random stream of its own."""
app = command(
    "python -m benchmarks.calibration",
    "Simulate arms with a known gap at each epoch, and print how often the verdict is right.",
)


@dataclass(frozen=True)
class Reading:
    """What one replicate shows. `low` and `high` are the interval at the last epoch, in margins."""

    level: bool
    clearly_behind: bool
    low: float
    high: float
    epochs: tuple[float, float]
    """First epochs from which the arm may be level and is level; infinite if there is none."""


@dataclass(frozen=True)
class Row:
    """Shares of the replicates of a scenario, by the number of seeds."""

    scenario: Scenario
    seeds: str
    level: float
    at_most: float
    """Upper 99 % bound of `level`."""
    clearly_behind: float
    covers: float
    parity_covers: float


def readings(
    scenario: Scenario, drawn: Sequence[tuple[Bits, Bits]], images: int
) -> dict[str, list[Reading]]:
    """What studies show with 5 seeds, with 20, and with an analysis after each from 5 to 20."""
    horizon = len(scenario.gaps)
    once, each = np.full(MOST - FIRST + 1, ALPHA / 2), np.array(levels(ALPHA / 2, FIRST, MOST))
    smoothed, own = (
        [_sums(scenario, drawn, images, e, smooth) for e in range(1, horizon + 1)]
        for smooth in (True, False)
    )
    stops = ends(smoothed[-1], each, MARGIN).pairs - FIRST
    found = {}
    for name, tails, at in (
        ("5", once, np.zeros_like(stops)),
        ("20", once, np.full_like(stops, MOST - FIRST)),
        (SEQUENCE, each, stops),
    ):
        together = name == SEQUENCE
        curves = [[_at(bounds(s, tails), at, together) for s in kind] for kind in (smoothed, own)]
        lows, highs = (
            np.array([pair[i] for pair in kind]) for kind, i in zip(curves, (0, 1), strict=True)
        )
        last = curves[0][-1][1]
        found[name] = [_reading(lows[:, i], highs[:, i], float(last[i])) for i in range(len(drawn))]
    return found


def _sums(
    scenario: Scenario, drawn: Sequence[tuple[Bits, Bits]], images: int, epoch: int, smooth: bool
):
    window = scenario.window_at(epoch) if smooth else 1
    past = slice(epoch - window, epoch)
    tables = []
    for arm, reference in drawn:
        fixed = scenario.fixed_at
        other = reference[:, past] if fixed is None else reference[:, fixed - 1 : fixed]
        tables.append(arm[:, past].mean(axis=1) - other.mean(axis=1))
    return sums(tables, images)


def _at(
    found: tuple[Floats, Floats], at: NDArray[np.int64], together: bool
) -> tuple[Floats, Floats]:
    """Bounds at an analysis, or of the intersection up to it, in margins."""
    low, high = found
    if together:
        low, high = np.maximum.accumulate(low, axis=1), np.minimum.accumulate(high, axis=1)
    rows = np.arange(len(at))
    return low[rows, at] / MARGIN, high[rows, at] / MARGIN


def _reading(lows: Floats, highs: Floats, high: float) -> Reading:
    """From the smoothed lower and the unsmoothed upper bounds by epoch."""
    word = int(read(lows[-1:], np.array([high]), 1.0)[0])
    failed = np.flatnonzero(lows <= -1)
    up = float(failed[-1] + 2) if len(failed) else 1.0
    up = up if up <= len(lows) else inf
    possible = np.flatnonzero(highs >= -1)
    low = min(float(possible[0] + 1) if len(possible) else inf, up)
    level = word in DECIDED and word != CLEARLY
    return Reading(level, word == CLEARLY, float(lows[-1]), high, (low, up))


def rows(
    replicates: int,
    seed: int = 0,
    scenarios: Sequence[Scenario] = SCENARIOS,
    noise: Noise | None = None,
) -> Iterator[Row]:
    """For each scenario a row for each number of seeds. The truth is that over new images, seeds and epochs."""
    noise = noise or Noise()
    for number, scenario in enumerate(scenarios):
        found: dict[str, list[Reading]] = {}
        for chunk in range(0, replicates, CHUNK):
            rng = np.random.default_rng((seed, number, chunk))
            gaps = [MARGIN * gap for gap in scenario.gaps]
            drawn = [
                _hard(*draw(gaps, MOST, noise, rng)) for _ in range(min(CHUNK, replicates - chunk))
            ]
            for name, values in readings(scenario, drawn, noise.images).items():
                found.setdefault(name, []).extend(values)
        for name, values in found.items():
            yield _row(scenario, name, values)


def _hard(arm: Bits, reference: Bits) -> tuple[Bits, Bits]:
    """Without the images that every network classifies correctly, which have no difference."""
    some = ~(arm.all(axis=(0, 1)) & reference.all(axis=(0, 1)))
    return arm[:, :, some], reference[:, :, some]


def _row(scenario: Scenario, seeds: str, found: Sequence[Reading]) -> Row:
    count, level = len(found), sum(r.level for r in found)
    inside = (all(r.epochs[0] <= e <= r.epochs[1] for e in scenario.parity) for r in found)
    return Row(
        scenario=scenario,
        seeds=seeds,
        level=level / count,
        at_most=at_most(level, count),
        clearly_behind=sum(r.clearly_behind for r in found) / count,
        covers=sum(r.low <= scenario.truth <= r.high for r in found) / count,
        parity_covers=sum(inside) / count,
    )


def markdown(found: Iterator[Row]) -> Iterator[str]:
    """The lines of the table, as the rows come."""
    yield "| true gap | seeds | level or ahead | at most (99 %) | clearly behind | interval covers | epochs cover |"
    yield "|---|---|---|---|---|---|---|"
    for row in found:
        shares = (row.level, row.at_most, row.clearly_behind, row.covers, row.parity_covers)
        cells = [row.scenario.name, row.seeds, *(f"{100 * s:.1f} %" for s in shares)]
        yield f"| {' | '.join(cells)} |"


def windows() -> tuple[Scenario, ...]:
    """Rising and level arms, each with the rule's trailing mean and with one of three epochs."""
    made = []
    for epochs in (2, 3, 4, 8, 12):
        for window in (None, 3):
            label = "by the rule" if window is None else "of three epochs"
            level = Scenario("", (0.0,) * epochs, window=window)
            for scenario, name in ((rising(epochs, window), "rises to −0.49 m"), (level, "level")):
                mean = f"{name}, {epochs} epochs, mean {label}"
                made.append(Scenario(mean, scenario.gaps, window=window))
    return tuple(made)


@app.default
def calibration(
    table: Annotated[Literal["curves", "windows"], Parameter(help="Which table.")] = "curves",
    *,
    replicates: Annotated[int, Parameter(help="Simulated studies of each kind.")] = 1000,
    seed: Annotated[int, Parameter(help="Random seed.")] = 0,
) -> int:
    """Run the simulation and print the table."""
    found = rows(replicates, seed, SCENARIOS if table == "curves" else windows())
    for line in markdown(row for row in found if table == "curves" or row.seeds == SEQUENCE):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(run(app))
