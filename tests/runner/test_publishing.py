"""Models whose trials have no checkpoint: trained again on all workers, when nothing else waits for them."""

from __future__ import annotations

import contextlib
import io
import re
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from normsweep.errors import Interrupted
from normsweep.executors.inline import Inline
from normsweep.executors.processes import Processes
from normsweep.executors.protocol import Event, WorkerOptions
from normsweep.runner.checkpoints import Checkpoints
from normsweep.runner.delivery import sync_study
from normsweep.runner.interrupts import Signals
from normsweep.runner.publishing import trained_again
from normsweep.shell import run
from normsweep.study import app
from normsweep.sweep.study_record import TrialRecord
from normsweep.sweep.trial import DataKey
from normsweep.training.snapshot import Snapshot
from tests import shared
from tests.conftest import make_trial

SWEEP = """
name = "published"
reference = "unit"
[data]
dataset = "digits"
train_size = 200
[model]
name = "mlp"
options = { units = 4 }
[search]
trials = 4
[search.space]
normalization = ["none", "unit"]
learning_rate = { low = 1e-4, high = 1e-2, log = true }
optimizer = ["adam"]
epochs = 2
[select]
seeds = 0
[confirm]
seeds = 2
[execution]
checkpoints = 0
"""


def record(number: int, data: DataKey, epochs: int) -> TrialRecord:
    """A synthetic trial with epochs of a twentieth of a second."""
    options = {"seconds": 0.05}
    trial = make_trial(number, data=data, model="synthetic", model_options=options, epochs=epochs)
    return TrialRecord(trial, None)


def test_all_workers_train(digits_root, digits_key, tmp_path):
    executor = Processes(WorkerOptions(digits_root, "cpu", 1, trained=False), jobs=2)
    records = [record(number, digits_key, epochs) for number, epochs in enumerate((1, 60, 1))]
    with contextlib.closing(executor), Signals() as signals:
        ended = trained_again(records, executor, Checkpoints(tmp_path, 0), signals)
        assert [each.trial.number for each, _ in ended] == [0, 2, 1]  # the last beside the long one


class Stopped(Inline):
    """Ctrl-C comes after the first state that is to be kept."""

    kept = False

    def poll(self, timeout: float) -> list[Event]:
        if self.kept:
            raise Interrupted(signal.SIGINT)
        events = super().poll(timeout)
        self.kept = any(isinstance(event, Snapshot) for event in events)
        return events


def test_an_interrupted_one_goes_on_from_where_it_was_and_a_whole_one_is_kept(
    digits_root, digits_key, tmp_path
):
    options, checkpoints = WorkerOptions(digits_root, "cpu", 2), Checkpoints(tmp_path, 1.0, 0.0)
    again = record(0, digits_key, 3)
    changed = {"model": "mlp", "model_options": {"units": 4}}
    again = replace(again, trial=replace(again.trial, **changed))
    with Signals() as signals:
        with contextlib.closing(Stopped(options)) as executor, pytest.raises(Interrupted):
            list(trained_again([again], executor, checkpoints, signals))
        start = checkpoints.start(again.trial)
        assert start is not None
        assert start.epoch == 1
        with contextlib.closing(Inline(options)) as executor:
            ((_, state),) = trained_again([again], executor, checkpoints, signals)
    assert state is not None
    assert checkpoints.start(again.trial) is None
    assert checkpoints.load(again.trial) is not None


def test_the_confirmation_does_not_wait_for_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shared.place_stores(tmp_path / "mlruns")
    Path("published.toml").write_text(SWEEP)
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        assert run(app, ["published.toml", "--executor", "inline"]) == 0
    lines = said.getvalue().splitlines()
    (again,) = [i for i, line in enumerate(lines) if "2 trials, which are trained again" in line]
    ended = [i for i, line in enumerate(lines) if re.match(r"\d+/\d+ trial", line)]
    assert len(ended) > 4  # those of the confirmation too
    assert max(ended) < again
    client = MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    for alias in ("none", "unit"):
        assert client.get_model_version_by_alias("published", alias)


def test_models_that_mlflow_has_lost_are_logged_again(tmp_path, monkeypatch):
    """As after its database was restored from an older backup: by `sync`, then the study's command."""
    monkeypatch.chdir(tmp_path)
    shared.place_stores(tmp_path / "mlruns")
    Path("published.toml").write_text(SWEEP)
    assert run(app, ["published.toml", "--executor", "inline", "--quiet"]) == 0
    stores = [f"sqlite:///{tmp_path}/mlruns/{name}.db" for name in ("optuna", "mlflow")]
    client = MlflowClient(stores[1])
    client.delete_registered_model("published")
    experiment = client.get_experiment_by_name("published").experiment_id
    for model in client.search_logged_models([experiment]):
        client.delete_logged_model(model.model_id)
    said: list[str] = []
    assert not sync_study("published", *stores, said.append)
    assert "published: MLflow has lost the models of none, unit" in said
    assert run(app, ["published.toml", "--executor", "inline", "--quiet"]) == 0
    assert len(client.search_logged_models([experiment])) == 2
    assert set(client.get_registered_model("published").aliases) == {"none", "unit"}
    assert sync_study("published", *stores, said.append)
