"""`model.precision = "auto"`: decided once for a study, and the same for all that join it."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import keras
import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from rich.console import Console

import normsweep
from normsweep.cli.main import app
from normsweep.errors import SweepError
from normsweep.executors.processes import Processes
from normsweep.executors.protocol import WorkerOptions
from normsweep.parts import datasets
from normsweep.shell import run
from normsweep.store.storage import read_study
from normsweep.sweep.study_record import StudyRecord
from normsweep.training import precision
from normsweep.training.engine import automatic_precision
from tests.shared import place_stores

BFLOAT16 = "mixed_bfloat16"
SWEEP: dict[str, Any] = {
    "name": "halved",
    "reference": "unit",
    "data": {"dataset": "digits", "train_size": 400},
    "model": {"name": "mlp", "precision": "auto", "options": {"units": 8}},
    "search": {
        "trials": 2,
        "space": {
            "normalization": ["none", "unit"],
            "learning_rate": [0.01],
            "optimizer": ["adam"],
            "epochs": [1],
        },
    },
    "confirm": {"seeds": 2, "baseline": {"epochs": 1}},
}


class Place:
    """A folder with stores, on a machine whose processor is what the test says."""

    def __init__(self, folder: Path, cpuinfo: Path) -> None:
        self.folder, self.cpuinfo = folder, cpuinfo
        self.storage = f"sqlite:///{folder}/mlruns/optuna.db"
        self.tracking = f"sqlite:///{folder}/mlruns/mlflow.db"

    def computes_bfloat16(self, computes: bool) -> None:
        self.cpuinfo.write_text(f"flags : sse {'avx512_bf16' if computes else 'avx512f'}\n")

    def run(self, precision: str = "auto", **options: Any) -> str:
        """Run or resume the study in this process; what it prints."""
        said = io.StringIO()
        options = {
            "executor": "inline", "storage": self.storage, "tracking_uri": self.tracking, **options,
        }  # fmt: skip
        with contextlib.chdir(self.folder):
            console = Console(file=said, width=300)
            normsweep.run(SWEEP, set={"model.precision": precision}, console=console, **options)
        return said.getvalue()

    def command(self, *arguments: str, status: int | None = 0) -> str:
        """What a command prints; `status`: None if its exit status does not matter."""
        said = io.StringIO()
        with (
            contextlib.chdir(self.folder),
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
        ):
            ended = run(app, arguments)
        assert ended == status or status is None, said.getvalue()
        return said.getvalue()

    @property
    def record(self) -> StudyRecord:
        return read_study(self.storage, "halved")

    @property
    def trained(self) -> set[tuple[str, str]]:
        """Phases and precisions of the trials, which have all been completed."""
        records = self.record.trials
        assert all(r.result is not None and r.result.status == "complete" for r in records)
        return {(r.trial.phase, r.trial.precision) for r in records}


@pytest.fixture
def place(tmp_path, monkeypatch) -> Place:
    monkeypatch.setattr(precision, "CPUINFO", tmp_path / "cpuinfo")
    place_stores(tmp_path / "mlruns")
    return Place(tmp_path, tmp_path / "cpuinfo")


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> Path:
    """A study whose search ran in bfloat16, as `auto` decided."""
    folder = tmp_path_factory.mktemp("begun")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision, "CPUINFO", folder / "cpuinfo")
        place_stores(folder / "mlruns")
        made = Place(folder, folder / "cpuinfo")
        made.computes_bfloat16(True)
        said = made.run(phase="search")
    assert "precision mixed_bfloat16\n" in said
    assert "warning: model.precision" not in said
    return folder


@pytest.fixture
def joined(place, begun) -> Place:
    """A copy of that study, on another machine."""
    shutil.copytree(begun / "mlruns", place.folder / "mlruns", dirs_exist_ok=True)
    return place


def test_auto_is_decided_when_the_study_begins_and_written_into_it(begun):
    study = Place(begun, begun / "cpuinfo")
    assert study.trained == {("search", BFLOAT16)}
    assert (study.record.sweep.model.precision, study.record.precision) == ("auto", BFLOAT16)
    table = normsweep.load("halved", study.storage).trials()
    assert set(table["precision"]) == {BFLOAT16}
    client = MlflowClient(study.tracking)
    experiment = client.get_experiment_by_name("halved")
    runs = client.search_runs([experiment.experiment_id])
    logged = [r.data.params["precision"] for r in runs if "precision" in r.data.params]
    assert logged == [BFLOAT16] * 2
    assert BFLOAT16 in study.command("show", "halved", "0", "--storage", study.storage)


def test_who_joins_trains_as_decided_and_the_whole_study_is_in_bfloat16(joined, monkeypatch):
    """Elsewhere, with a warning of what it costs there; reported, exported, and its models load."""
    joined.computes_bfloat16(False)
    said = joined.run()
    assert joined.trained == {("search", BFLOAT16), ("confirm", BFLOAT16)}
    warning = "warning: model.precision: the study trains in mixed_bfloat16, which this machine does not compute in: "
    assert said.count(warning) == 1
    assert " ms instead of " in said.partition(warning)[2].splitlines()[0]
    assert said.index(warning) < said.index("report: ")

    stored = ("--study-name", "halved", "--storage", joined.storage)
    joined.command("export", "trials", *stored, "--output", "trials.csv")
    table = (joined.folder / "trials.csv").read_text()
    assert table.count(BFLOAT16) == len(joined.record.trials)
    joined.command("report", *stored, "--output", "report")
    assert BFLOAT16 in next((joined.folder / "report").glob("*.html")).read_text()
    images = datasets.load("digits").x_test[:50].astype(np.float32)
    with logged_to(joined.tracking, monkeypatch):
        for arm in joined.record.arms:
            outputs = mlflow.keras.load_model(f"models:/halved@{arm}").predict(images, verbose=0)
            assert outputs.dtype == np.float32
            assert np.allclose(outputs.sum(axis=1), 1, atol=1e-5)


@contextlib.contextmanager
def logged_to(uri: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """MLflow's address in this process, for a while."""
    before = mlflow.get_tracking_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # taken back at the end: MLflow sets it, too
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)


def test_a_study_that_was_decided_to_be_float32_stays_it(place):
    place.computes_bfloat16(False)
    assert "precision float32\n" in place.run(phase="search")
    place.computes_bfloat16(True)
    assert "warning: model.precision" not in place.run(phase="search", n_trials=4)
    assert len(place.record.trials) == 4
    assert place.trained == {("search", "float32")}
    assert (place.record.sweep.model.precision, place.record.precision) == ("auto", "float32")


def test_a_precision_that_is_named_is_obeyed_and_does_not_become_auto(place):
    place.computes_bfloat16(False)
    said = place.run(BFLOAT16, phase="search")
    assert "warning: model.precision: the study trains in mixed_bfloat16" in said
    assert place.trained == {("search", BFLOAT16)}
    with pytest.raises(SweepError, match='model.precision: "mixed_bfloat16" -> "auto"'):
        place.run("auto")


def build(input_shape, classes, *, units=8):
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Flatten(),
            layers.Dense(units, activation="relu"),
            layers.Dense(classes, activation="softmax", dtype="float32"),
        ]
    )


def test_with_an_own_network_the_refusal_names_the_precision_too(place):
    """The precision is part of the digest by which such a network is known."""
    place.computes_bfloat16(True)
    place.run("float32", phase="search", model=build)
    with pytest.raises(SweepError) as refused:
        place.run("auto", model=build)
    assert list(refused.value.lines) == [
        'study "halved" was created with a different sweep; pass another name (--study-name, in Python study_name=) to start a new study, or restore:',
        '  model.precision: "float32" -> "auto"',
    ]


def test_an_own_network_is_the_same_one_for_who_joins(place):
    place.computes_bfloat16(True)
    place.run(phase="search", model=build)
    place.computes_bfloat16(False)
    place.run(phase="search", n_trials=4, model=build)
    assert len(place.record.trials) == 4
    assert place.trained == {("search", BFLOAT16)}


def test_auto_does_not_become_a_named_precision(joined):
    joined.computes_bfloat16(True)
    with pytest.raises(SweepError, match='model.precision: "auto" -> "float32"'):
        joined.run("float32")


def test_a_worker_decides_and_a_rerun_trains_as_recorded(joined, monkeypatch):
    """Workers inherit oneDNN's own limit and read the kernel's file, not that of the test."""
    joined.computes_bfloat16(True)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE")
    with closing(Processes(WorkerOptions(joined.folder, "cpu", 1))) as executor:
        assert executor.call(automatic_precision) == "float32"
    said = joined.command("rerun", "halved", "0", "--storage", joined.storage, status=None)
    assert "warning: model.precision: the study trains in mixed_bfloat16" in said
    assert "epoch 1: validation accuracy" in said
