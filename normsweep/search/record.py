"""The study's record in Optuna's database: what is written, under which names, and read back."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import optuna

from normsweep.errors import StoreError, SweepError
from normsweep.parts import metric
from normsweep.search.foreign import check_study, readable
from normsweep.search.storage import open_storage
from normsweep.search.studies import Row, Study, names_with
from normsweep.secrets import masked
from normsweep.sweep.problems import shown
from normsweep.sweep.recorded import to_plain
from normsweep.sweep.schema import Sweep, is_name
from normsweep.sweep.study_record import Analysis, TrialRecord
from normsweep.sweep.trial import Result, Status, Trial

__all__ = [
    "ARM",
    "RESULT",
    "SLOT",
    "TRIAL",
    "StudyInfo",
    "load_study",
    "open_study",
    "read_study",
    "study_names",
]

ID = "normsweep:id"
ARM, SLOT, TRIAL = "normsweep:arm", "normsweep:slot", "normsweep:trial"
RESULT = "normsweep:result"
READ = (TRIAL, RESULT)
"""Attributes of a trial of which its `TrialRecord` is made."""
RUN = "normsweep:run:"
"""Before a trial's number, among the study's attributes: a finished trial's cannot be written."""
SWEEP, DATA, SAME, MODELS = (
    "normsweep:sweep",
    "normsweep:data",
    "normsweep:same",
    "normsweep:models",
)
LOOKS, DIAGNOSES = "normsweep:looks", "normsweep:diagnoses"
THREADS = "normsweep:threads"
PLAN = "normsweep:plan"
ABOUT = (ID, SWEEP, DATA, SAME, MODELS, LOOKS, DIAGNOSES, THREADS, PLAN)
"""Attributes of a study of which its `StudyInfo` is made."""

GROWING = ("search.trials", "confirm.seeds")
EPOCHS = ("search.space.epochs", "search.space.epochs.high", "confirm.epochs")
"""What may grow with the limit of epochs, and not shrink."""
FREE = (
    "question",
    "plugins",
    "search.timeout",
    "execution.trial_timeout",
    "execution.trial_memory",
    "execution.num_cpus",
    "execution.num_gpus",
    "execution.checkpoints",
    "execution.checkpoint_every",
    "execution.retries",
)
ADDED = {
    "plugins": [],
    "metric": "accuracy",
    "model.precision": "float32",
    "confirm.primary": "both_tuned",
    "confirm.baseline.normalization": None,
    "execution.threads": None,
    "execution.trial_memory": None,
    "execution.num_cpus": None,
    "execution.num_gpus": None,
    "execution.checkpoints": 2.0,
    "execution.checkpoint_every": 30.0,
    "execution.retries": 1,
}
"""Keys that sweeps had not from the beginning, and what a record without them means."""


@dataclass(frozen=True)
class StudyInfo:
    """What the record says of a study as a whole."""

    name: str
    id: str
    """Its own for ever: a study that is deleted and made again under its name has another."""
    sweep: Mapping[str, Any]
    """The sweep by dotted key (`normsweep.sweep.recorded.to_plain`)."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Dataset: name, source, digest, numbers of images and classes."""
    same: Mapping[str, str] = field(default_factory=dict)
    """Normalizations not run because another does the same on this data: the other one's name."""
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By arm, the trial whose model was logged to MLflow, and the model's number there."""

    looks: tuple[Analysis, ...] = ()
    """The verdicts that were given, oldest first."""
    diagnoses: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By arm, what its network looks like at initialization and after an epoch."""

    threads: int | None = None
    """Threads of a worker, on which the bits of every trial depend; None in older records."""

    plan: Mapping[str, int] = field(default_factory=dict)
    """By phase, how many trials it has; as far as a command has come to it."""

    @property
    def arms(self) -> list[str]:
        """The arms that run, in the sweep's order."""
        values = self.sweep[f"search.space.{self.sweep['compare']}"]
        return [str(value) for value in values if value not in self.same]

    @property
    def begun(self) -> bool:
        """Whether data and arms are settled."""
        return bool(self.data)


def open_study(storage_url: str, name: str, sweep: Sweep) -> Study:
    """The study of a sweep, made where there is none.

    Raises:
        StoreError: the database cannot be opened, or the name is taken by a study of another kind.
        SweepError: the study was begun with another sweep; the differences are named.
    """
    storage = open_storage(storage_url, create=True)
    made = optuna.create_study(
        storage=storage,
        study_name=name,
        direction=metric(sweep.metric).direction,
        load_if_exists=True,
    )
    study = Study(storage, name)
    if study.attrs([SWEEP]) or len(study):
        _refuse_changes(study, sweep, storage_url)
    else:
        made.set_metric_names([f"val_{sweep.metric}"])
        study.set_user_attr(ID, uuid.uuid4().hex)
        study.set_user_attr("question", sweep.question)
    _write_sweep(study, sweep)
    return study


def read_study(storage_url: str, name: str | None) -> tuple[StudyInfo, list[TrialRecord]]:
    """A study's record; with no name, that of the only study there is.

    Raises:
        StoreError: there is no such study.
    """
    study = load_study(storage_url, name)
    return study_info(study), records(study)


def load_study(storage_url: str, name: str | None) -> Study:
    """A study that is there; with no name, the only one there is.

    Raises:
        StoreError: there is no such study.
    """
    storage = open_storage(storage_url, create=False)
    names = _names(storage)
    where, held = masked(storage_url), ", ".join(names) or "no study of normsweep"
    if name is None and len(names) != 1:
        raise StoreError(f"--study-name: missing; {where} holds {held}")
    chosen = name if name is not None else names[0]
    if chosen not in names:
        raise StoreError(f"--study-name: received {shown(chosen)}; {where} holds {held}")
    return Study(storage, chosen)


def study_names(storage_url: str) -> list[str]:
    """The names of normsweep's studies in a database."""
    return _names(open_storage(storage_url, create=False))


def _names(storage: optuna.storages.RDBStorage) -> list[str]:
    ours = names_with(storage, SWEEP)
    return sorted(name for name in ours if is_name(name))  # folders and a lock file have it


def read_studies(storage_url: str) -> Iterator[tuple[StudyInfo, list[TrialRecord]]]:
    """The records of normsweep's studies in a database, by name.

    Raises:
        StoreError: the database cannot be opened, or a record cannot be read.
    """
    storage = open_storage(storage_url, create=False)
    for name in _names(storage):
        study = Study(storage, name)
        yield study_info(study), records(study)


def delete_study(storage_url: str, name: str) -> None:
    """Delete a study with all of its trials.

    Raises:
        StoreError: there is no such study.
    """
    load_study(storage_url, name)
    optuna.delete_study(study_name=name, storage=open_storage(storage_url, create=False))


def study_info(study: Study) -> StudyInfo:
    """What the record says of the study as a whole.

    Raises:
        StoreError: normsweep did not write it.
    """
    name = study.study_name
    with readable(name):
        attrs = study.attrs(ABOUT)
        sweep, data, same, models, diagnoses = (
            dict(json.loads(attrs.get(key, "{}"))) for key in (SWEEP, DATA, SAME, MODELS, DIAGNOSES)
        )
        looks = tuple(Analysis.from_plain(look) for look in json.loads(attrs.get(LOOKS, "[]")))
        check_study(
            attrs.get(ID, ""), sweep if SWEEP in attrs else None, data if DATA in attrs else None
        )
    if sweep:
        sweep = {**ADDED, **sweep}
    threads, plan = attrs.get(THREADS), attrs.get(PLAN, {})
    return StudyInfo(
        name, attrs.get(ID, ""), sweep, data, same, models, looks, diagnoses, threads, plan
    )


def begun_study(storage_url: str, name: str) -> StudyInfo | None:
    """A study that has data and arms already, or None where there is none yet."""
    try:
        info = study_info(load_study(storage_url, name))
    except StoreError:  # what is wrong with the storage is told when it is opened
        return None
    return info if info.begun else None


def check_data(study: Study, data: Mapping[str, Any]) -> None:
    """Make sure that a study that was begun goes on with the data that it was begun on.

    Raises:
        SweepError: the data is another.
    """
    before = study_info(study).data
    if before and before["digest"] != data["digest"]:
        raise SweepError(
            f"study {study.study_name}: was begun on {before['name']} ({before['source']}, digest "
            f"{before['digest'][:12]}), received {data['name']} ({data['source']}, digest "
            f"{data['digest'][:12]}); legal: the same data, or another --study-name"
        )


def begin(
    study: Study,
    data: Mapping[str, Any],
    same: Mapping[str, str],
    threads: int | None = None,
) -> None:
    """Record the data, the normalizations that are alike on it and the threads, before any trial."""
    if not study_info(study).begun:
        study.set_user_attr(THREADS, threads)
        study.set_user_attr(SAME, json.dumps(dict(same)))
        study.set_user_attr(DATA, json.dumps(dict(data)))


def set_plan(study: Study, phase: str, trials: int) -> None:
    """Record how many trials a phase has."""
    before = study_info(study).plan
    if before.get(phase) != trials:
        study.set_user_attr(PLAN, {**before, phase: trials})


def set_model(study: Study, arm: str, trial: int, model_id: str) -> None:
    """Record which trial's model was logged for an arm."""
    models = {**study_info(study).models, arm: {"trial": trial, "model_id": model_id}}
    study.set_user_attr(MODELS, json.dumps(models))


def set_looks(study: Study, looks: Sequence[Analysis]) -> None:
    """Record the verdicts that were given."""
    study.set_user_attr(LOOKS, json.dumps([look.to_plain() for look in looks]))


def set_diagnosis(study: Study, arm: str, diagnosis: Mapping[str, Any]) -> None:
    """Record what an arm's network looks like at initialization and after an epoch."""
    diagnoses = {**study_info(study).diagnoses, arm: dict(diagnosis)}
    study.set_user_attr(DIAGNOSES, json.dumps(diagnoses))


def set_run(study: Study, trial: int, run_id: str) -> None:
    """Record the MLflow run that holds all of a trial."""
    study.set_user_attr(f"{RUN}{trial}", run_id)


def records(study: Study) -> list[TrialRecord]:
    """All trials that were resolved, by number; those that run still have no result."""
    with readable(study.study_name):
        runs = study.attrs_after(RUN)
        rows = study.trials(READ, first=len(study.settled))
        found = [to_record(row) for row in rows]
    everything = [*study.settled, *found]
    ended = itertools.takewhile(lambda row: row.state.is_finished(), rows)
    study.settled += found[: sum(1 for _ in ended)]
    return [replace(r, run_id=runs.get(str(r.trial.number), "")) for r in everything if r]


def to_record(row: Row) -> TrialRecord | None:
    """One trial of the database as a record, or None where it never came to a `Trial`."""
    attrs = row.attrs
    if TRIAL not in attrs:
        return None
    trial = Trial.from_json(json.loads(attrs[TRIAL]))
    if RESULT in attrs:
        return TrialRecord(trial, Result.from_json(json.loads(attrs[RESULT])))
    if row.state.is_finished():
        killed = Result(trial.number, Status.INTERRUPTED, error="the driver was killed")
        return TrialRecord(trial, killed)
    return TrialRecord(trial, None)


def _write_sweep(study: Study, sweep: Sweep) -> None:
    before = study_info(study).sweep
    plain = to_plain(sweep)
    for key in GROWING:  # a smaller number asks for nothing, and takes nothing back
        plain[key] = max(plain[key], before.get(key, 0))
    if plain != before:
        study.set_user_attr(SWEEP, json.dumps(plain))


def _refuse_changes(study: Study, sweep: Sweep, storage_url: str) -> None:
    before, now = study_info(study).sweep, to_plain(sweep)
    was, is_ = before.get("model.name", ""), now["model.name"]
    if "@" in was and "@" in is_ and was != is_ and study_info(study).begun:
        raise SweepError(
            f"study {study.study_name}: was begun with a network of another configuration ({was}), "
            f"received {is_}; legal: the same network, or another study name"
        )
    if not before:
        raise StoreError(
            f"--study-name: received {study.study_name}, which {masked(storage_url)} holds as a "
            "study that normsweep did not make; legal: another name"
        )
    if (
        not study_info(study).begun and before["metric"] == now["metric"]
    ):  # it never came to a trial
        return
    growing = _more_epochs(before, now) and not study.lists("epochs")
    free = GROWING + FREE + (EPOCHS if growing else ())
    changed = [
        f"  {key}: was {shown(before.get(key, 'not there'))}, is {shown(now.get(key, 'not there'))}"
        for key in sorted(before.keys() | now.keys())
        if key not in free and before.get(key) != now.get(key)
    ]
    if changed:
        raise SweepError(
            [
                f"study {study.study_name}: was begun with another sweep; legal: the same, more "
                "trials, seeds or epochs, other limits under [execution], or another --study-name:",
                *changed,
            ]
        )


def _more_epochs(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether a sweep has all numbers of epochs that it had, and no shorter confirmation."""
    listed = [set(plain.get("search.space.epochs") or ()) for plain in (before, now)]
    longest = [_longest(plain) for plain in (before, now)]
    confirmed = [
        plain["confirm.epochs"] or most for plain, most in zip((before, now), longest, strict=True)
    ]
    return listed[0] <= listed[1] and longest[0] <= longest[1] and confirmed[0] <= confirmed[1]


def _longest(plain: Mapping[str, Any]) -> float:
    listed = plain.get("search.space.epochs")
    return max(listed) if listed else plain["search.space.epochs.high"]
