"""docker-compose.yml in a container engine: the quickstart while containers are killed, stopped and restarted.

`make containers-check` runs it; it needs Docker Engine and Compose, and the ports of the compose file. COMPOSE names
Compose's program if it is not `docker compose`.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient
from playwright.sync_api import expect, sync_playwright

from normsweep.errors import NormsweepError
from normsweep.store.storage import read_study
from normsweep.sweep.study_record import StudyRecord
from normsweep.sweep.trial import Status

pytestmark = pytest.mark.containers

ROOT = Path(__file__).parents[2]
PROJECT = "normsweep-check"
STORAGE = "postgresql+psycopg://normsweep@127.0.0.1:5432/optuna"
MLFLOW = "http://127.0.0.1:5000"
START_INTERVAL = 25
"""The first version of Docker Engine that knows `start_interval`."""


@dataclass(frozen=True)
class Stack:
    """The services of the compose file, in a project of their own."""

    command: tuple[str, ...]

    def compose(self, *words: str) -> str:
        """Run a command of Compose; returns what it prints."""
        done = subprocess.run(
            [*self.command, *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.fail(f"{shlex.join(words)}: {done.stderr[-3000:]}\n{done.stdout[-1000:]}")
        return done.stdout

    def container(self, service: str, index: int = 0) -> str:
        """The id of a service's container, also if it has stopped."""
        return sorted(self.compose("ps", "--all", "--quiet", service).split())[index]

    def state(self, service: str) -> str:
        """Such as `running healthy`."""
        form = "{{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{end}}"
        return docker("inspect", "--format", form, self.container(service)).strip()


def docker(*words: str) -> str:
    """Run a command of Docker; returns what it prints."""
    return subprocess.run(
        ["docker", *words], capture_output=True, text=True, check=True
    ).stdout  # fmt: skip


def wait(happened: Callable[[], bool], seconds: float, what: str) -> None:
    """Until something has happened, looked at each second."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(1)


def engine() -> int:
    """The major version of Docker Engine; skips where there is none."""
    if not shutil.which("docker"):
        pytest.skip("no container engine: there is no program docker")
    asked = subprocess.run(
        ["docker", "version", "--format", "{{.Server.Version}}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if asked.returncode:
        pytest.skip(f"no container engine: {asked.stderr.strip().splitlines()[-1]}")
    return int(asked.stdout.split(".")[0])


@pytest.fixture(scope="module")
def stack(tmp_path_factory, given_secrets) -> Iterator[Stack]:
    """All services healthy, with two workers; the quickstart has begun."""
    folder = tmp_path_factory.mktemp("stack")
    file = ROOT / "docker-compose.yml"
    if engine() < START_INTERVAL:
        text = re.sub(r"(?m)^ *start_interval: .*\n", "", file.read_text())
        file = folder / "docker-compose.yml"
        file.write_text(text)
    # Builds need the host's network where a container's own reaches no package index.
    built = {"build": {"context": str(ROOT), "network": "host"}}
    services = {name: built for name, each in _services(file).items() if each.get("build") == "."}
    (folder / "build.yml").write_text(yaml.safe_dump({"services": services}))
    (folder / ".env").write_text("".join(f"{k}={v}\n" for k, v in given_secrets.items()))
    command = (
        *shlex.split(os.environ.get("COMPOSE", "docker compose")), "--project-name", PROJECT,
        "--project-directory", str(ROOT), "--env-file", str(folder / ".env"),
        "--file", str(file), "--file", str(folder / "build.yml"), "--profile", "cpu",
    )  # fmt: skip
    stack = Stack(command)
    stack.compose("down", "--volumes")
    try:
        stack.compose("up", "--build", "--detach", "--scale", "worker=2")
        yield stack
    finally:
        stack.compose("down", "--volumes")


def _services(file: Path) -> dict[str, dict[str, object]]:
    return yaml.safe_load(file.read_text())["services"]


@pytest.fixture
def record(monkeypatch, given_secrets) -> Callable[[], StudyRecord | None]:
    """The study as it is stored; None where there is none yet, or no answer."""
    monkeypatch.setenv("PGPASSWORD", given_secrets["POSTGRES_PASSWORD"])

    def read() -> StudyRecord | None:
        try:
            return read_study(STORAGE, "quickstart")
        except NormsweepError:
            return None

    return read


def ended(record: StudyRecord | None, phase: str) -> int:
    """How many trials of a phase are complete."""
    trials = record.trials if record else ()
    return sum(
        r.result is not None and r.result.status is Status.COMPLETE and r.trial.phase == phase
        for r in trials
    )


def test_a_study_survives_what_happens_to_its_containers(stack, record) -> None:
    for service in ("postgres", "mlflow", "dashboard", "ray-head", "worker"):
        wait(lambda s=service: stack.state(s) == "running healthy", 300, f"{service} is healthy")

    def searched(count: int) -> None:
        wait(lambda: ended(record(), "search") >= count, 1800, f"{count} trials of the search")
        assert stack.state("study").startswith("running"), "what follows strikes a running study"

    searched(3)
    worker = stack.container("worker")
    docker("kill", worker)
    searched(6)
    docker("start", worker)
    study = stack.container("study")
    docker("stop", "--time", "60", study)
    docker("start", study)
    searched(12)
    stack.compose("restart", "mlflow")
    searched(18)
    stack.compose("restart", "postgres")
    wait(lambda: stack.state("study").startswith("exited"), 3600, "the study's end")
    said = docker("logs", study)
    assert docker("inspect", "--format", "{{.State.ExitCode}}", study).strip() == "0", said[-3000:]
    assert "Traceback" not in said
    _assert_whole(record())


def _assert_whole(record: StudyRecord) -> None:
    """Nothing is lost, nothing there twice: each planned trial once, each in one run with all its epochs."""
    done = [r for r in record.trials if r.result and r.result.status is Status.COMPLETE]
    searched = Counter((r.trial.arm, r.trial.slot) for r in done if r.trial.phase == "search")
    assert len(searched) == record.sweep.search.trials
    assert set(searched.values()) == {1}
    assert {r.trial.phase for r in done} == {"search", "select", "confirm"}
    for phase in ("select", "confirm"):
        planned = [r.trial.fingerprint for r in done if r.trial.phase == phase]
        assert len(planned) == len(set(planned))
    assert record.analyses
    client = MlflowClient(MLFLOW)
    experiment = client.get_experiment_by_name("quickstart")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], max_results=5000)
    runs = {run.info.run_id: run for run in found if "normsweep.trial" in run.data.tags}
    assert {run.info.status for run in runs.values()} <= {"FINISHED", "KILLED", "FAILED"}
    finished = {key for key, run in runs.items() if run.info.status == "FINISHED"}
    assert finished == {r.run_id for r in done}
    for trial in done:
        points = client.get_metric_history(trial.run_id, "val/accuracy")
        assert [p.step for p in points] == list(range(1, trial.trial.epochs + 1))


def test_mlflow_s_page_shows_the_study(stack) -> None:
    browsers = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    browser = next(filter(None, browsers), None)
    printed = re.search(r"open http://\S+?/(#\S+)", docker("logs", stack.container("study")))
    assert printed
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = opened.new_page()
        page.goto(f"{MLFLOW}/{printed[1]}")
        expect(page.get_by_text("quickstart").first).to_be_visible(timeout=60_000)
        expect(page.locator(".ag-row a").first).to_be_visible(timeout=60_000)
        opened.close()
