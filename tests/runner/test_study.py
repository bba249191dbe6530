from __future__ import annotations

import contextlib
import io
import sys
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import optuna
import pytest
from mlflow import MlflowClient

from normsweep.analysis.trials import best_of_arms
from normsweep.parts import datasets
from normsweep.shell import run
from normsweep.store.storage import read_study
from normsweep.study import app
from normsweep.sweep.study_record import TrialRecord
from normsweep.sweep.trial import Status
from tests import forkserver, shared

SWEEP = """
name = "tested"
question = "Is the planted truth found?"
reference = "unit"
[data]
dataset = "digits"
[model]
name = "synthetic"
options = { ceiling = { none = 0.9, default = 0.99 }, seconds = 0.02 }
[search]
trials = 12
[search.space]
normalization = ["none", "unit", "standardize"]
learning_rate = { low = 1e-4, high = 1e-2, log = true }
optimizer = ["sgd", "adam"]
epochs = { low = 2, high = 5 }
"""


class Place:
    """A folder with a sweep, and the study that is run there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.storage = f"sqlite:///{folder}/mlruns/optuna.db"
        self.tracking = f"sqlite:///{folder}/mlruns/mlflow.db"
        (folder / "tested.toml").write_text(SWEEP)

    def command(self, *arguments: str) -> list[str]:
        searching = (*arguments, "--phase", "search")
        return [sys.executable, "-m", "normsweep.study", "tested.toml", *searching]

    def run(self, *arguments: str, status: int = 0) -> str:
        """The command in this process, which has imported everything already; what it says."""
        said = io.StringIO()
        # In one process MLflow takes the same relative address for the same database.
        arguments = ("--tracking-uri", self.tracking, *arguments)
        with contextlib.chdir(self.folder), redirect_stdout(said), redirect_stderr(said):
            ended = run(app, self.command(*arguments)[3:])
        assert ended == status, said.getvalue()
        assert "Traceback" not in said.getvalue()
        return said.getvalue()

    def complete(self) -> int:
        try:
            study = optuna.load_study(storage=self.storage, study_name="tested")
        except Exception:  # not made yet
            return 0
        return sum(trial.state.name == "COMPLETE" for trial in study.get_trials(deepcopy=False))

    def records(self) -> list[TrialRecord]:
        return read_study(self.storage, "tested").trials

    def runs(self, tracking: str | None = None) -> list:
        """Those of the search's trials."""
        client = MlflowClient(tracking or self.tracking)
        experiment = client.get_experiment_by_name("tested").experiment_id
        query = "tags.`normsweep.phase` = 'search'"
        return client.search_runs([experiment], query, max_results=1000)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    shared.place_stores(tmp_path / "mlruns")
    return Place(tmp_path)


@pytest.fixture
def bare(tmp_path: Path) -> Place:
    """Where there are no databases yet."""
    return Place(tmp_path)


def assert_whole(place: Place, trials: int = 12, tracking: str | None = None) -> None:
    """Exactly the planned trials, none twice; each in one ended run with all of its epochs."""
    records = place.records()
    done = [r for r in records if r.result and r.result.status is Status.COMPLETE]
    assert Counter((r.trial.arm, r.trial.slot) for r in done).most_common(1)[0][1] == 1
    assert Counter(r.trial.arm for r in done) == dict.fromkeys(
        ("none", "unit", "standardize"), trials // 3
    )
    assert all(r.run_id for r in records)
    runs = place.runs(tracking)
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}
    finished = {r.info.run_id: r for r in runs if r.info.status == "FINISHED"}
    assert finished.keys() == {r.run_id for r in done}
    client = MlflowClient(tracking or place.tracking)
    for record in done:
        points = client.get_metric_history(record.run_id, "val/accuracy")
        assert [p.step for p in points] == list(range(1, record.trial.epochs + 1))
    frozen = optuna.load_study(storage=place.storage, study_name="tested").get_trials()
    assert not [t for t in frozen if t.state.name in ("RUNNING", "WAITING")]


def test_a_study_runs_says_when_it_is_done_and_goes_on_with_more_trials(bare):
    place = bare
    said = place.run()
    assert "3 arms × 4 = 12" in said
    assert "12/12 trial 11" in said
    assert "best trial of each arm" in said
    assert "python -m normsweep.export best --study-name tested" in said
    assert_whole(place)
    best = {r.trial.arm: r.result.score for r in place.records()}
    assert best["none"] < best["unit"]
    note = MlflowClient(place.tracking).get_experiment_by_name("tested").tags["mlflow.note.content"]
    assert "Is the planted truth found?" in note
    assert "| none" in note
    assert all(f"/runs/{r.run_id}?" in note for r in best_of_arms(place.records()).values())

    before = [(r.trial.number, r.run_id) for r in place.records()]
    assert "the search of tested is done: 12 of 12 trials" in place.run()
    assert [(r.trial.number, r.run_id) for r in place.records()] == before

    place.run("--n-trials", "15")
    assert_whole(place, 15)


def test_a_sweep_changed_since_is_refused_with_the_difference(place):
    place.run("--n-trials", "3")
    said = place.run("--seed", "5", status=2)
    assert "was created with a different sweep" in said
    assert "seed: 0 -> 5" in said
    assert place.complete() == 3


@pytest.mark.slow
def test_a_list_of_datasets_goes_on_with_the_one_that_it_was_begun_on(place):
    arguments = ("--n-trials", "3", "--set", "data.dataset=['late.npz', 'digits']")
    assert "data      digits" in place.run(*arguments)
    arrays = datasets.load("digits")
    names = ("x_train", "y_train", "x_test", "y_test")
    np.savez(place.folder / "late.npz", **{name: getattr(arrays, name)[:300] for name in names})
    place.run("--n-trials", "6", *arguments[2:])
    assert {r.trial.data.name for r in place.records()} == {"digits"}


def test_the_time_limit_starts_no_more_trials_and_says_so(place):
    said = place.run("--timeout", "0.5", "--set", "model.options.seconds=0.1")
    assert "stopped at the time limit of 0.5 s" in said
    assert 0 < place.complete() < 12


@pytest.mark.slow
def test_a_study_of_one_sweep_under_two_names_is_two_studies(place):
    place.run("--n-trials", "3", "--study-name", "first")
    place.run("--n-trials", "3", "--study-name", "second")
    names = [read_study(place.storage, name).name for name in ("first", "second")]
    assert names == ["first", "second"]


def test_a_dry_run_shows_the_plan_and_leaves_nothing(bare):
    said = bare.run("--dry-run", "--set", "model={ name = 'mlp' }")
    assert "time      about" in said
    assert "parameters" in said
    assert not (bare.folder / "mlruns").exists()


def test_arms_that_do_the_same_are_run_once_and_said(place):
    said = place.run(
        "--set", "search.space.normalization=['minmax', 'unit', 'none']", "search.trials=4",
        "model={ name = 'mlp', options = { units = 8 } }", "search.space.epochs=1",
        "--executor", "inline",
    )  # fmt: skip
    assert "minmax is equivalent to unit on this data: run once, as unit" in said
    records = place.records()
    assert Counter(r.trial.arm for r in records) == {"unit": 2, "none": 2}
    export = [sys.executable, "-m", "normsweep.export", "arms", "--storage", place.storage]
    done = forkserver.run(export, capture_output=True, text=True, check=True)
    assert "same_as" in done.stdout.splitlines()[0]
    assert any(
        line.startswith("unit,") and line.endswith(",minmax") for line in done.stdout.splitlines()
    )


def test_the_best_model_of_each_arm_is_logged_once(place):
    arguments = (
        "--set", "model={ name = 'mlp', options = { units = 8 } }", "search.trials=6",
        "search.space.epochs=2", "--executor", "inline",
    )  # fmt: skip
    place.run(*arguments)
    client = MlflowClient(place.tracking)
    experiment = client.get_experiment_by_name("tested").experiment_id
    models = client.search_logged_models([experiment])
    assert {m.tags["normsweep.arm"] for m in models} == {"none", "unit", "standardize"}
    best = [run for run in place.runs() if run.data.tags.get("normsweep.best_of_arm")]
    assert {m.source_run_id for m in models} == {run.info.run_id for run in best}
    for path in (place.folder / "mlruns" / "checkpoints" / "tested").rglob("*.npz"):
        path.unlink()
    place.run(*arguments)
    assert len(client.search_logged_models([experiment])) == 3
