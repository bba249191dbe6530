"""Situations that went wrong elsewhere, and that belong to no module alone. docs/reliability.md counts them by kind."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

import pytest

from normsweep.console.overview import overview
from normsweep.errors import SweepError
from normsweep.parts.catalog import catalog
from normsweep.parts.registry import Registry
from normsweep.sweep.checks import Catalog
from normsweep.sweep.loading import load_sweep
from normsweep.sweep.study_record import StudyRecord
from tests import forkserver
from tests.runner.survival import SWEEP

FEW = SWEEP.replace("trials = 20", "trials = 2")


@pytest.mark.parametrize(
    "given",
    ['nesterov=["true", "false"]', "nesterov=[0, 1]", 'nesterov="yes"', "nesterov=1", "amsgrad=[1.0]"],
)  # fmt: skip
def test_a_switch_is_true_or_false_and_not_a_text(sweep_file, given):
    """`"false"` is true in Python: two arms of such texts would be the same."""
    parts = catalog()
    taken = replace(parts, optimizers=dict.fromkeys(parts.optimizers, ("nesterov", "amsgrad")),
                    switches=frozenset({"nesterov", "amsgrad"}))  # fmt: skip
    name = given.partition("=")[0]
    with pytest.raises(SweepError, match=rf"search.space.{name}: expected true or false, got "):
        load_sweep(sweep_file, taken, [f"search.space.{given}"])
    load_sweep(sweep_file, taken, [f"search.space.{name}=[true, false]"])


def test_the_switches_are_those_of_the_optimizers_and_networks(parts: Catalog):
    assert "nesterov" in parts.switches
    assert not parts.switches & {"momentum", "units", "layers"}


@pytest.mark.parametrize(
    "name", ["top@2", "top-2 (share, %)", "", " ", "a" * 101, "a\nb", "é=1", "-x"]
)
def test_a_name_that_mlflow_or_a_lookup_would_not_take_is_refused_where_it_is_registered(name):
    with pytest.raises(ValueError, match="choose another name"):
        Registry("metric").register(name)
    Registry("metric").register("top-2 share/é: 1.5")


def test_a_study_that_starts_in_the_future_is_no_time_old(sweep_file, parts, record):
    trial = record()
    study = StudyRecord("base", "abc", load_sweep(sweep_file, parts), trials=(trial,))
    at_once = overview(study, running=False, now=trial.result.started).started
    assert at_once == "0 s ago"
    for behind in (1, 3600, 256_154, 3e9):
        row = overview(study, running=False, now=trial.result.started - behind)
        assert row.started == at_once


@pytest.mark.parametrize(
    "variable", ["MLFLOW_TRACKING_URI", "OPTUNA_STORAGE", "NORMSWEEP_MLFLOW_PAGE", "RAY_ADDRESS"]
)
def test_an_empty_variable_is_one_that_is_not_set(tmp_path, variable):
    (tmp_path / "s.toml").write_text(FEW)
    command = [
        sys.executable,
        "-m",
        "normsweep.study",
        "s.toml",
        "--phase",
        "search",
        "--no-estimate",
    ]
    done = forkserver.run(
        command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, variable: ""}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"s.toml", "mlruns"}
    assert {"optuna.db", "mlflow.db"} <= {path.name for path in (tmp_path / "mlruns").iterdir()}


ESCAPED = ("a%23b", "a?b=c&d", "a%20b")
"""Names that need an escape in a URL: MLflow makes an empty folder of the escaped name beside them."""


@pytest.mark.parametrize("name", ["a#b", "jürgen", "two words", "it's", "$HOME", "100%", *ESCAPED])
def test_a_folder_of_any_name_has_its_stores(tmp_path, name):
    home = tmp_path / name
    home.mkdir()
    (home / "s.toml").write_text(FEW)
    command = [
        sys.executable,
        "-m",
        "normsweep.study",
        "s.toml",
        "--phase",
        "search",
        "--no-estimate",
    ]
    done = forkserver.run(command, cwd=home, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    stores = {"optuna.db", "mlflow.db", "artifacts"}
    assert stores <= {path.name for path in (home / "mlruns").iterdir()}
    assert (name in ESCAPED) or [path.name for path in tmp_path.iterdir()] == [name]
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and home not in path.parents]
