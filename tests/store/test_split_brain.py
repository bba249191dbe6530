"""A driver that has lost its lock with its connection: it writes nothing into what another one runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from normsweep.errors import LockLost
from normsweep.store.locks import lock_study
from normsweep.store.storage import open_study, read_study
from normsweep.store.study_store import StudyStore
from normsweep.sweep.schema import Sweep
from normsweep.sweep.study_record import LoggedModel
from normsweep.sweep.trial import SEARCH, Epoch, Result, Status, Trial
from tests.search.searches import DATA
from tests.store.test_locks import disconnect_all
from tests.store.test_phase_studies import later

pytestmark = pytest.mark.system

EPOCH = Epoch(0, 1, 1.0, 0.5, 1.0, 0.5, 0.1)


@pytest.fixture
def driver(postgresql_url: str, sweep: Callable[..., Sweep]) -> Iterator[tuple[StudyStore, Trial]]:
    """A driver with a running trial, whose connections are cut."""
    tested = sweep()
    with lock_study(postgresql_url, tested.name) as lock:
        store = open_study(postgresql_url, tested.name, tested)
        store.fence(lock)
        store.begin_study(DATA, {})
        trial = store.begin_trial(later(tested, SEARCH))
        disconnect_all(postgresql_url)
        yield store, trial


WRITES: dict[str, Callable[[StudyStore, Trial], object]] = {
    "a new trial": lambda store, trial: store.begin_trial(replace(trial, seed=101)),
    "an epoch": lambda store, trial: store.report(trial, replace(EPOCH, trial=trial.number)),
    "a result": lambda store, trial: store.tell(trial, Result(trial.number, Status.CRASHED)),
    "an interrupted trial": lambda store, trial: store.repair(),
    "a logged run": lambda store, trial: store.note_run(trial.number, "run", "here"),
    "a plan": lambda store, trial: store.note_plan(SEARCH, 99),
    "a model": lambda store, trial: store.note_model("unit", LoggedModel("models:/other", trial.number)),
    "the notes": lambda store, trial: store.write_notes({SEARCH: "lost"}),
}  # fmt: skip


@pytest.mark.parametrize("write", WRITES)
def test_nothing_is_written_while_another_one_runs_the_study_nor_after_it(
    postgresql_url, sweep, driver, write
):
    store, trial = driver
    with lock_study(postgresql_url, sweep().name) as lock:
        other = open_study(postgresql_url, sweep().name, sweep())
        other.fence(lock)
        before = other.state(), other.record()
        with pytest.raises(LockLost, match="locked by process"):
            WRITES[write](store, trial)
        assert (other.state(), other.record()) == before
    with pytest.raises(LockLost):
        WRITES[write](store, trial)
    assert read_study(postgresql_url, sweep().name) == before[1]


def test_nothing_is_written_after_another_one_that_has_ended_before(postgresql_url, sweep, driver):
    store, trial = driver
    with lock_study(postgresql_url, sweep().name) as lock:
        other = open_study(postgresql_url, sweep().name, sweep())
        other.fence(lock)
        other.repair()
    before = read_study(postgresql_url, sweep().name)
    with pytest.raises(LockLost, match="was run by another process"):
        store.report(trial, replace(EPOCH, trial=trial.number))
    assert read_study(postgresql_url, sweep().name) == before


def test_a_driver_whose_study_nobody_took_goes_on(postgresql_url, sweep, driver):
    store, trial = driver
    store.report(trial, replace(EPOCH, trial=trial.number))
    disconnect_all(postgresql_url)
    store.tell(trial, Result(trial.number, Status.COMPLETE, (EPOCH,), chance=0.1))
    found = read_study(postgresql_url, sweep().name).trials[-1]
    assert found.trial == trial
    assert found.result is not None
    assert found.result.status is Status.COMPLETE
