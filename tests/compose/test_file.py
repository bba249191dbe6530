"""docker-compose.yml: the rules that it keeps."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
GIVEN = {"POSTGRES_PASSWORD": "one", "RAY_AUTH_TOKEN": "two"}
SECRETS = {
    "POSTGRES_PASSWORD": "${POSTGRES_PASSWORD:?set it in .env}",
    "PGPASSWORD": "${POSTGRES_PASSWORD:?set it in .env}",
    "RAY_AUTH_TOKEN": "${RAY_AUTH_TOKEN:?set it in .env}",
}

RAY = ("ray-head", "worker", "gpu-worker")

each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)


def enabled(*profiles: str) -> set[str]:
    """The services that `docker compose --profile … up` starts."""
    return {
        name
        for name, service in SERVICES.items()
        if not service.get("profiles") or set(profiles) & set(service["profiles"])
    }


def named(name: str) -> set[str]:
    """The services whose addresses one is given."""
    return {
        other for other in SERVICES if re.search(rf"(?<![\w-]){other}:\d{{4}}", str(SERVICES[name]))
    }


@pytest.mark.parametrize("name", ["docker-compose.yml", "docker-compose.machines.yml"])
def test_keeps_to_the_specification_of_compose(name: str) -> None:
    schema = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    checked = subprocess.run([*schema, ROOT / name], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_each_profile_is_a_whole_server() -> None:
    always = {"postgres", "mlflow", "record", "dashboard", "ray-head"}
    assert enabled() == always
    assert enabled("cpu") == always | {"worker", "study"}
    assert enabled("gpu") == always | {"gpu-worker", "study"}


@each_service
def test_images_are_pinned_to_a_release(service: dict[str, Any]) -> None:
    assert re.fullmatch(r"[\w./-]+:\d+\.\d+[\w.-]*", service["image"])


@each_service
def test_runs_unprivileged(service: dict[str, Any]) -> None:
    assert not re.match(r"(0|root)(:|$)", service["user"])
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged", False)


@each_service
def test_writes_to_its_volumes_and_to_what_ends_with_it(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert "/tmp" in service["tmpfs"]


@pytest.mark.parametrize("service", OURS.values(), ids=OURS)
def test_what_libraries_keep_goes_where_it_may(service: dict[str, Any]) -> None:
    assert service["environment"]["HOME"] == "/tmp"
    assert service["environment"]["MPLCONFIGDIR"].startswith("/tmp/")


@pytest.mark.parametrize("name", RAY)
def test_rays_objects_fit_into_shared_memory(name: str) -> None:
    (asked,) = re.findall(r"--object-store-memory=(\d+)", str(SERVICES[name]["command"]))
    amount, unit = re.fullmatch(r"(\d+)([mg])b", SERVICES[name]["shm_size"]).groups()
    assert int(asked) < int(amount) * {"m": 2**20, "g": 2**30}[unit]


def bound(services: dict[str, dict[str, Any]]) -> dict[str, set[str]]:
    """The addresses that each service listens at on the host."""
    return {
        name: {port.split(":")[0] for port in service["ports"]}
        for name, service in services.items()
        if "ports" in service
    }


def test_ports_are_bound_to_this_machine_unless_asked(read) -> None:
    found = bound(read(**GIVEN)["services"])
    assert set().union(*found.values()) == {"127.0.0.1"}


def test_only_pages_can_be_shown_to_others(read) -> None:
    found = bound(read(**GIVEN, BIND="0.0.0.0")["services"])
    assert {name for name, at in found.items() if at != {"127.0.0.1"}} == {"mlflow", "dashboard"}


PAGE = "http://sweeps.example.org:5000"


@pytest.mark.parametrize(
    ("host", "origin", "let_in"),
    [
        ("mlflow:5000", "", True),
        ("127.0.0.1:5000", "http://localhost:5000", True),
        ("sweeps.example.org:5000", PAGE, True),
        ("sweeps.example.org", "https://sweeps.example.org", True),  # behind a proxy
        ("sweeps.example.org", "https://evil.example.org", False),
        ("evil.example.org", "", False),
    ],
)
def test_mlflow_answers_to_its_names_alone(read, host: str, origin: str, let_in: bool) -> None:
    from mlflow.server.security_utils import is_allowed_host_header, should_block_cors_request

    command = read(**GIVEN, SERVER_NAME="sweeps.example.org")["services"]["mlflow"]["command"]
    options = dict(word.split("=", 1) for word in command if "=" in word)
    hosts, origins = (
        options[f"--{o}"].split(",") for o in ("allowed-hosts", "cors-allowed-origins")
    )
    answered = is_allowed_host_header(hosts, host)
    assert (answered and not should_block_cors_request(origin, "POST", origins)) is let_in


@pytest.mark.parametrize(
    ("given", "page"),
    [
        ({}, "http://localhost:5000"),
        ({"SERVER_NAME": "sweeps.example.org"}, PAGE),
        ({"MLFLOW_PAGE": "https://sweeps.example.org"}, "https://sweeps.example.org"),
    ],
    ids=["here", "by name", "behind a proxy"],
)
def test_a_study_prints_the_address_that_browsers_open(
    read, given: dict[str, str], page: str
) -> None:
    study = read(**GIVEN, **given)["services"]["study"]
    assert study["environment"]["NORMSWEEP_MLFLOW_PAGE"] == page


@each_service
def test_what_is_mounted_into_a_read_only_service_is_a_file(service: dict[str, Any]) -> None:
    # Compose copies other configs into the container, which a read-only one refuses.
    for kind in ("configs", "secrets"):
        for mounted in service.get(kind, []):
            name = mounted if isinstance(mounted, str) else mounted["source"]
            assert not service["read_only"] or set(COMPOSE[kind][name]) == {"file"}


@each_service
def test_secrets_come_from_the_environment_file_alone(service: dict[str, Any]) -> None:
    for name, value in service.get("environment", {}).items():
        if re.search("PASSWORD|SECRET|TOKEN|KEY", name):
            assert value == SECRETS[name]
    for url in re.findall(r"\w+://[^'\"\s]+", str(service)):
        assert not re.search(r"//[^/@]*:[^/@]*@", url), "a URL with a password"


def test_each_has_the_secrets_that_it_needs_and_no_other() -> None:
    def who(name: str) -> set[str]:
        return {service for service in SERVICES if name in SERVICES[service]["environment"]}

    assert who("POSTGRES_PASSWORD") == {"postgres"}
    assert who("PGPASSWORD") == {name for name in SERVICES if "postgres" in named(name)}
    assert who("RAY_AUTH_TOKEN") == {*RAY, *(n for n in SERVICES if "ray-head" in named(n))}
    for name in who("RAY_AUTH_TOKEN"):
        assert SERVICES[name]["environment"]["RAY_AUTH_MODE"] == "token"


@pytest.mark.parametrize("missing", GIVEN)
@pytest.mark.parametrize("empty", [False, True], ids=["unset", "empty"])
def test_refuses_to_start_without_a_secret(read, refused, missing: str, empty: bool) -> None:
    given = {**GIVEN, missing: ""}
    if not empty:
        del given[missing]
    with pytest.raises(refused, match=rf"{missing} is missing a value: set it in \.env"):
        read(**given)


def test_the_example_environment_has_no_secret_that_works() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    named = [line for line in lines if line and not line.startswith("#")]
    assert named == ["POSTGRES_PASSWORD=", "RAY_AUTH_TOKEN=", "COMPOSE_PROFILES=cpu"]


def test_the_example_environment_names_every_variable() -> None:
    files = [ROOT / "docker-compose.yml", ROOT / "docker-compose.machines.yml"]
    used = set(re.findall(r"\$\{(\w+)", "".join(file.read_text() for file in files)))
    named = set(re.findall(r"^#?(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert named == used | {"COMPOSE_PROFILES"}


@each_service
def test_what_stays_up_has_a_health_check(service: dict[str, Any]) -> None:
    if service["restart"] == "no":
        assert "healthcheck" not in service
    else:
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"][0] == "CMD"


def waits(name: str) -> set[str]:
    """The services that one starts after, however far."""
    first = set(SERVICES[name].get("depends_on", {}))
    return first.union(*map(waits, first))


@pytest.mark.parametrize("name", SERVICES)
def test_each_starts_after_those_that_it_names(name: str) -> None:
    assert named(name) <= waits(name)
    for other, how in SERVICES[name].get("depends_on", {}).items():
        stays = SERVICES[other]["restart"] != "no"
        assert how["condition"] == (
            "service_healthy" if stays else "service_completed_successfully"
        )


@pytest.mark.parametrize("profile", ["cpu", "gpu"])
def test_a_study_waits_for_the_worker_of_its_profile(profile: str) -> None:
    for name, how in SERVICES["study"]["depends_on"].items():
        assert how.get("required", True) == (name in enabled())
    assert waits("study") & (enabled(profile) - enabled())


def test_the_study_runs_once() -> None:
    assert SERVICES["study"]["restart"] == SERVICES["record"]["restart"] == "no"


def test_optuna_and_mlflow_have_a_database_each() -> None:
    mounted = [config["source"] for config in SERVICES["postgres"]["configs"]]
    script = "".join((ROOT / COMPOSE["configs"][name]["file"]).read_text() for name in mounted)
    made = re.findall(r"CREATE DATABASE (\w+);", script)
    whole = {
        name: re.findall(r"normsweep@postgres:5432/(\w+)", str(s)) for name, s in SERVICES.items()
    }
    used = {name: set(databases) for name, databases in whole.items() if databases}
    record = {"optuna"}
    assert used == {"mlflow": {"mlflow"}, "record": record, "dashboard": record, "study": record}
    assert set(made) == {"mlflow", "optuna"}


@pytest.mark.parametrize("service", OURS.values(), ids=OURS)
def test_none_tells_mlflows_makers_of_itself(service: dict[str, Any]) -> None:
    assert service["environment"]["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_trials_run_on_workers_alone() -> None:
    offered = {n: re.findall(r"--num-cpus=([^']+)", str(SERVICES[n]["command"])) for n in RAY}
    assert offered["ray-head"] == ["0"]
    assert "0" not in offered["worker"] + offered["gpu-worker"]


def test_the_gpus_are_one_workers() -> None:
    def devices(service: dict[str, Any]) -> list[dict[str, Any]]:
        resources = service.get("deploy", {}).get("resources", {})
        return resources.get("reservations", {}).get("devices", [])

    having = {name: found for name, s in SERVICES.items() if (found := devices(s))}
    assert set(having) == {"gpu-worker"}
    assert "gpu" in having["gpu-worker"][0]["capabilities"]


def test_what_must_last_lies_in_named_volumes() -> None:
    lasting = {
        volume.partition(":")[0]: volume.split(":")[1]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if not volume.startswith(".")
    }
    assert set(lasting) == set(COMPOSE["volumes"])
    assert lasting["postgres"] == "/var/lib/postgresql"  # from PostgreSQL 18 on
    assert lasting["mlruns"] == "/study/mlruns"
    destination = f"--artifacts-destination={lasting['artifacts']}"
    assert destination in SERVICES["mlflow"]["command"]


def test_make_writes_the_secrets_once(tmp_path) -> None:
    for name in ("Makefile", ".env.example"):
        shutil.copy(ROOT / name, tmp_path)
    made = ["make", "--silent", ".env"]
    subprocess.run(made, cwd=tmp_path, check=True)
    written = tmp_path / ".env"
    drawn = dict(re.findall(r"(?m)^(\w+)=([0-9a-f]{64})$", written.read_text()))
    assert set(drawn) == {"POSTGRES_PASSWORD", "RAY_AUTH_TOKEN"}
    assert len(set(drawn.values())) == 2
    assert written.stat().st_mode & 0o077 == 0
    assert "COMPOSE_PROFILES=cpu\n" in written.read_text()
    subprocess.run(made, cwd=tmp_path, check=True)
    assert all(secret in written.read_text() for secret in drawn.values())
