"""The whole server, from the very commands, variables and health checks of docker-compose.yml."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.error
import urllib.request
from typing import Any

import psutil
import psycopg
import pytest
from mlflow import MlflowClient

pytestmark = pytest.mark.system

SWEEP = """
name = "served"
reference = "unit"
[data]
dataset = "digits"
[model]
name = "synthetic"
options = { ceiling = { none = 0.9, default = 0.99 }, seconds = 0.05 }
[search]
trials = 8
[search.space]
normalization = ["none", "unit"]
learning_rate = { low = 1e-4, high = 1e-2, log = true }
optimizer = ["sgd"]
epochs = { low = 2, high = 4 }
[confirm]
seeds = 2
margin = 0.02
"""


@pytest.fixture(scope="module")
def studied(server) -> dict[str, Any]:
    """The server after its study; what was seen of it meanwhile."""
    (server.folder / "study" / "sweeps" / "served.toml").write_text(SWEEP)
    process, seen = server.start("study", "sweeps/served.toml"), {"words": "", "pages": set()}
    deadline = time.monotonic() + 900
    while process.poll() is None and time.monotonic() < deadline:
        seen["words"] += "\n".join(_words(process) for process in server.processes())
        seen["pages"].add(dashboard(server, "/api/studies")[0])
        time.sleep(0.5)
    seen["status"], seen["output"] = process.poll(), server.log("study").read_text()
    return seen


@pytest.fixture(scope="module")
def client(server, studied) -> MlflowClient:
    return MlflowClient(f"http://127.0.0.1:{server.port(5000)}")


def dashboard(server, path: str, method: str = "GET") -> tuple[int, Any]:
    """What Optuna's dashboard answers."""
    address = f"http://127.0.0.1:{server.port(8080)}{path}"
    try:
        with urllib.request.urlopen(urllib.request.Request(address, method=method)) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def _words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def test_every_server_says_that_it_is_healthy(server) -> None:
    servers = {name for name, service in server.services.items() if "healthcheck" in service}
    assert servers == {"postgres", "mlflow", "dashboard", "ray-head", "worker"}
    for name in servers:
        server.wait(name, "service_healthy")


def test_the_study_ends_well(studied) -> None:
    assert studied["status"] == 0, studied["output"]


def test_the_tracking_server_starts_none_of_its_background_workers(server) -> None:
    began = [words for process in server.processes() if "mlflow" in (words := _words(process))]
    assert began
    assert len(began) <= 3, began


def test_the_trials_ran_on_the_worker_and_mlflow_has_them(client) -> None:
    experiment = client.get_experiment_by_name("served")
    assert experiment is not None
    runs = [
        r
        for r in client.search_runs([experiment.experiment_id])
        if "normsweep.trial" in r.data.tags
    ]
    searched = [run for run in runs if run.data.tags["normsweep.phase"] == "search"]
    assert len(searched) == 8
    assert len(runs) > len(searched)
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {run.data.tags["normsweep.executor"] for run in runs} == {"ray"}


def test_the_data_came_to_the_worker_through_ray(server, studied) -> None:
    if not server.confines:
        pytest.skip("all services have one /tmp here")
    own = server.folder / "own"
    assert list(own.glob("worker/normsweep-*/*/x_train.npy"))
    assert not list(own.glob("ray-head/normsweep-*"))


def test_the_report_is_kept_by_the_server_itself(server, client, tmp_path) -> None:
    experiment = client.get_experiment_by_name("served")
    (run,) = client.search_runs([experiment.experiment_id], "tags.`normsweep.phase` = 'report'")
    assert run.info.artifact_uri.startswith("mlflow-artifacts:")
    page = client.download_artifacts(run.info.run_id, "index.html", str(tmp_path))
    with open(page, encoding="utf-8") as opened:
        assert "served" in opened.read()
    assert list((server.folder / "artifacts").rglob("index.html"))


def test_the_address_that_is_printed_can_be_opened_in_a_browser(server, studied, client) -> None:
    printed = re.search(r"open (http://(\S+?)/#/experiments/(\d+)/runs\S*)", studied["output"])
    assert printed
    assert printed[2] == f"localhost:{server.port(5000)}"
    assert client.get_experiment(printed[3]).name == "served"
    with urllib.request.urlopen(printed[1].partition("#")[0]) as answer:
        assert answer.status == 200
    note = client.get_experiment(printed[3]).tags["mlflow.note.content"]
    links = re.findall(r"\]\(([^)]*)\)", note)
    assert links
    at_any_address = ("#/experiments/", "get-artifact?")
    assert all(link.startswith(at_any_address) for link in links)


def test_the_dashboard_shows_the_study_and_cannot_change_it(server, studied) -> None:
    assert studied["pages"] == {200}, "it was looked at while the study ran"
    status, found = dashboard(server, "/api/studies")
    assert status == 200
    studies = {study["study_name"]: study for study in found["study_summaries"]}
    assert set(studies) == {"served", "served/confirm"}
    study = studies["served"]
    path = f"/api/studies/{study['study_id']}"
    assert len(dashboard(server, path)[1]["trials"]) >= 8
    assert dashboard(server, path, "DELETE")[0] == 500
    assert dashboard(server, path)[0] == 200


def test_no_command_line_has_a_secret(studied, given_secrets) -> None:
    assert "normsweep.study" in studied["words"]
    for secret in given_secrets.values():
        assert secret not in studied["words"]
        assert secret not in studied["output"]


def test_without_the_password_there_is_no_database(server) -> None:
    for password in ("", "wrong"):
        with pytest.raises(psycopg.OperationalError, match=r"password"):
            psycopg.connect(
                host="127.0.0.1", port=server.port(5432), user="normsweep", dbname="optuna",
                password=password, passfile="/dev/null",
            )  # fmt: skip


def test_without_the_token_there_is_no_cluster(server) -> None:
    variables = server.environment("worker")
    command = ["ray", "status", f"--address=127.0.0.1:{server.port(6379)}"]
    known = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert known.returncode == 0, known.stderr
    stranger = {**variables, "RAY_AUTH_TOKEN": "0" * 64}
    answer = subprocess.run(command, env=stranger, capture_output=True, text=True, check=False)
    assert answer.returncode != 0
    assert "nauthenticated" in answer.stderr


def test_mlflow_answers_to_its_own_names_alone(server) -> None:
    def status(host: str) -> int:
        address = f"http://127.0.0.1:{server.port(5000)}/"
        try:
            with urllib.request.urlopen(
                urllib.request.Request(address, headers={"Host": host})
            ) as page:
                return page.status
        except urllib.error.HTTPError as error:
            return error.code

    assert status("mlflow:5000") == status("localhost:5000") == 200
    assert status("attacker.example:5000") == 403
