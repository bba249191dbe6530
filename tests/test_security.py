"""A whole study with a secret in every address and in the environment: where it is seen then."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import MetaData, create_engine, select

from normsweep.store.storage import read_study
from normsweep.sweep.trial import Status
from tests import forkserver
from tests.runner.survival import EXECUTORS, Survivor

pytestmark = pytest.mark.system

SECRET = "S3cret/2f81"
ENCODED = "S3cret%2F81"
PIECE = b"S3cret"
SWEEP = """
name = "guarded"
question = "Is anything told that should not be?"
reference = "unit"
[data]
dataset = "digits"
[model]
name = "synthetic"
# Its exponential is out of range after two or three epochs: every trial of this arm crashes.
options = { speed = { none = -400.0, default = 0.5 }, seconds = 0.1 }
[search]
trials = 8
[search.space]
normalization = ["none", "unit"]
learning_rate = { low = 1e-4, high = 1e-2, log = true }
optimizer = ["sgd", "adam"]
epochs = 3
[execution]
retries = 0
"""
OPTIONS = ("--n-jobs", "2", "--phase", "search")
ENVIRONMENT = {
    "PGPASSWORD": SECRET,
    "MLFLOW_TRACKING_USERNAME": "me",
    "MLFLOW_TRACKING_PASSWORD": SECRET,
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "HF_TOKEN": SECRET,
}


@dataclass
class Study:
    """A folder, a study that is run in it, and what was seen of its processes meanwhile."""

    folder: Path
    storage: str
    tracking: str
    output: str = ""
    workers: dict[int, bytes] = field(default_factory=dict)
    """Command line and environment of each process that trained."""

    def run(self, *arguments: str, stop: bool = False, **environment: str) -> int:
        """Run the command to its end, or until it has recorded a trial; its exit status."""
        process = forkserver.Popen(
            [sys.executable, "-m", "normsweep.study", "guarded.toml", *OPTIONS, *arguments],
            cwd=self.folder, env={**os.environ, **ENVIRONMENT, **environment}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        watch = threading.Thread(target=self._watch, args=(process, stop))
        watch.start()
        said, _ = process.communicate(timeout=120)
        watch.join()
        self.output += said
        return process.returncode

    def _watch(self, process: subprocess.Popen[str], stop: bool) -> None:
        while process.poll() is None:
            self._look()
            if stop and self._recorded():
                process.send_signal(signal.SIGINT)
                return
            time.sleep(0.1)

    def _look(self) -> None:
        """Keep what any user of this account may read of the processes that train for us."""
        for place in Path("/proc").glob("[0-9]*"):
            try:
                if (place / "cwd").readlink() != self.folder:
                    continue
                command = (place / "cmdline").read_bytes()
                if b"normsweep.executors.worker" in command:
                    self.workers[int(place.name)] = command + (place / "environ").read_bytes()
            except OSError:
                continue

    def _recorded(self) -> bool:
        try:
            return any(r.result for r in read_study(self.storage, "guarded").trials)
        except Exception:  # not made yet
            return False


@pytest.fixture
def study(tmp_path: Path, postgresql_url: str, mlflow_server) -> Study:
    (tmp_path / "guarded.toml").write_text(SWEEP)
    storage = postgresql_url.replace("postgres:@", f"postgres:{ENCODED}@")
    tracking = mlflow_server.url.replace("://", f"://me:{ENCODED}@")
    assert ENCODED in storage
    assert ENCODED in tracking
    return Study(tmp_path, storage, tracking)


def rows(url: str) -> str:
    """All that a database holds."""
    engine, tables = create_engine(url), MetaData()
    tables.reflect(engine)
    with engine.connect() as connection:
        # As plain tuples: SQLAlchemy's own rows cut what they show.
        found = [str([*map(tuple, connection.execute(select(t)))]) for t in tables.tables.values()]
    engine.dispose()
    return "\n".join(found)


def holding_secret(folder: Path) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 5
    return [path for path in files if PIECE in path.read_bytes()]


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks into /proc")
def test_a_secret_is_in_no_output_no_store_no_file_and_no_worker(study, mlflow_server, tmp_path):
    given = (f"--storage={study.storage}", "--tracking-uri", study.tracking)
    assert study.run(*given, stop=True) == 130, study.output
    assert "run the command again to resume, with the password instead of ***:" in study.output
    assert "--phase search '--storage=postgresql+psycopg://postgres:***@/" in study.output

    environment = {"OPTUNA_STORAGE": study.storage, "MLFLOW_TRACKING_URI": study.tracking}
    assert study.run(**environment) == 0, study.output
    assert 'export best --study-name guarded --storage "$OPTUNA_STORAGE"' in study.output
    statuses = [r.result.status for r in read_study(study.storage, "guarded").trials if r.result]
    assert statuses.count(Status.CRASHED) == statuses.count(Status.COMPLETE) == 4
    assert study.output.count(": crashed: Traceback") == 4

    assert PIECE.decode() not in study.output
    assert len(study.workers) >= 4
    assert not [pid for pid, seen in study.workers.items() if PIECE in seen]
    assert all(b"PATH=" in seen for seen in study.workers.values())
    assert holding_secret(tmp_path) == []
    record = rows(study.storage)
    assert "math range error" in record
    assert PIECE.decode() not in record
    kept = Path(mlflow_server.folder)
    assert holding_secret(kept) == []
    assert b"math range error" in (kept / "mlflow.db").read_bytes()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks into /proc")
@pytest.mark.slow
def test_a_clusters_token_is_known_to_ray_and_to_no_worker(tmp_path):
    token = "2f81" * 16
    environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    study = Survivor(tmp_path, options=EXECUTORS["ray"], environment=environment)
    process = study.start()
    study.wait_for_trials(1, process)
    workers = study.workers()
    place = Path("/proc")
    told = [p for p in study.processes() if token in (place / f"{p}/environ").read_text()]
    study.stop(process, signal.SIGTERM)
    assert len(workers) == 2
    assert not set(workers) & set(told)
    assert len(told) > 3
    assert token not in study.output()
    study.assert_stopped()
