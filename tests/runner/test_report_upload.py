"""A report is drawn once, and uploaded to MLflow as far as it is drawn."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from mlflow import MlflowClient

import normsweep
from normsweep.errors import TrackingFailed
from normsweep.reporting import page
from normsweep.tracking.tracker import Tracker
from tests.shared import place_stores

SWEEP = {
    "name": "drawn",
    "reference": "unit",
    "data": {"dataset": "digits"},
    "model": {"name": "synthetic"},
    "search": {
        "trials": 4,
        "space": {
            "normalization": ["none", "unit"],
            "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True},
            "optimizer": ["adam"],
            "epochs": 2,
        },
    },
    "confirm": {"seeds": 5, "margin": 0.05},
}


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    place_stores(tmp_path / "mlruns")
    return tmp_path


def report_run():
    client = MlflowClient(tracking_uri=f"sqlite:///{Path.cwd()}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("drawn")
    query = "tags.`normsweep.phase` = 'report'"
    [run] = client.search_runs([experiment.experiment_id], query)
    return client, run, experiment


def uploaded(client: MlflowClient, run_id: str, folder: str | None = None) -> set[str]:
    found = client.list_artifacts(run_id, folder)
    inner = [uploaded(client, run_id, each.path) for each in found if each.is_dir]
    return {each.path for each in found if not each.is_dir}.union(*inner)


def test_a_figure_is_uploaded_before_the_page_is_there(place, monkeypatch):
    logged, order = threading.Event(), []
    report_files, html = Tracker.report_files, page._html

    def reported(tracker, run_id, folder, paths):
        report_files(tracker, run_id, folder, paths)
        order.extend(path.relative_to(folder).as_posix() for path in paths)
        logged.set()

    def written(*given):
        assert logged.wait(60)
        order.append("the page is made")
        return html(*given)

    monkeypatch.setattr(Tracker, "report_files", reported)
    monkeypatch.setattr(page, "_html", written)
    normsweep.run(SWEEP, executor="inline")
    assert order.index("figures/accuracy.svg") < order.index("the page is made")
    folder = place / "mlruns" / "reports" / "drawn"
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    client, run, experiment = report_run()
    assert uploaded(client, run.info.run_id) == files
    assert sorted(order) == sorted([*files, "the page is made"])
    assert run.info.status == "FINISHED"
    assert run.info.run_id in experiment.tags["mlflow.note.content"]


def test_after_a_failed_upload_no_other_is_tried_and_the_next_command_makes_up_for_it(
    place, monkeypatch
):
    tried = []

    def fails(tracker, run_id, folder, paths):
        tried.append(paths)
        raise TrackingFailed("the server is gone")

    with monkeypatch.context() as patched:
        patched.setattr(Tracker, "report_files", fails)
        normsweep.run(SWEEP, executor="inline")
    assert len(tried) == 1
    assert report_run()[1].info.status == "FAILED"
    normsweep.run(SWEEP, executor="inline")
    assert report_run()[1].info.status == "FINISHED"


def test_no_other_thread_changes_the_environment_while_a_study_runs(place, monkeypatch):
    """What reads it without Python's lock, as TensorFlow does, would crash now and then."""
    changed: list[tuple[str, str]] = []

    def recorded(function):
        def change(name, *value):
            changed.append((threading.current_thread().name, os.fsdecode(name)))
            function(name, *value)

        return change

    for function in ("putenv", "unsetenv"):
        monkeypatch.setattr(os, function, recorded(getattr(os, function)))
    normsweep.run(SWEEP, executor="inline")
    assert changed
    assert {thread for thread, _ in changed} == {threading.main_thread().name}, changed
