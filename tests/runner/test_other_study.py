"""A study that takes what another one has trained, and a study whose database is opened in another place."""

from __future__ import annotations

import io
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path

import optuna
import pytest
from mlflow import MlflowClient

from normsweep.cli import main
from normsweep.runner.checkpoints import Curves
from normsweep.shell import run
from normsweep.store.storage import open_storage, read_study
from normsweep.study import app
from normsweep.sweep.study_record import StudyRecord, TrialRecord
from normsweep.sweep.trial import CONFIRM, SEARCH, Result, Tested, Trial
from tests import shared

SWEEP = """
name = "first"
reference = "unit"
[data]
dataset = "digits"
[model]
name = "synthetic"
[search]
trials = 4
sampler = "random"
[search.space]
normalization = ["none", "unit"]
learning_rate = { low = 1e-4, high = 1e-2, log = true }
optimizer = "adam"
epochs = 2
[confirm]
seeds = 2
epochs = 2
margin = 0.02
baseline = { optimizer = "adam", learning_rate = 0.001, epochs = 2 }
"""


@dataclass(frozen=True)
class Place:
    """A folder with a sweep, and its stores below `mlruns`."""

    folder: Path

    @property
    def storage(self) -> str:
        return f"sqlite:///{self.folder}/mlruns/optuna.db"

    @property
    def tracking(self) -> str:
        return f"sqlite:///{self.folder}/mlruns/mlflow.db"

    def study(self, *arguments: str, status: int = 0) -> str:
        return self._said(app, ["first.toml", "--executor", "inline", *arguments], status)

    def command(self, *arguments: str, status: int = 0) -> str:
        return self._said(main.app, list(arguments), status)

    def _said(self, command, arguments: list[str], status: int) -> str:
        said = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(said):
            patch.chdir(self.folder)
            assert run(command, arguments) == status, said.buffer.getvalue().decode()  # type: ignore[attr-defined]
        return said.buffer.getvalue().decode()  # type: ignore[attr-defined]

    def records(self, study: str = "first") -> tuple[TrialRecord, ...]:
        return read_study(self.storage, study).trials

    def runs(self, study: str = "first") -> dict[str, dict[str, str]]:
        """The tags of the trials' runs in MLflow, by id."""
        client = MlflowClient(self.tracking)
        experiment = client.get_experiment_by_name(study)
        assert experiment is not None
        found = client.search_runs([experiment.experiment_id])
        return {r.info.run_id: r.data.tags for r in found if "normsweep.trial" in r.data.tags}


def placed(folder: Path) -> Place:
    folder.mkdir(exist_ok=True)
    (folder / "first.toml").write_text(SWEEP)
    return Place(folder)


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> Place:
    """A study that has ended; to be read or copied only."""
    place = placed(tmp_path_factory.mktemp("first"))
    shared.place_stores(place.folder / "mlruns")
    place.study()
    return place


@pytest.fixture
def copied(first, tmp_path) -> Place:
    place = placed(tmp_path / "copied")
    shutil.copytree(first.folder / "mlruns", place.folder / "mlruns")
    return place


def values(record: TrialRecord) -> list[tuple[object, ...]]:
    assert record.result is not None
    return [(e.train_loss, e.val_loss, e.val_accuracy, e.tested) for e in record.result.curve]


def result_of(record: TrialRecord) -> Result:
    assert record.result is not None
    return record.result


def test_the_search_of_a_study_that_ended_is_what_optuna_shows(first):
    study = optuna.load_study(storage=first.storage, study_name="first")
    searched = [r for r in first.records() if r.trial.phase == SEARCH]
    assert len(study.trials) == len(searched) == 4
    best = max(result_of(r).score for r in searched)
    assert study.best_trial.value == pytest.approx(best)
    assert "learning_rate" in optuna.importance.get_param_importances(study)
    names = optuna.get_all_study_names(first.storage)
    assert sorted(names) == ["first", "first/confirm"]


def test_a_new_study_takes_the_trials_of_another_one(copied):
    before = copied.records()
    said = copied.study("--study-name", "second", "--reuse", "first")
    assert "trials that study first has finished are reused" in said
    after = copied.records("second")
    assert [r.trial.phase for r in after] == [r.trial.phase for r in before]
    assert list(map(values, after)) == list(map(values, before))
    by_number = {r.trial.number: r for r in before}
    for record in after:
        result = result_of(record)
        assert (result.origin_study, result.reused) == ("first", len(result.curve))
        assert result.origin is not None
        origin = by_number[result.origin]
        assert origin.trial.fingerprint == record.trial.fingerprint
        assert result.machine == result_of(origin).machine
    confirmed = [r for r in after if r.trial.phase == CONFIRM]
    assert confirmed
    assert all(e.tested for r in confirmed for e in result_of(r).curve)
    assert {tags["normsweep.reused_study"] for tags in copied.runs("second").values()} == {"first"}
    assert "reused_study                  first" in copied.command("show", "second", "0")
    table = copied.command("export", "trials", "--study-name", "second")
    header, row = table.splitlines()[:2]
    column = header.split(",").index("reused_study")
    assert row.split(",")[column] == "first"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("frist", '--reuse: no study "frist" in .* available: first'),
        ("first", "--reuse: must be another study, got first"),
    ],
)
def test_a_study_to_reuse_that_is_none_is_one_line(first, name, why):
    (line,) = first.study("--reuse", name, status=2).splitlines()
    assert line.startswith("normsweep: ")
    assert re.search(why, line)


@pytest.fixture
def curves(record: Callable[..., TrialRecord]) -> Callable[..., Result | None]:
    """What is reused of another study's trial."""

    def reused(known: TrialRecord, trial: Trial, **identity: str) -> Result | None:
        other = StudyRecord("other", "id", sweep=None, trials=(known,))  # type: ignore[arg-type]
        return Curves([], lambda _: identity, other).result(trial)

    return reused


def test_a_trial_of_another_machine_is_taken_as_it_was_recorded(curves, record):
    known = record(7, scores=(0.5, 0.9))
    trial = replace(known.trial, number=0)
    result = curves(known, trial, device="gpu", threads="8")
    assert (result.origin, result.origin_study, result.trial) == (7, "other", 0)
    assert result.machine == {"device": "cpu", "threads": "2"}
    assert curves(known, replace(trial, epochs=3), device="gpu") is None  # it is not continued
    assert curves(known, replace(trial, seed=1), device="gpu") is None
    assert curves(known, trial) is None  # what it would be here is unknown


def test_a_component_that_is_another_one_now_is_not_reused(curves, record):
    known = record(7)
    machine = {"device": "cpu", "model_digest": "a"}
    known = replace(known, result=replace(result_of(known), machine=machine))
    assert curves(known, known.trial, model_digest="a", device="gpu") is not None
    assert curves(known, known.trial, model_digest="b", device="cpu") is None


def test_a_confirmation_is_reused_with_its_test_results_only_by_a_confirmation(curves, record):
    known = record(7, phase=CONFIRM)
    result = result_of(known)
    tested = tuple(replace(e, tested=Tested(8, b"\xf0")) for e in result.curve)
    whole = replace(known, result=replace(result, curve=tested, test_digest="t"))
    search = replace(known.trial, phase=SEARCH)
    assert curves(known, known.trial, device="cpu") is None
    assert curves(whole, known.trial, device="cpu").test_digest == "t"
    assert curves(whole, search, device="cpu") is None


def test_in_another_place_what_its_mlflow_lacks_is_logged_once(first, tmp_path):
    place = placed(tmp_path / "other")
    (place.folder / "mlruns").mkdir()
    shutil.copyfile(first.folder / "mlruns" / "optuna.db", place.folder / "mlruns" / "optuna.db")
    total = len(first.records())
    assert f"first: logged {total} of {total} trials" in place.command("sync")
    runs = place.runs()
    assert sorted(tags["normsweep.trial"] for tags in runs.values()) == sorted(
        str(r.trial.number) for r in place.records()
    )
    assert {r.run_id for r in place.records()} == runs.keys()
    assert runs.keys().isdisjoint(first.runs())
    assert "first: logged 0 of 0 trials" in place.command("sync")
    assert place.runs().keys() == runs.keys()
    place.command("show", "first", "0")
    place.command("show", "first")
    assert "unit" in place.command("export", "best")
    place.command("report")
    assert (place.folder / "mlruns" / "reports" / "first" / "index.html").exists()


def test_where_it_was_logged_nothing_is_logged_again(copied):
    """Also where the folder was moved, and so MLflow's database with it."""
    runs = copied.runs().keys()
    assert "first: logged 0 of 0 trials" in copied.command("sync")
    assert copied.runs().keys() == runs


AGAIN = """first: report and models are logged by running the study's command again:
  python -m normsweep.study SWEEP.toml --study-name first
"""


def test_a_finished_study_whose_mlflow_lost_its_database_is_logged_again_by_sync(copied):
    """A server at the same address that begins anew; the study's command answers from its own marks."""
    total, before = len(copied.records()), {r.run_id for r in copied.records()}
    (copied.folder / "mlruns" / "mlflow.db").unlink()
    said = copied.command("sync")
    assert said == f"first: logged {total} of {total} trials that were not yet logged\n{AGAIN}"
    assert copied.runs().keys() == {r.run_id for r in copied.records()}
    assert before.isdisjoint(copied.runs())
    assert copied.command("sync") == "first: logged 0 of 0 trials that were not yet logged\n"
    copied.study()
    client = MlflowClient(copied.tracking)
    experiment = client.get_experiment_by_name("first")
    assert experiment is not None
    query = "tags.`normsweep.phase` = 'report'"
    assert len(client.search_runs([experiment.experiment_id], query)) == 1


def test_runs_that_mlflow_has_lost_are_found_and_logged_again_by_sync(copied):
    """As after a backup of MLflow's database was restored; runs that a user deleted are not lost."""
    lost, deleted, *others = (r.run_id for r in copied.records())
    with sqlite3.connect(copied.folder / "mlruns" / "mlflow.db") as database:
        database.execute("DELETE FROM runs WHERE run_uuid = ?", (lost,))
        running = "UPDATE runs SET status = 'RUNNING' WHERE run_uuid = ?"
        database.execute(running, (others[0],))
    MlflowClient(copied.tracking).delete_run(deleted)
    assert copied.command("sync") == (
        "first: MLflow has lost the runs of 2 trials\n"
        f"first: logged 2 of 2 trials that were not yet logged\n{AGAIN}"
    )
    runs = {r.run_id for r in copied.records()}
    assert runs - copied.runs().keys() == {deleted}
    assert runs.isdisjoint({lost, others[0]})
    assert copied.command("sync") == "first: logged 0 of 0 trials that were not yet logged\n"


def test_a_mark_of_a_version_that_named_no_store_counts_as_it_did_until_sync_looks(copied):
    storage = open_storage(copied.storage, create=False)
    key = storage.get_study_id_from_name("first")
    for record in copied.records():
        storage.set_study_user_attr(key, f"normsweep:run:{record.trial.number}", record.run_id)
    assert {r.run_store for r in copied.records()} == {""}
    assert all(r.run_id for r in copied.records())
    other = placed(copied.folder.parent / "other")
    (other.folder / "mlruns").mkdir()
    shutil.copyfile(copied.folder / "mlruns" / "optuna.db", other.folder / "mlruns" / "optuna.db")
    assert "first: logged 0 of 0 trials" in copied.command("sync")
    total = len(other.records())
    assert all(r.logged_in("any") for r in other.records())
    said = other.command("sync")
    assert (
        f"first: MLflow has lost the runs of {total} trials\nfirst: logged {total} of {total}"
        in said
    )
