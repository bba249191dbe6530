"""A glance at a study needs neither Optuna nor a lock, and changes nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from normsweep.store.glance import Glance, glance
from normsweep.store.storage import open_study
from normsweep.sweep.study_record import Publication
from tests.search.searches import DATA, opened


def test_it_sees_the_threads_of_a_study_and_whether_it_was_published(url, sweep):
    assert glance(url, "tested") == Glance()
    store = opened(url, sweep()).store
    assert glance(url, "other") == Glance()
    open_study(url, "threaded", sweep()).begin_study(DATA, {}, threads=3)
    assert glance(url, "threaded").threads == 3
    store.note_published(Publication("0" * 64, "", True))
    assert glance(url, "tested").published
    assert not glance(url, "threaded").published


@pytest.mark.parametrize("content", [b"", b"no database"])
def test_what_it_cannot_read_is_left_to_optuna(tmp_path, content):
    (tmp_path / "x.db").write_bytes(content)
    assert glance(f"sqlite:///{tmp_path}/x.db", "tested") is None
    assert (tmp_path / "x.db").read_bytes() == content
    assert glance("postgresql+psycopg://u@h/x", "tested") is None
    assert glance(f"sqlite:///{tmp_path}/missing.db", "tested") == Glance()
    assert not (tmp_path / "missing.db").exists()


def test_workers_are_started_before_anything_heavy_is_imported():
    code = (
        "import sys; import normsweep.study, normsweep.parts.catalog, normsweep.runner.workers\n"
        "heavy = {'optuna', 'sqlalchemy', 'mlflow', 'pandas', 'scipy', 'rich', 'sklearn', 'keras'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "import normsweep.executors.worker\n"
        "print(*sorted(heavy & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True
    )
    assert done.stdout.strip() == ""
