"""Parts of one's own: named by a sweep, listed, used; what is wrong with a plug-in is one line."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from normsweep import study
from normsweep.cli import main
from normsweep.parts.plugins import code_digest
from normsweep.parts.registry import NameTaken, Registry
from normsweep.shell import run
from normsweep.store.storage import read_study
from normsweep.sweep.trial import Status
from tests import shared

MODULE = '''
import keras
import numpy as np
from normsweep.parts import datasets, models, normalizations, optimizers
import {helper}


@normalizations.register("halved")
def halved(train):
    """Divided by two, and by a helper's number."""
    return [keras.layers.Rescaling(0.5 / {helper}.NUMBER)]


@models.register("narrow")
def narrow(input_shape, classes, *, units=4):
    """One hidden layer."""
    return keras.Sequential([
        keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dense(units),
        keras.layers.Dense(classes, activation="softmax"),
    ])


@optimizers.register("lion")
def lion(learning_rate):
    """Keras's Lion."""
    return keras.optimizers.Lion(learning_rate)


@datasets.register("stripes")
def stripes(data_dir):
    """Two classes of 4×4."""
    y = np.arange(80) % 2
    x = np.random.default_rng(0).integers(0, 99, (80, 4, 4)).astype(np.uint8)
    x[y == 1, 0] = 200
    return {{"x_train": x[:60], "y_train": y[:60], "x_test": x[60:], "y_test": y[60:]}}, "a formula"
'''
SWEEP = """
name = "plugged"
reference = "unit"
plugins = ["{plugin}"]
[data]
dataset = "stripes"
[model]
name = "narrow"
options = {{ units = 5 }}
[search]
trials = 2
[search.space]
normalization = ["halved", "unit"]
learning_rate = 0.01
optimizer = "lion"
epochs = 2
"""


@pytest.fixture
def apart(monkeypatch, tmp_path) -> Iterator[Path]:
    """A folder to work in; what is imported and registered is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    with shared.plugins_forgotten(tmp_path):
        yield tmp_path


@pytest.fixture
def plugged(tmp_path: Path) -> Path:
    """A sweep whose plug-in, and a helper of that, lie beside it; apart from where commands run."""
    folder = tmp_path / "sweeps"
    folder.mkdir()
    (folder / "striped_parts.py").write_text(MODULE.format(helper="striped_helper"))
    (folder / "striped_helper.py").write_text("NUMBER = 2\n")
    (folder / "plugged.toml").write_text(SWEEP.format(plugin="striped_parts"))
    return folder / "plugged.toml"


def told(capsys, app, *arguments: str, status: int = 2) -> list[str]:
    assert run(app, arguments) == status
    out, error = capsys.readouterr()
    assert "Traceback" not in error
    return (error if status else out).splitlines()


@pytest.mark.slow
def test_a_sweep_runs_with_parts_of_its_own_in_worker_processes(plugged, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = [sys.executable, "-m", "normsweep.study", str(plugged), "--phase", "search", "--device", "cpu"]  # fmt: skip
    done = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    record = read_study(f"sqlite:///{elsewhere}/mlruns/optuna.db", "plugged")
    assert {r.result.status for r in record.trials if r.result} == {Status.COMPLETE}
    assert {r.trial.arm for r in record.trials} == {"halved", "unit"}
    assert record.data.name == "stripes"
    again = [str(Path(sys.executable).parent / "normsweep"), "rerun", "plugged", "0", "--storage"]
    again += [f"sqlite:///{elsewhere}/mlruns/optuna.db"]
    for plugins, status in (([], 2), (["--plugins", "striped_parts"], 0)):
        done = subprocess.run(
            [*again, *plugins], cwd=plugged.parent, capture_output=True, text=True
        )
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("apart")
class TestNames:
    def test_they_are_legal_at_once_and_listed_with_their_module(self, plugged, capsys):
        said = told(capsys, main.app, "check", str(plugged), status=0)
        assert any("halved, unit" in line for line in said)
        listed = told(capsys, main.app, "list", "parts", str(plugged), status=0)
        (line,) = [line for line in listed if line.startswith("  narrow ")]
        assert line.endswith("One hidden layer. (options: units) [striped_parts]")
        assert not any("[" in line for line in listed if line.startswith("  lenet"))

    def test_without_the_plug_in_they_are_unknown(self, plugged, capsys):
        lines = told(capsys, main.app, "check", str(plugged), "--set", "plugins=[]")
        assert any('model.name: unknown model "narrow"; available: lenet' in line for line in lines)

    def test_an_option_names_plug_ins_of_the_current_folder(self, apart, plugged, capsys):
        (apart / "more_parts.py").write_text(
            "from normsweep.parts import normalizations\n"
            '@normalizations.register("as_it_is")\ndef as_it_is(train):\n    return []\n'
        )
        given = ["--set", 'plugins=["striped_parts", "more_parts"]']
        given += ["--set", 'search.space.normalization=["as_it_is", "unit"]']
        assert told(capsys, main.app, "check", str(plugged), *given, status=0)

    def test_one_name_needs_no_list(self, plugged, capsys):
        given = ("--set", "plugins=striped_parts")
        assert told(capsys, main.app, "check", str(plugged), *given, status=0)


BROKEN = {
    "fails": "1 / 0",
    "exits": "raise SystemExit(3)",
    "wants": "import nothing_of_that_name",
    "syntax": "def",
    "silent": "x = 1",
    "taken": "from normsweep.parts import models\n@models.register('lenet')\ndef f(s, c): ...",
    "calendar": "raise AssertionError('never imported')",
}


@pytest.mark.parametrize("command", ["check", "study"])
@pytest.mark.parametrize(
    ("plugin", "line"),
    [
        ("broken_fails", '"broken_fails" cannot be imported: ZeroDivisionError: '),
        ("broken_exits", "cannot be imported: SystemExit: 3"),
        (
            "broken_wants",
            "cannot be imported: ModuleNotFoundError: No module named 'nothing_of_that",
        ),
        ("broken_syntax", "cannot be imported: SyntaxError"),
        ("broken_silent", "registers no component; decorate a function of it"),
        ("broken_taken", 'model "lenet": already registered by normsweep.parts.models'),
        ("not_there", "was not found; expected a module in the folder of the sweep"),
        ("not_there.inside", "was not found; expected a module in the folder of the sweep"),
        ("calendar", "instead of {folder}/calendar.py; give it a name that no other module has"),
        ("os; rm -rf x", "expected names of modules"),
        ("../broken_fails", "expected names of modules"),
        ("/broken_fails.py", "expected names of modules"),
        ("broken_fails\n", "expected names of modules"),
        ("", "expected names of modules"),
        ("a" * 300, "expected names of modules"),
    ],
    ids=lambda value: value.strip()[:16] or "empty",
)
def test_a_plug_in_that_cannot_be_had_is_one_line(apart, plugged, capsys, command, plugin, line):
    folder = plugged.parent
    for name, content in BROKEN.items():
        stem = name if name == "calendar" else f"broken_{name}"
        (folder / f"{stem}.py").write_text(content)
    plugged.write_text(plugged.read_text().replace('["striped_parts"]', f"[{plugin!r}]"))
    app = {"check": (main.app, "check"), "study": (study.app,)}[command]
    (said,) = told(capsys, *app, str(plugged))
    assert said.startswith(f"normsweep: {plugged}: plugins: ")
    assert line.format(folder=folder) in said


@pytest.mark.parametrize("given", ["3", "{ a = 1 }", "[3]", "true"])
@pytest.mark.usefixtures("apart")
def test_what_are_no_names_is_told(plugged, capsys, given):
    (said,) = told(capsys, main.app, "check", str(plugged), "--set", f"plugins={given}")
    assert said.startswith("normsweep: --set: plugins: expected names of modules")


def test_a_sweeps_folder_is_not_looked_into_without_plug_ins(tmp_path, sweep_file):
    (tmp_path / "keras.py").write_text("raise SystemExit('the folder was looked into')")
    command = [sys.executable, "-c", f"from normsweep.parts.catalog import read_sweep; read_sweep({str(sweep_file)!r}); import sys; sys.exit({str(tmp_path)!r} in sys.path)"]  # fmt: skip
    assert subprocess.run(command, cwd="/").returncode == 0


def test_a_function_defined_again_in_its_place_replaces_what_it_was():
    registry = Registry("thing")
    for text in ("first", "second"):
        space = {"__name__": "__main__"}
        exec(f"def mine():\n    return {text!r}", space)
        registry.register("mine")(space["mine"])
    assert registry["mine"].function() == "second"
    space = {"__name__": "another"}
    exec("def mine(): ...", space)
    with pytest.raises(NameTaken, match='thing "mine": already registered by __main__'):
        registry.register("mine")(space["mine"])


def test_a_digest_after_a_name_is_the_same_part_and_a_loan_ends():
    registry = Registry("thing")
    registry.register("mine")(len)
    with registry.temporarily("mine", max), registry.temporarily("other", min):
        assert registry["mine@0123abcd"].function is max
        assert "other" in registry
    assert registry["mine"].function is len
    assert "other" not in registry


def test_what_one_thread_is_lent_no_other_thread_has():
    registry, both = Registry("thing"), threading.Barrier(2, timeout=30)

    def lend(function):
        with registry.temporarily("own", function):
            both.wait()
            found = registry["own"].function, [part.function for part in registry]
            both.wait()
        return found

    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lend, [max, min]))
    assert found == [(max, [max]), (min, [min])]
    assert "own" not in registry


def test_modules_are_read_while_another_thread_imports():
    """A collection in the midst of it is where another thread goes on."""
    made: list[str] = []

    def imports(phase: str, info: object) -> None:
        made.append(f"made_{len(made)}")
        sys.modules[made[-1]] = types.ModuleType(made[-1])

    own, before = Registry("part"), gc.get_threshold()
    own.register("own")(subprocess.run)
    gc.callbacks.append(imports)
    gc.set_threshold(20)
    try:
        assert code_digest([own])
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(imports)
        for name in made:
            del sys.modules[name]
