"""Arms with labels, from the sweep file to everything that people read."""

from __future__ import annotations

import contextlib
import io
import json
import re
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from mlflow import MlflowClient

from normsweep import export, load
from normsweep.cli.main import app as command
from normsweep.shell import run
from normsweep.store.storage import read_study
from normsweep.study import app
from tests import shared

SWEEP = """
name = "labelled"
reference = "÷255"
[data]
dataset = "digits"
[model]
name = "synthetic"
[search]
trials = 6
[arms]
"raw pixels" = { normalization = "none" }
"<raw>, SGD & 10 %" = { normalization = "none", optimizer = "sgd", batch_size = 32 }
"÷255" = { normalization = "unit" }
[search.space]
learning_rate = { low = 1e-4, high = 1e-2, log = true }
optimizer = ["sgd", "adam"]
epochs = 2
[confirm]
seeds = 5
margin = 0.02
baseline = { optimizer = "adam", learning_rate = 0.001, epochs = 2 }
"""
LABELS = ["raw pixels", "<raw>, SGD & 10 %", "÷255"]
KEYS = ["none", "none batch_size=32 optimizer=sgd", "unit"]


def say(program, *arguments: str) -> str:
    """What a command prints."""
    with redirect_stdout(io.StringIO()) as said, redirect_stderr(said):
        assert run(program, list(arguments)) == 0
    return said.getvalue()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study of labelled arms, finished."""
    folder = tmp_path_factory.mktemp("labels")
    with contextlib.chdir(folder):
        shared.place_stores(Path("mlruns"))
        Path("labelled.toml").write_text(SWEEP)
        Path("said.txt").write_text(say(app, "labelled.toml"))
    return folder


def runs() -> list:
    client = MlflowClient("sqlite:///mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("labelled")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], order_by=["tags.`normsweep.trial`"])
    return [run for run in found if "normsweep.arm" in run.data.tags]


def test_the_console_shows_labels_and_what_they_do(place):
    said = (place / "said.txt").read_text()
    assert (
        "arms      3: raw pixels (none); <raw>, SGD & 10 % (none, batch size 32, sgd); ÷255 (unit); "
        "reference ÷255" in said
    )
    assert all(label in said.partition("best trial")[2] for label in LABELS)
    assert not re.search(r"trial \d+ (none|unit) ", said)


def test_exports_have_label_and_key(place):
    with contextlib.chdir(place):
        for name in ("best", "trials", "arms", "verdict", "epochs", "budgets"):
            table = load("labelled")._table(name)
            pairs = set(zip(table["arm"], table["arm_key"], strict=True))
            assert pairs <= set(zip(LABELS, KEYS, strict=True)), name
            assert len(pairs) >= 2, name
        say(export.app, "best", "--study-name", "labelled", "--format", "latex", "-o", "best.tex")
        assert r"SGD \& 10 \%" in Path("best.tex").read_text()
        shown = say(command, "show", "labelled")
    assert all(label in shown for label in LABELS)


def test_the_page_shows_labels_as_text(place):
    page = (place / "mlruns/reports/labelled/index.html").read_text()
    assert "raw pixels (none)" in page
    assert "&lt;raw&gt;, SGD &amp; 10 %" in page
    assert "<raw>" not in page


def test_runs_have_label_and_key(place):
    with contextlib.chdir(place):
        tags = [run.data.tags for run in runs()]
        assert {
            (t["normsweep.label"], t["normsweep.arm"]) for t in tags if "normsweep.label" in t
        } == (set(zip(LABELS, KEYS, strict=True)))
        assert runs()[0].info.run_name.startswith("000 raw pixels adam ")


def test_a_relabelled_study_goes_on_and_nothing_is_trained_again(place, tmp_path):
    with contextlib.chdir(place):
        before = read_study("sqlite:///mlruns/optuna.db", "labelled")
        Path("labelled.toml").write_text(SWEEP.replace('"raw pixels"', '"as they are"'))
        said = say(app, "labelled.toml")
        after = read_study("sqlite:///mlruns/optuna.db", "labelled")
        assert (after.trials, after.arms) == (before.trials, before.arms)
        assert [arm.label for arm in after.sweep.arms] == ["as they are", *LABELS[1:]]
        assert "the search of labelled is done: 6 of 6 trials" in said
        assert "as they are" in said
        assert "raw pixels" not in said
        assert "raw pixels" not in Path("mlruns/reports/labelled/index.html").read_text()
        assert runs()[0].info.run_name.startswith("000 as they are adam ")
        experiment = MlflowClient("sqlite:///mlruns/mlflow.db").get_experiment_by_name("labelled")
        assert experiment is not None
        assert "raw pixels" not in experiment.tags["mlflow.note.content"]
        assert json.loads(experiment.tags["normsweep.labels"])["none"] == "as they are"
        assert "the search of labelled is done" in say(app, "labelled.toml")  # from its mark
