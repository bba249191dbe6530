"""The tables of docs/reliability.md are counted from what pytest wrote, and from nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.reliability import KILL, PAGE, collected, faults_tables, kinds_table, placed, read_run

CONFTEST = "from tests.conftest import faults, pytest_runtest_makereport\n"
TESTS = f"""
import pytest
from hypothesis import given, strategies

def test_a(faults):
    faults({KILL!r}, 3, moment="search", store="SQLite")
    faults("disk full", 2)

@pytest.mark.parametrize("store", ["SQLite", "Ray"])
def test_b(faults, store):
    faults({KILL!r}, 4, moment="report", store=store)
    faults("worker killed", 5, "its trial")

def test_c(faults):
    faults("disk full", 100)
    pytest.skip("not here")

@given(strategies.integers())
def test_d(number):
    assert number == number

def test_e(faults):
    faults("disk full", 1)
    assert False
"""


def written(folder: Path, tests: str) -> Path:
    """The JUnit file of a run of pytest over these tests."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(tests)
    file = folder / "it.xml"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--rootdir={folder}"]
    root = str(Path(__file__).parents[1])
    ini = ["-o", f"pythonpath={root}", "-o", "junit_family=xunit1", f"--junitxml={file}"]
    subprocess.run([*command, *ini, folder], cwd=folder, capture_output=True, check=False)
    return file


def test_what_passed_is_counted_by_moment_store_and_kind_and_what_failed_is_named(tmp_path):
    ran = read_run([written(tmp_path, TESTS)])
    assert ran.tests == 4
    (inputs,) = ran.properties
    assert inputs > 10
    text = faults_tables(ran, "make soak")
    for row in (
        "| search | 3 |  |  |",
        "| report | 4 |  | 4 |",
        "| in all | 7 | 0 | 4 |",
        "| disk full | 2 | nothing | `test_a` |",
        "| worker killed | 10 | its trial | `test_b` |",
        "the driver was killed 11 times, and there were 12 other faults. Lost by the kills: nothing.",
        "Failed, and not counted: `test_e`.",
    ):
        assert row in text, text


def test_the_page_has_the_number_of_tests_of_each_kind():
    begin, end = "<!-- kinds -->\n", "\n<!-- end of kinds -->"
    stated = PAGE.read_text().partition(begin)[2].partition(end)[0]
    assert stated == kinds_table(collected()), "run: python -m tests.reliability kinds"


def test_a_table_takes_the_place_between_its_markers():
    page = "a\n<!-- faults -->\nold\n<!-- end of faults -->\nb"
    assert placed(page, "faults", "new") == "a\n<!-- faults -->\nnew\n<!-- end of faults -->\nb"
    with pytest.raises(ValueError, match="are not on the page"):
        placed("no markers", "faults", "new")
