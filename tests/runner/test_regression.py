"""A regression, from its file to its report: the task is found, guessing has a level, scores have the target's unit."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

import normsweep
from normsweep.analysis.endings import Ended
from normsweep.cli.main import check
from normsweep.errors import SweepError
from normsweep.sweep.trial import CONFIRM
from tests.shared import place_stores

SWEEP = {
    "name": "prices",
    "reference": "standardize",
    "compare": "target",
    "data": {"dataset": "prices.npz", "task": "regression"},
    "model": {"name": "mlp", "batch_size": 32, "options": {"units": 16, "layers": 1}},
    "search": {
        "trials": 3,
        "space": {
            "normalization": ["standardize"],
            "target": ["raw", "minmax", "standardize"],
            "learning_rate": [0.03],
            "optimizer": ["adam"],
            "epochs": [4],
        },
    },
    "confirm": {"seeds": 5, "margin": 2000, "baseline": {"learning_rate": 0.03, "epochs": 4}},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("regression")
    place_stores(folder / "mlruns")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4))
    y = 1000 * (300 + 50 * x[:, 0] - 20 * x[:, 1] + rng.normal(0, 5, 300))
    np.savez(
        folder / "prices.npz", x_train=x[:200], y_train=y[:200], x_test=x[200:], y_test=y[200:]
    )
    return folder


@pytest.fixture(scope="module")
def study(folder: Path) -> normsweep.Study:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return normsweep.run(SWEEP, executor="inline", device="cpu", quiet=True)


def test_the_verdict_is_in_the_unit_of_the_target(study: normsweep.Study) -> None:
    evidence = study.answer.evidence
    data = evidence.record.data
    assert data is not None
    assert (data.task, data.outputs, data.classes) == ("regression", 1, 0)
    assert evidence.record.sweep.metric == "rmse"
    by_arm = {verdict.arm: verdict for verdict in evidence.primary}
    assert by_arm["raw"].outcome.value == "does not train"
    assert by_arm["minmax"].seeds == 5
    assert 0 < abs(by_arm["minmax"].gap.value) < 60_000
    scaled = [r.result for r in evidence.record.confirmed if r.trial.target == "standardize"]
    assert scaled
    for result in scaled:
        assert result is not None
        assert result.guessing is not None
        assert 5_000 < result.curve[-1].value < result.guessing.score
        assert math.isnan(result.curve[-1].val_accuracy)


def test_what_is_no_better_than_guessing_is_told_apart(study: normsweep.Study) -> None:
    ended = {
        (e.record.trial.target, e.ended)
        for arm in study.answer.evidence.endings.arms
        if arm.phase == CONFIRM
        for e in arm.endings
    }
    assert {("raw", Ended.STUCK), ("standardize", Ended.TRAINED)} <= ended
    assert ("raw", Ended.TRAINED) not in ended


def test_mlflow_gets_loss_and_target_and_no_accuracy(study: normsweep.Study, folder: Path) -> None:
    client = MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("prices")
    runs = client.search_runs([experiment.experiment_id], "tags.`normsweep.arm` = 'standardize'")
    trials = [run for run in runs if "loss" in run.data.params]
    assert trials
    for run in trials:
        assert (run.data.params["loss"], run.data.params["target"]) == ("mse", "standardize")
        assert not [name for name in run.data.metrics if name.endswith("accuracy")]
        assert "final/val_rmse" in run.data.metrics


def test_the_saved_model_gives_prices(study: normsweep.Study, folder: Path) -> None:
    import keras

    files = [path for path in folder.rglob("*.keras") if "standardize" in path.as_posix()]
    files = files or list(folder.rglob("*.keras"))
    x = np.load(folder / "prices.npz")["x_test"]
    predicted = [np.asarray(keras.models.load_model(file)(x)) for file in files]
    assert any(200_000 < each.mean() < 400_000 for each in predicted)


def test_check_says_the_task_and_what_does_not_fit(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    text = Path(normsweep.__file__).parent.parent / "docs" / "own-data.md"
    toml = text.read_text().partition('title="prices.toml"\n')[2].partition("```")[0]
    (folder / "prices.toml").write_text(toml)
    assert check("prices.toml") == 0
    assert "task      regression, scored by MAE; loss mse, target raw or standardize or log1p" in capsys.readouterr().out  # fmt: skip
    with pytest.raises(SweepError, match="metric: must be one for a regression") as refused:
        check("prices.toml", set_=['metric="accuracy"', "confirm.margin=0.1", 'search.space.loss="categorical_crossentropy"'])  # fmt: skip
    assert "loss: must be one for a regression" in str(refused.value)
