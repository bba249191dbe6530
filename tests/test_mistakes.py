"""A mistake of the user's ends a command with status 2 and one line, and never with a traceback."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from normsweep import export, study
from normsweep.cli import main
from normsweep.parts.catalog import catalog
from normsweep.parts.datasets import load
from normsweep.parts.tables import Table
from normsweep.shell import command, run
from normsweep.store.storage import open_study
from normsweep.sweep.loading import load_sweep
from tests.conftest import BASE

APPS = {"normsweep": main.app, "study": study.app, "export": export.app}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPTUNA_STORAGE", "MLFLOW_TRACKING_URI", "NORMSWEEP_DATA"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def told(capsys):
    """What a command that ends with status 2 says, without the advice to read its help."""

    def lines(command: str, *arguments: str) -> list[str]:
        status = run(APPS[command], arguments)
        out, error = capsys.readouterr()
        assert status == 2
        assert out == ""
        assert "Traceback" not in error
        said = error.splitlines()
        assert all(line.startswith("normsweep: ") for line in said)
        return [line[11:] for line in said if not re.fullmatch("normsweep: see .+ --help", line)]

    return lines


PLAN = ("--dry-run", "--no-estimate")


@pytest.mark.parametrize(
    ("command", "arguments", "line"),
    [
        pytest.param("study", ["nope"], "nope: no such file; expected a path, or one of", id="no-file"),
        pytest.param("study", ["quickstrat"], 'did you mean "quickstart"?', id="near-file"),
        pytest.param("study", ["--bogus"], "Unknown option: --bogus.", id="unknown-option"),
        pytest.param("study", ["--dry-rn"], "Did you mean --dry-run?", id="near-option"),
        pytest.param("study", ["a", "b"], "Unused Tokens: ['b'].", id="two-files"),
        pytest.param("study", ["--n-trials", "x"], "Invalid value for --n-trials", id="no-number"),
        pytest.param("study", ["--n-trials", "0"], "--n-trials: must be at least 1, got 0", id="no-trial"),
        pytest.param("study", ["--timeout", "-1"], "--timeout: must be above 0, got -1", id="timeout"),
        pytest.param("study", ["--timeout", "soon"], '--timeout: expected a number of seconds', id="soon"),
        pytest.param("study", ["-q", "-v"], "--quiet, --verbose: only one of them is", id="loudness"),
        pytest.param("study", ["--log-file", "no/f"], "--log-file: cannot write no/f: No such", id="log"),
        pytest.param("normsweep", ["show"], "STUDY", id="show-nothing"),
        pytest.param("normsweep", ["show", "a", "x"], "TRIAL", id="show-no-number"),
        pytest.param("normsweep", ["delete", "a"], "--storage: no database at sqlite:///ml", id="delete"),
        pytest.param("normsweep", ["gc"], "--storage: no database at sqlite:///ml", id="gc"),
        pytest.param("normsweep", ["rerun", "a", "1"], "--storage: no database at sqlite:///ml", id="rerun"),
        pytest.param("normsweep", ["ui"], "--tracking-uri: no store at sqlite:///ml", id="ui"),
        pytest.param("normsweep", ["ui", "--optuna"], "--storage: no database at sqlite:///ml", id="ui-optuna"),
        pytest.param("study", ["--seed", "-1"], "--seed: must be at least 0, got -1", id="seed"),
        pytest.param("study", ["--study-name", "a b"], '--study-name: must be letters, digits', id="name"),
        pytest.param("study", ["--executor", "rya"], 'Invalid value "rya" for --executor', id="executor"),
        pytest.param("study", ["--set", "seed"], '--set: expected KEY=VALUE', id="set"),
        pytest.param("study", ["--set", "sed=1"], 'sed: unknown key (did you mean "seed"?); available: na', id="set-key"),
        pytest.param("export", [], "TABLE", id="no-table"),
        pytest.param("export", ["bets"], 'Did you mean "best"?', id="near-table"),
        pytest.param("export", ["best", "--top", "0"], "--top: must be at least 1, got 0", id="top-0"),
        pytest.param("export", ["best", "--top", "-3"], "--top: must be at least 1, got -3", id="top-below"),
        pytest.param("export", ["best", "--top", "x"], "Invalid value for --top", id="top-x"),
        pytest.param("export", ["best", "--epochs", "0"], "--epochs: must be at least 1, got 0", id="epochs-0"),
        pytest.param("export", ["arms", "--epochs", "3"], "--epochs: only allowed with the table best, got arms", id="epochs-arms"),
        pytest.param("export", ["arms", "--top", "3"], "--top: only allowed with the table best, got arms", id="top-arms"),
        pytest.param("export", ["best", "--format", "xlsx"], 'Invalid value "xlsx" for --format', id="format"),
        pytest.param("normsweep", ["chek", "x"], 'Unknown command "chek"', id="command"),
        pytest.param("normsweep", ["check"], "SWEEP", id="check-nothing"),
        pytest.param("normsweep", ["check", "nope"], "nope: no such file", id="check-no-file"),
        pytest.param("normsweep", ["list", "things"], 'Invalid value "things"', id="list-things"),
        pytest.param("normsweep", ["study", "nope"], "nope: no such file", id="study-no-file"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_command_is_one_line(told, command, arguments, line):
    (said,) = told(command, *arguments)
    assert line in said


@pytest.mark.parametrize(
    ("storage", "line"),
    [
        ("nonsense", "must be a database URL, such as sqlite:///"),
        ("sqlite:///nowhere/at_all.db", "no database at sqlite:///nowhere/at_all.db; pass the storage of an ex"),
        ("elsewhere://host/base", "cannot open elsewhere://host/base: "),
        ("postgresql+psycopg://me:hidden@127.0.0.1:9/base", "cannot open postgresql+psycopg://me:***@"),
        ("sqlite:///text.db", "cannot open sqlite:///text.db: "),
    ],
    ids=["no-url", "no-database", "unknown-kind", "no-server", "no-sqlite"],
)  # fmt: skip
@pytest.mark.parametrize(
    "command", [("export", "best"), ("normsweep", "list", "studies")], ids="-".join
)
def test_a_storage_that_cannot_be_opened_is_one_line_and_nothing_is_made(
    told, folder, command, storage, line
):
    (folder / "text.db").write_text("no database at all")
    (said,) = told(*command, "--storage", storage)
    assert said.startswith("--storage: ")
    assert line in said
    assert "hidden" not in said
    assert [path.name for path in folder.iterdir()] == ["text.db"]


def test_without_a_storage_the_default_is_told_and_not_made(told, folder):
    (said,) = told("export", "best")
    assert said.startswith("--storage: no database at sqlite:///mlruns/optuna.db; pass the storage")
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ["quickstart", "postgresql://me:hidden@host/db"],
        ["quickstart", "--n-jobs", "postgresql://me:hidden@host/db"],
        ["quickstart", "--storage", "me:hidden@host/db"],
        ["quickstart", "--storage", "postgresql+psycopg://me:hid@hidden@host/db"],
        ["quickstart", "--set", "data.dataset=https://me:hidden@host/own.npz"],
        ["\x1b[2J\u202e.toml"],
        ["quickstart", "--study-name", "\x1b[2J"],
        ["quickstart", "--study-name", "../elsewhere"],
        ["quickstart", "--set", "question=\udcff"],
    ],
    ids=repr,
)
def test_a_mistake_is_told_without_passwords_and_drives_no_terminal(told, folder, arguments):
    (said,) = told("study", *arguments)
    assert "hidden" not in said
    assert said.isprintable()
    assert not list(folder.iterdir())


def test_an_accident_of_ours_is_told_without_passwords(capsys):
    broken = command("broken", "")

    @broken.default
    def fail() -> int:
        raise LookupError("\x1b[2Jpostgresql://me:hidden@host/db")

    assert run(broken, []) == 1
    said = capsys.readouterr().err
    assert said.startswith("Traceback (most recent call last):\n")
    assert said.endswith("LookupError: \\x1b[2Jpostgresql://me:***@host/db\n")


def test_the_storage_may_come_from_optunas_own_variable(told, monkeypatch):
    monkeypatch.setenv("OPTUNA_STORAGE", "sqlite:///other.db")
    (said,) = told("export", "best")
    assert said.startswith("--storage: no database at sqlite:///other.db; ")


@pytest.fixture
def storage(folder, sweep_file, parts) -> str:
    """A database with two studies."""
    url = f"sqlite:///{folder}/optuna.db"
    for name in ("first", "second"):
        sweep = load_sweep(sweep_file, parts, [f"name={name}"])
        open_study(url, name, sweep)
    return url


def test_a_study_that_is_not_there_is_told_with_those_that_are(told, storage):
    (said,) = told("export", "best", "--storage", storage, "--study-name", "frist")
    assert said.startswith('--study-name: no study "frist" in sqlite:///')
    assert "did you mean" in said
    assert said.endswith("; available: first, second")


def test_of_several_studies_one_must_be_named(told, storage):
    (said,) = told("export", "best", "--storage", storage)
    assert said.startswith("--study-name: required, sqlite:///")
    assert said.endswith("; available: first, second")


def test_a_file_that_cannot_be_written_is_one_line(told, storage):
    (said,) = told(
        "export", "best", "--storage", storage, "--study-name", "first", "-o", "nowhere/best.csv"
    )
    assert said == "--output: cannot write nowhere/best.csv: No such file or directory"


def test_every_mistake_of_a_file_is_a_line_of_its_own(told, sweep_file):
    text = sweep_file.read_text().replace("trials = 12", "trials = 0").replace('"unit"', '"unti"')
    sweep_file.write_text(text)
    said = told("normsweep", "check", str(sweep_file), "--set", "seed=-1", "data.dataset=minst")
    assert sorted(line.split(": ")[1] for line in said) == [
        "data.dataset", "search.space.normalization", "search.trials", "seed",
    ]  # fmt: skip
    assert {line.split(": ")[0] for line in said} == {"--set", str(sweep_file)}


def test_data_that_is_not_there_ends_a_study_before_it_is_recorded(told, folder, sweep_file):
    sweep_file.write_text(sweep_file.read_text().replace('"digits"', '"own.npz"'))
    (said,) = told("study", str(sweep_file), "--executor", "inline")
    assert said.startswith("data own.npz: no such file; expected an .npz file at own.npz")
    assert not list(folder.rglob("*.db"))


@pytest.mark.parametrize("name", ["2026", "true", "1e5"])
def test_a_studys_name_may_look_like_a_number(capsys, name):
    assert run(study.app, ["--study-name", name, *PLAN]) == 0
    assert capsys.readouterr().out.startswith(f"study     {name}: ")


def test_a_plan_is_shown_and_nothing_is_made(capsys, folder):
    assert run(study.app, ["quickstart", *PLAN, "--n-trials", "7"]) == 0
    shown = capsys.readouterr().out
    assert "trials    3 arms × 3 = 9, the baseline first, then a ladder" in shown
    assert "note      7 trials are not a multiple of 3 arms: rounded up to 9" in shown
    assert run(main.app, ["check", "quickstart", "--set", "search.trials=7"]) == 0
    assert capsys.readouterr().out == shown
    assert not list(folder.iterdir())


def test_the_lists_name_parts_sweeps_and_studies(capsys, storage):
    assert run(main.app, ["list", "parts"]) == 0
    shown = capsys.readouterr().out
    assert "normalizations\n  none                Raw pixels.\n" in shown
    assert "(options: momentum, nesterov)" in shown
    assert "\nlosses\n" in shown
    assert run(main.app, ["list", "sweeps"]) == 0
    assert "quickstart" in capsys.readouterr().out
    assert run(main.app, ["list", "studies", "--storage", storage]) == 0
    listed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[1:6] for line in listed if "new" in line] == [
        [name, "│", "new", "│", "0/12"] for name in ("first", "second")
    ]


def test_the_task_of_a_file_in_the_folder_of_data_is_checked_too(capsys, folder):
    (folder / "elsewhere").mkdir()
    x, y = np.arange(80.0).reshape(20, 4), np.arange(20) / 7
    np.savez(folder / "elsewhere" / "prices.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    asked = ["check", "quickstart", "--set", 'data.dataset="prices.npz"', 'metric="rmse"']
    assert run(main.app, asked) == 0
    assert "regression" not in capsys.readouterr().out
    assert run(main.app, [*asked, "--data-dir", "elsewhere"]) == 0
    assert "regression" in capsys.readouterr().out
    assert run(main.app, ["check", "quickstart", "--set", "search.space.target=standardize"]) == 2
    assert 'target: must be "raw" in a classification' in capsys.readouterr().err


@pytest.mark.parametrize(
    "source",
    [
        (), ("--from", "mnist"), ("--data", "it's mine.npz"),
        ("--data", "rows.csv", "--target", "the kind"), ("--data", "rows.parquet", "--target", "price"),
        ("--data", "rows.csv", "--target", "rooms", "--task", "regression"),
        ("--data", "rows.csv", "--target", "grade", "--task", "classification"),
    ],
    ids=str,
)  # fmt: skip
def test_a_new_sweep_passes_check_and_its_commands_are_printed(capsys, folder, source):
    x, y = np.arange(640, dtype="u1").reshape(40, 4, 4), np.arange(40) % 2
    np.savez("it's mine.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    rows = {
        "the kind": y,
        "rooms": 1 + np.arange(40) % 7,
        "price": 1.5 + np.arange(40),
        "grade": y * 1.0,
    }
    pd.DataFrame(rows).to_parquet("rows.parquet")
    pd.DataFrame(rows).to_csv("rows.csv", index=False)
    assert run(main.app, ["new", "fresh", *source]) == 0
    head, *commands = capsys.readouterr().out.splitlines()
    assert head == "wrote fresh.toml; next:"
    assert commands == ["  normsweep check fresh.toml", "  python -m normsweep.study fresh.toml"]
    assert run(main.app, ["check", "fresh.toml"]) == 0
    assert capsys.readouterr().out.startswith("study     fresh: ")
    if "--data" in source:
        data = load_sweep(folder / "fresh.toml", catalog()).data
        table = Table(data.target_column, numbers=data.task == "regression")
        assert load(data.candidates[0], table=table, task=data.task).task == (
            data.task or "classification"
        )
    text = (folder / "fresh.toml").read_text()
    assert text.startswith("# ")
    assert run(main.app, ["new", "fresh"]) == 2
    assert (folder / "fresh.toml").read_text() == text


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["../fresh"], "NAME: must be letters"),
        (["fresh", "--from", "minst"], '--from: unknown sweep "minst" (did you mean "mnist"?)'),
        (["fresh", "--data", "no.npz"], "data no.npz: no such file"),
        (
            ["fresh", "--data", "no.txt"],
            "--data: expected a file that ends in .npz, .csv, .parquet, ",
        ),
        (
            ["fresh", "--data", "no.csv"],
            "--target: must be set to the column to predict with no.csv",
        ),
        (["fresh", "--data", "no.npz", "--target", "y"], "--target: must not be set with no.npz"),
        (["fresh", "--target", "y"], "--target, --task: allowed with --data only"),
        (["fresh", "--data", "no.npz", "--from", "mnist"], "--from, --data: only one of them"),
    ],
)
def test_a_new_sweep_that_cannot_be_is_a_line(told, folder, arguments, line):
    (said,) = told("normsweep", "new", *arguments)
    assert said.startswith(line)
    assert not list(folder.iterdir())


def test_json_is_for_programs(capsys, storage, folder):
    def read(status: int, *arguments: str):
        assert run(main.app, [*arguments, "--format", "json"]) == status
        said = capsys.readouterr()
        assert said.err == ""
        return json.loads(said.out)

    checked = read(0, "check", "quickstart")
    assert checked["valid"]
    assert checked["arms"] == ["none", "unit", "standardize"]
    wrong = read(2, "check", "quickstart", "--set", "search.trials=0")
    assert wrong == {
        "valid": False,
        "problems": ["--set: search.trials: must be at least 1, got 0"],
    }
    studies = read(0, "list", "studies", "--storage", storage)
    assert [(each["study"], each["status"]) for each in studies] == [
        ("first", "new"),
        ("second", "new"),
    ]
    assert {
        "kind": "normalization",
        "name": "none",
        "summary": "Raw pixels.",
        "options": [],
        "module": "",
    } in (read(0, "list", "parts"))
    assert "quickstart" in [each["name"] for each in read(0, "list", "sweeps")]
    shown = read(0, "show", "first", "--storage", storage)
    assert shown["study"] == "first"
    assert shown["best"] == shown["verdicts"] == []


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (
            BASE.encode("utf-16"),
            "expected text in UTF-8, got byte 0xff at 0; save the file as UTF-8",
        ),
        (
            BASE.replace('"digits"', '"C:\\Users\\x.npz"').encode(),
            "put a path with backslashes into single quotes",
        ),
        (
            BASE.replace('"digits"', '"digits').encode(),
            "(at line 7, column 18); a string is not closed",
        ),
        (BASE.replace('"digits"', "'digits").encode(), "; a string is not closed"),
        (
            BASE.replace('"digits"', '"C:\\new\\train.npz"').encode(),
            "put a path with backslashes into single",
        ),
    ],
    ids=["utf-16", "escape", "unclosed", "unclosed-literal", "newline"],
)
def test_text_that_is_none_is_told_with_what_to_do(told, sweep_file, content, line):
    sweep_file.write_bytes(content)
    (said,) = told("normsweep", "check", str(sweep_file))
    assert line in said


def test_a_mark_at_the_beginning_of_a_file_is_no_mistake(capsys, sweep_file):
    sweep_file.write_bytes(b"\xef\xbb\xbf" + sweep_file.read_bytes())
    assert run(main.app, ["check", str(sweep_file)]) == 0


def test_quotes_that_a_shell_took_are_missed(told):
    (said,) = told("normsweep", "check", "quickstart", "--set", "search.space.optimizer=[adam,sgd]")
    assert said.startswith(
        "--set: search.space.optimizer: expected a TOML value; a shell removes quotes"
    )


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True)


def test_commands_that_train_nothing_import_no_backend():
    code = """
import io, json, sys
from contextlib import redirect_stdout
from normsweep import export, study
from normsweep.cli import main as cli
from normsweep.shell import command, run
commands = [
    (cli, ["--help"]), (study, ["--help"]), (export, ["--help"]), (cli, ["list", "parts"]),
    (cli, ["list", "sweeps"]), (cli, ["check", "quickstart"]),
    (study, ["quickstart", "--dry-run", "--no-estimate"]),
]
said = io.StringIO()
with redirect_stdout(said):
    done = [run(module.app, arguments) for module, arguments in commands]
heavy = {"tensorflow", "keras", "jax", "mlflow", "optuna", "sklearn"} & set(sys.modules)
print(json.dumps([done, sorted(heavy), said.getvalue().count("--help")]))
"""
    ended = python("-c", code)
    assert ended.returncode == 0, ended.stderr
    done, heavy, helps = json.loads(ended.stdout)
    assert set(done) == {0}
    assert heavy == []
    assert helps == 3


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["normsweep.study", "nope"], "normsweep: nope: no such file; expected a path"),
        (
            ["normsweep.export", "best"],
            "normsweep: --storage: no database at sqlite:///mlruns/optuna.db",
        ),
        (["normsweep", "check", "nope"], "normsweep: nope: no such file; expected a path"),
    ],
    ids=["study", "export", "normsweep"],
)
def test_a_module_ends_with_the_status_of_its_command(arguments, line):
    ended = python("-m", *arguments)
    assert ended.returncode == 2
    assert ended.stdout == ""
    (said,) = ended.stderr.splitlines()
    assert said.startswith(line)
