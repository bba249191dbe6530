"""Studies in the same database that normsweep did not write."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import optuna
import pytest

from normsweep import export, report
from normsweep.cli import main
from normsweep.shell import run
from normsweep.store.storage import open_study
from normsweep.sweep.loading import load_sweep
from normsweep.sweep.recorded import to_plain

COMMANDS = {
    "best": (export.app, ["best"]),
    "trials": (export.app, ["trials"]),
    "verdict": (export.app, ["verdict"]),
    "report": (report.app, []),
    "sync": (main.app, ["sync"]),
}


@pytest.fixture
def url(tmp_path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    return "sqlite:///optuna.db"


@pytest.fixture
def plain(sweep_file, parts) -> dict[str, object]:
    return to_plain(load_sweep(sweep_file, parts))


def made(url: str, name: str, **attributes: str) -> None:
    study = optuna.create_study(storage=url, study_name=name)
    for key, value in attributes.items():
        study.set_user_attr(f"normsweep:{key}", value)


NAMES = ["../../outside", "/outside", "a\n", "\x1b[2J"]


def test_a_name_that_could_lead_elsewhere_is_no_study_of_ours(url, plain, capsys):
    for name in NAMES:
        made(url, name, sweep=json.dumps(plain))
    before = sorted(Path().rglob("*"))
    for name, (app, arguments) in itertools.product(NAMES, COMMANDS.values()):
        assert run(app, [*arguments, "--storage", url, "--study-name", name]) == 2
        said = capsys.readouterr().err
        assert said.startswith("normsweep: --study-name: no study ")
        assert said.endswith(" in sqlite:///optuna.db; available: none\n")
    assert run(main.app, ["list", "studies", "--storage", url]) == 0
    assert capsys.readouterr().out == ""
    assert sorted(Path().rglob("*")) == before
    assert not Path("../outside").exists()


def broken(plain: dict[str, object], change: dict[str, object]) -> str:
    kept = {key: value for key, value in (plain | change).items() if value is not None}
    return json.dumps(kept)


CHANGES: dict[str, dict[str, object]] = {
    "no-key": {"compare": None},
    "no-arms": {"search.space.normalization": None},
    "escape": {"question": "\x1b[2J"},
}


@pytest.mark.parametrize("damage", ["", "garbage", "{}", "[]", "null", "1", *CHANGES])
def test_a_record_that_is_none_is_one_line(url, plain, capsys, damage):
    sweep = broken(plain, CHANGES[damage]) if damage in CHANGES else damage
    made(url, "odd", sweep=sweep, id="abc")
    for app, arguments in COMMANDS.values():
        assert run(app, [*arguments, "--storage", url, "--study-name", "odd"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith('normsweep: study "odd" cannot be read (')
        assert line.isprintable()


def test_an_id_that_is_more_than_one_is_not_put_into_a_query(url, plain, capsys):
    made(url, "odd", sweep=json.dumps(plain), id="' OR '1' = '1")
    assert run(main.app, ["sync", "--storage", url, "--study-name", "odd"]) == 2
    assert "cannot be read (ValueError: no id)" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["garbage", "{}", '{"data": {}}', "[]"])
def test_trials_that_are_none_are_one_line(url, plain, capsys, content):
    made(url, "odd", sweep=json.dumps(plain))
    trial = optuna.load_study(storage=url, study_name="odd").ask()
    trial.set_user_attr("normsweep:trial", content)
    assert run(export.app, ["trials", "--storage", url]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('normsweep: study "odd" cannot be read (')


def test_a_study_without_a_trial_has_no_report_yet(url, sweep_file, parts, capsys):
    open_study(url, "base", load_sweep(sweep_file, parts))
    assert run(report.app, ["--storage", url]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("normsweep: study base: has no trial yet; legal: ")
    assert not Path("mlruns").exists()
