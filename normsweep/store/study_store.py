"""`StudyStore`: reads and writes a study in its database, for the one process that runs it."""

from __future__ import annotations

import functools
import itertools
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Concatenate, ParamSpec, TypeVar

from optuna.trial import TrialState

from normsweep.errors import StudyStopped, SweepError
from normsweep.parts.metrics import metric
from normsweep.store import encoding
from normsweep.store.database_errors import DATABASE_ERRORS, described
from normsweep.store.encoding import Attribute, readable
from normsweep.store.locks import StudyLock
from normsweep.store.note import write_note
from normsweep.store.optuna_tables import StudyTables
from normsweep.store.phase_studies import PhaseStudies
from normsweep.sweep.problems import shown
from normsweep.sweep.space import Space
from normsweep.sweep.study_record import (
    Analysis,
    DataFacts,
    Diagnosis,
    LoggedModel,
    Publication,
    StudyRecord,
    TrialRecord,
)
from normsweep.sweep.trial import SEARCH, Epoch, Result, Trial

__all__ = ["StudyStore"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


def _stopping(
    method: Callable[Concatenate[StudyStore, P], R],
) -> Callable[Concatenate[StudyStore, P], R]:
    """The method with errors of the database raised as `StudyStopped`."""

    @functools.wraps(method)
    def wrapped(self: StudyStore, *args: P.args, **kwargs: P.kwargs) -> R:
        with _stopped(self.url):
            return method(self, *args, **kwargs)

    return wrapped


@contextmanager
def _stopped(url: str) -> Iterator[None]:
    """A context with errors of the database raised as `StudyStopped`."""
    try:
        yield
    except DATABASE_ERRORS as error:
        raise StudyStopped(
            f"--storage: {url} cannot be read or written: {described(error, url)}"
        ) from error


class StudyStore:
    """Reads and writes a study; every method raises `StudyStopped` for an error of the database.

    The trials of all phases are numbered in one row; Optuna numbers those of each of its studies.
    """

    def __init__(self, studies: PhaseStudies) -> None:
        self._studies = studies
        self._parent = studies.search
        self._running: dict[int, int] = {}
        """Optuna's ids of the trials that this process has begun, by number."""
        self._ended: dict[int, list[TrialRecord | None]] = {}
        """By Optuna study the first trials up to the first running one; they are not read again."""

    @property
    def name(self) -> str:
        """The study's name."""
        return self._parent.name

    @property
    def url(self) -> str:
        """The address of the database, without its password."""
        return self._parent.url

    @property
    def key(self) -> int:
        """The id of the study in the database."""
        return self._parent.key

    @property
    def keys(self) -> dict[str, int]:
        """The ids of the Optuna studies of the phases that have begun; the search has its own in any case."""
        return {phase: tables.key for phase, tables in self._studies.begun.items()}

    @_stopping
    def record(self, trials: bool = True) -> StudyRecord:
        """The study as plain data; with `trials=False` without its trials.

        Raises:
            StoreError: the study was not written by normsweep.
        """
        with readable(self.name):
            head = encoding.study_head(self.name, self._parent.attrs(encoding.HEAD))
        known = self.trials() if trials or head.analyses else ()
        return replace(
            head, analyses=_with_runs(head.analyses, known), trials=known if trials else ()
        )

    @functools.cached_property
    def _unused(self) -> int:
        """The first unused trial number. Trials that were deleted with Optuna's tools count if MLflow has their runs."""
        marks = map(int, self._parent.attrs_after(encoding.RUN))
        return max((*marks, *(r.trial.number for r in self.trials())), default=-1) + 1

    @_stopping
    def trials(self) -> tuple[TrialRecord, ...]:
        """All trials in the order of their numbers; running ones have no result."""
        with readable(self.name):
            marks = self._parent.attrs_after(encoding.RUN)
            runs = {number: encoding.run_of(mark) for number, mark in marks.items()}
            found = [record for tables in self._studies for record in self._trials_of(tables)]
        found.sort(key=lambda record: record.trial.number)
        return tuple(_marked(r, *runs.get(str(r.trial.number), ("", ""))) for r in found)

    def check_data(self, data: DataFacts) -> None:
        """Check that a study is resumed with the data that it was created with.

        Raises:
            SweepError: the data differs.
        """
        before = self._read(encoding.DATA)
        if before is not None and before.digest != data.digest:
            raise SweepError(
                f"study {shown(self.name)} was created with different data: {before.name} ({before.source}, "
                f"digest {before.digest[:12]}) -> {data.name} ({data.source}, digest {data.digest[:12]}); "
                "use the same data, or pass another name (--study-name, in Python study_name=) to start a new study"
            )

    def begin_study(
        self,
        data: DataFacts,
        same: Mapping[str, str],
        threads: int | None = None,
        precision: str = "",
    ) -> None:
        """Store the data, the normalizations that are equivalent on it, threads and precision, before any trial."""
        if self._read(encoding.DATA) is None:
            self._write(encoding.THREADS, threads)
            self._write(encoding.PRECISION, precision)
            self._write(encoding.SAME, same)
            self._write(encoding.DATA, data)

    def fence(self, lock: StudyLock) -> None:
        """Write nothing any more once another process has, or has had, the lock of the study."""
        if not lock.can_be_lost:
            return
        ourselves = uuid.uuid4().hex
        self._write(encoding.DRIVER, ourselves)
        lock.fence(self._parent.engine, lambda: self._read(encoding.DRIVER) == ourselves)

    @_stopping
    def begin_trial(self, trial: Trial, space: Space | None = None) -> Trial:
        """Store a trial as running; returns it with its number.

        `space`: the search space of its parameters, for Optuna's tools; None: they show no parameters.
        """
        tables, shown = self._studies.of(trial.phase), self._shown(trial)
        listed = self._epochs_listed and tables is self._parent
        distributions = encoding.distributions(trial, space, listed) if space and shown else {}
        number, key = tables.begin(
            {name: trial.params[name] for name in distributions},
            distributions,
            lambda number: encoding.trial_attributes(replace(trial, number=number), shown),
            beside=self._studies,
            least=self._unused,
        )
        self._unused = number + 1
        self._running[number] = key
        return replace(trial, number=number)

    @contextmanager
    def together(self) -> Iterator[None]:
        """A context for several writes, which are stored all at once at its end."""
        with _stopped(self.url), self._parent.together():
            yield

    @_stopping
    def report(self, trial: Trial, epoch: Epoch) -> None:
        """Store the score of a trial at an epoch."""
        value = encoding.value_of(epoch, metric(trial.metric))
        self._parent.report(self._running[trial.number], epoch.epoch, value)

    @_stopping
    def tell(self, trial: Trial, result: Result) -> TrialRecord:
        """Store how a trial ended."""
        key = self._running[trial.number]
        with self._parent.together():
            for name, value in encoding.result_attributes(result).items():
                self._parent.set_attr(key, name, value)
            self._parent.tell(key, *encoding.outcome(result, metric(trial.metric)))
        del self._running[trial.number]
        return TrialRecord(trial, result)

    @_stopping
    def repair(self) -> None:
        """Mark the unfinished trials of a killed process as interrupted.

        Only one process runs a study, so no other process can be running them.
        """
        for tables in self._studies:
            for row in tables.unfinished(encoding.READ):
                left = encoding.trial_record(row)
                ended = (None, TrialState.FAIL)
                if left is not None and left.result is not None:
                    ended = encoding.outcome(left.result, metric(left.trial.metric))
                tables.tell(row.key, *ended)

    @_stopping
    def note_run(self, trial: int, run_id: str, store: str) -> None:
        """Store the id of a trial's MLflow run, which is complete, and of the MLflow store that has it."""
        mark = encoding.run_mark(run_id, store)
        self._parent.set_attr_of_study(f"{encoding.RUN}{trial}", mark)

    def note_plan(self, phase: str, trials: int) -> None:
        """Store the number of planned trials of a phase, for lists of studies."""
        before = self._read(encoding.PLANNED)
        if before.get(phase) != trials:
            self._write(encoding.PLANNED, {**before, phase: trials})

    def note_model(self, arm: str, model: LoggedModel) -> None:
        """Store which model was logged for an arm."""
        self._write(encoding.MODELS, {**self._read(encoding.MODELS), arm: model})

    @_stopping
    def write_notes(self, notes: Mapping[str, str]) -> None:
        """Write the notes of the phases' studies in Optuna's dashboard; what users wrote there is kept."""
        for phase, tables in self._studies.begun.items():
            if phase in notes:
                write_note(tables, notes[phase])

    def note_diagnosis(self, arm: str, diagnosis: Diagnosis) -> None:
        """Store the diagnosis of an arm's network at initialization and after an epoch."""
        self._write(encoding.DIAGNOSES, {**self._read(encoding.DIAGNOSES), arm: diagnosis})

    @property
    def published(self) -> Publication | None:
        """Up to where the study is completely published; None if that is unknown."""
        return self._read(encoding.PUBLISHED)

    def note_published(self, publication: Publication) -> None:
        """Store up to where the study is completely published."""
        self._write(encoding.PUBLISHED, publication)

    @_stopping
    def state(self) -> str:
        """A text that differs whenever a trial has begun or ended, or anything but `published` was noted."""
        key = encoding.PUBLISHED.key
        return repr([tables.state(without=key) for tables in self._studies])

    def note_analysis(self, analysis: Analysis) -> tuple[Analysis, ...]:
        """Store an analysis unless nothing is new in it; returns all analyses."""
        before = self.record(trials=False).analyses
        if before and (analysis.seen == before[-1].seen or analysis.seeds < before[-1].seeds):
            return before
        self._write(encoding.ANALYSES, (*before, analysis))
        return (*before, analysis)

    @functools.cached_property
    def _epochs_listed(self) -> bool:
        """Whether the numbers of epochs are stored as a list, as older versions did."""
        return self._parent.lists("epochs")

    def _shown(self, trial: Trial) -> bool:
        """Whether Optuna's tools show a trial's parameters: a confirmation must not look like a search."""
        return trial.phase == SEARCH or self._studies.apart

    def _trials_of(self, tables: StudyTables) -> Iterator[TrialRecord]:
        ended = self._ended.setdefault(tables.key, [])
        rows = tables.trials(encoding.READ, first=len(ended))
        found = [encoding.trial_record(row) for row in rows]
        everything = [*ended, *found]
        ended += found[: sum(1 for _ in itertools.takewhile(lambda r: r.state.is_finished(), rows))]
        return (record for record in everything if record is not None)

    @_stopping
    def _read(self, attribute: Attribute[T]) -> T:
        with readable(self.name):
            return attribute.of(self._parent.attrs([attribute.key]))

    @_stopping
    def _write(self, attribute: Attribute[T], value: T) -> None:
        self._parent.set_attr_of_study(attribute.key, attribute.dump(value))


def _with_runs(
    analyses: tuple[Analysis, ...], trials: Iterable[TrialRecord]
) -> tuple[Analysis, ...]:
    """The analyses whose runs exist: the Optuna study of a phase can be deleted with Optuna's tools."""
    numbers = {record.trial.number for record in trials}
    return tuple(
        analysis
        for analysis in analyses
        if numbers.issuperset(n for c in analysis.configurations for n in c.runs if n is not None)
    )


def _marked(record: TrialRecord, run_id: str, store: str) -> TrialRecord:
    return replace(record, run_id=run_id, run_store=store)
