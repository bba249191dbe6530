"""A study that is put through things, and what must be true of it in the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import optuna
from mlflow import MlflowClient
from mlflow.entities import Run

from normsweep.search import read_study
from normsweep.spec import CONFIRM, SEARCH, Record, Status

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
[confirm]
seeds = 5
margin = 0.02
"""
ARMS = ("none", "unit")


@dataclass
class Survivor:
    """A folder with the sweep and the stores of its study."""

    folder: Path
    storage: str = ""
    tracking: str = ""
    options: tuple[str, ...] = ()
    kills: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.storage = self.storage or f"sqlite:///{self.folder}/mlruns/optuna.db"
        self.tracking = self.tracking or f"sqlite:///{self.folder}/mlruns/mlflow.db"
        (self.folder / "survivor.toml").write_text(SWEEP)

    def start(self) -> subprocess.Popen[bytes]:
        """Begin the study or go on with it, in a process of its own."""
        command = [
            sys.executable, "-m", "normsweep.study", "survivor.toml", "--storage", self.storage,
            "--tracking-uri", self.tracking, *self.options,
        ]  # fmt: skip
        with (self.folder / "output.txt").open("ab") as output:
            return subprocess.Popen(command, cwd=self.folder, stdout=output, stderr=output)

    def finish(self) -> None:
        """Run the study to its end."""
        process = self.start()
        assert process.wait(timeout=300) == 0, self.output()

    def kill_at(self, seconds: float) -> bool:
        """Kill -9 the driver so long after its first sign of life; whether it still ran then."""
        before = self.trials()
        process = self.start()
        deadline = time.monotonic() + 120
        while process.poll() is None and self.trials() <= before and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(seconds)
        running = process.poll() is None
        if running:
            os.kill(process.pid, signal.SIGKILL)
            self.kills += 1
        process.wait()
        return running

    def kill_at_random(self, times: int, rng: np.random.Generator) -> None:
        """Kill the driver so often, at random moments, as long as there is something left to do."""
        for _ in range(times):
            if not self.kill_at(float(rng.uniform(0.0, 1.5))):
                return

    def trials(self) -> int:
        """Trials that the record has, in whatever state."""
        try:
            study = optuna.load_study(storage=self.storage, study_name="survivor")
        except Exception:  # not made yet
            return 0
        return len(study.get_trials(deepcopy=False))

    def records(self) -> list[Record]:
        return read_study(self.storage, "survivor")[1]

    def output(self) -> str:
        return (self.folder / "output.txt").read_text()

    def assert_whole(self) -> None:
        """Exactly the planned trials, none twice, none lost; each in one ended run of MLflow."""
        info, records = read_study(self.storage, "survivor")
        done = [r for r in records if r.result and r.result.status is Status.COMPLETE]
        searched = Counter((r.trial.arm, r.trial.slot) for r in done if r.trial.phase == SEARCH)
        assert searched == {(arm, slot): 1 for arm in ARMS for slot in range(10)}
        confirmed = [r.trial.fingerprint for r in done if r.trial.phase == CONFIRM]
        assert len(confirmed) == len(set(confirmed))
        (look,) = info.looks
        looked = {n for c in look.configurations for n in c.runs}
        assert looked == {r.trial.number for r in done if r.trial.phase == CONFIRM}
        self._assert_states()
        self._assert_runs(records, done)

    def _assert_states(self) -> None:
        study = optuna.load_study(storage=self.storage, study_name="survivor")
        assert {trial.state.name for trial in study.trials} <= {"COMPLETE", "FAIL"}

    def _assert_runs(self, records: list[Record], done: list[Record]) -> None:
        assert all(record.run_id for record in records)
        client = MlflowClient(self.tracking)
        runs = [run for run in self._runs(client) if "normsweep.trial" in run.data.tags]
        assert {run.info.status for run in runs} <= {"FINISHED", "KILLED", "FAILED"}
        finished = [run.info.run_id for run in runs if run.info.status == "FINISHED"]
        assert sorted(finished) == sorted(record.run_id for record in done)
        for record in done:
            points = client.get_metric_history(record.run_id, "val/accuracy")
            assert [p.step for p in points] == list(range(1, record.trial.epochs + 1))

    def _runs(self, client: MlflowClient) -> list[Run]:
        experiment = client.get_experiment_by_name("survivor")
        assert experiment is not None
        return list(client.search_runs([experiment.experiment_id], max_results=5000))
