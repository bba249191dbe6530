from pathlib import Path

import numpy as np
import pytest

from normsweep.driver.checkpoints import Checkpoints
from normsweep.training import ModelState

STATE = ModelState((np.zeros(2),), (np.ones(1),))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for checkpoints that is a link to one with a file of the user's own."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "mnist.npz").write_text("data")
    (tmp_path / "checkpoints").symlink_to(own)
    return tmp_path / "checkpoints"


def test_only_states_of_trials_are_dropped(folder, trial):
    checkpoints, kept, other = Checkpoints(folder), trial(0), trial(1, seed=1)
    for each in (kept, other):
        checkpoints.save(each, STATE)
    checkpoints.keep_only([kept])
    assert checkpoints.load(kept) is not None
    assert checkpoints.load(other) is None
    assert (folder / "mnist.npz").read_text() == "data"


def test_a_state_is_never_unpickled(folder, trial):
    checkpoints = Checkpoints(folder)
    checkpoints.save(trial(), STATE)
    (path,) = set(folder.glob("*.npz")) - {folder / "mnist.npz"}
    np.savez(path, model_0=np.array([print], object))
    assert checkpoints.load(trial()) is None
