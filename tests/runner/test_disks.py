"""A disk that is full, at every moment of a study: an error that says so, and nothing lost."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runner.survival import Survivor

MIB = 2**20
SIZE = 24 * MIB
MOMENTS = (0, 1, 3, 5, 9, 14, 19, 21, 30)
"""Trials that are complete when the disk fills up; with the one of every run, ten. From 20 on it is the confirmation."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder that is a small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = f"mount -t tmpfs -o size={SIZE} tmpfs {folder}"
    if subprocess.run(mount.split(), capture_output=True, check=False).returncode == 0:
        yield folder
        subprocess.run(["umount", "-l", str(folder)], check=True)
        return
    # Without the right to mount, in a namespace of a process of ours, reached by way of /proc.
    command = ["unshare", "-rm", "sh", "-c", f"{mount} && echo mounted && exec sleep 1000"]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert holder.stdout is not None
    said = holder.stdout.readline().strip()
    if said == "mounted":
        yield Path(f"/proc/{holder.pid}/root{folder}")
    holder.kill()
    holder.wait()
    if said != "mounted":
        pytest.skip(f"no file system can be mounted here: {said}")


class Filler:
    """Takes all room of a disk, and gives it back."""

    def __init__(self, disk: Path) -> None:
        self._file, self._folder = disk / "filler", disk

    def fill(self) -> None:
        """Leave no byte, not even where something is deleted meanwhile."""
        with self._file.open("ab", buffering=0) as filler:
            for size in (MIB, 4096, 1):
                try:
                    while True:
                        filler.write(bytes(size))
                except OSError:
                    continue

    def empty(self) -> None:
        self._file.unlink()


def filled_until_end(filler: Filler, process: subprocess.Popen[bytes]) -> None:
    """Keep the disk full until the command ends, then make room."""
    deadline = time.monotonic() + 120
    while process.poll() is None:
        assert time.monotonic() < deadline
        filler.fill()
        time.sleep(0.05)
    filler.empty()
    assert process.returncode == 1


def assert_told(study: Survivor, *words: str) -> None:
    said = study.output()
    assert "Traceback" not in said, said
    for word in words:
        assert word in said, said
    deadline = time.monotonic() + 5
    while study.processes():
        assert time.monotonic() < deadline, study.processes()
        time.sleep(0.1)


def assert_resumes(study: Survivor) -> None:
    before = {r.trial.number: r.result for r in study.records() if r.result and r.result.curve}
    study.finish()
    after = {r.trial.number: r.result for r in study.records()}
    assert all(after[number] == result for number, result in before.items())
    study.assert_whole()
    study.assert_stopped()


@pytest.mark.parametrize(
    "trials", [*(pytest.param(n, marks=pytest.mark.slow) for n in MOMENTS), 25]
)
def test_a_disk_that_fills_up_stops_the_study_with_a_word(disk, trials, faults):
    study = Survivor(disk, options=("--n-jobs", "2"))
    process = study.start()
    if trials:
        study.wait_for_trials(trials, process)
    else:
        study.wait_for(lambda: bool(study.trials()), process)
    filled_until_end(Filler(disk), process)
    assert_told(
        study, "cannot be read or written", "database or disk is full", "run the command again"
    )
    assert_resumes(study)
    faults("disk of the storage full", 1)


MLP = ("--set", "model={ name = 'mlp', options = { units = 8 } }")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "options", "words"),
    [
        ("reports", (), ["reports/survivor: the report cannot be written: No space left"]),
        (
            "artifacts",
            (),
            ["trial 0 could not be logged to MLflow", "No space left", "normsweep sync"],
        ),
        ("checkpoints", MLP, [".npz: cannot be written: No space left"]),
    ],
)
def test_a_folder_on_a_full_disk_is_named(disk, tmp_path, part, options, words, faults):
    home = tmp_path / "home"
    (home / "mlruns").mkdir(parents=True)
    (disk / part).mkdir()
    (home / "mlruns" / part).symlink_to(disk / part)
    study = Survivor(home, options=("--n-jobs", "2", *options))
    filler = Filler(disk)
    filler.fill()
    filled_until_end(filler, study.start())
    assert_told(study, *words)
    assert_resumes(study)
    faults(f"disk of {part} full", 1)


@pytest.mark.slow
def test_training_goes_on_while_mlflows_disk_is_full(disk, tmp_path, faults):
    home = tmp_path / "home"
    home.mkdir()
    study = Survivor(home, tracking=f"sqlite:///{disk}/mlflow.db", options=("--n-jobs", "2"))
    process = study.start()
    study.wait_for_trials(2, process)
    filled_until_end(Filler(disk), process)
    assert_told(study, "database or disk is full", "not yet logged to MLflow: ", "normsweep sync")
    assert study.trials("COMPLETE") > 20
    assert_resumes(study)
    faults("disk of MLflow's database full", 1)
