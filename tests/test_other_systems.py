"""A study where nothing of POSIX or Linux is there for normsweep: as near to macOS and Windows as Linux comes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from normsweep.store.storage import read_study

pytestmark = pytest.mark.system

FOLDER = Path(__file__).parent / "other_systems"
SMALL = (
    "--n-jobs", "1", "--no-estimate", "--set", "model.name=mlp", "model.options={ units = 4 }", "search.trials=6",
    "search.space.epochs=2", "confirm.epochs=2", "confirm.baseline.epochs=2", "confirm.seeds=2",
)  # fmt: skip


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    paths = os.pathsep.join(map(str, (FOLDER, FOLDER.parent.parent)))
    return subprocess.Popen(
        [sys.executable, "-m", *words], cwd=folder, text=True,
        env=os.environ | {"PYTHONPATH": paths, "NORMSWEEP_OTHER_SYSTEM": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def run(folder: Path, *words: str) -> str:
    process = start(folder, *words)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return said


def test_names_that_other_systems_lack_are_not_there(tmp_path):
    """The test itself can fail: a module of the package sees none of them."""
    (tmp_path / "normsweep_reader.py").write_text(
        "import os, signal\n"
        "print(hasattr(os, 'sysconf'), hasattr(signal, 'SIGKILL'))\n"
        "try:\n    open('/proc/cpuinfo')\nexcept FileNotFoundError as error:\n    print(error.errno)\n"
        "try:\n    import fcntl\nexcept ImportError as error:\n    print(error.name)\n"
    )
    inside = "exec(open('normsweep_reader.py').read(), {'__name__': 'normsweep.reader'})"
    (tmp_path / "outside.py").write_text(
        f"import fcntl, os\nos.sysconf\nopen('/proc/cpuinfo')\n{inside}\n"
    )
    assert run(tmp_path, "outside").splitlines() == ["False False", "2", "fcntl"]


def test_a_study_is_run_stopped_resumed_exported_and_reported(tmp_path):
    study = start(tmp_path, "normsweep.study", "quickstart", *SMALL)
    storage = f"sqlite:///{tmp_path}/mlruns/optuna.db"
    deadline = time.monotonic() + 200
    while not ended(storage):
        assert study.poll() is None, study.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.2)
    study.send_signal(signal.SIGINT)
    said, _ = study.communicate(timeout=60)
    assert study.returncode == 130, said
    assert ended(storage) < 6
    said = run(tmp_path, "normsweep.study", "quickstart", *SMALL)
    assert "With both tuned" in said
    assert ended(storage) >= 6
    assert "| arm" in run(tmp_path, "normsweep.export", "best", "--format", "markdown")
    run(tmp_path, "normsweep.report", "--study-name", "quickstart")
    assert (tmp_path / "mlruns/reports/quickstart/index.html").stat().st_size


def ended(storage: str) -> int:
    """How many trials of the search have ended."""
    if not Path(storage.removeprefix("sqlite:///")).exists():
        return 0
    try:
        trials = read_study(storage, "quickstart").trials
    except Exception:  # the study is not there yet
        return 0
    return sum(t.result is not None and t.result.status.scored for t in trials)
