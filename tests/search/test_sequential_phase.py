"""A confirmation that adds seeds by itself: which it adds, when it stops, and that nothing else matters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from normsweep.parts.catalog import catalog
from normsweep.search.confirm_phase import Confirmation
from normsweep.store.storage import open_study, read_study
from normsweep.sweep.loading import load_sweep
from normsweep.sweep.schema import Sweep
from normsweep.sweep.study_record import BASELINE, TUNED_LONG, TUNED_SHORT, Configuration, DataFacts
from normsweep.sweep.trial import DataKey, Epoch, Result, Status, Tested, Trial

IMAGES = 2_000
DATA = DataFacts("digits", "test", "d1", train_images=10, test_images=IMAGES, classes=10)
KEY = DataKey("digits", "d1", 0.2)
SWEEP = """
name = "sequential"
reference = "unit"
[data]
dataset = "digits"
[search]
trials = 12
[search.space]
normalization = ["unit", "none", "standardize"]
learning_rate = { low = 1e-5, high = 1e-1, log = true }
optimizer = ["sgd", "adam"]
epochs = 2
[confirm]
seeds = { first = 5, most = 12 }
margin = 0.033
[confirm.baseline]
epochs = 1
"""
NAMES = (BASELINE, TUNED_SHORT, TUNED_LONG)
SCORES = {"unit": (0.92, 0.0), "none": (0.7, 0.01), "standardize": (0.917, 0.05)}
"""By arm the mean over the seeds, and the standard deviation between them."""


@pytest.fixture
def sweep(tmp_path: Path) -> Callable[..., Sweep]:
    path = tmp_path / "sequential.toml"
    path.write_text(SWEEP)
    return lambda *overrides: load_sweep(path, catalog(), overrides)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/optuna.db"


def confirmation(url: str, sweep: Sweep) -> Confirmation:
    """Opened as a command opens it; tuned for both numbers of epochs is the same."""
    study = open_study(url, sweep.name, sweep)
    study.begin_study(DATA, {})
    chosen = [
        Configuration(
            arm.key,
            name,
            {"normalization": arm.key, "optimizer": "adam", "learning_rate": rate, "epochs": 2},
        )
        for arm in sweep.arms
        for name, rate in zip(NAMES, (0.001, 0.002, 0.002), strict=True)
    ]
    return Confirmation(study, sweep, KEY, chosen)


def bits(trial: Trial) -> bytes:
    """The images that a run classifies correctly: the same hard ones, more or fewer of them by the seed."""
    mean, spread = SCORES[trial.arm]
    rng = np.random.default_rng([trial.seed, *map(ord, trial.arm)])
    score = min(mean + spread * rng.standard_normal(), 1.0)
    # Where two arms differ, it is on different images.
    order = np.random.default_rng(1).permutation(IMAGES)
    return np.packbits(order < round(score * IMAGES)).tobytes()


def end(phase: Confirmation, trial: Trial, status: Status = Status.COMPLETE) -> None:
    curve = tuple(
        Epoch(trial.number, epoch, 0.1, 0.9, 0.1, 0.9, 0.1, Tested(IMAGES, bits(trial)))
        for epoch in range(1, trial.epochs + 1)
    )
    ended = status is Status.COMPLETE
    phase.tell(Result(trial.number, status, curve if ended else (), chance=0.1, test_digest="t"))


def drive(
    phase: Confirmation,
    workers: int = 1,
    limit: int = 1_000,
    order: int = 0,
    diverging: str = "",
) -> list[Trial]:
    """Run trials in so many workers, which end in an order of their own; those that were begun."""
    rng, begun, running = np.random.default_rng(order), list[Trial](), list[Trial]()
    while len(begun) < limit or running:
        while len(running) < workers and len(begun) < limit:
            trial = phase.ask({t.lineage for t in running})
            if trial is None:
                break
            begun.append(trial)
            running.append(trial)
        if not running:
            break
        ended = running.pop(rng.integers(len(running)))
        status = Status.DIVERGED if ended.arm == diverging else Status.COMPLETE
        end(phase, ended, status)
    return begun


Looks = list[tuple[int, Mapping[tuple[str, str], tuple[int | None, ...]]]]


def looks(url: str) -> Looks:
    """The analyses, with the seeds of their runs instead of the trials' numbers."""
    record = read_study(url, "sequential")
    seeds = {r.trial.number: r.trial.seed for r in record.trials}
    return [
        (a.seeds, {(c.arm, c.name): tuple(map(seeds.get, c.runs)) for c in a.configurations})
        for a in record.analyses
    ]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Confirmation, list[Trial], Looks]:
    """One worker from the beginning to the end: the phase, its trials, its analyses."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "sequential.toml").write_text(SWEEP)
    url = f"sqlite:///{folder}/optuna.db"
    phase = confirmation(url, load_sweep(folder / "sequential.toml", catalog()))
    return phase, drive(phase), looks(url)


def test_only_the_primary_question_of_open_arms_gets_more_seeds(alone):
    phase, trials, _ = alone
    stopped = {s.arm: s.seeds for s in phase.outlook.standings}
    assert stopped["none"] == 5
    assert 5 < stopped["standardize"] <= 12
    counts = Counter((t.arm, t.configuration) for t in trials)
    tuned = f"{TUNED_SHORT}, {TUNED_LONG}"
    assert {arm: counts[arm, BASELINE] for arm in SCORES} == dict.fromkeys(SCORES, 5)
    assert {arm: counts[arm, tuned] for arm in SCORES} == dict.fromkeys(SCORES, 5)
    more = stopped["standardize"] - 5
    assert {arm: counts[arm, TUNED_LONG] for arm in SCORES} == {
        "unit": more, "none": 0, "standardize": more,
    }  # fmt: skip
    assert (phase.over, phase.left, phase.total) == (True, 0, len(trials))
    assert phase.outlook.total == phase.total


def test_there_is_an_analysis_after_each_seed_of_what_was_open(alone):
    phase, _, found = alone
    last = next(s.seeds for s in phase.outlook.standings if s.arm == "standardize")
    assert [seeds for seeds, _ in found] == [*range(5, last + 1)]
    for seeds, runs in found:
        assert (
            runs["unit", TUNED_LONG] == runs["standardize", TUNED_LONG] == (*range(1, seeds + 1),)
        )
        assert runs["none", TUNED_LONG] == runs["standardize", BASELINE] == (1, 2, 3, 4, 5)


def test_an_outlook_counts_the_seeds_that_are_expected(url, sweep):
    phase = confirmation(url, sweep())
    assert phase.outlook.total == phase.total == 3 * 2 * 5
    drive(phase, limit=30)
    (standing,) = (s for s in phase.outlook.standings if s.open)
    assert (standing.arm, standing.seeds) == ("standardize", 5)
    assert 1 <= standing.further <= 7
    assert phase.total == 32
    assert phase.outlook.total == 30 + 2 * standing.further
    assert phase.outlook.of_arm == {
        "unit": 10 + standing.further, "standardize": 10 + standing.further, "none": 10,
    }  # fmt: skip


@pytest.mark.parametrize(("workers", "order"), [(2, 0), (7, 1)])
def test_workers_change_nothing(alone, url, sweep, workers, order):
    before, trials, analyses = alone
    phase = confirmation(url, sweep())
    begun = drive(phase, workers, order=order)
    assert looks(url) == analyses
    assert phase.outlook.standings == before.outlook.standings
    assert phase.over
    assert len(begun) - len(trials) <= workers + 1  # what was begun ahead


@pytest.mark.parametrize(("done", "workers"), [(3, 1), (29, 2), (31, 1), (34, 2)])
def test_a_kill_changes_nothing(alone, url, sweep, done, workers):
    before, _, analyses = alone
    killed = confirmation(url, sweep())
    drive(killed, workers, limit=done)
    killed.ask()
    phase = confirmation(url, sweep())
    drive(phase)
    assert looks(url) == analyses
    assert phase.outlook.standings == before.outlook.standings
    again = confirmation(url, sweep())
    assert (again.over, again.left, again.ask()) == (True, 0, None)
    assert looks(url) == analyses


def test_a_run_that_failed_is_tried_again_until_there_is_an_analysis_without_it(url, sweep):
    once = sweep("execution.retries=0")
    phase = confirmation(url, once)
    failed = phase.ask()
    assert failed is not None
    end(phase, failed, Status.CRASHED)
    drive(phase, limit=20)
    again = confirmation(url, once)
    retried = again.ask()
    assert retried is not None
    assert retried.fingerprint == failed.fingerprint
    end(again, retried, Status.CRASHED)
    drive(again)
    assert again.over
    assert again.total == len({r.trial.fingerprint for r in again.records()}) - 1
    assert all(runs["unit", BASELINE][0] is None for _, runs in looks(url))
    assert confirmation(url, once).ask() is None


def test_an_arm_without_a_tuned_configuration_does_not_hold_up_the_others(url, sweep):
    made = confirmation(url, sweep())
    chosen = [c for c in made.configurations if (c.arm, c.name) != ("standardize", TUNED_LONG)]
    phase = Confirmation(made.store, sweep(), KEY, chosen)
    drive(phase)
    assert phase.over
    assert [seeds for seeds, _ in looks(url)] == [5]


@pytest.mark.parametrize(
    ("arm", "said"), [("standardize", {"standardize": "does not train"}), ("unit", {})]
)
def test_what_never_trains_gets_no_more_seeds(url, sweep, arm, said):
    phase = confirmation(url, sweep())
    drive(phase, diverging=arm)
    standings = {s.arm: s for s in phase.outlook.standings}
    assert {s.seeds for s in standings.values()} == {5}
    assert phase.over
    assert said.items() <= {name: s.outcome for name, s in standings.items()}.items()


def test_at_most_as_many_seeds_as_are_allowed(url, sweep):
    phase = confirmation(url, sweep("confirm.seeds={first=5, most=6}"))
    drive(phase)
    assert phase.over
    standing = next(s for s in phase.outlook.standings if s.arm == "standardize")
    assert (standing.seeds <= 6, standing.open) == (True, False)
    assert max(r.trial.slot for r in phase.records()) <= 5
