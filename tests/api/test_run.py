"""Studies from Python: data and networks of one's own, what comes back, what is refused."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from rich.console import Console

import normsweep
from normsweep.errors import SweepError, UserError
from normsweep.parts.catalog import REGISTRIES, read_sweep
from normsweep.parts.dataset import Dataset
from normsweep.reporting.outcome_words import outcome_text
from normsweep.store.storage import read_study
from normsweep.sweep.loading import load_sweep
from normsweep.sweep.recorded import to_plain
from tests.shared import place_stores

SWEEP = {
    "name": "mine",
    "question": "Do <raw> inputs do?",
    "reference": "standardize",
    "search": {
        "trials": 4,
        "space": {
            "normalization": ["none", "standardize"],
            "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True},
            "optimizer": ["adam"],
            "epochs": [2, 4],
        },
    },
    "confirm": {"seeds": 5, "margin": 0.05, "baseline": {"epochs": 2}},
}
HIDDEN = 6


def hidden(units: int):
    import keras

    return keras.layers.Dense(units, activation="relu")


def build(input_shape, classes):
    """A small network; its units are a global of this module, its layer comes from a helper."""
    import keras

    return keras.Sequential(
        [
            keras.Input(input_shape),
            hidden(HIDDEN),
            keras.layers.Dense(classes, activation="softmax"),
        ]
    )


def other_build(input_shape, classes):
    import keras

    return keras.Sequential(
        [
            keras.Input(input_shape),
            hidden(HIDDEN + 1),
            keras.layers.Dense(classes, activation="softmax"),
        ]
    )


@pytest.fixture(scope="module")
def table() -> tuple[np.ndarray, ...]:
    """Two classes that differ in a feature of small scale, beside one of large scale: 120 + 60 rows."""
    rng = np.random.default_rng(0)
    y = np.arange(180) % 2
    x = np.stack([y + rng.normal(0, 0.3, 180), rng.normal(0, 1000, 180)], axis=1)
    return x[:120], y[:120], x[120:], y[120:]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("api")
    place_stores(folder / "mlruns")
    return folder


@pytest.fixture
def own_folder(tmp_path, monkeypatch) -> Path:
    """The current folder, with databases that hold nothing."""
    place_stores(tmp_path / "mlruns")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def study(folder, table):
    """A whole study in worker processes, of a table and a network of this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return normsweep.run(SWEEP, data=table, model=build, device="cpu", quiet=True)


@pytest.fixture
def at_home(folder, monkeypatch) -> None:
    monkeypatch.chdir(folder)


@pytest.mark.usefixtures("at_home")
class TestWhatComesBack:
    def test_every_table_has_its_rows_and_columns(self, study):
        assert repr(study) == "Study(name='mine')"
        assert set(study.best()["arm"]) == {"none", "standardize"}
        assert len(study.best(top=3)) == 3
        with pytest.raises(SweepError, match="top: must be an integer of at least 1, got '3'"):
            study.best(top="3")
        trials = study.trials()
        searched = trials[trials["phase"] == "search"]
        assert Counter(searched["arm"]) == {"none": 2, "standardize": 2}
        assert set(trials["status"]) == {"complete"}
        assert len(study.epochs()) == trials["epochs_run"].sum()
        assert list(study.arms()["trials"]) == [2, 2]

    def test_the_answer_is_a_sentence_a_table_and_a_figure(self, study):
        answer = study.answer
        assert set(answer.table["arm"]) == {"none"}
        assert [outcome_text(v) for v in answer.evidence.verdicts] == answer.table[
            "verdict"
        ].tolist()
        assert answer.sentence in str(answer)
        assert "both tuned, 4 epochs *" in str(answer)
        shown = answer._repr_html_()
        assert shown.index("<table") < shown.index("<svg")
        assert 'aria-label="Accuracy after each epoch.' in shown

    def test_figures_are_charts_that_can_be_combined(self, study):
        both = study.figures.accuracy() | study.figures.forest()
        assert {"hidden", "margin"} <= {each["name"] for each in both.to_dict()["params"]}
        assert (
            study.figures.learning_rate(linear=True).to_dict()
            != study.figures.learning_rate().to_dict()
        )

    def test_a_notebook_is_shown_text_as_text(self, study):
        shown = study._repr_html_()
        assert "Do &lt;raw&gt; inputs do?" in shown
        assert "<raw>" not in shown
        assert study.answer.sentence.split("“")[0] in shown

    def test_the_report_is_written_where_it_is_wanted(self, study, tmp_path):
        page = study.report(tmp_path / "out")
        assert page.parent == tmp_path / "out"
        assert "mine" in page.read_text()

    def test_it_lies_in_the_same_stores_as_a_commands(self, study, folder):
        records = read_study("sqlite:///mlruns/optuna.db", "mine").trials
        assert all(record.run_id for record in records)
        assert (folder / "mlruns" / "mlflow.db").is_file()
        assert normsweep.load().name == normsweep.load("mine").name == "mine"

    def test_the_network_is_known_by_its_configuration(self, study):
        records = read_study("sqlite:///mlruns/optuna.db", "mine").trials
        (model,) = {record.trial.model for record in records}
        digests = {r.result.machine["model_digest"] for r in records if r.result}
        assert model.startswith("own@")
        assert {digest[:12] for digest in digests} == {model.partition("@")[2]}

    def test_the_call_again_continues_it(self, study, table):
        def renamed(shape, classes):
            return build(shape, classes)

        before = study.trials()
        options = {"device": "cpu", "quiet": True, "phase": "search", "executor": "inline"}
        again = normsweep.run(SWEEP, data=Dataset.of(table), model=renamed, n_trials=6, **options)
        trials = again.trials()
        assert len(trials) == len(before) + 2
        assert list(trials["run_id"][: len(before)]) == list(before["run_id"])

    @pytest.mark.parametrize("changed", ["data", "model"])
    def test_other_data_or_another_network_is_refused_in_a_sentence(self, study, table, changed):
        given = {"data": table, "model": build}
        given |= (
            {"data": (table[0] + 1, *table[1:])} if changed == "data" else {"model": other_build}
        )
        with pytest.raises(SweepError) as error:
            normsweep.run(SWEEP, **given, executor="inline", quiet=True)
        (line,) = error.value.lines
        assert "was created with " in line
        assert "use the same " in line


def test_nothing_of_ones_own_stays_registered(study):
    names = [part.name for registry in REGISTRIES for part in registry]
    assert "own" not in names


@pytest.mark.usefixtures("own_folder")
def test_a_shipped_sweep_runs_by_its_name_with_changes(capsys):
    changes = {
        "model": {"name": "synthetic"},
        "search.space.epochs": [1, 2],
        "confirm.seeds": 5,
        "confirm.epochs": 2,
        "confirm.baseline": {"epochs": 1},
    }
    study = normsweep.run(
        "quickstart", set=changes, n_trials=3, study_name="quick", executor="inline"
    )
    assert study.name == "quick"
    assert set(study.trials()["status"]) == {"complete"}
    assert "best trial of each arm" in capsys.readouterr().out
    assert study.answer.sentence


@pytest.mark.usefixtures("own_folder")
def test_a_study_runs_in_a_thread_that_gets_no_signals():
    done: list[normsweep.Study] = []
    sweep = SWEEP | {"data": {"dataset": "digits"}, "model": {"name": "synthetic"}}
    options = {"phase": "search", "executor": "inline", "quiet": True}
    thread = threading.Thread(target=lambda: done.append(normsweep.run(sweep, **options)))
    thread.start()
    thread.join()
    assert len(done[0].trials()) == 4


@pytest.mark.usefixtures("own_folder")
def test_frames_in_pairs_have_a_scheme_by_column(table):
    x, y, x_test, y_test = table
    train, test = (pd.DataFrame(each, columns=["age", "income"]) for each in (x, x_test))
    sweep = {
        "name": "columns",
        "reference": "by column",
        "arms": {
            "raw": {"normalization": "none"},
            "by column": {"normalization": {"age": "standardize", "income": "asinh"}},
        },
        "model": {"name": "linear"},
        "search": {"trials": 2, "space": {
            "learning_rate": 0.01, "optimizer": "adam", "epochs": 1,
        }},
    }  # fmt: skip
    options = {"phase": "search", "executor": "inline", "quiet": True}
    study = normsweep.run(sweep, data=((train, y), (test, y_test)), **options)
    assert set(study.trials()["status"]) == {"complete"}


def test_addresses_come_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("OPTUNA_STORAGE", f"sqlite:///{tmp_path}/elsewhere.db")
    with pytest.raises(UserError, match="--storage: no database at "):
        normsweep.load()
    with pytest.raises(UserError, match="study_name: expected a string, got 3"):
        normsweep.load(3)  # pyright: ignore[reportArgumentType]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"sweep": "nope"}, "nope: no such file; expected a path, or one of"),
        ({"sweep": 5}, "sweep: expected a path, the name of a shipped sweep, a Sweep or a dict, got int"),
        ({"sweep": {**SWEEP, "nme": 1}}, 'sweep: nme: unknown key (did you mean "name"?); available: name'),
        ({"sweep": {**SWEEP, 3: 1}}, "sweep: 3: unknown key"),
        ({"n_trials": 0}, "n_trials: must be at least 1, got 0"),
        ({"n_trials": "x"}, 'n_trials: expected an integer, got "x"'),
        ({"study_name": "a b"}, 'study_name: must be letters'),
        ({"seed": -1}, "seed: must be at least 0, got -1"),
        ({"executor": "dask"}, "executor: must be one of processes, inline, ray, got 'dask'"),
        ({"n_jobs": 0}, "n_jobs: must be an integer of at least 1, got 0"),
        ({"n_jobs": 2, "executor": "inline"}, "n_jobs: must be 1 with executor 'inline', got 2"),
        ({"device": "tpu"}, "device: must be one of auto, cpu, gpu, got 'tpu'"),
        ({"phase": "both"}, "phase: must be one of search, confirm, all, got 'both'"),
        ({"set": {"confirm.seeds": 1}}, "set: confirm.seeds: must be at least 2, got 1"),
        ({"data": "mnist"}, "data: expected (x_train, y_train, x_test, y_test)"),
        ({"data": (1, 2, 3)}, "data: expected (x_train, y_train, x_test, y_test)"),
        ({"model": "lenet"}, "model: must be a keras.Model, or a function build(input_shape, classes)"),
        ({"plugins": ["os; rm"]}, 'plugins: expected names of modules'),
        ({"set": "seed=1"}, 'set: expected a mapping of dotted names to values'),
        ({"set": {1: 2}}, 'set: 1: unknown key'),
        ({"storage": Path("a.db")}, "storage: expected a string, got PosixPath('a.db'); the URL of a file is"),
        ({"tracking_uri": 3}, "tracking_uri: expected a string, got 3"),
        ({"reuse": 3}, "reuse: expected a string, got 3"),
    ],
    ids=lambda value: None if isinstance(value, str) else "-".join(value),
)  # fmt: skip
def test_an_argument_that_is_not_legal_is_an_exception_with_what_is(
    tmp_path, monkeypatch, table, given, line
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        normsweep.run(**{"sweep": SWEEP, "data": table, "model": build, **given})
    assert any(said.startswith(line) for said in error.value.lines), error.value.lines
    assert not list(tmp_path.iterdir())


def test_a_build_that_makes_no_classifier_is_refused_before_any_trial(tmp_path, monkeypatch, table):
    import keras

    monkeypatch.chdir(tmp_path)

    def logits(shape, classes):
        return keras.Sequential([keras.Input(shape), keras.layers.Dense(classes)])

    def fails(shape, classes):
        return keras.layers.Reshape((3, 3))(keras.Input(shape))

    for broken, said in (
        (logits, "outputs that are probabilities"),
        (fails, "cannot be built for inputs of"),
    ):
        with pytest.raises(SweepError, match=said):
            normsweep.run(SWEEP, data=table, model=broken, executor="inline", quiet=True)


def test_a_function_that_cannot_travel_is_told(tmp_path, monkeypatch, table):
    monkeypatch.chdir(tmp_path)
    lock = threading.Lock()

    def build_with_lock(shape, classes):
        with lock:
            return build(shape, classes)

    with pytest.raises(SweepError, match='model "own": cannot be pickled for a worker'):
        normsweep.run(SWEEP, data=table, model=build_with_lock, quiet=True)


def test_a_sweep_is_read_from_a_sweep_as_from_its_file(parts):
    for name in ("mnist", "quickstart", "mnist_20k"):
        sweep = load_sweep(name, parts)
        again = read_sweep(sweep)
        assert to_plain(again) == to_plain(sweep)
        assert again.confirm.baseline.model_fields_set == sweep.confirm.baseline.model_fields_set


def test_numbers_of_numpy_are_those_of_python(tmp_path, monkeypatch, table):
    monkeypatch.chdir(tmp_path)
    search: dict[str, Any] = SWEEP["search"]
    space = {**search["space"], "learning_rate": np.array([0.001, 0.1])}
    study = normsweep.run(
        {**SWEEP, "model": {"name": "synthetic"}, "search": {**search, "space": space}},
        table, phase="search", executor="inline", quiet=True, seed=np.int64(3), n_trials=np.int64(4),
        n_jobs=np.int64(1), set={"model.batch_size": np.int32(16)},
    )  # fmt: skip
    trials = study.trials()
    assert set(trials["learning_rate"]) == {0.001, 0.1}
    assert set(trials["batch_size"]) == {16}


def test_conditions_and_lists_of_a_space_survive(parts, sweep_file):
    sweep = load_sweep(
        sweep_file,
        parts,
        [
            "search.space.momentum={ low = 0.0, high = 0.9, step = 0.3, when = { optimizer = 'sgd' } }",
            "search.space.nesterov={ choices = [true, false], when = { optimizer = ['sgd'] } }",
        ],
    )
    assert to_plain(read_sweep(sweep)) == to_plain(sweep)


def test_the_default_stores_are_those_of_the_folder_that_a_study_was_run_in(tmp_path, monkeypatch):
    sweep = {
        "name": "here", "reference": "unit", "data": {"dataset": "digits"},
        "model": {"name": "synthetic"},
        "search": {"trials": 2, "space": {
            "normalization": ["none", "unit"], "learning_rate": 0.01, "optimizer": "adam", "epochs": 1,
        }},
    }  # fmt: skip
    studies = []
    for name in ("first", "second"):
        place_stores(tmp_path / name / "mlruns")
        monkeypatch.chdir(tmp_path / name)
        studies.append(normsweep.run(sweep, phase="search", executor="inline", quiet=True))
    monkeypatch.chdir(tmp_path)
    for name, study in zip(("first", "second"), studies, strict=True):
        client = MlflowClient(f"sqlite:///{tmp_path / name}/mlruns/mlflow.db")
        experiment = client.get_experiment_by_name("here").experiment_id
        runs = client.search_runs([experiment], "tags.`normsweep.phase` = 'search'")
        assert {run.info.run_id for run in runs} == set(study.trials()["run_id"])
        assert len(runs) == 2


def test_two_threads_with_data_of_their_own_have_each_its_own(tmp_path, monkeypatch, table):
    monkeypatch.chdir(tmp_path)
    both = threading.Barrier(2, timeout=60)

    class Meeting(Console):
        """Where one thread loads its data, the other one has handed over its own."""

        def status(self, *args, **options):
            both.wait()
            return super().status(*args, **options)

    def run(offset):
        place = {
            "storage": f"sqlite:///{tmp_path}/optuna{offset}.db",
            "tracking_uri": f"sqlite:///{tmp_path}/mlflow{offset}.db",
        }
        return normsweep.run(
            {**SWEEP, "name": f"thread{offset}", "model": {"name": "synthetic"}},
            data=(table[0] + offset, *table[1:]), phase="search", executor="inline",
            console=Meeting(quiet=True), **place,
        )  # fmt: skip

    with ThreadPoolExecutor(2) as threads:
        studies = list(threads.map(run, [0, 1]))
    for offset, study in enumerate(studies):
        record = read_study(study.storage, study.name)
        assert record.data is not None
        assert record.data.digest == Dataset.of((table[0] + offset, *table[1:])).save(tmp_path)
        assert len(record.trials) == 4
