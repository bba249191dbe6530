from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import Future

import pytest

from normsweep.errors import Interrupted, TrackingFailed, UserError
from normsweep.runner import interrupts
from normsweep.runner.interrupts import Background, Patience, Signals


class Late(Future):
    """A job that ends just as the wait for it is over: the moment that no clock can be set to."""

    def result(self, timeout=None):
        try:
            return super().result(timeout)
        except TimeoutError:
            self.set_result("late")
            raise


def test_a_wait_that_is_over_is_an_outage_even_if_the_job_ends_at_that_moment(monkeypatch):
    monkeypatch.setattr(interrupts, "CLOSING", 0.05)
    with Background() as background:
        background.hurry()
        with pytest.raises(TrackingFailed, match="did not answer in time"):
            background.wait(Late())


def test_a_timeout_that_a_job_raises_is_its_own():
    def job() -> None:
        raise TimeoutError("of the job")

    with Background() as background:
        with pytest.raises(TimeoutError, match="of the job"):
            background.call(job)
        background.hurry()
        with pytest.raises(TimeoutError, match="of the job"):
            background.call(job)


class Recovering:
    """MLflow that fails so many times, and then answers."""

    def __init__(self, failures: int) -> None:
        self.calls, self._failures = 0, failures

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self._failures:
            raise TrackingFailed("no answer")
        return "an answer"


def test_what_fails_is_tried_again_until_it_works_or_the_time_is_up(monkeypatch):
    monkeypatch.setattr(interrupts, "PAUSE", 0.0)
    said = list[str]()
    assert Patience(60.0, said.append).call(Recovering(3)) == "an answer"
    assert said == ["MLflow: no answer; trying again for 60 s"]
    for patience, calls in ((Patience.none(), 1), (Patience(1e-9, said.append), 2)):
        job = Recovering(9)
        for _ in range(2):  # the time is that of all attempts together
            with pytest.raises(TrackingFailed):
                patience.call(job)
        assert job.calls == calls + 1


@pytest.mark.parametrize("text", ["a minute", "-1", "nan", "inf"])
def test_a_time_that_is_none_is_a_mistake(monkeypatch, text):
    monkeypatch.setenv("NORMSWEEP_MLFLOW_WAIT", text)
    with pytest.raises(UserError, match="NORMSWEEP_MLFLOW_WAIT: must be a number of seconds"):
        Patience.of_environment([].append)


def test_a_signal_ends_the_wait_for_mlflow(monkeypatch):
    monkeypatch.setattr(interrupts, "PAUSE", 0.0)
    job = Recovering(9)

    def interrupted() -> str:
        if job.calls:
            signal.raise_signal(signal.SIGINT)
        return job()

    with Signals() as signals, pytest.raises(Interrupted):
        Patience(600.0, lambda text: None).call(interrupted, signals.waiting)
    assert job.calls == 1


@pytest.fixture
def alarms():
    """What a caller's timer did; the timer is his own, and so is the handler."""
    fired: list[float] = []

    def handler(number, frame):
        fired.append(time.monotonic())

    before = signal.signal(signal.SIGALRM, handler)
    try:
        yield fired
        assert signal.getsignal(signal.SIGALRM) is handler
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def close(seconds: float, signals: int) -> None:
    """Record for so long what ran, with so many signals meanwhile."""
    with Signals() as caught, caught.closing():
        for _ in range(signals):
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(seconds)


@pytest.mark.parametrize("signals", [0, 1, 2, 3], ids=["no", "one", "two", "three"])
def test_a_callers_timer_goes_on(alarms, signals):
    signal.setitimer(signal.ITIMER_REAL, 30, 7)
    try:
        close(0.05, signals)
    except Interrupted:
        assert signals == 3
    left, interval = signal.getitimer(signal.ITIMER_REAL)
    assert 25 < left <= 30
    assert interval == 7
    assert not alarms


def test_a_callers_timer_that_would_have_fired_meanwhile_fires_afterwards(alarms):
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    close(0.2, 2)
    deadline = time.monotonic() + 5
    while not alarms:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_grace_ends_and_the_callers_timer_goes_on(alarms, monkeypatch):
    monkeypatch.setattr(interrupts, "GRACE", 0.05)
    signal.setitimer(signal.ITIMER_REAL, 30)
    with pytest.raises(Interrupted):
        close(5.0, 2)
    assert signal.getitimer(signal.ITIMER_REAL)[0] > 20
    assert not alarms


def test_without_a_timer_of_the_caller_none_is_left():
    close(0.05, 2)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_handlers_are_the_callers_again():
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)]
    close(0.0, 2)
    after = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)]
    assert after == before


def test_in_another_thread_nothing_is_changed():
    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=close, args=(0.0, 0))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is before
