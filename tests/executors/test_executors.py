from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from normsweep.errors import DataError, StudyStopped, SweepError
from normsweep.executors.inline import Inline
from normsweep.executors.processes import Processes
from normsweep.executors.protocol import Event, Executor, Reply, WorkerOptions
from normsweep.executors.ray_actor import SupervisorSlot
from normsweep.executors.ray_connection import TrialResources
from normsweep.executors.ray_executor import Cluster
from normsweep.executors.worker_handle import Worker
from normsweep.sweep.trial import DataKey, Epoch, Result, Status, Trial
from normsweep.training.engine import Engine, Finished
from normsweep.training.reproducibility import environment

pytestmark = pytest.mark.system

MakeExecutor = Callable[..., Executor]


@pytest.fixture(params=["inline", "processes", "ray"])
def make(request, digits_root: Path, digits_key: DataKey) -> Iterator[MakeExecutor]:
    made: list[Executor] = []

    def executor(**options) -> Executor:
        place = WorkerOptions(digits_root, "cpu", 2, **{"trained": False, **options})
        if request.param == "inline":
            made.append(Inline(place))
        elif request.param == "processes":
            made.append(Processes(place))
        else:
            address = request.getfixturevalue("two_nodes").address
            made.append(Cluster(place, address=address, jobs=1, resources=TrialResources(1, None)))
        made[-1].provide(digits_key.digest)
        return made[-1]

    yield executor
    for executor_made in made:
        executor_made.close()


@pytest.fixture
def processes(digits_root: Path) -> Iterator[Processes]:
    executor = Processes(WorkerOptions(digits_root, "cpu", 2, trained=False))
    yield executor
    executor.close()


@pytest.fixture
def trial(digits_key: DataKey) -> Trial:
    return Trial(
        number=5, arm="unit", slot=0, seed=3, data=digits_key, model="synthetic", model_options={},
        normalization="unit", optimizer="adam", optimizer_options={}, learning_rate=0.001,
        batch_size=64, epochs=4,
    )  # fmt: skip


def slow(trial: Trial, seconds: float = 0.2, epochs: int = 500) -> Trial:
    return replace(trial, model_options={"seconds": seconds}, epochs=epochs)


def until_finished(executor: Executor, events: list[Event] | None = None) -> Result:
    seen = events if events is not None else []
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for event in executor.poll(1.0):
            seen.append(event)
            if isinstance(event, Finished):
                return event.result
    raise AssertionError("the trial did not end within a minute")


def until_complete(executor: Executor, trial: Trial) -> None:
    """Run the trial again where a busy machine takes it beyond the time limit."""
    deadline, status = time.monotonic() + 60, None
    while status is not Status.COMPLETE:
        assert time.monotonic() < deadline
        executor.submit(trial)
        status = until_finished(executor).status


def until_first_epoch(executor: Executor) -> None:
    deadline = time.monotonic() + 60
    while not any(isinstance(event, Epoch) for event in executor.poll(1.0)):
        assert time.monotonic() < deadline


def worker_of(executor: Processes) -> int:
    return executor.call(_pid)


def _pid(engine: Engine) -> int:
    return os.getpid()


def _plots(engine: Engine) -> tuple[bool, bool]:
    """Whether matplotlib was imported, and whether it can be."""
    before = "matplotlib" in sys.modules
    import matplotlib

    return before, bool(matplotlib.__version__)


def _fails(engine: Engine) -> None:
    raise ValueError("an accident in a worker")


def _refuses(engine: Engine) -> None:
    raise DataError(["one thing", "another thing"])


def _exits(engine: Engine) -> None:
    os.write(2, b"the last words of a worker\n")
    os._exit(7)


def _late(engine: Engine, seconds: float) -> str:
    time.sleep(seconds)
    return "late"


def _leaves_a_child(engine: Engine, folder: Path) -> None:
    _child(folder)
    os._exit(7)


def _child(folder: Path) -> None:
    child = subprocess.Popen(["sleep", "600"])
    (folder / "child").write_text(str(child.pid))


def _has_a_child(engine: Engine, folder: Path) -> None:
    _child(folder)


def _prints(engine: Engine) -> int:
    print("noise on standard output", flush=True)
    subprocess.run(["echo", "noise of a child"], check=True)
    return 3


def test_epochs_come_in_order_and_then_one_result(make, trial):
    executor, events = make(), []
    executor.submit(trial)
    result = until_finished(executor, events)
    assert result.status is Status.COMPLETE
    assert [e.epoch for e in events[:-1] if isinstance(e, Epoch)] == [1, 2, 3, 4]
    assert result.curve == tuple(events[:-1])
    assert executor.poll(0.0) == []


def test_trials_run_one_after_another(make, trial):
    executor = make()
    for number in range(3):
        executor.submit(replace(trial, number=number))
        assert until_finished(executor).trial == number


def test_a_cancelled_trial_ends_as_interrupted_with_its_epochs(make, trial):
    executor = make()
    executor.submit(slow(trial, 0.05))
    until_first_epoch(executor)
    executor.cancel(trial.number)
    result = until_finished(executor)
    assert result.status is Status.INTERRUPTED
    assert result.curve[0].epoch == 1
    executor.submit(trial)
    assert until_finished(executor).status is Status.COMPLETE


def test_a_trial_beyond_its_time_is_recorded_as_timed_out(make, trial):
    executor = make(trial_timeout=1.5)
    executor.submit(slow(trial, 0.1))
    result = until_finished(executor)
    assert result.status is Status.TIMED_OUT
    assert "exceeded 1.5 s" in result.error
    assert result.curve
    until_complete(executor, trial)


def test_a_trial_that_asks_waits_for_its_reply(make, trial):
    executor = make(awaits_reply=True)
    executor.submit(trial)
    until_first_epoch(executor)
    executor.reply(trial.number, False)
    result = until_finished(executor)
    assert (result.status, len(result.curve)) == (Status.PRUNED, 1)


def test_a_mistake_found_where_trials_run_reaches_the_caller(make):
    with pytest.raises(DataError) as caught:
        make().call(_refuses)
    assert caught.value.lines == ("one thing", "another thing")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_worker_that_dies_costs_its_own_trial_only(processes, trial, number):
    victim = worker_of(processes)
    processes.submit(slow(trial))
    until_first_epoch(processes)
    os.kill(victim, number)
    result = until_finished(processes)
    assert result.status is Status.CRASHED
    assert f"killed by {number.name}" in result.error
    assert [e.epoch for e in result.curve][:1] == [1]
    processes.submit(trial)
    assert until_finished(processes).status is Status.COMPLETE
    assert worker_of(processes) != victim


def test_a_worker_that_stops_answering_is_killed_at_the_time_limit(digits_root, trial):
    executor = Processes(WorkerOptions(digits_root, "cpu", 2, trial_timeout=3.0, trained=False))
    try:
        victim = worker_of(executor)
        executor.submit(slow(trial))
        until_first_epoch(executor)
        os.kill(victim, signal.SIGSTOP)
        assert until_finished(executor).status is Status.TIMED_OUT
        with pytest.raises(ProcessLookupError):
            os.kill(victim, 0)
    finally:
        executor.close()


def test_the_end_of_what_a_lost_worker_printed_is_kept(processes):
    with pytest.raises(StudyStopped, match=r"exit status 7\nthe last words of a worker"):
        processes.call(_exits)
    assert processes.call(_pid) > 0


def test_a_worker_that_ended_by_itself_leaves_no_child_behind(processes, tmp_path):
    with pytest.raises(StudyStopped, match="exit status 7"):
        processes.call(_leaves_a_child, tmp_path)
    assert not _alive(int((tmp_path / "child").read_text()))


def test_a_killed_worker_leaves_no_child_behind(processes, tmp_path, trial):
    processes.call(_has_a_child, tmp_path)
    processes.submit(slow(trial))
    until_first_epoch(processes)
    child = int((tmp_path / "child").read_text())
    assert _alive(child)
    processes.cancel(trial.number)
    assert not _alive(child)


def test_a_call_that_hangs_ends_with_an_error_and_its_worker(make, monkeypatch):
    executor = make()
    if isinstance(executor, Inline):
        pytest.skip("in this process a call cannot be ended")
    assert executor.call(_late, 0.0) == "late"  # the worker is there
    for module in ("processes", "ray_executor"):
        monkeypatch.setattr(f"normsweep.executors.{module}.CALL_TIMEOUT", 1.0)
    began = time.monotonic()
    with pytest.raises(StudyStopped, match="within 1 s"):
        executor.call(_late, 60.0)
    assert time.monotonic() - began < 20


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_a_call_whose_answer_nobody_gets_later(make):
    executor = make()
    if isinstance(executor, Inline):
        pytest.skip("what Python runs is interrupted where it is")
    assert executor.call(_late, 0.0) == "late"  # the worker is there
    main, began = threading.main_thread().ident, time.monotonic()
    threading.Timer(0.5, signal.pthread_kill, [main, signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        executor.call(_late, 3.0)
    assert time.monotonic() - began < 2.9
    assert executor.call(_pid) > 0


def all_finished(executor: Executor, count: int) -> dict[int, Result]:
    """The results of so many trials, each of which is told to go on."""
    ends: dict[int, Result] = {}
    deadline = time.monotonic() + 60
    while len(ends) < count:
        assert time.monotonic() < deadline, ends
        for event in executor.poll(1.0):
            if isinstance(event, Finished):
                ends[event.result.trial] = event.result
            elif isinstance(event, Epoch):
                executor.reply(event.trial, True)
    return ends


def submit(executor: Executor, trial: Trial, *numbers: int) -> None:
    for number in numbers:
        executor.submit(replace(trial, number=number, seed=number))


@pytest.fixture
def together(make) -> Executor:
    """A worker may have four trials at once."""
    executor = make(stack=4, awaits_reply=True)
    if isinstance(executor, Inline):
        pytest.skip("it has one trial at a time")
    return executor


def test_a_trial_that_breaks_its_worker_again_holds_up_none_that_waits(digits_root, trial):
    """They are tried one by one, and no other trial is submitted that would set them going."""
    executor = Processes(WorkerOptions(digits_root, "cpu", 2, trained=False, stack=4))
    try:
        for count in (3, 1):  # lost with all of them, and then with the one that is tried first
            submit(executor, slow(trial, 0.1, epochs=10), 1, 2, 3)
            until_first_epoch(executor)
            worker = executor._workers[0]
            assert worker is not None
            os.kill(worker.pid, signal.SIGKILL)
            ends = all_finished(executor, 3)
            statuses = [end.status for end in ends.values()]
            if count == 3:
                assert statuses == [Status.INTERRUPTED] * 3
        assert sorted(statuses) == [Status.COMPLETE, Status.COMPLETE, Status.CRASHED]
    finally:
        executor.close()


def test_a_call_does_not_wait_for_a_trial_that_waits_for_the_driver(together, trial):
    submit(together, slow(trial, 0.05, epochs=3), 1)
    until_first_epoch(together)
    began = time.monotonic()
    with pytest.raises(StudyStopped, match="busy"):
        together.call(_pid)
    assert time.monotonic() - began < 30
    together.reply(1, True)
    assert all_finished(together, 1)[1].status is Status.COMPLETE
    assert together.call(_pid) > 0


def test_a_call_waits_for_no_trial_that_has_not_begun(make, trial):
    executor = make(stack=4)
    if not isinstance(executor, Processes):
        pytest.skip("it has one trial at a time, or answers when it has none")
    submit(executor, slow(trial, 0.1, epochs=4), 1, 2, 3, 4)
    until_first_epoch(executor)
    executor.call(_pid)
    assert list(executor._busy())


def test_the_time_limit_of_a_trial_begins_when_it_does(make, trial):
    executor = make(stack=4, trial_timeout=3.0)
    if isinstance(executor, Inline):
        pytest.skip("it has one trial at a time")
    submit(executor, slow(trial, 0.4, epochs=3), 1, 2, 3, 4)
    ends = all_finished(executor, 4)
    assert {end.status for end in ends.values()} == {Status.COMPLETE}


def test_a_trial_for_which_no_process_can_be_started_is_not_trained_later(
    processes, trial, monkeypatch
):
    processes.call(_pid)
    processes._discard(processes._workers[0])
    with monkeypatch.context() as patch:
        patch.setattr(Processes, "_start", _cannot_start)
        with pytest.raises(OSError, match="no process"):
            processes.submit(replace(trial, number=1))
    assert processes.free
    processes.submit(replace(trial, number=2))
    events: list[Event] = []
    assert until_finished(processes, events).trial == 2
    assert {event.trial for event in events if isinstance(event, Epoch)} == {2}


def _cannot_start(executor: Processes, slot: int) -> Worker:
    raise OSError("no process can be started")


def test_a_trial_that_does_not_ask_is_sent_no_answer(make, trial, monkeypatch):
    sent: list[object] = []
    monkeypatch.setattr(Worker, "send", _recorded(Worker.send, sent))
    monkeypatch.setattr(SupervisorSlot, "reply", _recorded(SupervisorSlot.reply, sent))
    executor = make()
    executor.submit(slow(trial, 0.3, epochs=6))
    told: list[Event] = []
    while not any(isinstance(event, Finished) for event in told):
        told += (events := executor.poll(1.0))
        for event in events:
            if isinstance(event, Epoch):
                executor.reply(event.trial, True)
    assert not [message for message in sent if isinstance(message, Reply | bool)]


def _recorded(method: Callable[..., None], sent: list[object]) -> Callable[..., None]:
    def recording(self: object, message: object, *more: object) -> None:
        sent.extend((message, *more))
        method(self, message, *more)

    return recording


def test_an_accident_in_a_call_tells_where_it_was(processes):
    with pytest.raises(StudyStopped, match="an accident in a worker"):
        processes.call(_fails)


def test_what_is_printed_does_not_get_into_the_messages(processes, capfd):
    assert processes.call(_prints) == 3
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_a_signal_stops_is_left_to_the_driver(processes, trial, number):
    os.kill(worker_of(processes), number)
    processes.submit(trial)
    assert until_finished(processes).status is Status.COMPLETE


def test_no_worker_outlives_a_killed_driver(digits_root, trial, tmp_path):
    code = f"""
import os, pathlib, signal
from normsweep.executors.processes import Processes
from normsweep.executors.protocol import WorkerOptions
from normsweep.sweep.trial import Trial
executor = Processes(WorkerOptions(pathlib.Path({str(digits_root)!r}), "cpu", 1, trained=False))
executor.submit(Trial.from_json(pathlib.Path({str(tmp_path / "trial")!r}).read_text()))
while not executor.poll(1.0): pass
print(executor._workers[0].pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    (tmp_path / "trial").write_text(slow(trial).to_json())
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    worker, deadline = int(done.stdout), time.monotonic() + 10
    while _alive(worker):
        assert time.monotonic() < deadline, "the worker outlived its driver by ten seconds"
        time.sleep(0.1)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_real_training_gives_the_same_bits_in_a_worker_and_here(digits_root, trial):
    real = replace(trial, model="mlp", model_options={"units": 8, "layers": 1}, epochs=2)
    curves = []
    options = WorkerOptions(digits_root, "cpu", 2)
    for executor in (Processes(options), Inline(options)):
        executor.submit(real)
        result = until_finished(executor)
        assert result.status is Status.COMPLETE, result.error
        curves.append([(e.train_loss, e.val_loss, e.val_accuracy) for e in result.curve])
        if isinstance(executor, Processes):
            assert executor.call(_plots) == (False, True), "only what training needs is imported"
        executor.close()
    assert curves[0] == curves[1]


def test_inline_puts_the_environment_back(digits_root, trial, tmp_path):
    real = replace(trial, model="mlp", model_options={"units": 4, "layers": 1}, epochs=1)
    (tmp_path / "trial").write_text(real.to_json())
    code = f"""
import os, pathlib
mine = {{"TF_CPP_MIN_LOG_LEVEL": "1", "OMP_NUM_THREADS": "7"}}
os.environ.update(mine)
before = dict(os.environ)
from normsweep.executors.inline import Inline
from normsweep.executors.protocol import WorkerOptions
from normsweep.sweep.trial import Trial
from normsweep.training.reproducibility import environment
assert dict(os.environ) == before, "changed at import"
executor = Inline(WorkerOptions(pathlib.Path({str(digits_root)!r}), "cpu", 1))
assert os.environ["CUDA_VISIBLE_DEVICES"] == "-1"
executor.submit(Trial.from_json(pathlib.Path({str(tmp_path / "trial")!r}).read_text()))
events = []
while not events or not hasattr(events[-1], "result"):
    events += executor.poll(1.0)
result = events[-1].result
assert result.machine["threads"] == "1", result
executor.close()
for name in environment("cpu", 1):
    assert os.environ.get(name) == before.get(name), name
"""
    clean = {name: value for name, value in os.environ.items() if name not in environment("cpu", 1)}
    subprocess.run([sys.executable, "-c", code], check=True, env=clean)


def test_inline_says_that_it_cannot_limit_memory(digits_root):
    with pytest.raises(
        SweepError,
        match=r"--executor: inline cannot limit memory, got execution.trial_memory = 4; use",
    ):
        Inline(WorkerOptions(digits_root, "cpu", 1, trial_memory=4.0))


def test_a_worker_has_the_trials_of_a_stack(make, trial):
    executor = make(stack=2)
    if isinstance(executor, Inline):
        pytest.skip("trains one trial at a time")
    one, two = slow(trial, 0.05, epochs=3), replace(slow(trial, 0.05, epochs=3), number=6, seed=4)
    other = replace(one, number=7, optimizer="sgd")
    executor.submit(one)
    assert executor.free
    executor.submit(other)
    assert executor.free, "it is of another structure"
    executor.submit(two)
    assert not executor.free
    seen: list[Event] = []
    while len([event for event in seen if isinstance(event, Finished)]) < 3:
        seen += executor.poll(1.0)
    epochs = [(event.trial, event.epoch) for event in seen if isinstance(event, Epoch)]
    for number in (5, 6, 7):
        assert [epoch for each, epoch in epochs if each == number] == [1, 2, 3]
    assert executor.free


def test_what_is_stopped_with_others_is_stopped_for_all(make, trial):
    executor = make(stack=4)
    if isinstance(executor, Inline):
        pytest.skip("trains one trial at a time")
    trials = [replace(slow(trial), number=number) for number in (1, 2, 3)]
    for each in trials:
        executor.submit(each)
    until_first_epoch(executor)
    executor.cancel(1)
    ends: list[Result] = []
    while len(ends) < 3:
        ends += [event.result for event in executor.poll(1.0) if isinstance(event, Finished)]
    assert {end.status for end in ends} == {Status.INTERRUPTED}
    assert sorted(end.trial for end in ends) == [1, 2, 3]
    executor.submit(replace(trial, number=4))
    assert until_finished(executor).status is Status.COMPLETE
