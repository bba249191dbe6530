"""What the docs state is what the code does."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest

import normsweep
from normsweep.analysis import arms_table, epochs_table, trials_table
from normsweep.analysis.questions import COLUMNS as VERDICT
from normsweep.parts import catalog
from normsweep.spec import Record, load_sweep, shipped_sweeps

ROOT = Path(__file__).parent.parent
COLUMNS = (ROOT / "docs" / "columns.md").read_text()


@pytest.fixture
def records(record) -> list[Record]:
    return [record()]


@pytest.mark.parametrize("name", ["trials", "epochs", "arms", "verdict"])
def test_every_column_is_stated(records, name):
    section = re.search(rf"^## {name}$(.*?)(?=^## |\Z)", COLUMNS, re.M | re.S)
    assert section
    stated = set(re.findall(r"`([a-z_]+)`", section.group(1)))
    table = {
        "trials": trials_table(records),
        "epochs": epochs_table(records),
        "arms": arms_table(records, ["unit"]),
        "verdict": pd.DataFrame(columns=VERDICT),
    }[name]
    assert set(table.columns) <= stated


def test_the_documented_sweep_file_is_legal(tmp_path):
    block = re.search(r"```toml\n(.*?)```", (ROOT / "docs" / "sweep-files.md").read_text(), re.S)
    assert block
    path = tmp_path / "mine.toml"
    path.write_text(block.group(1))
    sweep = load_sweep(path, catalog())
    stated = tomllib.loads(block.group(1))
    for section in ("data", "model", "search", "confirm", "execution"):
        assert set(stated[section]) == set(type(getattr(sweep, section)).model_fields)
    assert set(stated) == set(type(sweep).model_fields)


def test_every_shipped_sweep_says_its_command_its_cost_and_what_was_found():
    for name, path in shipped_sweeps().items():
        head = path.read_text().partition("\nname")[0]
        command = "python -m normsweep.study" + ("" if name == "quickstart" else f" {name}")
        assert f"#     {command}\n" in head, name
        assert "# Cost: " in head, name
        assert "# Found: " in head, name


@pytest.mark.parametrize("lock", ["study", "dev", "server", "server-cuda", "uv"])
def test_a_lock_has_versions_and_hashes_and_no_address(lock):
    text = (ROOT / "requirements" / f"{lock}.txt").read_text()
    assert "://" not in text
    packages = re.findall(r"^[a-z0-9].*?(?=^\S|\Z)", text, re.M | re.S)
    assert packages
    for package in packages:
        assert re.match(r"[\w.\[\]-]+==\S+", package), package
        assert "--hash=sha256:" in package, package


def test_the_documented_parts_pass_the_documented_tests(tmp_path):
    text = (ROOT / "docs" / "plugins.md").read_text()
    parts, tests = re.findall(r"```python\n(.*?)```", text, re.S)
    (tmp_path / "my_parts.py").write_text(parts)
    (tmp_path / "test_my_parts.py").write_text(tests)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_the_documented_arguments_of_run_are_there():
    text = (ROOT / "docs" / "python.md").read_text()
    named = set(re.findall(r"`([a-z_]+)`[,)]", text)) | set(re.findall(r"run\(.*?(\w+)=", text))
    taken = set(inspect.signature(normsweep.run).parameters)
    assert {"n_trials", "timeout", "n_jobs", "executor", "device", "phase", "data"} <= named & taken
