"""How often an interval of a regression's metric covers the true gap, and how often its outcome is wrong.

Errors of a regression have no bound, so neither has the difference that one more row can make: the largest
one seen is taken. Rows are drawn with normal, lognormal, heteroscedastic and contaminated errors. The arm's
errors are those of the reference but for a factor and its own noise, so the true gap of each metric is known.

    nice -n 10 python -m benchmarks.losses
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from cyclopts import Parameter
from numpy.typing import NDArray

from benchmarks.sequence import (
    AHEAD,
    BEHIND,
    CLEARLY,
    FIRST,
    LEVEL,
    LITTLE,
    MOST,
    bounds,
    read,
    sums,
)
from normsweep.analysis.sequential import levels
from normsweep.parts.metrics import Metric, metric
from normsweep.shell import command, run

__all__ = ["METRICS", "ROWS", "SHARE", "WORLDS", "Found", "World", "studies"]

Floats = NDArray[np.float64]
METRICS = ("mae", "rmse", "r2", "median_absolute_error")
ROWS = (100, 400, 2000)
"""Numbers of test rows."""
SHARE = 0.1
"""The margin: the arm's errors are larger by this share where the true gap is at −margin."""
ALPHA = 0.05
POPULATION = 2_000_000
COMMON, OWN, SHIFT = 0.2, 0.3, 0.05
"""Standard deviations of what an arm adds to a row's error, each network to a row's, and to all rows'."""
SIGNAL = 1.5
"""Standard deviation of the targets' predictable part."""
app = command(
    "python -m benchmarks.losses",
    "Simulate intervals of a regression's metrics, and print how often they are wrong.",
)


@dataclass(frozen=True)
class World:
    """Errors that no network can avoid: `draw` gives those of some rows, and their standard deviations."""

    name: str
    draw: Callable[[int, np.random.Generator], tuple[Floats, Floats]]


def _normal(rows: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    return rng.standard_normal(rows), np.ones(rows)


def _lognormal(rows: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Squared errors are lognormal with σ = 1."""
    return rng.choice((-1.0, 1.0), rows) * rng.lognormal(0, 0.5, rows), np.ones(rows)


def _heavy(rows: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """The errors themselves are lognormal with σ = 1, centred: few rows carry most of the squares."""
    return rng.lognormal(0, 1, rows) - np.exp(0.5), np.ones(rows)


def _heteroscedastic(rows: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    deviations = np.exp(0.5 * rng.standard_normal(rows))
    return deviations * rng.standard_normal(rows), deviations


def _contaminated(rows: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    deviations = np.where(rng.random(rows) < 0.05, 5.0, 1.0)
    return deviations * rng.standard_normal(rows), deviations


WORLDS = (
    World("normal", _normal),
    World("lognormal squares", _lognormal),
    World("heteroscedastic", _heteroscedastic),
    World("contaminated", _contaminated),
)


HEAVY = World("lognormal errors", _heavy)
"""Not among those that the rules have to be right in."""


@dataclass(frozen=True)
class Study:
    """Targets (rows,) and errors of reference and arm, (seeds, rows), of the same distribution."""

    targets: Floats
    reference: Floats
    arm: Floats

    @classmethod
    def drawn(cls, world: World, rows: int, seeds: int, rng: np.random.Generator) -> Study:
        errors, deviations = world.draw(rows, rng)
        sides = []
        for _ in range(2):
            common = errors + COMMON * deviations * rng.standard_normal(rows)
            own = OWN * deviations * rng.standard_normal((seeds, rows))
            sides.append(common + own + SHIFT * rng.standard_normal((seeds, 1)))
        return cls(errors + SIGNAL * rng.standard_normal(rows), *sides)

    def values(self, by: Metric, errors: Floats) -> Floats:
        """The metric plus the influence of each row, (seeds, rows), higher is better."""
        predictions = self.targets - errors
        tables = [by.of(self.targets, p) + by.influence(self.targets, p) for p in predictions]  # type: ignore[misc]
        return by.sign * np.array(tables)


def truths(world: World, names: Sequence[str]) -> Mapping[str, tuple[float, float]]:
    """By metric, the value of the reference, and of an arm whose errors are larger by `SHARE`."""
    study = Study.drawn(world, POPULATION, 1, np.random.default_rng(7))
    y, e = study.targets, study.reference[0]
    return {
        name: (metric(name).of(y, y - e), metric(name).of(y, y - (1 + SHARE) * e)) for name in names
    }


@dataclass(frozen=True)
class Found:
    """Shares of the studies of a cell.

    `plain` and `covers`: the interval covers the true gap, without and with one more row; `width` is the
    second's relative to the first's. With a true gap of −margin, level and clearly behind are `too_good` and
    `too_bad`; with a true gap of 0, ahead and any behind are. `of_share`: with the margin as a share of the
    reference, level or clearly behind at a true gap of −margin; NaN if the metric may be negative.
    """

    plain: float
    covers: float
    width: float
    too_good: float
    too_bad: float
    ahead: float
    behind: float
    of_share: float


def studies(
    world: World,
    names: Sequence[str],
    rows: int,
    count: int,
    most: int = FIRST,
    true: Mapping[str, tuple[float, float]] | None = None,
) -> Mapping[str, Found]:
    """What `count` studies find by each metric: with 5 seeds, or an analysis after each up to `most`.

    `true` are the truths of the world, which take some seconds.
    """
    true = true or truths(world, names)
    tables: dict[str, list[list[Floats]]] = {name: [[], [], []] for name in names}
    for seed in range(count):
        study = Study.drawn(world, rows, most, np.random.default_rng([seed, rows]))
        for name in names:
            by = metric(name)
            reference = study.values(by, study.reference)
            equal, worse = (study.values(by, k * study.arm) for k in (1, 1 + SHARE))
            moved = worse - (1 + SHARE) * reference
            for kind, table in zip(
                tables[name], (equal - reference, worse - reference, moved), strict=True
            ):
                kind.append(table)
    return {name: _found(metric(name), tables[name], rows, most, *true[name]) for name in names}


def _found(
    by: Metric, tables: Sequence[Sequence[Floats]], rows: int, most: int, good: float, bad: float
) -> Found:
    equal, worse, moved = (_Bounds.of(kind, rows, most) for kind in tables)
    margin = abs(bad - good)
    at_zero, at_margin = (np.array(read(b.low, b.high, margin)) for b in (equal, worse))
    passes = moved.low > 0
    return Found(
        plain=float(
            np.mean(
                [
                    (b.plain_low <= -g) & (-g <= b.plain_high)
                    for b, g in ((equal, 0), (worse, margin))
                ]
            )
        ),
        covers=float(
            np.mean([(b.low <= -g) & (-g <= b.high) for b, g in ((equal, 0), (worse, margin))])
        ),
        width=float(np.mean(worse.high - worse.low) / np.mean(worse.plain_high - worse.plain_low)),
        too_good=float(np.isin(at_margin, (AHEAD, LEVEL, LITTLE)).mean()),
        too_bad=float((at_margin == CLEARLY).mean()),
        ahead=float((at_zero == AHEAD).mean()),
        behind=float(np.isin(at_zero, (BEHIND, CLEARLY, LITTLE)).mean()),
        of_share=float((passes | (moved.high < 0)).mean()) if min(by.range) >= 0 else np.nan,
    )


@dataclass(frozen=True)
class _Bounds:
    """Bounds (studies,) with one more row, and without."""

    low: Floats
    high: Floats
    plain_low: Floats
    plain_high: Floats

    @classmethod
    def of(cls, tables: Sequence[Floats], rows: int, most: int) -> _Bounds:
        """At the last analysis: the intersection of all."""
        found = sums(tables, rows)
        tails = np.full(MOST - FIRST + 1, ALPHA / 2)
        if most > FIRST:
            tails = np.array(levels(ALPHA / 2, FIRST, MOST))
        seen = np.array([_largest(table) for table in tables])
        both = (*bounds(found, tails, seen), *bounds(found, tails, 0.0))
        last = most - FIRST
        ends = [np.fmax.accumulate, np.fmin.accumulate] * 2
        return cls(*(end(b, axis=1)[:, last] for end, b in zip(ends, both, strict=True)))


def _largest(table: Floats) -> Floats:
    """The largest difference seen of the first 5, 6, … seeds, as a mean over them, (analyses,)."""
    n = np.arange(1, len(table) + 1)[:, None]
    found = np.abs(table.cumsum(axis=0) / n).max(axis=1)[FIRST - 1 :]
    return np.pad(found, (0, MOST - FIRST + 1 - len(found)), mode="edge")


def lines(count: int, most: int) -> Iterator[str]:
    """The lines of the table."""
    head = (
        "metric", "rows", "test rows", "covers: without", "with one more row", "width",
        "at −margin: level", "clearly behind", "at 0: ahead", "behind", "margin as a share: wrong",
    )  # fmt: skip
    yield f"| {' | '.join(head)} |\n{'|---' * len(head)}|"
    known: Any = {world.name: truths(world, METRICS) for world in (*WORLDS, HEAVY)}
    for rows in ROWS:
        for world in (*WORLDS, HEAVY):
            found = studies(world, METRICS, rows, count, most, known[world.name])
            for name, f in found.items():
                shares = (
                    f.plain,
                    f.covers,
                    None,
                    f.too_good,
                    f.too_bad,
                    f.ahead,
                    f.behind,
                    f.of_share,
                )
                cells = [f"× {f.width:.2f}" if s is None else _percent(s) for s in shares]
                yield f"| {metric(name).label} | {world.name} | {rows:,} | {' | '.join(cells)} |"


def _percent(share: float) -> str:
    return "" if np.isnan(share) else f"{100 * share:.1f} %"


@app.default
def losses(
    *,
    studies: Annotated[int, Parameter(help="Studies of each cell.")] = 1000,
    most: Annotated[int, Parameter(help="Seeds; above 5 with an analysis after each.")] = FIRST,
) -> int:
    """Print the table as Markdown."""
    for line in lines(studies, most):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(run(app))
