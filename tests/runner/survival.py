"""A study that is put through things, and what must be true of it in the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import optuna
import psutil
from mlflow import MlflowClient
from mlflow.entities import Run
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from normsweep.store.storage import read_study
from normsweep.sweep.study_record import TrialRecord
from normsweep.sweep.trial import CONFIRM, SEARCH, SELECT, Status
from tests import forkserver, shared

SWEEP = """
name = "survivor"
reference = "unit"
[data]
dataset = "digits"
[model]
name = "synthetic"
options = { ceiling = { none = 0.9, default = 0.99 }, seconds = 0.03 }
[search]
trials = 20
[search.space]
normalization = ["none", "unit"]
learning_rate = { low = 1e-4, high = 1e-2, log = true }
optimizer = ["sgd", "adam"]
epochs = { low = 2, high = 5 }
[select]
seeds = 0
[confirm]
seeds = 5
margin = 0.02
"""
PHASES = SWEEP.replace("trials = 20", "trials = 18").replace(
    "seeds = 0\n[confirm]\nseeds = 5", "top = 3\nseeds = 2\n[confirm]\nseeds = 8"
)
"""With all three phases, of which none depends on the order in which trials end."""
ARMS = ("none", "unit")
UNSAVED = "training since the last checkpoint"
RETRIED = "one run of its trial, which is repeated"
PHASE_WORDS = {SEARCH: "search", SELECT: "selection", CONFIRM: "confirmation"}
EXECUTORS = {
    "inline": ("--executor", "inline"),
    "one process": ("--n-jobs", "1"),
    "three processes": ("--n-jobs", "3"),
    "ray": ("--executor", "ray", "--n-jobs", "2"),
}
"""The options of every way to run trials that has to survive the same."""
TRIALS = """
SELECT s.study_name AS study, state, (SELECT count(*) FROM trial_intermediate_values v WHERE v.trial_id = t.trial_id) AS epochs
FROM trials t JOIN studies s ON s.study_id = t.study_id
WHERE s.study_name IN ('survivor', 'survivor/select', 'survivor/confirm')
"""
MARK = "NORMSWEEP_SURVIVOR"
"""In the environment of a study's processes, so that none of them is overlooked, and no other hit.

A driver that was forked shows the environment of whom it was forked from, and is known by its number."""


def command_of(pid: int) -> str:
    """A process with its parent and its command, for a message."""
    try:
        process = psutil.Process(pid)
        return f"{pid} of {process.ppid()}: {' '.join(process.cmdline())[:150]}"
    except psutil.Error:
        return f"{pid}: gone"


@dataclass
class Survivor:
    """A folder with the sweep and the stores of its study."""

    folder: Path
    storage: str = ""
    tracking: str = ""
    options: tuple[str, ...] = ()
    trials_per_arm: int = 10
    environment: dict[str, str] = field(default_factory=dict)
    sweep: str = SWEEP
    phases: tuple[str, ...] = (SEARCH, CONFIRM)
    """Those of the sweep."""
    cold: bool = False
    """Whether its commands start with nothing imported, and the first with no stores there."""
    killed: Counter[str] = field(default_factory=Counter, init=False)
    """How often the driver was killed, by how far the study had got."""

    def __post_init__(self) -> None:
        own = [name for name, given in (("optuna.db", self.storage), ("mlflow.db", self.tracking)) if not given]  # fmt: skip
        if own and not self.cold:
            shared.place_stores(self.folder / "mlruns", *own)
        self.storage = self.storage or f"sqlite:///{self.folder}/mlruns/optuna.db"
        self.tracking = self.tracking or f"sqlite:///{self.folder}/mlruns/mlflow.db"
        self._engine = create_engine(self.storage, poolclass=NullPool)
        self.mark = uuid.uuid4().hex
        self._drivers = set[int]()
        self.printed = self.folder.parent / f"{self.mark}.txt"
        (self.folder / "survivor.toml").write_text(self.sweep)

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        """Begin the study or go on with it, in a process group of its own, as a shell does."""
        command = [
            sys.executable, "-m", "normsweep.study", "survivor.toml", "--storage", self.storage,
            "--tracking-uri", self.tracking, *self.options, *options,
        ]  # fmt: skip
        environment = {**os.environ, **self.environment, MARK: self.mark}
        with self.printed.open("ab") as output:
            process = (subprocess if self.cold else forkserver).Popen(
                command, cwd=self.folder, env=environment, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
        self._drivers.add(process.pid)
        return process

    def finish(self, status: int = 0) -> None:
        """Run the study to its end."""
        process = self.start()
        assert process.wait(timeout=300) == status, self.output()

    def sync(self) -> str:
        """What `normsweep sync` says."""
        command = [
            sys.executable, "-m", "normsweep", "sync", "--study-name", "survivor",
            "--storage", self.storage, "--tracking-uri", self.tracking,
        ]  # fmt: skip
        done = forkserver.run(command, cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def stop(
        self,
        process: subprocess.Popen[bytes],
        *numbers: int,
        group: bool = False,
        apart: float = 0.3,
    ) -> float:
        """Send signals one after another; how long the driver then took to end."""
        began = time.monotonic()
        for number in numbers:
            if process.poll() is None:
                (os.killpg if group else os.kill)(process.pid, number)
                time.sleep(apart)
        process.wait(timeout=60)
        return time.monotonic() - began

    def kill_at_random(self, times: int, rng: np.random.Generator) -> None:
        """Kill -9 the driver so often, at random moments, as long as there is something left to do.

        One in four while it starts; the others once it has begun a trial, however long that takes.
        """
        for _ in range(times):
            known, process = self.trials(), self.start()
            if rng.random() < 0.75:
                self._wait_for_news(process, known)
            if not self._kill_in(float(rng.uniform(0.0, 4.0)), process):
                return

    def _wait_for_news(self, process: subprocess.Popen[bytes], known: int) -> None:
        deadline = time.monotonic() + 120
        while self.trials() <= known and process.poll() is None:
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.05)

    def _kill_in(self, seconds: float, process: subprocess.Popen[bytes]) -> bool:
        """Kill -9 a driver so many seconds from now; whether it still ran then."""
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            self.killed[self.phase()] += 1
            return True
        assert process.returncode == 0, self.output()
        return False

    def phase(self) -> str:
        """How far the study has got."""
        begun = {study for study, *_ in self._recorded()}
        reached = [word for phase, word in PHASE_WORDS.items() if names_of((phase,)) & begun]
        return reached[-1] if reached else "start"

    @property
    def kills(self) -> int:
        """How often the driver was killed."""
        return self.killed.total()

    def wait_for(
        self, what: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float = 120
    ) -> None:
        """Wait until something is true of the study that runs."""
        deadline = time.monotonic() + seconds
        while not what():
            assert process.poll() is None, self.output()
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.05)

    def wait_for_trials(self, count: int, process: subprocess.Popen[bytes]) -> None:
        """Wait until the record has so many ended trials."""
        self.wait_for(lambda: self.trials("COMPLETE") >= count, process)

    def wait_for_output(self, text: str, process: subprocess.Popen[bytes]) -> None:
        """Wait until the command has said something."""
        self.wait_for(lambda: text in self.output(), process)

    def trials(self, *states: str) -> int:
        """Trials that the record has, in these states or in whatever state."""
        return sum(not states or state in states for _, state, _ in self._recorded())

    def completed(self, phase: str) -> int:
        """Trials of a phase that have ended well."""
        name = names_of((phase,)).pop()
        return sum((study, state) == (name, "COMPLETE") for study, state, _ in self._recorded())

    def trials_at_work(self) -> int:
        """Trials that have begun and have a good part of their epochs to go."""
        return sum(state == "RUNNING" and 0 < epochs < 3 for _, state, epochs in self._recorded())

    def _recorded(self) -> list[tuple[str, str, int]]:
        """Study, state and epochs of each trial; by SQL, which takes little of the study's processor."""
        if self.storage.startswith("sqlite") and not Path(self.storage[10:]).exists():
            return []
        try:
            with self._engine.connect() as connection:
                rows = connection.execute(text(TRIALS))
                return [(row.study, row.state, row.epochs) for row in rows]
        except SQLAlchemyError:  # not made yet, or away
            return []

    def records(self) -> tuple[TrialRecord, ...]:
        return read_study(self.storage, "survivor").trials

    def output(self) -> str:
        return self.printed.read_text()

    def processes(self) -> list[int]:
        """All processes of the study that are alive, wherever they have got to."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                marked = f"{MARK}={self.mark}".encode() in (folder / "environ").read_bytes()
                ours = marked or int(folder.name) in self._drivers
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if ours and state != "Z":
                found.append(int(folder.name))
        return found

    def workers(self) -> list[int]:
        """The worker processes that are alive."""
        return [
            pid
            for pid in self.processes()
            if b"normsweep.executors.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]

    def wait_for_end(self, seconds: float = 60) -> None:
        """Wait until no process of the study is alive."""
        deadline = time.monotonic() + seconds
        while orphans := self.processes():
            assert time.monotonic() < deadline, [command_of(pid) for pid in orphans]
            time.sleep(0.1)

    def assert_stopped(self) -> None:
        """Nothing runs any more: no process, no trial of the record, no run of MLflow."""
        self.wait_for_end(5)
        assert "Traceback" not in self.output(), self.output()
        assert not self.trials("RUNNING", "WAITING"), self.output()
        assert not [run for run in self.runs() if run.info.status == "RUNNING"], self.output()

    def assert_whole(self) -> None:
        """Exactly the planned trials, none twice, none lost; each in one ended run of MLflow."""
        record = read_study(self.storage, "survivor")
        done = [r for r in record.trials if r.result and r.result.status is Status.COMPLETE]
        searched = Counter((r.trial.arm, r.trial.slot) for r in done if r.trial.phase == SEARCH)
        assert searched == {(arm, slot): 1 for arm in ARMS for slot in range(self.trials_per_arm)}
        assert {r.trial.phase for r in done} == set(self.phases)
        for phase in self.phases[1:]:
            planned = [r.trial.fingerprint for r in done if r.trial.phase == phase]
            assert len(planned) == len(set(planned))
        (analysis,) = record.analyses
        looked = {n for c in analysis.configurations for n in c.runs}
        assert looked == {r.trial.number for r in done if r.trial.phase == CONFIRM}
        assert (self.folder / "mlruns" / "reports" / "survivor" / "index.html").stat().st_size
        self._assert_states()
        self._assert_runs(record.trials, done)

    def _assert_states(self) -> None:
        studies = optuna.get_all_study_names(self.storage)
        assert set(studies) == names_of(self.phases)
        trials = [
            t for n in studies for t in optuna.load_study(storage=self.storage, study_name=n).trials
        ]
        assert {trial.state.name for trial in trials} <= {"COMPLETE", "FAIL"}

    def _assert_runs(self, records: tuple[TrialRecord, ...], done: list[TrialRecord]) -> None:
        assert all(record.run_id for record in records)
        client = MlflowClient(self.tracking)
        runs = [run for run in self.runs() if "normsweep.trial" in run.data.tags]
        assert {run.info.status for run in runs} <= {"FINISHED", "KILLED", "FAILED"}
        finished = [run.info.run_id for run in runs if run.info.status == "FINISHED"]
        assert sorted(finished) == sorted(record.run_id for record in done)
        for record in done:
            points = client.get_metric_history(record.run_id, "val/accuracy")
            assert [p.step for p in points] == list(range(1, record.trial.epochs + 1))

    def runs(self) -> list[Run]:
        """The study's runs in MLflow, its report's among them; none where there is no store yet."""
        if self.tracking.startswith("sqlite") and not Path(self.tracking[10:]).exists():
            return []
        client = MlflowClient(self.tracking)
        experiment = client.get_experiment_by_name("survivor")
        if experiment is None:
            return []
        return list(client.search_runs([experiment.experiment_id], max_results=5000))


def names_of(phases: tuple[str, ...]) -> set[str]:
    """The Optuna studies of these phases."""
    return {"survivor" if phase == SEARCH else f"survivor/{phase}" for phase in phases}
