"""The compose file: what can be held of it without a container engine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
IGNORED = (ROOT / ".dockerignore").read_text().splitlines()
PASSWORD = "${POSTGRES_PASSWORD:?set it in .env}"

each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)


def test_has_the_database_the_tracking_server_and_the_study() -> None:
    assert set(SERVICES) == {"postgres", "mlflow", "study"}


@each_service
def test_ports_are_bound_to_this_machine(service: dict[str, Any]) -> None:
    for port in service.get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)


@each_service
def test_images_are_pinned_to_a_release(service: dict[str, Any]) -> None:
    assert re.fullmatch(r"[\w./-]+:\d+\.\d+[\w.-]*", service["image"])


def test_the_dockerfile_is_pinned_and_installs_by_hashes() -> None:
    assert re.search(r"^FROM python:3\.11\.\d+-slim-\w+$", DOCKERFILE, re.MULTILINE)
    installs = re.findall(r"^RUN pip install (.*)$", DOCKERFILE, re.MULTILINE)
    assert installs
    for install in installs:
        assert "--require-hashes" in install or "--no-deps" in install
    for path in re.findall(r"-r (\S+)", " ".join(installs)):
        assert "--hash=sha256:" in (ROOT / path).read_text()


@each_service
def test_runs_unprivileged(service: dict[str, Any]) -> None:
    assert not re.match(r"(0|root)(:|$)", service["user"])
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged", False)


def test_the_image_has_the_user_that_services_name() -> None:
    user = SERVICES["study"]["user"]
    assert f"USER {user}" in DOCKERFILE
    assert f"--uid {user.partition(':')[0]} " in DOCKERFILE


@each_service
def test_secrets_come_from_the_environment_file_alone(service: dict[str, Any]) -> None:
    for name, value in service.get("environment", {}).items():
        if re.search("PASSWORD|SECRET|TOKEN|KEY", name):
            assert value == PASSWORD
    for url in re.findall(r"\w+://[^'\"\s]+", str(service)):
        assert not re.search(r"//[^/@]*:[^/@]*@", url), "a URL with a password"


def test_the_example_environment_has_no_value_that_works() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    named = [line for line in lines if line and not line.startswith("#")]
    assert named == ["POSTGRES_PASSWORD="]


def test_the_environment_file_is_neither_committed_nor_sent_to_the_builder() -> None:
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()
    assert IGNORED[0] == "*"
    assert not any(line.startswith("!.") for line in IGNORED)


def test_what_the_dockerfile_copies_is_sent_to_the_builder() -> None:
    sent = {line[1:] for line in IGNORED if line.startswith("!")}
    for copied in re.findall(r"^COPY (.*) \S+$", DOCKERFILE, re.MULTILINE):
        for path in copied.split():
            assert (ROOT / path).exists()
            assert path.partition("/")[0] in sent


@pytest.mark.parametrize("name", ["postgres", "mlflow"])
def test_servers_have_health_checks(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


def test_the_start_is_ordered_by_health() -> None:
    def waits(name: str) -> dict[str, str]:
        return {k: v["condition"] for k, v in SERVICES[name].get("depends_on", {}).items()}

    assert waits("postgres") == {}
    assert waits("mlflow") == {"postgres": "service_healthy"}
    assert waits("study") == {"postgres": "service_healthy", "mlflow": "service_healthy"}


def test_the_study_runs_once() -> None:
    assert SERVICES["study"]["restart"] == "no"


def test_optuna_and_mlflow_have_a_database_each() -> None:
    mounted = [config["source"] for config in SERVICES["postgres"]["configs"]]
    script = "".join(COMPOSE["configs"][name]["content"] for name in mounted)
    made = re.findall(r"CREATE DATABASE (\w+);", script)
    command = " ".join(SERVICES["mlflow"]["command"])
    optuna = re.search(
        r"^postgresql\+psycopg://normsweep@postgres/(\w+)$",
        SERVICES["study"]["environment"]["OPTUNA_STORAGE"],
    )
    mlflow = re.search(
        r"--backend-store-uri=postgresql\+psycopg://normsweep@postgres/(\w+)", command
    )
    assert optuna
    assert mlflow
    assert optuna[1] != mlflow[1]
    assert {optuna[1], mlflow[1]} == set(made)


def test_the_tracking_server_answers_to_the_name_that_the_study_calls() -> None:
    server = SERVICES["mlflow"]
    uri = SERVICES["study"]["environment"]["MLFLOW_TRACKING_URI"]
    assert uri == "http://mlflow:5000"
    assert "--allowed-hosts=mlflow:*,localhost:*,127.0.0.1:*" in server["command"]
    assert "--port=5000" in server["command"]
    assert server["environment"]["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert server["environment"]["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert server["healthcheck"]["test"][-1].count("http://127.0.0.1:5000/health") == 1


def test_what_must_last_lies_in_named_volumes() -> None:
    lasting = {
        volume.partition(":")[0]: volume.split(":")[1]
        for service in SERVICES.values()
        for volume in service["volumes"]
        if not volume.startswith(".")
    }
    assert set(lasting) == set(COMPOSE["volumes"])
    assert lasting["postgres"] == "/var/lib/postgresql"  # from PostgreSQL 18 on
    destination = f"--artifacts-destination={lasting['artifacts']}"
    assert destination in SERVICES["mlflow"]["command"]
