"""A folder that was moved: artifacts and models are found where they are now."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient

from normsweep.errors import StoreError
from normsweep.runner.delivery import relocate_studies
from normsweep.tracking.client import make_tables, opened
from normsweep.tracking.relocation import has_moved, local_folder
from normsweep.urls import absolute_url

URI = "sqlite:///mlruns/mlflow.db"


@pytest.fixture
def moved(tmp_path, monkeypatch) -> str:
    """The current folder, which was moved after a run and a model were logged; returns the run's id."""
    before = tmp_path / "old place"
    before.mkdir()
    monkeypatch.chdir(before)
    make_tables(URI)
    artifacts = Path("mlruns/artifacts").absolute()
    client = MlflowClient(tracking_uri=absolute_url(URI))
    run = client.create_run(client.create_experiment("mine", artifacts.as_uri())).info.run_id
    client.log_text(run, "kept", "model/weights.txt")
    client.create_registered_model("mine")
    source = f"{client.get_run(run).info.artifact_uri}/model"
    client.create_model_version("mine", source, run, await_creation_for=0)
    after = tmp_path / "new 'place' #2"
    before.rename(after)
    monkeypatch.chdir(after)
    return run


def test_what_was_logged_is_found_in_a_folder_that_was_moved(moved):
    said: list[str] = []
    relocate_studies(["mine"], URI, said.append)
    assert said == ["mine: 4 places corrected"]
    client, here = opened(URI), Path.cwd()
    run = client.get_run(moved)
    assert (
        local_folder(run.info.artifact_uri) == here / "mlruns" / "artifacts" / moved / "artifacts"
    )
    assert Path(client.download_artifacts(moved, "model/weights.txt")).read_text() == "kept"
    version = client.get_model_version("mine", "1")
    assert local_folder(client.get_model_version_download_uri("mine", version.version)) == (
        local_folder(run.info.artifact_uri) / "model"
    )
    relocate_studies(["mine"], URI, said.append)
    assert said[1:] == ["mine: not moved"]


def test_a_folder_without_artifacts_is_no_new_place(moved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match=r"^--moved: no folder mlruns/artifacts here"):
        relocate_studies(["mine"], URI, print)


def test_only_what_is_gone_has_moved(tmp_path):
    here, gone = tmp_path / "here", (tmp_path / "gone").as_uri()
    assert not has_moved(gone, here)
    here.mkdir()
    assert has_moved(gone, here)
    assert not has_moved(tmp_path.as_uri(), here)
    assert not has_moved("s3://bucket/artifacts", here)
