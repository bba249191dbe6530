"""Looking at studies, training a trial again, clearing away: on a real study of simulated trials."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from normsweep import export, report, study
from normsweep.cli import main
from normsweep.shell import run
from normsweep.store.locks import lock_study, locked_by
from normsweep.store.storage import read_study
from tests import forkserver, shared

SWEEP = """
name = "daily"
question = "Is the planted truth found?"
reference = "unit"
[data]
dataset = "digits"
[model]
name = "synthetic"
options = { ceiling = { none = 0.9, default = 0.99 } }
[search]
trials = 6
[search.space]
normalization = ["none", "unit"]
learning_rate = { low = 1e-4, high = 1e-2, log = true }
optimizer = ["sgd", "adam"]
epochs = { low = 2, high = 4 }
[confirm]
seeds = 5
"""
STORES = ("--storage", "sqlite:///{0}/mlruns/optuna.db", "--tracking-uri", "sqlite:///{0}/mlruns/mlflow.db")  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Iterator[Path]:
    """A folder with a study that was searched and confirmed; nobody changes it."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "daily.toml").write_text(SWEEP)
        shared.place_stores(folder / "mlruns")
        assert run(study.app, ["daily.toml", "--executor", "inline", "-q", *stores(folder)]) == 0
        yield folder


@pytest.fixture
def place(made, tmp_path, monkeypatch) -> Path:
    """A copy of that folder to work in; what MLflow wrote of artifacts lies in the copy too."""
    folder = tmp_path / "place"
    shutil.copytree(made, folder)
    with sqlite3.connect(folder / "mlruns" / "mlflow.db") as database:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            database.execute(
                f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (str(made), str(folder))
            )
    database.close()
    monkeypatch.chdir(folder)
    return folder


def stores(folder: Path) -> list[str]:
    return [word.format(folder) for word in STORES]


@pytest.fixture
def says(place, capsys) -> Callable[..., str]:
    """`says(status, *command)`: what a command says, and that it ends with that status."""

    def said(status: int, *command: str) -> str:
        given = stores(place) if command[0] not in ("rerun", "list") else stores(place)[:2]
        got = run(main.app, [*command, *given])
        captured = capsys.readouterr()
        assert got == status, captured
        assert "Traceback" not in captured.err
        return captured.out + captured.err

    return said


def edited(place: Path, number: int, change: Callable[[dict], None]) -> None:
    """Change what is recorded as a trial's result."""
    with sqlite3.connect(place / "mlruns" / "optuna.db") as database:
        ((key, text),) = database.execute(
            "SELECT trial_user_attribute_id, value_json FROM trial_user_attributes a JOIN trials t "
            "USING (trial_id) JOIN studies USING (study_id) WHERE key = 'normsweep:result' "
            "AND number = ? AND study_name NOT LIKE '%/%'", (number,)
        )  # fmt: skip
        result = json.loads(json.loads(text))
        change(result)
        database.execute(
            "UPDATE trial_user_attributes SET value_json = ? WHERE trial_user_attribute_id = ?",
            (json.dumps(json.dumps(result)), key),
        )
    database.close()


def test_studies_are_listed_with_status_trials_best_and_age(says, place):
    row = next(line for line in says(0, "list", "studies").splitlines() if "daily" in line)
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells[:2] == ["daily", "done"]
    assert re.fullmatch(r"6/6 \+ (\d+)/\1", cells[2])
    assert re.fullmatch(r"0\.\d{4} unit", cells[3])
    assert re.fullmatch(r"\d+ (s|min) ago", cells[4])


def test_a_study_that_is_driven_is_shown_as_running_and_is_not_deleted(says, place):
    url = stores(place)[1]
    assert locked_by(url, "daily") == ""
    with lock_study(url, "daily"):
        assert locked_by(url, "daily").startswith(f"process {os.getpid()} on ")
        assert "│ running │" in says(0, "list", "studies")
        assert f"running by process {os.getpid()}" in says(0, "show", "daily")
        assert "study daily is locked by process" in says(2, "delete", "daily", "--yes")
    assert locked_by(url, "daily") == ""
    # A name that a killed driver left holds nobody back.
    Path(f"{place}/mlruns/optuna.db.daily.lock").write_text("process 1 on earth")
    assert locked_by(url, "daily") == ""


def test_a_study_and_a_trial_are_shown_in_full_with_the_command_that_trains_it_again(says, place):
    shown = says(0, "show", "daily")
    for text in ("Is the planted truth found?", "best trial of each arm", "verdicts", "does not catch up"):  # fmt: skip
        assert text in shown
    record = read_study(stores(place)[1], "daily").trials[3]
    shown = says(0, "show", "daily", "3")
    for text in (record.trial.fingerprint, record.trial.data.digest, record.run_id):
        assert text in shown
    assert f"learning_rate                 {record.trial.learning_rate}" in shown
    assert f"normsweep rerun daily 3 --storage {stores(place)[1]}" in shown
    assert "TRIAL: no trial 999 in study daily; available: 0 to " in says(2, "show", "daily", "999")


def test_text_from_a_store_drives_no_terminal(says, place):
    edited(place, 3, lambda result: result.update(error="\x1b[2J\u202eboo", status="crashed"))
    shown = says(0, "show", "daily", "3")
    assert "\\x1b[2J\\u202eboo" in shown
    assert not re.search("[\x1b\u202e]", shown)


APPS = {
    "normsweep": main.app,
    "python -m normsweep.study": study.app,
    "python -m normsweep.export": export.app,
    "python -m normsweep.report": report.app,
}
WORDS = """python() {{ printf '%s\\0' "python $1 $2" "${{@:3}}"; }}
normsweep() {{ printf '%s\\0' normsweep "$@"; }}
{}"""


def pasted(command: str) -> int:
    """Paste a printed command into bash, and run what the program gets; `ui` is only parsed."""
    said = subprocess.run(
        ["bash", "-c", WORDS.format(command)], capture_output=True, text=True, check=True
    )
    program, *words = said.stdout.split("\0")[:-1]
    if words[0] == "ui":
        APPS[program].parse_args(words, exit_on_error=False, print_error=False)
        return 0
    return run(APPS[program], words + (["--yes"] if words[0] == "delete" else []))


def test_every_printed_command_runs_as_printed_in_any_folder(place, tmp_path, monkeypatch, capsys):
    folder = place.rename(tmp_path / 'it\'s "my" $HOME runs')
    monkeypatch.chdir(folder)
    assert run(study.app, ["daily.toml", "--executor", "inline", *stores(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    for command in (["show", "daily"], ["show", "daily", "0"]):
        assert run(main.app, [*command, *stores(folder)]) == 0
        lines += capsys.readouterr().out.splitlines()
    commands = list(
        dict.fromkeys(line.strip() for line in lines if re.match("  (python|normsweep) ", line))
    )
    commands = [command.replace(" TRIAL ", " 0 ") for command in commands]
    assert len(commands) > 5
    for command in sorted(commands, key=lambda each: " delete " in each):
        assert pasted(command) == 0, (command, capsys.readouterr().err)


@pytest.mark.parametrize("phase", ["search", "confirm"])
def test_a_trial_that_is_run_again_gives_the_same_curve_and_changes_no_record(says, place, phase):
    before = {path: path.read_bytes() for path in place.rglob("*.db")}
    trials = [r.trial.number for r in read_study(stores(place)[1], "daily").trials if r.trial.phase == phase]  # fmt: skip
    assert "the same curve, bit for bit: " in says(0, "rerun", "daily", str(trials[1]))
    assert {path: path.read_bytes() for path in place.rglob("*.db")} == before


def test_a_trial_whose_data_is_gone_gets_it_anew(says, place):
    shutil.rmtree(place / "mlruns" / "data")
    assert "the same curve, bit for bit" in says(0, "rerun", "daily", "1")
    assert not (place / "mlruns" / "data").exists()


def test_what_differs_from_the_record_is_said(says, place):
    def change(result: dict) -> None:
        result["curve"][1][3] += 1e-8
        result["machine"]["python_version"] = "2.7"

    edited(place, 2, change)
    said = says(1, "rerun", "daily", "2")
    assert f"python_version: 2.7 -> {sys.version.split()[0]}" in said
    assert "a different curve: epoch 2 differs\n" in said


def test_a_deleted_study_is_gone_from_everywhere_and_its_name_is_free(says, place):
    client = MlflowClient(tracking_uri=stores(place)[3])
    assert client.get_experiment_by_name("daily") is not None
    told = says(2, "delete", "daily")
    assert "--yes: required" in told
    assert "the study daily in the storage: " in told
    assert "mlruns/reports/daily: " in told
    said = says(0, "delete", "daily", "--yes")
    assert said.endswith("deleted\n")
    assert "daily" not in says(0, "list", "studies")
    assert client.get_experiment_by_name("daily") is None
    with sqlite3.connect(place / "mlruns" / "mlflow.db") as database:
        for table in ("runs", "metrics", "params", "tags", "logged_models"):
            assert database.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    database.close()
    assert not (place / "mlruns" / "reports" / "daily").exists()
    assert not [p for p in (place / "mlruns" / "artifacts").rglob("*") if p.is_file()]
    assert run(study.app, ["daily.toml", "--executor", "inline", "-q", "--phase", "search", *stores(place)]) == 0  # fmt: skip


def test_what_is_not_the_studys_is_left_where_it_is_deleted(says, place):
    client = MlflowClient(tracking_uri=stores(place)[3])
    experiment = client.get_experiment_by_name("daily").experiment_id
    own = client.create_run(experiment, run_name="somebody's").info.run_id
    client.create_registered_model("daily")
    assert "its experiment has other runs and is kept" in says(0, "delete", "daily", "--yes")
    assert [r.info.run_id for r in client.search_runs([experiment])] == [own]
    assert client.get_registered_model("daily").name == "daily"


STORAGE = "normsweep.storage_id"


def our_storage(client: MlflowClient) -> dict[str, str]:
    """The tag of the runs that are from this storage."""
    experiment = client.get_experiment_by_name("daily").experiment_id
    (identity,) = {r.data.tags[STORAGE] for r in client.search_runs([experiment])}
    return {STORAGE: identity}


def orphan(client: MlflowClient, name: str, ended: bool = True, **tags: str) -> str:
    """A run, and a registered model, of a study that this storage does not have."""
    found = client.get_experiment_by_name(name)
    experiment = found.experiment_id if found else client.create_experiment(name)
    own = {"normsweep.study": name, "normsweep.study_id": "1" * 32, **tags}
    if not found:
        client.create_registered_model(name, tags=own)
    run_id = client.create_run(experiment, tags=own).info.run_id
    if ended:
        client.set_terminated(run_id)
    return run_id


def test_what_other_storages_logged_to_the_same_mlflow_is_never_cleaned_up(says, place):
    client = MlflowClient(tracking_uri=stores(place)[3])
    ours = our_storage(client)
    others = {
        "theirs": orphan(client, "theirs", **{STORAGE: "f" * 32}),
        "daily": orphan(client, "daily", **{STORAGE: "f" * 32}),  # of the same name
        "older": orphan(client, "older"),
    }
    mixed = orphan(client, "mixed", **ours), orphan(client, "mixed", **{STORAGE: "f" * 32})
    gone = orphan(client, "gone", **ours)
    said = says(0, "gc", "--yes")
    assert "kept in MLflow: older: not in this storage, and logged by an older " in said
    assert "daily" not in said
    assert "theirs" not in said
    for name, run_id in {**others, "mixed": mixed[1]}.items():
        assert client.get_run(run_id).info.lifecycle_stage == "active"
        assert client.get_experiment_by_name(name).lifecycle_stage == "active"
    assert {m.name for m in client.search_registered_models()} == {"older", "theirs"}
    assert not [r for r in client.search_runs(["0"]) if r.info.run_id == gone]
    assert client.get_experiment_by_name("gone") is None
    experiment = client.get_experiment_by_name("mixed").experiment_id
    assert [r.info.run_id for r in client.search_runs([experiment])] == [mixed[1]]


def test_a_study_of_another_storage_is_not_cleaned_up_from_here(says, place, tmp_path):
    other = ["--storage", f"sqlite:///{tmp_path}/other.db", *stores(place)[2:]]
    assert run(study.app, ["daily.toml", "--executor", "inline", "-q", "--phase", "search", "--study-name", "theirs", *other]) == 0  # fmt: skip
    assert says(0, "gc") == "nothing to clean up\n"
    client = MlflowClient(tracking_uri=stores(place)[3])
    experiment = client.get_experiment_by_name("theirs").experiment_id
    assert len(client.search_runs([experiment], "tags.`normsweep.phase` = 'search'")) == 6
    (theirs,) = {r.data.tags[STORAGE] for r in client.search_runs([experiment])}
    assert {STORAGE: theirs} != our_storage(client)


def test_a_run_that_is_being_written_is_not_cleaned_up(says, place):
    client = MlflowClient(tracking_uri=stores(place)[3])
    run_id = orphan(client, "begun", ended=False, **our_storage(client))
    client.delete_registered_model("begun")
    assert says(0, "gc") == "nothing to clean up\n"
    client.set_terminated(run_id)
    assert "in MLflow, of begun: 1 run" in says(0, "gc", "--yes")


def test_without_an_identity_a_storage_cleans_nothing_up_in_mlflow(says, place):
    client = MlflowClient(tracking_uri=stores(place)[3])
    orphan(client, "gone", **our_storage(client))
    with sqlite3.connect(place / "mlruns" / "optuna.db") as database:
        database.execute("DROP TABLE normsweep_storage")
    database.close()
    assert says(0, "gc") == "nothing to clean up\n"


def test_the_lock_of_a_deleted_study_leaves_no_file(says, place):
    assert [p.name for p in (place / "mlruns" / ".locks").glob("*daily*")] == [
        "optuna.db.daily.lock"
    ]
    says(0, "delete", "daily", "--yes")
    assert not list((place / "mlruns" / ".locks").glob("*daily*"))


def test_sync_of_all_studies_goes_on_past_those_that_are_run(says, place):
    for name in ("first", "last"):
        assert run(study.app, ["daily.toml", "--executor", "inline", "-q", "--phase", "search", "--study-name", name, *stores(place)]) == 0  # fmt: skip
    url = stores(place)[1]
    with lock_study(url, "daily"), lock_study(url, "first"):
        said = says(1, "sync")
    assert "daily: skipped: study daily is locked by process" in said
    assert "last: logged 0 of 0 trials" in said
    assert said.endswith("skipped 2 of 3 studies: daily, first\n")
    assert "skipped" not in says(0, "sync")


def test_leftovers_are_named_and_cleared_and_nothing_else(says, place):
    assert says(0, "gc") == "nothing to clean up\n"
    root = place / "mlruns"
    client = MlflowClient(tracking_uri=stores(place)[3])
    run_id = client.create_run(
        client.create_experiment("gone"),
        tags={"normsweep.study": "gone", "normsweep.study_id": "1", **our_storage(client)},
    ).info.run_id
    client.set_terminated(run_id)
    kept = client.create_run("0").info.run_id  # no study's
    old = time.time() - 7200
    owners = {"gone": our_storage(client)[STORAGE], "theirs": "f" * 32, "older": ""}
    states = {}
    for name, owner in owners.items():
        folder = root / "checkpoints" / name / ("c" * 12)
        states[name] = folder / "search" / f"{'0' * 32}-000001.npz"
        folder.mkdir(parents=True)
        if owner:
            (folder / "storage").write_text(owner)
    leftovers = [
        states["gone"],
        root / "data" / ("a" * 64) / "x_train.npy",
        root / "data" / ".writing-x" / "x_train.npy",
        root / "mlflow.db.making",
    ]
    others = [
        states["theirs"],
        states["older"],
        root / "data" / "mine" / "x.npy",
        root / "reports" / "gone" / "index.html",
    ]
    young = root / "data" / ("b" * 64) / "x_train.npy"
    for path in (*leftovers, *others, young):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"left")
    for path in [p for leftover in (*leftovers, *others) for p in (leftover, *leftover.parents)]:
        if path.is_relative_to(root) and path != root:
            os.utime(path, (old, old))
    told = says(0, "gc", "--dry-run")
    assert (
        f"kept: {states['older'].parent.parent.relative_to(place)}: of no study in this storage"
        in told
    )
    assert "would be deleted:\n" in told
    assert "in MLflow, of gone: 1 run, " in told
    assert all(path.exists() for path in leftovers)
    assert "--yes: required" in says(2, "gc")
    assert says(0, "gc", "--yes").endswith("deleted\n")
    assert not [path for path in leftovers if path.exists()]
    assert all(path.exists() for path in (*others, young))
    assert client.get_run(kept).info.status == "RUNNING"
    assert client.get_experiment_by_name("gone") is None
    assert run_id not in {r.info.run_id for r in client.search_runs(["0"])}
    assert says(0, "gc").endswith("nothing to clean up\n")
    assert "│ done " in says(0, "list", "studies")


LOUDNESS = ("--executor", "inline", "--phase", "search", "--n-trials", "2", "--study-name", "loud")


def test_a_quiet_study_says_nothing_and_its_log_file_all_with_the_time(place, capsys):
    assert run(study.app, ["daily.toml", *LOUDNESS, "-q", "--log-file", "log", *stores(place)]) == 0
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
    lines = (place / "log").read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", line) for line in lines if line)
    assert any("2/2 trial 1 unit" in line for line in lines)
    assert any("best trial of each arm" in line for line in lines)


def test_a_quiet_study_says_what_is_wrong(place, capsys):
    nowhere = ["--tracking-uri", "http://127.0.0.1:9"]
    assert run(study.app, ["daily.toml", *LOUDNESS, "-q", *stores(place)[:2], *nowhere]) == 2
    assert "--tracking-uri: cannot open http://127.0.0.1:9" in capsys.readouterr().err


def test_a_verbose_study_has_a_line_an_epoch_and_no_colour_where_none_is_wanted(place):
    environment = {**os.environ, "FORCE_COLOR": "1", "NO_COLOR": "1"}
    done = forkserver.run(
        [sys.executable, "-m", "normsweep.study", "daily.toml", *LOUDNESS, "-v", *stores(place)],
        cwd=place, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    epochs = sum(
        len(r.result.curve) for r in read_study(stores(place)[1], "loud").trials if r.result
    )
    assert len(re.findall(r"trial \d \w+: epoch \d/\d loss", done.stdout)) == epochs
    assert not re.search("\x1b\\[[0-9;]*3[0-9]", done.stdout)
