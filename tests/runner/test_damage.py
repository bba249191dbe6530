"""A database that is damaged in mid-study: a line, and with the backup in its place the study goes on."""

from __future__ import annotations

import os
import shutil
import signal

import pytest

from tests.runner.survival import Survivor

PAGE = 4096
DAMAGES = 10

pytestmark = pytest.mark.slow


def test_with_a_backup_a_study_whose_database_is_damaged_goes_on(tmp_path, faults):
    home = tmp_path / "home"
    home.mkdir()
    study = Survivor(home, options=("--n-jobs", "2"))
    process = study.start()
    study.wait_for_trials(8, process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    study.wait_for_end()
    stores, backup = home / "mlruns", tmp_path / "backup"
    shutil.copytree(stores, backup)
    pages = (stores / "optuna.db").stat().st_size // PAGE
    told = 0
    for damage in range(DAMAGES):
        with (stores / "optuna.db").open("r+b") as database:
            database.seek(damage * pages // DAMAGES * PAGE)
            database.write(bytes([255]) * PAGE)
        for leftover in stores.glob("optuna.db-*"):
            leftover.unlink()
        said = len(study.output())
        status = study.start().wait(timeout=300)
        printed = study.output()[said:]
        assert "Traceback" not in printed, printed
        assert status in (0, 1, 2), printed  # it may be a page that nothing reads
        told += "restore a backup" in printed
        study.wait_for_end()
        shutil.rmtree(stores)
        shutil.copytree(backup, stores)
    assert told > DAMAGES // 2
    study.finish()
    study.assert_whole()
    study.assert_stopped()
    faults("storage damaged in the middle", DAMAGES, "nothing, with a backup")
