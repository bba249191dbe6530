"""The driver crashes, or a write of its fails, at its first, second, … last write; then the command is run again.

As SQLite tests itself (sqlite.org/testing.html): not at random moments alone, but at every point.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from normsweep.analysis.evidence import evidence
from normsweep.reporting.evidence_tables import verdict_table
from normsweep.store.storage import read_study
from normsweep.sweep.trial import CONFIRM, SEARCH, SELECT, Status
from tests import forkserver
from tests.runner.survival import SWEEP, Survivor

pytestmark = pytest.mark.system

SIX = (
    SWEEP.replace("trials = 20", "trials = 6")
    .replace("seeds = 0\n[confirm]\nseeds = 5", "top = 1\nseeds = 1\n[confirm]\nseeds = 2")
    .replace("seconds = 0.03", "seconds = 0.0")
)
"""A search of six trials, with a selection round and a confirmation."""

COUNTED = """
import errno, itertools, json, os, runpy, signal, sqlite3, sys
from pathlib import Path
from sqlalchemy import Engine, event
from sqlalchemy.exc import OperationalError

at, how, log = int(sys.argv[1]), sys.argv[2], sys.argv[3]
written = itertools.count(1)
own = str(Path("mlruns").absolute())

def write(what, failure):
    number = next(written)
    if how == "count":
        with real_open(log, "a") as file:
            file.write(json.dumps(what) + "\\n")
    elif number == at and how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif number == at:
        raise failure

real_open = open

@event.listens_for(Engine, "after_cursor_execute")
def changes(connection, cursor, statement, *others):
    if statement.lstrip()[:6].upper() in ("INSERT", "UPDATE", "DELETE"):
        connection.info["changed"] = True

@event.listens_for(Engine, "commit")
def commit(connection):
    if connection.info.pop("changed", False):
        database = "mlflow" if "mlflow" in str(connection.engine.url) else "optuna"
        try:
            write(database, OperationalError("COMMIT", None, sqlite3.OperationalError("disk I/O error")))
        except OperationalError:
            connection.connection.rollback()
            raise

FILES = {"os.mkdir": 0, "os.remove": 0, "os.rename": 0, "os.rmdir": 0, "os.link": 1, "os.symlink": 1}

def files(name, arguments):
    if name == "open":
        path, mode, flags = arguments
        changing = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    elif name in FILES:
        path, changing = arguments[FILES[name]], True
    else:
        return
    if changing and isinstance(path, (str, bytes, os.PathLike)):
        path = os.path.abspath(os.fsdecode(path))
        if path.startswith(own) and ".locks" not in path:
            write("file", OSError(errno.ENOSPC, "No space left on device", path))

sys.addaudithook(files)
sys.argv = ["normsweep.study", *sys.argv[4:]]
runpy.run_module("normsweep.study", run_name="__main__", alter_sys=True)
"""
"""Runs a study whose writes are counted: transactions that change a database, and changes of files.

Each is met just before it, which is after the one before."""


class Crashing(Survivor):
    """A study whose command crashes at one of its writes."""

    def crash(self, at: int, how: str) -> int:
        """The exit status of a command that is killed at a write, or whose write fails; `count`: of a whole one."""
        options = [
            "survivor.toml",
            "--storage",
            self.storage,
            "--tracking-uri",
            self.tracking,
            *self.options,
        ]
        command = [
            sys.executable,
            "-c",
            COUNTED,
            str(at),
            how,
            str(self.folder / "writes"),
            *options,
        ]
        with self.printed.open("ab") as output:
            process = forkserver.Popen(
                command, cwd=self.folder, env={**os.environ, **self.environment}, stdout=output,
                stderr=output, start_new_session=True,
            )  # fmt: skip
            self._drivers.add(process.pid)
            return process.wait(timeout=300)

    def writes(self) -> list[str]:
        return [json.loads(line) for line in (self.folder / "writes").read_text().splitlines()]

    def found(self) -> list[object]:
        """What the study has found, without what differs from run to run: numbers, times, runs."""
        record = read_study(self.storage, "survivor")
        trials = sorted(
            (r.trial.phase, r.trial.arm, r.trial.slot, r.trial.confirms and r.trial.configuration, r.trial.seed, r.trial.epochs,
             r.trial.learning_rate, [(e.train_loss, e.value, e.tested and e.tested.value) for e in r.result.curve])
            for r in record.trials if r.result and r.result.status is Status.COMPLETE
        )  # fmt: skip
        table = verdict_table(evidence(record).verdicts)
        return [trials, table.to_csv(index=False)]


def study(folder: Path, storage: str = "") -> Crashing:
    folder.mkdir()
    return Crashing(
        folder, storage=storage, options=("--executor", "inline", "--no-estimate"), sweep=SIX,
        trials_per_arm=3, phases=(SEARCH, SELECT, CONFIRM), environment={"NORMSWEEP_MLFLOW_WAIT": "0"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Crashing:
    whole = study(tmp_path_factory.mktemp("crash") / "undisturbed")
    assert whole.crash(0, "count") == 0, whole.output()
    whole.assert_whole()
    return whole


def put_through(undisturbed: Crashing, folder: Path, at: int, how: str, storage: str = "") -> None:
    struck = study(folder, storage)
    status = struck.crash(at, how)
    if how == "kill":
        assert status == -signal.SIGKILL, struck.output()
    else:
        assert status in (0, 1, 2), struck.output()
        assert "Traceback" not in struck.output(), struck.output()
    struck.finish()
    struck.assert_whole()
    struck.assert_stopped()
    assert struck.found() == undisturbed.found(), at


def test_every_kind_of_write_is_counted(undisturbed):
    kinds = Counter(undisturbed.writes())
    assert set(kinds) == {"optuna", "mlflow", "file"}
    assert min(kinds.values()) > 10, kinds
    assert undisturbed.crash(0, "count") == 0  # a finished study


@pytest.mark.parametrize("how", ["kill", "fail"])
@pytest.mark.parametrize("part", [0.15, 0.5, 0.9])
def test_a_study_that_crashed_at_a_write_is_the_undisturbed_one(undisturbed, tmp_path, part, how):
    at = 1 + int(part * len(undisturbed.writes()))
    put_through(undisturbed, tmp_path / "struck", at, how)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["kill", "fail"])
@pytest.mark.parametrize(("store", "every"), [("sqlite", 1), ("postgresql", 3)])
def test_it_is_at_every_write(undisturbed, tmp_path, postgres, record_property, how, store, every):
    points = range(1, len(undisturbed.writes()) + 1, every)
    for at in points:
        storage = postgres.created(f"crash_{at}") if store == "postgresql" else ""
        put_through(undisturbed, tmp_path / f"at_{at}", at, how, storage)
    record_property("points", len(points))
