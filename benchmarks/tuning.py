"""How often the headline of a tuned comparison is wrong, by how the search tunes: with planted truths.

Each arm is tuned by normsweep's own samplers and selection on a response surface (`benchmarks.surfaces`),
the chosen configurations are confirmed with 5 to 20 seeds, and the outcome is read off (`benchmarks.sequence`).
It is wrong if the gap between the best that both arms can reach contradicts it.

    nice -n 10 python -m benchmarks.tuning

Counts are kept in `benchmarks/tuning.json`; only what is missing there is simulated.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import optuna
from cyclopts import Parameter
from numpy.typing import NDArray
from optuna.trial import TrialState
from scipy.stats import t

from benchmarks.measure_surface import EPOCHS
from benchmarks.outcomes import ALPHA, false_words
from benchmarks.sequence import FIRST, MOST, NAMES, ends, sums
from benchmarks.surfaces import ARMS, MNIST_LIKE, Planted, Surface, digits, planted
from benchmarks.worlds import World, draw, pairs_of
from normsweep.analysis.sequential import levels
from normsweep.parts.catalog import catalog, resolve_trial
from normsweep.search.halving import Halving
from normsweep.search.samplers import make_advisor
from normsweep.search.selection import chosen_configurations
from normsweep.search.selection_phase import reselection
from normsweep.shell import command, run
from normsweep.sweep.loading import load_sweep
from normsweep.sweep.schema import Sweep
from normsweep.sweep.study_record import TUNED_LONG, TrialRecord
from normsweep.sweep.trial import DataKey, Epoch, Result, Status, Trial

__all__ = ["RULES", "Rule", "confirmed", "headlines", "searched", "sweep_of", "tuned"]

SAVED = Path(__file__).with_name("tuning.json")
DATA = DataKey("planted", "", 0.2)
FAR, WORST = 0.5, 0.19
"""The largest gap and the largest error of the better arm that are confirmed: they are as clear as larger ones."""
Tuned = tuple[str, float]
"""Optimizer and learning rate."""
app = command(
    "python -m benchmarks.tuning",
    "Simulate how often a tuned comparison is wrong.",
)


@dataclass(frozen=True)
class Rule:
    """A way to tune: keys of the sweep."""

    name: str
    keys: Mapping[str, object]


NO_ROUND = {"select.seeds": 0}
RULES = (
    Rule(
        "as shipped before: TPE, epochs sampled, one trial in three at full length",
        {"rules": 1, "search.sampler": "tpe", "search.longest_every": 3},
    ),
    Rule("TPE, every trial at full length", {"rules": 1, "search.sampler": "tpe"}),
    Rule("TPE, every trial at full length, baseline first", {"search.sampler": "tpe", **NO_ROUND}),
    Rule("shared ladder, baseline first", NO_ROUND),
    Rule("shared ladder, baseline first, top 3 on 2 more seeds", {}),
)
HALVING = Rule(
    "halving of twice the trials in as many epochs, shared ladder, baseline first, top 3 on 2 more seeds",
    {"search.pruner": "halving"},
)


def sweep_of(surface: Surface, rule: Rule, trials: int) -> Sweep:
    """The sweep of a rule with so many trials of each arm."""
    low, high = (float(f"{10.0**end:.6g}") for end in surface.range)
    sampled = "search.longest_every" in rule.keys
    raw = {
        "name": "tuning", "reference": ARMS[1], "data": {"dataset": "digits"},
        "search": {"trials": 2 * trials, "space": {
            "normalization": list(ARMS), "optimizer": ["sgd", "adam"],
            "learning_rate": {"low": low, "high": high, "log": True},
            "epochs": {"low": 1 if sampled else EPOCHS, "high": EPOCHS},
        }},
    }  # fmt: skip
    return load_sweep(raw, catalog(), [f"{key}={value}" for key, value in rule.keys.items()])


def searched(sweep: Sweep, study: Planted, arm: str, rng: np.random.Generator) -> list[TrialRecord]:
    """The trials of an arm's search."""
    advisor, records = (
        make_advisor(sweep, sweep.arm(arm), sweep.points_per_arm),
        list[TrialRecord](),
    )
    every = sweep.search.longest_every
    read = sweep.rungs[0].epoch if sweep.rungs else None
    for slot in range(sweep.points_per_arm):
        longest = every and slot % every == every - 1
        params = advisor.choose(slot, {"epochs": sweep.longest} if longest else {})
        number = ARMS.index(arm) * sweep.points_per_arm + slot
        trial = resolve_trial(sweep, DATA, arm, params, number, slot)
        if not slot and sweep.rules > 1:
            trial = replace(trial, configuration="baseline")
        record = _trained(study, trial, rng)
        assert record.result is not None
        value = record.result.curve[read - 1].value if read else record.result.score
        advisor.tell(slot, value, TrialState.COMPLETE)
        records.append(record)
    return halved(sweep, records) if read else records


def halved(sweep: Sweep, records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The trials of an arm as halving stops them."""
    halving, whole = Halving(sweep), {r.trial.slot: r for r in records}
    found: dict[int, TrialRecord] = {}
    while due := halving.due():
        for slot, until in due.items():
            found[slot] = _paused(whole[slot], until)
            halving.add(found[slot])
    return list(found.values())


def _paused(record: TrialRecord, until: int) -> TrialRecord:
    """The trial as it is after an epoch."""
    assert record.result is not None
    if until >= record.trial.epochs:
        return record
    curve = record.result.curve[:until]
    return replace(record, result=replace(record.result, status=Status.PRUNED, curve=curve))


def _trained(study: Planted, trial: Trial, rng: np.random.Generator) -> TrialRecord:
    curve = study.train(trial.arm, trial.optimizer, trial.learning_rate, rng)
    epochs = tuple(
        Epoch(trial.number, e + 1, 0.0, 0.0, float(curve.loss[e]), float(curve.accuracy[e]), 1.0)
        for e in range(trial.epochs)
    )
    return TrialRecord(trial, Result(trial.number, Status.COMPLETE, epochs, 0.1))


def tuned(sweep: Sweep, study: Planted, rng: np.random.Generator) -> dict[str, Tuned]:
    """What search and selection round choose for each arm, for the last epoch."""
    records = [r for arm in ARMS for r in searched(sweep, study, arm, rng)]
    planned = enumerate(reselection(sweep, records), start=len(records))
    again = [_trained(study, replace(trial, number=number), rng) for number, trial in planned]
    return {
        c.arm: (str(c.params["optimizer"]), float(c.params["learning_rate"]))
        for c in chosen_configurations(sweep, records, again)
        if c.name == TUNED_LONG
    }


def confirmed(
    study: Planted, chosen: Mapping[str, Tuned], rng: np.random.Generator
) -> NDArray[np.int8]:
    """The differences (pairs, images) of 20 pairs of networks on new test images."""
    arm, reference = (study.accuracy(a, *chosen[a]) for a in ARMS)
    s = study.surface
    gap = float(np.clip(arm - reference, -FAR, FAR)) / s.margin
    error = min(1 - max(arm, reference), WORST)
    world = World(s.test, s.margin, error, gap, 0.05 if abs(gap) > 1 else 0.0, seed=s.seed)
    return next(pairs_of(*draw(world, rng)))


def headlines(
    surface: Surface, rule: Rule, trials: int, gap: float, studies: int
) -> dict[str, int]:
    """How many studies have each outcome, by name."""
    sweep, tables = sweep_of(surface, rule, trials), list[NDArray[np.int8]]()
    for seed in range(studies):
        rng = np.random.default_rng([seed, trials])
        study = planted(surface, gap, rng)
        chosen = tuned(sweep.model_copy(update={"seed": seed}), study, rng)
        tables.append(confirmed(study, chosen, rng))
    tails = np.array(levels(ALPHA / 2, FIRST, MOST))
    end = ends(sums(tables, surface.test), tails, surface.margin)
    return {name: int((end.outcome == i).sum()) for i, name in enumerate(NAMES)}


def repeated(surface: Surface, trials: int, repeats: int, studies: int) -> dict[str, float]:
    """How often intervals cover the mean gap of the procedure: of repeated tuning, and of one search."""
    sweep, truths, means, low, high = sweep_of(surface, RULES[-1], trials), [], [], [], []
    study = planted(surface, -0.25, np.random.default_rng(0), jitter=False)
    for seed in range(studies * repeats):
        rng = np.random.default_rng([seed, trials, repeats])
        chosen = tuned(sweep.model_copy(update={"seed": seed}), study, rng)
        truths.append(
            study.accuracy(ARMS[0], *chosen[ARMS[0]]) - study.accuracy(ARMS[1], *chosen[ARMS[1]])
        )
        pairs = confirmed(study, chosen, rng)[:FIRST].sum(axis=1) / surface.test
        half = t.ppf(0.975, FIRST - 1) * pairs.std(ddof=1) / FIRST**0.5
        means.append(pairs.mean())
        low.append(pairs.mean() - half)
        high.append(pairs.mean() + half)
    truth, groups = float(np.mean(truths)), np.reshape(means, (studies, repeats))
    half = t.ppf(0.975, repeats - 1) * groups.std(axis=1, ddof=1) / repeats**0.5
    covered = np.abs(groups.mean(axis=1) - truth) <= half
    one = (np.array(low) <= truth) & (truth <= np.array(high))
    return {"repeated": float(covered.mean()), "one search": float(one.mean())}


@app.default
def tuning(
    *,
    studies: Annotated[
        int, Parameter(help="Studies of each cell; half for superseded rules.")
    ] = 400,
    trials: Annotated[tuple[int, ...], Parameter(help="Trials of each arm.")] = (8, 10),
    saved: Annotated[Path, Parameter(help="The file of counts.")] = SAVED,
) -> int:
    """Simulate what is missing, and print the tables as Markdown."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    known: dict[str, dict[str, float]] = json.loads(saved.read_text()) if saved.exists() else {}

    def ask(surface: str, rule: Rule, n: int, gap: float) -> str:
        count = studies if rule in (RULES[-1], HALVING) else studies // 2
        key = f"{surface}; {rule.name}; {n} trials; gap {gap:g} m; {count} studies"
        if key not in known:
            known[key] = dict(headlines(SURFACES[surface], rule, n, gap, count))
            _write(saved, known)
        return f"{100 * sum(known[key][NAMES[w]] for w in false_words(gap)) / count:.1f}"

    columns = [(surface, gap) for surface in SURFACES for gap in GAPS]
    print("| rule |", " | ".join(f"{s}: gap {gap:g} m" for s, gap in columns), "|")
    print("|---" * (len(columns) + 1) + "|")
    for rule in (*RULES, HALVING):
        cells = (" / ".join(ask(s, rule, n, gap) for n in trials) for s, gap in columns)
        print(f"| {rule.name} |", " | ".join(cells), "|", flush=True)
    print(
        "\n| surface | trials of each arm | mean covered by three searches | by one |\n|---|---|---|---|"
    )
    for surface, n in ((s, n) for s in SURFACES for n in trials):
        key = f"{surface}; {n} trials; three searches; {studies // 4} studies"
        if key not in known:
            known[key] = repeated(SURFACES[surface], n, 3, studies // 4)
            _write(saved, known)
        found = known[key]
        print(
            f"| {surface} | {n} | {100 * found['repeated']:.1f} % | {100 * found['one search']:.1f} % |"
        )
    return 0


def _write(path: Path, known: Mapping[str, Mapping[str, float]]) -> None:
    lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in known.items())
    path.write_text(f"{{\n{lines}\n}}\n")


GAPS: Sequence[float] = (-0.25, -2.5)
"""True gaps of the studies, in margins: within, and far behind."""
SURFACES: Mapping[str, Surface] = {"digits": digits(), "MNIST-like": MNIST_LIKE}

if __name__ == "__main__":
    sys.exit(run(app))
