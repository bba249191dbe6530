"""A study on PostgreSQL and on MLflow's server from its start to its end, struck in each of its phases."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from pathlib import Path

import optuna
import pytest

from normsweep.sweep.trial import CONFIRM, SEARCH, SELECT, Status
from tests import shared
from tests.reliability import KILL
from tests.runner.survival import PHASE_WORDS, PHASES, UNSAVED, Survivor

pytestmark = [pytest.mark.system, pytest.mark.slow]

ALL = (SEARCH, SELECT, CONFIRM)
MODES = {SEARCH: "fast", SELECT: "immediate", CONFIRM: "fast"}
"""How the database server is restarted in each phase."""
Trials = Counter[tuple[object, ...]]


def survivor(folder: Path, *options: str, **stores: str) -> Survivor:
    folder.mkdir()
    given = ("--n-jobs", "2", *options)
    return Survivor(folder, sweep=PHASES, phases=ALL, trials_per_arm=9, options=given, **stores)


def advance(study: Survivor, phase: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until another trial of the phase has ended."""
    before = study.completed(phase)
    study.wait_for(lambda: study.completed(phase) > before, process, seconds=400)


def trials(study: Survivor) -> Trials:
    """What was trained, and what came of it; how long an epoch takes is another option of the model.

    Configurations of the selection round are named by the numbers of trials, which interrupted ones have too.
    """
    done = [(r.trial, r.result) for r in study.records() if r.result]
    return Counter(
        (
            t.phase,
            t.arm,
            t.slot,
            "" if t.phase == SELECT else t.configuration,
            t.seed,
            t.optimizer,
            t.learning_rate,
            tuple(e.val_accuracy for e in result.curve),
        )
        for t, result in done
        if result.status is Status.COMPLETE
    )


def test_a_study_that_is_struck_in_each_phase_ends_as_one_that_is_left_alone(
    tmp_path, postgres, own_server, faults
):
    quiet = survivor(tmp_path / "quiet")
    quiet.finish()
    quiet.assert_whole()

    slow = ("--set", "model.options.seconds=0.8")
    url = postgres.url("record")
    study = survivor(tmp_path / "struck", *slow, storage=url, tracking=own_server.url)
    for phase in ALL:
        process = study.start()
        advance(study, phase, process)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

        process = study.start()
        advance(study, phase, process)
        postgres.restart(MODES[phase])
        advance(study, phase, process)
        own_server.stop()
        advance(study, phase, process)
        study.stop(process, signal.SIGINT)
        assert process.returncode == 128 + signal.SIGINT, study.output()
        own_server.start()
    study.finish()
    study.assert_whole()
    study.assert_stopped()
    assert trials(study) == trials(quiet)
    assert logged(study) == Counter(phase for phase, *_ in trials(quiet).elements())
    assert note(url).startswith("**With both tuned, ")

    own_server.stop()  # and loses its database, which the finished study does not notice
    shared.place_stores(own_server.folder, "mlflow.db")
    own_server.start()
    study.finish()
    assert not study.runs()
    total = len(study.records())
    assert f"logged {total} of {total} trials" in study.sync()
    study.finish()
    study.assert_whole()
    assert logged(study) == Counter(phase for phase, *_ in trials(quiet).elements())
    for phase in ALL:
        faults(KILL, 1, moment=PHASE_WORDS[phase], store="PostgreSQL")
    faults("PostgreSQL restarted", len(ALL))
    faults("MLflow's server down", len(ALL))
    faults("MLflow's database lost", 1)
    faults("Ctrl-C while MLflow's server is down", len(ALL), UNSAVED)


def logged(study: Survivor) -> Counter[str]:
    """How many finished runs of trials MLflow has of each phase."""
    finished = [run.data.tags for run in study.runs() if run.info.status == "FINISHED"]
    return Counter(tags["normsweep.phase"] for tags in finished if "normsweep.trial" in tags)


def note(storage: str) -> str:
    """The study's note in Optuna's dashboard."""
    from optuna_dashboard import get_note

    return get_note(optuna.load_study(storage=storage, study_name="survivor"))
