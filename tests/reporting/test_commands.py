"""Every command that is printed is one that its program takes."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace

import pytest
from cyclopts import App

from normsweep import export, report, study
from normsweep.cli import main
from normsweep.parts import metrics
from normsweep.parts.catalog import read_sweep
from normsweep.reporting.commands import Commands
from normsweep.sweep.study_record import BASELINE, Analysis, Configuration, StudyRecord
from normsweep.urls import STORAGE

STORES = ("postgresql://me@host/db?a=1&b=it's", "sqlite:///my runs/mlflow.db")
PROGRAMS: dict[str, App] = {
    "python -m normsweep.study": study.app,
    "python -m normsweep.export": export.app,
    "python -m normsweep.report": report.app,
    "normsweep": main.app,
}
PRINTED: dict[str, Callable[[Commands], str]] = {
    "study": lambda c: c.study(),
    "renew": lambda c: c.renew(),
    "confirm": lambda c: c.confirm(),
    "seeds": lambda c: c.confirm(15),
    "best": lambda c: c.export("best", "--format", "markdown"),
    "epochs": lambda c: c.export("epochs", "-o", "epochs.csv"),
    "report": lambda c: c.report(),
    "show": lambda c: c.show("3"),
    "rerun": lambda c: c.rerun(3),
    "ui": lambda c: c.ui(),
    "sync": lambda c: c.sync(),
    "delete": lambda c: c.delete(),
}


def record(name: str = "mine", **changes: object) -> StudyRecord:
    sweep = read_sweep("quickstart").model_copy(update={"name": name, **changes})
    return StudyRecord(name=name, id="a" * 32, sweep=sweep)


def taken(command: str) -> dict[str, object]:
    """The options that a pasted command gives its program, by name."""
    name = next(name for name in PROGRAMS if command.startswith(f"{name} "))
    _, bound, ignored = PROGRAMS[name].parse_args(
        shlex.split(command.removeprefix(name)), exit_on_error=False, print_error=False
    )
    assert not ignored
    return dict(bound.arguments)


def test_of_a_study_in_memory_the_call_is_printed_with_what_changes():
    own = record(model=record().sweep.model.model_copy(update={"name": "own@0123456789ab"}))
    commands = Commands(own, *STORES)
    assert commands.study() == "normsweep.run(..., study_name='mine')"
    assert commands.confirm() == "normsweep.run(..., study_name='mine', phase='confirm')"
    runs = [Configuration(arm, BASELINE, {}, runs=tuple(range(5))) for arm in ("none", "unit")]
    more = Commands(replace(own, analyses=(Analysis(5, tuple(runs)),))).confirm(15)
    assert (
        more == "normsweep.run(..., study_name='mine-2', reuse='mine', set={'confirm.seeds': 15})"
    )


@pytest.mark.parametrize("printed", PRINTED)
def test_a_printed_command_is_understood_with_its_stores(printed):
    command = PRINTED[printed](Commands(record(), *STORES))
    options = taken(command)
    assert {"mine", ("mine",)} & set(options.values())
    stores = {options.get("storage"), options.get("tracking_uri")} - {None}
    assert stores
    assert stores <= set(STORES)


@pytest.mark.parametrize("printed", PRINTED)
def test_what_has_its_default_is_not_printed(printed):
    options = taken(PRINTED[printed](Commands(record())))
    assert not {"storage", "tracking_uri", "plugins"} & set(options)


def test_a_trial_is_trained_again_with_the_plugins_of_its_study():
    told = Commands(record(plugins=("one", "two.three")), *STORES)
    assert taken(told.rerun(3))["plugins"] == ("one", "two.three")
    assert taken(Commands(record(plugins="one")).rerun(3))["plugins"] == ("one",)
    assert "plugins" not in taken(told.show("3"))


def test_scores_are_shown_with_the_plugin_that_has_their_metric():
    own = Commands(record(plugins=("one",), metric="nobodys"))
    for printed in ("best", "report", "show"):
        assert taken(PRINTED[printed](own))["plugins"] == ("one",)
    assert "nobodys" not in metrics.registry


def test_a_shipped_sweep_is_run_by_its_name_and_another_by_its_file():
    assert Commands(record("quickstart")).study() == "python -m normsweep.study quickstart"
    changed = Commands(record("quickstart", seed=7))
    assert changed.study() == "python -m normsweep.study SWEEP.toml --study-name quickstart"


def test_verdicts_are_exported_only_once_there_are_some():
    before = record()
    assert not [c for c in Commands(before).reproduce() if " verdict " in c]
    after = StudyRecord(before.name, before.id, before.sweep, analyses=(Analysis(5, ()),))
    assert [c for c in Commands(after, STORAGE).reproduce() if " verdict " in c]
