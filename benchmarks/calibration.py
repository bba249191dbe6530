"""How often the verdict is right for arms with a known true gap: the table in docs/method.md.

Every replicate draws new images and new seeds, and is evaluated like a study.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from math import inf
from typing import Annotated

import numpy as np
from cyclopts import App, Parameter
from scipy.special import betaincinv

from benchmarks.planted import Bits, Noise, draw
from benchmarks.scenarios import MARGIN, SCENARIOS, Scenario
from normsweep.analysis.estimates import Estimate
from normsweep.analysis.rules import Comparison, Rules
from normsweep.analysis.verdicts import Verdict, judge

SEEDS = (5, 10, 20)
SEQUENCE = f"{SEEDS[0]} to {SEEDS[-1]}, an analysis after each"
RULES = Rules(margin=MARGIN, alpha=0.05, arms=1, chance=0.1)

CHUNK = 50
"""Replicates per job. Each job has its own random stream, so that results do not depend on `processes`."""

app = App(
    name="python -m benchmarks.calibration",
    help="Simulate arms with a known true gap, and print how often the verdict is right.",
    help_format="plaintext",
    help_formatter="plain",
    result_action="return_value",
)


@dataclass(frozen=True)
class Outcome:
    """A verdict compared with the truth."""

    seeds: str
    catches_up: bool
    does_not: bool
    covers: bool
    seeds_only_covers: bool
    parity_covers: bool


@dataclass(frozen=True)
class Row:
    """Fractions of the replicates of a scenario, evaluated with one number of seeds.

    `at_most` is the upper 99 % bound of `catches_up` (Clopper & Pearson, Biometrika 26(4), 1934).
    """

    scenario: Scenario
    seeds: str
    catches_up: float
    at_most: float
    does_not: float
    covers: float
    seeds_only_covers: float
    parity_covers: float


@dataclass(frozen=True)
class Job:
    """A batch of replicates of a scenario."""

    scenario: Scenario
    rules: Rules
    noise: Noise
    replicates: int
    entropy: tuple[int, ...]

    def run(self) -> list[Outcome]:
        """The outcomes of all replicates."""
        rng = np.random.default_rng(self.entropy)
        gaps = [MARGIN * gap for gap in self.scenario.gaps]
        found: list[Outcome] = []
        for _ in range(self.replicates):
            bits = draw(gaps, max(SEEDS), self.noise, rng)
            found += _outcomes(self.scenario, self.rules, *bits)
        return found


def rows(
    replicates: int,
    seed: int = 0,
    scenarios: Sequence[Scenario] = SCENARIOS,
    noise: Noise | None = None,
    arms: int = 1,
    processes: int = 1,
) -> Iterator[Row]:
    """For each scenario a row for each number of seeds, and one for an analysis after each seed.

    The truth is that over new images, seeds and epochs; `arms` divides the level. Rows are the same for any `processes`.
    """
    with ProcessPoolExecutor(processes) as pool:
        for number, scenario in enumerate(scenarios):
            sizes = [min(CHUNK, replicates - done) for done in range(0, replicates, CHUNK)]
            jobs = [
                Job(
                    scenario,
                    replace(RULES, arms=arms),
                    noise or Noise(),
                    size,
                    (seed, number, chunk),
                )
                for chunk, size in enumerate(sizes)
            ]
            runs = pool.map(Job.run, jobs) if processes > 1 else map(Job.run, jobs)
            outcomes = [outcome for found in runs for outcome in found]
            for seeds in dict.fromkeys(o.seeds for o in outcomes):
                yield _row(scenario, [o for o in outcomes if o.seeds == seeds])


def markdown(found: Iterator[Row]) -> Iterator[str]:
    """The lines of the table, as the rows come."""
    yield (
        "| true gap | seeds | catches up | at most (99 %) | does not | interval covers"
        " | over seeds only | epochs cover |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for row in found:
        shares = (row.catches_up, row.at_most, row.does_not, row.covers)
        more = (row.seeds_only_covers, row.parity_covers)
        cells = [row.scenario.name, row.seeds, *(f"{100 * s:.1f} %" for s in (*shares, *more))]
        yield f"| {' | '.join(cells)} |"


def _outcomes(scenario: Scenario, rules: Rules, arm: Bits, reference: Bits) -> Iterator[Outcome]:
    """With each number of seeds at once, then with an analysis after each seed."""
    comparison = Comparison("", "arm", "reference", len(scenario.gaps), scenario.fixed_at)
    for seeds in SEEDS:
        at_once = judge(comparison, rules, arm[:seeds], reference[:seeds])
        yield _outcome(str(seeds), scenario, at_once)
    in_sequence = replace(rules, first=SEEDS[0], most=SEEDS[-1])
    yield _outcome(SEQUENCE, scenario, judge(comparison, in_sequence, arm, reference))


def _outcome(seeds: str, scenario: Scenario, verdict: Verdict) -> Outcome:
    low, up = verdict.epoch_low or inf, verdict.epoch or inf
    return Outcome(
        seeds=seeds,
        catches_up=verdict.catches_up,
        does_not=verdict.falls_short,
        covers=_contains(verdict.gap, scenario.truth),
        seeds_only_covers=_contains(verdict.on_these_images, scenario.truth),
        parity_covers=all(low <= epoch <= up for epoch in scenario.parity),
    )


def _contains(estimate: Estimate, truth: float) -> bool:
    return estimate.low <= truth <= estimate.high


def _row(scenario: Scenario, outcomes: list[Outcome]) -> Row:
    def share(name: str) -> float:
        return sum(getattr(outcome, name) for outcome in outcomes) / len(outcomes)

    caught = sum(outcome.catches_up for outcome in outcomes)
    others = len(outcomes) - caught
    return Row(
        scenario=scenario,
        seeds=outcomes[0].seeds,
        catches_up=share("catches_up"),
        at_most=float(betaincinv(caught + 1, others, 0.99)) if others else 1.0,
        does_not=share("does_not"),
        covers=share("covers"),
        seeds_only_covers=share("seeds_only_covers"),
        parity_covers=share("parity_covers"),
    )


@app.default
def calibration(
    *,
    replicates: Annotated[int, Parameter(help="Simulated studies of each kind.")] = 2000,
    seed: Annotated[int, Parameter(help="Random seed.")] = 0,
    arms: Annotated[int, Parameter(help="Number of comparisons that share the level.")] = 1,
    only: Annotated[str, Parameter(help="Only scenarios whose name contains this text.")] = "",
    processes: Annotated[int, Parameter(help="Number of processes.")] = 1,
) -> int:
    """Run the simulation and print the table."""
    chosen = [scenario for scenario in SCENARIOS if only in scenario.name]
    found = rows(replicates, seed, chosen, arms=arms, processes=processes)
    for line in markdown(found):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(app())
