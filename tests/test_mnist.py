"""The question on the real MNIST; many minutes on two cores, so run by `make soak`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from normsweep.store.storage import read_study


@pytest.mark.slow
def test_after_four_epochs_lenet_on_raw_pixels_is_behind(tmp_path: Path):
    if "NORMSWEEP_DATA" not in os.environ:
        pytest.skip("NORMSWEEP_DATA does not name the folder of mnist.npz")
    command = [sys.executable, "-m", "normsweep.study", "original"]
    subprocess.run(command, cwd=tmp_path, check=True)
    records = read_study(f"sqlite:///{tmp_path}/mlruns/optuna.db", "original").trials
    scores = {r.trial.arm: r.result.score for r in records if r.result}
    assert scores["unit"] >= 0.985
    assert scores["none"] < scores["unit"]
