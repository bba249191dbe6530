"""A finished study answers from its storage, and notices what was changed meanwhile."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from normsweep.errors import UserError
from normsweep.parts import datasets
from normsweep.runner.workers import Workers
from normsweep.shell import run
from normsweep.store.storage import load_study, read_study
from normsweep.study import app
from tests import shared

SWEEP = """
name = "ended"
reference = "none"
plugins = ["own_parts"]
[data]
dataset = "own.npz"
[model]
name = "synthetic"
[search]
trials = 4
[search.space]
normalization = ["none", "halved"]
learning_rate = { low = 1e-4, high = 1e-2, log = true }
optimizer = ["sgd", "adam"]
epochs = 2
[confirm]
seeds = 2
epochs = 2
margin = 0.02
baseline = { optimizer = "adam", learning_rate = 0.001, epochs = 2 }
"""

PLUGIN = """
from normsweep.parts import normalizations

@normalizations.register("halved")
def halved(train):
    '''Half of it.'''
    import keras

    return [keras.layers.Rescaling(scale=0.5)]
"""


LOOKED = "the study is looked at"


def _looked(*_: object) -> None:
    raise UserError(LOOKED)


class Ended:
    """A folder with a study that has ended, its data and its plug-in."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.storage = folder, f"sqlite:///{folder}/mlruns/optuna.db"
        self.tracking = f"sqlite:///{folder}/mlruns/mlflow.db"
        shared.place_stores(folder / "mlruns")
        (folder / "ended.toml").write_text(SWEEP)
        (folder / "own_parts.py").write_text(PLUGIN)
        self.write_data(300)

    def write_data(self, images: int) -> None:
        arrays = datasets.load("digits")
        names = ("x_train", "y_train", "x_test", "y_test")
        np.savez(
            self.folder / "own.npz", **{name: getattr(arrays, name)[:images] for name in names}
        )

    @property
    def page(self) -> Path:
        return self.folder / "mlruns" / "reports" / "ended" / "index.html"

    def run(self, *arguments: str, status: int = 0, tracking: str = "") -> str:
        ended, said = self.tell(*arguments, tracking=tracking)
        assert ended == status, said
        assert "Traceback" not in said
        return said

    def tell(self, *arguments: str, tracking: str = "") -> tuple[int, str]:
        said = io.StringIO()
        where = () if "--executor" in arguments else ("--executor", "inline")
        given = ["ended.toml", "--tracking-uri", tracking or self.tracking, *where, *arguments]
        with contextlib.chdir(self.folder), redirect_stdout(said), redirect_stderr(said):
            return run(app, given), said.getvalue()

    def answers(self, *arguments: str, tracking: str = "") -> bool:
        """Whether the command leaves the report as it is, which every other command writes again."""
        before = self.page.stat().st_mtime_ns if self.page.exists() else None
        self.run(*arguments, tracking=tracking)
        return self.page.stat().st_mtime_ns == before

    def looks(self, *arguments: str, tracking: str = "") -> bool:
        """Whether the command does not take the study as finished; it ends where it would look at it."""
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Workers, "start", _looked)
            status, said = self.tell(*arguments, tracking=tracking)
        assert status == (2 if LOOKED in said else 0), said
        return LOOKED in said

    def trials(self) -> int:
        return len(read_study(self.storage, "ended").trials)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ended]:
    """A study whose search has ended, without its confirmation; `ended` goes on with it."""
    folder = tmp_path_factory.mktemp("ended")
    with shared.plugins_forgotten(folder):
        study = Ended(folder)
        study.run("--phase", "search")
        yield study


@pytest.fixture(scope="module")
def ended(searched: Ended) -> Ended:
    """The whole study, finished; tests leave it so, as to write its report takes seconds."""
    searched.run()
    return searched


def test_a_search_whose_confirmation_is_missing_answers_for_the_search_alone(searched):
    assert searched.answers("--phase", "search")
    before = searched.trials()
    assert not searched.answers()
    assert searched.trials() > before


STUDY = ("normsweep.study", "ended.toml")


def command(folder: Path, *arguments: str) -> tuple[str, set[str]]:
    """What a command prints in a process of its own, and the packages that it imports."""
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", *arguments],
        cwd=folder,
        env={**environment, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
    )
    assert not done.returncode, done.stderr[-2000:]
    names = (line.rpartition("|")[2].strip() for line in done.stderr.splitlines())
    return done.stdout, {name.partition(".")[0] for name in names}


def test_it_starts_no_trial_and_leaves_the_report_as_it_is(ended):
    before = ended.trials()
    assert ended.answers()
    assert ended.answers("--phase", "search")
    assert ended.answers("--phase", "confirm")
    assert ended.trials() == before


def test_a_report_that_was_deleted_or_changed_is_written_again(ended, tmp_path):
    figure = next(ended.page.parent.rglob("figures/*"))
    for file in (ended.page, figure):
        aside = file.rename(tmp_path / file.name)
        assert ended.looks()
        aside.rename(file)
        assert ended.answers()
    figure.write_text("own")
    assert ended.looks()
    ended.page.unlink()
    assert not ended.answers()
    assert ended.page.exists()
    assert figure.read_bytes() != b"own"
    assert ended.answers()


def test_a_changed_plugin_is_noticed(ended):
    file = ended.folder / "own_parts.py"
    file.write_text(f"{PLUGIN}\n# changed\n")
    assert ended.looks()
    file.write_text(PLUGIN)
    assert ended.answers()


def test_a_changed_sweep_is_refused_and_another_device_or_executor_is_looked_at(ended):
    said = ended.run("--seed", "5", status=2)
    assert "seed: 0 -> 5" in said
    assert ended.looks("--device", "cpu")
    assert ended.looks("--executor", "processes")


def test_changed_data_is_refused_and_missing_data_too(ended):
    file = ended.folder / "own.npz"
    before = file.read_bytes()
    ended.write_data(200)
    assert "was created with different data" in ended.run(status=2)
    file.unlink()
    assert "no such file" in ended.run(status=2)
    file.write_bytes(before)
    assert not ended.answers()  # written again: only its digest says that it is the same
    assert ended.answers()


def test_what_is_not_logged_is_logged(ended):
    store = load_study(ended.storage, "ended")
    store.note_run(0, "", "s")
    assert not ended.answers()
    assert all(record.run_id for record in read_study(ended.storage, "ended").trials)


def test_another_tracking_store_gets_the_report_and_a_deleted_one_too(ended, tmp_path):
    shared.place_stores(tmp_path, "mlflow.db")
    other = f"sqlite:///{tmp_path}/mlflow.db"
    assert not ended.answers(tracking=other)
    client = MlflowClient(other)
    experiment = client.get_experiment_by_name("ended").experiment_id
    query = "tags.`normsweep.phase` = 'report'"
    assert len(client.search_runs([experiment], query)) == 1
    assert ended.answers(tracking=other)
    (tmp_path / "mlflow.db").unlink()
    assert ended.looks(tracking=other)
    shared.place_stores(tmp_path, "mlflow.db")
    assert ended.looks(tracking=other)


def test_more_trials_and_more_seeds_are_run(ended):
    ended.run()
    trials, seeds = ("--n-trials", "6"), ("--set", "confirm.seeds=3")
    assert ended.looks(*trials)
    assert ended.looks(*seeds)
    before = read_study(ended.storage, "ended")
    assert not ended.answers(*trials, *seeds)
    after = read_study(ended.storage, "ended")
    assert len(after.searched) > len(before.searched)
    assert {r.trial.seed for r in after.confirmed} > {r.trial.seed for r in before.confirmed}
    assert ended.answers(*trials, *seeds)


def test_it_answers_with_the_same_words_and_imports_neither_tensorflow_nor_mlflow(ended):
    ended.page.unlink()
    tracking = (*STUDY, "--tracking-uri", ended.tracking, "--executor", "inline")
    said, imported = command(ended.folder, *tracking)
    assert "mlflow" in imported
    again, imported = command(ended.folder, *tracking)
    assert again == said
    assert "the search of ended is done: 4 of 4 trials" in again
    assert not imported & {"tensorflow", "keras", "jax", "mlflow", "sklearn", "ray", "altair"}


BACKENDS = {"tensorflow", "keras", "jax", "mlflow", "ray"}
TABLES = {"pandas", "sklearn", "matplotlib", "altair", "alembic", "mako"}


@pytest.mark.parametrize(
    ("arguments", "without"),
    [
        (("normsweep", "--help"), BACKENDS | TABLES | {"numpy", "pydantic", "sqlalchemy"}),
        (
            ("normsweep", "check", "quickstart"),
            BACKENDS | TABLES | {"optuna", "sqlalchemy", "scipy"},
        ),
        (("normsweep", "list", "studies"), BACKENDS | TABLES | {"scipy"}),
        (("normsweep", "show", "ended"), BACKENDS | TABLES),
        (("normsweep", "show", "ended", "0"), BACKENDS | TABLES),
        (("normsweep.export", "best"), BACKENDS | TABLES - {"pandas"}),
        (("normsweep.report",), BACKENDS | {"alembic", "mako", "sklearn"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_command_imports_only_what_it_needs(ended, arguments, without):
    said, imported = command(ended.folder, *arguments)
    assert said
    assert not imported & without
