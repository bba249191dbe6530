"""Ctrl-C and SIGTERM, at every moment of a study: it ends soon, all is recorded, the command goes on."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.runner.survival import EXECUTORS, UNSAVED, Survivor

SIGNALS = {
    "Ctrl-C": (signal.SIGINT,),
    "Ctrl-C twice": (signal.SIGINT, signal.SIGINT),
    "SIGTERM": (signal.SIGTERM,),
}
NAMES = {numbers: name for name, numbers in SIGNALS.items()}
SOON = 10.0
"""Seconds: `docker stop` kills after so many."""


EVERY = {
    f"{how}-{what}": (options, numbers)
    for how, options in EXECUTORS.items()
    for what, numbers in SIGNALS.items()
}
OFTEN = ("three processes-SIGTERM",)
"""Those of the pairs that are tried in every run of the tests."""


def assert_resumable(study: Survivor, status: int | None, numbers: tuple[int, ...]) -> None:
    assert status == 128 + numbers[0], study.output()
    said = study.output().splitlines()
    assert f"stopped by {signal.Signals(numbers[0]).name}" in said[-2]
    assert said[-1].strip().startswith("python -m normsweep.study survivor.toml --storage")
    study.assert_stopped()


@pytest.mark.parametrize(
    "pair",
    [name if name in OFTEN else pytest.param(name, marks=pytest.mark.slow) for name in EVERY],
)
def test_a_search_that_is_stopped_goes_on(tmp_path, pair, record_property, faults):
    options, numbers = EVERY[pair]
    study = Survivor(tmp_path, options=options)
    process = study.start()
    study.wait_for_trials(2, process)
    seconds = study.stop(process, *numbers)
    record_property("seconds", round(seconds, 1))
    assert seconds < SOON, study.output()
    assert_resumable(study, process.returncode, numbers)
    assert study.trials("COMPLETE") < 20
    study.finish()
    study.assert_whole()
    faults(f"{NAMES[numbers]} during the search", 1, UNSAVED)


@pytest.mark.slow
def test_a_confirmation_and_a_report_that_are_stopped_are_made_up_for(
    tmp_path, record_property, faults
):
    study = Survivor(tmp_path, options=("--n-jobs", "2"))
    process = study.start()
    study.wait_for_trials(25, process)
    seconds = study.stop(process, signal.SIGINT, group=True)
    record_property("confirmation", round(seconds, 1))
    assert seconds < SOON
    assert_resumable(study, process.returncode, (signal.SIGINT,))
    for number in (signal.SIGTERM, signal.SIGINT):
        process = study.start()
        study.wait_for_output("best trial of each arm", process)
        study.printed.write_text("")
        seconds = study.stop(process, number, group=True)
        record_property("report", round(seconds, 1))
        assert seconds < SOON
        assert_resumable(study, process.returncode, (number,))
    study.finish()
    study.assert_whole()
    faults("Ctrl-C during the confirmation", 1, UNSAVED)
    faults("Ctrl-C or SIGTERM during the report", 2)


@pytest.mark.parametrize("seconds", [0.5, 1.0, 2.0, 4.0])
@pytest.mark.slow
def test_a_start_that_is_stopped_leaves_nothing_in_the_way(
    tmp_path, seconds, record_property, faults
):
    study = Survivor(tmp_path, cold=True, options=("--n-jobs", "2"))
    process = study.start()
    time.sleep(seconds)
    number = signal.SIGINT if seconds in (0.5, 2.0) else signal.SIGTERM
    ended = study.stop(process, number)
    record_property("seconds", round(ended, 1))
    assert ended < SOON
    assert_resumable(study, process.returncode, (number,))
    study.finish()
    study.assert_whole()
    faults("Ctrl-C or SIGTERM during the start", 1)


@pytest.mark.slow
def test_a_service_that_stops_all_processes_at_once_costs_no_trial_its_retry(tmp_path, faults):
    study = Survivor(tmp_path, options=("--n-jobs", "2", "--set", "execution.retries=0"))
    process = study.start()
    study.wait_for_trials(2, process)
    for pid in study.workers():
        os.kill(pid, signal.SIGTERM)
    assert study.stop(process, signal.SIGTERM) < SOON
    assert_resumable(study, process.returncode, (signal.SIGTERM,))
    study.finish()
    study.assert_whole()
    faults("SIGTERM to the driver and its workers at once", 1, UNSAVED)
