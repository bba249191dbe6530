"""MLflow's server, or PostgreSQL, goes away in mid-study: for a while, for good, or hangs."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from itertools import pairwise

import pytest
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError

from normsweep.errors import TrackingFailed
from normsweep.sweep.study_record import DataFacts
from normsweep.sweep.trial import Epoch
from normsweep.tracking.tracker import TrackedStudy, Tracker
from tests.runner.survival import Survivor

pytestmark = pytest.mark.system

HANG = 30.0
SLOW_EPOCHS = ("--set", "model.options.seconds=0.2")


def pauses(study: Survivor) -> list[float]:
    """Seconds between the end of a trial and the start of the next, in a study of one worker."""
    ends = [(r.result.started, r.result.started + r.result.seconds) for r in study.records()]
    return [max(0.0, start - end) for (_, end), (start, _) in pairwise(sorted(ends))]


@pytest.mark.slow
@pytest.mark.parametrize(("seconds", "epoch"), [(2.0, 0.2), (30.0, 0.8)])
def test_a_server_that_is_away_for_a_while_is_given_everything_by_the_same_command(
    tmp_path, own_server, seconds, epoch, record_property, faults
):
    study = Survivor(
        tmp_path,
        tracking=own_server.url,
        options=("--n-jobs", "2", "--set", f"model.options.seconds={epoch}"),
    )
    process = study.start()
    study.wait_for_trials(2, process)
    own_server.stop()
    before = study.trials("COMPLETE")
    time.sleep(seconds)
    study.wait_for_trials(before + 1, process)
    meanwhile = study.trials("COMPLETE") - before
    own_server.start()
    if process.wait(timeout=300):  # it was at its end before the server was there
        assert "not yet logged to MLflow: " in study.output()
        study.finish()
    record_property("trials_meanwhile", meanwhile)
    assert "could not be logged to MLflow" in study.output()
    study.assert_whole()
    study.assert_stopped()
    faults("MLflow's server down", 1)


def test_what_a_server_that_never_comes_back_lacks_is_delivered_by_sync(
    tmp_path, own_server, record_property, faults
):
    study = Survivor(tmp_path, tracking=own_server.url, options=("--n-jobs", "2"))
    process = study.start()
    study.wait_for_trials(2, process)
    own_server.stop()
    try:
        assert process.wait(timeout=300) == 1, study.output()
    finally:
        own_server.start()
    said = study.output().splitlines()
    assert "not yet logged to MLflow: " in study.output()
    command = f"normsweep sync --study-name survivor --storage {study.storage}"
    assert said[-1].strip() == f"{command} --tracking-uri {study.tracking}"
    lacking = sum(not record.run_id for record in study.records())
    assert lacking
    assert f"logged {lacking} of {lacking} trials" in study.sync()
    assert "logged 0 of 0 trials" in study.sync()
    record_property("delivered_by_sync", lacking)
    study.assert_whole()
    study.assert_stopped()
    faults("MLflow's server down", 1)


@pytest.mark.slow
def test_a_server_that_is_back_while_the_study_waits_for_it_is_given_everything(
    tmp_path, own_server, faults
):
    study = Survivor(
        tmp_path,
        tracking=own_server.url,
        options=("--n-jobs", "2"),
        environment={"NORMSWEEP_MLFLOW_WAIT": "250"},
    )
    process = study.start()
    study.wait_for_trials(2, process)
    own_server.stop()
    try:
        while "trying again for" not in study.output():
            assert process.poll() is None, study.output()
            time.sleep(0.1)
    finally:
        own_server.start()
    assert process.wait(timeout=300) == 0, study.output()
    study.assert_whole()
    study.assert_stopped()
    faults("MLflow's server down", 1)


@pytest.mark.slow
def test_a_server_that_hangs_holds_no_training_up(tmp_path, own_server, record_property, faults):
    study = Survivor(
        tmp_path,
        tracking=own_server.url,
        options=("--set", "model.options.seconds=0.4", "search.trials=20"),
    )
    process = study.start()
    study.wait_for_trials(2, process)
    own_server.hang()
    time.sleep(HANG)
    own_server.go_on()
    assert process.wait(timeout=300) == 0, study.output()
    *others, between_phases = sorted(pauses(study))
    record_property("longest_pause", round(others[-1], 2))
    record_property("pause_between_phases", round(between_phases, 2))
    assert others[-1] < HANG
    study.assert_whole()
    study.assert_stopped()
    faults("MLflow's server hanging", 1)


@pytest.mark.slow
def test_a_server_that_is_slow_all_the_time_is_given_everything(tmp_path, own_server, faults):
    """It stands still again and again, for longer than it answers in between."""
    study = Survivor(tmp_path, tracking=own_server.url, options=("--n-jobs", "2"))
    process = study.start()
    study.wait_for_trials(1, process)
    pauses = 0
    while process.poll() is None and pauses < 20:
        own_server.hang()
        time.sleep(1.0)
        own_server.go_on()
        time.sleep(0.2)
        pauses += 1
    if process.wait(timeout=300):
        assert "not yet logged to MLflow: " in study.output()
        study.finish()
    study.assert_whole()
    study.assert_stopped()
    faults("MLflow's server slow: it stands still for 1 s again and again", pauses)


@pytest.mark.slow
def test_a_server_that_hangs_for_good_ends_the_study_with_a_word(
    tmp_path, own_server, record_property, faults
):
    study = Survivor(tmp_path, tracking=own_server.url, environment=QUICK)
    process = study.start()
    study.wait_for_trials(2, process)
    own_server.hang()
    began = time.monotonic()
    try:
        assert process.wait(timeout=300) == 1, study.output()
        record_property("seconds", round(time.monotonic() - began, 1))
    finally:
        own_server.go_on()
    assert "not yet logged to MLflow: " in study.output()
    longest = sorted(pauses(study))[-2]  # the one between the phases left out
    record_property("longest_pause", round(longest, 2))
    assert longest < float(QUICK["MLFLOW_HTTP_REQUEST_TIMEOUT"])
    study.finish()
    study.assert_whole()
    study.assert_stopped()
    faults("MLflow's server hanging", 1)


QUICK = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "4"}


def now_and_then(strike: Callable[[], None], until: subprocess.Popen[bytes], wait: float) -> None:
    """Strike at random moments, about every `wait` seconds, while a process runs."""
    dice = random.Random(5)
    while until.poll() is None:
        strike()
        time.sleep(dice.uniform(0.2 * wait, 1.8 * wait))


@pytest.mark.slow
@pytest.mark.parametrize("tracking", ["", "mlflow"])
def test_connections_that_are_dropped_now_and_then_lose_nothing(
    tmp_path, postgres, tracking, faults
):
    study = Survivor(
        tmp_path,
        storage=postgres.url("record"),
        tracking=tracking and postgres.url(tracking),
        options=("--n-jobs", "2", *SLOW_EPOCHS) if tracking else ("--n-jobs", "2"),
    )
    process = study.start()
    study.wait_for_trials(1, process)
    dropped: list[int] = []
    striking = threading.Thread(
        target=now_and_then,
        args=(lambda: dropped.append(postgres.drop_connections()), process, 0.5),
    )
    striking.start()
    status = process.wait(timeout=300)
    striking.join()
    assert sum(dropped) > 10
    if tracking:  # MLflow may lack something, and says so
        assert status in (0, 1), study.output()
        study.finish()
    else:
        assert status == 0, study.output()
    study.assert_whole()
    study.assert_stopped()
    faults("connection to PostgreSQL dropped", sum(dropped))


def test_a_driver_that_slept_while_another_one_took_over_leaves_the_study_to_it(
    tmp_path, postgres, faults
):
    """Its connections are cut as by a network, so that the server gives the lock to the other one."""
    study = Survivor(
        tmp_path, storage=postgres.url("record"), options=("--n-jobs", "1", *SLOW_EPOCHS)
    )
    first = study.start()
    study.wait_for(lambda: study.trials_at_work() > 0 and study.trials("COMPLETE") > 1, first)
    os.kill(first.pid, signal.SIGSTOP)
    assert postgres.drop_connections()
    second = study.start()
    study.wait_for(
        lambda: "is locked by" not in study.output() and study.trials("FAIL") > 0, second
    )
    before = study.trials("COMPLETE")
    os.kill(first.pid, signal.SIGCONT)
    assert first.wait(timeout=60) == 1, study.output()
    assert "the connection with the lock was lost" in study.output()
    assert second.wait(timeout=300) == 0, study.output()
    assert study.trials("COMPLETE") > before
    study.assert_whole()
    study.assert_stopped()
    faults("driver stopped, its connections cut, another one started, the first one continued", 1)


@pytest.mark.parametrize(
    "modes", [("fast",), pytest.param(("fast", "immediate") * 4, marks=pytest.mark.slow)]
)
def test_a_database_server_that_is_restarted_loses_nothing(tmp_path, postgres, modes, faults):
    options = ("--n-jobs", "2", *(SLOW_EPOCHS if len(modes) > 1 else ()))
    study = Survivor(tmp_path, storage=postgres.url("record"), options=options)
    process = study.start()
    for ended, mode in enumerate(modes, start=1):
        study.wait_for_trials(3 * ended, process)
        postgres.restart(mode)
        assert process.poll() is None
    assert process.wait(timeout=300) == 0, study.output()
    study.assert_whole()
    study.assert_stopped()
    faults("PostgreSQL restarted", len(modes))


def test_a_connection_lost_within_a_write_is_a_failure_of_mlflow_alone(postgres, tmp_path, trial):
    tracker = Tracker(postgres.url("mlflow"), TrackedStudy("study", "abc"), tmp_path)
    run_id = tracker.start(trial(), DATA)
    dropped: list[int] = []

    def strike(connection: object, cursor: object, statement: str, *others: object) -> None:
        if "latest_metrics" in statement and not dropped:
            dropped.append(postgres.drop_connections())

    event.listen(Engine, "before_cursor_execute", strike)
    try:
        with pytest.raises(TrackingFailed, match="terminating connection"):
            tracker.epochs(run_id, [Epoch(0, 1, 1.0, 0.5, 1.0, 0.5, 1.0)])
    finally:
        event.remove(Engine, "before_cursor_execute", strike)
    assert dropped
    tracker.epochs(run_id, [Epoch(0, 1, 1.0, 0.5, 1.0, 0.5, 1.0)])


DATA = DataFacts(
    name="digits", source="test", digest="d1", train_images=10, test_images=5,
    classes=10,
)  # fmt: skip


def test_unreachable_is_an_error_of_the_database(postgres):
    """What the tests above rely on: a restart does drop connections."""
    engine = create_engine(postgres.url("record"))
    with engine.connect() as connection:
        postgres.restart("fast")
        with pytest.raises(SQLAlchemyError):
            connection.execute(text("SELECT 1"))
