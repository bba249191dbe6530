"""The built wheel, installed outside the repository, and a plug-in in a package of its own."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

ROOT = Path(__file__).parent.parent

PACKAGE = ROOT / "examples" / "plugin_package"


class Place:
    """A folder outside the repository, and a Python there that has the wheel."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.python = folder, folder / "venv" / "bin" / "python"
        venv.create(folder / "venv", symlinks=True)
        (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
        # The packages that normsweep needs; a path from a .pth brings no editable install.
        (site / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def run(self, *arguments: str, status: int = 0) -> str:
        hidden = ("PYTHONPATH", "NORMSWEEP_DATA")
        environment = {k: v for k, v in os.environ.items() if k not in hidden}
        done = subprocess.run(
            [str(self.python), *arguments], cwd=self.folder, env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert done.returncode == status, done.stdout
        return done.stdout


def build(source: Path, folder: Path) -> Path:
    """The wheel of a project, built without a network."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return max(folder.glob("*.whl"), key=lambda path: path.stat().st_mtime_ns)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def place(tmp_path_factory, wheel) -> Place:
    made = Place(tmp_path_factory.mktemp("outside"))
    wheels = [str(wheel), str(build(PACKAGE, made.folder))]
    pip = [sys.executable, "-m", "pip", "--python", str(made.python), "install", "--quiet"]
    done = subprocess.run(
        [*pip, "--no-deps", "--no-index", *wheels], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return made


def test_the_wheel_holds_the_sweeps_and_the_types(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    shipped = {path.name for path in (ROOT / "sweeps").glob("*.toml")}
    assert {
        name.split("/")[-1] for name in names if name.startswith("normsweep/sweeps/")
    } == shipped
    assert {"normsweep/py.typed", "normsweep/testing.py", "normsweep/api.py"} <= set(names)


def test_a_shipped_sweep_is_planned_in_any_folder(place):
    home = place.run("-c", "import normsweep; print(normsweep.__file__)")
    assert home.startswith(str(place.folder))
    said = place.run("-m", "normsweep.study", "quickstart", "--dry-run", "--no-estimate")
    assert "study     quickstart" in said


CHANGES = [
    word
    for change in (
        'search.space.normalization=["percentile", "unit"]', "model.name=mlp",
        "search.space.epochs=[1, 2]", "confirm.epochs=2", "confirm.baseline.epochs=1",
    )
    for word in ("--set", change)
]  # fmt: skip


def test_a_package_brings_parts_by_its_entry_point(place):
    normsweep = str(place.python.parent / "normsweep")
    listed = place.run(normsweep, "list", "parts")
    assert "  percentile          Divided by the 75th percentile of" in listed
    assert " [example_parts.schemes]" in listed
    said = place.run(normsweep, "check", "quickstart", *CHANGES)
    assert "2 by normalization: percentile, unit" in said


@pytest.mark.slow
def test_a_study_searches_over_the_part_of_a_package(place):
    options = ["--phase", "search", "--n-trials", "2", "--device", "cpu"]
    said = place.run("-m", "normsweep.study", "quickstart", *options, *CHANGES)
    assert "2/2 trial 1 " in said
    assert "percentile" in said.partition("best trial of each arm")[2]


@pytest.mark.slow
def test_its_author_tests_it_with_ours(place):
    said = place.run(
        "-m", "pytest", "-p", "no:cacheprovider", "--import-mode=importlib", str(PACKAGE)
    )
    assert "1 passed" in said


@pytest.mark.slow
def test_a_package_that_takes_a_name_is_told(place, tmp_path):
    scheme = next(place.folder.glob("venv/lib/python*/site-packages/example_parts/schemes.py"))
    before = scheme.read_text()
    scheme.write_text(before.replace('"percentile"', '"unit"'))
    try:
        normsweep = str(place.python.parent / "normsweep")
        said = place.run(normsweep, "list", "parts", status=2).splitlines()[-1]
    finally:
        scheme.write_text(before)
    assert said.startswith(
        'normsweep: the plug-in "example_parts.schemes" of the package example-parts '
    )
    assert 'normalization "unit": already registered' in said


@pytest.mark.slow
def test_the_example_answers_in_two_minutes(place):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = place.run(str(ROOT / "examples" / "own_data.py"))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # The clock would tell of other programs too: the processor's time stands for it.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 120
    assert "With both tuned, “none” is clearly behind “standardize” by " in said
    assert (place.folder / "own-data-report" / "index.html").is_file()
