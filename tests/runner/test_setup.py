"""Commands that are started at the same moment where there is nothing yet."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.reliability import KILL
from tests.runner.survival import Survivor

pytestmark = pytest.mark.system

SHORT = ("--phase", "search", "--n-trials", "2")
KINDS = ("sqlite", "postgresql")
ONCE = pytest.mark.parametrize(
    ("fresh", "times"),
    [("postgresql", 1), *(pytest.param(kind, 5, marks=pytest.mark.slow) for kind in KINDS)],
    indirect=["fresh"],
)
"""In every run of the tests once on the server; five times on each among the slow ones."""


@pytest.fixture(params=KINDS)
def fresh(request, tmp_path: Path) -> Callable[[int], tuple[str, str]]:
    """Makes pairs of URLs, of databases that are not there or empty: Optuna's and MLflow's."""

    def make(number: int) -> tuple[str, str]:
        if request.param == "postgresql":
            new_database = request.getfixturevalue("new_database")
            return new_database(), new_database()
        folder = tmp_path / f"stores_{number}"
        return f"sqlite:///{folder}/optuna.db", f"sqlite:///{folder}/mlflow.db"

    return make


def pair(folder: Path, stores: tuple[str, str]) -> list[Survivor]:
    """Two studies of the same stores, each in a folder of its own."""
    made = []
    for name in ("first", "second"):
        (folder / name).mkdir(parents=True)
        made.append(Survivor(folder / name, *stores))
    return made


def run_together(studies: list[Survivor], names: list[str]) -> list[subprocess.Popen[bytes]]:
    started = [
        study.start(*SHORT, "--study-name", name)
        for study, name in zip(studies, names, strict=True)
    ]
    for process in started:
        process.wait(timeout=120)
    return started


@ONCE
def test_two_studies_make_their_tables_at_once(tmp_path, fresh, times, faults):
    for number in range(times):
        studies = pair(tmp_path / str(number), fresh(number))
        ended = run_together(studies, ["first", "second"])
        said = "".join(study.output() for study in studies)
        assert [process.returncode for process in ended] == [0, 0], said
        assert "Traceback" not in said
    faults("two studies started at once on new databases", times)


@pytest.mark.slow
@ONCE
def test_of_two_commands_of_a_study_one_is_told_who_has_it(tmp_path, fresh, times, faults):
    for number in range(times):
        studies = pair(tmp_path / str(number), fresh(number))
        ended = run_together(studies, ["same", "same"])
        said = "".join(study.output() for study in studies)
        assert sorted(process.returncode for process in ended) == [0, 2], said
        assert "Traceback" not in said
        winner = next(process for process in ended if process.returncode == 0)
        assert f"study same is locked by process {winner.pid} on " in said
    faults("one study started twice at once on new databases", times)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["mlflow.db.making", "optuna.db"])
def test_a_command_killed_while_it_makes_tables_leaves_nothing_in_the_way(tmp_path, what, faults):
    waits = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)
    for number, wait in enumerate(waits):
        folder = tmp_path / str(number)
        folder.mkdir()
        study = Survivor(folder, cold=True)
        process = study.start(*SHORT)
        study.wait_for((folder / "mlruns" / what).exists, process)
        time.sleep(wait)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        again = study.start(*SHORT)
        assert again.wait(timeout=120) == 0, study.output()
    faults(KILL, len(waits), moment="start", store="SQLite")
