"""The Python API: `run` a study or `load` one, and get its results as data frames and charts."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from html import escape
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from normsweep.errors import DataError, SweepError
from normsweep.sweep.schema import Sweep
from normsweep.text import masked, printable
from normsweep.urls import STORAGE, TRACKING

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from normsweep.analysis.evidence import Evidence
    from normsweep.analysis.given import Judgement
    from normsweep.reporting.checkup import Checkup
    from normsweep.reporting.figures.charts import Figures
    from normsweep.sweep.study_record import StudyRecord

__all__ = ["Answer", "JudgedRuns", "Study", "diagnose", "judge", "load", "run"]

Build = Callable[..., Any]
"""`build(input_shape, classes)` returns an uncompiled `keras.Model` with softmax outputs."""


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
    reuse: str | None = None,
    set: Mapping[str, Any] | None = None,
    plugins: Sequence[str] | str | None = None,
    quiet: bool = False,
    console: Console | None = None,
) -> Study:
    """Run or resume a study, as `python -m normsweep.study` does.

    Args:
        sweep: path of a sweep file, name of a shipped sweep, dict with the tables of a sweep file, or
            a `Sweep`.
        data: `(x_train, y_train, x_test, y_test)`, replaces the sweep's dataset: x (n, features),
            (n, height, width) or (n, height, width, channels), unnormalized integers or floats; y (n,)
            integers or strings, or numbers (n,) or (n, outputs) for a regression. Arrays, data frames, lists, or iterables of (image, label), as
            accepted by `normsweep.parts.Dataset.of`, or a `Dataset`.
        model: `build(input_shape, classes)`, replaces the sweep's model: returns a
            `keras.Model` that takes (batch, *input_shape) float32 and has softmax outputs over the
            classes, or for a regression a linear output for each target. Keyword-only arguments can be set by
            `model.options` and the search space. Or such a model itself: trials train copies of it, with weights
            as the parameter `initial` says.
        study_name: name of the study; default: the sweep's name.
        storage: URL of Optuna's database; default: `OPTUNA_STORAGE` or `mlruns/optuna.db`.
        tracking_uri: MLflow's tracking URI; default: `MLFLOW_TRACKING_URI` or `mlruns/mlflow.db`.
        mlflow_page: address of MLflow's web page, if it is not the tracking URI.
        n_trials: total number of trials of the search, including earlier calls.
        timeout: seconds, or a string like `90m`, after which this call starts no trial of the search;
            the confirmation has no limit.
        seed: for the split, initial weights, batch order and sampler.
        data_dir: folder with mnist.npz and the like; default: `NORMSWEEP_DATA`.
        executor: where trials run: in worker processes, in this process, or on a Ray cluster.
        n_jobs: number of parallel trials.
        ray_address: Ray cluster; default: `RAY_ADDRESS`, or a new cluster on this machine.
        device: `auto` uses a GPU if there is one.
        phase: the search, its confirmation on fresh seeds, or both.
        reuse: name of another study in the storage; trials that it has finished are taken from it.
        set: further keys of the sweep by dotted name, for example `{"confirm.seeds": 5}`.
        plugins: modules with custom components, replaces the sweep's plugins.
        quiet: print nothing.
        console: where progress and tables are printed; default: standard output.

    Returns:
        The study; every trial is stored, and the same call resumes it.

    Raises:
        UserError: an error that the caller can fix, for example `SweepError` or `DataError`; one line
            per problem, with what was expected and what was found.
        Interrupted: a KeyboardInterrupt; all results so far are stored.
        StudyStopped: the study cannot continue; all results so far are stored.

    Warns:
        UserWarning: no trial has a score, or not everything is logged to MLflow.
    """
    from normsweep.parts import models
    from normsweep.parts.catalog import read_sweep
    from normsweep.runner.workers import Settings, Workers
    from normsweep.sweep.loading import as_toml
    from normsweep.urls import absolute_url

    _check_choices(executor, n_jobs, device, phase)
    _check_texts(
        storage=storage,
        tracking_uri=tracking_uri,
        mlflow_page=mlflow_page,
        ray_address=ray_address,
        reuse=reuse,
    )
    if set is not None and not isinstance(set, Mapping):
        raise SweepError(
            'set: expected a mapping of dotted names to values, such as {"confirm.seeds": 5}, got '
            f"{type(set).__name__}"
        )
    options = {
        "name": ("study_name", study_name),
        "search.trials": ("n_trials", n_trials),
        "search.timeout": ("timeout", timeout),
        "seed": ("seed", seed),
        "plugins": ("plugins", plugins),
    }
    given = {key: value for key, (_, value) in options.items() if value is not None}
    names = {key: options[key][0] for key in given}
    custom = {"data.dataset": data, "model.name": model}
    in_memory = {key: models.OWN for key, value in custom.items() if value is not None}
    with _registered(data, model):
        settings = as_toml({**(set or {}), **in_memory, **given})
        read = read_sweep(sweep, options=names, settings=settings)
        run_settings = Settings(
            storage=_chosen(storage, "OPTUNA_STORAGE", STORAGE),
            tracking_uri=_chosen(tracking_uri, "MLFLOW_TRACKING_URI", TRACKING),
            mlflow_page=mlflow_page or os.environ.get("NORMSWEEP_MLFLOW_PAGE"),
            executor=executor,
            n_jobs=None if n_jobs is None else int(n_jobs),
            ray_address=ray_address or os.environ.get("RAY_ADDRESS"),
            device=device,
            phase=phase,
            reuse=reuse,
            data_dir=_data_dir(data_dir),
            sweep_file=_sweep_file(sweep),
            overrides=tuple(f"{key}={value}" for key, value in settings.items()),
        )
        with Workers(read, run_settings) as workers:  # they import the backend meanwhile
            from normsweep.console.screen import make_console, screen
            from normsweep.runner.session import run_study

            with screen(console or make_console(quiet)) as shown:
                finished = run_study(read, run_settings, workers, shown)
    if not finished:
        warnings.warn(
            f"study {read.name}: no trial has a score, or not everything is logged to MLflow; call run "
            "again, or log the rest with normsweep sync",
            stacklevel=2,
        )
    return Study(read.name, absolute_url(run_settings.storage))


SCHEMES = ("none", "unit", "symmetric", "center", "standardize", "minmax")
"""Schemes that a diagnosis compares, where the data allow them."""


def diagnose(
    data: Any,
    model: Build | str = "mlp",
    *,
    normalization: str = "none",
    optimizer: str = "adam",
    learning_rate: float = 1e-3,
    batch_size: int = 32,
    seed: int = 0,
    data_dir: str | Path | None = None,
    executor: Literal["processes", "inline"] = "processes",
    device: Literal["auto", "cpu", "gpu"] = "auto",
) -> Checkup:
    """Look at data and network before training: what is wrong, which rates look stable, what to try first.

    No study is created and nothing is stored. The network is trained for ten steps with each of a few schemes.

    Args:
        data: as of `run`, or the name of a dataset, or the path of an `.npz` file.
        model: as of `run`, or the name of a registered model.
        normalization: the scheme that you use; `none` if the data are as the network gets them.
        optimizer: the optimizer that you use.
        learning_rate: the learning rate that you use.
        batch_size: the batch size that you use.
        seed: for the split, initial weights and batch order.
        data_dir: folder with mnist.npz and the like; default: `NORMSWEEP_DATA`.
        executor: where the network runs: in a worker process, or in this one.
        device: `auto` uses a GPU if there is one.

    Returns:
        What was found. Printed, it is a text with a line for each thing.

    Raises:
        UserError: a name is unknown, or a dataset is not available.
    """
    from normsweep.parts import models
    from normsweep.parts.catalog import read_sweep
    from normsweep.runner.checkup import check_arrays, check_setup, read_arrays, sweep_of
    from normsweep.runner.workers import Settings

    _check_choices(executor, None, device, executors=("processes", "inline"))
    named = isinstance(data, str | Path)
    given = None if named else read_arrays(data)
    if given is not None and (wrong := check_arrays(given)) is not None:
        return wrong
    content = sweep_of(
        str(data) if named else models.OWN,
        model if isinstance(model, str) else models.OWN,
        list(dict.fromkeys((normalization, *SCHEMES))),
        optimizer,
        learning_rate,
        batch_size,
        seed,
    )
    with _registered(None if named else given, None if isinstance(model, str) else model):
        sweep = read_sweep(content)
        settings = Settings(executor=executor, device=device, data_dir=_data_dir(data_dir))
        return check_setup(sweep, settings, given)


def judge(
    runs: Any,
    *,
    reference: str | float,
    margin: float,
    arm: str | None = None,
    seed: str | Sequence[str] | None = None,
    score: str | None = None,
    epoch: str | None = None,
    where: Mapping[str, Any] | None = None,
    lower: bool | None = None,
    examples: Any = None,
    confidence: float = 0.95,
    chance: float | None = None,
    name: str | None = None,
) -> JudgedRuns:
    """Judge runs that were made elsewhere, by the rules of a study.

    Args:
        runs: one row a run, or a run and epoch: a data frame, a mapping of columns, a list of mappings, or
            the path of a CSV, parquet or JSON lines file.
        reference: the arm that the others are compared with.
        margin: equivalence margin, in the unit of the scores.
        arm: column of the arm; this and the next three are found by usual names.
        seed: column of the seed, or a list of columns; equal seeds of two arms are a pair.
        score: column of the score.
        epoch: column of the epoch.
        where: values of columns; only these rows are read.
        lower: whether lower scores are better; by default by the name of the score.
        examples: one row a run and test example, with its score, or its label and prediction: the interval
            is for new examples as well.
        confidence: confidence level of the intervals.
        chance: score of guessing, if it is known.
        name: what the runs are called.

    Returns:
        The verdicts. Printed, they begin with what the runs cannot say.

    Raises:
        DataError: the runs cannot be read, or an argument is not legal.
    """
    from normsweep.runner.given_runs import Asked
    from normsweep.runner.judging import judge_table

    if where is not None and not isinstance(where, Mapping):
        raise DataError(
            'where: expected a mapping of columns to values, such as {"optimizer": "adam"}, got '
            f"{type(where).__name__}"
        )
    if lower is not None and (isinstance(lower, str) or str(lower) not in ("True", "False")):
        raise DataError(f"lower: expected True or False, got {lower!r}")  # NumPy's are, too
    conditions = tuple(f"{column}={_spelled(value)}" for column, value in (where or {}).items())
    columns = map(_column, (arm, seed, score, epoch))
    asked = Asked(*columns, where=conditions, lower=lower)
    rest = (_spelled(reference), margin, confidence, chance, examples, name)
    try:
        return JudgedRuns(judge_table(runs, asked, *rest))
    except DataError as error:
        raise DataError([_as_argument(line) for line in error.lines]) from None


def _spelled(value: Any) -> str:
    """A value as a table of runs spells it: truth values in lower case."""
    text = str(value)
    return text.lower() if text in ("True", "False") else text


def _column(name: Any) -> str | None:
    """The name of a column as text, several joined by commas."""
    several = isinstance(name, list | tuple)
    return ",".join(map(str, name)) if several else None if name is None else str(name)


def _as_argument(line: str) -> str:
    """A message of `normsweep judge` with the names of the arguments."""
    return re.sub(r"(?<![\w-])--(?=[a-z])", "", re.sub(r"^RUNS\b", "runs", line))


def load(study_name: str | None = None, storage: str | None = None) -> Study:
    """Load an existing study; `run` resumes it.

    Args:
        study_name: name of the study; optional if the storage has only one.
        storage: URL of Optuna's database; default: `OPTUNA_STORAGE` or `mlruns/optuna.db`.

    Returns:
        The study, with the trials it has so far.

    Raises:
        StoreError: the study does not exist.
    """
    from normsweep.store.storage import load_study
    from normsweep.urls import absolute_url

    _check_texts(study_name=study_name, storage=storage)
    url = _chosen(storage, "OPTUNA_STORAGE", STORAGE)
    return Study(load_study(url, study_name).name, absolute_url(url))


@dataclass(frozen=True)
class Study:
    """A study in its storage, read at each call; in a notebook it is displayed as tables.

    All methods raise a `StoreError` if the study no longer exists.

    Attributes:
        name: name of the study.
        storage: URL of Optuna's database.
    """

    name: str
    storage: str = field(default=STORAGE, repr=False)

    def best(self, top: int | None = None, epochs: int | None = None) -> pd.DataFrame:
        """Each arm's best trial of the search, or the `top` best trials; columns: docs/columns.md.

        Args:
            top: number of trials overall, instead of one per arm.
            epochs: compare the trials after this epoch, instead of after their last one.

        Raises:
            SweepError: `top` or `epochs` is no integer, or below 1.
        """
        for name, value in (("top", top), ("epochs", epochs)):
            if value is not None and not (isinstance(value, Integral) and value >= 1):
                raise SweepError(f"{name}: must be an integer of at least 1, got {value!r}")
        return self._table("best", top, epochs)

    def budgets(self) -> pd.DataFrame:
        """Each arm's best trial after each number of epochs of the search space."""
        return self._table("budgets")

    def trials(self) -> pd.DataFrame:
        """One row per trial, including those of the confirmation."""
        return self._table("trials")

    def epochs(self) -> pd.DataFrame:
        """One row per trial and epoch."""
        return self._table("epochs")

    def arms(self) -> pd.DataFrame:
        """One row per arm: how its trials of the search ended."""
        return self._table("arms")

    @property
    def answer(self) -> Answer:
        """The results of the confirmation.

        Raises:
            StoreError: the study has no confirmation yet.
        """
        from normsweep.reporting.tables import confirmed_evidence

        return Answer(confirmed_evidence(self._read(), self.storage))

    @property
    def figures(self) -> Figures:
        """The figures of the report as charts of Altair."""
        from normsweep.analysis.evidence import evidence
        from normsweep.reporting.figures.charts import Figures

        return Figures(evidence(self._read()))

    def report(self, folder: str | Path | None = None) -> Path:
        """Write the report, a page with figures and tables; returns the page's path.

        Args:
            folder: default: `mlruns/reports/STUDY`.

        Raises:
            StoreError: the study has no trial yet.
            UserError: the folder cannot be written.
        """
        from normsweep.reporting.page import study_evidence, write_study_report

        place = None if folder is None else Path(folder)
        found = study_evidence(self._read(), self.storage)
        return write_study_report(found, self.storage, place)

    def _read(self) -> StudyRecord:
        from normsweep.store.storage import read_study

        return read_study(self.storage, self.name).labelled()

    def _table(self, name: str, top: int | None = None, epochs: int | None = None) -> pd.DataFrame:
        from normsweep.reporting.tables import study_table

        return study_table(self._read(), name, top, epochs=epochs)

    def _repr_html_(self) -> str:
        from normsweep.analysis.evidence import evidence
        from normsweep.reporting.formats import render
        from normsweep.reporting.rows import brief_rows

        record = self._read()
        head = f"<h4>{escape(printable(record.name))}</h4>"
        question = escape(printable(record.sweep.question))
        if not record.begun:
            return f"{head}<p>{question}</p><p>No trial yet.</p>"
        shown = ["arm", "val_{metric}", "optimizer", "learning_rate", "epochs", "trial"]
        best = brief_rows(record, "best", shown).frame()
        return (
            f"{head}<p>{question}</p>{Answer(evidence(record))._words()}"
            f"<p>Each arm's best trial of the search; stored in {escape(masked(self.storage))}</p>"
            f"{render(best, 'html').decode()}"
        )


@dataclass(frozen=True, eq=False)
class Answer:
    """The results of a confirmation: the answer in a sentence, and the verdict of every question.

    Attributes:
        evidence: all results of the study; its `verdicts` are those of `normsweep.analysis.verdicts`.
    """

    evidence: Evidence = field(repr=False)

    @property
    def sentence(self) -> str:
        """The answer to the primary question."""
        from normsweep.reporting.answer import study_answer

        return study_answer(self.evidence)

    @property
    def repeats(self) -> str:
        """The gaps over repeats of the whole tuning, in a sentence; empty if there are none."""
        from normsweep.reporting.answer import repeats_sentence

        return repeats_sentence(self.evidence.verdicts)

    @property
    def in_short(self) -> dict[str, str]:
        """The report's four questions, each with its answer in a line."""
        from normsweep.reporting.in_short import in_short

        return {line.heading: line.text for line in in_short(self.evidence)}

    @property
    def methods(self) -> str:
        """How the study was done, a paragraph for an article."""
        from normsweep.reporting.methods import paragraph

        return paragraph(self.evidence)

    @property
    def summary(self) -> pd.DataFrame:
        """Test scores after so many epochs: mean and standard deviation over the seeds."""
        from normsweep.reporting.score_tables import summary_table

        return summary_table(self.evidence.scores, self.evidence.metric)

    @property
    def seeds(self) -> pd.DataFrame:
        """The test scores of each seed, which `summary` averages."""
        from normsweep.reporting.score_tables import seeds_table

        return seeds_table(self.evidence.scores, self.evidence.metric, self.evidence.level)

    @property
    def endings(self) -> pd.DataFrame:
        """How many trials and seeds of each arm trained, were stuck or diverged."""
        from normsweep.reporting.ending_tables import endings_table

        return endings_table(self.evidence.endings.arms)

    @property
    def exchange(self) -> pd.DataFrame:
        """How many epochs of each arm a number of epochs of the reference is worth."""
        from normsweep.reporting.score_tables import exchange_table

        return exchange_table(self.evidence.exchanges, self.evidence.metric)

    @property
    def mechanism(self) -> pd.DataFrame:
        """What of the gap of raw inputs goes with the first layer's start and steps."""
        from normsweep.reporting.score_tables import mechanism_table

        return mechanism_table(self.evidence.factorials)

    @property
    def table(self) -> pd.DataFrame:
        """One row per question and arm; columns: docs/columns.md."""
        from normsweep.reporting.evidence_tables import verdict_table

        return verdict_table(self.evidence.verdicts, self.evidence.metric)

    @property
    def lines(self) -> pd.DataFrame:
        """The same, formatted as text for display."""
        from normsweep.reporting.verdict_text import verdict_lines

        return verdict_lines(self.evidence.verdicts)

    def __str__(self) -> str:
        from normsweep.console.screen import table_text

        short = "\n".join(f"{question} {text}" for question, text in self.in_short.items())
        second = f"\n{self.repeats}" if self.repeats else ""
        return f"{self.sentence}{second}\n\n{printable(short)}\n\n{table_text(self.lines)}"

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return self._words() + _main_figure(self.evidence)

    def _words(self) -> str:
        """Sentence, the four lines and the table as HTML."""
        from normsweep.reporting.formats import render

        sentence = f"<p><b>{escape(printable(self.sentence))}</b></p>"
        short = "".join(
            f"<li><b>{escape(question)}</b> {escape(printable(text))}</li>"
            for question, text in self.in_short.items()
        )
        table = render(self.lines, "html").decode() if len(self.lines) else ""
        repeats = f"<p>{escape(printable(self.repeats))}</p>" if self.repeats else ""
        return f"{sentence}{repeats}<ul>{short}</ul>{table}"


@dataclass(frozen=True, eq=False)
class JudgedRuns:
    """The verdicts on runs that were made elsewhere.

    Attributes:
        judgement: the runs, their verdicts and curves.
    """

    judgement: Judgement = field(repr=False)

    @property
    def sentence(self) -> str:
        """The answer."""
        from normsweep.reporting.judged import judged_answer

        return judged_answer(self.judgement)

    @property
    def unknowns(self) -> tuple[str, ...]:
        """What a study would know and these runs do not say."""
        from normsweep.reporting.judged import unknowns

        return unknowns(self.judgement)

    @property
    def table(self) -> pd.DataFrame:
        """One row per arm; columns: docs/columns.md, those of the table `verdict`."""
        from normsweep.reporting.evidence_tables import verdict_table

        return verdict_table(self.judgement.verdicts, self.judgement.metric)

    @property
    def lines(self) -> pd.DataFrame:
        """The same, formatted as text for display."""
        from normsweep.reporting.verdict_text import verdict_lines

        return verdict_lines(self.judgement.verdicts)

    def report(self, folder: str | Path) -> Path:
        """Write a page with figures and tables into a folder; returns the page's path.

        Raises:
            UserError: the folder cannot be written.
        """
        from normsweep.reporting.judged_page import write_judged

        return write_judged(self.judgement, Path(folder))

    def __str__(self) -> str:
        from normsweep.console.summary import judgement_lines

        return printable("\n".join(judgement_lines(self.judgement)))

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        from normsweep.reporting.formats import render

        first = "".join(f"<li>{escape(printable(text))}</li>" for text in self.unknowns)
        return (
            f"<p>What these runs do not say:</p><ul>{first}</ul>"
            f"<p><b>{escape(printable(self.sentence))}</b></p>{render(self.lines, 'html').decode()}"
        )


def _main_figure(found: Evidence) -> str:
    from normsweep.reporting.figures.charts import main_figure

    return f'<div style="max-width: 60em">{main_figure(found)}</div>'


@contextmanager
def _registered(data: Any, model: Build | None) -> Iterator[None]:
    """Register the data and the model while a study runs."""
    from normsweep.parts import datasets, models
    from normsweep.parts.arrays import readable
    from normsweep.parts.dataset import Dataset

    with ExitStack() as stack:
        if data is not None:
            # An iterable is read only once; what is wrong with the arrays depends on the task.
            given = data if isinstance(data, Dataset) else (readable(data), "data in memory")
            stack.enter_context(datasets.registry.temporarily(models.OWN, lambda data_dir: given))
        if model is not None:
            keras: Any = sys.modules.get("keras")  # not imported here: it takes seconds
            if keras is not None and isinstance(model, keras.Model):
                model = models.Copies(model)
            elif not callable(model):
                raise SweepError(
                    "model: must be a keras.Model, or a function build(input_shape, classes) that returns a new "
                    f"one at each call, got {type(model).__name__}"
                )
            stack.enter_context(models.registry.temporarily(models.OWN, model))
        yield


def _check_choices(
    executor: str,
    n_jobs: int | None,
    device: str,
    phase: str = "all",
    executors: Sequence[str] = ("processes", "inline", "ray"),
) -> None:
    """Raise an error with a line for each argument that has no legal value."""
    choices = {
        "executor": (executor, executors),
        "device": (device, ("auto", "cpu", "gpu")),
        "phase": (phase, ("search", "confirm", "all")),
    }
    problems = [
        f"{name}: must be one of {', '.join(values)}, got {value!r}"
        for name, (value, values) in choices.items()
        if value not in values
    ]
    if n_jobs is not None and not (isinstance(n_jobs, Integral) and n_jobs >= 1):
        problems.append(f"n_jobs: must be an integer of at least 1, got {n_jobs!r}")
    elif n_jobs not in (None, 1) and executor == "inline":
        problems.append(f"n_jobs: must be 1 with executor 'inline', got {n_jobs}")
    if problems:
        raise SweepError(problems)


def _check_texts(**given: Any) -> None:
    """Raise an error with a line for each argument that is no text."""
    problems = [
        f"{name}: expected a string, got {value!r}"
        + ("; the URL of a file is sqlite:///PATH" if isinstance(value, Path) else "")
        for name, value in given.items()
        if value is not None and not isinstance(value, str)
    ]
    if problems:
        raise SweepError(problems)


def _chosen(given: str | None, variable: str, default: str) -> str:
    return given or os.environ.get(variable) or default


def _data_dir(given: str | Path | None) -> Path | None:
    folder = given or os.environ.get("NORMSWEEP_DATA")
    return Path(folder) if folder else None


def _sweep_file(sweep: Sweep | Mapping[str, Any] | str | Path) -> Path | None:
    """The path of the sweep file, which is logged with every run."""
    from normsweep.sweep.loading import find_sweep

    return find_sweep(sweep) if isinstance(sweep, str | Path) else None
