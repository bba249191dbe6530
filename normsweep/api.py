"""normsweep from Python: `run` a study, `load` one that exists, look at it as data frames."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from normsweep.errors import SweepError
from normsweep.sweep.schema import Sweep
from normsweep.text import masked, printable
from normsweep.urls import STORAGE, TRACKING

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from normsweep.analysis.evidence import Evidence
    from normsweep.sweep.study_record import StudyRecord

__all__ = ["Answer", "Study", "load", "run"]

Build = Callable[..., Any]
"""`build(input_shape, classes)` returns an uncompiled `keras.Model` that ends in a softmax."""


def run(
    sweep: Sweep | Mapping[str, Any] | str | Path = "quickstart",
    data: Any = None,
    model: Build | None = None,
    *,
    study_name: str | None = None,
    storage: str | None = None,
    tracking_uri: str | None = None,
    mlflow_page: str | None = None,
    n_trials: int | None = None,
    timeout: float | str | None = None,
    seed: int | None = None,
    data_dir: str | Path | None = None,
    executor: Literal["processes", "inline", "ray"] = "processes",
    n_jobs: int | None = None,
    ray_address: str | None = None,
    device: Literal["auto", "cpu", "gpu"] = "auto",
    phase: Literal["search", "confirm", "all"] = "all",
    set: Mapping[str, Any] | None = None,
    plugins: Sequence[str] | str | None = None,
    quiet: bool = False,
    console: Console | None = None,
) -> Study:
    """Run a study, or continue it by its name, as `python -m normsweep.study` does.

    Args:
        sweep: the path of a sweep file, the name of a shipped one, a dict with the tables of one, or the
            `Sweep` that was read from one.
        data: `(x_train, y_train, x_test, y_test)`, in place of the sweep's dataset: x (n, features),
            (n, height, width) or (n, height, width, channels), whole or real numbers as they are
            before any normalization; y (n,) whole numbers or texts. Arrays, frames, lists, or
            iterables of (image, label): `normsweep.parts.Dataset.of` says which, and may make it.
        model: `build(input_shape, classes)`, in place of the sweep's network: an uncompiled
            `keras.Model` that takes (batch, *input_shape) float32 and ends in a softmax over the
            classes. Keyword-only arguments are options that `model.options` and the space may set.
        study_name: the sweep's name where it is not given.
        storage: URL of Optuna's database; `OPTUNA_STORAGE`, else `mlruns/optuna.db`.
        tracking_uri: of MLflow; `MLFLOW_TRACKING_URI`, else `mlruns/mlflow.db`.
        mlflow_page: where browsers open MLflow, if not at the tracking URI.
        n_trials: trials in total over the study's life.
        timeout: seconds, or a text as `90m`, after which this call starts no trial of the search; the
            confirmation has no limit.
        seed: of split, initial weights, order of batches and sampler.
        data_dir: folder with mnist.npz and the like; `NORMSWEEP_DATA` where it is not given.
        executor: where trials run: processes of their own, this one, or a Ray cluster.
        n_jobs: trials side by side.
        ray_address: of a cluster; `RAY_ADDRESS`, else one of this machine.
        device: `auto` takes a GPU where there is one.
        phase: the search, its confirmation on fresh seeds, or both.
        set: further keys of the sweep by dotted name, as `{"confirm.seeds": 5}`.
        plugins: modules that register parts, in place of those that the sweep names.
        quiet: print nothing.
        console: where progress and tables are printed; standard output where it is not given.

    Returns:
        The study; every trial is in the stores, and the same call continues it.

    Raises:
        UserError: a mistake that the caller can mend, as `SweepError` or `DataError`: a line each,
            with what was received and what is legal.
        Interrupted: a KeyboardInterrupt; everything so far is recorded.
        StudyStopped: the study cannot go on; everything so far is recorded.

    Warns:
        UserWarning: no trial has a score, or MLflow lacks a part of what is recorded.
    """
    from normsweep.console.screen import make_console, screen
    from normsweep.parts import models
    from normsweep.parts.catalog import read_sweep
    from normsweep.runner.session import Settings, run_study
    from normsweep.urls import absolute_url

    _check_choices(executor, n_jobs, device, phase)
    options = {
        "name": ("study_name", study_name),
        "search.trials": ("n_trials", n_trials),
        "search.timeout": ("timeout", timeout),
        "seed": ("seed", seed),
        "plugins": ("plugins", plugins),
    }
    given = {key: value for key, (_, value) in options.items() if value is not None}
    names = {key: options[key][0] for key in given}
    own = {"data.dataset": data, "model.name": model}
    handed_over = {key: models.OWN for key, value in own.items() if value is not None}
    with _lent(data, model):
        settings = {**(set or {}), **handed_over, **given}
        read = read_sweep(sweep, options=names, settings=settings)
        place = Settings(
            storage=_chosen(storage, "OPTUNA_STORAGE", STORAGE),
            tracking_uri=_chosen(tracking_uri, "MLFLOW_TRACKING_URI", TRACKING),
            mlflow_page=mlflow_page or os.environ.get("NORMSWEEP_MLFLOW_PAGE"),
            executor=executor,
            n_jobs=n_jobs,
            ray_address=ray_address or os.environ.get("RAY_ADDRESS"),
            device=device,
            phase=phase,
            data_dir=_data_dir(data_dir),
            sweep_file=_file(sweep),
            overrides=tuple(f"{key}={value}" for key, value in settings.items()),
        )
        with screen(console or make_console(quiet)) as shown:
            whole = run_study(read, place, shown)
    if not whole:
        warnings.warn(
            f"study {read.name}: no trial has a score, or MLflow lacks a part of what is recorded; "
            "the same call, or normsweep sync, delivers it",
            stacklevel=2,
        )
    return Study(read.name, absolute_url(place.storage))


def load(study_name: str | None = None, storage: str | None = None) -> Study:
    """A study that exists, to look at; `run` continues it.

    Args:
        study_name: its name; not needed where there is one only.
        storage: URL of Optuna's database; `OPTUNA_STORAGE`, else `mlruns/optuna.db`.

    Returns:
        The study, with whatever trials it has.

    Raises:
        StoreError: there is no such study.
    """
    from normsweep.store.storage import load_study
    from normsweep.urls import absolute_url

    url = _chosen(storage, "OPTUNA_STORAGE", STORAGE)
    return Study(load_study(url, study_name).name, absolute_url(url))


@dataclass(frozen=True)
class Study:
    """A study in its database, read anew at each call; in a notebook it shows itself.

    Each of its methods raises a `StoreError` where the study is there no longer.

    Attributes:
        name: the study's.
        storage: URL of Optuna's database.
    """

    name: str
    storage: str = field(default=STORAGE, repr=False)

    def best(self, top: int | None = None) -> pd.DataFrame:
        """Each arm's best trial of the search, or the `top` best of all; columns: docs/columns.md.

        Raises:
            SweepError: `top` is below 1.
        """
        if top is not None and top < 1:
            raise SweepError(f"top: received {top}; legal: a number from 1 up")
        return self._table("best", top)

    def trials(self) -> pd.DataFrame:
        """One row a trial, those of the confirmation too."""
        return self._table("trials")

    def epochs(self) -> pd.DataFrame:
        """One row an epoch of a trial."""
        return self._table("epochs")

    def arms(self) -> pd.DataFrame:
        """One row an arm: how its trials of the search ended."""
        return self._table("arms")

    def verdict(self) -> Answer:
        """What the confirmation decided.

        Raises:
            StoreError: there was none yet.
        """
        from normsweep.reporting.tables import confirmed_evidence

        return Answer(confirmed_evidence(self._read(), self.storage))

    def report(self, folder: str | Path | None = None) -> Path:
        """Write the report, one page with its figures and tables; the page's path.

        Args:
            folder: `mlruns/reports/STUDY` where it is not given.

        Raises:
            StoreError: the study has no trial yet.
            UserError: the folder cannot be written.
        """
        from normsweep.reporting.page import write_study_report

        place = None if folder is None else Path(folder)
        return write_study_report(self._read(), self.storage, place)

    def _read(self) -> StudyRecord:
        from normsweep.store.storage import read_study

        return read_study(self.storage, self.name)

    def _table(self, name: str, top: int | None = None) -> pd.DataFrame:
        from normsweep.reporting.tables import study_table

        return study_table(self._read(), name, top)

    def _repr_html_(self) -> str:
        from normsweep.analysis.evidence import evidence
        from normsweep.reporting.formats import render
        from normsweep.reporting.tables import brief_table

        record = self._read()
        head = f"<h4>{escape(printable(record.name))}</h4>"
        question = escape(printable(record.sweep.question))
        if not record.begun:
            return f"{head}<p>{question}</p><p>No trial yet.</p>"
        shown = ["arm", "val_{metric}", "optimizer", "learning_rate", "epochs", "trial"]
        best = brief_table(record, "best", shown)
        return (
            f"{head}<p>{question}</p>{Answer(evidence(record))._repr_html_()}"
            f"<p>Each arm's best trial of the search; stored in {escape(masked(self.storage))}</p>"
            f"{render(best, 'html').decode()}"
        )


@dataclass(frozen=True, eq=False)
class Answer:
    """What a confirmation decided: the answer in a sentence, and every question's verdict.

    Attributes:
        evidence: all that the study found; its `verdicts` are those of `normsweep.analysis.verdicts`.
    """

    evidence: Evidence = field(repr=False)

    @property
    def sentence(self) -> str:
        """The primary question's answer."""
        from normsweep.reporting.answer import study_answer

        return study_answer(self.evidence)

    @property
    def table(self) -> pd.DataFrame:
        """One row a question and arm; columns: docs/columns.md."""
        from normsweep.reporting.evidence_tables import verdict_table

        return verdict_table(self.evidence.verdicts, self.evidence.metric)

    @property
    def lines(self) -> pd.DataFrame:
        """The same for people: all columns are text."""
        from normsweep.reporting.verdict_text import verdict_lines

        return verdict_lines(self.evidence.verdicts)

    def __str__(self) -> str:
        from normsweep.console.screen import table_text

        return f"{self.sentence}\n\n{table_text(self.lines)}"

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        from normsweep.reporting.formats import render

        sentence = f"<p><b>{escape(printable(self.sentence))}</b></p>"
        return sentence + (render(self.lines, "html").decode() if len(self.lines) else "")


@contextmanager
def _lent(data: Any, model: Build | None) -> Iterator[None]:
    """Data and network under names of the registries, while a study runs."""
    from normsweep.parts import datasets, models
    from normsweep.parts.dataset import Dataset

    with ExitStack() as stack:
        if data is not None:
            found = Dataset.of(data, models.OWN, "data in memory")
            stack.enter_context(datasets.registry.temporarily(models.OWN, lambda data_dir: found))
        if model is not None:
            if not callable(model):
                raise SweepError(
                    f"model: received {type(model).__name__}; legal: a function build(input_shape, "
                    "classes) that returns a keras.Model, which is built anew for every trial"
                )
            stack.enter_context(models.registry.temporarily(models.OWN, model))
        yield


def _check_choices(executor: str, n_jobs: int | None, device: str, phase: str) -> None:
    """Raise a line for each argument that is none of its legal values."""
    legal = {
        "executor": (executor, ("processes", "inline", "ray")),
        "device": (device, ("auto", "cpu", "gpu")),
        "phase": (phase, ("search", "confirm", "all")),
    }
    problems = [
        f"{name}: received {value!r}; legal: {', '.join(values)}"
        for name, (value, values) in legal.items()
        if value not in values
    ]
    counted = n_jobs is None or (isinstance(n_jobs, int) and n_jobs >= 1)
    if not counted or (n_jobs != 1 and n_jobs is not None and executor == "inline"):
        problems.append(
            f"n_jobs: received {n_jobs!r} with executor {executor!r}; legal: a number from 1 up, and 1 "
            "with inline"
        )
    if problems:
        raise SweepError(problems)


def _chosen(given: str | None, variable: str, default: str) -> str:
    return given or os.environ.get(variable) or default


def _data_dir(given: str | Path | None) -> Path | None:
    folder = given or os.environ.get("NORMSWEEP_DATA")
    return Path(folder) if folder else None


def _file(sweep: Sweep | Mapping[str, Any] | str | Path) -> Path | None:
    """The sweep's file, which is kept with every run."""
    from normsweep.sweep.loading import find_sweep

    return find_sweep(sweep) if isinstance(sweep, str | Path) else None
