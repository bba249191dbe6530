"""A study by another metric than the accuracy, from its sweep to its report."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import optuna
import pytest
from mlflow import MlflowClient
from rich.console import Console

from normsweep.analysis.evidence import evidence
from normsweep.analysis.trials import best_of_arms
from normsweep.console.screen import screen
from normsweep.errors import DataError, SweepError
from normsweep.parts.catalog import catalog
from normsweep.reporting.tables import best_table
from normsweep.runner.session import run_study
from normsweep.runner.workers import Settings, Workers
from normsweep.store.storage import read_study
from normsweep.sweep.loading import load_sweep
from normsweep.sweep.trial import CONFIRM, PhaseName
from tests import shared

SWEEP = """
name = "loss"
reference = "unit"
metric = "log_loss"
[data]
dataset = "digits"
[model]
name = "synthetic"
options = { ceiling = { none = 0.9, default = 0.98 }, diverge_above = 0.03, noise = 0.002 }
[search]
trials = 12
pruner = "median"
[search.space]
normalization = ["none", "unit", "standardize"]
learning_rate = { low = 1e-4, high = 1e-1, log = true }
optimizer = "adam"
epochs = { low = 2, high = 4 }
[confirm]
seeds = 5
margin = 0.03
baseline = { epochs = 2 }
"""


def place(folder: Path, *overrides: str, name: str = "loss.toml", phase: PhaseName = "all"):
    """Runs the sweep in the folder; what it printed, and where things are."""
    (folder / name).write_text(SWEEP)
    if not (folder / "optuna.db").exists():
        shared.place_stores(folder)
    storage, tracking = (f"sqlite:///{folder}/{db}.db" for db in ("optuna", "mlflow"))
    settings = Settings(storage, tracking, executor="inline", root=folder / "mlruns", phase=phase)
    console = Console(record=True, width=200, file=(folder / "printed").open("w"))
    sweep = load_sweep(folder / name, catalog(), overrides)
    with Workers(sweep, settings) as workers, screen(console):
        run_study(sweep, settings, workers, console)
    return SimpleNamespace(
        folder=folder, storage=storage, tracking=tracking, record=read_study(storage, None),
        printed=console.export_text(), page=folder / "mlruns/reports/loss/index.html",
    )  # fmt: skip


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory):
    return place(tmp_path_factory.mktemp("loss"))


def test_the_lowest_loss_is_the_best_in_record_and_tables(ran):
    searched = ran.record.searched
    best = best_of_arms(searched)
    for arm, record in best.items():
        others = [
            r.result.score
            for r in searched
            if r.trial.arm == arm and r.result and r.result.status == "complete"
        ]
        assert record.result is not None
        assert record.result.score == min(others)
    table = best_table(searched, ran.record.arms)
    assert table["val_log_loss"].is_monotonic_increasing
    study = optuna.load_study(study_name="loss", storage=ran.storage)
    assert study.direction.name == "MINIMIZE"
    assert study.metric_names == ["val_log_loss"]
    told = {t.number: t.value for t in study.trials}
    assert [told[n] for n in table["trial"]] == pytest.approx(table["val_log_loss"].tolist())


def test_the_verdict_is_the_planted_one_and_page_and_console_say_nats(ran):
    primary = {verdict.arm: verdict for verdict in evidence(ran.record).primary}
    assert primary["none"].falls_short
    assert primary["none"].gap.value > 0.03
    assert primary["standardize"].catches_up
    assert abs(primary["standardize"].gap.value) < 0.03
    assert "in nats of log loss (lower is better)" in ran.printed
    assert "margin 0.03 nats" in ran.printed
    page = " ".join(re.sub("<[^>]+>", " ", ran.page.read_text()).split())
    assert "Lower is better: a gap above zero is a loss." in page
    assert "Log loss after each epoch" in page
    assert "nats behind" in page
    assert "points" not in page.partition("How it was done")[0].replace("arrow points at", "")


def test_mlflow_has_the_metric_beside_the_accuracy_and_the_loss(ran):
    client = MlflowClient(ran.tracking)
    record = next(r for r in ran.record.trials if r.trial.phase == CONFIRM)
    run = client.get_run(record.run_id)
    metrics = run.data.metrics
    assert {"val/log_loss", "val/accuracy", "val/loss", "test/log_loss"} <= set(metrics)
    assert record.result is not None
    assert metrics["final/val_log_loss"] == pytest.approx(record.result.score)
    steps = [m.value for m in client.get_metric_history(record.run_id, "val/log_loss")]
    assert steps == pytest.approx([e.value for e in record.result.curve])


def test_a_study_keeps_its_metric(ran):
    with pytest.raises(SweepError, match='metric: "log_loss" -> "accuracy"'):
        place(ran.folder, "metric=accuracy", name="other.toml")


def test_a_study_from_before_there_were_metrics_goes_on_by_accuracy(tmp_path):
    before = place(tmp_path, "metric=accuracy", "search.trials=3", phase="search")
    with sqlite3.connect(tmp_path / "optuna.db") as database:
        query = "SELECT value_json FROM study_user_attributes WHERE key = 'normsweep:sweep'"
        ((text,),) = database.execute(query)
        sweep = json.loads(json.loads(text))
        assert sweep.pop("metric") == "accuracy"
        value = json.dumps(json.dumps(sweep))
        database.execute(
            "UPDATE study_user_attributes SET value_json = ? WHERE key = 'normsweep:sweep'",
            (value,),
        )
        old = "UPDATE trial_user_attributes SET value_json = replace(value_json, ?, '')"
        database.execute(old, ('\\"metric\\": \\"accuracy\\", ',))
    after = place(tmp_path, "metric=accuracy", "search.trials=6", phase="search")
    assert [r.trial for r in after.record.trials[: len(before.record.trials)]] == [
        r.trial for r in before.record.trials
    ]
    assert len(after.record.trials) > len(before.record.trials)
    assert after.record.sweep.metric == "accuracy"


def test_a_test_set_that_lacks_a_class_is_refused_where_the_metric_needs_it(tmp_path):
    rows, labels = np.arange(40.0).reshape(20, 2), np.array(["no", "yes"] * 10)
    yes = {"x_test": rows[:3], "y_test": labels[1::2][:3]}
    np.savez(tmp_path / "own.npz", x_train=rows, y_train=labels, **yes)
    with pytest.raises(DataError) as caught:
        place(tmp_path, f"data.dataset={tmp_path}/own.npz", "metric=roc_auc")
    (line,) = caught.value.lines
    assert "metric: roc_auc needs test images of every class" in line
    assert "has none of class no; use accuracy or log_loss, or a test set" in line


def test_an_unknown_metric_is_told_with_the_nearest(tmp_path):
    with pytest.raises(SweepError, match='unknown metric "logloss" .*mean "log_loss"'):
        place(tmp_path, "metric=logloss")


def test_a_table_with_named_labels_and_uneven_classes_gets_its_answer(tmp_path):
    from sklearn.datasets import load_wine
    from sklearn.model_selection import train_test_split

    wine = load_wine()
    names = wine.target_names[wine.target]
    kept = np.r_[0:59, 59:130, 130:140]  # ten of the third class
    x_train, x_test, y_train, y_test = train_test_split(
        wine.data[kept], names[kept], test_size=0.5, stratify=names[kept], random_state=0
    )
    np.savez(tmp_path / "wine.npz", x_train=x_train, x_test=x_test, y_train=y_train, y_test=y_test)
    ran = place(
        tmp_path, f"data.dataset={tmp_path}/wine.npz", "metric=f1_macro", "model.name=mlp",
        "model.options={units = 16, layers = 1}", "search.trials=2", "confirm.seeds=2",
        'search.space.normalization=["none", "standardize"]', "reference=standardize",
        "search.space.epochs=[4]", "search.space.learning_rate=[0.01]",
        phase="search",
    )  # fmt: skip
    assert ran.record.data.labels == ("class_0", "class_1", "class_2")
    assert ran.record.data.class_counts == (29, 36, 5)
    best = best_table(ran.record.searched, ran.record.arms)
    scores = dict(zip(best["arm"], best["val_f1_macro"], strict=True))
    assert scores["standardize"] > scores["none"]
    (caution,) = evidence(ran.record).warnings
    assert caution.startswith("few test examples (5 of class 2): macro F1")
