"""How often the factorial of start and steps says something false: the table in docs/method.md.

The four cells' scores are planted, so the parts of the gap are known, as are the probabilities that a seed trains.
Images have difficulties that the cells share for the most part, and seeds have deviations that the cells share by half,
as they share the split and the initial weights.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from cyclopts import Parameter
from numpy.typing import NDArray

from normsweep.analysis.factorial import (
    PARTS,
    Effects,
    Level,
    Part,
    effects_of,
    settled,
    sign_of,
    training_needs,
)
from normsweep.analysis.rules import Trained
from normsweep.shell import command, run

Array = NDArray[Any]
SEEDS = (5, 10)
CONFIDENCE = 0.95
HARD, EASIER, HARDER = 5.0, 0.3, 1.2
"""Hard images per wrong one, and the parameters of their Beta distribution, whose mean is 1/5."""
SHARED = 0.7
"""Share of the hard images that are as hard for one cell as for another."""
GUESSING = 0.1135

app = command(
    "python -m benchmarks.factorial",
    "Simulate factorials with known parts, and print how often what is said of them is wrong.",
)


@dataclass(frozen=True)
class World:
    """Test images, the error of the reference, the deviation of a seed and the gap, as shares of the images."""

    name: str
    images: int
    error: float
    seed: float
    gap: float


@dataclass(frozen=True)
class Scenario:
    """The parts of the gap, as shares of the world's, and how likely the seeds of each cell train."""

    name: str
    parts: tuple[float, float, float]
    trains: tuple[float, float, float, float] = (1, 1, 1, 1)

    def scores(self, world: World) -> Array:
        """Mean scores of the cells, for seeds that train."""
        start, step, joint = (part * world.gap for part in self.parts)
        behind = np.array([start + step + joint, step + joint, start + joint, 0.0])
        return 1 - world.error - behind

    def all_scores(self, world: World) -> Array:
        """Mean scores of the cells over all seeds."""
        share = np.array(self.trains)
        return share * self.scores(world) + (1 - share) * GUESSING


WORLDS = (
    World("MNIST-like", 10_000, 0.012, 0.0010, 0.010),
    World("digits-like", 360, 0.040, 0.0060, 0.060),
)
SCENARIOS = (
    Scenario("no gap", (0, 0, 0)),
    Scenario("the start alone", (1, 0, 0)),
    Scenario("the steps alone", (0, 1, 0)),
    Scenario("only both together", (0, 0, 1)),
    Scenario("either is enough", (1, 1, -1)),
    Scenario("half each", (0.5, 0.5, 0)),
    Scenario("a third each", (1 / 3, 1 / 3, 1 / 3)),
    Scenario("the start helps, the steps harm", (-0.5, 1.5, 0)),
    Scenario("raw is ahead, by its steps", (0, -0.5, 0)),
    Scenario("no gap: start and steps cancel", (0.4, -0.4, 0)),
    Scenario("neither half alone trains", (0, 0, 0), (0, 0, 0, 1)),
    Scenario("the steps alone train", (0, 0, 0), (0, 0, 1, 1)),
    Scenario("either half trains", (0, 0, 0), (0, 1, 1, 1)),
    Scenario("half of raw’s seeds train", (0, 0.5, 0), (0.5, 1, 1, 1)),
    Scenario("each half trains half of its seeds", (0, 0, 0), (0, 0.5, 0.5, 1)),
    Scenario("one seed in twenty is stuck", (0, 1, 0), (0.95, 0.95, 0.95, 0.95)),
)
NOISES: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Array]] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "t3": lambda rng, shape: rng.standard_t(3, shape) / math.sqrt(3),
    "bad seeds": lambda rng, shape: 1 - rng.standard_exponential(shape),
}
"""Deviations with mean 0 and variance 1."""


@dataclass(frozen=True)
class Study:
    """The bits of a study's cells (cells, seeds, images), and which seeds trained (cells, seeds)."""

    bits: Array
    trained: Array

    @property
    def counts(self) -> tuple[Trained, ...]:
        """How many seeds of each cell trained; the others are stuck."""
        seeds = self.trained.shape[1]
        return tuple(Trained(int(n), 0, seeds - int(n)) for n in self.trained.sum(axis=1))


@dataclass(frozen=True)
class Truth:
    """The planted gap raw − reference and its parts."""

    gap: float
    parts: tuple[float, float, float]

    @classmethod
    def of(cls, scores: Array) -> Truth:
        """Those of four cells' mean scores."""
        raw, start, step, reference = map(float, scores)
        parts = raw - start, raw - step, start + step - raw - reference
        return cls(raw - reference, parts)

    def contradicts(self, found: Effects) -> bool:
        """Whether anything that is said of the gap and its parts is false."""
        if not found.direction:
            return False
        pairs = list(zip(PARTS, self.parts, strict=True))
        signs = [(sign_of(found.part(part)), true) for part, true in pairs]
        most = [
            found.direction * (2 * true - self.gap) for part, true in pairs if part in found.most
        ]
        return (
            found.direction * self.gap <= EXACT
            or any(sign and sign * true <= EXACT for sign, true in signs)
            or any(more <= EXACT for more in most)
        )

    def covered(self, found: Effects) -> bool:
        """Whether all three intervals contain the planted part."""
        estimates = [found.part(part) for part in PARTS]
        return all(e.low <= true <= e.high for e, true in zip(estimates, self.parts, strict=True))

    @property
    def most(self) -> tuple[Part, ...]:
        """The parts that are more than half of the gap."""
        sign = 1 if self.gap > 0 else -1
        pairs = zip(PARTS, self.parts, strict=True)
        return tuple(part for part, true in pairs if sign * (2 * true - self.gap) > EXACT)


EXACT = 1e-9
"""Planted values that are equal differ by less, from rounding."""


def draw(
    world: World, scenario: Scenario, noise: str, seeds: int, rng: np.random.Generator
) -> Study:
    """A study with new images and seeds."""
    scores, trained = (
        scenario.scores(world),
        rng.random((4, seeds)) < np.array(scenario.trains)[:, None],
    )
    most = 1 - float(scores.min())
    hard = int(rng.binomial(world.images, min(HARD * most, 1.0)))
    shared, other = rng.beta(EASIER, HARDER, hard), rng.random((4, hard)) > SHARED
    difficulty = np.where(other, rng.beta(EASIER, HARDER, (4, hard)), shared)
    own, common = NOISES[noise](rng, (4, seeds)), NOISES[noise](rng, (1, seeds))
    errors = (1 - scores)[:, None] - world.seed * (own + common) / math.sqrt(2)
    chance = difficulty[:, None] * (errors / most)[..., None]
    bits = np.ones((4, seeds, world.images), np.int16)
    bits[..., :hard] = rng.random((4, seeds, hard)) >= chance
    guessed = rng.random(world.images) < GUESSING
    bits[~trained] = guessed
    return Study(bits, trained)


@dataclass(frozen=True)
class Row:
    """Percentages of the studies of a scenario, over worlds and noises."""

    scenario: str
    seeds: int
    studies: int
    false: float
    """Something false is said."""
    worst: float
    """The same in the worst combination of world and noise."""
    covers: float
    """All three intervals contain the planted parts."""
    named: float
    """What is said is all that is planted: the gap's direction, and which parts are more than half of it."""
    trains: float
    """What makes seeds train is named."""


@dataclass(frozen=True)
class Outcome:
    """What was said of a study."""

    false: bool
    covers: bool
    named: bool
    trains: bool


def told(world: World, scenario: Scenario, study: Study) -> Outcome:
    """What is said of a study, held against what was planted.

    If all seeds trained, it is said of seeds that train; otherwise of all seeds.
    """
    level = Level.of(CONFIDENCE, 1.0)
    found, counts = effects_of(list(study.bits), level), study.counts
    found = found if settled(counts) else replace(found, most=())
    of_trained, of_all = Truth.of(scenario.scores(world)), Truth.of(scenario.all_scores(world))
    truth = of_trained if study.trained.all() else of_all
    needed = training_needs(counts)
    direction = int(np.sign(round(truth.gap, 9)))
    return Outcome(
        false=truth.contradicts(found) or (bool(needed) and _impossible(scenario, counts)),
        covers=truth.covered(found),
        named=found.direction == direction and (not direction or found.most == truth.most),
        trains=bool(needed),
    )


def _impossible(scenario: Scenario, counts: Sequence[Trained]) -> bool:
    """Whether a share of seeds is outside the bound that is printed beside it."""
    return any(
        (1 - share if cell.trained else share) > Trained(cell.seeds).lost_at_most
        for share, cell in zip(scenario.trains, counts, strict=True)
    )


def rows(studies: int) -> Iterator[Row]:
    """Every scenario with 5 and 10 seeds; so many studies of each world and noise."""
    for place, scenario in enumerate(SCENARIOS):
        for seeds in SEEDS:
            cells = [
                [
                    told(world, scenario, draw(world, scenario, noise, seeds, rng))
                    for _ in range(studies)
                ]
                for number, (world, noise) in enumerate((w, n) for w in WORLDS for n in NOISES)
                for rng in [np.random.default_rng([place, seeds, number])]
            ]
            every = [one for cell in cells for one in cell]
            yield Row(
                scenario.name,
                seeds,
                len(every),
                _share([one.false for one in every]),
                max(_share([one.false for one in cell]) for cell in cells),
                _share([one.covers for one in every]),
                _share([one.named for one in every]),
                _share([one.trains for one in every]),
            )


def _share(found: Sequence[bool]) -> float:
    return sum(found) / len(found)


@app.default
def main(
    *, studies: Annotated[int, Parameter(help="Studies of each scenario, world and noise.")] = 1000
) -> int:
    """Print the table as Markdown."""
    print("| planted | seeds | false | worst | all parts covered | named | training named |")
    print("|---|---|---|---|---|---|---|")
    for row in rows(studies):
        shares = (row.false, row.worst, row.covers, row.named, row.trains)
        cells = " | ".join(f"{100 * share:.1f} %" for share in shares)
        print(f"| {row.scenario} | {row.seeds} | {cells} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(run(app))
