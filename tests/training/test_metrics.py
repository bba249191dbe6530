"""Training by another metric than the accuracy: one pass, either direction, uneven classes, tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from normsweep.parts import metrics
from normsweep.parts.dataset import Dataset
from normsweep.parts.influence import restored
from normsweep.sweep.trial import CONFIRM, DataKey, Status, Trial
from normsweep.training.engine import Finished
from normsweep.training.keras_engine import KerasEngine
from normsweep.training.preprocessing import split
from normsweep.training.snapshot import CheckpointPolicy

WEIGHED = [metrics.metric(p.name) for p in metrics.registry if metrics.metric(p.name).influence]
NAMES = [by.name for by in WEIGHED if metrics.CLASSIFICATION in by.tasks]


def uneven() -> Dataset:
    """A table of two easy classes and a third of five rows to train on and three to test on."""
    rng = np.random.default_rng(0)

    def rows(*counts):
        labels = np.repeat(np.arange(3), counts)
        return rng.normal(size=(len(labels), 6)) + 2 * np.eye(3, 6)[labels], labels

    (x, y), (x_test, y_test) = rows(120, 75, 5), rows(60, 37, 3)
    return Dataset.of((x, np.array([*"abc"])[y], x_test, np.array([*"abc"])[y_test]))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("uneven")


@pytest.fixture(scope="module")
def engine(data: Path) -> KerasEngine:
    return KerasEngine(data)


@pytest.fixture
def of_metric(data: Path, trial: Callable[..., Trial]) -> Callable[..., Trial]:
    key = DataKey("uneven", uneven().save(data), 0.2)
    return lambda name, **changed: trial(
        metric=name, model="mlp", model_options={"units": 16, "layers": 1}, data=key,
        normalization="standardize", epochs=3, **changed,
    )  # fmt: skip


def run(engine: KerasEngine, trial: Trial, policy: CheckpointPolicy | None = None) -> Finished:
    training = engine.train(trial, policy)
    while True:
        try:
            next(training)
        except StopIteration as end:
            return end.value


@pytest.mark.parametrize("name", NAMES)
def test_an_epoch_is_scored_on_the_predictions_that_the_accuracy_is_of(engine, of_metric, name):
    trial = of_metric(name)
    finished = run(engine, trial, CheckpointPolicy.last())
    usual = run(engine, of_metric("accuracy")).result
    result, state = finished.result, finished.state
    assert result.status is Status.COMPLETE
    assert state is not None
    model, dataset = engine.deployable(trial, state)
    parts = split(dataset, 0.2, trial.seed)
    p = model.predict(parts.x_val, verbose=0)
    last = result.curve[-1]
    assert last.value == pytest.approx(metrics.metric(name).function(parts.y_val, p), abs=1e-5)
    for one, other in zip(result.curve, usual.curve, strict=True):
        assert one.train_loss == other.train_loss
        assert one.val_accuracy == pytest.approx(other.val_accuracy, abs=1e-7)
        assert one.val_loss == pytest.approx(other.val_loss, rel=1e-5)
        assert other.score is None
    assert result.score == last.value
    assert result.chance == metrics.metric(name).guessing([120, 75, 5])
    assert run(engine, trial).result.curve[-1].score == last.score  # bit for bit, seconds left out


@pytest.mark.parametrize("name", NAMES)
def test_a_confirmation_keeps_the_score_and_each_images_influence(engine, of_metric, name):
    result = run(engine, of_metric(name, phase=CONFIRM)).result
    again = type(result).from_json(result.to_json())
    for epoch, read in zip(result.curve, again.curve, strict=True):
        assert epoch.tested is not None
        assert read.tested is not None
        assert read.tested.bits == epoch.tested.bits
        assert read.tested.influence == epoch.tested.influence
        assert read.tested.value == pytest.approx(epoch.tested.value, rel=1e-8)
        weights = restored(read.tested.influence, read.tested.largest)
        assert len(weights) == read.tested.images == 100
        assert np.isfinite(weights).all()
        assert read.value == pytest.approx(epoch.value, rel=1e-8)


def test_where_lower_is_better_the_lowest_state_is_kept(engine, of_metric):
    trial = of_metric("log_loss", learning_rate=0.01)
    loss = run(engine, trial).result.score
    assert run(engine, trial, CheckpointPolicy(final=-loss)).state is not None
    assert run(engine, trial, CheckpointPolicy(final=-loss + 1e-6)).state is None
    training = engine.train(trial, CheckpointPolicy(epochs=frozenset({1, 2})))
    kept = [e for e in iter(lambda: next(training, None), None) if not hasattr(e, "value")]
    assert len(kept) == 2  # the loss falls, so that each is the best so far


def test_a_trial_that_diverges_has_the_loss_of_guessing(engine, of_metric):
    result = run(engine, of_metric("log_loss", optimizer="sgd", learning_rate=1e30)).result
    shares = np.array([120, 75, 5]) / 200
    assert result.status is Status.DIVERGED
    assert result.score == pytest.approx(-np.sum(shares * np.log(shares)))


def test_the_metric_tells_trials_apart_and_the_accuracy_is_as_it_was(trial):
    content = {"number": 0, "arm": "unit"}
    plain, other = trial(**content), trial(**content, metric="log_loss")
    assert plain.fingerprint != other.fingerprint
    assert plain.lineage != other.lineage
    assert plain.fingerprint == ("c871e9ce67093bd52d0d2e1e9e4c34beea351dafd482c65e63e3c87be25e9295")


def test_a_class_of_a_few_is_on_both_sides_of_every_split():
    counts = [40, 4, 3, 2]
    labels = np.repeat(np.arange(4), counts)
    rows = np.arange(49.0)[:, None]
    data = Dataset.of((rows, labels, rows, labels))
    for seed in range(20):
        parts = split(data, 0.2, seed)
        assert set(parts.y_train) == set(parts.y_val) == {0, 1, 2, 3}
        both = np.concatenate([parts.x_train, parts.x_val])[:, 0]
        assert sorted(both) == rows[:, 0].tolist()


def test_even_classes_are_split_as_ever():
    from sklearn.model_selection import train_test_split

    labels = np.arange(50) % 5
    rows = np.arange(50.0)[:, None]
    parts = split(Dataset.of((rows, labels, rows, labels)), 0.2, seed=3)
    _, val = train_test_split(np.arange(50), test_size=0.2, stratify=labels, random_state=3)
    assert parts.x_val[:, 0].tolist() == sorted(val)
