"""Epochs that end after a number of optimizer steps, within a pass over the images or after several."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from normsweep.cli import main
from normsweep.parts.catalog import read_sweep, resolve_trial
from normsweep.shell import run
from normsweep.sweep.recorded import changes
from normsweep.sweep.trial import DataKey, Trial
from normsweep.training.keras_engine import KerasEngine
from normsweep.training.snapshot import CheckpointPolicy, Snapshot
from tests.training.test_callbacks import CALLED
from tests.training.test_own_steps import own_trial, run_to_end, scores

SIZE, PASS, IMAGES = 32, 36, 1149
"""Images in a batch; steps of a pass, the last with 29 images; images of a pass."""


@pytest.fixture(scope="module")
def engine(digits_root: Path) -> KerasEngine:
    return KerasEngine(digits_root)


@pytest.fixture
def trial(digits_key: DataKey) -> Trial:
    return own_trial(digits_key, model="test_dense", normalization="unit", batch_size=SIZE)


def curve(engine: KerasEngine, trial: Trial, **changed):
    return run_to_end(engine.train(replace(trial, **changed))).result.curve


def test_a_pass_in_steps_is_the_same_epoch_bit_for_bit(engine, trial):
    assert scores(curve(engine, trial)) == scores(curve(engine, trial, steps_per_epoch=PASS))
    assert trial.lineage != replace(trial, steps_per_epoch=PASS).lineage


@pytest.mark.parametrize(("steps", "epochs"), [(24, 3), (1, 72), (72, 1)])
def test_as_many_steps_are_the_same_training_wherever_epochs_end(engine, trial, steps, epochs):
    """72 steps are two passes; 24 end within a pass and take in the end of one."""
    passes = curve(engine, trial)
    found = curve(engine, trial, steps_per_epoch=steps, epochs=epochs)
    assert len(found) == epochs
    assert found[-1].val_loss == passes[-1].val_loss
    sizes = ([SIZE] * (PASS - 1) + [IMAGES - SIZE * (PASS - 1)]) * 2
    images = np.reshape(sizes, (epochs, steps)).sum(axis=1)
    mean = np.average([epoch.train_loss for epoch in found], weights=images)
    assert mean == pytest.approx(np.mean([epoch.train_loss for epoch in passes]), rel=1e-6)


def test_a_training_goes_on_within_a_pass(engine, trial):
    own = replace(trial, steps_per_epoch=24, epochs=3)
    found: list = []
    whole = run_to_end(engine.train(own, CheckpointPolicy(every=0.0)), found).result
    snapshot = next(each for each in found if isinstance(each, Snapshot))
    assert 0 < len(snapshot.so_far.curve) < 3
    again = run_to_end(engine.train(own, None, snapshot)).result
    assert again.reused == len(snapshot.so_far.curve)
    assert scores(again.curve) == scores(whole.curve)


def test_schedules_count_these_epochs(engine, trial):
    by_epochs, by_steps = (
        curve(engine, trial, steps_per_epoch=24, epochs=2, schedule="warmup", schedule_options=each)
        for each in ({"warmup_epochs": 1.0}, {"warmup_steps": 24})
    )
    assert scores(by_epochs) == scores(by_steps)
    assert scores(by_steps) != scores(curve(engine, trial, steps_per_epoch=24))


def test_hooks_for_batches_count_through_the_epoch(engine, trial):
    CALLED.clear()
    curve(engine, trial, steps_per_epoch=24, epochs=3, callback="test_counts")
    assert [f"batch {i}" for i in range(24)] * 3 == CALLED


def test_a_sweep_declares_it_and_its_trials_have_it(digits_key):
    plain, own = (
        read_sweep("quickstart", overrides)
        for overrides in ([], ["model.steps_per_epoch=50", "search.space.epochs=40"])
    )
    params = {"normalization": "unit", "learning_rate": 0.1, "optimizer": "sgd", "epochs": 40}
    trial = resolve_trial(own, digits_key, "unit", params, 0, 0)
    assert trial.steps_per_epoch == 50
    assert trial.changed == {"steps_per_epoch": 50}
    assert "  model.steps_per_epoch: (not set) -> 50" in changes(plain, own)


def test_the_plan_says_it(capsys):
    steps = ["--set", "model.steps_per_epoch=50"]
    assert run(main.app, ["check", "quickstart", *steps]) == 0
    epochs = next(line for line in capsys.readouterr().out.splitlines() if "epochs  " in line)
    assert epochs.endswith("; an epoch is 50 steps of the optimizer")
