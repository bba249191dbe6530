"""How often the headline of a tuned comparison is wrong, by how the search tunes: with planted truths.

Two arms have a known validation and test score at each optimizer, learning rate and epoch. A search
with the samplers of normsweep tunes each arm; the chosen configurations are confirmed on five seeds.
The headline is wrong if it says that the arm is clearly behind although the best that it can reach is
within the margin ("false behind"), or that it is level although that is 2.5 margins behind ("false level").

    nice -n 19 python -m benchmarks.tuning
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Annotated

import numpy as np
import optuna
from cyclopts import App, Parameter
from optuna.trial import TrialState
from scipy.stats import norm, t

from normsweep.parts.catalog import catalog
from normsweep.search.samplers import make_advisor
from normsweep.sweep.loading import load_sweep
from normsweep.sweep.schema import Sweep

ARMS = ("none", "unit")
SEEDS = 5
"""Seeds of the confirmation."""
app = App(help="Simulate how often a tuned comparison is wrong.")


@dataclass(frozen=True)
class Optimum:
    """Where an optimizer's best learning rate is, and what other rates lose after the last epoch."""

    rate: float
    """Decimal logarithm of the best rate."""
    below: float
    """Loss in percentage points at a tenth of the best rate; it grows with the square of the distance."""
    above: float
    """Loss at ten times the best rate, if it were not diverged."""
    cliff: float
    """Decades above the best rate from which training diverges."""
    worse: float = 0.0
    """How many percentage points this optimizer is behind the other at its best."""


@dataclass(frozen=True)
class Surface:
    """Scores in percentage points, relative to the best that the reference can reach."""

    margin: float
    epochs: int
    low: float
    high: float
    """Decimal logarithms of the ends of the searched range."""
    seed: float
    """Standard deviation over seeds of a configuration's score."""
    epoch: float
    """Standard deviation of a score from one epoch to the next."""
    validation: int
    """Number of validation images."""
    error: float
    """Share of wrong images, for the noise of the validation score."""
    test: float
    """Standard error of a gap due to the test images."""
    early: float
    """Loss in percentage points at a quarter of the epochs, with the best rate."""
    jitter: float
    """Standard deviation of the place of the optima between studies, in decades."""
    optima: dict[tuple[str, str], Optimum]


MNIST = Surface(
    0.2, 12, -5, -1, 0.08, 0.15, 12_000, 0.012, 0.055, 0.5, 0.2,
    {
        ("none", "adam"): Optimum(-3.2, 0.45, 1.6, 0.7),
        ("none", "sgd"): Optimum(-3.6, 0.7, 2.0, 0.5, 0.3),
        ("unit", "adam"): Optimum(-3.0, 0.3, 0.7, 1.2),
        ("unit", "sgd"): Optimum(-1.2, 0.5, 0.7, 1.0, 0.1),
    },
)  # fmt: skip
DIGITS = Surface(
    2.0, 12, -4, -1, 0.9, 0.7, 288, 0.05, 0.6, 5.0, 0.2,
    {
        ("none", "adam"): Optimum(-3.0, 6.0, 14.0, 0.8),
        ("none", "sgd"): Optimum(-3.1, 9.0, 18.0, 0.6, 1.5),
        ("unit", "adam"): Optimum(-2.5, 5.0, 7.0, 1.0),
        ("unit", "sgd"): Optimum(-1.2, 8.0, 8.0, 1.0, 0.5),
    },
)  # fmt: skip
SURFACES = {"digits-like": DIGITS, "MNIST-like": MNIST}
DIVERGED = -80.0


@dataclass(frozen=True)
class Study:
    """One planted study: the surface with its optima moved, and the gap between the arms' bests."""

    surface: Surface
    gap: float
    moved: dict[tuple[str, str], float]

    def score(self, arm: str, optimizer: str, rate: float, epoch: int) -> float:
        """The expected score."""
        found = self.surface.optima[arm, optimizer]
        distance = np.log10(rate) - found.rate - self.moved[arm, optimizer]
        if distance > found.cliff:
            return DIVERGED
        loss = (found.below if distance < 0 else found.above) * distance**2
        slow = 1 + max(0.0, -distance)  # low rates are slow
        early = self.surface.early * ((self.surface.epochs / epoch) ** (0.5 * slow) - 1)
        return (self.gap if arm == ARMS[0] else 0.0) - found.worse - loss - early

    def measured(self, score: float, rng: np.random.Generator) -> float:
        """A validation score of one seed and epoch."""
        if score == DIVERGED:
            return score
        s = self.surface
        images = 100 * sqrt(s.error * (1 - s.error) / s.validation)
        noise = sqrt(s.seed**2 + s.epoch**2 + images**2)
        step = 100 / s.validation
        return round((score + noise * rng.standard_normal()) / step) * step


Tried = tuple[float, str, float]
"""A trial: its validation score after the last epoch, optimizer and learning rate."""


@dataclass(frozen=True)
class Rule:
    """A way to tune: keys of the sweep, and further seeds for the best trials."""

    name: str
    keys: dict[str, object]
    top: int = 0
    seeds: int = 0


SAMPLED = {"rules": 1, "search.sampler": "tpe", "search.longest_every": 3}
FIXED = {"rules": 1, "search.sampler": "tpe"}
RULES = (
    Rule("as shipped before: TPE, epochs sampled, one trial in three at full length", SAMPLED),
    Rule("TPE, every trial at full length", FIXED),
    Rule("TPE, every trial at full length, baseline first", {"search.sampler": "tpe"}),
    Rule("shared ladder, baseline first", {}),
    Rule("shared ladder, baseline first, top 3 on 2 more seeds", {}, 3, 2),
)


def sweep_of(surface: Surface, rule: Rule, trials: int) -> Sweep:
    """The sweep of a rule with so many trials of each arm."""
    low = 1 if rule.keys == SAMPLED else surface.epochs
    raw = {
        "name": "tuning", "reference": ARMS[1], "data": {"dataset": "digits"},
        "search": {"trials": 2 * trials, "space": {
            "normalization": list(ARMS), "optimizer": ["sgd", "adam"],
            "learning_rate": {"low": 10**surface.low, "high": 10**surface.high, "log": True},
            "epochs": {"low": low, "high": surface.epochs},
        }},
    }  # fmt: skip
    overrides = [f"{key}={value}" for key, value in rule.keys.items()]
    return load_sweep(raw, catalog(), overrides)


def tuned(sweep: Sweep, rule: Rule, study: Study, arm: str, rng: np.random.Generator) -> Tried:
    """The configuration that a search of an arm chooses."""
    advisor = make_advisor(sweep, sweep.arm(arm), sweep.trials_per_arm)
    every, reached = sweep.search.longest_every, list[Tried]()
    for slot in range(sweep.trials_per_arm):
        longest = every and slot % every == every - 1
        params = advisor.choose(slot, {"epochs": sweep.longest} if longest else {})
        optimizer, rate = str(params["optimizer"]), float(params["learning_rate"])
        value = study.measured(study.score(arm, optimizer, rate, int(params["epochs"])), rng)
        advisor.tell(slot, value, TrialState.COMPLETE)
        if params["epochs"] == sweep.longest:
            reached.append((value, optimizer, rate))
    best = sorted(reached, reverse=True)
    if not rule.top:
        return best[0]
    again = best[: rule.top] + [b for b in best[rule.top :] if b == reached[0]]
    return max(again, key=lambda one: _mean(study, arm, one, rule.seeds, rng))


def _mean(study: Study, arm: str, tried: Tried, seeds: int, rng: np.random.Generator) -> float:
    expected = study.score(arm, *tried[1:], study.surface.epochs)
    return float(np.mean([tried[0], *(study.measured(expected, rng) for _ in range(seeds))]))


def headline(study: Study, chosen: dict[str, Tried], rng: np.random.Generator) -> str:
    """The outcome of the confirmation of what was chosen: level, behind or open."""
    s = study.surface
    arm, reference = (study.score(a, *chosen[a][1:], s.epochs) for a in ARMS)
    if arm == DIVERGED or reference == DIVERGED:
        return "open"
    spread = sqrt(2 * (s.seed**2 + s.epoch**2 / 3))
    pairs = arm - reference + spread * rng.standard_normal(SEEDS)
    gap = pairs.mean() + s.test * rng.standard_normal()
    seeds = t.ppf(0.975, SEEDS - 1) * pairs.std(ddof=1) / sqrt(SEEDS)
    half = sqrt(seeds**2 + (norm.ppf(0.975) * s.test) ** 2)
    if gap - half > -s.margin:
        return "level"
    return "behind" if gap + half < -s.margin else "open"


def wrong(surface: Surface, rule: Rule, trials: int, gap: float, word: str, studies: int) -> float:
    """Share of studies with a headline, in percent."""
    sweep, count = sweep_of(surface, rule, trials), 0
    for seed in range(studies):
        rng = np.random.default_rng([seed, trials])
        moved = {key: surface.jitter * rng.standard_normal() for key in surface.optima}
        study = Study(surface, gap * surface.margin, moved)
        own = sweep.model_copy(update={"seed": seed})
        chosen = {arm: tuned(own, rule, study, arm, rng) for arm in ARMS}
        count += headline(study, chosen, rng) == word
    return 100 * count / studies


@app.default
def run(
    *,
    studies: Annotated[int, Parameter(help="Studies of each cell.")] = 1000,
    trials: Annotated[tuple[int, ...], Parameter(help="Trials of each arm.")] = (8, 10),
) -> None:
    """Print the table as Markdown."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    cells: dict[str, Callable[[Surface, Rule, int], float]] = {
        "false behind": lambda s, rule, n: wrong(s, rule, n, -0.25, "behind", studies),
        "false level": lambda s, rule, n: wrong(s, rule, n, -2.5, "level", studies),
    }
    columns = [(name, kind) for name in SURFACES for kind in cells]
    print("| rule |", " | ".join(f"{name}: {kind}" for name, kind in columns), "|")
    print("|---" * (len(columns) + 1) + "|")
    for rule in RULES:
        shares = (
            " / ".join(f"{cells[kind](SURFACES[name], rule, n):.1f}" for n in trials)
            for name, kind in columns
        )
        print(f"| {rule.name} |", " | ".join(shares), "|", flush=True)


if __name__ == "__main__":
    app()
