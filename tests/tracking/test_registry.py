"""The best model of each arm in a real registry; on a server in `test_tracker`."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus

from normsweep.reporting.commands import aliases
from normsweep.tracking.model_registry import register
from tests.shared import place_stores


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{place_stores(tmp_path_factory.mktemp('registry'))}/mlflow.db"


@pytest.fixture
def client(database: str) -> MlflowClient:
    return MlflowClient(tracking_uri=database)


OWN = {"normsweep.study_id": "a" * 32, "normsweep.storage_id": "s" * 32}


def logged(client: MlflowClient, study: str, folder: Path) -> tuple[str, str]:
    """The ids of a logged model and of its run."""
    found = client.get_experiment_by_name(study)
    experiment = found.experiment_id if found else client.create_experiment(study)
    run = client.create_run(experiment).info.run_id
    model = client.create_logged_model(experiment, name="model", source_run_id=run)
    folder.mkdir(exist_ok=True)
    (folder / "MLmodel").write_text("flavors: {}\n")
    client.log_model_artifacts(model.model_id, str(folder))
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    return model.model_id, run


def test_an_alias_means_the_model_that_was_registered_last_and_no_version_is_made_twice(
    client, tmp_path
):
    study = "registered"
    first, second = (logged(client, study, tmp_path / str(n)) for n in range(2))
    for _ in range(2):
        assert register(client, study, OWN, "none", "none", *first, "raw pixels")
    assert register(client, study, OWN, "unit", "unit", *second, "÷255")
    versions = client.search_model_versions(f"name = '{study}'")
    assert sorted(v.tags["normsweep.arm"] for v in versions) == ["none", "unit"]
    assert sorted(v.description for v in versions) == ["arm: raw pixels", "arm: ÷255"]
    assert client.get_model_version_by_alias(study, "none").run_id == first[1]

    better = logged(client, study, tmp_path / "better")
    assert register(client, study, OWN, "none", "none", *better, "raw pixels")
    assert client.get_model_version_by_alias(study, "none").run_id == better[1]
    assert client.get_model_version_by_alias(study, "unit").run_id == second[1]
    assert register(
        client, study, OWN, "none", "none", *first, "raw pixels"
    )  # it is the best again
    assert client.get_model_version_by_alias(study, "none").run_id == first[1]
    assert len(client.search_model_versions(f"name = '{study}'")) == 3
    other = {"normsweep.study_id": "b" * 32}  # a study of the same name in another storage
    assert not register(client, study, other, "none", "none", *first, "raw pixels")


def test_a_registered_model_of_somebody_elses_is_left_alone(client, tmp_path):
    client.create_registered_model("theirs", tags={"team": "other"})
    try:
        model, run = logged(client, "theirs", tmp_path / "model")
        assert not register(client, "theirs", OWN, "none", "none", model, run, "raw pixels")
        assert client.search_model_versions("name = 'theirs'") == []
    finally:
        client.delete_registered_model("theirs")


ARMS = ["none", "0.1", "0,1", "latest", "v2", "V2", "…", "", "a b/c@d", "é", "x" * 300, "Unit", "unit"]  # fmt: skip


def test_every_arm_has_an_alias_of_its_own_that_mlflow_takes(client, tmp_path):
    made = aliases(ARMS)
    assert list(made) == ARMS
    assert made["none"] == "none"
    assert made["a b/c@d"] == "a-b-c-d"
    assert (made["0.1"], made["0,1"]) == ("0-1", "0-1-2")
    assert (made["latest"], made["v2"], made["V2"]) == ("arm-latest", "arm-v2", "arm-V2-2")
    assert len({alias.casefold() for alias in made.values()}) == len(ARMS)
    model, run = logged(client, "aliased", tmp_path / "model")
    for arm, alias in made.items():
        assert register(client, "aliased", OWN, arm, alias, model, run, "raw pixels")
        assert client.get_model_version_by_alias("aliased", alias).run_id == run
