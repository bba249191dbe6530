from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from normsweep.analysis.confirm_runs import Curve
from normsweep.analysis.estimates import Estimate
from normsweep.errors import StoreError, TrackingFailed
from normsweep.sweep.study_record import DataFacts, TrialRecord
from normsweep.sweep.trial import DataKey, Epoch, Result, Status, Trial
from normsweep.tracking.model_registry import save_model
from normsweep.tracking.removal import logged_study, remove
from normsweep.tracking.tracker import TrackedStudy, Tracker
from normsweep.training.keras_engine import KerasEngine
from normsweep.training.snapshot import CheckpointPolicy
from tests.shared import place_stores

pytestmark = pytest.mark.system

DATA = DataFacts(
    name="digits",
    source="test",
    digest="d" * 64,
    train_images=10,
    test_images=5,
    classes=10,
)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{place_stores(tmp_path_factory.mktemp('tracking'))}/mlflow.db"


@pytest.fixture(params=["sqlite", "server"])
def uri(request, database: str) -> str:
    if request.param == "sqlite":
        return database
    return request.getfixturevalue("mlflow_server").url


@pytest.fixture
def tracker(uri, tmp_path, request) -> Tracker:
    sweep = tmp_path / "tested.toml"
    sweep.write_text("name = 'tested'")
    name = request.node.name.replace("[", "-").rstrip("]")
    tags = {"normsweep.sweep_file": "tested.toml"}
    study = TrackedStudy(
        name, name, "s" * 32, tags=tags, sweep_name=sweep.name, sweep_text=sweep.read_bytes()
    )
    return Tracker(uri, study, tmp_path / "artifacts")


@pytest.fixture
def record(digits_key: DataKey) -> TrialRecord:
    trial = Trial(
        number=7, arm="unit", slot=2, seed=3, data=digits_key, model="mlp",
        model_options={"units": 8}, normalization="unit", optimizer="sgd",
        optimizer_options={"momentum": 0.5}, learning_rate=0.25, batch_size=64, epochs=3,
    )  # fmt: skip
    curve = tuple(Epoch(7, e, 2.0 / e, 0.1 * e, 3.0 / e, 0.2 * e, 0.5) for e in (1, 2, 3))
    machine = {"device": "CPU: test", "threads": "2", "keras_version": "3"}
    return TrialRecord(
        trial, Result(7, Status.COMPLETE, curve, chance=0.1, seconds=4.0, machine=machine)
    )


def live(tracker: Tracker, record: TrialRecord) -> str:
    run_id = tracker.start(record.trial, DATA)
    assert record.result is not None
    for epoch in record.result.curve:
        tracker.epochs(run_id, [epoch])
    tracker.finish(run_id, record)
    return run_id


def runs(tracker: Tracker) -> list:
    return MlflowClient(tracker.uri).search_runs([tracker.experiment_id])


@pytest.mark.parametrize("write", [live, lambda t, r: t.log(r, DATA)], ids=["live", "later"])
def test_a_run_shows_every_epoch_and_what_decided_it(tracker, record, write):
    client, run_id = MlflowClient(tracker.uri), write(tracker, record)
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "007 unit sgd 0.25"
    for name, values in {
        "train/loss": [2.0, 1.0, 2 / 3], "train/accuracy": [0.1, 0.2, 0.3],
        "val/loss": [3.0, 1.5, 1.0], "val/accuracy": [0.2, 0.4, 0.6],
        "time/epoch_seconds": [0.5, 0.5, 0.5],
    }.items():  # fmt: skip
        points = client.get_metric_history(run_id, name)
        assert [p.step for p in points] == [1, 2, 3]
        assert [p.value for p in points] == pytest.approx(values)
    assert run.data.metrics["final/val_accuracy"] == pytest.approx(0.6)
    assert run.data.metrics["final/seconds"] == 4.0
    assert run.data.params["momentum"] == "0.5"
    assert run.data.params["model.units"] == "8"
    assert {
        "normalization",
        "optimizer",
        "learning_rate",
        "epochs",
        "seed",
    } <= run.data.params.keys()
    tags = run.data.tags
    assert tags["normsweep.arm"] == "unit"
    assert tags["normsweep.status"] == "complete"
    assert tags["normsweep.storage_id"] == "s" * 32
    assert tags["normsweep.device"] == "CPU: test"
    assert tags["normsweep.fingerprint"] == record.trial.fingerprint
    parts = {each.dataset.name: each for each in run.inputs.dataset_inputs}
    assert list(parts) == ["digits", "digits validation"]  # a search never sees the test images
    assert {d.dataset.digest for d in parts.values()} == {"d" * 12}
    assert {json.loads(d.dataset.source)["sha256"] for d in parts.values()} == {"d" * 64}
    assert [d.tags[0].value for d in parts.values()] == ["training", "validation"]
    assert run.data.params["log10_learning_rate"] == "-0.60206"
    assert tags["mlflow.note.content"] == (
        f"Trial 7 of the study {tracker.study.name} belongs to its search: it trains mlp on digits for 3 "
        "epochs with the arm “unit”, by sgd at a learning rate of 0.25, in batches of 64 and with seed 3."
    )
    assert [f.path for f in client.list_artifacts(run_id)] == ["tested.toml"]


def test_runs_show_the_labels_of_arms_and_are_relabelled(database, tmp_path, record):
    client = MlflowClient(database)

    def tracked(**labels: str) -> Tracker:
        study = TrackedStudy("labelled", "i" * 32, "s" * 32, labels=labels)
        return Tracker(database, study, tmp_path / "artifacts")

    def shown() -> list[tuple[str, str | None, str]]:
        found = client.search_runs([first.experiment_id], order_by=["start_time"])
        tags = [
            (run.data.tags.get("normsweep.label"), run.data.tags["normsweep.arm"]) for run in found
        ]
        return sorted((run.info.run_name, *pair) for run, pair in zip(found, tags, strict=True))

    first = tracked()
    first.log(record, DATA)
    client.update_run(first.log(numbered(record, 8), DATA), name="a name of the user's")
    labelled = tracked(unit="÷255")
    labelled.relabel()
    labelled.log(numbered(record, 9), DATA)
    given = ("a name of the user's", "÷255", "unit")
    assert shown() == [
        ("007 ÷255 sgd 0.25", "÷255", "unit"), ("009 ÷255 sgd 0.25", "÷255", "unit"), given,
    ]  # fmt: skip
    labelled.prepare_views(["optimizer"])
    views = client.get_experiment(first.experiment_id).tags
    assert "normsweep.label" in views["mlflow.sharedViewState.best"]
    assert "normsweep.arm" not in views["mlflow.sharedViewState.best"]
    first.relabel()
    assert [name for name, *_ in shown()] == ["007 unit sgd 0.25", "009 unit sgd 0.25", given[0]]


def numbered(record: TrialRecord, number: int) -> TrialRecord:
    assert record.result is not None
    result = replace(record.result, trial=number)
    return replace(record, trial=replace(record.trial, number=number), result=result)


def test_a_trial_that_confirms_has_the_test_images_as_a_dataset(tracker, record):
    trial = replace(record.trial, phase="confirm", configuration="tuned_long")
    run = MlflowClient(tracker.uri).get_run(tracker.log(replace(record, trial=trial), DATA))
    contexts = {each.dataset.name: each.tags[0].value for each in run.inputs.dataset_inputs}
    assert contexts["digits test"] == "test"
    assert "to its confirmation" in run.data.tags["mlflow.note.content"]
    assert "in the configuration tuned_long" in run.data.tags["mlflow.note.content"]


def test_only_the_best_trials_are_marked_as_such_and_a_deleted_run_is_no_obstacle(tracker, record):
    first, second = (tracker.log(numbered(record, number), DATA) for number in (1, 2))
    MlflowClient(tracker.uri).delete_run(tracker.log(numbered(record, 3), DATA))
    for best in ([first], [second], [second, "unknown"]):
        tracker.mark_best(best)
    marked = [r.info.run_id for r in runs(tracker) if "normsweep.best_of_arm" in r.data.tags]
    assert marked == [second]


def test_the_mean_over_seeds_is_one_run_by_arm_and_configuration_in_the_arms_colour(
    uri, tmp_path, request
):
    name = f"means-{request.node.callspec.id}"
    study = TrackedStudy(name, name, colours={"unit": "#6e7781"}, labels={"unit": "÷255"})
    tracker, client = Tracker(uri, study, tmp_path / "artifacts"), MlflowClient(uri)

    def logged(*values: float) -> dict[str, float]:
        epochs = tuple(Estimate(v, v - 0.1, v + 0.1, 5) for v in values)
        for _ in range(2):  # what has not changed is left alone
            tracker.log_means([Curve("÷255", "baseline", epochs)], {"÷255": "unit"}, 5)
        (run,) = runs(tracker)
        assert (run.info.run_name, run.info.status) == ("mean ÷255 baseline", "FINISHED")
        tags = run.data.tags
        assert (tags["mlflow.runColor"], tags["normsweep.arm"]) == ("#6e7781", "unit")
        assert tags["mlflow.note.content"].startswith("This run is the mean over 5 seeds of the ")
        points = client.get_metric_history(run.info.run_id, "test/accuracy")
        assert [(p.step, p.value) for p in points] == list(enumerate(values, start=1))
        return run.data.metrics

    assert logged(0.5, 0.75)["final/test_accuracy"] == 0.75
    assert logged(0.5, 0.875)["final/test_accuracy_low"] == pytest.approx(0.775)


def test_an_experiment_says_what_it_is_before_the_study_has_its_note(database, tmp_path):
    study = TrackedStudy("described", "id", question="Do <raw> inputs catch up?")
    tracker = Tracker(database, study, tmp_path / "artifacts")
    tags = MlflowClient(database).get_experiment(tracker.experiment_id).tags
    assert tags["mlflow.note.content"] == (
        "The study described has a run for each of its trials. It asks: Do &lt;raw> inputs catch up?"
    )


def test_logging_twice_makes_one_run(tracker, record):
    first = tracker.log(record, DATA)
    assert tracker.log(record, DATA) == first
    assert len(runs(tracker)) == 1


def test_a_piece_of_a_run_is_closed_and_the_whole_one_written_beside_it(tracker, record):
    piece = tracker.start(record.trial, DATA)
    tracker.epochs(piece, record.result.curve[:1])
    whole = tracker.log(record, DATA)
    states = {run.info.run_id: run.info.status for run in runs(tracker)}
    assert states == {piece: "KILLED", whole: "FINISHED"}


def test_no_piece_of_an_interrupted_trial_is_left_open(tracker, record):
    pieces = [tracker.start(record.trial, DATA) for _ in range(2)]
    interrupted = replace(record, result=replace(record.result, status=Status.INTERRUPTED))
    assert tracker.log(interrupted, DATA) in pieces
    assert [run.info.status for run in runs(tracker)] == ["KILLED", "KILLED"]


@pytest.mark.parametrize(
    ("status", "ends"),
    [
        (Status.DIVERGED, "FINISHED"), (Status.PRUNED, "FINISHED"), (Status.CRASHED, "FAILED"),
        (Status.TIMED_OUT, "FAILED"), (Status.INTERRUPTED, "KILLED"),
    ],
)  # fmt: skip
def test_a_run_ends_as_its_trial_did(tracker, record, status, ends):
    result = replace(record.result, status=status, error="why it ended")
    run = MlflowClient(tracker.uri).get_run(tracker.log(replace(record, result=result), DATA))
    assert (run.info.status, run.data.tags["normsweep.status"]) == (ends, status.value)
    assert run.data.tags["normsweep.error"] == "why it ended"
    expected = 0.1 if status is Status.DIVERGED else None
    assert run.data.metrics.get("final/val_accuracy") == expected


def test_a_loss_that_is_not_finite_is_shown_as_nan(tracker, record):
    bad = Epoch(7, 1, math.inf, 0.1, math.nan, math.nan, 0.1)
    result = Result(7, Status.DIVERGED, (bad,), chance=0.1)
    run_id = tracker.log(replace(record, result=result), DATA)
    points = MlflowClient(tracker.uri).get_metric_history(run_id, "train/loss")
    assert [math.isnan(p.value) for p in points] == [True]


def test_the_note_is_the_experiments_description(tracker):
    tracker.note("# the answer")
    experiment = MlflowClient(tracker.uri).get_experiment(tracker.experiment_id)
    assert experiment.tags["mlflow.note.content"] == "# the answer"
    assert f"#/experiments/{tracker.experiment_id}/runs" in tracker.page


def test_what_a_user_wrote_there_is_kept(tracker):
    client, key = MlflowClient(tracker.uri), "mlflow.note.content"
    tracker.note("# first")
    tracker.note("# second")
    assert client.get_experiment(tracker.experiment_id).tags[key] == "# second"
    client.set_experiment_tag(tracker.experiment_id, key, "mine")
    tracker.note("# third")
    assert client.get_experiment(tracker.experiment_id).tags[key] == "mine"


def test_an_experiment_of_ones_own_keeps_its_description_and_is_left_as_it_was(uri, tmp_path):
    client = MlflowClient(uri)
    mine = client.create_experiment("shared", tags={"mlflow.note.content": "mine", "a": "b"})
    client.create_run(mine)
    tracker = Tracker(uri, TrackedStudy("shared", "i" * 32, "s" * 32), tmp_path)
    tracker.prepare_views(["learning_rate"])
    tracker.note("# the answer")
    tags = client.get_experiment(mine).tags
    assert tags["mlflow.note.content"] == "mine"
    assert "mlflow.sharedViewState.trials" in tags
    client.create_run(mine, tags={**tracker._tags, "normsweep.study": "shared"})
    remove(client, logged_study(client, "shared", "i" * 32))
    left = client.get_experiment(mine)
    assert left.lifecycle_stage == "active"
    ours = ("normsweep", "mlflow.sharedView")
    assert [key for key in left.tags if key.startswith(ours)] == []
    assert (left.tags["mlflow.note.content"], left.tags["a"]) == ("mine", "b")


def test_a_model_whose_logging_failed_leaves_nothing(tracker, record, tmp_path):
    run_id = live(tracker, record)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "MLmodel").write_text("flavors: {}\n")
    logged = replace(record, run_id=run_id)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MlflowClient, "log_model_artifacts", lambda *_: 1 / 0)
        for _ in range(2):
            with pytest.raises(TrackingFailed):
                tracker.log_model(tmp_path / "model", logged, DATA, "unit")
    client = MlflowClient(tracker.uri)
    assert not client.search_logged_models([tracker.experiment_id])
    model_id = tracker.log_model(tmp_path / "model", logged, DATA, "unit")
    assert tracker.has_model(model_id)
    client.delete_logged_model(model_id)
    assert not tracker.has_model(model_id)


def test_the_sweep_is_logged_as_it_was_when_the_command_began(tracker, record, tmp_path):
    (tmp_path / "tested.toml").unlink()
    run_id = live(tracker, record)
    client = MlflowClient(tracker.uri)
    (file,) = (f.path for f in client.list_artifacts(run_id) if f.path.endswith(".toml"))
    assert Path(client.download_artifacts(run_id, file)).read_text() == "name = 'tested'"


@pytest.mark.parametrize("uri", ["server"], indirect=True)
def test_a_logged_model_takes_raw_pixels_where_normsweep_is_not_installed(
    tracker, record, digits_root, tmp_path
):
    trial = replace(record.trial, model="lenet", model_options={}, learning_rate=0.05)
    training, engine = (
        KerasEngine(digits_root).train(trial, CheckpointPolicy.last()),
        KerasEngine(digits_root),
    )
    try:
        while True:
            next(training)
    except StopIteration as end:
        finished = end.value
    saved = save_model(engine, trial, finished.state)
    saved.write(tmp_path / "model")
    assert saved.val_score == pytest.approx(finished.result.score, abs=0.004)
    record = TrialRecord(trial, finished.result)
    record = replace(record, run_id=tracker.log(record, DATA))
    model_id = tracker.log_model(tmp_path / "model", record, DATA, name="unit")
    code = f"""
import sys
sys.modules["normsweep"] = None  # importing it fails
import mlflow, numpy as np
from sklearn.datasets import load_digits
mlflow.set_tracking_uri({tracker.uri!r})
images = np.rint(load_digits().images * (255 / 16)).astype("uint8")
for uri in ("models:/{model_id}", "runs:/{record.run_id}/unit"):
    model = mlflow.pyfunc.load_model(uri)
    assert model.metadata.signature.inputs.inputs[0].type == np.dtype("uint8")
    assert model.metadata.signature.inputs.inputs[0].shape == (-1, 8, 8)
    assert model.input_example.shape == (2, 8, 8)
    predicted = model.predict(images).argmax(axis=1)
    accuracy = np.mean(predicted == load_digits().target)
    assert accuracy > {finished.result.score - 0.1}, accuracy
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_an_arms_alias_leads_to_its_model_and_the_study_has_its_views(tracker, record, tmp_path):
    run_id = live(tracker, record)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "MLmodel").write_text("flavors: {}\n")
    model_id = tracker.log_model(tmp_path / "model", replace(record, run_id=run_id), DATA, "unit")
    client, study = MlflowClient(tracking_uri=tracker.uri), tracker.study.name
    logged = client.get_logged_model(model_id)
    measured = {(m.dataset_name, m.key): m.value for m in logged.metrics}
    assert measured["digits validation", "final/val_accuracy"] == pytest.approx(0.6)
    assert measured["digits", "final/train_accuracy"] == pytest.approx(0.3)
    assert len(measured) == 4
    assert len(client.get_metric_history(run_id, "final/val_accuracy")) == 1
    for _ in range(2):
        assert tracker.register("unit", "unit", model_id, run_id)
        tracker.prepare_views(["normalization", "learning_rate"])
    (version,) = client.search_model_versions(f"name = '{study}'")
    assert client.get_model_version_by_alias(study, "unit").version == version.version
    assert (version.run_id, version.tags["normsweep.arm"]) == (run_id, "unit")
    tags = client.get_experiment(tracker.experiment_id).tags
    view = json.loads(tags["mlflow.sharedViewState.trials"])
    assert view["selectedColumns"][1] == view["orderByKey"] == "metrics.`final/val_accuracy`"
    assert "viewStateShareKey=trials&" in tracker.page


def test_a_store_that_cannot_be_opened_is_told_without_its_password(tmp_path):
    with pytest.raises(StoreError) as caught:
        Tracker("http://user:secret@127.0.0.1:9", TrackedStudy("tested", "id"), tmp_path)
    assert "--tracking-uri: cannot open http://user:***@127.0.0.1:9" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_server_that_is_gone_fails_the_write_and_not_the_program(mlflow_server, tmp_path, record):
    tracker = Tracker(mlflow_server.url, TrackedStudy("gone", "id"), tmp_path)
    mlflow_server.stop()
    try:
        with pytest.raises(TrackingFailed):
            tracker.start(record.trial, DATA)
    finally:
        mlflow_server.start()
    assert tracker.log(record, DATA)


def test_browsers_open_the_server_itself_unless_they_are_told_another_address(
    mlflow_server, database, tmp_path
) -> None:
    def address(uri: str, *page: str) -> str:
        return Tracker(uri, TrackedStudy("address", "id"), tmp_path, *page).address

    assert address(mlflow_server.url) == mlflow_server.url
    assert address(mlflow_server.url, "https://sweeps.example.org/") == "https://sweeps.example.org"
    assert address(database) == ""
