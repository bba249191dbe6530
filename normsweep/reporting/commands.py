"""Commands that people copy, which run when they are pasted, and the names that models have in MLflow."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from normsweep.parts import metrics, models
from normsweep.parts.catalog import catalog
from normsweep.sweep.loading import load_sweep, shipped_sweeps
from normsweep.sweep.recorded import GROWING, to_plain
from normsweep.sweep.schema import SEQUENTIAL
from normsweep.sweep.study_record import StudyRecord
from normsweep.urls import STORAGE, TRACKING, storage_option, tracking_option

__all__ = ["Commands", "aliases", "model_uri", "model_uris"]

ILLEGAL = re.compile(r"[^A-Za-z0-9_-]+")


RESERVED = re.compile(r"latest|v\d+", re.IGNORECASE)


LONGEST = 200


RAISED = (*GROWING, "search.timeout")
"""Keys that a command may have raised since."""


@dataclass(frozen=True)
class Commands:
    """The commands about a study, with the options without which they would not find it."""

    record: StudyRecord
    storage: str = STORAGE
    """Address of Optuna's database."""
    tracking: str = TRACKING
    """Address of MLflow's tracking store."""
    source: tuple[str, ...] = ("SWEEP.toml",)
    """The sweep file, and the --set options of the command that runs the study, as far as they are known."""

    def study(self, *more: str) -> str:
        """What runs the study: a shipped sweep's command, or one in which the user's own has its place.

        If data or model were given in Python, what is to be changed in that call.
        """
        return self._run(more)

    def reproduce(self) -> tuple[str, ...]:
        """What runs the study, writes its report and its verdicts, if it has any.

        Of a study under earlier rules also what opens another one by today's.
        """
        verdict = [self.export("verdict", "--format", "markdown")] if self.record.analyses else []
        renewed = [self.renew()] if self.record.sweep.rules < SEQUENTIAL else []
        return (self.study(), self.report(), *verdict, *renewed)

    def renew(self) -> str:
        """What opens another study by today's rules, which reuses the finished trials of this one."""
        return self._run(renewed=True)

    def confirm(self, seeds: int | None = None) -> str:
        """What gives the study's verdict, or one from more seeds: after an analysis, in a new study."""
        if seeds is None:
            return self.study("--phase", "confirm")
        return self._run(("--set", f"confirm.seeds={seeds}"), renewed=self.record.analysed)

    def export(self, table: str, *more: str) -> str:
        """What writes one of the study's tables."""
        command = f"python -m normsweep.export {table}"
        return self._line(command, *self._named, stores=self._read, more=more)

    def report(self) -> str:
        """What writes the study's report."""
        return self._line("python -m normsweep.report", *self._named, stores=self._read)

    def show(self, trial: str = "TRIAL") -> str:
        """What shows one of the study's trials."""
        return self._line("normsweep show", self.record.name, trial, stores=self._read)

    def rerun(self, trial: int) -> str:
        """What trains a trial again."""
        name, stores = self.record.name, _plugins(self.record) + storage_option(self.storage)
        return self._line("normsweep rerun", name, str(trial), stores=stores)

    def ui(self) -> str:
        """What opens the study in a browser."""
        return self._line("normsweep ui", *self._named, stores=tracking_option(self.tracking))

    def sync(self) -> str:
        """Logs to MLflow the trials that are not yet logged."""
        return self._line("normsweep sync", *self._named, stores=self._stores)

    def delete(self) -> str:
        """What deletes the study."""
        return self._line("normsweep delete", self.record.name, stores=self._stores)

    @property
    def _named(self) -> tuple[str, str]:
        return "--study-name", self.record.name

    @property
    def _stores(self) -> str:
        return storage_option(self.storage) + tracking_option(self.tracking)

    @property
    def _read(self) -> str:
        """The options of what reads the study's scores: a plug-in's metric has to be known."""
        name = self.record.sweep.metric
        known = name in metrics.registry and not metrics.registry[name].custom
        return storage_option(self.storage) + ("" if known else _plugins(self.record))

    @property
    def _shipped(self) -> bool:
        """Whether the study's sweep is a shipped one, but for what a command may have raised since."""
        name = self.record.sweep.name
        if name not in shipped_sweeps():
            return False
        shipped, own = to_plain(load_sweep(name, catalog())), to_plain(self.record.sweep)
        return all(shipped[key] == own.get(key) for key in shipped if key not in RAISED)

    @property
    def _in_memory(self) -> bool:
        """Whether the study's data or model were given in Python."""
        sweep = self.record.sweep
        return models.OWN in (sweep.data.dataset, sweep.model.name.partition("@")[0])

    def _run(self, more: Sequence[str] = (), renewed: bool = False) -> str:
        """What runs the study, or another one that reuses its trials."""
        name = self.record.name
        named = (
            ("--study-name", f"{name}-2", "--reuse", name) if renewed else ("--study-name", name)
        )
        if self._in_memory:
            return _call((*named, *more))
        words = (*self.source, *named)
        if self._shipped:
            words = (name, *named) if renewed else (name,)
        return self._line("python -m normsweep.study", *words, stores=self._stores, more=more)

    def _line(self, command: str, *words: str, stores: str = "", more: Iterable[str] = ()) -> str:
        """The command with its words quoted where a shell needs it; `stores` is quoted already."""
        rest = f" {shlex.join(more)}" if more else ""
        return f"{command} {shlex.join(words)}{stores}{rest}"


def _call(options: Sequence[str]) -> str:
    """The options of a command as arguments of `normsweep.run`, beside those of the call before."""
    arguments = ["..."]
    for option, value in zip(options[::2], options[1::2], strict=True):
        name = option.removeprefix("--").replace("-", "_")
        key, _, given = value.partition("=")
        arguments.append(f"{name}={{{key!r}: {given}}}" if name == "set" else f"{name}={value!r}")
    return f"normsweep.run({', '.join(arguments)})"


def _plugins(record: StudyRecord) -> str:
    """The option that names the modules of the study's plug-ins, its blank before it."""
    named = record.sweep.plugins
    modules = ([named] if named else []) if isinstance(named, str) else named
    return f" --plugins {shlex.join(modules)}" if modules else ""


def aliases(arms: Iterable[str]) -> dict[str, str]:
    """Each arm's alias in MLflow's registry: its name, with `-` for what an alias may not hold.

    A name that MLflow keeps for itself (`latest`, `v1`) gets `arm-` before it, one that another
    arm has already a number after it.
    """
    made: dict[str, str] = {}
    taken: set[str] = set()
    for arm in arms:
        name = ILLEGAL.sub("-", arm)[:LONGEST]
        if not name.strip("-") or RESERVED.fullmatch(name):
            name = f"arm-{name.strip('-')}".rstrip("-")
        alias, number = name, 1
        while alias.casefold() in taken:  # some databases tell no case apart
            number += 1
            alias = f"{name}-{number}"
        taken.add(alias.casefold())
        made[arm] = alias
    return made


def model_uri(study: str, alias: str) -> str:
    """What `mlflow.pyfunc.load_model` takes for an arm's best model."""
    return f"models:/{study}@{alias}"


def model_uris(record: StudyRecord) -> dict[str, str]:
    """By arm, what `mlflow.pyfunc.load_model` takes for the model that was logged for it."""
    keys = record.keys
    names = aliases(keys.values())
    return {arm: model_uri(record.name, names[keys[arm]]) for arm in record.models if arm in keys}
