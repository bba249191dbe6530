"""The device of a study: checked at every start, and never changed unseen."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from rich.console import Console

import normsweep
from normsweep.errors import DeviceError
from normsweep.runner.prepare import device_warning
from normsweep.store.storage import read_study
from normsweep.sweep.study_record import TrialRecord
from normsweep.sweep.trial import Result, Status
from tests.conftest import make_trial
from tests.shared import place_stores

SWEEP = {
    "name": "placed",
    "question": "Where does it run?",
    "reference": "unit",
    "data": {"dataset": "digits", "train_size": 160},
    "model": {"name": "mlp", "options": {"units": 4}},
    "search": {
        "trials": 2,
        "space": {
            "normalization": ["none", "unit"],
            "learning_rate": [0.01],
            "optimizer": ["sgd"],
            "epochs": [1],
        },
    },
    "confirm": {"seeds": 2, "baseline": {"epochs": 1}},
}


@pytest.fixture
def said() -> Console:
    return Console(file=io.StringIO(), width=500)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with a study that is searched on a CPU, and yet to be confirmed; to be copied only."""
    folder = tmp_path_factory.mktemp("searched")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        place_stores(folder / "mlruns")
        go_on(phase="search")
    return folder


@pytest.fixture
def searched(made, tmp_path, monkeypatch) -> str:
    """The storage of a copy of that study."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made / "mlruns", tmp_path / "mlruns")
    return f"sqlite:///{tmp_path}/mlruns/optuna.db"


def go_on(**options) -> None:
    normsweep.run(SWEEP, **{"executor": "inline", "quiet": True, **options})


@pytest.mark.parametrize("phase", ["search", "confirm", "all"])
def test_a_device_that_is_not_there_is_refused_when_the_search_is_done(searched, phase):
    before = read_study(searched, "placed").trials
    assert not [r for r in before if r.result is None]
    with pytest.raises(
        DeviceError, match="--device: no GPU is visible to tensorflow; use --device cpu"
    ):
        go_on(phase=phase, device="gpu")
    assert read_study(searched, "placed").trials == before


def test_another_device_than_before_is_told_before_it_trains(searched, tmp_path, said):
    move_to(tmp_path / "mlruns" / "optuna.db", "GPU: NVIDIA H100")
    go_on(phase="confirm", quiet=False, console=said)
    shown = said.file.getvalue()  # type: ignore[attr-defined]
    assert "warning: --device: this command trains on CPU: " in shown
    assert "but the study has 2 trials on GPU: NVIDIA H100;" in shown
    assert shown.index("warning: --device") < shown.index("report: ")


def test_the_same_device_is_not_worth_a_word(searched, said):
    go_on(phase="search", n_trials=4, quiet=False, console=said)
    assert len(read_study(searched, "placed").trials) == 4
    assert "--device" not in said.file.getvalue()  # type: ignore[attr-defined]


def test_trials_whose_device_is_not_known_are_not_counted():
    records = [
        TrialRecord(make_trial(n), Result(n, Status.COMPLETE, machine=machine))
        for n, machine in enumerate([{}, {"device": "CPU: a"}, {"device": "CPU: b"}])
    ]
    running = TrialRecord(make_trial(3), None)
    assert device_warning({"device": "CPU: a"}, [*records[:2], running]) == ""
    assert "the study has 1 trial on CPU: b;" in device_warning({"device": "CPU: a"}, records)


def move_to(database: Path, device: str) -> None:
    """Have all trials recorded as having run on a device."""
    with sqlite3.connect(database) as connection:
        rows = connection.execute(
            "SELECT trial_user_attribute_id, value_json FROM trial_user_attributes WHERE key = 'normsweep:result'"
        ).fetchall()
        for key, text in rows:
            result = json.loads(json.loads(text))
            result["machine"]["device"] = device
            connection.execute(
                "UPDATE trial_user_attributes SET value_json = ? WHERE trial_user_attribute_id = ?",
                (json.dumps(json.dumps(result)), key),
            )
    connection.close()
