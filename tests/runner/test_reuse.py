"""No epoch is trained twice: in a grid, when the limit is raised, when a study goes on."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from rich.console import Console

from normsweep.console.screen import screen
from normsweep.errors import SweepError
from normsweep.parts.catalog import catalog
from normsweep.runner.session import run_study
from normsweep.runner.workers import Settings, Workers
from normsweep.store.storage import read_study
from normsweep.sweep.loading import load_sweep
from normsweep.sweep.study_record import TrialRecord
from normsweep.sweep.trial import PhaseName, Result, Status
from normsweep.training import keras_engine
from normsweep.training.reproducibility import machine
from normsweep.training.snapshot import ModelState, Snapshot
from tests import forkserver, shared

SWEEP = """
name = "grid"
reference = "unit"
[data]
dataset = "digits"
[model]
name = "mlp"
options = { units = 8 }
[search]
trials = 8
sampler = "grid"
[search.space]
normalization = ["none", "unit"]
learning_rate = 0.001
optimizer = "adam"
epochs = { choices = [1, 2, 4, 6], sample = true }
[confirm]
seeds = 2
margin = 0.05
"""


class Place:
    """A folder with the sweep and the stores of its study."""

    def __init__(self, folder: Path, sweep: str = SWEEP) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.root = folder, folder / "mlruns"
        self.storage = f"sqlite:///{self.root}/optuna.db"
        self.tracking = f"sqlite:///{self.root}/mlflow.db"
        (folder / "grid.toml").write_text(sweep)
        shared.place_stores(self.root)

    def run(self, *overrides: str, phase: PhaseName = "all", reuse: str | None = None) -> str:
        """Run what is left of the study, here; what it says."""
        sweep = load_sweep(self.folder / "grid.toml", catalog(), overrides)
        settings = Settings(
            storage=self.storage, tracking_uri=self.tracking, executor="inline", root=self.root,
            phase=phase, reuse=reuse,
        )  # fmt: skip
        console = Console(file=io.StringIO(), width=300)
        with Workers(sweep, settings) as workers, screen(console):
            assert run_study(sweep, settings, workers, console)
        return console.file.getvalue()  # type: ignore[attr-defined]

    def start(self) -> subprocess.Popen[bytes]:
        """The same search in a process of its own."""
        command = [
            sys.executable, "-m", "normsweep.study", "grid.toml", "--executor", "inline", "--phase",
            "search",
        ]  # fmt: skip
        return forkserver.Popen(
            command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def records(self, phase: str = "search") -> list[TrialRecord]:
        records = read_study(self.storage, "grid").trials
        return [r for r in records if r.trial.phase == phase]

    def client(self) -> MlflowClient:
        return MlflowClient(self.tracking)


def curve(result: Result | None) -> list[tuple[object, ...]]:
    assert result is not None
    return [
        (e.train_loss, e.train_accuracy, e.val_loss, e.val_accuracy, e.tested) for e in result.curve
    ]


def by_epochs(records: list[TrialRecord]) -> dict[tuple[str, int], TrialRecord]:
    return {(r.trial.arm, r.trial.epochs): r for r in records}


@pytest.fixture(scope="module")
def grid(tmp_path_factory) -> tuple[Place, str]:
    """A study of a grid over epochs, searched and confirmed; what it said."""
    place = Place(tmp_path_factory.mktemp("grid"))
    return place, place.run()


def test_of_a_grid_over_epochs_the_longest_is_trained_and_holds_the_others(grid):
    place, said = grid
    records = by_epochs(place.records())
    assert len(records) == len(place.records()) == 8
    for (arm, epochs), record in records.items():
        longest = records[arm, 6]
        assert record.result is not None
        assert longest.result is not None
        assert record.result.status is Status.COMPLETE
        assert curve(record.result) == curve(longest.result)[:epochs]
        if epochs < 6:
            assert (record.result.origin, record.result.reused) == (longest.trial.number, epochs)
            assert record.result.seconds < 0.1
            assert f"reused from trial {longest.trial.number}" in said
    assert [r.result.reused for r in records.values() if r.trial.epochs == 6] == [0, 0]
    assert "trained 36 of 50 epochs; 14 were reused" in said, "2 × 13, and the confirmation's"


def test_mlflow_has_every_run_whole_and_says_where_it_is_from(grid):
    place, _ = grid
    client = place.client()
    for record in place.records():
        assert record.result is not None
        tags = client.get_run(record.run_id).data.tags
        points = client.get_metric_history(record.run_id, "val/accuracy")
        assert [p.step for p in points] == list(range(1, record.trial.epochs + 1))
        assert tags.get("normsweep.reused_from") == (
            None if record.result.origin is None else str(record.result.origin)
        )
        assert int(tags.get("normsweep.reused_epochs", 0)) == record.result.reused


def test_the_best_models_come_from_states_that_were_kept(grid):
    place, said = grid
    experiment = place.client().get_experiment_by_name("grid").experiment_id
    assert len(place.client().search_logged_models([experiment])) == 2
    assert "model of" not in said, "no model had to be trained again, or failed"
    kept = (place.folder / "mlruns" / "checkpoints" / "grid").glob("*/search/*.npz")
    assert list(kept)


def test_a_higher_limit_goes_on_where_the_lower_one_ended(grid, tmp_path):
    place, _ = grid
    said = place.run("search.space.epochs.choices=[1,2,4,6,9]", "search.trials=10")
    records = by_epochs(place.records())
    assert len(place.records()) == 10
    afresh = Place(tmp_path / "afresh", SWEEP.replace("[1, 2, 4, 6]", "[9]"))
    afresh.run("search.trials=2")
    uninterrupted = by_epochs(afresh.records())
    for arm in ("none", "unit"):
        record = records[arm, 9]
        assert record.result is not None
        assert (record.result.origin, record.result.reused) == (records[arm, 6].trial.number, 6)
        assert curve(record.result) == curve(uninterrupted[arm, 9].result)
        assert "epochs 1 to 6 reused from trial" in said
    confirmed = {(r.trial.arm, r.trial.seed): r for r in afresh.records("confirm")}
    longer = [r for r in place.records("confirm") if r.trial.epochs == 9]
    assert {(r.trial.arm, r.trial.seed) for r in longer} == confirmed.keys()
    for record in longer:
        assert record.result is not None
        assert record.result.reused == 6
        assert curve(record.result) == curve(confirmed[record.trial.arm, record.trial.seed].result)
    assert len(read_study(place.storage, "grid").analyses) == 2


def test_fewer_epochs_are_refused(grid):
    place, _ = grid
    with pytest.raises(SweepError) as refused:
        place.run("search.space.epochs.choices=[1,2]")
    assert "search.space.epochs.values: [1, 2, 4, 6" in str(refused.value)
    assert "to start a new study, or restore:" in str(refused.value)


LONG = """
name = "grid"
reference = "unit"
[data]
dataset = "digits"
[model]
name = "mlp"
options = { units = 8 }
[search]
trials = 2
[search.space]
normalization = ["none", "unit"]
learning_rate = { low = 1e-4, high = 1e-2, log = true }
optimizer = "adam"
epochs = 16
[execution]
threads = 2
checkpoint_every = 0.05
"""


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_trial_that_was_stopped_goes_on_from_where_it_was(tmp_path, number):
    place = Place(tmp_path / "stopped", LONG)
    process = place.start()
    states = place.root / "checkpoints" / "grid"
    deadline = time.monotonic() + 100
    while not list(states.glob("*/search/*-running.npz")):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    said = process.communicate(timeout=60)[0]
    assert process.returncode in (-signal.SIGKILL, 143), said
    place.run(phase="search")
    done = [r for r in place.records() if r.result and r.result.status is Status.COMPLETE]
    assert {r.trial.arm for r in done} == {"none", "unit"}
    assert max(r.result.reused for r in done if r.result) > 0
    whole = Place(tmp_path / "whole", LONG)
    whole.run(phase="search")
    expected = {r.trial.arm: curve(r.result) for r in whole.records()}
    for record in done:
        assert curve(record.result) == expected[record.trial.arm]
    assert not list(states.glob("*/search/*-running.npz"))


def test_a_state_from_other_settings_is_not_gone_on_from_and_that_is_said(tmp_path, monkeypatch):
    place = Place(tmp_path, SWEEP.replace("[1, 2, 4, 6]", "[2]"))
    place.run("search.trials=2", phase="search")
    recorded = machine()
    monkeypatch.setattr(keras_engine, "machine", lambda: {**recorded, "onednn": "0"})
    said = place.run("search.trials=6", "search.space.epochs.choices=[1,2,3]", phase="search")
    assert "trained from epoch 1, because the checkpoint of trial" in said
    assert f"onednn {recorded['onednn']}, now 0" in said
    records = by_epochs(place.records())
    for arm in ("none", "unit"):
        new = {epochs: records[arm, epochs].result for epochs in (1, 3)}
        assert new[3].reused == 0
        assert (new[1].origin, new[1].reused) == (records[arm, 3].trial.number, 1)


def test_the_model_of_a_reused_trial_is_that_of_the_other_studys_checkpoint(tmp_path):
    place = Place(tmp_path, SWEEP)
    short = (
        "search.sampler=auto",
        "search.trials=2",
        "search.space.epochs=1",
        "confirm.baseline.epochs=1",
    )
    place.run(*short, phase="search")
    said = place.run(*short, "name=second", phase="search", reuse="grid")
    assert said.count(" of study grid") == 2
    assert "model of" not in said
    files = list((place.root / "checkpoints" / "grid").rglob("*.npz"))
    assert len(files) == 2
    for file in files:  # without weights, so that what was read is seen
        found = Snapshot.load(file)
        empty = ModelState(tuple(0 * array for array in found.state.model), found.state.optimizer)
        Snapshot(found.so_far, empty).save(file)
    said = place.run(*short, "name=third", phase="search", reuse="grid")
    assert said.count("the saved model has validation accuracy") == 2
