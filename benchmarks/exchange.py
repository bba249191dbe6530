"""How often the interval of the exchange rate contains the true one: the table in docs/method.md.

The mean curves of two arms are planted, so the epoch at which one reaches the level of the other is known.
Each seed adds a deviation of its own and a jitter at every epoch, so that single curves, and the means of few, are
not monotone; scores are rounded to whole test images.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from cyclopts import Parameter
from numpy.typing import NDArray

from normsweep.analysis.exchange import budgets, worth
from normsweep.shell import command, run

EPOCHS = 12
SEEDS = (5, 20)
TAIL = 0.025
Array = NDArray[Any]

app = command(
    "python -m benchmarks.exchange",
    "Simulate curves with a known exchange rate, and print how often its interval is right.",
)


@dataclass(frozen=True)
class World:
    """Curves from `first` to `last` that approach it with `rate`; deviations of seeds; test images."""

    name: str
    first: float
    last: float
    rate: float
    seed: float
    jitter: float
    images: int

    def level(self, epochs: Array) -> Array:
        """The mean score after so many epochs, which may be fractions of one."""
        return self.last - (self.last - self.first) * np.exp(-self.rate * (epochs - 1))


WORLDS = (
    World("MNIST-like", 0.960, 0.990, 0.45, 0.0008, 0.0015, 10_000),
    World("digits-like", 0.600, 0.970, 0.40, 0.006, 0.012, 360),
)
NOISES: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Array]] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "t3": lambda rng, shape: rng.standard_t(3, shape) / math.sqrt(3),
    "bad seeds": lambda rng, shape: 1 - rng.standard_exponential(shape),
}
"""Deviations with mean 0 and variance 1."""
SCENARIOS: dict[str, Callable[[World, Array], Array]] = {
    "the arm takes twice the epochs": lambda w, e: w.level((e + 1) / 2),
    "the arm takes half the epochs": lambda w, e: w.level(2 * e),
    "the same curve": lambda w, e: w.level(e),
    "above the level from the first epoch on": lambda w, e: w.level(e + 12),
    "the level is never reached": lambda w, e: w.level(e) - (w.last - w.first) / 3,
    "reached late, on a flat curve": lambda w, e: w.level(e) - (w.last - w.first) / 12,
    "rises above the level and falls below": lambda w, e: (
        w.level(1.5 * e) - (w.last - w.first) * np.maximum(e - 6, 0) ** 2 / 100
    ),
    "saws up and down": lambda w, e: w.level(e) + (w.last - w.first) / 12 * (-1) ** e,
}


@dataclass(frozen=True)
class Row:
    """Shares of the replicates of a scenario: of the budgets, worlds and noises together, and the lowest."""

    scenario: str
    seeds: int
    covers: float
    lowest: float
    """The lowest share of a world, noise and budget."""
    bounded: float
    """Share of intervals with a bound on both sides."""


def rows(replicates: int, seed: int = 0) -> Iterator[Row]:
    """A row for each scenario and number of seeds."""
    for place, name in enumerate(SCENARIOS):
        for n in SEEDS:
            shares = [
                _shares(name, world, noise, n, replicates, (seed, place, n, i, j))
                for i, world in enumerate(WORLDS)
                for j, noise in enumerate(NOISES)
            ]
            covers, bounded = np.array(shares).transpose(1, 0, 2)
            yield Row(name, n, covers.mean(), covers.min(), bounded.mean())


def true_epoch(curve: Array, level: float) -> float:
    """Where straight lines through the curve first reach the level; 0 if epoch 1 is above, or infinity."""
    above = np.flatnonzero(curve >= level)
    if not above.size or above[0] == 0:
        return 0.0 if above.size else math.inf
    epoch = int(above[0])
    return epoch + (level - curve[epoch - 1]) / (curve[epoch] - curve[epoch - 1])


def _shares(
    scenario: str, world: World, noise: str, n: int, replicates: int, entropy: tuple[int, ...]
) -> tuple[list[float], list[float]]:
    """By budget, the shares of intervals that contain the true epoch, and that are bounded."""
    rng, epochs = np.random.default_rng(entropy), np.arange(1, EPOCHS + 1)
    arm, reference = SCENARIOS[scenario](world, epochs), world.level(epochs)
    after = budgets(EPOCHS)
    truth = [true_epoch(arm, reference[e - 1]) for e in after]
    covers, bounded = np.zeros((2, replicates, len(after)), bool)
    for k in range(replicates):
        curves, levels = (_drawn(mean, world, noise, n, rng) for mean in (arm, reference))
        for place, e in enumerate(after):
            found = worth(curves, levels[:, e - 1], TAIL)
            covers[k, place] = found.low <= truth[place] <= found.high
            bounded[k, place] = found.low > 0 and math.isfinite(found.high)
    return covers.mean(axis=0).tolist(), bounded.mean(axis=0).tolist()


def _drawn(mean: Array, world: World, noise: str, n: int, rng: np.random.Generator) -> Array:
    """The scores of n seeds, (seeds, epochs), on whole images."""
    of_seed = world.seed * NOISES[noise](rng, (n, 1))
    jitter = world.jitter * NOISES[noise](rng, (n, len(mean)))
    return np.round((mean + of_seed + jitter) * world.images) / world.images


def markdown(found: Iterator[Row]) -> Iterator[str]:
    """The lines of the table, as the rows come."""
    yield "| curves | seeds | interval covers | lowest | bounded on both sides |"
    yield "|---|---|---|---|---|"
    for row in found:
        shares = (f"{100 * share:.1f} %" for share in (row.covers, row.lowest, row.bounded))
        yield f"| {row.scenario} | {row.seeds} | {' | '.join(shares)} |"


@app.default
def exchange(
    *,
    replicates: Annotated[int, Parameter(help="Replicates of each cell.")] = 1000,
    seed: Annotated[int, Parameter(help="Of the random numbers.")] = 0,
) -> int:
    """Print the table of docs/method.md."""
    for line in markdown(rows(replicates, seed)):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(run(app))
