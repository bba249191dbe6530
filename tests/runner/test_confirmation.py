"""A whole study with planted truths, from its search to its verdicts, however it is cut up."""

from __future__ import annotations

import contextlib
import io
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient

from normsweep import export, study
from normsweep.reporting.formats import FORMATS
from normsweep.shell import run
from normsweep.store.storage import read_study
from normsweep.sweep.study_record import StudyRecord
from normsweep.sweep.trial import CONFIRM, SEARCH, Status
from tests import forkserver, shared

# On digits' 360 test images, with a margin of 2 points: `none` comes to 85 · exp(-epoch) points
# below `unit`, and so within the margin from epoch 4 on; `standardize` stays 10 points below;
# `center` stays near the margin itself, where 360 images do not decide.
SWEEP = """
name = "confirmed"
question = "Are the planted truths found?"
reference = "unit"
[data]
dataset = "digits"
[model]
name = "synthetic"
[model.options]
ceiling = { standardize = 0.85, center = 0.93, default = 0.95 }
speed = { none = 1.0, default = 3.0 }
noise = 0.0005
[search]
trials = 4
[search.space]
normalization = ["none", "unit", "standardize", "center"]
learning_rate = 0.001
optimizer = "adam"
epochs = 8
[confirm]
seeds = 5
margin = 0.02
"""
ARMS = ("none", "unit", "standardize", "center")


class Place:
    """A folder with a sweep, and the study that is run there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shared.place_stores(folder / "mlruns")
        self.storage = f"sqlite:///{folder}/mlruns/optuna.db"
        (folder / "confirmed.toml").write_text(SWEEP)

    def study(self, *arguments: str) -> str:
        """Run the command in this process; what it says."""
        said = io.StringIO()
        given = ["confirmed.toml", "--executor", "inline", *arguments]
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(said):
            assert run(study.app, given) == 0, said.getvalue()
        return said.getvalue()

    def export(self, kind: str, status: int = 0) -> Path:
        path = self.folder / f"verdict.{kind}"
        given = ["verdict", "--storage", self.storage, "--format", kind, "-o", str(path)]
        assert run(export.app, given) == status
        return path

    def verdicts(self) -> pd.DataFrame:
        return pd.read_parquet(self.export("parquet")).set_index(["question", "arm"])

    def read(self) -> StudyRecord:
        return read_study(self.storage, "confirmed")

    def phases(self) -> Counter[str]:
        """How many trials of each phase are recorded."""
        return Counter(record.trial.phase for record in self.read().trials)


def paired(place: Place, seeds: int) -> None:
    """Every arm was trained once on the very same seeds, and the look has all of them."""
    record = place.read()
    done = [r for r in record.confirmed if r.result.status is Status.COMPLETE]
    for arm in record.arms:
        assert sorted(r.trial.seed for r in done if r.trial.arm == arm) == [*range(1, seeds + 1)]
    assert len({r.trial.fingerprint for r in done}) == len(done)
    numbers = {r.trial.number for r in done}
    for configuration in record.analyses[-1].configurations:
        assert len(configuration.runs) == seeds
        assert numbers.issuperset(configuration.runs)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A study that was run by one command from beginning to end."""
    made = Place(tmp_path_factory.mktemp("whole"))
    made.study()
    return made


@pytest.fixture(scope="module")
def first(place: Place) -> pd.DataFrame:
    """The verdicts of the study's first look."""
    return place.verdicts()


def test_one_command_searches_and_confirms(place):
    record = place.read()
    assert place.phases() == {SEARCH: 4, CONFIRM: 20}
    assert len(record.analyses) == 1
    assert {r.result.status for r in record.trials} == {Status.COMPLETE}
    paired(place, 5)


def test_every_planted_truth_is_found(first):
    found = first.loc["both_tuned"]
    assert found["outcome"].to_dict() == {
        "none": "level",
        "standardize": "clearly behind",
        "center": "behind",
    }
    assert found["word"].to_dict() == {
        "none": "catches up",
        "standardize": "does not catch up",
        "center": "not enough evidence",
    }
    assert found["primary"].all()
    low, up = found.loc["none", ["epoch_low", "epoch"]]
    assert low <= 4 <= up <= 7
    assert found.loc["standardize", "gap"] == pytest.approx(-0.1, abs=0.03)
    assert found.loc["center", "low"] < -0.02 < found.loc["center", "high"]
    assert set(found["seeds"]) == {5}
    assert set(found["images"]) == {360}


def test_mlflow_shows_the_confirmations_runs_with_their_test_curves(place):
    client = MlflowClient(f"sqlite:///{place.folder}/mlruns/mlflow.db")
    records = place.read().trials
    for record in records:
        run_ = client.get_run(record.run_id)
        tags = run_.data.tags
        points = client.get_metric_history(record.run_id, "test/accuracy")
        assert tags["normsweep.phase"] == record.trial.phase
        if record.trial.phase == SEARCH:
            assert points == []
            assert "final/test_accuracy" not in run_.data.metrics
            continue
        assert tags["normsweep.configuration"] == "baseline, tuned_short, tuned_long"
        assert run_.info.run_name.endswith(f"seed {record.trial.seed}")
        assert [p.step for p in points] == list(range(1, 9))
        tested = [e.tested.accuracy for e in record.result.curve]
        assert [p.value for p in points] == pytest.approx(tested)
        assert run_.data.metrics["final/test_accuracy"] == pytest.approx(tested[-1])


def test_the_experiments_note_has_the_verdicts(place, first):
    client = MlflowClient(f"sqlite:///{place.folder}/mlruns/mlflow.db")
    note = client.get_experiment_by_name("confirmed").tags["mlflow.note.content"]
    assert "Are the planted truths found?" in note
    for verdict in first["verdict"]:
        assert verdict in note


@pytest.mark.parametrize("kind", FORMATS)
def test_the_verdict_is_written_in_every_format(place, kind):
    content = place.export(kind).read_bytes()
    assert content.startswith(b"PAR1") if kind == "parquet" else b"clearly behind" in content
    assert b"<NA>" not in content


def test_the_same_command_again_trains_nothing_and_adds_no_look(place):
    before = place.read()
    assert "the search of confirmed is done: 4 of 4 trials" in place.study()
    assert place.read() == before


def test_more_seeds_would_change_the_level_and_are_refused(place):
    before, said = place.read(), io.StringIO()
    given = ["confirmed.toml", "--executor", "inline", "--set", "confirm.seeds=6"]
    with contextlib.chdir(place.folder), contextlib.redirect_stderr(said):
        assert run(study.app, given) == 2
    assert "--study-name confirmed-2 --reuse confirmed" in said.getvalue()
    assert place.read() == before


def test_under_earlier_rules_more_seeds_are_another_analysis(tmp_path):
    place = Place(tmp_path)
    given = ("--set", "rules=2", "search.space.normalization=['none', 'unit']", "search.trials=2")
    place.study(*given)
    before = place.read().trials
    place.study(*given, "confirm.seeds=6")
    record = place.read()
    assert record.trials[: len(before)] == before
    assert [r.trial.seed for r in record.trials[len(before) :]] == [6] * 2
    assert [analysis.seeds for analysis in record.analyses] == [5, 6]
    paired(place, 6)
    assert set(place.verdicts()["look"]) == {2}


def test_phases_one_by_one_come_to_the_same_verdicts(first, tmp_path, capsys):
    place = Place(tmp_path)
    said = place.study("--timeout", "1e-9")
    assert "stopped at the time limit of 1e-09 s with 4 of 4 trials left" in said
    assert place.phases() == {}
    place.study("--phase", "search", "--n-trials", "2")
    assert place.phases() == {SEARCH: 4}  # one an arm
    assert place.read().analyses == ()
    place.export("csv", status=2)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("normsweep: study confirmed: has no verdict yet; its confirmation gives")
    assert "python -m normsweep.study SWEEP.toml --study-name confirmed" in line
    assert line.endswith(" --phase confirm")
    before = place.read().trials
    place.study("--phase", "confirm")
    assert place.phases() == {SEARCH: 4, CONFIRM: 20}
    assert place.read().trials[:4] == before
    pd.testing.assert_frame_equal(place.verdicts(), first)


def test_a_real_network_is_tested_and_looked_into_with_its_baseline_where_nothing_was_searched(
    tmp_path,
):
    place = Place(tmp_path)
    place.study(
        "--phase", "confirm",
        "--set", "model={ name = 'mlp', options = { units = 8, layers = 1 } }", "confirm.seeds=2",
        "search.space.normalization=['none', 'unit']", "search.space.epochs=2",
        "confirm.baseline.epochs=1", "model.batch_size=383",
    )  # fmt: skip
    record = place.read()
    records = record.trials
    assert place.phases() == {CONFIRM: 4}
    assert {r.trial.configuration for r in records} == {"baseline"}
    assert record.diagnoses.keys() == {"none", "unit"}
    none, unit = (record.diagnoses[arm].initialization for arm in ("none", "unit"))
    assert none.input_mean == pytest.approx(255 * unit.input_mean, rel=1e-4)
    assert [name for name, _ in unit.gradients] == ["dense_1", "dense_2"]
    assert all(e.tested.images == 360 for r in records for e in r.result.curve)
    assert len({r.result.test_digest for r in records}) == 1
    verdicts = place.verdicts()
    assert verdicts["verdict"].str.contains("at least 5 seeds are needed").all()
    # After six steps some of these networks are no better than guessing.
    assert (verdicts["trained"] + verdicts["stuck"]).tolist() == [2, 2, 0, 0, 0, 0]
    assert "no search trial of none completed" in verdicts["warnings"].iloc[-1]


def test_a_confirmation_that_is_stopped_is_completed_by_the_same_command(tmp_path):
    place = Place(tmp_path)
    arguments = (
        "--set", "model.options.seconds=0.05", "search.space.epochs=2", "confirm.baseline.epochs=1",
        'search.space.normalization=["none", "unit"]',
    )  # fmt: skip
    interrupt(place, 4 + 3, "confirmed.toml", "--executor", "inline", *arguments)
    before = {r.trial.number for r in place.read().trials if r.result.status is Status.COMPLETE}
    assert place.read().analyses == ()
    assert place.phases()[CONFIRM] < 10
    place.study(*arguments)
    paired(place, 5)
    records = place.read().trials
    done = Counter(r.trial.phase for r in records if r.result.status is Status.COMPLETE)
    assert done == {SEARCH: 4, CONFIRM: 10}
    assert before <= {r.trial.number for r in records if r.result.status is Status.COMPLETE}
    assert len(place.read().analyses) == 1


def interrupt(place: Place, count: int, *arguments: str) -> None:
    """Run a study in a process of its own, and press Ctrl-C once so many trials are complete."""
    process = forkserver.Popen(
        [sys.executable, "-m", "normsweep.study", *arguments],
        cwd=place.folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    wait_for_trials(place, count)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said


def wait_for_trials(place: Place, count: int) -> None:
    """Until so many trials are complete; asked of the database itself, which takes no time."""
    deadline = time.monotonic() + 120
    done = 0
    while done < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        file = place.folder / "mlruns" / "optuna.db"
        with (
            contextlib.suppress(sqlite3.OperationalError),  # not made yet
            contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database,
        ):
            query = "SELECT count(*) FROM trials WHERE state = 'COMPLETE'"
            (done,) = database.execute(query).fetchone()
