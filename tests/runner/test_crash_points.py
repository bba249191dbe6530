"""The driver crashes, or a write of its fails, at its first, second, … last write; then the command is run again.

As SQLite tests itself (sqlite.org/testing.html): not at random moments alone, but at every point.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from normsweep.analysis.evidence import evidence
from normsweep.reporting.evidence_tables import verdict_table
from normsweep.store.storage import load_study, read_study
from normsweep.sweep.trial import CONFIRM, SEARCH, SELECT, Status
from tests import forkserver
from tests.reliability import KILL
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

at, how, log, module = int(sys.argv[1]), *sys.argv[2:5]
written = itertools.count(1)
own = str(Path("mlruns").absolute())

def write(what, failure):
    number = next(written)
    if how == "count" or number == at:
        with real_open(log, "a") as file:
            file.write(json.dumps(what) + "\\n")
    if number == at and how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif number == at and how == "fail":
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
            write(path.removeprefix(own), OSError(errno.ENOSPC, "No space left on device", path))

sys.addaudithook(files)
sys.argv = [module, *sys.argv[5:]]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""
"""Runs a study whose writes are counted: transactions that change a database, and changes of files.

Each is met just before it, which is after the one before."""


class Crashing(Survivor):
    """A study whose command crashes at one of its writes."""

    crashed: str = ""
    """What the command was at when it crashed."""

    def crash(self, at: int, how: str, *command: str) -> int:
        """The exit status of a command that is killed at a write, or whose write fails; `count`: of a whole one.

        By default the command is the study's.
        """
        (self.folder / "writes").unlink(missing_ok=True)
        study = (
            "normsweep.study", "survivor.toml", "--storage", self.storage, "--tracking-uri",
            self.tracking, *self.options,
        )  # fmt: skip
        what = (str(at), how, str(self.folder / "writes"), *(command or study))
        with self.printed.open("ab") as output:
            process = forkserver.Popen(
                [sys.executable, "-c", COUNTED, *what], cwd=self.folder, env={**os.environ, **self.environment}, stdout=output,
                stderr=output, start_new_session=True,
            )  # fmt: skip
            self._drivers.add(process.pid)
            return process.wait(timeout=300)

    def writes(self) -> list[str]:
        """What was written to: `optuna`, `mlflow`, or the path below mlruns; of a crash, the last one alone."""
        return [json.loads(line) for line in (self.folder / "writes").read_text().splitlines()]

    def moment(self) -> str:
        """What a crashed command was at."""
        (what,) = self.writes()
        if what == "mlflow" or "artifacts" in what:
            return "logging"
        return "report" if what.startswith("/reports") else self.phase()

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


def put_through(
    undisturbed: Crashing, folder: Path, at: int, how: str, storage: str = ""
) -> Crashing:
    struck = study(folder, storage)
    status = struck.crash(at, how)
    if how == "kill":
        assert status == -signal.SIGKILL, struck.output()
    else:
        assert status in (0, 1, 2), struck.output()
        assert "Traceback" not in struck.output(), struck.output()
    moment = struck.moment()
    struck.finish()
    struck.assert_whole()
    struck.assert_stopped()
    assert struck.found() == undisturbed.found(), at
    struck.crashed = moment
    return struck


def test_every_kind_of_write_is_counted(undisturbed):
    stores = ("optuna", "mlflow")
    kinds = Counter(what if what in stores else "file" for what in undisturbed.writes())
    assert set(kinds) == {*stores, "file"}
    assert min(kinds.values()) > 10, kinds
    undisturbed.finish()


def test_what_was_not_logged_of_a_phase_that_has_ended_is_logged_by_the_next_command(undisturbed):
    """As where the driver was killed between the last result of a phase and its run in MLflow."""
    store = load_study(undisturbed.storage, "survivor")
    last = {record.trial.phase: record.trial.number for record in store.trials()}
    assert set(last) == {SEARCH, SELECT, CONFIRM}
    for number in last.values():
        store.note_run(number, "", "")
    undisturbed.finish()
    undisturbed.assert_whole()


@pytest.mark.parametrize("how", ["kill", "fail"])
@pytest.mark.parametrize("part", [0.15, 0.5, 0.9])
def test_a_study_that_crashed_at_a_write_is_the_undisturbed_one(undisturbed, tmp_path, part, how):
    at = 1 + int(part * len(undisturbed.writes()))
    put_through(undisturbed, tmp_path / "struck", at, how)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["kill", "fail"])
@pytest.mark.parametrize(("store", "every"), [("SQLite", 1), ("PostgreSQL", 3)])
def test_it_is_at_every_write(
    undisturbed, tmp_path, postgres, request, faults, subtests, how, store, every
):
    points = spread(len(undisturbed.writes()) // every, request.config.getoption("points"))
    crashed = Counter[str]()
    for at in (1 + point * every for point in points):
        with subtests.test(at=at):
            storage = postgres.created(f"crash_{at}") if store == "PostgreSQL" else ""
            struck = put_through(undisturbed, tmp_path / f"at_{at}", at, how, storage)
            crashed[struck.crashed] += 1
            shutil.rmtree(struck.folder)  # hundreds would fill a disk in memory
    for moment, times in crashed.items():
        if how == "kill":
            faults(KILL, times, moment=moment, store=store)
        else:
            faults(f"a write fails, disk full or I/O error: {moment}, {store}", times)


def spread(there: int, wanted: int | None) -> list[int]:
    """So many of the numbers below `there`, evenly spread; all of them by default."""
    count = min(wanted or there, there)
    return [int((i + 0.5) * there / count) for i in range(count)]


COMMANDS = {
    "mlruns/page": ("report", "normsweep.report"),
    **{f"mlruns/{t}.csv": ("export", "normsweep.export", t) for t in ("trials", "epochs", "verdict", "seeds")},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("store", ["SQLite", "PostgreSQL"])
def test_an_export_and_a_report_that_crash_at_a_write_leave_what_was_there_or_all_of_it(
    tmp_path, postgres, request, faults, store
):
    finished = study(tmp_path / "study", postgres.created("whole") if store == "PostgreSQL" else "")
    finished.finish()
    for output, (name, *words) in COMMANDS.items():
        command = (*words, "-o", output, "--storage", finished.storage, "--study-name", "survivor")
        assert finished.crash(0, "count", *command) == 0, finished.output()
        whole, points = contents(finished.folder / output), len(finished.writes())
        assert whole
        tried = spread(points, request.config.getoption("points"))
        for at in tried:
            for file in whole:
                file.write_bytes(b"older")
            assert finished.crash(1 + at, "kill", *command) == -signal.SIGKILL, finished.output()
            left = contents(finished.folder / output)
            assert all(left[file] in (b"older", content) for file, content in whole.items())
            assert finished.crash(0, "count", *command) == 0, finished.output()
            assert contents(finished.folder / output) == whole
        faults(KILL, len(tried), moment=name, store=store)
    finished.assert_whole()


def contents(path: Path) -> dict[Path, bytes]:
    """Of a file, or of all files below a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return {file: file.read_bytes() for file in files if file.is_file()}
