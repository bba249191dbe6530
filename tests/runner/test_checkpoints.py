import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from normsweep.runner.checkpoints import GIB, Checkpoints, Curves
from normsweep.sweep.inspection import Inspection
from normsweep.sweep.study_record import TrialRecord
from normsweep.sweep.trial import Epoch, Result, Status, Tested, Trial
from normsweep.training.snapshot import ModelState, Snapshot

STATE = ModelState((np.zeros(2),), (np.ones(1),))


def snapshot(trial: Trial, epochs: int, size: int = 2) -> Snapshot:
    curve = tuple(Epoch(trial.number, e, 0.5, 0.5, 0.5, 0.5, 0.1) for e in range(1, epochs + 1))
    result = Result(trial.number, Status.INTERRUPTED, curve, chance=0.1, machine={"device": "x"})
    return Snapshot(result, ModelState((np.zeros(size),), (np.ones(1),)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for checkpoints that is a link to one with a file of the user's own."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "mnist.npz").write_text("data")
    (tmp_path / "checkpoints").symlink_to(own)
    return tmp_path / "checkpoints"


def test_what_was_seen_at_a_trainings_end_is_reused_with_its_whole_curve_alone(trial):
    """A shorter training had another network."""
    seen = Inspection(255.0, 1.0, 0.0, 0.5, 0.99, 10)
    whole = trial(0, epochs=3)
    result = replace(snapshot(whole, 3).so_far, status=Status.COMPLETE, inspection=seen)
    curves = Curves([], lambda _: {"device": "x"})
    curves.add(TrialRecord(whole, result))
    assert curves.result(trial(1, epochs=3)).inspection == seen
    assert curves.result(trial(2, epochs=2)).inspection is None


def test_a_confirmation_is_reused_only_with_the_rows_that_its_questions_read(trial):
    confirming = trial(0, epochs=2, phase="confirm", metric="mae", readings=(2,))
    so_far = replace(snapshot(confirming, 2).so_far, status=Status.COMPLETE, test_digest="t" * 64)
    rows = Tested(4, b"", 0.5, b"\1\2\3\4", 1.0), Tested(4, b"", 0.4)
    kept = [replace(e, tested=each) for e, each in zip(so_far.curve, rows, strict=True)]
    curves = Curves([], lambda _: {"device": "x"})
    curves.add(TrialRecord(confirming, replace(so_far, curve=tuple(kept))))
    assert curves.result(replace(confirming, readings=(1,))) is not None
    assert curves.result(confirming) is None


def test_only_states_of_trials_are_dropped(folder, trial):
    checkpoints, kept, other = Checkpoints(folder, 1.0), trial(0), trial(1, seed=1)
    for each in (kept, other):
        checkpoints.save(each, snapshot(each, each.epochs))
    checkpoints.keep_only([kept])
    assert checkpoints.load(kept) is not None
    assert checkpoints.load(other) is None
    assert (folder / "mnist.npz").read_text() == "data"


@pytest.mark.parametrize("spoilt", ["pickled", "cut off", "without its curve"])
def test_what_cannot_be_read_is_not_kept_and_never_unpickled(folder, trial, spoilt):
    checkpoints = Checkpoints(folder, 1.0)
    checkpoints.save(trial(), snapshot(trial(), trial().epochs))
    (path,) = set(folder.glob("*.npz")) - {folder / "mnist.npz"}
    if spoilt == "pickled":
        np.savez(path, so_far=np.array([print], object), model_0=np.array([print], object))
    elif spoilt == "cut off":
        path.write_bytes(path.read_bytes()[:100])
    else:
        np.savez(path, model_0=np.zeros(2))
    assert checkpoints.load(trial()) is None
    assert checkpoints.start(trial(epochs=9)) is None


def test_a_trial_starts_from_the_furthest_state_that_is_shorter(tmp_path, trial):
    checkpoints = Checkpoints(tmp_path, 1.0)
    assert checkpoints.start(trial(epochs=9)) is None
    for epochs in (2, 4, 9):
        checkpoints.save(trial(epochs=epochs), snapshot(trial(), epochs))
    checkpoints.save(trial(epochs=8, seed=1), snapshot(trial(), 8))
    checkpoints.save_running(trial(epochs=9), snapshot(trial(), 3))
    assert [getattr(checkpoints.start(trial(epochs=e)), "epoch", None) for e in (2, 4, 9, 12)] == [
        None, 3, 4, 9,
    ]  # fmt: skip
    checkpoints.save_running(trial(epochs=9), snapshot(trial(), 6))
    furthest = checkpoints.start(trial(epochs=9))
    assert furthest is not None
    assert (furthest.epoch, furthest.so_far.machine) == (6, {"device": "x"})
    checkpoints.drop_running(trial(epochs=9))
    assert checkpoints.start(trial(epochs=9)).epoch == 4  # type: ignore[union-attr]


def test_the_oldest_states_are_dropped_beyond_the_limit(tmp_path, trial):
    size = 100_000  # of float64
    checkpoints = Checkpoints(tmp_path, 2.5 * size * 8 / GIB)
    trials = [trial(seed=seed) for seed in range(4)]
    for age, each in enumerate(trials):
        checkpoints.save(each, snapshot(each, each.epochs, size))
        for path in tmp_path.glob(f"{each.lineage[:32]}-*"):
            os.utime(path, (age, age))
    assert [checkpoints.load(each) is not None for each in trials] == [False, False, True, True]


def test_no_state_is_kept_where_none_may_be(tmp_path, trial):
    checkpoints = Checkpoints(tmp_path, 0)
    checkpoints.save(trial(), snapshot(trial(), 4))
    assert not checkpoints.enabled
    assert not list(tmp_path.iterdir())
